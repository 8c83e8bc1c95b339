//go:build darwin || dragonfly || freebsd || linux || netbsd

package memory

import (
	"math"

	"golang.org/x/sys/unix"
)

// addresses is the limit on this process's addresses.
func addresses() int64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_AS, &r) != nil || uint64(r.Cur) > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(r.Cur)
}
