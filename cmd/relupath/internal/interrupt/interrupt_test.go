//go:build unix

package interrupt

import (
	"syscall"
	"testing"
	"time"
)

// A signal that came before anybody asked ends the context, and one that comes later
// another.
func TestContext(t *testing.T) {
	send := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
	}
	send(syscall.SIGTERM)
	for len(early) == 0 {
		time.Sleep(time.Millisecond)
	}
	ctx, stop := Context()
	defer stop()
	if ctx.Err() == nil {
		t.Error("the signal that came before is lost")
	}
	ctx, stop = Context()
	defer stop()
	if ctx.Err() != nil {
		t.Error("a signal counts twice")
	}
	send(syscall.SIGINT)
	<-ctx.Done()
}
