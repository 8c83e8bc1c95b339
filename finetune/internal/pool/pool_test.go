package pool

import (
	"strings"
	"testing"
)

// TestPanic: a panic of another goroutine is the caller's, and the pool is whole
// until then.
func TestPanic(t *testing.T) {
	p := New(3)
	defer p.Close()
	p.Do(3, 1, func(int, int) {})
	defer func() {
		if r, _ := recover().(string); !strings.HasPrefix(r, "broken") {
			t.Errorf("recovered %q", r)
		}
	}()
	p.Do(3, 1, func(lo, _ int) {
		if lo == 2 {
			panic("broken")
		}
	})
	t.Error("no panic")
}
