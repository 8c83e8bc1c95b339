package spectral

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
)

func dense(rows, cols int, a []float64) Matrix {
	return Matrix{Rows: rows, Cols: cols, Read: func(dst []float64, lo, hi int) { copy(dst, a[lo*cols:hi*cols]) }}
}

func gaussian(rows, cols int, rng *rand.Rand) []float64 {
	a := make([]float64, rows*cols)
	for i := range a {
		a[i] = rng.NormFloat64()
	}
	return a
}

// orthogonal returns the first k columns of a random orthogonal matrix.
func orthogonal(n, k int, rng *rand.Rand) *mat.Dense {
	var qr mat.QR
	qr.Factorize(mat.NewDense(n, k, gaussian(n, k, rng)))
	var q mat.Dense
	qr.QTo(&q)
	var out mat.Dense
	out.CloneFrom(q.Slice(0, n, 0, k))
	return &out
}

// planted is a matrix of known singular values.
func planted(rows, cols int, sigma []float64, rng *rand.Rand) []float64 {
	u, v := orthogonal(rows, len(sigma), rng), orthogonal(cols, len(sigma), rng)
	for k, s := range sigma {
		for i := range rows {
			u.Set(i, k, u.At(i, k)*s)
		}
	}
	var a mat.Dense
	a.Mul(u, v.T())
	return a.RawMatrix().Data
}

func geometric(n int, ratio float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Pow(ratio, float64(i))
	}
	return out
}

func TestNormOfPlantedValues(t *testing.T) {
	cluster := geometric(150, 0.95)
	for i := range 12 { // more than a block of nearly equal values
		cluster[i] = 1 + 1e-13*float64(12-i)
	}
	close := geometric(150, 0.95)
	close[0], close[1] = 1, 1-1e-6
	flat := make([]float64, 150)
	for i := range flat {
		flat[i] = 1 - 1e-4*float64(i)
	}
	equal := make([]float64, 100)
	for i := range equal {
		equal[i] = 3
	}
	for _, c := range []struct {
		name       string
		rows, cols int
		sigma      []float64
	}{
		{"geometric", 200, 300, geometric(150, 0.9)},
		{"more than a block equal", 300, 200, cluster},
		{"two close", 300, 200, close},
		{"a flat top", 250, 220, flat},
		{"orthogonal", 100, 130, equal},
		{"uneven", 90, 60, geometric(60, 0.5)},
		{"a step", 70, 90, append([]float64{1e8}, geometric(69, 0.9)...)},
		{"rank one", 100, 120, []float64{7}},
		{"rank three", 500, 90, []float64{2, 1, 1e-9}},
		{"wide", 60, 900, geometric(60, 0.97)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := planted(c.rows, c.cols, c.sigma, rand.New(rand.NewPCG(1, 2)))
			for _, e := range []*blas.Engine{blas.Gonum(), blas.Find()} {
				got, err := Norm(context.Background(), dense(c.rows, c.cols, a), Options{BLAS: e})
				if err != nil {
					t.Fatal(err)
				}
				// The planted value itself is off by the rounding of the product.
				if rel := math.Abs(got.Sigma-c.sigma[0]) / c.sigma[0]; !(rel <= 1e-10) || got.Bound > 1e-8 {
					t.Errorf("%+v: off by %.2g of %v", got, rel, c.sigma[0])
				}
			}
			values := Values(dense(c.rows, c.cols, a), blas.Gonum())
			for i, v := range values {
				want := 0.0
				if i < len(c.sigma) {
					want = c.sigma[i]
				}
				// LAPACK's error is relative to the largest value.
				if !(math.Abs(v-want) <= 1e-13*c.sigma[0]) {
					t.Fatalf("singular value %d: %v, want %v", i, v, want)
				}
			}
		})
	}
}

// The edge of a Gaussian matrix's spectrum is dense: compare with LAPACK.
func TestNormAgainstSVD(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	shapes := [][2]int{{300, 300}, {400, 150}, {150, 400}, {49, 49}, {1, 100}, {100, 1}, {10, 10}}
	for range 30 { // where the basis comes to span everything
		shapes = append(shapes, [2]int{49 + rng.IntN(70), 49 + rng.IntN(70)})
	}
	for _, d := range shapes {
		a := gaussian(d[0], d[1], rng)
		m := dense(d[0], d[1], a)
		got, err := Norm(context.Background(), m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := Values(m, blas.Gonum())[0]
		if rel := math.Abs(got.Sigma-want) / want; !(rel <= 1e-10) {
			t.Errorf("%v: %+v, want %v (%.2g)", d, got, want, rel)
		}
	}
}

func TestDegenerate(t *testing.T) {
	for _, d := range [][2]int{{0, 5}, {5, 0}, {60, 70}, {3, 4}} {
		got, err := Norm(context.Background(), dense(d[0], d[1], make([]float64, d[0]*d[1])), Options{})
		if err != nil || got.Sigma != 0 {
			t.Errorf("zero %v: %+v, %v", d, got, err)
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		for _, d := range [][2]int{{60, 70}, {3, 4}} {
			a := gaussian(d[0], d[1], rand.New(rand.NewPCG(1, 1)))
			a[5] = bad
			got, err := Norm(context.Background(), dense(d[0], d[1], a), Options{})
			if err != nil || !math.IsNaN(got.Sigma) {
				t.Errorf("%v in %v: %+v, %v", bad, d, got, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Norm(ctx, dense(100, 100, make([]float64, 10000)), Options{}); err == nil {
		t.Error("no error from a cancelled context")
	}
}

// A matrix in float32 gives what the same one in float64 does.
func TestSingle(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	cluster := geometric(200, 0.97)
	for i := range 12 {
		cluster[i] = 1 + 1e-5*float64(i)
	}
	// Products in float32 would be infinite, or lost.
	huge, tiny := gaussian(300, 400, rng), gaussian(300, 400, rng)
	floats.Scale(1e25, huge)
	floats.Scale(1e-25, tiny)
	// Vectors of length one are rounding beside these products.
	large := planted(300, 400, cluster, rng)
	floats.Scale(1e9, large)
	for name, a := range map[string][]float64{
		"gaussian": gaussian(300, 400, rng), "cluster": planted(300, 400, cluster, rng), "low rank": planted(300, 400, []float64{2, 1}, rng),
		"zero": make([]float64, 300*400), "huge": huge, "tiny": tiny, "large cluster": large,
	} {
		single := make([]float32, len(a))
		for i, x := range a {
			single[i] = float32(x)
			a[i] = float64(single[i])
		}
		m := dense(300, 400, a)
		want := Values(m, blas.Gonum())[0]
		m.Single = single
		got, err := Norm(context.Background(), m, Options{})
		if err != nil || !(math.Abs(got.Sigma-want) <= 1e-10*want) || got.Bound > 1e-8 {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, want)
		}
	}
	// All that float32 leaves of a product may lie in the basis.
	for rank := 1; rank <= 5; rank++ {
		for range 10 {
			rows, cols := small+1+rng.IntN(120), small+1+rng.IntN(120)
			sigma := make([]float64, rank)
			for i := range sigma {
				sigma[i] = 1 + rng.ExpFloat64()
			}
			a := planted(rows, cols, sigma, rng)
			single := make([]float32, len(a))
			for i, x := range a {
				single[i] = float32(x)
				a[i] = float64(single[i])
			}
			m := dense(rows, cols, a)
			m.Single = single
			got, err := Norm(context.Background(), m, Options{})
			want := Values(m, blas.Gonum())[0]
			if err != nil || !(math.Abs(got.Sigma-want) <= 1e-10*want) || !(got.Bound <= 1e-8) {
				t.Errorf("rank %d, %d x %d: %+v, %v, want %v", rank, rows, cols, got, err, want)
			}
		}
	}
	bad := gaussian(300, 400, rng)
	m := dense(300, 400, bad)
	m.Single = make([]float32, len(bad))
	m.Single[7], bad[7] = float32(math.NaN()), math.NaN()
	if got, err := Norm(context.Background(), m, Options{}); err != nil || !math.IsNaN(got.Sigma) {
		t.Errorf("NaN: %+v, %v", got, err)
	}
}

// Any number of close values at the top, stored in float32 or not, read by any
// number of goroutines: a singular value is within the bound, and it is the largest.
func TestNormOfClusters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(small+1, 150).Draw(t, "rows"), rapid.IntRange(small+1, 150).Draw(t, "cols")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		sigma := geometric(min(rows, cols), rapid.Float64Range(0.5, 0.999).Draw(t, "ratio"))
		close := rapid.IntRange(0, 12).Draw(t, "close")
		apart := math.Pow(10, -rapid.Float64Range(1, 15).Draw(t, "digits"))
		for i := range close {
			sigma[i] = 1 + apart*rng.Float64()
		}
		a := planted(rows, cols, sigma, rng)
		m := dense(rows, cols, a)
		if rapid.Bool().Draw(t, "single") {
			m.Single = make([]float32, len(a))
			for i, x := range a {
				m.Single[i] = float32(x)
				a[i] = float64(m.Single[i])
			}
		}
		got, err := Norm(context.Background(), m, Options{Threads: rapid.IntRange(1, 3).Draw(t, "threads"), Seed: rng.Uint64()})
		if err != nil {
			t.Fatal(err)
		}
		values := Values(m, blas.Gonum())
		near := math.Inf(1)
		for _, v := range values {
			near = min(near, math.Abs(got.Sigma-v)/values[0])
		}
		// LAPACK's own error is some 1e-14.
		off := math.Abs(got.Sigma-values[0]) / values[0]
		if !(got.Bound <= 1e-8 && near <= got.Bound+1e-14 && off <= 1e-8) {
			t.Fatalf("%+v: %.2g from a singular value, %.2g from the largest, %v", got, near, off, values[0])
		}
	})
}

func BenchmarkNorm(b *testing.B) {
	for _, n := range []int{1000, 4000} {
		a := gaussian(n, n, rand.New(rand.NewPCG(1, 1)))
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			var r Result
			for b.Loop() {
				r, _ = Norm(context.Background(), dense(n, n, a), Options{Threads: runtime.NumCPU()})
			}
			b.ReportMetric(float64(r.Reads), "reads")
		})
		single := make([]float32, len(a))
		for i, x := range a {
			single[i] = float32(x)
		}
		b.Run(fmt.Sprintf("n=%d/single", n), func(b *testing.B) {
			m := Matrix{Rows: n, Cols: n, Single: single, Read: func(dst []float64, lo, hi int) {
				for i, x := range single[lo*n : hi*n] {
					dst[i] = float64(x)
				}
			}}
			var r Result
			for b.Loop() {
				r, _ = Norm(context.Background(), m, Options{Threads: runtime.NumCPU()})
			}
			b.ReportMetric(float64(r.Reads), "reads")
		})
	}
}

// Squares are those of the singular values, above the floor to 1e-8: of matrices of both
// shapes, in one tile and in several, of low rank, and where A^T A is not accurate enough.
func TestSquares(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 8))
	const floor = 1e-5
	for _, d := range [][2]int{{1, 1}, {30, 9}, {9, 30}, {300, 140}, {140, 300}, {150, 30000}, {3000, 20}} {
		for _, scale := range []float64{1e-3, 1, 1e5} {
			a := gaussian(d[0], d[1], rng)
			if d[0] == 300 {
				for i := range 100 { // equal rows
					copy(a[i*d[1]:][:d[1]], a[:d[1]])
				}
			}
			floats.Scale(scale, a)
			m := dense(d[0], d[1], a)
			got, want := Squares(blas.Find(), []float64{floor}, m)[0], Values(m, blas.Find())
			slices.Reverse(want)
			for i, s := range want {
				if w := s * s; !(math.Abs(got[i]-w) <= 1e-8*w) && (w > floor || got[i] > floor) {
					t.Errorf("%v times %v: square %d is %v, want %v", d, scale, i, got[i], w)
				}
			}
		}
	}
	if got := Squares(blas.Find(), []float64{floor}, dense(1, 2, []float64{1, math.NaN()}))[0]; !math.IsNaN(got[0]) {
		t.Errorf("of NaN %v", got)
	}
}
