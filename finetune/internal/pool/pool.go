// Package pool splits loops over goroutines that stay: unlike a goroutine a
// loop, it allocates nothing.
package pool

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/relupath/relupath/analysis/kernel"
)

// Pool is a fixed number of goroutines. The zero value and nil run everything
// on the caller's.
type Pool struct {
	threads int
	work    chan piece
	wg      sync.WaitGroup
	// panicked is the first panic of a goroutine, which Do passes on.
	panicked atomic.Value
}

type piece struct {
	f      func(lo, hi int)
	lo, hi int
}

// New starts threads-1 goroutines; Close ends them.
func New(threads int) *Pool {
	p := &Pool{threads: max(threads, 1)}
	if p.threads == 1 {
		return p
	}
	work := make(chan piece, p.threads)
	p.work = work
	for range p.threads - 1 {
		go func() {
			for w := range work {
				p.do(w)
			}
		}()
	}
	return p
}

func (p *Pool) do(w piece) {
	defer p.wg.Done()
	defer func() {
		if r := recover(); r != nil {
			p.panicked.CompareAndSwap(nil, fmt.Sprint(kernel.Traced(r)))
		}
	}()
	w.f(w.lo, w.hi)
}

// Threads returns the number of goroutines, the caller's included.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return max(p.threads, 1)
}

// Do splits [0, n) into at most Threads consecutive ranges of at least grain elements, calls f for
// each and returns when all are done. A panic of any f is one of the caller's. The ranges depend
// on n, grain and the number of threads alone. Calls must not nest or overlap.
func (p *Pool) Do(n, grain int, f func(lo, hi int)) {
	if n <= 0 {
		return
	}
	parts := max(1, min(p.Threads(), n/max(grain, 1)))
	if parts == 1 {
		f(0, n)
		return
	}
	chunk := (n + parts - 1) / parts
	for lo := chunk; lo < n; lo += chunk {
		p.wg.Add(1)
		p.work <- piece{f, lo, min(lo+chunk, n)}
	}
	f(0, chunk)
	p.wg.Wait()
	if r := p.panicked.Load(); r != nil {
		panic(r)
	}
}

// Close ends the goroutines.
func (p *Pool) Close() {
	if p != nil && p.work != nil {
		close(p.work)
		p.work = nil
	}
}
