package onnxio

import (
	"errors"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// guard calls do; a fault in the memory that f maps is an *InvalidError.
func guard(f *wire.File, path string, do func() error) error {
	err := f.Guard(do)
	var c *wire.ChangedError
	var known *InvalidError
	if errors.As(err, &c) && !errors.As(err, &known) {
		return &InvalidError{Path: path, Err: c}
	}
	return err
}

// Guard calls f, which may read the network's weights, and returns its error,
// or an *InvalidError when the mapped file was cut off meanwhile, so that its
// pages are gone. Without it such an access ends the program. It covers the
// goroutine that it is called on and those of kernel.Parallel below it. Work on
// several models wants the Guard of each, one inside another.
func (m *Model) Guard(f func() error) error { return guard(m.file, m.path, f) }
