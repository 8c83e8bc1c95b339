//go:build unix

package wire

import "golang.org/x/sys/unix"

// release gives up mapped pages. It is advice: that it fails does not matter.
func release(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
