package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune/experiment"
)

// experimentLine runs a command line in a folder with iris.csv.
func experimentLine(t *testing.T, line string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(strings.Fields(line), nil, &o, &e)
	return code, o.String(), e.String()
}

const widthLine = "experiment width --data csv:iris.csv,header --test csv:iris.csv,header -o out --widths 2,4 --seeds 1 --epochs "

// TestExperimentWritesItsFolder: everything that a paper needs is there, and a
// second run trains only what is new.
func TestExperimentWritesItsFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	exampleFiles(t)
	code, out, errs := experimentLine(t, widthLine+"2 --format json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var got struct {
		Schema, Experiment string
		Claims             []struct{ Claim, Verdict string }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Schema != experimentSchema || got.Experiment != "width" || len(got.Claims) < 2 {
		t.Errorf("%v: %s", err, out)
	}
	var names []string
	for _, e := range entries(t, "out") {
		names = append(names, e.Name())
	}
	want := []string{
		"config.json", "curves.csv", "error.pdf", "error.png", "error.svg", "measures.pdf", "measures.png", "measures.svg",
		"summary.md", "tables.tex", "trainings",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	for name, words := range map[string]string{
		"curves.csv": "hidden_units,step_size,seed,epoch,train_loss", "tables.tex": `\toprule`,
		"summary.md": "![Training and test error", "config.json": `"Epochs": 2`,
	} {
		text, err := os.ReadFile(filepath.Join("out", name))
		if err != nil || !strings.Contains(string(text), words) {
			t.Errorf("%s has no %q: %v\n%s", name, words, err, text)
		}
	}
	// Two widths, two epochs, one seed and a head.
	if text, _ := os.ReadFile("out/curves.csv"); strings.Count(string(text), "\n") != 5 {
		t.Errorf("curves.csv:\n%s", text)
	}
	before := entries(t, "out/trainings")
	// A loss is a number in every JSON; what was minimised is named by loss_name.
	for _, e := range before {
		text, err := os.ReadFile(filepath.Join("out/trainings", e.Name()))
		if err != nil || strings.Contains(string(text), `"loss": "`) || !strings.Contains(string(text), `"loss_name": "`) {
			t.Errorf("%s: %v\n%s", e.Name(), err, text)
		}
	}
	if code, _, errs := experimentLine(t, strings.Replace(widthLine, "2,4", "2,4,8", 1)+"2"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if after := entries(t, "out/trainings"); len(before) != 2 || len(after) != 3 {
		t.Errorf("%d, then %d trainings, want 2 and 3", len(before), len(after))
	}
	for _, old := range before {
		now, err := os.Stat(filepath.Join("out/trainings", old.Name()))
		if err != nil {
			t.Fatal(err)
		}
		was, err := old.Info()
		if err != nil || !now.ModTime().Equal(was.ModTime()) {
			t.Errorf("%s was trained again: %v", old.Name(), err)
		}
	}
}

// TestExperimentOfChosenMethods: an experiment follows the methods that it is
// told to, with their step sizes.
func TestExperimentOfChosenMethods(t *testing.T) {
	t.Chdir(t.TempDir())
	exampleFiles(t)
	code, out, errs := experimentLine(t, "experiment invariance --data csv:iris.csv,header -o out --width 4 --steps 3 --seeds 1 --optimizers path-sgd,sgd --rates sgd=0.25 --format json")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var got struct{ Tables []struct{ Rows [][]any } }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got.Tables) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	// Columns: optimizer, type, start, step. Two types and three starts each.
	steps := map[any][]any{}
	for _, row := range got.Tables[0].Rows {
		steps[row[0]] = append(steps[row[0]], row[3])
	}
	want := map[any][]any{"Path-SGD": slices.Repeat([]any{"0.03"}, 6), "SGD": slices.Repeat([]any{"0.25"}, 6)}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Error(diff)
	}
}

func entries(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		// Reads what Info tells now, not when it is asked.
		if _, err := e.Info(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestExperimentErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	exampleFiles(t)
	if err := os.MkdirAll("full", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("full/notes.txt", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := experimentLine(t, widthLine+"1"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for _, c := range []struct {
		line string
		code int
		want string
	}{
		{"experiment widths", codeUsage, `there is no experiment "widths"`},
		{"experiment width extra", codeUsage, "width"},
		{"experiment width -o x --test csv:iris.csv,header", codeUsage, "--data"},
		{"experiment width -o x --data csv:iris.csv,header", codeUsage, "--test"},
		{"experiment width --data csv:iris.csv,header --test csv:iris.csv,header", codeUsage, "-o"},
		{strings.Replace(widthLine, "-o out", "-o full", 1) + "1", codeFailed, "is not empty"},
		{"experiment invariance --data csv:iris.csv,header -o out", codeFailed, "has the experiment width"},
		{"experiment optimizers --data csv:iris.csv,header --test csv:iris.csv,header -o y --width 2 --epochs 1 --optimizers adam", codeUsage, `"adam"`},
		{"experiment invariance --data csv:iris.csv,header -o y --rates adam=0.1", codeUsage, `"adam=0.1"`},
		{"experiment invariance --data csv:iris.csv,header -o y --rates sgd", codeUsage, `"sgd"`},
		{"experiment balance mlp.onnx --data csv:iris.csv,header --test csv:iris.csv,header -o z --epochs 1 --rates 0.1", codeInvalid, "shape"},
	} {
		code, _, errs := experimentLine(t, c.line)
		if code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%s: exit code %d, %s, want %d, %q", c.line, code, errs, c.code, c.want)
		}
	}
}

// TestCriteria: each criterion stands once, with the numbers of its claims.
func TestCriteria(t *testing.T) {
	var claims []experiment.Claim
	for _, c := range "aabaaca" {
		claims = append(claims, experiment.Claim{Criterion: string(c), Source: "s"})
	}
	want := render.Table{Title: "Criteria", Columns: []string{"claims", "criterion", "source"}}
	for _, r := range [][2]string{{"1-2, 4-5, 7", "a"}, {"3", "b"}, {"6", "c"}} {
		want.Add(render.Text(r[0]), render.Text(r[1]), render.Text("s"))
	}
	if got := criteria(claims); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestListDefaults: the help shows lists of numbers as they are typed.
func TestListDefaults(t *testing.T) {
	help := output(t, "help experiment optimizers")
	if want := "(default [1,0.1,0.01,0.001,0.0001])"; !strings.Contains(help, want) {
		t.Errorf("no %q in %s", want, help)
	}
}

// TestExperimentUsage: numbers that make no sense are wrong usage, before a
// folder is made.
func TestExperimentUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("d.csv", []byte("1,2,0\n3,4,1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"width --widths 0":                  "width 0, want at least 1",
		"width --widths 2 --seeds 0":        "--seeds 0: want a positive number",
		"width --widths 2 --seeds -1":       "seeds -1",
		"optimizers --width 0":              "--width 0",
		"optimizers --width 2 --starts odd": "no start",
		"optimizers --width 2 --rates NaN":  "step size NaN",
		"balance m.onnx --momentum 0":       "--momentum 0",
	} {
		code, _, errs := experimentLine(t, "experiment "+line+" --data csv:d.csv --test csv:d.csv -o out")
		if code != codeUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d: %s", line, code, errs)
		}
	}
	if _, err := os.Stat("out"); err == nil {
		t.Error("a folder was made")
	}
}
