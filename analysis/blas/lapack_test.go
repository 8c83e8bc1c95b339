package blas_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
)

// The values are those of both engines, and their squares sum to the matrix's.
func TestSingularValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, d := range [][2]int{{1, 1}, {1, 7}, {7, 1}, {5, 9}, {40, 30}, {200, 20}, {20, 200}} {
		a := make([]float64, d[0]*d[1])
		var sum float64
		for i := range a {
			a[i] = rng.NormFloat64()
			sum += a[i] * a[i]
		}
		var first []float64
		for _, e := range []*blas.Engine{blas.Gonum(), blas.Find()} {
			s, err := e.SingularValues(d[0], d[1], append([]float64(nil), a...))
			if err != nil || len(s) != min(d[0], d[1]) {
				t.Fatalf("%s %v: %d values, %v", e.Name(), d, len(s), err)
			}
			var squares float64
			for i, x := range s {
				squares += x * x
				// LAPACK's error is relative to the largest value.
				if first != nil && !(math.Abs(x-first[i]) <= 1e-13*first[0]) {
					t.Errorf("%s %v: value %d is %v, gonum has %v", e.Name(), d, i, x, first[i])
				}
				if i > 0 && x > s[i-1] {
					t.Errorf("%s %v: values rise", e.Name(), d)
				}
			}
			if !(math.Abs(squares-sum) <= 1e-12*sum) {
				t.Errorf("%s %v: squares sum to %v, want %v", e.Name(), d, squares, sum)
			}
			first = s
		}
	}
	if _, err := blas.Find().SingularValues(1, 2, []float64{1, math.NaN()}); err == nil {
		t.Error("no error for NaN")
	}
}

// The vectors are orthonormal and make the matrix again.
func TestEigen(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, n := range []int{0, 1, 2, 7, 40, 130} {
		a := make([]float64, n*n)
		for i := range n {
			for j := range i + 1 {
				a[i*n+j] = rng.NormFloat64()
				a[j*n+i] = a[i*n+j]
			}
		}
		for _, e := range []*blas.Engine{blas.Gonum(), blas.Find()} {
			v := slices.Clone(a)
			values, err := e.Eigen(n, v)
			if err != nil || len(values) != n {
				t.Fatalf("%s %d: %d values, %v", e.Name(), n, len(values), err)
			}
			alone, err := e.Eigenvalues(n, slices.Clone(a))
			if err != nil || len(alone) != n {
				t.Fatalf("%s %d: %d values without vectors, %v", e.Name(), n, len(alone), err)
			}
			for k, x := range values {
				// The norm is some 2 sqrt(n).
				if !(math.Abs(x-alone[k]) <= 1e-12) {
					t.Errorf("%s %d: value %d is %v with vectors, %v without", e.Name(), n, k, x, alone[k])
				}
			}
			if !slices.IsSortedFunc(values, func(x, y float64) int { return cmp.Compare(y, x) }) {
				t.Errorf("%s %d: values rise", e.Name(), n)
			}
			for i := range n {
				for j := range n {
					var sum, dot float64
					for k := range n {
						sum += values[k] * v[k*n+i] * v[k*n+j]
						dot += v[i*n+k] * v[j*n+k]
					}
					if i == j {
						dot--
					}
					// Some n units of the last place of the norm, 2 sqrt(n).
					if !(math.Abs(sum-a[i*n+j]) <= 1e-12 && math.Abs(dot) <= 1e-13) {
						t.Fatalf("%s %d: entry (%d, %d) is %v, want %v; dot product off by %v", e.Name(), n, i, j, sum, a[i*n+j], dot)
					}
				}
			}
		}
	}
	for _, e := range []*blas.Engine{blas.Gonum(), blas.Find()} {
		if _, err := e.Eigen(1, []float64{math.Inf(1)}); err == nil {
			t.Errorf("%s: no error for Inf", e.Name())
		}
	}
}

// Eigenvalues of tridiagonal matrices whose elements span more than float64 has digits, of one with pairs that agree
// (Wilkinson's), and of some with a zero diagonal are those found with the vectors, and those of two matrices that are iterated together
// are the same bits as those of each.
func TestEigenvaluesOf(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	kinds := []struct {
		name string
		at   func(i, j, n int) float64
	}{
		{"normal", func(_, _, _ int) float64 { return rng.NormFloat64() }},
		{"falling", func(i, _, n int) float64 { return math.Pow(1e-20, float64(i)/float64(n)) * rng.NormFloat64() }},
		{"rising far", func(i, _, n int) float64 { return math.Pow(1e-200, 1-float64(i)/float64(n)) * rng.NormFloat64() }},
		{"far and near", func(_, _, _ int) float64 { return math.Pow(1e-200, rng.Float64()) * rng.NormFloat64() }},
		{"zero diagonal", func(i, j, _ int) float64 { return math.Abs(float64(i - j)) }},
		{"Wilkinson", func(i, j, n int) float64 {
			if i != j {
				return 1
			}
			return math.Abs(float64(n-1)/2 - float64(i))
		}},
		{"large", func(_, _, _ int) float64 { return 1e150 * rng.NormFloat64() }},
		// Products of three of these, squared, are below float64; so are squares of some.
		{"zero diagonal, far", func(i, j, _ int) float64 { return math.Abs(float64(i-j)) * math.Pow(7e-61, min(1, float64((j+4)%5))) }},
		{"zero diagonal, very far", func(i, j, _ int) float64 { return math.Abs(float64(i-j)) * math.Pow(1e-160, float64((j+1)%2)) }},
	}
	find := blas.Find()
	for _, kind := range kinds {
		if !find.Library() && strings.Contains(kind.name, "far") {
			continue // gonum's vectors panic
		}
		var before []float64
		for _, n := range []int{1, 2, 3, 8, 65, 200} {
			a := make([]float64, n*n)
			for i := range n {
				a[i*n+i] = kind.at(i, i, n)
				if i > 0 {
					a[i*n+i-1] = kind.at(i, i-1, n)
					a[(i-1)*n+i] = math.NaN() // is not read
				}
			}
			of := func(a []float64) *blas.Tridiagonal {
				m := int(math.Sqrt(float64(len(a))))
				w, err := find.Tridiagonal(m, slices.Clone(a))
				if err != nil {
					t.Fatalf("%s, %d: %v", kind.name, n, err)
				}
				return w
			}
			got := blas.EigenvaluesOf(of(a))[0]
			want, err := find.Eigen(n, slices.Clone(a))
			if err != nil || len(got) != n {
				t.Fatalf("%s, %d: %d values, %v", kind.name, n, len(got), err)
			}
			top := math.Max(math.Abs(want[0]), math.Abs(want[n-1]))
			for i, x := range got {
				// Both are off by a small multiple of the rounding unit times the largest.
				if !(math.Abs(x-want[i]) <= 64*0x1p-53*top) {
					t.Errorf("%s, %d: value %d is %v, want %v", kind.name, n, i, x, want[i])
				}
			}
			if before != nil {
				for i, x := range blas.EigenvaluesOf(of(before), of(a))[1] {
					if x != got[i] {
						t.Errorf("%s, %d: value %d is %v beside another matrix, %v alone", kind.name, n, i, x, got[i])
					}
				}
			}
			before = a
		}
	}
	if _, err := find.Tridiagonal(1, []float64{math.Inf(1)}); err == nil {
		t.Error("no error for Inf")
	}
}

func BenchmarkEigenvaluesOf(b *testing.B) {
	rng := rand.New(rand.NewPCG(4, 4))
	const n = 512
	w, g := make([]float64, n*n), make([]float64, n*n)
	for i := range w {
		w[i] = rng.NormFloat64()
	}
	e := blas.Find()
	e.Dgemm(false, true, n, n, n, 1, w, n, w, n, 0, g, n)
	for count, name := range []string{"reduced", "one", "two"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ts := make([]*blas.Tridiagonal, max(count, 1))
				for i := range ts {
					var err error
					if ts[i], err = e.Tridiagonal(n, slices.Clone(g)); err != nil {
						b.Fatal(err)
					}
				}
				if count > 0 {
					blas.EigenvaluesOf(ts...)
				}
			}
		})
	}
}
