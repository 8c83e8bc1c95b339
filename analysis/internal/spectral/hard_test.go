package spectral

import (
	"context"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/blas"
)

// Chance decides: more starts ask more of it.
var starts = flag.Int("starts", 3, "random starts for each matrix of TestNormOfHardMatrices")

// reflected is diag(sigma) between random reflections: planted, for less.
func reflected(rows, cols int, sigma []float64, rng *rand.Rand) []float64 {
	a := make([]float64, rows*cols)
	for i, s := range sigma {
		a[i*cols+i] = s
	}
	for range 3 {
		u, v, w := gaussian(rows, 1, rng), gaussian(cols, 1, rng), make([]float64, cols)
		floats.Scale(math.Sqrt2/floats.Norm(u, 2), u)
		floats.Scale(math.Sqrt2/floats.Norm(v, 2), v)
		for i := range rows {
			floats.AddScaled(w, u[i], a[i*cols:][:cols])
		}
		for i := range rows {
			r := a[i*cols:][:cols]
			floats.AddScaled(r, -u[i], w)
			floats.AddScaled(r, -floats.Dot(r, v), v)
		}
	}
	return a
}

// hard is a matrix whose largest singular value is easily missed, or whose
// iteration may take long.
type hard struct {
	name       string
	rows, cols int
	a          []float64
}

// clustersOf are matrices with m singular values at the top that are equal, or
// apart by up to spread, one step each or only the largest from the others. The next
// are a half or a hundredth below.
func clustersOf(rng *rand.Rand) []hard {
	var out []hard
	for _, m := range []int{2, 3, 4, 5, 8, 16, 64} {
		for _, spread := range []float64{0, 1e-12, 1e-10, 1e-9, 3e-8, 1e-7, 1e-6, 1e-5, 1e-4} {
			for _, next := range []float64{0.5, 0.99} {
				for _, shape := range [][2]int{{400, 260}, {240, 600}} {
					sigma := make([]float64, min(shape[0], shape[1]))
					for i := range sigma {
						sigma[i] = next * (1 - float64(i-m)/float64(len(sigma)))
					}
					kind := "steps"
					if shape[0] < shape[1] == (next > 0.9) {
						kind = "one above"
					}
					for i := range m {
						sigma[i] = 1
						if kind == "steps" {
							sigma[i] += spread * float64(m-i) / float64(m)
						}
					}
					if kind != "steps" {
						sigma[0] = 1 + spread
					}
					name := fmt.Sprintf("%d x %d, %d apart by %g, %s, next %g", shape[0], shape[1], m, spread, kind, next)
					out = append(out, hard{name, shape[0], shape[1], reflected(shape[0], shape[1], sigma, rng)})
				}
			}
		}
	}
	return out
}

// structured are matrices whose singular values coincide for another reason, and
// some that are hard for their shape or size.
func structured(rng *rand.Rand) []hard {
	const n = 260
	diagonal := func(f func(i int) float64) []float64 {
		sigma := make([]float64, n)
		for i := range sigma {
			sigma[i] = f(i)
		}
		return sigma
	}
	identity := make([]float64, n*n)
	repeated, same := make([]float64, n*n), make([]float64, n*n)
	rows := gaussian(n/4, n, rng)
	for i := range n {
		identity[i*n+i] = 1
		copy(repeated[i*n:][:n], rows[i%(n/4)*n:])
		copy(same[i*n:][:n], rows)
	}
	out := []hard{
		{"identity", n, n, identity},
		{"orthogonal", n, n, reflected(n, n, diagonal(func(int) float64 { return 1 }), rng)},
		{"repeated rows", n, n, repeated},
		{"one row repeated", n, n, same},
		{"rank one", 400, n, reflected(400, n, []float64{7}, rng)},
		{"rank six, five equal", n, 400, reflected(n, 400, []float64{7, 7, 7, 7, 7, 3}, rng)},
		{"tall", 1500, 60, gaussian(1500, 60, rng)},
		{"wide", 60, 1500, gaussian(60, 1500, rng)},
	}
	for _, spread := range []float64{1e-9, 1e-8, 1e-7, 1e-6, 1e-4} {
		out = append(out,
			hard{fmt.Sprintf("nearly orthogonal, %g", spread), n, n, reflected(n, n, diagonal(func(i int) float64 { return 1 + spread*rng.Float64() }), rng)},
			hard{fmt.Sprintf("nearly orthogonal, one %g above", spread), n, n, reflected(n, n, diagonal(func(i int) float64 {
				if i == 0 {
					return 1 + spread
				}
				return 1
			}), rng)})
	}
	for _, size := range []int{10, 52} {
		for _, spread := range []float64{0, 1e-12, 1e-8, 1e-7, 1e-5} {
			b, a := gaussian(size, size, rng), make([]float64, n*n)
			for k := range n / size {
				for i := range size {
					for j := range size {
						a[(k*size+i)*n+k*size+j] = b[i*size+j] * (1 + spread*rng.Float64())
					}
				}
			}
			out = append(out, hard{fmt.Sprintf("blocks of %d, equal but for %g", size, spread), n, n, a})
		}
	}
	for _, scale := range []float64{1e-25, 1e-12, 1e8, 1e12, 1e25} {
		g, c := gaussian(400, n, rng), reflected(400, n, append([]float64{1, 1, 1, 1, 1, 1 + 1e-7}, geometric(100, 0.9)...), rng)
		floats.Scale(scale, g)
		floats.Scale(scale, c)
		out = append(out, hard{fmt.Sprintf("scale %g", scale), 400, n, g}, hard{fmt.Sprintf("cluster, scale %g", scale), 400, n, c})
	}
	return out
}

// The largest singular value is what LAPACK says, to the tolerance, whatever the
// start. Float32 must not take many more reads than the same matrix in float64.
func TestNormOfHardMatrices(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	every, seeds := 5, *starts
	if testing.Short() {
		every, seeds = 31, 2
	}
	var worst float64
	var runs, wide, narrow int
	for i, c := range slices.Concat(structured(rng), clustersOf(rng)) {
		if i%every != 0 {
			continue
		}
		m := dense(c.rows, c.cols, c.a)
		check := func(m Matrix, want float64, seed int) int {
			got, err := Norm(context.Background(), m, Options{Seed: uint64(seed)})
			if err != nil {
				t.Fatal(err)
			}
			off := math.Abs(got.Sigma-want) / want
			worst = max(worst, off)
			runs++
			if !(off <= 1e-8 && got.Bound <= 1e-8 && got.Missed <= 1e-10) {
				t.Errorf("%s, float32 %v, seed %d: %+v, off by %.2g", c.name, m.Single != nil, seed, got, off)
			}
			return got.Reads
		}
		want := Values(m, blas.Find())[0]
		for seed := range seeds {
			check(m, want, seed)
		}
		single := make([]float32, len(c.a))
		for i, x := range c.a {
			single[i] = float32(x)
			c.a[i] = float64(single[i])
		}
		want = Values(m, blas.Find())[0]
		var in64, in32 int
		for seed := range seeds {
			in64 += check(m, want, seed)
			m := m
			m.Single = single
			in32 += check(m, want, seed)
		}
		wide, narrow = wide+in64, narrow+in32
		if in32 > 2*in64+12*seeds {
			t.Errorf("%s: %d reads in float32, %d in float64, of %d starts", c.name, in32, in64, seeds)
		}
	}
	t.Logf("%d runs, off by at most %.2g; reads of what float32 holds: %d in float32, %d in float64", runs, worst, narrow, wide)
}

// The same of matrices that are given as maps, whose iteration has one vector: to the tolerance of
// convolutions, and to that of matrices, which most of them reach in blocks only.
func TestLineOfHardMatrices(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	every := 7
	if testing.Short() {
		every = 41
	}
	cases := slices.Concat(structured(rng), clustersOf(rng))
	const n = 500
	for _, gap := range []float64{0, 1e-3, 1e-2, 0.1} {
		// A dense spectrum, as a convolution's, below one value.
		sigma := make([]float64, n)
		for i := range sigma {
			sigma[i] = math.Cos(math.Pi / 2 * float64(i) / n)
		}
		sigma[n/2] = 1 + gap
		cases = append(cases, hard{fmt.Sprintf("dense, one %g above", gap), n, n, reflected(n, n, sigma, rng)})
	}
	var worst float64
	for i, c := range cases {
		if i%every != 0 && i < len(cases)-4 {
			continue
		}
		e := blas.Find()
		m := Matrix{Cols: c.cols, Gram: func(_ context.Context, dst, src []float64, width int) error {
			y := make([]float64, width*c.rows)
			e.Dgemm(false, true, width, c.rows, c.cols, 1, src, c.cols, c.a, c.cols, 0, y, c.rows)
			e.Dgemm(false, false, width, c.cols, c.rows, 1, y, c.rows, c.a, c.cols, 0, dst, c.cols)
			return nil
		}}
		want := Values(dense(c.rows, c.cols, c.a), e)[0]
		for _, opt := range []Options{{Tolerance: 1e-4, Missed: 1e-4}, {Tolerance: 1e-8, Missed: 1e-10}} {
			for seed := range min(2, *starts) {
				opt.Seed = uint64(seed)
				got, err := Norm(context.Background(), m, opt)
				if err != nil {
					t.Fatal(err)
				}
				off := math.Abs(got.Sigma-want) / want
				worst = max(worst, off/opt.Tolerance)
				if c.name == "dense, one 0.01 above" && opt.Tolerance == 1e-4 && got.Reads > 70 {
					t.Errorf("%s, seed %d: %d reads, a line whose vectors are orthogonal takes some 50", c.name, seed, got.Reads)
				}
				if !(off <= opt.Tolerance && got.Bound <= opt.Tolerance && got.Missed <= opt.Missed && got.Sigma <= want*(1+1e-12)) {
					t.Errorf("%s, seed %d, tolerance %g: %+v, off by %.2g", c.name, seed, opt.Tolerance, got, off)
				}
			}
		}
	}
	t.Logf("off by at most %.2g of the tolerance", worst)
}
