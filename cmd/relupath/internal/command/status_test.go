package command

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// terminal is a status on a terminal of the given width whose clock stands still.
func terminal(t *testing.T, width int) (a *app, screen *bytes.Buffer, clock *time.Time) {
	t.Helper()
	screen, clock = &bytes.Buffer{}, new(time.Time)
	errs := &gate{w: screen, waits: new(waits)}
	s := newStatus(errs, width)
	s.now = func() time.Time { return *clock }
	s.began, errs.status = *clock, s
	s.pace = 24 * time.Hour // the test draws
	a = &app{streams: streams{err: visible{errs}, status: s}}
	t.Cleanup(s.end)
	return a, screen, clock
}

// drawn returns what one drawing puts on the screen.
func drawn(a *app, screen *bytes.Buffer) string {
	screen.Reset()
	a.status.draw()
	return screen.String()
}

func TestStatus(t *testing.T) {
	a, screen, clock := terminal(t, 80)
	a.stage("models/net\x1b.onnx", "reading")
	if got := drawn(a, screen); got != "" {
		t.Errorf("at once: %q", got)
	}
	*clock = clock.Add(3 * time.Second)
	reading := "\r" + `net\x1b.onnx: reading, 3s`
	if got := drawn(a, screen); got != reading {
		t.Errorf("of unknown length: %q, want %q", got, reading)
	}
	a.stage("net.onnx", "verifying")
	*clock = clock.Add(10 * time.Second)
	a.step(1, 4)
	// A quarter took 10 s, so three take 30.
	if got, want := drawn(a, screen), "\rnet.onnx: verifying, 25 %, 30s left"; got != want {
		t.Errorf("with a share: %q, want %q", got, want)
	}
	a.stage("", "x")
	line := "\rx, 0s" + strings.Repeat(" ", len("net.onnx: verifying, 25 %, 30s left")-len("x, 0s"))
	if got := drawn(a, screen); got != line {
		t.Errorf("a shorter line: %q, want the rest of the longer one gone: %q", got, line)
	}
	screen.Reset()
	a.warn("so")
	if got, want := screen.String(), "\r     \rrelupath: so\n"; got != want {
		t.Errorf("a warning: %q, want it in place of the line: %q", got, want)
	}
	a.status.end()
	if got := drawn(a, screen); got != "" {
		t.Errorf("after the end: %q", got)
	}
}

func TestStatusFitsTheTerminal(t *testing.T) {
	a, screen, clock := terminal(t, 10)
	a.stage("", "a line that is longer than that")
	*clock = clock.Add(3 * time.Second)
	if got := drawn(a, screen); got != "\ra line th" {
		t.Errorf("%q", got)
	}
}

func TestStatusIsQuiet(t *testing.T) {
	a, screen, clock := terminal(t, 80)
	a.quiet = true
	a.stage("", "reading")
	*clock = clock.Add(3 * time.Second)
	if got := drawn(a, screen); got != "" {
		t.Errorf("with --quiet: %q", got)
	}
	s, _, _ := newStreams(nil, &bytes.Buffer{}, &bytes.Buffer{})
	if s.status != nil {
		t.Error("a status where standard error is no terminal")
	}
}
