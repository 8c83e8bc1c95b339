package kernel

import "sync"

// Parallel splits [0, n) into at most threads consecutive ranges of at least
// grain elements and calls f for each, on goroutines of their own when there
// are several. It returns when all are done. The ranges depend on n, threads
// and grain alone.
func Parallel(n, threads, grain int, f func(lo, hi int)) {
	if n <= 0 {
		return
	}
	parts := min(max(threads, 1), (n+max(grain, 1)-1)/max(grain, 1))
	if parts <= 1 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	chunk := (n + parts - 1) / parts
	for lo := chunk; lo < n; lo += chunk {
		wg.Go(func() { f(lo, min(lo+chunk, n)) })
	}
	f(0, chunk)
	wg.Wait()
}
