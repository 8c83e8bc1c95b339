package command

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/testmodels"
)

// toyPair writes a network and one that is equivalent to it, whose numbers are known: the
// Frobenius norms are sqrt(61) and that of the weights of toy_unbalanced.
func toyPair(t *testing.T, a, b string) {
	t.Helper()
	for path, name := range map[string]string{a: "toy", b: "toy_unbalanced"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, testmodels.Bytes(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiff: changes are those of the measures that audit gives, the layer is the one that changes
// most, and models of folders meet by their names.
func TestDiff(t *testing.T) {
	t.Chdir(t.TempDir())
	toyPair(t, "a/sub/m.onnx", "b/sub/m.onnx")
	output(t, "init --widths 2,2 -o a/alone.onnx")
	output(t, "init --widths 2,2 -o b/other.onnx")
	var audited struct {
		Models []struct {
			Measures []struct {
				Name  string
				Value float64
			}
			Layers []struct {
				Name     string
				Measures []struct {
					Name  string
					Value float64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(output(t, "audit a/sub/m.onnx b/sub/m.onnx --measures frobenius --per-layer --format json")), &audited); err != nil {
		t.Fatal(err)
	}
	before, after := audited.Models[0].Measures[0].Value, audited.Models[1].Measures[0].Value
	var layer string
	var most float64
	for i, l := range audited.Models[0].Layers {
		if c := audited.Models[1].Layers[i].Measures[0].Value/l.Measures[0].Value - 1; math.Abs(c) > math.Abs(most) {
			layer, most = l.Name, c
		}
	}
	var r diffJSON
	if err := json.Unmarshal([]byte(output(t, "diff a b --measures frobenius --format json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Pairs) != 1 || len(r.OnlyA) != 1 || r.OnlyA[0] != "alone.onnx" || len(r.OnlyB) != 1 || r.OnlyB[0] != "other.onnx" {
		t.Fatalf("%+v", r)
	}
	p := r.Pairs[0]
	for _, c := range p.Measures {
		if c.Measure == "frobenius" && math.Abs(*c.Change-(after/before-1)) > 1e-12*after {
			t.Errorf("change %v of %v to %v", *c.Change, before, after)
		}
		if c.Measure == "depth" && *c.Change != 0 {
			t.Errorf("the depth changes by %v", *c.Change)
		}
	}
	if len(p.Layers) != 1 || p.Layers[0].Layer != layer || math.Abs(*p.Layers[0].Change-most) > 1e-12*most {
		t.Errorf("%+v, want %s with %v", p.Layers, layer, most)
	}
	if got := output(t, "diff a/sub/m.onnx b/sub/m.onnx"); !strings.Contains(got, "681.13%") || strings.Contains(got, "path_norm_output") {
		t.Error(got)
	}
	if got := output(t, "diff a b --columns frobenius,path_norm"); !strings.Contains(got, "681.13%") || !strings.Contains(got, "0%") {
		t.Error(got)
	}
	// csv has the columns that are asked for, in their order; LaTeX the heads as mathematics.
	lines := strings.Split(strings.TrimSpace(output(t, "diff a b --columns frobenius,depth --format csv")), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], ",,frobenius,") || !strings.Contains(lines[2], ",,depth,") || !strings.Contains(lines[3], layer+",frobenius,") {
		t.Errorf("%q", lines)
	}
	if got := output(t, "diff a b --columns frobenius --format table"); strings.Contains(got, "group_norm") {
		t.Errorf("a layer's measure that is not asked for:\n%s", got)
	}
	toyPair(t, "a/two.onnx", "b/two.onnx")
	tex := output(t, "diff a b --columns frobenius,depth,sum_log_frobenius_squared --format latex")
	for _, want := range []string{`{$\|W\|_F\ (\%)$}`, `{$\text{depth}\ (\%)$}`, `\text{ (difference)}$}`} {
		if !strings.Contains(tex, want) {
			t.Errorf("no %s in\n%s", want, tex)
		}
	}
	if tex := output(t, "diff a/two.onnx b/two.onnx --columns sum_log_frobenius_squared --format latex"); !strings.Contains(tex, `\ \text{(difference)}$`) {
		t.Error(tex)
	}
	refused(t, codeUsage, []string{"two folders"}, "diff", "a", "b/sub/m.onnx")
	refused(t, codeInvalid, []string{"nowhere: no such file or folder"}, "diff", "a", "nowhere")
	refused(t, codeInvalid, []string{"nowhere: no such file or folder"}, "diff", "nowhere", "b")
	refused(t, codeInvalid, []string{"nowhere.onnx"}, "diff", "a/sub/m.onnx", "nowhere.onnx")
	output(t, "init --widths 2,2 -o alone.onnx")
	if err := errors.Join(os.MkdirAll("apart", 0o755), os.Rename("alone.onnx", "apart/alone too.onnx")); err != nil {
		t.Fatal(err)
	}
	refused(t, codeFailed, []string{"has the name"}, "diff", "a", "apart")
}

// TestFailIf: a condition that holds gives exit code 1 and a sentence, after the report.
func TestFailIf(t *testing.T) {
	t.Chdir(t.TempDir())
	toyPair(t, "a.onnx", "b.onnx")
	for _, c := range []struct {
		code int
		line string
	}{
		{codeFailed, "diff a.onnx b.onnx --fail-if frobenius>1.1x"},
		{0, "diff a.onnx b.onnx --fail-if frobenius>8x"},
		{codeFailed, "diff a.onnx b.onnx --fail-if frobenius>=680%"},
		{0, "diff a.onnx b.onnx --fail-if frobenius>682%"},
		{codeFailed, "diff b.onnx a.onnx --fail-if frobenius<-80%"},
		{0, "diff a.onnx b.onnx --fail-if path_norm(2)>1e-6x+1"},
		{codeFailed, "diff a.onnx b.onnx --fail-if max_abs>59"},
		{0, "diff a.onnx b.onnx --fail-if max_abs>60"},
		{codeFailed, "diff a.onnx b.onnx --fail-if max_abs>=60"},
		{codeFailed, "audit a.onnx b.onnx --fail-if max_abs>59 --format json"},
		{codeFailed, "audit a.onnx --fail-if path_norm(3)>10"},
		{0, "audit a.onnx --fail-if path_norm(3)>11"},
		{codeFailed, "audit a.onnx --fail-if product_spectral>16 --format csv"},
		{codeFailed, "audit a.onnx --fail-if parameters>7"},
		{codeFailed, "audit a.onnx b.onnx --baseline a.onnx --fail-if frobenius>1.1x"},
		{0, "audit a.onnx b.onnx --baseline b.onnx --fail-if frobenius>1.1x"},
		{codeFailed, "audit b.onnx --baseline a.onnx --fail-if frobenius>1.1x"},
		{0, "audit a.onnx --baseline ./a.onnx --fail-if frobenius>1.1x"},
		{codeUsage, "audit a.onnx --baseline nowhere.onnx"},
		{codeFailed, "diff a.onnx b.onnx --fail-if spectral>1.1x"},
		{0, "diff a.onnx b.onnx --fail-if spectral>100x"},
		{codeFailed, "audit a.onnx --fail-if spectral>6.4"},
		{0, "audit a.onnx --fail-if spectral>6.5"},
		{codeUsage, "audit a.onnx --fail-if frobenius>1.1x"},
		{codeUsage, "audit a.onnx --fail-if frobenios>1"},
		{codeUsage, "audit a.onnx --fail-if frobenius"},
		{codeUsage, "audit a.onnx --fail-if path_norm(zero)>1"},
		{codeUsage, "audit a.onnx --fail-if frobenius>1 --format jsonl"},
	} {
		if strings.Contains(c.line, "x+1") {
			c.code = codeUsage // no number
		}
		var words []string
		if c.code == codeFailed {
			words = []string{"fails by"}
		}
		refused(t, c.code, words, strings.Fields(c.line)...)
	}
	// A line for each model.
	refused(t, codeFailed, []string{"relupath: a.onnx: frobenius is 7.8102: fails by frobenius>1\nb.onnx: frobenius is "}, "audit", "a.onnx", "b.onnx", "--fail-if", "frobenius>1")
	// What has no value is not passed over.
	if s, found := (&condition{measure: "margin", op: ">"}).broken(&auditedModel{Measures: []measured{{Name: "margin", num: nan()}}}, nil); !found || len(s) != 1 {
		t.Errorf("%v, %v", s, found)
	}
}

func nan() scaled.Num { return scaled.New(math.NaN()) }

// TestDiffPathMetric: the toy and its equivalent network have the same path vector; a network of
// other layers has none to compare, and the sentence says why.
func TestDiffPathMetric(t *testing.T) {
	t.Chdir(t.TempDir())
	toyPair(t, "a.onnx", "b.onnx")
	output(t, "init --widths 2,3,2 -o c.onnx")
	var got struct {
		Pairs []struct {
			PathMetric struct {
				Value  *float64
				Reason string
			} `json:"path_metric"`
		}
	}
	for _, c := range []struct {
		b       string
		defined bool
	}{{"a.onnx", true}, {"b.onnx", true}, {"c.onnx", false}} {
		if err := json.Unmarshal([]byte(output(t, "diff a.onnx "+c.b+" --path-metric --format json")), &got); err != nil {
			t.Fatal(err)
		}
		m := got.Pairs[0].PathMetric
		if (m.Value != nil) != c.defined || (m.Reason == "") != c.defined {
			t.Errorf("%s: %+v", c.b, m)
		}
		// The path norm is 29; balanced weights are float32.
		if c.defined && *m.Value > 29*1e-6 {
			t.Errorf("%s is %v from a.onnx", c.b, *m.Value)
		}
	}
	if text := output(t, "diff a.onnx c.onnx --path-metric"); !strings.Contains(text, "No path metric: ") {
		t.Errorf("no reason in %s", text)
	}
}

// TestChangesDrawn: a page has a plot of what changes, in per cent, and one for each norm of the
// layers with the largest change on top; what stays the same is in none.
func TestChangesDrawn(t *testing.T) {
	change := func(label, layer string, a, b float64) measureChange {
		return newMeasureChange(label, layer, "norm", scaled.New(a), scaled.New(b))
	}
	p := pairOfModels{
		Name:     "m",
		Measures: []measureChange{change("frobenius", "", 2, 3), change("path_norm(2)", "", 1, 1), change("max_abs", "", 4, 1)},
		inLayers: []changeOfLayer{
			{"frobenius", "first", scaled.New(0.1), false}, {"frobenius", "second", scaled.New(-0.5), false}, {"frobenius", "third", scaled.Num{}, true},
		},
	}
	figures := (&auditOptions{}).diffFigures(&diffJSON{Pairs: []pairOfModels{p}})
	if len(figures) != 2 {
		t.Fatalf("%d figures, want the measures and one norm of layers", len(figures))
	}
	for i, want := range []map[string]float64{{"frobenius": 50, "max_abs": -75}, {"second": -50, "first": 10}} {
		b := figures[i].Chart.(*render.Bars)
		got := map[string]float64{}
		for k, name := range b.Categories {
			got[name] = math.Round(b.Series[0].Values[k].Float64()*1e9) / 1e9
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("figure %d (-want +got):\n%s", i, diff)
		}
	}
	if b := figures[1].Chart.(*render.Bars); b.Categories[0] != "second" {
		t.Errorf("%v, want the largest change first", b.Categories)
	}
	if several := (&auditOptions{}).diffFigures(&diffJSON{Pairs: []pairOfModels{p, p}}); len(several) != 2 {
		t.Errorf("%d plots of two pairs, want one for each of two measures that change", len(several))
	}
	t.Chdir(t.TempDir())
	toyPair(t, "a.onnx", "b.onnx")
	if page := output(t, "diff a.onnx b.onnx --format html"); strings.Count(page, "<figure>") < 3 || !strings.Contains(page, "Layers that change most") {
		t.Error("the page has no plots of changes")
	}
}

// TestDiffPageCounts: the sentence of a page counts the measures that it shows, and its title has no folders.
func TestDiffPageCounts(t *testing.T) {
	inTestmodels(t)
	page := output(t, "diff ./toy.onnx ./toy_unbalanced.onnx --format html")
	if !strings.Contains(page, "<h1>toy → toy_unbalanced</h1>") {
		t.Error("the title has folders or endings")
	}
	var changed, all, same int
	counts := regexp.MustCompile(`(\d+) of (\d+) measures change(?s:.*)<summary>(\d+) measures are the same`).FindStringSubmatch(page)
	if counts == nil {
		t.Fatal("the page does not count")
	}
	for i, n := range []*int{&changed, &all, &same} {
		*n, _ = strconv.Atoi(counts[i+1])
	}
	if changed+same != all {
		t.Errorf("%d of %d change, and %d are the same", changed, all, same)
	}
}
