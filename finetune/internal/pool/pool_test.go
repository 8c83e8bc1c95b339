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

// TestStart: while a function runs, the caller does all ranges of a loop, if no other goroutine is free; the
// function's panic is that of the one who waits.
func TestStart(t *testing.T) {
	p := New(2)
	defer p.Close()
	begun, end := make(chan bool), make(chan bool)
	p.Start(func(int, int) {
		close(begun)
		<-end
		panic("broken")
	})
	<-begun
	n := 0
	p.Do(10, 1, func(lo, hi int) { n += hi - lo }) // on this goroutine, since the other one waits
	if n != 10 {
		t.Errorf("%d of 10 are done", n)
	}
	defer func() {
		if r, _ := recover().(string); !strings.HasPrefix(r, "broken") {
			t.Errorf("recovered %q", r)
		}
	}()
	close(end)
	p.Wait()
	t.Error("no panic")
}
