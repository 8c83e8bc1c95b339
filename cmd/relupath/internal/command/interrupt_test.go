package command

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// interrupted runs a command line under a rain of interrupt signals and returns
// what it printed.
func interrupted(t *testing.T, stdin io.Reader, args ...string) (stdout string) {
	t.Helper()
	// The signal also comes here, so that one sent too early or too late does
	// not end the test. Each is waited for before the next, and the last before
	// the sink is taken away.
	sink := make(chan os.Signal, 1)
	signal.Notify(sink, os.Interrupt)
	defer signal.Stop(sink)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var rain sync.WaitGroup
	rain.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				if err := self.Signal(os.Interrupt); err != nil {
					t.Error(err)
					return
				}
				<-sink
			}
		}
	})
	var out, stderr bytes.Buffer
	code := Run(args, stdin, &out, &stderr)
	close(done)
	rain.Wait()
	if code != codeInterrupted || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d, want %d: %s", code, codeInterrupted, &stderr)
	}
	return out.String()
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

// TestInterruptKeepsWhatIsDone interrupts the audit of a long list: the models
// until then are written, whole lines in order, or a table that says so.
func TestInterruptKeepsWhatIsDone(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 300,300,300,300,10 -o m.onnx")
	if err := os.WriteFile("list", []byte(strings.Repeat("m.onnx\n", 20000)), 0o644); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(interrupted(t, nil, "audit", "--files-from", "list", "--format", "jsonl"), "\n")
	for i, l := range lines[:len(lines)-1] {
		if !json.Valid([]byte(l)) || !strings.Contains(l, `"path":"m.onnx"`) {
			t.Fatalf("line %d is cut: %s", i, l)
		}
	}
	if n := len(lines) - 1; lines[n] != "" || n == 20000 {
		t.Errorf("%d lines and %q", n, lines[n])
	}
	interrupted(t, nil, "audit", "--files-from", "list", "--format", "jsonl", "-o", "kept.jsonl")
	if _, err := os.Stat("kept.jsonl"); err != nil {
		t.Errorf("nothing is kept: %v", err)
	}
	if table := interrupted(t, nil, "audit", "--files-from", "list"); table != "" && !strings.Contains(table, "Interrupted after ") {
		t.Errorf("the table does not say that it is cut: %.200s", table)
	}
}
