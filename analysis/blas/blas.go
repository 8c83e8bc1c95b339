// Package blas has the fastest matrix products that the machine offers: those of package kernel
// where they are in assembly, else those of the OpenBLAS library, loaded at run time without cgo,
// else gonum's in Go. Decompositions are the library's where there is one, else gonum's.
//
// All matrices are row-major. The environment variable RELUPATH_BLAS picks the
// library: a path to load, whose products are then used too, or "none". The build tag noblas
// leaves the loader out, for a static binary.
package blas

import (
	"math"
	"os"
	"runtime"
	"sync"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"

	"github.com/relupath/relupath/analysis/kernel"
)

// Env names the environment variable that picks the library: a path to load, for products too,
// or "none". It has no effect on builds with noblas.
const Env = "RELUPATH_BLAS"

// Engine is one implementation of the products. It is safe for concurrent use. Its
// results are the same bits for any number of threads.
type Engine struct {
	name  string
	dgemm gemm[float64]
	sgemm gemm[float32]
	// lapack returns the engine whose decompositions serve; nil is the engine itself.
	lapack func() *Engine
	// library tells whether this is one.
	library bool
	// split says that a product is to be split over goroutines here.
	split bool
	// svd gives singular values of a column-major matrix; nil where the library
	// has no LAPACK.
	svd func(m, n int, a []float64) ([]float64, error)
	// eigen gives eigenvalues, in increasing order, and in place of a symmetric matrix the
	// eigenvectors as rows; nil where the library has no LAPACK.
	eigen func(n int, a []float64) ([]float64, error)
	// reduce gives a tridiagonal matrix with the eigenvalues of a symmetric one, of which it reads what is on
	// and below the diagonal: its diagonal, and what is beside it with one element more; nil where the library has no LAPACK.
	reduce func(n int, a []float64) (d, e []float64, err error)
}

// gemm is a matrix product in the precision T.
type gemm[T float32 | float64] func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int)

// Name says what the engine is, with its version.
func (e *Engine) Name() string {
	if d := e.decomposer(); d != e && d.library {
		return e.name + ", decompositions by " + d.name
	}
	return e.name
}

// Library reports whether decompositions are those of a library; gonum's are slower.
func (e *Engine) Library() bool { return e.decomposer().library }

func (e *Engine) decomposer() *Engine {
	if e.lapack != nil {
		return e.lapack()
	}
	return e
}

// Serial returns an engine whose products run on the caller's thread, for callers
// that split their work over goroutines themselves.
func (e *Engine) Serial() *Engine {
	s := *e
	s.split = false
	return &s
}

// Dgemm computes C = alpha op(A) op(B) + beta C: C is m x n, op(A) m x k,
// op(B) k x n, with leading dimensions (row strides) lda, ldb, ldc. With beta
// 0, C is not read. It panics when a slice is too short.
func (e *Engine) Dgemm(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	product(e.dgemm, e.split, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Sgemm is Dgemm in float32.
func (e *Engine) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	product(e.sgemm, e.split, transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func product[T float32 | float64](f gemm[T], split, transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	if m == 0 || n == 0 {
		return
	}
	check(transA, m, k, len(a), lda)
	check(transB, k, n, len(b), ldb)
	check(false, m, n, len(c), ldc)
	if k == 0 {
		scale(m, n, beta, c, ldc)
		return
	}
	width := tileWidth(m, n, k)
	if !split || width >= max(m, n) {
		f(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	t := reused[T]()
	t.f, t.transA, t.transB, t.m, t.n, t.k = f, transA, transB, m, n, k
	t.alpha, t.a, t.lda, t.b, t.ldb, t.beta, t.c, t.ldc = alpha, a, lda, b, ldb, beta, c, ldc
	t.width = width
	t.do()
}

func check(trans bool, rows, cols, n, ld int) {
	if trans {
		rows, cols = cols, rows
	}
	if rows > math.MaxInt32 || cols > math.MaxInt32 || ld > math.MaxInt32 {
		panic("blas: a matrix is too large")
	}
	if ld < cols || (rows > 0 && cols > 0 && n < (rows-1)*ld+cols) {
		panic("blas: a matrix is too short for its dimensions")
	}
}

func scale[T float32 | float64](m, n int, beta T, c []T, ldc int) {
	for i := range m {
		row := c[i*ldc:][:n]
		for j := range row {
			if beta == 0 {
				row[j] = 0
			} else {
				row[j] *= beta
			}
		}
	}
}

// Gonum returns the engine in Go, which is always there. In WebAssembly, for which gonum has no
// assembly, its products are this package's.
func Gonum() *Engine {
	if runtime.GOARCH == "wasm" {
		return &Engine{name: "Go", dgemm: packed[float64], sgemm: packed[float32]}
	}
	return &Engine{
		name:   "gonum (Go)",
		reduce: reduceGo,
		dgemm: func(ta, tb bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
			gonum.Implementation{}.Dgemm(trans(ta), trans(tb), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		},
		sgemm: func(ta, tb bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
			gonum.Implementation{}.Sgemm(trans(ta), trans(tb), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		},
	}
}

func trans(t bool) gonumblas.Transpose {
	if t {
		return gonumblas.Trans
	}
	return gonumblas.NoTrans
}

// library is the engine of the library that was found, else gonum's, looked for once, with what was tried.
var library = sync.OnceValues(func() (*Engine, []string) {
	e, tried := load()
	if e == nil {
		e = Gonum()
	}
	return e, tried
})

// found has the products of package kernel, where a library is not asked for: one is then opened when the first
// decomposition wants it, which takes milliseconds.
var found = sync.OnceValue(func() *Engine {
	lapack := func() *Engine { e, _ := library(); return e }
	if kernel.Multiplies() && (named() == "" || !lapack().library) {
		return &Engine{name: "relupath (" + kernel.Multiplier() + ")", dgemm: panels[float64], sgemm: panels[float32], split: true, lapack: lapack}
	}
	return lapack()
})

// named is the path of a library that Env asks for.
func named() string {
	if v := os.Getenv(Env); v != "none" {
		return v
	}
	return ""
}

// Find returns the fastest engine, looked for once.
func Find() *Engine {
	return found()
}

// Tried lists the libraries that were looked for, with the outcome of each.
func Tried() []string {
	_, tried := library()
	return tried
}
