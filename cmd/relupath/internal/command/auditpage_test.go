package command

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/testmodels"
)

// TestRuns: models are checkpoints of one run where they have the same layers and names that
// differ in one number, which rises.
func TestRuns(t *testing.T) {
	layers := []auditedLayer{{Name: "fc", Op: "Gemm", Inputs: 4, Outputs: 3}}
	for _, c := range []struct {
		paths string
		want  []float64
	}{
		{"run/epoch_0.onnx run/epoch_5.onnx run/epoch_10.onnx", []float64{0, 5, 10}},
		{"run2/1/m.onnx run2/20/m.onnx", []float64{1, 20}},
		{"seed1/epoch_1.onnx seed2/epoch_2.onnx", nil},
		{"epoch_2.onnx epoch_1.onnx", nil},
		{"epoch_1.onnx epoch_1.onnx", nil},
		{"a.onnx b.onnx", nil},
		{"epoch_1.onnx", nil},
	} {
		var models []auditedModel
		for p := range strings.FieldsSeq(c.paths) {
			models = append(models, auditedModel{origin: origin{Path: p}, Layers: layers})
		}
		got, ok := runOf(models)
		if ok != (c.want != nil) || ok && !slices.Equal(got, c.want) {
			t.Errorf("%s: %v %v, want %v", c.paths, got, ok, c.want)
		}
		if ok {
			models[1].Layers = nil
			if _, ok := runOf(models); ok {
				t.Errorf("%s: other layers, and one run", c.paths)
			}
		}
	}
}

// TestFiguresOfModels: unrelated models have bars, checkpoints of one run lines relative to the
// first, of logarithms the difference.
func TestFiguresOfModels(t *testing.T) {
	for path, joined := range map[string]bool{"epoch_": true, "net_#": true} {
		r := audited()
		for i, scale := range []float64{1, 2, 4} {
			name := path + string(rune('1'+i)) + ".onnx"
			r.Models = append(r.Models, handMade(name, 0, scale))
		}
		if path == "net_#" {
			r.Models[1].Layers, joined = nil, false
		}
		for _, f := range overModels(r) {
			l, line := f.Chart.(*render.Lines)
			if line != joined {
				t.Fatalf("%s %s: joined %v", path, f.Title, line)
			}
			if !line {
				continue
			}
			var got []float64
			for _, x := range l.Series[0].Values {
				got = append(got, x.Float64())
			}
			want := []float64{1, 1, 1}
			switch f.Title {
			case "path_norm(1)", "path_norm(2)":
				want = []float64{1, 2, 4}
			case "sum_log_frobenius_squared", "zero_share":
				want = []float64{0, 0, 0}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", f.Title, diff)
			}
		}
	}
}

// TestPageOfModels: a page begins with what it is about and the result, has a cell that links to
// each measure's definition, says why a value is undefined, and ends with what is not measured.
func TestPageOfModels(t *testing.T) {
	r := audited(handMade("models/a.onnx", 0, 1), handMade("models/b.onnx", 0, 3))
	r.Models[1].Measures[7].Reason = "functions stand between"
	r.Errors = append(r.Errors, failure{Path: "models/c.onnx", Obstacles: []obstacle{{"x", "Clip", "bounds are computed", ""}}})
	d := auditPage(r)
	d.Figures = auditFigures(r)
	var b strings.Builder
	if err := render.Write(&b, d, render.Options{Format: render.HTML, Version: "relupath v1", Date: "1 May 2026"}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	at := -1
	for _, want := range []string{
		`<h1>a, b and c</h1>`,
		`2 of 3 models are measured; path_norm(2) lies between 12.30 (a) and 36.90 (b).`,
		`relupath v1 · 1 May 2026`,
		`<a href="#definitions">`,
		`<a href="#m-path_norm">`, `<title>b: 36.900</title>`,
		`undefined<sup>`, `undefined: functions stand between`,
		`class="figures small"`, `bounds are computed`, `id="m-path_norm"`, `The p-norm of all paths`,
	} {
		k := strings.Index(page, want)
		if k < at {
			t.Errorf("%q is at %d, before what comes before it (-1: nowhere)", want, k)
		}
		at = max(at, k)
	}
	if !strings.Contains(page, "269,322") {
		t.Error("no thousands separators")
	}
}

// TestManyOnAPage: a page of many models shows a choice of few, the rest behind words that open it;
// all is in sight where measures are asked for.
func TestManyOnAPage(t *testing.T) {
	inTestmodels(t)
	models := "audit toy.onnx toy_unbalanced.onnx iris_own.onnx iris_sklearn.onnx digits_half.onnx digits_softmax.onnx petal_sklearn.onnx usps_conv.onnx letter_leaky.onnx --format html"
	page := output(t, models)
	open, folded, found := strings.Cut(page, "<details><summary>")
	if !found {
		t.Fatal("nothing is folded")
	}
	if n := strings.Count(open, `<th scope="col"`); n != 1+len(usualColumns) {
		t.Errorf("%d columns in sight, want the model and %v", n, usualColumns)
	}
	if !strings.Contains(folded, "balance_<wbr>spread") || strings.Contains(output(t, models+" --measures path_norm,frobenius"), "<details>") {
		t.Error("the rest is missing, or what is asked for is folded")
	}
}

// TestSecondaryIsFolded: pages of one model, of a few and of layers show a choice of measures, the rest behind
// words that open it, and the first measure of layers beside their names.
func TestSecondaryIsFolded(t *testing.T) {
	inTestmodels(t)
	for line, folds := range map[string]int{
		"audit usps_conv.onnx": 1, "audit usps_conv.onnx --per-layer": 2, "audit toy.onnx usps_conv.onnx mnist_mlp.onnx": 1,
		"audit usps_conv.onnx --measures path_norm,path_2": 0, "audit toy.onnx usps_conv.onnx --measures fast": 0,
	} {
		page := output(t, line+" --format html")
		if n := strings.Count(page, "<details><summary>"); n != folds {
			t.Errorf("%s: %d tables are folded, want %d", line, n, folds)
		}
		open, rest, _ := strings.Cut(page, "<details><summary>")
		if folds > 0 && (!strings.Contains(open, "path_<wbr>norm<wbr>(2)") || strings.Contains(open, "sum_<wbr>of_") || !strings.Contains(rest, "sum_<wbr>of_")) {
			t.Errorf("%s: path_norm(2) is not in sight, or sum_of_frobenius is not behind the words", line)
		}
	}
	page := output(t, "audit usps_conv.onnx --per-layer --format html")
	if layer, norm := strings.Index(page, "<span>layer<"), strings.Index(page, "<span>inputs<"); layer < 0 || !strings.Contains(page[layer:norm], "group_<wbr>norm") {
		t.Error("inputs come before the first measure of layers")
	}
}

// TestFactsOnAPage: a page says what goes in and comes out of a model, as inspect does, and has the
// formulas as MathML.
func TestFactsOnAPage(t *testing.T) {
	inTestmodels(t)
	page := output(t, "audit usps_conv.onnx --per-layer --format html")
	var inspected struct {
		Inputs, Outputs []port
	}
	if err := json.Unmarshal([]byte(output(t, "inspect usps_conv.onnx --format json")), &inspected); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(inspected.Inputs, inspected.Outputs...) {
		if want := p.Name + " " + p.Type + " " + render.Dims(p.Shape); !strings.Contains(strings.ReplaceAll(page, "<wbr>", ""), want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if strings.Count(page, "<math ") < 10 {
		t.Error("formulas are missing")
	}
}

// TestPagesSayWhat: the page of every command about models begins with their names and its result in a sentence.
func TestPagesSayWhat(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string][]byte{
		"toy.onnx": testmodels.Bytes("toy"), "other.onnx": testmodels.Bytes("toy_unbalanced"), "d.csv": []byte("1,2,0\n2,1,1\n"),
	} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ line, subject, lead string }{
		{"inspect toy.onnx -o r.html", "toy", "8 parameters in 2 layers"},
		{"audit toy.onnx -o r.html", "toy", "path_norm(2)"},
		{"audit toy.onnx other.onnx -o r.html", "toy and other", "Both models are measured"},
		{"diff toy.onnx other.onnx -o r.html", "toy", "measures"},
		{"equivalent toy.onnx other.onnx -o r.html", "toy and other", "one network up to rescaling"},
		{"eval toy.onnx --data csv:d.csv -o r.html", "toy", "of 2 examples are wrong"},
		{"balance toy.onnx --dry-run --report r.html", "toy", "Same function: yes"},
		{"prune toy.onnx --sparsity 0.5 -o new.onnx --report r.html", "toy", "of 8 weights are zero"},
		{"finetune toy.onnx --data csv:d.csv --test csv:d.csv --epochs 1 -o new.onnx --report r.html", "toy", "1 epoch of"},
	} {
		refused(t, 0, nil, append(strings.Fields(c.line), "--force", "--quiet")...)
		raw, err := os.ReadFile("r.html")
		if err != nil {
			t.Fatal(err)
		}
		_, head, _ := strings.Cut(string(raw), "<h1>")
		subject, rest, _ := strings.Cut(head, "</h1>")
		_, lead, _ := strings.Cut(rest, `<p class="lead">`)
		lead, _, _ = strings.Cut(lead, "</p>")
		if !strings.HasPrefix(subject, c.subject) || !strings.Contains(lead, c.lead) {
			t.Errorf("%s: %q, %q", c.line, subject, lead)
		}
	}
}
