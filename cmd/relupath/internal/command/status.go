package command

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// status is one line on a terminal that says what goes on: the model, the stage of
// the work, the share that is done and the time that is left. It appears once the
// command has run for a moment, and whatever is printed takes its place.
type status struct {
	to    *gate
	width int
	now   func() time.Time
	// pace is how often the line is drawn.
	pace time.Duration
	// began is when the command did, since when the stage did.
	began, since time.Time

	mu        sync.Mutex
	what      func() string
	done, all int
	// shown is the number of characters that stand on the terminal.
	shown int
	ends  chan struct{}
}

// unseen is how long a command says nothing.
const unseen = 2 * time.Second

func newStatus(to *gate, width int) *status {
	return &status{to: to, width: width, now: time.Now, pace: 200 * time.Millisecond, began: time.Now()}
}

// stage begins a stage of the work on a model, or on none for "".
func (a *app) stage(path, what string) {
	if a.status == nil || a.quiet {
		return
	}
	if path != "" {
		what = filepath.Base(path) + ": " + what
	}
	a.status.stage(func() string { return what })
}

// step says how much of the stage is done.
func (a *app) step(done, all int) {
	if a.status != nil {
		a.status.step(done, all)
	}
}

func (s *status) stage(what func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what, s.done, s.all, s.since = what, 0, 0, s.now()
	if s.ends == nil {
		s.ends = make(chan struct{})
		go s.draws(s.ends)
	}
}

// say changes the words of a stage.
func (s *status) say(what func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.what = what
}

func (s *status) step(done, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if done < s.done {
		s.since = s.now() // another round
	}
	s.done, s.all = done, all
}

// draws draws until the status ends.
func (s *status) draws(ends <-chan struct{}) {
	tick := time.NewTicker(s.pace)
	defer tick.Stop()
	for {
		select {
		case <-ends:
			return
		case <-tick.C:
			s.draw()
		}
	}
}

func (s *status) draw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends == nil || s.now().Sub(s.began) < unseen {
		return
	}
	line := []rune(s.line())
	if s.width > 1 && len(line) >= s.width {
		line = line[:s.width-1]
	}
	s.put("\r" + string(line) + strings.Repeat(" ", max(0, s.shown-len(line))))
	s.shown = len(line)
}

// line is what the status says now.
func (s *status) line() string {
	what, took := render.Visible(s.what()), s.now().Sub(s.since)
	if s.done <= 0 || s.done > s.all {
		return fmt.Sprintf("%s, %v", what, took.Round(time.Second))
	}
	share := float64(s.done) / float64(s.all)
	left := time.Duration(float64(took) * (1 - share) / share)
	return fmt.Sprintf("%s, %.0f %%, %v left", what, 100*share, left.Round(time.Second))
}

// put writes to the terminal; that it fails does not matter.
func (s *status) put(text string) { _, _ = s.to.put([]byte(text)) }

// aside calls f with the line taken away.
func (s *status) aside(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown > 0 {
		s.put("\r" + strings.Repeat(" ", s.shown) + "\r")
		s.shown = 0
	}
	f()
}

// leave ends the status, unless a write that the terminal's reader holds up is in
// the way.
func (s *status) leave() {
	if s.mu.TryLock() {
		s.mu.Unlock()
		s.end()
	}
}

// end takes the line away for good.
func (s *status) end() {
	s.aside(func() {
		if s.ends != nil {
			close(s.ends)
			s.ends = nil
		}
	})
}
