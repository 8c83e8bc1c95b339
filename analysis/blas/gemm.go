//go:build !noblas && (linux || darwin)

package blas

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// gemmArgs are the scalars of one call, of which Fortran takes the addresses,
// and the addresses.
type gemmArgs[T float32 | float64] struct {
	transA, transB         byte
	m, n, k, lda, ldb, ldc int32
	alpha, beta            T
	args                   [13]uintptr
}

// gemmOf returns the product at an address, by its Fortran interface: with
// addresses alone it can be called without reflection, which cblas_sgemm's
// floating-point arguments would need, and so without an allocation.
//
// A row-major matrix is the transpose of the column-major one in the same
// memory, so C = op(A) op(B) is computed as C' = op(B)' op(A)'.
func gemmOf[T float32 | float64](addr uintptr) gemm[T] {
	pool := sync.Pool{New: func() any { return new(gemmArgs[T]) }}
	return func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
		s := pool.Get().(*gemmArgs[T])
		s.transA, s.transB = letter(transA), letter(transB)
		s.m, s.n, s.k, s.lda, s.ldb, s.ldc = int32(m), int32(n), int32(k), int32(lda), int32(ldb), int32(ldc)
		s.alpha, s.beta = alpha, beta
		// Numbers do not keep what they point to alive. It lies on the heap: the
		// slices because this function is called by a variable only.
		s.args = [13]uintptr{
			uintptr(unsafe.Pointer(&s.transB)), uintptr(unsafe.Pointer(&s.transA)),
			uintptr(unsafe.Pointer(&s.n)), uintptr(unsafe.Pointer(&s.m)), uintptr(unsafe.Pointer(&s.k)),
			uintptr(unsafe.Pointer(&s.alpha)),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&s.ldb)),
			uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(unsafe.Pointer(&s.lda)),
			uintptr(unsafe.Pointer(&s.beta)),
			uintptr(unsafe.Pointer(unsafe.SliceData(c))), uintptr(unsafe.Pointer(&s.ldc)),
		}
		purego.SyscallN(addr, s.args[:]...)
		runtime.KeepAlive(a)
		runtime.KeepAlive(b)
		runtime.KeepAlive(c)
		pool.Put(s)
	}
}

func letter(trans bool) byte {
	if trans {
		return 'T'
	}
	return 'N'
}
