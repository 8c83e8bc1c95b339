package kernel

import (
	"runtime/debug"
	"sync"
)

// Parallel splits [0, n) into at most threads consecutive ranges of at least
// grain elements and calls f for each, on goroutines of their own when there
// are several. It returns when all are done. The ranges depend on n, threads
// and grain alone. A caller that has memory faults raised as panics (see
// debug.SetPanicOnFault) gets those of the other goroutines too.
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
	var fault struct {
		sync.Mutex
		value any
	}
	var wg sync.WaitGroup
	chunk := (n + parts - 1) / parts
	for lo := chunk; lo < n; lo += chunk {
		wg.Go(func() {
			if onFault {
				debug.SetPanicOnFault(true)
				defer func() {
					if r := recover(); r != nil {
						fault.Lock()
						fault.value = r
						fault.Unlock()
					}
				}()
			}
			f(lo, min(lo+chunk, n))
		})
	}
	func() {
		defer wg.Wait()
		f(0, chunk)
	}()
	if fault.value != nil {
		panic(fault.value)
	}
}
