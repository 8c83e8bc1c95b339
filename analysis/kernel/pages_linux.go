package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// largePage is the size of a large page of memory.
const largePage = 2 << 20

// LargePages asks for large pages where v lies, unless that is small, and returns it: the first
// touch of a small page, of which there are 512 in each, costs more than the computation of its
// numbers often does. The ends of v are often in the midst of a page, which others share then.
func LargePages[T byte | float64](v []T) []T {
	size := uintptr(len(v)) * unsafe.Sizeof(*new(T))
	if size < largePage/2 {
		return v
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(v)))
	from, to := at&^(largePage-1), (at+size+largePage-1)&^(largePage-1)
	// It is advice: without it all works as before.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_HUGEPAGE)
	return v
}
