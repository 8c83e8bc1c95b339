package blas

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The rotations that WebAssembly has give what LAPACK does: the values, and vectors that make the
// matrix.
func TestJacobi(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	near := func(what string, got, want []float64) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
		}
		for i, x := range got {
			// Errors of either are some sqrt(n) roundings of the largest.
			if !(math.Abs(x-want[i]) <= 1e-12) {
				t.Errorf("%s: value %d is %v, want %v", what, i, x, want[i])
			}
		}
	}
	for _, d := range [][2]int{{1, 1}, {1, 7}, {7, 1}, {5, 9}, {30, 40}, {20, 20}} {
		m, n := d[0], d[1]
		a := random[float64](rng, m, n, n)
		if m == n && n > 1 {
			copy(a[n:2*n], a[:n]) // of less than full rank
		}
		want, _ := singularGo(m, n, append([]float64(nil), a...))
		got, ok := jacobiSingular(m, n, append([]float64(nil), a...))
		if !ok {
			t.Fatalf("%v: no convergence", d)
		}
		near("singular values", got, want)
		if m != n {
			continue
		}
		for i := range n {
			for j := range i {
				a[i*n+j] = a[j*n+i]
			}
		}
		want, _ = eigenGo(n, append([]float64(nil), a...), false)
		q := append([]float64(nil), a...)
		if got, ok = jacobiEigen(n, q, true); !ok {
			t.Fatalf("%d: no convergence", n)
		}
		near("eigenvalues", got, want)
		again := make([]float64, n*n)
		for i := range n {
			for j := range n {
				for k, x := range got {
					again[i*n+j] += x * q[k*n+i] * q[k*n+j]
				}
			}
		}
		near("vectors", again, a)
	}
	if v, ok := jacobiSingular(3, 2, make([]float64, 6)); !ok || v[0] != 0 {
		t.Errorf("of zeros: %v, %v", v, ok)
	}
}
