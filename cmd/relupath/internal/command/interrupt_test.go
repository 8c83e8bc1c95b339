package command

import (
	"bytes"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// interrupted runs a command line under a rain of interrupt signals.
func interrupted(t *testing.T, stdin io.Reader, args ...string) {
	t.Helper()
	// The signal also comes here, so that one sent too early or too late does
	// not end the test.
	sink := make(chan os.Signal, 100)
	signal.Notify(sink, os.Interrupt)
	defer signal.Stop(sink)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				self.Signal(os.Interrupt)
			}
		}
	}()
	var stderr bytes.Buffer
	code := Run(args, stdin, &stderr, &stderr)
	close(done)
	if code != codeInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, want %d: %s", code, codeInterrupted, &stderr)
	}
}

func TestInterruptWhileWorking(t *testing.T) {
	out := filepath.Join(t.TempDir(), "big.onnx")
	interrupted(t, nil, "init", "--widths", strings.Repeat("1000,", 60)+"1", "-o", out)
	if _, err := os.Stat(out); err == nil {
		t.Error("an unfinished model was written")
	}
}

func TestInterruptWhileReading(t *testing.T) {
	in, feed := io.Pipe()
	defer feed.Close()
	interrupted(t, in, "inspect", "-")
}
