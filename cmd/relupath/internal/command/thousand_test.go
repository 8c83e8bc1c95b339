package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestAuditOfAThousandFiles: one run over a folder of 1,000 models gives a line
// for each, in order, with what is not a model among them, and keeps nothing of
// a model that is done.
func TestAuditOfAThousandFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 20,30,30,10 -o m.onnx")
	model, err := os.ReadFile("m.onnx")
	if err != nil {
		t.Fatal(err)
	}
	const files, bad = 1000, 500
	for i := range files {
		path := filepath.Join("models", fmt.Sprintf("%02d", i/100), fmt.Sprintf("%03d.onnx", i))
		content := model
		if i == bad {
			content = model[:len(model)/2]
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var errs bytes.Buffer
	var lines lineCounter
	code := Run(strings.Fields("audit models --format jsonl"), nil, &lines, &errs)
	if code != codeInvalid || !strings.Contains(errs.String(), "1 of 1000 models could not be measured") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	if lines.n != files || lines.failed != 1 || lines.wrong != "" {
		t.Errorf("%d lines, %d of models that failed; out of order: %q", lines.n, lines.failed, lines.wrong)
	}
	// A model's network is 60 kB of heap, its line 20 kB: 1,000 of them, kept,
	// would be 80 MB.
	if lines.grown > 30<<20 {
		t.Errorf("the heap's live bytes grow by %d from the first line to the last", lines.grown)
	}
}

// lineCounter takes the lines of a run and keeps none of them.
type lineCounter struct {
	n, failed int
	wrong     string
	first     int64 // live bytes at the first line, what other tests left included
	grown     int64
}

func (c *lineCounter) Write(p []byte) (int, error) {
	var line struct {
		Path      string
		Measures  []any
		Obstacles []any
	}
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	if !strings.HasSuffix(line.Path, fmt.Sprintf("%03d.onnx", c.n)) {
		c.wrong = line.Path
	}
	if len(line.Obstacles) > 0 && line.Measures == nil {
		c.failed++
	}
	switch c.n++; c.n {
	case 1:
		c.first = live()
	case 999:
		c.grown = live() - c.first
	}
	return len(p), nil
}

// live returns the bytes of the heap that a collection leaves.
func live() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestDiffOfManyPairs: csv and json of two folders hold no pair that is written, and say what one
// piece says: the pairs in order, and what could not be measured.
func TestDiffOfManyPairs(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 20,30,30,10 --seed 1 -o a.onnx")
	output(t, "init --widths 20,30,30,10 --seed 2 -o b.onnx")
	const pairs, bad = 300, 7
	for folder, model := range map[string]string{"old": "a.onnx", "new": "b.onnx"} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range pairs {
			path := filepath.Join(folder, fmt.Sprintf("%d.onnx", i))
			write := func() error { return os.Link(model, path) }
			if i == bad && folder == "new" {
				write = func() error { return os.WriteFile(path, []byte("no model"), 0o644) }
			}
			if err := write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, format := range []string{"json", "csv"} {
		g := growth{first: live()}
		var errs bytes.Buffer
		code := Run(strings.Fields("diff old new --format "+format), nil, &g, &errs)
		if code != codeInvalid || !strings.Contains(errs.String(), "1 of 600 models could not be measured") {
			t.Fatalf("%s: exit code %d: %s", format, code, &errs)
		}
		// What is written of a pair is 30 kB, its models are 80 kB of heap: kept, they would be 30 MB.
		if g.grown > 8<<20 || g.n < pairs {
			t.Errorf("%s: the heap's live bytes grow by %d in %d writes", format, g.grown, g.n)
		}
		if format == "csv" {
			one := output(t, "diff old/3.onnx new/3.onnx --format csv")
			_, rows, _ := strings.Cut(one, "\n")
			if !strings.Contains(g.all.String(), rows) || strings.Count(g.all.String(), "a,b,layer") != 1 {
				t.Error("csv of many pairs has not the rows of one")
			}
			continue
		}
		var r diffJSON
		if err := json.Unmarshal(g.all.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Pairs) != pairs-1 || r.Pairs[bad].Name != "8.onnx" || len(r.Errors) != 1 || r.OnlyA == nil {
			t.Errorf("%d pairs, %q at place %d, %d errors", len(r.Pairs), r.Pairs[bad].Name, bad, len(r.Errors))
		}
	}
}

// growth takes a result, and notes how far the live heap grows beside it while it is written.
type growth struct {
	all          bytes.Buffer
	n            int
	first, grown int64
}

func (g *growth) Write(p []byte) (int, error) {
	if g.n++; g.n%100 == 0 {
		g.grown = max(g.grown, live()-g.first-int64(g.all.Cap()))
	}
	return g.all.Write(p)
}
