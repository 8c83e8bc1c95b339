package onnxio

import (
	"fmt"
	"runtime/debug"
)

// guard calls f and turns a fault in mapped memory into an error: the file
// shrank, or its disk failed, while its pages were read. The operating system
// reports that as a signal that would otherwise end the program.
func guard(path string, f func() error) (err error) {
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
		}); ok {
			err = &InvalidError{Path: path, Err: fmt.Errorf("the file changed while it was read (%v): read a copy that nobody writes to", e)}
			return
		}
		panic(r)
	}()
	return f()
}

// Guard calls f, which may read the network's weights, and returns its error,
// or an *InvalidError when the mapped file was cut off meanwhile, so that its
// pages are gone. Without it such an access ends the program. It covers the
// goroutine that it is called on and those of kernel.Parallel below it.
func (m *Model) Guard(f func() error) error { return guard(m.path, f) }
