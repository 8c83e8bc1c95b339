package blas

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A product is split into tiles, which depend on its dimensions alone, and a tile is
// computed on one thread: how many threads there are, and which tile each of them
// takes, changes no bit. A library's own threads would split the product by their
// number, and the ends of a share are summed in another order than its middle.
const (
	// smallProduct is the largest product (multiplications) that is not split.
	smallProduct = 1 << 20
	// mostTiles and leastWidth bound the tiles: each of them packs the smaller
	// operand again.
	mostTiles, leastWidth = 8, 64
)

// tileWidth is the width of the tiles of an m x n x k product along the longer side
// of its result, a multiple of what a library's innermost loops take.
func tileWidth(m, n, k int) int {
	long := max(m, n)
	if float64(m)*float64(n)*float64(k) <= smallProduct {
		return long
	}
	return max(leastWidth, (long+mostTiles*leastWidth-1)/(mostTiles*leastWidth)*leastWidth)
}

// threads is the number of threads of all products, 0 as many as Go has. helping
// is how many goroutines run tiles for a caller.
var threads, helping atomic.Int64

// SetThreads sets the number of threads that later products of all engines share; 0
// is runtime.GOMAXPROCS. It changes the time that they take, and no result.
func SetThreads(n int) { threads.Store(int64(n)) }

// help reports whether another goroutine may run tiles, which then ends with
// helping.Add(-1). A caller that itself is one of several gets what those leave: a
// library bounds the number of its callers.
func help() bool {
	n := threads.Load()
	if n <= 0 {
		n = int64(runtime.GOMAXPROCS(0))
	}
	if helping.Add(1) < n {
		return true
	}
	helping.Add(-1)
	return false
}

// tiles calls f for each tile of [0, n).
func tiles(n, width int, f func(lo, hi int)) {
	count := (n + width - 1) / width
	var next atomic.Int64
	work := func() {
		for k := int(next.Add(1)) - 1; k < count; k = int(next.Add(1)) - 1 {
			f(k*width, min(n, (k+1)*width))
		}
	}
	var wg sync.WaitGroup
	for range count - 1 {
		if !help() {
			break
		}
		wg.Go(func() {
			defer helping.Add(-1)
			work()
		})
	}
	work()
	wg.Wait()
}
