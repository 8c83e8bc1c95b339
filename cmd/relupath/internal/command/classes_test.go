package command

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

// parsed runs a command that must succeed and decodes its JSON.
func parsed[T any](t *testing.T, args ...string) (r T, warnings string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(append(args, "--format", "json"), nil, &out, &errs); code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, &errs)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r, errs.String()
}

// refused runs a command that must fail with an exit code and words.
func refused(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := Run(args, nil, &out, &errs); got != code {
		t.Errorf("%v: exit code %d, want %d: %s", args, got, code, &errs)
	}
	for _, w := range words {
		if !strings.Contains(errs.String(), w) {
			t.Errorf("%v: %q is not in %s", args, w, &errs)
		}
	}
}

// TestClassesOfTheModel: the label of a class is found by the list in the model, on
// files that lack classes and have them in any order. scikit-learn gave the numbers
// (testdata/classes.py): log_loss, and margins of the logarithms of its probabilities.
func TestClassesOfTheModel(t *testing.T) {
	raw, err := os.ReadFile("testdata/classes/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		Classes             []string
		Loss, Error, Margin float64
		Margin5             float64
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for name, want := range all {
		model, data := "testdata/classes/"+name+".onnx", "csv:testdata/classes/"+name+".csv"
		e, _ := parsed[evalJSON](t, "eval", model, "--data", data, "--percentile", "5")
		// The exported weights are float32.
		near := func(what string, got, want float64) {
			if !(math.Abs(got-want) <= 1e-6*math.Max(1, math.Abs(want))) {
				t.Errorf("%s: %s %v, want %v", name, what, got, want)
			}
		}
		near("loss", *e.Loss, want.Loss)
		near("error", *e.Error, want.Error)
		near("margin", *e.Margins[0].Margin, want.Margin5)
		if !slices.Equal(e.Classes, want.Classes) || !e.Logits {
			t.Errorf("%s: classes %v, want %v; logits %v", name, e.Classes, want.Classes, e.Logits)
		}
		r, _ := parsed[auditJSON](t, "audit", model, "--data", data, "--measures", "margin")
		if got := *r.Models[0].Measures[0].Value.Value; got != *e.Margins[0].Margin {
			t.Errorf("%s: margin %v in audit, %v in eval", name, got, *e.Margins[0].Margin)
		}
		if d := r.Models[0].Data; d.Scores != e.Scores || !slices.Equal(d.Classes, want.Classes) || d.Examples != e.Examples {
			t.Errorf("%s: audit took %+v, eval scores of %s", name, d, e.Scores)
		}
		f := finetuned(t, model, "--data", data, "--test", data, "-o", filepath.Join(t.TempDir(), "out.onnx"), "--epochs", "1", "--lr", "1e-3")
		near("loss before training", *f.Before.TestLoss, want.Loss)
		near("error before training", *f.Before.TestError, want.Error)
		if f.Scores != e.Scores || !slices.Equal(f.Classes, want.Classes) {
			t.Errorf("%s: finetune took scores of %s and classes %v", name, f.Scores, f.Classes)
		}
	}
}

// TestClassesEverywhere: experiments and studies that begin with a model number labels
// as its list does, on a file that lacks a class.
func TestClassesEverywhere(t *testing.T) {
	const model, data = "testdata/classes/text.onnx", "csv:testdata/classes/text.csv"
	dir := t.TempDir()
	var got struct {
		Before finetune.Epoch `json:"initial"`
	}
	var out, errs bytes.Buffer
	if code := Run([]string{"experiment", "balance", model, "--data", data, "--test", data, "-o", filepath.Join(dir, "e"), "--epochs", "1", "--seeds", "1", "--rates", "0.001"}, nil, &out, &errs); code != 0 {
		t.Fatal(&errs)
	}
	records, err := filepath.Glob(filepath.Join(dir, "e", "trainings", "*.json"))
	if err != nil || len(records) == 0 {
		t.Fatal(records, err)
	}
	for _, path := range records {
		raw, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(raw, &got)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !(math.Abs(*got.Before.TestLoss-0.8474975750619685) <= 1e-6) { // scikit-learn's log_loss: expected.json
			t.Errorf("%s begins with the test loss %v", path, *got.Before.TestLoss)
		}
	}
	s, _ := parsed[studyJSON](t, "audit", model, "--rescalings", "2", "--data", data, "--measures", "margin")
	if m := s.Models[0]; m.Data.Scores != "MatMul1" || !(math.Abs(*m.Measures[0].Value.Value+0.26409459333850627) <= 1e-6) {
		t.Errorf("the study has the margin %v of %+v", *m.Measures[0].Value.Value, m.Data)
	}
}

// TestScoresOfProbabilities: what eval and audit say of a file of testmodels whose head
// makes two probabilities of one score is what finetune begins with.
func TestScoresOfProbabilities(t *testing.T) {
	inTestmodels(t)
	e := testmodels.ExpectedOf("cancer_sklearn")
	var csv strings.Builder
	loss := 0.0
	for i, s := range e.Samples {
		for _, x := range s.Input {
			b, _ := json.Marshal(x)
			csv.Write(append(b, ','))
		}
		csv.WriteString(string('0'+rune(i%2)) + "\n")
		loss -= math.Log(s.Outputs["probabilities"][i%2]) / float64(len(e.Samples)) // ONNX Runtime's
	}
	if err := os.WriteFile("c.csv", []byte(csv.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	// The runtime's 1 - p loses digits of small probabilities.
	const tolerance = 1e-6
	r, _ := parsed[evalJSON](t, "eval", "cancer_sklearn.onnx", "--data", "csv:c.csv", "--percentile", "5")
	if !(math.Abs(*r.Loss-loss) <= tolerance*loss) || len(r.Warnings) > 0 || r.Scores != "MatMul2" {
		t.Errorf("loss %v of %s, want %v; warnings %q", *r.Loss, r.Scores, loss, r.Warnings)
	}
	f := finetuned(t, "cancer_sklearn.onnx", "--data", "csv:c.csv", "--test", "csv:c.csv", "-o", "t.onnx", "--epochs", "1", "--lr", "1e-3")
	if !(math.Abs(*f.Before.TestLoss-loss) <= tolerance*loss) {
		t.Errorf("finetune begins with the loss %v, want %v", *f.Before.TestLoss, loss)
	}
	a, _ := parsed[auditJSON](t, "audit", "cancer_sklearn.onnx", "--data", "csv:c.csv", "--measures", "margin")
	if got := *a.Models[0].Measures[0].Value.Value; got != *r.Margins[0].Margin {
		t.Errorf("margin %v in audit, %v in eval", got, *r.Margins[0].Margin)
	}
}

// TestClassesWithoutAList: names in a file are numbered only where there is one for
// each score; finetune keeps its numbering in the model that it writes.
func TestClassesWithoutAList(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"three.csv": "1,2,b\n-1,0.5,c\n2,-3,a\n", "two.csv": "1,2,c\n-1,0.5,b\n", "other.csv": "1,2,d\n-1,0.5,b\n",
		"numbers.csv": "1,2,3\n-1,0.5,1\n",
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "init --widths 2,4,3 --seed 4 -o m.onnx")
	for _, command := range []string{"eval m.onnx", "audit m.onnx", "finetune m.onnx -o t.onnx"} {
		args := strings.Fields(command)
		refused(t, codeInvalid, []string{"2 classes (b, c)", "classes=A;B;C"}, append(args, "--data", "csv:two.csv")...)
		refused(t, codeInvalid, []string{"label 3", "classes=A;B;C"}, append(args, "--data", "csv:numbers.csv")...)
		refused(t, codeInvalid, []string{"2 classes (b, c)"}, append(args, "--data", "csv:two.csv,classes=b;c")...)
	}
	given, _ := parsed[evalJSON](t, "eval", "m.onnx", "--data", "csv:two.csv,classes=a;b;c")
	if !slices.Equal(given.Classes, []string{"a", "b", "c"}) || given.Examples != 2 {
		t.Errorf("classes %v", given.Classes)
	}
	var text bytes.Buffer
	if Run([]string{"eval", "m.onnx", "--data", "csv:two.csv,classes=a;b;c"}, nil, &text, &text); !strings.Contains(text.String(), "0 = a, 1 = b, 2 = c") {
		t.Errorf("the mapping is not printed: %s", &text)
	}
	// The file of the same run numbers its labels as the training file.
	f := finetuned(t, "m.onnx", "--data", "csv:three.csv", "--test", "csv:two.csv", "-o", "t.onnx", "--epochs", "1", "--lr", "1e-3")
	if !slices.Equal(f.Classes, []string{"a", "b", "c"}) {
		t.Errorf("classes %v", f.Classes)
	}
	after, _ := parsed[evalJSON](t, "eval", "t.onnx", "--data", "csv:two.csv")
	last := f.Epochs[len(f.Epochs)-1]
	// eval computes in float64, training in float32.
	if !(math.Abs(*after.Loss-*last.TestLoss) <= 1e-6) || *after.Error != *last.TestError || !slices.Equal(after.Classes, f.Classes) {
		t.Errorf("eval of the result: loss %v, error %v, classes %v; finetune: %v, %v", *after.Loss, *after.Error, after.Classes, *last.TestLoss, *last.TestError)
	}
	refused(t, codeInvalid, []string{`label "d"`, "a, b, c"}, "eval", "t.onnx", "--data", "csv:other.csv")
	refused(t, codeInvalid, []string{`label "d"`, "a, b, c"}, "finetune", "m.onnx", "--data", "csv:three.csv", "--test", "csv:other.csv", "-o", "u.onnx")
	// Another list replaces the one in the metadata, and is told of.
	g, warnings := parsed[finetuneJSON](t, "finetune", "t.onnx", "--data", "csv:three.csv,classes=c;b;a", "-o", "v.onnx", "--epochs", "1", "--lr", "1e-3")
	if !strings.Contains(warnings, "not those of the model") || !slices.Equal(g.Classes, []string{"c", "b", "a"}) {
		t.Errorf("classes %v; %s", g.Classes, warnings)
	}
	m, err := onnxio.Read("v.onnx", onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if !slices.Equal(m.Classes(), g.Classes) {
		t.Errorf("the model has the classes %v", m.Classes())
	}
}

// TestSplitOfBounds: margins and bounds are of the training split unless a split is
// named, the report says of which, and the test split is warned of.
func TestSplitOfBounds(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 2,4,1 --seed 4 -o m.onnx")
	npy := func(shape []int, v []float64, element string) []byte {
		var b bytes.Buffer
		if err := writeNPY(&b, &array{shape, v}, element); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	x := []float64{1, 2, -1, 0.5, 2, -3, 0.5, 1, -2, -1}
	if err := os.WriteFile("x.npy", npy([]int{5, 2}, x, "float64"), 0o644); err != nil {
		t.Fatal(err)
	}
	output(t, "run m.onnx --input x.npy -o y.npy")
	raw, err := os.ReadFile("y.npy")
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]float64, 5)
	for i := range labels { // the classes that the model gives: positive margins
		if math.Float32frombits(binary.LittleEndian.Uint32(raw[len(raw)-4*(5-i):])) > 0 {
			labels[i] = 1
		}
	}
	f, err := os.Create("d.npz")
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	for name, data := range map[string][]byte{
		"x_train.npy": npy([]int{3, 2}, x[:6], "float64"), "y_train.npy": npy([]int{3}, labels[:3], "int64"),
		"x_test.npy": npy([]int{2, 2}, x[6:], "float64"), "y_test.npy": npy([]int{2}, labels[3:], "int64"),
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		option, split string
		m             int
	}{{"", "train", 3}, {",split=train", "train", 3}, {",split=test", "test", 2}} {
		data := "npz:d.npz" + c.option
		e, _ := parsed[evalJSON](t, "eval", "m.onnx", "--data", "npz:d.npz,split="+c.split, "--percentile", "5")
		r, _ := parsed[auditJSON](t, "audit", "m.onnx", "--data", data, "--measures", "bound_frobenius")
		got := r.Models[0]
		if got.Data.Split != c.split || got.Data.Examples != c.m {
			t.Errorf("%s: %+v, want the %s split of %d examples", data, got.Data, c.split, c.m)
		}
		symbols := map[string]float64{}
		for _, s := range got.Measures[0].Symbols {
			symbols[s.Name] = *s.Value.Value
		}
		// bound_frobenius by its formula, with the margin that eval gives.
		want := symbols["alpha"] * symbols["product"] / (*e.Margins[0].Margin * math.Sqrt(float64(c.m)))
		if v := *got.Measures[0].Value.Value; !(math.Abs(v-want) <= 1e-12*want) {
			t.Errorf("%s: bound %v, want %v", data, v, want)
		}
		if warned := strings.Contains(strings.Join(got.Warnings, " "), "test split"); warned != (c.split == "test") {
			t.Errorf("%s: warnings %q", data, got.Warnings)
		}
		table := output(t, "audit m.onnx --measures bound_frobenius --data "+data)
		for _, word := range []string{"npz " + c.split, fmt.Sprintf("m = %d", c.m), "gamma"} {
			if !strings.Contains(table, word) {
				t.Errorf("%s: %q is not in the report: %s", data, word, table)
			}
		}
	}
}

// TestNamesOfLayers: what inspect calls a layer names it for every option, and in every
// report, and the probabilities of a model stand for the logits behind them.
func TestNamesOfLayers(t *testing.T) {
	const model, data = "testdata/twohead.onnx", "npy:testdata/twohead_x.npy,testdata/twohead_y.npy"
	seen, _ := parsed[inspectJSON](t, "inspect", model)
	var names []string
	for _, n := range seen.Nodes {
		names = append(names, n.Name)
	}
	if d := cmp.Diff([]string{"x", "node 1", "node 2", "node 3", "node 4", "node 5"}, names); d != "" {
		t.Fatalf("names (-want +got):\n%s", d)
	}
	audited, _ := parsed[auditJSON](t, "audit", model)
	for i, want := range []string{"node 1", "node 3", "node 4"} {
		if got := audited.Models[0].Layers[i].Name; got != want {
			t.Errorf("audit calls a layer %q, inspect %q", got, want)
		}
	}
	dir := t.TempDir()
	var losses []float64
	for _, name := range []string{"", "node 3", "node 3 (Gemm)", "3 Gemm", "3", "p", "node 5", "node 5 (Softmax)"} {
		f := finetuned(t, model, "--data", data, "--test", data, "-o", filepath.Join(dir, "t.onnx"), "--force",
			"--epochs", "1", "--train-output", name, "--freeze", "node 1,1 Gemm,node 4 (Gemm)")
		e, _ := parsed[evalJSON](t, "eval", model, "--data", data, "--scores", name)
		a, _ := parsed[auditJSON](t, "audit", model, "--data", data, "--scores", name)
		if f.Scores != "node 3" || e.Scores != "node 3" || a.Models[0].Data.Scores != "node 3" {
			t.Errorf("%q: finetune took %q, eval %q, audit %q", name, f.Scores, e.Scores, a.Models[0].Data.Scores)
		}
		losses = append(losses, *f.Epochs[0].TrainLoss)
		// eval computes in float64, training in float32.
		if !(math.Abs(*e.Loss-*f.Before.TestLoss) <= 1e-6) {
			t.Errorf("%q: eval gives %v, finetune %v", name, *e.Loss, *f.Before.TestLoss)
		}
	}
	if len(slices.Compact(losses)) != 1 {
		t.Errorf("one output by several names trains otherwise: %v", losses)
	}
	refused(t, codeUsage, []string{`"node 9"`, "node 3 (Gemm), node 4 (Gemm)"}, "eval", model, "--data", data, "--scores", "node 9")
	refused(t, codeUsage, []string{`"node 9"`, "node 1, node 3, node 4"}, "finetune", model, "--data", data, "-o", filepath.Join(dir, "u.onnx"), "--freeze", "node 9")
}

// TestJSONOfTraining: a field has one type in every command, and no speed stands where
// no step was done.
func TestJSONOfTraining(t *testing.T) {
	const model, data = "testdata/twohead.onnx", "npy:testdata/twohead_x.npy,testdata/twohead_y.npy"
	type line struct {
		StepsPerSecond *float64 `json:"steps_per_second"`
	}
	r, _ := parsed[struct {
		Loss     *float64 `json:"loss"`
		LossName string   `json:"loss_name"`
		Before   line     `json:"before"`
		Epochs   []line   `json:"epochs"`
	}](t, "finetune", model, "--data", data, "-o", filepath.Join(t.TempDir(), "t.onnx"), "--epochs", "1")
	if r.LossName != "softmax" || r.Before.StepsPerSecond != nil || r.Epochs[0].StepsPerSecond == nil {
		t.Errorf("%+v", r)
	}
}

// TestProbabilities: outputs that are not the probabilities that the loss means are
// known. The numbers are those of scipy.special's softmax and expit.
func TestProbabilities(t *testing.T) {
	for _, c := range []struct {
		what   string
		scores []float64
		y      []float64
		want   bool
	}{
		{"a softmax", []float64{1, 2, 3}, []float64{0.09003057317038046, 0.24472847105479764, 0.6652409557748218}, true},
		{"its logarithm", []float64{1, 2, 3}, []float64{-2.4076059644443806, -1.4076059644443806, -0.4076059644443806}, true},
		{"a tanh", []float64{1, 2, 3}, []float64{0.7615941559557649, 0.9640275800758169, 0.9950547536867305}, false},
		{"a sigmoid", []float64{2}, []float64{0.8807970779778823}, true},
		{"both probabilities", []float64{2}, []float64{0.11920292202211755, 0.8807970779778823}, true},
		{"both turned round", []float64{2}, []float64{0.8807970779778823, 0.11920292202211755}, false},
	} {
		if got := probabilities(c.scores, len(c.scores), c.y, len(c.y)); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

// TestOneSigmoidForEachClass: where each class has a sigmoid of its own, written out in simple
// operators, the scores are what enters the sigmoids, and a warning says that the probabilities
// are another function of them (testdata/classes.py).
func TestOneSigmoidForEachClass(t *testing.T) {
	raw, err := os.ReadFile("testdata/classes/each.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Error, Loss, LogLoss float64 }
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	e, _ := parsed[evalJSON](t, "eval", "testdata/classes/each.onnx", "--data", "csv:testdata/classes/each.csv")
	// The exported weights are float32, and the scores large.
	if math.Abs(*e.Error-want.Error) > 1e-12 || math.Abs(*e.Loss-want.Loss) > 1e-5*want.Loss || e.Logits {
		t.Errorf("error %v, want %v; loss %v, want %v; logits %v", *e.Error, want.Error, *e.Loss, want.Loss, e.Logits)
	}
	if p := e.Probabilities; p == nil || math.Abs(*p.LogLoss-want.LogLoss) > 1e-5*want.LogLoss {
		t.Errorf("log loss of the probabilities %+v, want %v", p, want.LogLoss)
	}
	if w := strings.Join(e.Warnings, "\n"); !strings.Contains(w, "is not the softmax of the scores") {
		t.Errorf("warnings %q", w)
	}
	// Values inside the graph, by their names in the file.
	inner, _ := parsed[evalJSON](t, "eval", "testdata/classes/each.onnx", "--data", "csv:testdata/classes/each.csv", "--scores", "proba")
	if *inner.Loss != *e.Loss {
		t.Errorf("loss %v of the scores behind proba, want %v", *inner.Loss, *e.Loss)
	}
	negative, _ := parsed[evalJSON](t, "eval", "testdata/classes/each.onnx", "--data", "csv:testdata/classes/each.csv", "--scores", "negated_scores")
	if *negative.Error <= *e.Error {
		t.Errorf("error %v of the negated scores, %v of the scores", *negative.Error, *e.Error)
	}
}

// TestOneOutputOfTwoScores: of two values that could be the scores the one that is an
// output is taken (scikit-learn's numbers: testdata/classes.py).
func TestOneOutputOfTwoScores(t *testing.T) {
	raw, err := os.ReadFile("testdata/classes/ridge.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Error, Margin5, Loss float64 }
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	const model, data = "testdata/classes/ridge.onnx", "csv:testdata/classes/ridge.csv"
	e, _ := parsed[evalJSON](t, "eval", model, "--data", data, "--percentile", "5")
	// The exported weights are float32.
	if math.Abs(*e.Error-want.Error) > 1e-12 || math.Abs(*e.Loss-want.Loss) > 1e-6 || math.Abs(*e.Margins[0].Margin-want.Margin5) > 1e-6 {
		t.Errorf("error %v, loss %v, margin %v, want %+v", *e.Error, *e.Loss, *e.Margins[0].Margin, want)
	}
	a, _ := parsed[auditJSON](t, "audit", model, "--data", data, "--measures", "margin")
	if got := *a.Models[0].Measures[0].Value.Value; got != *e.Margins[0].Margin {
		t.Errorf("margin %v in audit, %v in eval", got, *e.Margins[0].Margin)
	}
}

// TestScoreWrittenTwice: raw scores of two classes are one score s, written as -s and s. Loss and
// margins are those of both in eval, audit and finetune, each of which says so, and eval prints
// scikit-learn's log loss, that of the sigmoid of s, too (testdata/classes.py).
func TestScoreWrittenTwice(t *testing.T) {
	raw, err := os.ReadFile("testdata/classes/raw.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Error, LogLoss, Margin5, Loss float64 }
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	const model, data, said = "testdata/classes/raw.onnx", "csv:testdata/classes/raw.csv", "are one number s and -s"
	e, _ := parsed[evalJSON](t, "eval", model, "--data", data, "--percentile", "5")
	near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-5*math.Abs(want) } // the exported weights are float32
	if math.Abs(*e.Error-want.Error) > 1e-12 || !near(*e.Loss, want.Loss) || !near(*e.Margins[0].Margin, want.Margin5) || e.Logits {
		t.Errorf("error %v, loss %v, margin %v, want %+v", *e.Error, *e.Loss, *e.Margins[0].Margin, want)
	}
	if p := e.Probabilities; p == nil || !near(*p.LogLoss, want.LogLoss) {
		t.Errorf("log loss %+v, want %v", p, want.LogLoss)
	}
	a, _ := parsed[auditJSON](t, "audit", model, "--data", data, "--measures", "margin")
	if got := *a.Models[0].Measures[0].Value.Value; got != *e.Margins[0].Margin {
		t.Errorf("margin %v in audit, %v in eval", got, *e.Margins[0].Margin)
	}
	f, stderr := parsed[finetuneJSON](t, "finetune", model, "--data", data, "--test", data, "--epochs", "1", "-o", filepath.Join(t.TempDir(), "o.onnx"))
	if got := *f.Before.TestLoss; !near(got, *e.Loss) {
		t.Errorf("loss %v before training, %v in eval", got, *e.Loss)
	}
	for what, got := range map[string]string{"eval": strings.Join(e.Warnings, "\n"), "audit": strings.Join(a.Models[0].Warnings, "\n"), "finetune": stderr} {
		if !strings.Contains(got, said) {
			t.Errorf("%s does not say what it took: %q", what, got)
		}
	}
	if twice([]float64{1, -1, 0, 1}, 2) || twice([]float64{0, 0, 0, 0}, 2) || !twice([]float64{1, -1, 0, 0}, 2) || twice([]float64{1, -1}, 1) {
		t.Error("twice")
	}
}

// TestLossOfTheProbabilities: where an output has probabilities that are not the softmax of the
// scores, a warning says so and their own log loss is printed (scikit-learn's: testdata/classes.py);
// where no layer has the scores of all classes, it is the loss, and what wants scores says why not.
func TestLossOfTheProbabilities(t *testing.T) {
	raw, err := os.ReadFile("testdata/classes/own.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct{ Error, LogLoss, Margin5 float64 }
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	for name, want := range all {
		model, data := "testdata/classes/"+name+".onnx", "csv:testdata/classes/"+name+".csv"
		e, _ := parsed[evalJSON](t, "eval", model, "--data", data)
		if math.Abs(*e.Error-want.Error) > 1e-12 || e.Logits {
			t.Errorf("%s: error %v, want %v; logits %v", name, *e.Error, want.Error, e.Logits)
		}
		got, warning := e.Loss, "no layer has the scores of all classes"
		if name != "one_each" {
			got, warning = e.Probabilities.LogLoss, "loss and margins are those of the scores"
		}
		// The exported weights are float32.
		if !(math.Abs(*got-want.LogLoss) <= 1e-5*want.LogLoss) {
			t.Errorf("%s: log loss %v, want %v", name, *got, want.LogLoss)
		}
		if w := strings.Join(e.Warnings, "\n"); !strings.Contains(w, warning) {
			t.Errorf("%s: warnings %q", name, w)
		}
	}
	const model, data = "testdata/classes/one_each.onnx", "csv:testdata/classes/one_each.csv"
	// The margins are those of the log odds, in audit too.
	byName, _ := parsed[evalJSON](t, "eval", model, "--data", data, "--scores", "probabilities", "--percentile", "5")
	if byName.LossName != "log" || len(byName.Margins) != 1 {
		t.Fatalf("loss %s, margins %v", byName.LossName, byName.Margins)
	}
	if got, want := *byName.Margins[0].Margin, all["one_each"].Margin5; !(math.Abs(got-want) <= 1e-5*math.Abs(want)) {
		t.Errorf("margin %v, want %v", got, want)
	}
	r, _ := parsed[auditJSON](t, "audit", model, "--data", data, "--measures", "margin,pac_bayes_flatness")
	if got, want := *r.Models[0].Measures[0].Value.Value, *byName.Margins[0].Margin; got != want {
		t.Errorf("margin %v in audit, %v in eval", got, want)
	}
	// No message speaks of another command.
	var out, errs bytes.Buffer
	if code := Run([]string{"experiment", "balance", model, "--data", data, "--test", data, "-o", filepath.Join(t.TempDir(), "e")}, nil, &out, &errs); code != codeInvalid || strings.Contains(errs.String(), "finetune") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	refused(t, codeInvalid, []string{"none of which has a score for each of the 3 classes", "LinearClassifier2"},
		"finetune", model, "--data", data, "-o", filepath.Join(t.TempDir(), "t.onnx"))
}

// TestSignsInArrays: integers that are no class labels as they stand are labels where the model's
// list has them, and refused elsewhere.
func TestSignsInArrays(t *testing.T) {
	dir := t.TempDir()
	raw, err := os.ReadFile("testdata/classes/signs.csv")
	if err != nil {
		t.Fatal(err)
	}
	var x, y []float64
	for line := range strings.Lines(string(raw)) {
		for field := range strings.SplitSeq(strings.TrimSpace(line), ",") {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			x = append(x, v)
		}
		y, x = append(y, x[len(x)-1]), x[:len(x)-1]
	}
	write := func(name string, a *array, typ string) {
		t.Helper()
		var b bytes.Buffer
		if err := errors.Join(writeNPY(&b, a, typ), os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("x.npy", &array{[]int{len(y), len(x) / len(y)}, x}, "float64")
	write("y.npy", &array{[]int{len(y)}, y}, "int64")
	data := "npy:" + filepath.Join(dir, "x.npy") + "," + filepath.Join(dir, "y.npy")
	got, _ := parsed[evalJSON](t, "eval", "testdata/classes/signs.onnx", "--data", data)
	want, _ := parsed[evalJSON](t, "eval", "testdata/classes/signs.onnx", "--data", "csv:testdata/classes/signs.csv")
	if *got.Loss != *want.Loss || *got.Error != *want.Error || !slices.Equal(got.Classes, []string{"-1", "1"}) {
		t.Errorf("loss %v, error %v of arrays with classes %v; %v and %v of csv", *got.Loss, *got.Error, got.Classes, *want.Loss, *want.Error)
	}
	model := filepath.Join(dir, "m.onnx")
	output(t, "init --widths "+strconv.Itoa(len(x)/len(y))+",3,2 -o "+model)
	refused(t, codeInvalid, []string{"label -1 is out of range", "classes=A;B;C"}, "eval", model, "--data", data)
	refused(t, codeInvalid, []string{"label -1 is out of range"}, "finetune", model, "--data", data, "-o", filepath.Join(dir, "t.onnx"))
}

// TestNumbersAmongWords: labels of which some are numbers are classes where the model's list has
// them all, and refused elsewhere.
func TestNumbersAmongWords(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"text.onnx", "text.csv"} {
		raw, err := os.ReadFile("testdata/classes/" + name)
		if err != nil {
			t.Fatal(err)
		}
		raw = bytes.ReplaceAll(raw, []byte("virginica"), []byte("123456789"))
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data := "csv:" + filepath.Join(dir, "text.csv")
	want, _ := parsed[evalJSON](t, "eval", "testdata/classes/text.onnx", "--data", "csv:testdata/classes/text.csv")
	got, _ := parsed[evalJSON](t, "eval", filepath.Join(dir, "text.onnx"), "--data", data)
	if *got.Loss != *want.Loss || *got.Error != *want.Error || !slices.Equal(got.Classes, []string{"setosa", "versicolor", "123456789"}) {
		t.Errorf("loss %v, error %v, classes %v; want %v, %v", *got.Loss, *got.Error, got.Classes, *want.Loss, *want.Error)
	}
	f := finetuned(t, filepath.Join(dir, "text.onnx"), "--data", data, "--test", data, "-o", filepath.Join(dir, "t.onnx"), "--epochs", "1", "--lr", "1e-3")
	// finetune computes in float32.
	if math.Abs(*f.Before.TestLoss-*want.Loss) > 1e-6 {
		t.Errorf("finetune begins with the loss %v, want %v", *f.Before.TestLoss, *want.Loss)
	}
	model := filepath.Join(dir, "m.onnx")
	output(t, "init --widths 4,3,2 -o "+model)
	for _, line := range []string{"eval " + model, "audit " + model, "finetune " + model + " -o " + filepath.Join(dir, "u.onnx")} {
		refused(t, codeInvalid, []string{`label "versicolor" is not a number`, "task=class"}, append(strings.Fields(line), "--data", data)...)
	}
}
