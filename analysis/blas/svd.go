package blas

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
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
	if e.svd != nil && m <= math.MaxInt32 && n <= math.MaxInt32 {
		// Row-major A is column-major A^T, which has the same values.
		return e.svd(n, m, a)
	}
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(m, n, a[:m*n]), mat.SVDNone) {
		return nil, fmt.Errorf("blas: singular values of %d x %d: no convergence", m, n)
	}
	return svd.Values(nil), nil
}
