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
	beside  sync.WaitGroup // of what Start started
	// panicked is the first panic of a goroutine, which Do and Wait pass on.
	panicked atomic.Value
}

type piece struct {
	f      func(lo, hi int)
	lo, hi int
	of     *sync.WaitGroup
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
	defer w.of.Done()
	defer func() {
		if r := recover(); r != nil {
			p.panicked.CompareAndSwap(nil, fmt.Sprint(kernel.Traced(r)))
		}
	}()
	w.f(w.lo, w.hi)
}

// Start calls f(0, 1), which must not call Do, beside the caller; where there is one thread, at once. Call Wait
// before the next Start.
func (p *Pool) Start(f func(lo, hi int)) {
	if p.Threads() == 1 {
		f(0, 1)
		return
	}
	p.beside.Add(1)
	p.work <- piece{f, 0, 1, &p.beside}
}

// Wait returns when what Start started is done. A panic of it is one of the caller's.
func (p *Pool) Wait() {
	if p.Threads() > 1 {
		p.wait(&p.beside)
	}
}

func (p *Pool) wait(of *sync.WaitGroup) {
	of.Wait()
	if r := p.panicked.Load(); r != nil {
		panic(r)
	}
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
		p.work <- piece{f, lo, min(lo+chunk, n), &p.wg}
	}
	f(0, chunk)
	for waiting := true; waiting; { // for a goroutine that does something else
		select {
		case w := <-p.work:
			p.do(w)
		default:
			waiting = false
		}
	}
	p.wait(&p.wg)
}

// Close ends the goroutines.
func (p *Pool) Close() {
	if p != nil && p.work != nil {
		close(p.work)
		p.work = nil
	}
}
