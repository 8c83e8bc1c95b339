package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/cmd/relupath/internal/golden"
	"github.com/relupath/relupath/testmodels"
)

// TestReadme runs the commands of README.md.
func TestReadme(t *testing.T) { rerun(t, "../../README.md") }

// TestReadmeGuides runs the commands of the guides.
func TestReadmeGuides(t *testing.T) {
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(guides) < 4 {
		t.Fatalf("%v: %v", guides, err)
	}
	for _, path := range guides {
		t.Run(filepath.Base(path), func(t *testing.T) { rerun(t, path) })
	}
}

// rerun runs the commands of a page's fenced blocks, in order, in a folder with
// testmodels. A block of console shows each command behind a $, and its output
// below, which must be what the command prints; in a block of sh the commands
// only have to succeed. Both forms of calling the program, relupath and go run
// ./cmd/relupath, are run; other programs are not. A block of csv with a name is a
// file. Training on MNIST is left out where the data is not at hand, or with -short.
func rerun(t *testing.T, page string) {
	path, err := filepath.Abs(page)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(raw)
	mnist := sharedMNIST(t)
	t.Chdir(t.TempDir())
	if mnist != "" {
		if err := os.Symlink(mnist, "mnist"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS("testmodels", testmodels.Files()); err != nil {
		t.Fatal(err)
	}
	got := replay(t, shown)
	if *golden.Update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !alike(shown, got) {
		t.Errorf("%s shows other output than the program prints (-page +program), go test -update rewrites it:\n%s",
			page, cmp.Diff(shown, got))
	}
}

// sharedMNIST returns the folder of MNIST's files in the shared test data, or
// nothing where the data is not to be used.
func sharedMNIST(t *testing.T) string {
	t.Helper()
	root, named := os.LookupEnv("RELUPATH_SHARED")
	if !named {
		root = "../../../shared"
	}
	dir, err := filepath.Abs(filepath.Join(root, "datasets", "mnist"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(dir)
	switch {
	case err != nil && named:
		t.Fatalf("RELUPATH_SHARED is set: %v", err)
	case err != nil || testing.Short():
		return ""
	}
	return dir
}

// alike compares texts word by word. Numbers may differ in their last digits,
// and by anything below 1e-6: sums round otherwise on another processor, and
// differences of outputs are rounding alone. Rules of tables may be longer.
func alike(a, b string) bool {
	return slices.EqualFunc(strings.Fields(a), strings.Fields(b), func(x, y string) bool {
		if x == y || strings.Trim(x+y, "─") == "" {
			return true
		}
		u, err := strconv.ParseFloat(x, 64)
		if err != nil {
			return false
		}
		v, err := strconv.ParseFloat(y, 64)
		return err == nil && math.Abs(u-v) <= max(1e-6, 1e-3*math.Abs(u))
	})
}

// replay returns the text with the output below each $ line replaced by what
// the command prints.
func replay(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	_, err := os.Stat("mnist")
	untrained := err != nil
	block, ran, keep := "", 0, false
	var file strings.Builder
	for line := range strings.Lines(text) {
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			if block == "" {
				block = strings.TrimSpace(fence) + " "
			} else {
				if name, ok := strings.CutPrefix(block, "csv "); ok && strings.TrimSpace(name) != "" {
					if err := os.WriteFile(strings.TrimSpace(name), []byte(file.String()), 0o644); err != nil {
						t.Fatal(err)
					}
					file.Reset()
				}
				block = ""
			}
			out.WriteString(line)
			continue
		}
		command, prompt := strings.CutPrefix(line, "$ ")
		switch {
		case block == "console " && prompt:
			out.WriteString(line)
			var printed string
			printed, keep = execute(t, command)
			out.WriteString(printed)
			ran++
		case block == "console " && !keep:
			// Old output of the command above.
		case block == "sh ":
			if !untrained || !strings.Contains(line, "mnist:") {
				execute(t, line)
			}
			ran++
			out.WriteString(line)
		case strings.HasPrefix(block, "csv "):
			file.WriteString(line)
			out.WriteString(line)
		default:
			out.WriteString(line)
		}
	}
	if ran == 0 {
		t.Error("the page runs nothing")
	}
	return out.String()
}

// execute runs a line that calls the program and returns what it prints to
// standard output, without trailing spaces. Its second result says that the
// line was not run, and that what README.md shows stays.
func execute(t *testing.T, line string) (string, bool) {
	t.Helper()
	line, _, _ = strings.Cut(strings.TrimSpace(line), " # ")
	args, ok := strings.CutPrefix(line, "go run ./cmd/")
	if !ok {
		args = line
	}
	args, ok = strings.CutPrefix(args, "relupath ")
	if !ok {
		return "", true
	}
	var stdout, stderr bytes.Buffer
	words := strings.Fields(args)
	for i, w := range words {
		words[i] = strings.Trim(w, "'")
	}
	if code := run(words, strings.NewReader(""), &stdout, &stderr); code != 0 {
		t.Errorf("%s: exit code %d: %s", line, code, &stderr)
	}
	var printed strings.Builder
	for l := range strings.Lines(stdout.String()) {
		printed.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return printed.String(), false
}
