package blas_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
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
