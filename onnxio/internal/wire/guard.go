package wire

import (
	"fmt"
	"runtime/debug"
)

// ChangedError says that a mapped file was cut off, or its disk failed, while
// its pages were read.
type ChangedError struct{ Err error }

// Error says what happened and what to do.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("the file changed while it was read (%v): read a copy that nobody writes to", e.Err)
}

// Unwrap returns the fault.
func (e *ChangedError) Unwrap() error { return e.Err }

// Guard calls do and turns a fault in the memory to which the file is mapped
// into a *ChangedError: the operating system reports it as a signal that would
// otherwise end the program. A fault elsewhere is passed on, to the guard of the
// file that it belongs to.
func (f *File) Guard(do func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if e, ok := r.(interface {
			error
			Addr() uintptr
		}); ok && f.maps(e.Addr()) {
			err = &ChangedError{e}
			return
		}
		panic(r)
	}()
	return do()
}
