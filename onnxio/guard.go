package onnxio

import (
	"fmt"
	"runtime/debug"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// guard calls do and turns a fault in the memory that f maps into an error: the
// file shrank, or its disk failed, while its pages were read. The operating
// system reports that as a signal that would otherwise end the program. A fault
// elsewhere is passed on, to the guard of the file that it belongs to.
func guard(f *wire.File, path string, do func() error) (err error) {
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
		}); ok && f.Maps(e.Addr()) {
			err = &InvalidError{Path: path, Err: fmt.Errorf("the file changed while it was read (%w): read a copy that nobody writes to", e)}
			return
		}
		panic(r)
	}()
	return do()
}

// Guard calls f, which may read the network's weights, and returns its error,
// or an *InvalidError when the mapped file was cut off meanwhile, so that its
// pages are gone. Without it such an access ends the program. It covers the
// goroutine that it is called on and those of kernel.Parallel below it. Work on
// several models wants the Guard of each, one inside another.
func (m *Model) Guard(f func() error) error { return guard(m.file, m.path, f) }
