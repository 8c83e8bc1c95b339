package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// streams is everything a command reads from and writes to besides files.
type streams struct {
	in       io.Reader
	out, err io.Writer
	// width is the terminal's, 0 when out is none.
	width int
	// live says that err is a terminal, where progress may be drawn.
	live bool
	// drained says that in was read: it is there once.
	drained bool
}

// gate is a writer that remembers its first failure, for what writes and does not
// look, as the printing of help, and that can be closed before work is left alone
// that still writes.
type gate struct {
	w   io.Writer
	err error
	mu  sync.Mutex
	end bool
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.end {
		return 0, context.Canceled
	}
	n, err := g.w.Write(p)
	if g.err == nil {
		g.err = err
	}
	return n, err
}

// close ends all writing, but for a write that the receiver holds up.
func (g *gate) close() {
	if g.mu.TryLock() {
		g.end = true
		g.mu.Unlock()
	}
}

func newStreams(in io.Reader, out, err io.Writer) streams {
	s := streams{in: in, out: out, err: err}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, e := term.GetSize(int(f.Fd())); e == nil {
			s.width = w
		}
	}
	if f, ok := err.(*os.File); ok {
		s.live = term.IsTerminal(int(f.Fd()))
	}
	return s
}

// warn tells something beside the result, unless --quiet.
func (a *app) warn(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, "relupath: "+format+"\n", args...)
	}
}

// readIn reads standard input to its end. A cancelled context ends the wait:
// the read itself cannot be interrupted. A second call is wrong usage.
func (a *app) readIn(ctx context.Context) ([]byte, error) {
	if a.drained {
		return nil, usagef("standard input can be read once: give - for one file only")
	}
	a.drained = true
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(a.in)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("standard input: %w", r.err)
		}
		return r.data, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// progress draws a bar of n steps on a terminal; elsewhere, and with --quiet,
// it draws nothing. The bar appears after a moment, so that short work shows
// none.
func (a *app) progress(n int, what string) *progressbar.ProgressBar {
	if a.quiet || !a.live {
		return progressbar.DefaultSilent(int64(n))
	}
	return progressbar.NewOptions(n,
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetWriter(a.err),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionShowCount(),
		progressbar.OptionSetRenderBlankState(false),
	)
}

// report writes a result to a file, or to standard output for "" and "-".
func (a *app) report(d *render.Document, path string, old existing) error {
	if path == "" || path == stdStream {
		return a.reportTo(a.out, d)
	}
	return a.save(path, old, func(w io.Writer) error {
		return render.Write(w, d, render.Options{Format: render.Format(a.format)})
	})
}

// reportTo writes a result to one of the streams.
func (a *app) reportTo(w io.Writer, d *render.Document) error {
	a.keepRest()
	return render.Write(w, d, render.Options{Format: render.Format(a.format), Width: a.width})
}
