package blas

import (
	"fmt"
	"math"
	"slices"
)

// SingularValues returns the singular values of an m x n matrix, row-major, in
// decreasing order; a is overwritten. It is LAPACK's: of the library that was
// found where that has dgesdd (OpenBLAS mostly does), else gonum's. Errors are a
// small multiple of the rounding unit times the largest value. Cost: some
// 8/3 m n min(m, n) operations. Errors: NaN or Inf in a, no convergence. It
// panics when a is too short.
func (e *Engine) SingularValues(m, n int, a []float64) ([]float64, error) {
	if m == 0 || n == 0 {
		return nil, nil
	}
	check(false, m, n, len(a), n)
	for i, x := range a[:m*n] {
		if x-x != 0 {
			return nil, fmt.Errorf("blas: singular values: entry (%d, %d) is %v", i/n, i%n, x)
		}
	}
	exp := moderate(a[:m*n])
	s, err := e.singular(m, n, a)
	restore(s, exp)
	return s, err
}

// moderate divides numbers by a power of two where the largest is far from 1, and
// returns its exponent: LAPACK's own way to do so panics in gonum (Dsterf), and squares
// must not leave the range. Numbers that become zero are below what the result's
// error allows.
func moderate(a []float64) (exp int) {
	const far = 200
	var top float64
	for _, x := range a {
		top = math.Max(top, math.Abs(x))
	}
	if _, exp = math.Frexp(top); top == 0 || exp > -far && exp < far {
		return 0
	}
	restore(a, -exp)
	return exp
}

// restore multiplies numbers by 2^exp.
func restore(a []float64, exp int) {
	for i := 0; exp != 0 && i < len(a); i++ {
		a[i] = math.Ldexp(a[i], exp)
	}
}

func (e *Engine) singular(m, n int, a []float64) ([]float64, error) {
	if e = e.decomposer(); e.svd != nil && m <= math.MaxInt32 && n <= math.MaxInt32 {
		// Row-major A is column-major A^T, which has the same values.
		return e.svd(n, m, a)
	}
	values, ok := singularGo(m, n, a[:m*n])
	if !ok {
		return nil, fmt.Errorf("blas: singular values of %d x %d: no convergence", m, n)
	}
	return values, nil
}

// Eigen returns the eigenvalues of a symmetric n x n matrix in decreasing order
// and replaces it by the eigenvectors: row k, of length one, belongs to value k. It
// is LAPACK's: of the library that was found where that has dsyevd (OpenBLAS mostly
// does), else gonum's. Errors are a small multiple of the rounding unit times the
// largest value. Cost: some 9 n^3 operations. Errors: NaN or Inf in a, no
// convergence. It panics when a is too short.
func (e *Engine) Eigen(n int, a []float64) ([]float64, error) {
	values, err := e.symmetric('V', n, a)
	if err != nil {
		return nil, err
	}
	for lo, hi := 0, n-1; lo < hi; lo, hi = lo+1, hi-1 {
		for j := range n {
			a[lo*n+j], a[hi*n+j] = a[hi*n+j], a[lo*n+j]
		}
	}
	return values, nil
}

// Eigenvalues is Eigen without the vectors, for some 4/3 n^3 operations; a is
// overwritten.
func (e *Engine) Eigenvalues(n int, a []float64) ([]float64, error) { return e.symmetric('N', n, a) }

// symmetric returns eigenvalues in decreasing order, and vectors in increasing order.
func (e *Engine) symmetric(job byte, n int, a []float64) ([]float64, error) {
	if n == 0 {
		return nil, nil
	}
	check(false, n, n, len(a), n)
	for i, x := range a[:n*n] {
		if x-x != 0 {
			return nil, fmt.Errorf("blas: eigenvalues: entry (%d, %d) is %v", i/n, i%n, x)
		}
	}
	exp := moderate(a[:n*n])
	var values []float64
	// The library counts its work space, 1 + 6n + 2n^2 numbers, in 32 bits.
	if e = e.decomposer(); e.eigen != nil && n < 1<<15-2 {
		var err error
		if values, err = e.eigen(job, n, a); err != nil {
			return nil, err
		}
	} else {
		var ok bool
		if values, ok = eigenGo(n, a[:n*n], job == 'V'); !ok {
			return nil, fmt.Errorf("blas: eigenvalues of %d x %d: no convergence", n, n)
		}
	}
	slices.Reverse(values)
	restore(values, exp)
	return values, nil
}
