//go:build !noblas && (linux || darwin)

package blas

import (
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// gemmArgs are the scalars of one call: Fortran takes the addresses of all of
// them.
type gemmArgs[T float32 | float64] struct {
	transA, transB         byte
	m, n, k, lda, ldb, ldc int32
	alpha, beta            T
}

// gemmOf returns the product at an address, by its Fortran interface: with
// addresses alone it can be called without reflection, which cblas_sgemm's
// floating-point arguments would need, and so without an allocation.
//
// A row-major matrix is the transpose of the column-major one in the same
// memory, so C = op(A) op(B) is computed as C' = op(B)' op(A)'.
func gemmOf[T float32 | float64](addr uintptr) func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	pool := sync.Pool{New: func() any { return new(gemmArgs[T]) }}
	return func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
		s := pool.Get().(*gemmArgs[T])
		*s = gemmArgs[T]{letter(transA), letter(transB), int32(m), int32(n), int32(k), int32(lda), int32(ldb), int32(ldc), alpha, beta}
		purego.SyscallN(addr,
			uintptr(unsafe.Pointer(&s.transB)), uintptr(unsafe.Pointer(&s.transA)),
			uintptr(unsafe.Pointer(&s.n)), uintptr(unsafe.Pointer(&s.m)), uintptr(unsafe.Pointer(&s.k)),
			uintptr(unsafe.Pointer(&s.alpha)),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&s.ldb)),
			uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(&s.lda)),
			uintptr(unsafe.Pointer(&s.beta)),
			uintptr(unsafe.Pointer(unsafe.SliceData(c))), uintptr(unsafe.Pointer(&s.ldc)))
		pool.Put(s)
	}
}

func letter(trans bool) byte {
	if trans {
		return 'T'
	}
	return 'N'
}
