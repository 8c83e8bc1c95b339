package heap

import (
	"syscall"
	"unsafe"
)

const (
	largePage = 2 << 20
	// These are kinds of advice of madvise(2). An older system does not know the second.
	hugePage      = 14
	populateWrite = 23
)

func init() {
	// An object in the heap, which grows upwards from there by four megabytes.
	object := make([]byte, syscall.Getpagesize())
	from := uintptr(unsafe.Pointer(&object[0])) &^ (largePage - 1)
	// The first large page is in use by now, in small ones. It is advice: without it all works as before.
	_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, from, largePage, populateWrite)
	_, _, _ = syscall.RawSyscall(syscall.SYS_MADVISE, from+largePage, largePage, hugePage)
}
