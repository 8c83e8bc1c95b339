// Copyonce reads a file once and writes it once, through one buffer on one
// thread, and prints the seconds: what docs/performance.md compares the read,
// factors and write of balance with.
package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// size of the buffer: within the second-level cache.
const size = 1 << 18

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: copyonce FROM TO")
		os.Exit(2)
	}
	start := time.Now()
	if err := copyOnce(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(time.Since(start).Seconds())
}

// copyOnce makes a new file: one that is there already would be emptied first.
func copyOnce(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	buf := make([]byte, size)
	for {
		// Single calls of read and write: io.Copy would let the kernel copy.
		n, err := src.Read(buf)
		if err == io.EOF {
			return dst.Close()
		}
		if err != nil {
			return err
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return err
		}
	}
}
