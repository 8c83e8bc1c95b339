// Package interrupt takes the signals that end a command from the first moment at which
// a Go program can: it imports nothing but the signals, so that it is initialised before
// the packages that take time. Before that moment, some two milliseconds after the start,
// a signal ends the process as the system would.
package interrupt

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// early has the signals that come before Context is called.
var early = notified()

var stopEarly sync.Once

func notified() chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt, syscall.SIGTERM)
	return c
}

// Context returns a context that ends with the first signal to interrupt or to
// terminate, those included that came before. Another signal then ends the process.
// stop gives the signals up.
func Context() (ctx context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	c := notified()
	stop = sync.OnceFunc(func() {
		signal.Stop(c)
		cancel()
	})
	stopEarly.Do(func() {
		signal.Stop(early)
		select {
		case <-early:
			stop()
		default:
		}
	})
	go func() {
		select {
		case <-c:
			stop()
		case <-ctx.Done():
		}
	}()
	return ctx, stop
}
