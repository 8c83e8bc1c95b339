//go:build !linux

package kernel

// LargePages returns v: large pages are asked for on Linux alone.
func LargePages[T byte | float64](v []T) []T { return v }
