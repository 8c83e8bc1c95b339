//go:build !wasm

package blas

import (
	"slices"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/mat"
)

// singularGo returns the singular values of a matrix, in decreasing order.
func singularGo(m, n int, a []float64) ([]float64, bool) {
	var svd mat.SVD
	if !svd.Factorize(mat.NewDense(m, n, a), mat.SVDNone) {
		return nil, false
	}
	return svd.Values(nil), true
}

// eigenGo returns the eigenvalues of a symmetric matrix, in increasing order, and writes the
// eigenvectors into its rows if they are asked for.
func eigenGo(n int, a []float64, vectors bool) ([]float64, bool) {
	var eig mat.EigenSym
	if !eig.Factorize(mat.NewSymDense(n, slices.Clone(a)), vectors) {
		return nil, false
	}
	if vectors {
		var q mat.Dense
		eig.VectorsTo(&q)
		mat.NewDense(n, n, a).Copy(q.T())
	}
	return eig.Values(nil), true
}

// reduceGo is Engine.reduce by gonum, whose own iteration panics where blocks are far from 1.
func reduceGo(n int, a []float64) (d, e []float64, err error) {
	const block = 32
	d, e = make([]float64, n), make([]float64, n)
	gonum.Implementation{}.Dsytrd(gonumblas.Lower, n, a, n, d, e[:n-1], make([]float64, n-1), make([]float64, block*n), block*n)
	return d, e, nil
}
