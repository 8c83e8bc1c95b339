package onnxio

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// small is the size of files that are not worth a reservation.
const small = 1 << 20

// allocate reserves the blocks of a new file at once, which costs less than to
// find them write by write, and tells early that the disk is full. File systems
// that cannot do it are left alone.
func allocate(f *os.File, size int64) error {
	if size < small {
		return nil
	}
	err := unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return err
	}
	return nil
}
