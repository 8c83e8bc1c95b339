// Sumabs maps a file, sums |w| over it as float32 numbers once on one thread,
// and prints the sum: what whole-process times in docs/performance.md are
// compared with.
package main

import (
	"fmt"
	"math"
	"os"
	"unsafe"

	"github.com/edsrzf/mmap-go"
)

func main() {
	f, err := os.Open(os.Args[1])
	if err != nil {
		panic(err)
	}
	b, err := mmap.Map(f, mmap.RDONLY, 0)
	if err != nil {
		panic(err)
	}
	s := 0.0
	for _, x := range unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(b)/4) {
		s += math.Abs(float64(x))
	}
	fmt.Println(s)
}
