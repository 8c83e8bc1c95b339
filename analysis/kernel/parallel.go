package kernel

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Parallel splits [0, n) into at most threads consecutive ranges of at least
// grain elements and calls f for each, on goroutines of their own when there
// are several. It returns when all are done. The ranges depend on n, threads
// and grain alone. A panic of any f is one of the caller's goroutine; memory
// faults are among them where the caller has them raised as panics (see
// debug.SetPanicOnFault).
func Parallel(n, threads, grain int, f func(lo, hi int)) {
	if n <= 0 {
		return
	}
	parts := min(max(threads, 1), (n+max(grain, 1)-1)/max(grain, 1))
	if parts <= 1 {
		f(0, n)
		return
	}
	// The setting belongs to a goroutine and is not inherited.
	onFault := debug.SetPanicOnFault(false)
	debug.SetPanicOnFault(onFault)
	var failed struct {
		sync.Mutex
		value any
	}
	var wg sync.WaitGroup
	chunk := (n + parts - 1) / parts
	for lo := chunk; lo < n; lo += chunk {
		wg.Go(func() {
			debug.SetPanicOnFault(onFault)
			defer func() {
				if r := recover(); r != nil {
					failed.Lock()
					failed.value = Traced(r)
					failed.Unlock()
				}
			}()
			f(lo, min(lo+chunk, n))
		})
	}
	func() {
		defer wg.Wait()
		f(0, chunk)
	}()
	if failed.value != nil {
		panic(failed.value)
	}
}

// InTurn runs a worker on each of at most threads goroutines. Take gives it the next
// range of [0, n), at least grain of them, and an empty one at the end. Panics are as
// with Parallel.
func InTurn(n, threads, grain int, worker func(take func() (lo, hi int))) {
	var next atomic.Int64
	threads = max(1, min(threads, (n+grain-1)/grain))
	Parallel(threads, threads, 1, func(_, _ int) {
		worker(func() (int, int) {
			hi := int(next.Add(int64(grain)))
			return min(hi-grain, n), min(hi, n)
		})
	})
}

// Traced is the value of a panic that is to go on in another goroutine: with the
// trace of this one, but for a memory fault, whose address its guard looks for.
func Traced(r any) any {
	if _, fault := r.(interface{ Addr() uintptr }); fault {
		return r
	}
	return fmt.Sprintf("%v\n\n%s", r, debug.Stack())
}
