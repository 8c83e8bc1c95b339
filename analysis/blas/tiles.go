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

// tiling is a product in tiles. It is used again, and its goroutines stay: a
// product allocates nothing.
type tiling[T float32 | float64] struct {
	f              gemm[T]
	transA, transB bool
	m, n, k        int
	alpha, beta    T
	a, b, c        []T
	lda, ldb, ldc  int

	width int
	next  atomic.Int64
	wg    sync.WaitGroup
}

var tilings32, tilings64 sync.Pool

func tilings[T float32 | float64]() *sync.Pool {
	if _, single := any(T(0)).(float32); single {
		return &tilings32
	}
	return &tilings64
}

func reused[T float32 | float64]() *tiling[T] {
	if t, ok := tilings[T]().Get().(*tiling[T]); ok {
		return t
	}
	return new(tiling[T])
}

// do computes all tiles, with the goroutines that may help.
func (t *tiling[T]) do() {
	t.next.Store(0)
	for range (max(t.m, t.n)+t.width-1)/t.width - 1 {
		if !help() {
			break
		}
		t.wg.Add(1)
		hand(t)
	}
	t.work()
	t.wg.Wait()
	t.f, t.a, t.b, t.c = nil, nil, nil, nil
	tilings[T]().Put(t)
}

// work computes tiles until there are none left: of columns where the result is
// wider than high, else of rows.
func (t *tiling[T]) work() {
	long := max(t.m, t.n)
	for {
		lo := int(t.next.Add(1)-1) * t.width
		if lo >= long {
			return
		}
		n := min(t.width, long-lo)
		if t.n >= t.m {
			step := 1
			if t.transB {
				step = t.ldb
			}
			t.f(t.transA, t.transB, t.m, n, t.k, t.alpha, t.a, t.lda, t.b[lo*step:], t.ldb, t.beta, t.c[lo:], t.ldc)
			continue
		}
		step := t.lda
		if t.transA {
			step = 1
		}
		t.f(t.transA, t.transB, n, t.n, t.k, t.alpha, t.a[lo*step:], t.lda, t.b, t.ldb, t.beta, t.c[lo*t.ldc:], t.ldc)
	}
}

// help works for another goroutine.
func (t *tiling[T]) help() {
	defer t.wg.Done()
	defer helping.Add(-1)
	t.work()
}

// idle is where goroutines that have helped wait for more.
var idle = make(chan interface{ help() })

// hand gives a product to a goroutine that waits, or to a new one.
func hand(t interface{ help() }) {
	select {
	case idle <- t:
	default:
		go func() {
			t.help()
			for t := range idle {
				t.help()
			}
		}()
	}
}
