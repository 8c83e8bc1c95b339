//go:build unix

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFirstSignal: one signal ends a command that waits for something which does
// not look at signals, with 130 and a sentence, and nothing is left.
func TestFirstSignal(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		sig  syscall.Signal
	}{
		"model":      {"inspect fifo", syscall.SIGINT},
		"second":     {"equivalent m.onnx fifo", syscall.SIGTERM},
		"list":       {"audit m.onnx --files-from fifo", syscall.SIGINT},
		"data":       {"eval m.onnx --data csv:fifo", syscall.SIGINT},
		"input":      {"run m.onnx --input fifo -o y.npy", syscall.SIGTERM},
		"output":     {"balance m.onnx -o fifo", syscall.SIGINT},
		"printing":   {"inspect m.onnx --format json", syscall.SIGINT},
		"trained":    {"finetune m.onnx --data csv:rows --epochs 2 -o fifo", syscall.SIGINT},
		"report":     {"finetune m.onnx --data csv:rows --epochs 2 -o t.onnx --report fifo", syscall.SIGTERM},
		"many":       {"audit m.onnx m.onnx m.onnx --format json", syscall.SIGINT},
		"log":        {"finetune m.onnx --data csv:rows --epochs 2000 -o t.onnx --log fifo", syscall.SIGINT},
		"experiment": {"experiment width --data csv:fifo --test csv:fifo -o e", syscall.SIGINT},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			finish(t, dir, "init --widths 5,300,3 -o m.onnx")
			if err := os.WriteFile(filepath.Join(dir, "rows"), []byte("1,2,3,4,5,0\n2,1,0,3,1,2\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := program(t, dir, c.line)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			if name == "printing" || name == "many" {
				// A pipe that is full: nobody reads.
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				defer w.Close()
				go func() { _, _ = io.CopyN(w, zeros{}, 1<<20) }()
				cmd.Stdout = w
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Until it waits.
			time.Sleep(500 * time.Millisecond)
			if err := cmd.Process.Signal(c.sig); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
			err := cmd.Wait()
			late.Stop()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 130 || !strings.Contains(errs.String(), "interrupted") {
				t.Errorf("%v: %s", err, &errs)
			}
			want := []string{"fifo", "m.onnx", "rows"}
			if strings.Contains(c.line, "t.onnx") {
				want = append(want, "t.onnx") // what was trained is kept
			}
			if d := cmp.Diff(want, listing(t, dir)); d != "" {
				t.Errorf("left (-want +got):\n%s", d)
			}
		})
	}
}

// TestEarlySignal: a signal that comes while the program starts ends it with 130 and
// leaves nothing, but for the first moment, in which the system ends it.
func TestEarlySignal(t *testing.T) {
	dir := t.TempDir()
	finish(t, dir, "init --widths 5,300,3 -o m.onnx")
	for k := range 30 {
		cmd := program(t, dir, "balance m.onnx -o b.onnx --force")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(k) * time.Millisecond)
		_ = cmd.Process.Signal([]syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[k%2])
		_ = cmd.Wait()
		state := cmd.ProcessState.Sys().(syscall.WaitStatus)
		switch {
		case state.Signaled(), state.ExitStatus() == 0, state.ExitStatus() == 130: // before, after and while it works
		default:
			t.Errorf("after %d ms: %v", k, cmd.ProcessState)
		}
	}
	_ = os.Remove(filepath.Join(dir, "b.onnx"))
	if d := cmp.Diff([]string{"m.onnx"}, listing(t, dir)); d != "" {
		t.Errorf("left (-want +got):\n%s", d)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestReaderEnds: who reads the model from a pipe and ends leaves nothing in the
// folder for temporary files.
func TestReaderEnds(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	finish(t, dir, "init --widths 500,500,3 -o m.onnx")
	cmd := program(t, dir, "balance m.onnx -o - --quiet")
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("a model that nobody read is written")
	}
	if got := listing(t, tmp); got != nil {
		t.Errorf("%v are left", got)
	}
}
