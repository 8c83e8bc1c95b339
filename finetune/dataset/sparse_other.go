//go:build !(darwin || dragonfly || freebsd || linux || netbsd)

package dataset

import "io/fs"

// onDisk is the file's size.
func onDisk(info fs.FileInfo) int64 { return info.Size() }
