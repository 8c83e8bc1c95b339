package command

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/testmodels"
)

// forgedNames stand in for linear1 and linear2 of the toy, byte for byte: an
// escape sequence and a line of its own; a change of direction, a C1 control
// character, bell and delete; a zero-width space and a byte-order mark.
var forgedNames = [][2]string{
	{"\nFORGE\x1b", "\u202e\u0085\a\x7f"},
	{"\x1b]0;t\a\r", "\u200b\ufeff="},
	{"=1+1+\t1", "\x9b2J\xff\xfe\v\f"},
}

// TestForgedLines runs the commands in every format on files whose names, and
// the names within, try to steer a terminal, to forge a line and to be a formula.
func TestForgedLines(t *testing.T) {
	toy := testmodels.Bytes("toy")
	t.Chdir(t.TempDir())
	const dir = "d\x1b[31m\u2066"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, names := range forgedNames {
		model := bytes.ReplaceAll(toy, []byte("linear1"), []byte(names[0]))
		model = bytes.ReplaceAll(model, []byte("linear2"), []byte(names[1]))
		// Not supported, with the name of an operator that is not its own.
		odd := bytes.ReplaceAll(model, []byte("Relu"), []byte("\nR\x1b\a"))
		good, bad := "=m\nFORGED\x1b]0;t\a.onnx", filepath.Join(dir, "-odd\nFORGED\u202e.onnx")
		for path, data := range map[string][]byte{good: model, bad: odd, filepath.Join(dir, "cut\r\n.onnx"): model[:40]} {
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, format := range render.Formats() {
			for _, line := range [][]string{
				{"inspect", good},
				{"audit", good, "--per-layer", "--plots", "plots"},
				{"audit", good, good, "--baseline", good, "--per-layer"},
				{"audit", good, dir, "--measures", "all"},
				{"audit", good, "--rescalings", "2"},
				{"audit", "no\nFORGED\x1b\u202e"},
				{"audit", good, "--sort", "x\nFORGED\x1b"},
				{"audit", good, "--data", "csv:no\nFORGED\x1b"},
				{"balance", good, "-o", "out\x1b\nFORGED.onnx"},
				{"balance", bad, "-o", "out.onnx"},
				{"equivalent", good, good},
				{"run", good, "--input", "x\nFORGED\x1b=y", "-o", "y.npy"},
				{"finetune", good, "--data", "csv:no\nFORGED\x1b", "--freeze", names[0], "-o", "f.onnx"},
				{"init", "--widths", "2,2", "-o", "i\x1b\nFORGED.onnx"},
				{"no\nFORGED\x1b\u202e"},
				{"audit", "--no\nFORGED\x1b\u202e"},
			} {
				var out, errs bytes.Buffer
				Run(append(line, "--format", format, "--force"), nil, &out, &errs)
				tame(t, line, format, out.String())
				tame(t, line, "standard error", errs.String())
			}
		}
		svgs, err := filepath.Glob("plots/*.svg")
		if err != nil || svgs == nil {
			t.Fatal("no plots: ", err)
		}
		for _, svg := range svgs {
			data, err := os.ReadFile(svg)
			if err != nil {
				t.Fatal(err)
			}
			tame(t, []string{svg}, "svg", string(data))
		}
	}
}

// tame checks what one command line wrote.
func tame(t *testing.T, line []string, what, text string) {
	t.Helper()
	for l := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(l, "FORGE") {
			t.Errorf("%q, %s: a name begins a line: %q", line, what, l)
		}
		for _, r := range l {
			if r != '\t' && (unicode.Is(unicode.C, r) || r == unicode.ReplacementChar && what != "json" && what != "jsonl") {
				t.Errorf("%q, %s: %q in %.200q", line, what, r, l)
				break
			}
		}
	}
	switch what {
	case "json":
		if text != "" && !json.Valid([]byte(text)) {
			t.Errorf("%q: no JSON: %.200q", line, text)
		}
	case "csv":
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Errorf("%q: no CSV: %v", line, err)
		}
		for _, row := range rows {
			for _, s := range row {
				if strings.HasPrefix(s, "=") || strings.HasPrefix(s, "@") {
					t.Errorf("%q: a formula: %q", line, s)
				}
			}
		}
	}
}
