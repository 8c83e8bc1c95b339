package blas

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/kernel"
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
	top := kernel.MaxAbs(a[:m*n])
	if top-top != 0 {
		i := slices.IndexFunc(a, func(x float64) bool { return x-x != 0 })
		return nil, fmt.Errorf("blas: singular values: entry (%d, %d) is %v", i/n, i%n, a[i])
	}
	exp := moderate(a[:m*n], top)
	s, err := e.singular(m, n, a)
	restore(s, exp)
	return s, err
}

// moderate divides numbers by a power of two where the largest, top, is far from 1, and
// returns its exponent: LAPACK's own way to do so panics in gonum (Dsterf), and squares
// must not leave the range. Numbers that become zero are below what the result's
// error allows.
func moderate(a []float64, top float64) (exp int) {
	const far = 200
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
// and replaces it by the eigenvectors: row k, of length one, belongs to value k. Elements above
// the diagonal are not read. It
// is LAPACK's: of the library that was found where that has dsyevd (OpenBLAS mostly
// does), else gonum's. Errors are a small multiple of the rounding unit times the
// largest value. Cost: some 9 n^3 operations. Errors: NaN or Inf in a, no
// convergence. It panics when a is too short.
func (e *Engine) Eigen(n int, a []float64) ([]float64, error) {
	if n == 0 {
		return nil, nil
	}
	exp, err := symmetric(n, a)
	if err != nil {
		return nil, err
	}
	var values []float64
	// The library counts its work space, 1 + 6n + 2n^2 numbers, in 32 bits.
	if e = e.decomposer(); e.eigen != nil && n < 1<<15-2 {
		if values, err = e.eigen(n, a); err != nil {
			return nil, err
		}
	} else if values, err = eigenOfGo(n, a, true); err != nil {
		return nil, err
	}
	slices.Reverse(values)
	restore(values, exp)
	for lo, hi := 0, n-1; lo < hi; lo, hi = lo+1, hi-1 {
		for j := range n {
			a[lo*n+j], a[hi*n+j] = a[hi*n+j], a[lo*n+j]
		}
	}
	return values, nil
}

// symmetric checks what is on and below the diagonal and makes it moderate.
func symmetric(n int, a []float64) (exp int, err error) {
	check(false, n, n, len(a), n)
	var top float64
	for i := range n {
		row := a[i*n:][:i+1]
		largest := kernel.MaxAbs(row)
		if largest-largest != 0 {
			j := slices.IndexFunc(row, func(x float64) bool { return x-x != 0 })
			return 0, fmt.Errorf("blas: eigenvalues: entry (%d, %d) is %v", i, j, row[j])
		}
		top = max(top, largest)
	}
	return moderate(a[:n*n], top), nil
}

// eigenOfGo is eigenGo of the elements on and below the diagonal.
func eigenOfGo(n int, a []float64, vectors bool) ([]float64, error) {
	for i := range n {
		for j := range i {
			a[j*n+i] = a[i*n+j]
		}
	}
	values, ok := eigenGo(n, a[:n*n], vectors)
	if !ok {
		return nil, fmt.Errorf("blas: eigenvalues of %d x %d: no convergence", n, n)
	}
	return values, nil
}

// Tridiagonal is a symmetric matrix on the way to its eigenvalues.
type Tridiagonal struct {
	iteration *ql
	// values are the eigenvalues, in increasing order, where there is no iteration.
	values []float64
	exp    int
}

// Tridiagonal reduces a symmetric n x n matrix to a tridiagonal one with the same eigenvalues, for some 4/3 n^3
// operations; a is overwritten, and elements above the diagonal are not read. It is LAPACK's dsytrd, of the
// library that was found where that has it; gonum finds the eigenvalues at once. Errors: NaN or Inf in a, no
// convergence. It panics when a is too short.
func (e *Engine) Tridiagonal(n int, a []float64) (*Tridiagonal, error) {
	if n == 0 {
		return &Tridiagonal{}, nil
	}
	exp, err := symmetric(n, a)
	if err != nil {
		return nil, err
	}
	t := &Tridiagonal{exp: exp}
	if e = e.decomposer(); e.reduce != nil && n < math.MaxInt32/64 {
		d, beside, err := e.reduce(n, a)
		if err != nil {
			return nil, err
		}
		t.iteration = newQL(d, beside)
		return t, nil
	}
	t.values, err = eigenOfGo(n, a, false)
	return t, err
}

// EigenvaluesOf returns the eigenvalues of each matrix in decreasing order, nil where an iteration does not converge. Two
// matrices of a size take little more time than one of them. Errors of values are a small multiple of the rounding unit times
// the largest; they do not depend on the other matrices. Each matrix can be used once.
func EigenvaluesOf(ts ...*Tridiagonal) [][]float64 {
	var waiting *ql
	for _, t := range ts {
		switch {
		case t.iteration == nil:
		case waiting == nil:
			waiting = t.iteration
		default:
			solve(waiting, t.iteration)
			waiting = nil
		}
	}
	if waiting != nil {
		solve(waiting, nil)
	}
	out := make([][]float64, len(ts))
	for i, t := range ts {
		if q := t.iteration; q != nil {
			slices.Sort(q.d) // NaN first
			if t.values = q.d; q.failed || q.d[0] != q.d[0] {
				continue
			}
		}
		slices.Reverse(t.values)
		restore(t.values, t.exp)
		out[i] = t.values
	}
	return out
}

// Eigenvalues is Eigen without the vectors, for some 4/3 n^3 operations; a is
// overwritten.
func (e *Engine) Eigenvalues(n int, a []float64) ([]float64, error) {
	t, err := e.Tridiagonal(n, a)
	if err != nil || n == 0 {
		return nil, err
	}
	values := EigenvaluesOf(t)[0]
	if values == nil {
		return nil, fmt.Errorf("blas: eigenvalues of %d x %d: no convergence", n, n)
	}
	return values, nil
}
