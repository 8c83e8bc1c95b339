package command

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/testmodels"
)

// TestHostileNames runs whole commands on a file whose name, node names and
// metadata hold what steers a terminal: nothing of it comes out raw.
func TestHostileNames(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 4,5,3 -o m.onnx")
	raw, err := os.ReadFile("m.onnx")
	if err != nil {
		t.Fatal(err)
	}
	// As long as what they replace, so that the file stays whole.
	for old, name := range map[string]string{"fc1/Gemm": "\x1b]0\au\u202e", "relu1/Relu": "\u009b31m\u200bab", "relupath": "\x1b[5m\u009bxy"} {
		if len(old) != len(name) || !bytes.Contains(raw, []byte(old)) {
			t.Fatalf("%q cannot take the place of %q", name, old)
		}
		raw = bytes.ReplaceAll(raw, []byte(old), []byte(name))
	}
	const model = "h\x1b]0;x\a\u202e\u009b.onnx"
	for name, text := range map[string][]byte{model: raw, "broken\x1b[2J.onnx": raw[:100], "x\a.csv": []byte("1,2,3,4,a\x1b[1m\n5,6,7,8,b\n")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hidden := func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
	}
	for _, args := range [][]string{
		{"inspect", model},
		{"inspect", model, "--plots", "p"},
		{"audit", model, "--per-layer"},
		{"audit", model, "m.onnx", "broken\x1b[2J.onnx", "none\a.onnx"},
		{"audit", "broken\x1b[2J.onnx"},
		{"audit", model, "--rescalings", "2"},
		{"audit", model, "--data", "csv:x\a.csv"},
		{"audit", model, "--baseline", "none\a"},
		{"balance", model, "-o", "b\a.onnx", "--force", "--plots", "p"},
		{"equivalent", model, "m.onnx"},
		{"eval", model, "--data", "csv:x\a.csv"},
		{"run", model, "--input", "no\x1b[1m.npy", "-o", "y\a.npy"},
		{"finetune", model, "--freeze", "no\x1b[1m", "--data", "csv:x\a.csv", "-o", "o.onnx"},
		{"no\x1b[1m"},
		{"inspect", model, "--no\x1b[1m"},
	} {
		for _, f := range render.Formats() {
			var out, errs bytes.Buffer
			if code := Run(append(args, "--format", f), nil, &out, &errs); code == codeInternal {
				t.Fatalf("%q: %s", args, &errs)
			}
			for _, s := range []string{out.String(), errs.String()} {
				if at := strings.IndexFunc(s, hidden); at >= 0 {
					t.Errorf("%q --format %s shows %.60q", args, f, s[at:])
				}
			}
		}
	}
	plots, err := filepath.Glob("p/*.svg")
	if err != nil || plots == nil {
		t.Fatalf("no figures: %v", err)
	}
	for _, p := range plots {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.IndexFunc(text, hidden); at >= 0 {
			t.Errorf("%s shows %.60q", p, text[at:])
		}
	}
	if shown := output(t, "inspect "+model); !strings.Contains(shown, `\x1b]0\au\u202e`) {
		t.Errorf("the node's name is not shown: %s", shown)
	}
}

// TestPatternsInOrder: what a shell lists for a pattern is in the order of numbers too; another order stays.
func TestPatternsInOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"epoch_1.onnx", "epoch_5.onnx", "epoch_10.onnx"} {
		if err := os.WriteFile(name, testmodels.Bytes("toy"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ args, want string }{
		{"epoch_1.onnx epoch_10.onnx epoch_5.onnx", "epoch_1.onnx epoch_5.onnx epoch_10.onnx"},
		{"epoch_10.onnx epoch_5.onnx epoch_1.onnx", "epoch_10.onnx epoch_5.onnx epoch_1.onnx"},
	} {
		r, _ := parsed[auditJSON](t, append([]string{"audit"}, strings.Fields(c.args)...)...)
		var got []string
		for _, m := range r.Models {
			got = append(got, m.Path)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.args, s, c.want)
		}
	}
}

// TestFilesInOrder: files sort as people count.
func TestFilesInOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	want := []string{
		"./a/epoch_5.onnx", "./a/epoch_10.onnx", "./a/epoch_010b.onnx", "./a-1/x.onnx", "./a2/x.onnx", "./a10/x.onnx",
		"./epoch_01.onnx", "./epoch_1.onnx", "./epoch_9.onnx", "./epoch_18446744073709551616.onnx",
	}
	for _, f := range want {
		if err := os.MkdirAll(filepath.Dir(f), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := expand([]string{"."})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		got[i] = "./" + filepath.Clean(got[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestUnreadableFolder: a folder that cannot be listed, here one whose path is
// longer than the system takes, is reported, and the rest is measured.
func TestUnreadableFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 2,2 -o m.onnx")
	top, err := os.OpenRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		name := strings.Repeat("d", 250)
		if err := top.Mkdir(name, 0o777); err != nil {
			t.Fatal(err)
		}
		next, err := top.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		_ = top.Close()
		top = next
	}
	_ = top.Close()
	var out, errs bytes.Buffer
	if code := Run([]string{"audit", ".", "--format", "json"}, nil, &out, &errs); code != codeInvalid {
		t.Errorf("exit code %d: %.200s", code, &errs)
	}
	var r auditJSON
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Models) != 1 || len(r.Errors) != 1 || len(r.Errors[0].Path) < 4000 {
		t.Errorf("%d models, %d errors", len(r.Models), len(r.Errors))
	}
}

// TestSortIsKnown: a name that no measure has is refused before a model is read;
// one that was not measured, with one model too.
func TestSortIsKnown(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 2,2 -o m.onnx")
	refused(t, codeUsage, []string{"--sort", `no measure "path_nrom"`}, "audit", "none.onnx", "--sort", "path_nrom(2)")
	refused(t, codeUsage, []string{"--sort -path_norm_output(1,z)", "no model has"}, "audit", "m.onnx", "--sort", "-path_norm_output(1,z)")
	output(t, "audit m.onnx --sort -path_norm(2)")
	output(t, "audit m.onnx m.onnx --sort hidden_units")
}

// TestRunMakesFolder: run makes the folder of several outputs, when it has
// something to write.
func TestRunMakesFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	two := newLayers()
	x := two.Input("x", 4)
	two.Output("a", two.dense(x, 2, false))
	two.write(t, "m.onnx", x)
	writeArray(t, "x.npy", []int{1, 4}, make([]float64, 4))
	refused(t, codeFailed, nil, "run", "m.onnx", "--input", "missing.npy", "-o", "out/")
	if _, err := os.Stat("out"); err == nil {
		t.Error("there is a folder with nothing to write")
	}
	output(t, "run m.onnx --input x.npy -o out/")
	for _, f := range []string{"out/a.npy", "out/y.npy"} {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
	refused(t, codeFailed, []string{"--force"}, "run", "m.onnx", "--input", "x.npy", "-o", "out")
	refused(t, codeUsage, []string{"2 outputs"}, "run", "m.onnx", "--input", "x.npy", "-o", "x.npy")
	refused(t, codeFailed, []string{"there is no folder no"}, "run", "m.onnx", "--input", "x.npy", "-o", "no/where")
}

// TestStreamedFormats: what is written model by model is what is written in one
// piece.
func TestStreamedFormats(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 2,3,2 -o a.onnx")
	output(t, "init --widths 2,4,4,2 -o b.onnx")
	if err := os.WriteFile("c.onnx", []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"json", "csv"} {
		for _, more := range []string{"", " --per-layer"} {
			var got [2]string
			for k, how := range []string{"", " --sort depth"} {
				var out, errs bytes.Buffer
				line := fmt.Sprintf("audit . --format %s%s%s", f, more, how)
				if code := Run(strings.Fields(line), nil, &out, &errs); code != codeInvalid {
					t.Fatalf("%s: exit code %d: %s", line, code, &errs)
				}
				got[k] = out.String()
			}
			if diff := cmp.Diff(got[1], got[0]); diff != "" {
				t.Errorf("%s%s: %s", f, more, diff)
			}
		}
	}
}

// TestInterruptedStreams: after an interrupt JSON and CSV are whole documents of
// the first models.
func TestInterruptedStreams(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 100,100,100,10 -o m.onnx")
	if err := os.WriteFile("list", []byte(strings.Repeat("m.onnx\n", 20000)), 0o600); err != nil {
		t.Fatal(err)
	}
	var r auditJSON
	if text := interrupted(t, nil, "audit", "--files-from", "list", "--format", "json"); text != "" {
		if err := json.Unmarshal([]byte(text), &r); err != nil || len(r.Models) == 20000 {
			t.Errorf("%d models: %v", len(r.Models), err)
		}
	}
	text := interrupted(t, nil, "audit", "--files-from", "list", "--format", "csv")
	if _, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil {
		t.Error(err)
	}
}

// TestBalanceNamesSource: the report says which model was balanced.
func TestBalanceNamesSource(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 2,3,2 -o source.onnx")
	if text := output(t, "balance source.onnx -o out.onnx"); !strings.Contains(text, "source.onnx") {
		t.Error(text)
	}
	r, _ := parsed[balanceJSON](t, "balance", "source.onnx", "-o", "out.onnx", "--force")
	if r.Model != "source.onnx" {
		t.Errorf("the source is %q", r.Model)
	}
}
