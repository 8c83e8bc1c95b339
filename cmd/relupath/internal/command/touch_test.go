package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/testmodels"
)

// TestFormatFollowsEnding: the ending of -o says the format, --format is above it, and
// a model is not written under the name of a report.
func TestFormatFollowsEnding(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 2,2 -o m.onnx")
	for name, first := range map[string]string{
		"a.html": "<!DOCTYPE html>", "a.csv": "path,", "a.json": "{\n", "a.jsonl": `{"schema"`, "a.TEX": "% needs", "a.md": "**", "a.txt": "m.onnx\n",
		"a.out": "m.onnx\n",
	} {
		output(t, "audit m.onnx -o "+name)
		got, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(got), first) {
			t.Errorf("%s begins with %.20q, want %q (%v)", name, got, first, err)
		}
	}
	output(t, "audit m.onnx -o b.html --format csv")
	if got, _ := os.ReadFile("b.html"); !strings.HasPrefix(string(got), "path,") {
		t.Errorf("--format csv gave %.20q", got)
	}
	output(t, "balance m.onnx -o o.onnx --report r.json")
	if got, _ := os.ReadFile("r.json"); !json.Valid(got) {
		t.Errorf("a report of .json is %.40q", got)
	}
	for _, c := range []struct{ words, format string }{{"tex", "% needs"}, {"md", "**"}, {"htm", "<!DOCTYPE html>"}, {"txt", "m.onnx\n"}} {
		if got := output(t, "audit m.onnx --format "+c.words); !strings.HasPrefix(got, c.format) {
			t.Errorf("--format %s gave %.20q", c.words, got)
		}
	}
	refused(t, codeUsage, []string{"no .svg file", "--plots"}, "audit", "m.onnx", "-o", "x.svg")
	refused(t, codeUsage, []string{"no .xlsx file", ".csv"}, "diff", "m.onnx", "m.onnx", "-o", "x.xlsx")
	refused(t, codeUsage, []string{"no .pdf file"}, "balance", "m.onnx", "-o", "o2.onnx", "--report", "x.pdf")
	output(t, "audit m.onnx -o y.pdf --format json") // who says the format means it
	refused(t, codeUsage, []string{"ONNX", "--report x.csv"}, "balance", "m.onnx", "-o", "x.csv")
	refused(t, codeUsage, []string{"ONNX", "--report x.json"}, "finetune", "m.onnx", "--data", "csv:x", "-o", "x.json")
	refused(t, codeUsage, []string{"ONNX"}, "init", "--widths", "2,2", "-o", "x.html")
	refused(t, codeUsage, []string{"ONNX", "no ending of one: want .onnx"}, "init", "--widths", "2,2", "-o", "x.pt")
	refused(t, codeUsage, []string{"ONNX", "no ending of one: want .onnx"}, "balance", "m.onnx", "-o", "x.safetensors")
	output(t, "init --widths 2,2 -o x.model") // an ending that means nothing else
}

// TestMeant: what is misspelt is answered with what was meant, where that is near.
func TestMeant(t *testing.T) {
	for _, c := range []struct{ want, line string }{
		{`"--measures"`, "audit m.onnx --mesures all"},
		{`"path_norm"`, "audit m.onnx --measures path_nrom"},
		{`"path_norm"`, "audit m.onnx --sort path_nrom"},
		{`"frobenius"`, "audit m.onnx --columns frobenious"},
		{`"parameters"`, "audit m.onnx --columns paramters"},
		{`"hidden_units"`, "audit m.onnx --sort hiden_units"},
		{`"depth"`, "diff m.onnx m.onnx --columns deptt"},
		{`"parameters"`, "diff m.onnx m.onnx --fail-if paramters>2"},
		{`"enorm"`, "balance m.onnx --method enrom --dry-run"},
		{`"markdown"`, "audit m.onnx --format mardown"},
		{`"audit"`, "audti m.onnx"},
		{`"equivalent"`, "equiv a b"},
		{`"exclude"`, "audit m.onnx --bias exlude"},
		{`"optimizers"`, "experiment optimisers --data csv:x"},
	} {
		refused(t, codeUsage, []string{"did you mean " + c.want}, strings.Fields(c.line)...)
	}
	for _, word := range []string{"", "zzzzzzzzzzzz", "q"} {
		if got := meant(word, measureNames()); got != "" {
			t.Errorf("%q: %s", word, got)
		}
	}
}

// TestHelpSpeaksPlainly: the help of every command says numbers, names and files where a library would say
// float64 or stringSlice, and both ways to ask for the version have one answer.
func TestHelpSpeaksPlainly(t *testing.T) {
	types := regexp.MustCompile(`(?m)^ +(?:-[a-z], )?--[a-z-]+ (?:strings?|stringSlice|stringArray|floats?|float(?:32|64)|u?int[0-9]*|ints|uints|bool|duration|choice|value)\b`)
	list := regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z]`).FindAllStringSubmatch(output(t, "--help"), -1)
	if len(list) < 12 {
		t.Fatalf("%d commands", len(list))
	}
	for _, c := range list {
		help := output(t, c[1]+" --help")
		if found := types.FindAllString(help, -1); found != nil {
			t.Errorf("%s: %q", c[1], found)
		}
		if c[1] != "help" && c[1] != "experiment" && c[1] != "completion" && strings.Count(help, "\n      --") == 0 {
			t.Errorf("%s has no flags:\n%s", c[1], help)
		}
	}
	if a, b := output(t, "version"), output(t, "--version"); a != b || !strings.HasPrefix(a, "relupath ") {
		t.Errorf("%q and %q", a, b)
	}
}

// TestColumns: tables show the chosen columns in their order, csv as well and with all digits.
func TestColumns(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"toy", "mnist_mlp", "usps_conv", "letter_tied", "iris_own"} {
		if err := os.WriteFile(name+".onnx", testmodels.Bytes(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The toy's numbers are known: docs/measures.md.
	csv := output(t, "audit toy.onnx --columns depth,path_norm(2),path_norm(3),parameters,product_spectral,group_norm(1,inf) --format csv")
	lines := strings.Split(strings.TrimSpace(csv), "\n")
	if len(lines) != 2 || lines[0] != `path,depth,path_norm(2),path_norm(3),parameters,product_spectral,"group_norm(1,inf)"` ||
		!strings.HasPrefix(lines[1], "toy.onnx,2,12.6095202129") || strings.Count(lines[1], ",") != 6 || strings.Contains(lines[1], ",,") {
		t.Errorf("%s", csv)
	}
	for _, n := range []int{2, 3, 5} {
		models := strings.Join([]string{"iris_own.onnx", "toy.onnx", "mnist_mlp.onnx", "usps_conv.onnx", "letter_tied.onnx"}[:n], " ")
		head := strings.Fields(strings.Split(output(t, "audit "+models), "\n")[1])
		if want := append([]string{"model"}, usualColumns...); !slices.Equal(head, want) {
			t.Errorf("%d models: columns %v, want %v", n, head, want)
		}
	}
	if wide := output(t, "audit toy.onnx iris_own.onnx --measures fast"); !strings.Contains(wide, "\nmeasure ") || !strings.Contains(wide, "balance_spread") {
		t.Errorf("many measures of two models:\n%s", wide)
	}
	// A measure of layers is one of their tables, which have the chosen ones alone.
	refused(t, codeUsage, []string{"--columns spectral is of single layers", "--per-layer"}, "audit", "toy.onnx", "--columns", "spectral,depth")
	refused(t, codeUsage, []string{"--sort spectral is of single layers"}, "audit", "toy.onnx", "--sort=-spectral")
	refused(t, 0, []string{"--columns path_norm_output(1,z): no model"}, "audit", "toy.onnx", "--columns", "path_norm_output(1,z)")
	if got := output(t, "audit toy.onnx --columns depth,spectral --per-layer --digits 3"); !strings.Contains(got, "outputs  spectral\n") {
		t.Errorf("layers have\n%s", got)
	}
	// A model's row has no layer, its layers' rows the spectral norms of [[2,-1],[1,3]] and [[4,-1]].
	rows := strings.Split(output(t, "audit toy.onnx --columns depth,spectral --per-layer --format csv"), "\n")
	if rows[0] != "path,layer,depth,spectral" || rows[1] != "toy.onnx,,2," || strings.Count(rows[2], ",") != 3 || !strings.HasPrefix(rows[2], "toy.onnx,") {
		t.Errorf("%q", rows)
	}
	// What --sort names is measured, with its orders.
	if got := output(t, "audit toy.onnx iris_own.onnx --sort path_norm(3) --columns depth"); !strings.HasPrefix(got, "2 models") {
		t.Error(got)
	}
	output(t, "audit toy.onnx iris_own.onnx --measures frobenius --sort product_spectral")
	refused(t, codeUsage, []string{"path_norm(2"}, "audit", "toy.onnx", "--columns", "path_norm(2")
	refused(t, codeUsage, []string{"order"}, "audit", "toy.onnx", "--columns", "path_norm(zero)")
	refused(t, codeUsage, []string{"--data"}, "audit", "toy.onnx", "--columns", "margin")
}

// TestNamedOrders: --measures takes the names that tables print, and measures these orders.
func TestNamedOrders(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("toy.onnx", testmodels.Bytes("toy"), 0o644); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		"--measures path_norm(2)":                         {"path_norm,2,"},
		"--measures path_norm(2),frobenius":               {"path_norm,2,", "frobenius,,"},
		"--measures path_norm(3) --p 1":                   {"path_norm,1,", "path_norm,3,"},
		"--measures group_norm(1,inf),path_norm(2)":       {"path_norm,2,", "group_norm,1,inf"},
		"--measures path_norm(2) --measures path_norm(1)": {"path_norm,2,", "path_norm,1,"},
		"--measures path_norm,schatten(2)":                {"path_norm,1,", "path_norm,2,", "path_norm,inf,", "schatten,1,", "schatten,2,", "schatten,inf,"},
	} {
		var got []string
		for l := range strings.Lines(output(t, "audit toy.onnx --format csv "+line)) {
			if f := strings.Split(l, ","); len(f) > 4 && (strings.Contains(f[2], "_norm") || f[2] == "frobenius" || f[2] == "schatten") {
				got = append(got, f[2]+","+f[3]+","+f[4])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	refused(t, codeUsage, []string{"--measures", "path_norm(2"}, "audit", "toy.onnx", "--measures", "path_norm(2")
	refused(t, codeUsage, []string{"frobenius has no orders"}, "audit", "toy.onnx", "--measures", "frobenius(2)")
	refused(t, codeUsage, []string{`"path_norm"`}, "audit", "toy.onnx", "--measures", "path_nrm(2)")
}

// TestDigits: tables have as many digits as are asked for.
func TestDigits(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("toy.onnx", testmodels.Bytes("toy"), 0o644); err != nil {
		t.Fatal(err)
	}
	for digits, want := range map[int]string{1: " 8 ", 3: " 7.81 ", 7: " 7.810250 "} {
		if got := output(t, fmt.Sprintf("audit toy.onnx --measures frobenius --digits %d", digits)); !strings.Contains(got, want) {
			t.Errorf("%d digits: no %q in\n%s", digits, want, got)
		}
	}
	refused(t, codeUsage, []string{"--digits"}, "audit", "toy.onnx", "--digits", "0")
	refused(t, codeUsage, []string{"--digits"}, "audit", "toy.onnx", "--digits", "18")
	tex := output(t, "audit toy.onnx --columns frobenius --format latex --caption Norms&more --label tab:n")
	if !strings.Contains(tex, `\caption{Norms\&more}\label{tab:n}`) || !strings.Contains(tex, `$\|W\|_F$`) || !strings.Contains(tex, "7.81") {
		t.Error(tex)
	}
	refused(t, codeUsage, []string{"--label"}, "audit", "toy.onnx", "--label", "a b")
	if tex := output(t, "audit toy.onnx --columns frobenius --format latex --label tab:my_norms"); !strings.Contains(tex, `\label{tab:my_norms}`) {
		t.Error(tex)
	}
}

// TestMathematicsOfPapers: every measure has a form for the heads of LaTeX tables, and names of
// outputs, which come from files, are words in it.
func TestMathematicsOfPapers(t *testing.T) {
	for _, i := range analysis.Registry() {
		label := i.Name
		if i.Params != nil {
			label += "(" + strings.Join([]string{"1", "inf"}[:min(len(i.Params), 2)], ",") + ")"
		}
		if tex := texOf(label); tex == "" || strings.HasPrefix(tex, "/") || strings.Contains(tex, "%p") {
			t.Errorf("%s is %q in LaTeX", label, tex)
		}
	}
	for label, want := range map[string]string{
		"path_norm(inf)":                     `\|\pi\|_{\infty}`,
		"path_norm_output(2,a_b,$[0])":       `\|\pi_{\text{a\_b,\$[0]}}\|_{2}`,
		"group_norm_over_margin(1,inf,5%)":   `\mu_{1,\infty}/\gamma_{5\%}`,
		"frobenius_over_margin(5%)":          `\|W\|_F/\gamma_{5\%}`,
		"margin(5%)":                         `\gamma_{5\%}`,
		"alpha_flattened":                    `\alpha\ \text{(flat)}`,
		"product_schatten_over_margin(3,5%)": `\textstyle\prod\|W\|_{S_{3}}/\gamma_{5\%}`,
	} {
		if got := texOf(label); got != want {
			t.Errorf("%s is %s in LaTeX, want %s", label, got, want)
		}
	}
}

// TestSixModelsFit: all fast measures of six models are one float, and in a terminal no more tables
// than their names take.
func TestSixModelsFit(t *testing.T) {
	inTestmodels(t)
	const six = "audit toy.onnx toy_unbalanced.onnx iris_own.onnx iris_sklearn.onnx digits_half.onnx usps_conv.onnx --measures fast"
	if tex := output(t, six+" --format latex"); strings.Count(tex, `\begin{table*}`) != 1 || strings.Contains(tex, "(continued)") || strings.Contains(tex, `_norm`) {
		t.Errorf("LaTeX:\n%s", tex)
	}
	if text := output(t, six); strings.Count(text, "\nmeasure ") > 2 || strings.Contains(text, "\nmodel ") {
		t.Errorf("text:\n%s", text)
	}
}

// TestNamesAreNoMeasures: models and layers that are named as measures are lead to no definition.
func TestNamesAreNoMeasures(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"frobenius.onnx", "max_abs.onnx"} {
		if err := os.WriteFile(name, testmodels.Bytes("toy"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page := output(t, "audit frobenius.onnx max_abs.onnx --measures path_norm --format html")
	if strings.Contains(page, `"#m-frobenius"`) || strings.Contains(page, `id="m-max_abs"`) || !strings.Contains(page, `"#m-path_norm"`) {
		t.Error("names of models are links")
	}
}

// TestProvenance: on request a result ends with what made it of which files.
func TestProvenance(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	if err := os.WriteFile("a toy.onnx", testmodels.Bytes("toy"), 0o644); err != nil {
		t.Fatal(err)
	}
	sum, err := hash("a toy.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "markdown", "latex", "html", "json", "jsonl"} {
		args := []string{"audit", "a toy.onnx", "--provenance", "--format", format, "-o", "r." + format}
		refused(t, 0, nil, args...)
		raw, err := os.ReadFile("r." + format)
		got := string(raw)
		if format == "html" {
			got = strings.ReplaceAll(got, "&#39;", "'")
		}
		for _, want := range []string{sum, "a toy.onnx", "2001-09-09T01:46:40Z", "relupath audit 'a toy.onnx' --provenance", version()} {
			if err != nil || !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in %s (%v)", format, want, got, err)
			}
		}
		if format == "json" && !json.Valid(raw) {
			t.Errorf("no JSON: %s", raw)
		}
	}
}

// TestProvenanceOfEveryCommand: reports have the sums of the models and data that were read, as these
// were when they were read, and of no drafts.
func TestProvenanceOfEveryCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	sums := map[string]string{}
	for name, content := range map[string][]byte{
		"toy.onnx": testmodels.Bytes("toy"), "other.onnx": testmodels.Bytes("toy_unbalanced"), "d.csv": []byte("1,2,0\n2,1,1\n"),
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		sum, err := hash(name)
		if err != nil {
			t.Fatal(err)
		}
		sums[name] = sum
	}
	for _, c := range []struct{ line, files string }{
		{"inspect toy.onnx -o r.json", "toy.onnx"},
		{"audit toy.onnx --baseline other.onnx -o r.json", "other.onnx toy.onnx"},
		{"audit toy.onnx --data csv:d.csv -o r.json", "d.csv toy.onnx"},
		{"diff toy.onnx other.onnx -o r.json", "other.onnx toy.onnx"},
		{"equivalent toy.onnx other.onnx -o r.json", "other.onnx toy.onnx"},
		{"eval toy.onnx --data csv:d.csv -o r.json", "d.csv toy.onnx"},
		{"balance toy.onnx --dry-run --report r.json", "toy.onnx"},
		{"balance toy.onnx -o new.onnx --report r.json", "toy.onnx"},
		{"prune toy.onnx --sparsity 0.5 -o new.onnx --report r.json", "toy.onnx"},
		{"finetune toy.onnx --data csv:d.csv --epochs 1 -o new.onnx --report r.json", "d.csv toy.onnx"},
		{"balance toy.onnx -o toy.onnx --report r.json", "toy.onnx"}, // written over
	} {
		_ = os.Remove("r.json")
		refused(t, 0, nil, append(strings.Fields(c.line), "--provenance", "--force", "--quiet")...)
		var got struct {
			Provenance struct {
				Files []struct{ Path, SHA256 string }
			}
		}
		raw, err := os.ReadFile("r.json")
		if err == nil {
			err = json.Unmarshal(raw, &got)
		}
		var files []string
		for _, f := range got.Provenance.Files {
			if files = append(files, f.Path); f.SHA256 != sums[f.Path] {
				t.Errorf("%s: the sum of %s is %s, want %s", c.line, f.Path, f.SHA256, sums[f.Path])
			}
		}
		if strings.Join(files, " ") != c.files {
			t.Errorf("%s: of %v, want %s (%v)", c.line, files, c.files, err)
		}
	}
}

// TestFailuresInALine: several models that cannot be measured take a line each, and
// --verbose tells the rest.
func TestFailuresInALine(t *testing.T) {
	f := failure{Path: "m.onnx", Obstacles: []obstacle{
		{"a", "Conv", "no weights", "give some"}, {"b", "Clip", "bounds are computed", ""}, {"c", "Clip", "bounds are computed", ""},
	}}
	if got, want := f.summary(), "Clip, 2 nodes, first b: bounds are computed (and 1 other obstacle)"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	short, long := failureTable([]failure{f, f}, false), failureTable([]failure{f, f}, true)
	if len(short.Rows) != 2 || len(long.Rows) != 6 {
		t.Errorf("%d and %d rows, want 2 and 6", len(short.Rows), len(long.Rows))
	}
	dir := t.TempDir()
	for _, name := range []string{"a.onnx", "b.onnx"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("<html>"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, codeInvalid, []string{"2 of 2"}, "audit", dir)
}

// TestToldOnce: why one model is not measured is told once; of several the table says it, and a
// report that is asked for has it too.
func TestToldOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("m.onnx", []byte("a,b\n1,2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const why = "this is text"
	for _, c := range []struct {
		line      string
		out, errs int
	}{
		{"audit m.onnx", 0, 1},
		{"audit m.onnx m.onnx", 2, 0},
		{"audit m.onnx --verbose", 1, 1},
		{"audit m.onnx --format json", 1, 1},
		{"inspect m.onnx", 0, 1},
	} {
		var out, errs bytes.Buffer
		if code := Run(strings.Fields(c.line), nil, &out, &errs); code != codeInvalid {
			t.Errorf("%s: exit code %d", c.line, code)
		}
		if o, e := strings.Count(out.String(), why), strings.Count(errs.String(), why); o != c.out || e != c.errs {
			t.Errorf("%s: told %d times on standard output and %d on standard error, want %d and %d", c.line, o, e, c.out, c.errs)
		}
	}
}

// TestLinesFit: no line that a command prints is wider than 80 columns, where no terminal tells its own,
// unless it is one word.
func TestLinesFit(t *testing.T) {
	inTestmodels(t)
	if err := os.WriteFile("iris.csv", []byte(irisRows), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"audit mnist_mlp.onnx", "audit mnist_mlp.onnx --per-layer --measures all", "audit .", "audit . --measures all", "audit --list",
		"audit toy.onnx toy_unbalanced.onnx --baseline toy.onnx", "audit iris_own.onnx --data csv:iris.csv,header --measures all",
		"balance digits_residual.onnx --dry-run", "balance usps_keras.onnx --method cle --dry-run", "prune digits_residual.onnx --sparsity 0.5 -o p.onnx",
		"inspect digits_residual.onnx", "diff toy.onnx toy_unbalanced.onnx", "equivalent toy.onnx toy_unbalanced.onnx",
		"eval iris_own.onnx --data csv:iris.csv,header", "audit iris_own.onnx --rescalings 2", "doctor", "version",
		"finetune iris_own.onnx --data csv:iris.csv,header --epochs 2 -o f.onnx", "init --widths 4,3,2 -o i.onnx",
	} {
		for l := range strings.Lines(output(t, line+" --provenance")) {
			if l = strings.TrimRight(l, "\n"); utf8.RuneCountInString(l) > 80 && strings.Contains(l, " ") {
				t.Errorf("%s: %d columns: %s", line, utf8.RuneCountInString(l), l)
			}
		}
	}
}
