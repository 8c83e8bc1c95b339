//go:build darwin || dragonfly || freebsd || linux || netbsd

package dataset

import (
	"io/fs"
	"syscall"
)

// onDisk is the bytes that a file takes on the disk: less than its size where it is
// sparse, that is, has parts that were never written.
func onDisk(info fs.FileInfo) int64 {
	const block = 512 // of st_blocks, by POSIX
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * block
	}
	return info.Size()
}
