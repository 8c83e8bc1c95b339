//go:build !(darwin || dragonfly || freebsd || linux || netbsd)

package memory

import "math"

// addresses is no limit.
func addresses() int64 { return math.MaxInt64 }
