package eval

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// largePage is the size of a large page of memory.
const largePage = 2 << 20

// largePages asks for large pages where v lies: the first touch of a small one, of which
// there are 512 in each, costs more than the computation of its numbers often does.
func largePages(v []float64) {
	if len(v)*8 < 2*largePage {
		return
	}
	at := uintptr(unsafe.Pointer(&v[0]))
	skip := int(-at % largePage)
	b := unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*8)[skip:]
	// It is advice: without it all works as before.
	_ = unix.Madvise(b[:len(b)/largePage*largePage], unix.MADV_HUGEPAGE)
}
