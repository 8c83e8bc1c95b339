// Package blas finds the fastest matrix product that the machine offers: the
// OpenBLAS library, loaded at run time without cgo, else gonum's in Go.
//
// All matrices are row-major. The environment variable RELUPATH_BLAS picks the
// library: a path to load, or "none" for the engine in Go. The build tag noblas
// leaves the loader out, for a static binary.
package blas

import (
	"math"
	"sync"
	"sync/atomic"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// Env names the environment variable that picks the library: a path to load,
// or "none" for the engine in Go. It has no effect on builds with noblas.
const Env = "RELUPATH_BLAS"

// Engine is one implementation of the products. It is safe for concurrent use.
type Engine struct {
	name  string
	dgemm func(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int)
	sgemm func(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int)
	// setThreads and threads are nil where the engine has no threads of its own.
	setThreads func(n int)
	threads    func() int

	// alone counts the callers of Alone, before is the number of threads that the
	// last of them gives back.
	mu     sync.Mutex
	alone  int
	before int
	// svd gives singular values of a column-major matrix; nil where the library
	// has no LAPACK.
	svd func(m, n int, a []float64) ([]float64, error)
	// eigen gives eigenvalues, in increasing order, and in place of a symmetric
	// matrix the eigenvectors as rows; nil where the library has no LAPACK.
	eigen func(n int, a []float64) ([]float64, error)
}

// Name says what the engine is, with its version.
func (e *Engine) Name() string { return e.name }

// Dgemm computes C = alpha op(A) op(B) + beta C: C is m x n, op(A) m x k,
// op(B) k x n, with leading dimensions (row strides) lda, ldb, ldc. With beta
// 0, C is not read. It panics when a slice is too short.
func (e *Engine) Dgemm(transA, transB bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
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
	e.dgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Sgemm is Dgemm in float32.
func (e *Engine) Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
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
	e.sgemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// SetThreads sets the number of threads of later products, where the engine
// has threads of its own to set. It is process-wide.
func (e *Engine) SetThreads(n int) {
	if e.setThreads != nil && n > 0 {
		e.setThreads(n)
	}
}

// Threads returns the number of threads of products; 1 for an engine without
// threads of its own.
func (e *Engine) Threads() int {
	if e.threads == nil {
		return 1
	}
	return e.threads()
}

// Alone makes each product run on the thread that calls it until release is
// called, for callers that split their work over goroutines themselves: threads
// of the library would wait for the next product on the processors that the
// goroutines want. It counts: the last release brings back the threads. It is
// process-wide, as SetThreads is, which must not be called in between.
func (e *Engine) Alone() (release func()) {
	if e.threads == nil {
		return func() {}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.alone++; e.alone == 1 {
		if e.before = e.threads(); e.before > 1 {
			e.setThreads(1)
		}
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.alone--; e.alone == 0 && e.before > 1 {
			e.setThreads(e.before)
		}
	}
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

// Gonum returns the engine in Go, which is always there.
func Gonum() *Engine {
	return &Engine{
		name: "gonum (Go)",
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

// first is the number of threads that Find's engine begins with; 0 leaves the
// engine's own.
var first atomic.Int64

var found = sync.OnceValues(func() (*Engine, []string) {
	e, tried := load()
	if e == nil {
		e = Gonum()
	}
	e.SetThreads(int(first.Load()))
	return e, tried
})

// Limit sets the number of threads that the engine of a later first call of Find
// begins with: a program that may need no product at all need not load a library
// to say so. After that call it has no effect; see Engine.SetThreads.
func Limit(n int) { first.Store(int64(n)) }

// Find returns the fastest engine, looked for once.
func Find() *Engine {
	e, _ := found()
	return e
}

// Tried lists the libraries that Find looked for, with the outcome of each.
func Tried() []string {
	_, tried := found()
	return tried
}
