package command

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// cutWhenMapped waits until this process has mapped a file whose path ends with
// the given words, and cuts it off after its first page.
func cutWhenMapped(t *testing.T, suffix string, done <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-done:
			return
		default:
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Error(err)
			return
		}
		for line := range strings.Lines(string(maps)) {
			if path := strings.TrimSpace(line); strings.HasSuffix(path, suffix) {
				if err := os.Truncate(path[strings.Index(path, "/"):], 4096); err != nil {
					t.Error(err)
				}
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// TestFileShrinksUnderACommand cuts a model off while a command reads its
// mapped weights: that is a sentence with the file's name and exit code 3, not
// the end of the process.
func TestFileShrinksUnderACommand(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the test looks for mapped files in /proc/self/maps")
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "source.onnx")
	output(t, "init --widths 400,400,400,10 -o "+source)
	whole, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, line, cut string }{
		{"measured", "audit " + source + " --rescalings 100000", "/source.onnx"},
		{"reference", "audit FRESH --reference " + source + " --rescalings 100000 --measures distance_frobenius", "/source.onnx"},
		// The copy that balance has written and proves.
		{"written", "balance " + source + " --samples 10000 -o " + filepath.Join(dir, "out.onnx"), "/out.onnx"},
		{"source of a proof", "balance " + source + " --samples 10000 -o " + filepath.Join(dir, "out.onnx"), "/source.onnx"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fresh := filepath.Join(t.TempDir(), "fresh.onnx")
			for _, path := range []string{source, fresh} {
				if err := os.WriteFile(path, whole, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan struct{})
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				cutWhenMapped(t, c.cut, done)
			}()
			var out, errs bytes.Buffer
			code := Run(strings.Fields(strings.ReplaceAll(c.line, "FRESH", fresh)), nil, &out, &errs)
			close(done)
			<-ended
			if code != codeInvalid || !strings.Contains(errs.String(), c.cut) {
				t.Fatalf("exit code %d: %s", code, &errs)
			}
			if !strings.Contains(errs.String(), "the file changed while it was read") {
				t.Errorf("standard error has %q", &errs)
			}
			if _, err := os.Stat(filepath.Join(dir, "out.onnx")); err == nil {
				t.Error("the output was written")
			}
		})
	}
}
