//go:build !(darwin || dragonfly || freebsd || linux || netbsd)

package dataset

import (
	"io/fs"
	"math"
)

// addresses is no limit.
func addresses() int64 { return math.MaxInt64 }

// onDisk is the file's size.
func onDisk(info fs.FileInfo) int64 { return info.Size() }
