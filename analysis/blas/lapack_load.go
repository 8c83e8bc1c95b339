//go:build !noblas && (linux || darwin)

package blas

import (
	"fmt"
	"math"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// svdOf returns dgesdd of a library, for values alone, on column-major matrices;
// nil where the library has no LAPACK.
func svdOf(lib uintptr) func(m, n int, a []float64) ([]float64, error) {
	p, err := purego.Dlsym(lib, "dgesdd_")
	if err != nil {
		return nil
	}
	// The last argument is the hidden length of the first, a Fortran string.
	var dgesdd func(jobz *byte, m, n *int32, a unsafe.Pointer, lda *int32, s, u unsafe.Pointer, ldu *int32, vt unsafe.Pointer,
		ldvt *int32, work unsafe.Pointer, lwork *int32, iwork unsafe.Pointer, info *int32, length uintptr)
	purego.RegisterFunc(&dgesdd, p)
	return func(m, n int, a []float64) ([]float64, error) {
		k := min(m, n)
		s, iwork := make([]float64, k), make([]int32, 8*k)
		job, one, info := byte('N'), int32(1), int32(0)
		rows, cols := int32(m), int32(n)
		var unused float64
		call := func(work []float64, size int32) {
			dgesdd(&job, &rows, &cols, unsafe.Pointer(unsafe.SliceData(a)), &rows, unsafe.Pointer(unsafe.SliceData(s)),
				unsafe.Pointer(&unused), &one, unsafe.Pointer(&unused), &one,
				unsafe.Pointer(unsafe.SliceData(work)), &size, unsafe.Pointer(unsafe.SliceData(iwork)), &info, 1)
		}
		query := make([]float64, 1)
		call(query, -1)
		if !(query[0] >= 1 && query[0] <= math.MaxInt32) {
			return nil, fmt.Errorf("blas: dgesdd of %d x %d asks for %v numbers of work space", m, n, query[0])
		}
		work := make([]float64, int(query[0]))
		if call(work, int32(len(work))); info != 0 {
			return nil, fmt.Errorf("blas: dgesdd of %d x %d: info %d", m, n, info)
		}
		return s, nil
	}
}

// eigenOf returns dsyevd of a library, whose vectors are rows where the library has
// columns; nil where the library has no LAPACK.
func eigenOf(lib uintptr) func(n int, a []float64) ([]float64, error) {
	p, err := purego.Dlsym(lib, "dsyevd_")
	if err != nil {
		return nil
	}
	// The last arguments are the hidden lengths of the first two, Fortran strings.
	var dsyevd func(jobz, uplo *byte, n *int32, a unsafe.Pointer, lda *int32, w, work unsafe.Pointer, lwork *int32,
		iwork unsafe.Pointer, liwork, info *int32, length1, length2 uintptr)
	purego.RegisterFunc(&dsyevd, p)
	return func(n int, a []float64) ([]float64, error) {
		w := make([]float64, n)
		job, half, size, info := byte('V'), byte('U'), int32(n), int32(0)
		call := func(work []float64, lwork int32, iwork []int32, liwork int32) {
			dsyevd(&job, &half, &size, unsafe.Pointer(unsafe.SliceData(a)), &size, unsafe.Pointer(unsafe.SliceData(w)),
				unsafe.Pointer(unsafe.SliceData(work)), &lwork, unsafe.Pointer(unsafe.SliceData(iwork)), &liwork, &info, 1, 1)
		}
		query, iquery := make([]float64, 1), make([]int32, 1)
		call(query, -1, iquery, -1)
		if !(query[0] >= 1 && query[0] <= math.MaxInt32) || iquery[0] < 1 {
			return nil, fmt.Errorf("blas: dsyevd of %d x %d asks for %v numbers of work space", n, n, query[0])
		}
		work, iwork := make([]float64, int(query[0])), make([]int32, iquery[0])
		if call(work, int32(len(work)), iwork, int32(len(iwork))); info != 0 {
			return nil, fmt.Errorf("blas: dsyevd of %d x %d: info %d", n, n, info)
		}
		return w, nil
	}
}

// reduceOf returns dsytrd of a library, of the elements on and below the diagonal: the diagonal and what is beside it, with
// one element more; nil where the library has no LAPACK.
func reduceOf(lib uintptr) func(n int, a []float64) (d, e []float64, err error) {
	p, err := purego.Dlsym(lib, "dsytrd_")
	if err != nil {
		return nil
	}
	// The last argument is the hidden length of the first, a Fortran string.
	var dsytrd func(uplo *byte, n *int32, a unsafe.Pointer, lda *int32, d, e, tau, work unsafe.Pointer, lwork, info *int32, length uintptr)
	purego.RegisterFunc(&dsytrd, p)
	var rooms sync.Pool
	return func(n int, a []float64) (d, e []float64, err error) {
		// Blocks of dsytrd are of 32 columns.
		const block = 32
		room, _ := rooms.Get().(*[]float64)
		if room == nil || len(*room) < (block+1)*n {
			fresh := make([]float64, (block+1)*n)
			room = &fresh
		}
		defer rooms.Put(room)
		d, e = make([]float64, n), make([]float64, n)
		tau, work := (*room)[:n], (*room)[n:(block+1)*n]
		half, size, lwork, info := byte('U'), int32(n), int32(len(work)), int32(0)
		dsytrd(&half, &size, unsafe.Pointer(unsafe.SliceData(a)), &size, unsafe.Pointer(unsafe.SliceData(d)), unsafe.Pointer(unsafe.SliceData(e)),
			unsafe.Pointer(unsafe.SliceData(tau)), unsafe.Pointer(unsafe.SliceData(work)), &lwork, &info, 1)
		if info != 0 {
			return nil, nil, fmt.Errorf("blas: dsytrd of %d x %d: info %d", n, n, info)
		}
		return d, e, nil
	}
}
