package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// streams is everything a command reads from and writes to besides files.
type streams struct {
	in  io.Reader
	out io.Writer
	// err makes what it is given visible: all that the program says goes
	// through it, but for the status.
	err io.Writer
	// status says on a terminal what goes on; nil where err is none.
	status *status
	// width is the terminal's, 0 when out is none.
	width int
	// drained says that in was read: it is there once.
	drained bool
	// piped is what was read from it: see rewind.
	piped []byte
}

// visible is a writer for people: see render.Visible. Line ends stay. Each piece
// that is written holds whole characters.
type visible struct{ io.Writer }

func (v visible) Write(p []byte) (int, error) {
	_, err := io.WriteString(v.Writer, render.VisibleLines(string(p)))
	return len(p), err
}

// gate is a writer that remembers its first failure, for what writes and does not
// look, as the printing of help, and that can be closed before work is left alone
// that still writes.
type gate struct {
	w     io.Writer
	waits *waits
	// status makes room for what is written, if it is not nil.
	status *status
	err    error
	mu     sync.Mutex
	end    bool
}

func (g *gate) Write(p []byte) (n int, err error) {
	if g.status == nil {
		return g.put(p)
	}
	g.status.aside(func() { n, err = g.put(p) })
	return n, err
}

// put writes beside the status.
func (g *gate) put(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.end {
		return 0, context.Canceled
	}
	n, err := g.waits.write(g.w, p)
	if g.err == nil {
		g.err = err
	}
	return n, err
}

// waits knows since when a command waits for other programs: until one reads what it
// writes. The zero value works.
type waits struct{ since atomic.Int64 }

// long reports whether a wait exceeds patience.
func (w *waits) long() bool {
	t := w.since.Load()
	return t != 0 && time.Since(time.Unix(0, t)) > patience
}

// during calls f, which may wait.
func (w *waits) during(f func() error) error {
	w.since.Store(time.Now().UnixNano())
	defer w.since.Store(0)
	return f()
}

// waitPiece is how much is written at once: a reader who takes it is no wait.
const waitPiece = 1 << 16

// write writes all of p to out.
func (w *waits) write(out io.Writer, p []byte) (n int, err error) {
	for {
		k := 0
		err = w.during(func() (err error) {
			k, err = out.Write(p[n:min(n+waitPiece, len(p))])
			return err
		})
		if n += k; err != nil || n == len(p) {
			return n, err
		}
	}
}

// offer writes p to out, which somebody may read, and leaves it after a signal.
func (a *app) offer(out io.Writer, p []byte) (taken bool, err error) {
	done := make(chan error, 1)
	go func() {
		_, err := out.Write(p)
		done <- err
	}()
	select {
	case err := <-done:
		return true, err
	case <-a.ended:
	}
	select {
	case err := <-done:
		return true, err
	case <-time.After(patience):
		return false, nil
	}
}

// waitWriter is write as an io.Writer.
type waitWriter struct {
	waits *waits
	out   io.Writer
}

func (w waitWriter) Write(p []byte) (int, error) { return w.waits.write(w.out, p) }

// close ends all writing, but for a write that the receiver holds up.
func (g *gate) close() {
	if g.mu.TryLock() {
		g.end = true
		g.mu.Unlock()
	}
}

// newStreams returns the streams of a process, and the gates of its outputs.
func newStreams(in io.Reader, stdout, stderr io.Writer) (s streams, out, errs *gate) {
	out, errs = &gate{w: stdout}, &gate{w: stderr}
	s = streams{in: in, out: out, err: visible{errs}}
	if f, ok := stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, e := term.GetSize(int(f.Fd())); e == nil {
			s.width = w
		}
	}
	if f, ok := stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		w, _, _ := term.GetSize(int(f.Fd()))
		s.status = newStatus(errs, w)
		out.status, errs.status = s.status, s.status
	}
	return s, out, errs
}

// warn says one line beside the result, unless --quiet.
func (a *app) warn(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, "relupath: %s\n", render.Visible(fmt.Sprintf(format, args...)))
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
		a.piped = r.data
		return r.data, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rewind makes standard input readable once more, for the same purpose.
func (a *app) rewind() {
	if a.drained {
		a.in, a.drained = bytes.NewReader(a.piped), false
	}
}

// report writes a result to a file, or to standard output for "" and "-".
func (a *app) report(d *render.Document, path string, old existing) error {
	if path == "" || path == stdStream {
		return a.reportBeside("", d)
	}
	return a.save(path, old, func(w io.Writer) error { return a.write(w, d, 0) })
}

// reportBeside writes a result to standard output, or to standard error where that
// takes what the command writes.
func (a *app) reportBeside(output string, d *render.Document) error {
	a.keepRest()
	w := a.out
	if output == stdStream {
		w = a.err
	}
	return a.write(w, d, a.width)
}

// write writes a result in the format and the form that the common flags say.
func (a *app) write(w io.Writer, d *render.Document, width int) error {
	p, err := a.provenance()
	if err != nil {
		return err
	}
	return render.Write(w, d.Named(a.caption, a.label), render.Options{
		Format: render.Format(a.format), Width: width, Digits: a.digits, Provenance: p,
		Version: root + " " + version(), Date: a.now().Format("2 January 2006"),
	})
}
