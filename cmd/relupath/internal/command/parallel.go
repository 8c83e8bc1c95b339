package command

import (
	"context"
	"sync"
	"time"
)

// inOrder computes f for each of n indices from the given number of goroutines
// and hands every result to take in order, as soon as those before it are
// taken. A cancelled context, or an error of take, ends it: no further index is
// begun, what is under way is waited for, after a cancellation for a moment only,
// and results without a gap before them are still taken. A panic of f is its
// error. It returns the context's error or take's.
func inOrder[T any](ctx context.Context, jobs, n int, f func(i int) (T, error), take func(i int, v T, err error) error) error {
	type result struct {
		v   T
		err error
	}
	var mu sync.Mutex
	waiting := map[int]result{}
	next, begun := 0, 0
	var failed error
	var wg sync.WaitGroup
	for range max(1, min(jobs, n)) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := begun
				if i >= n || failed != nil || ctx.Err() != nil {
					mu.Unlock()
					return
				}
				begun++
				mu.Unlock()
				var v T
				err := recovered(func() (err error) {
					v, err = f(i)
					return err
				})
				mu.Lock()
				if err == nil || ctx.Err() == nil {
					waiting[i] = result{v, err}
				}
				for failed == nil {
					r, ok := waiting[next]
					if !ok {
						break
					}
					delete(waiting, next)
					failed = take(next, r.v, r.err)
					next++
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		select {
		case <-done:
		case <-time.After(patience / 2):
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if failed == nil {
		failed = ctx.Err() // what is not done yet is not taken any more
	}
	return failed
}
