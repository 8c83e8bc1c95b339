package command

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/finetune/dataset"
)

// shared returns the folder of public models and data: RELUPATH_SHARED, else
// the one beside the repository.
func shared(t *testing.T) string {
	t.Helper()
	root, named := os.LookupEnv("RELUPATH_SHARED")
	if !named {
		root = "../../../../../shared"
	}
	if _, err := os.Stat(filepath.Join(root, "refs")); err != nil {
		if named {
			t.Fatalf("RELUPATH_SHARED is set: %v", err)
		}
		t.Skip("no shared models: set RELUPATH_SHARED")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// scalings are the columns of mnist_test_accuracy.tsv as options of a data spec.
var scalings = map[string]string{
	"x/255":               "scale=1/255",
	"x":                   "scale=1",
	"(x/255-.1307)/.3081": "scale=1/255,mean=.1307,std=.3081",
	"1-x/255":             "scale=-1/255,mean=-1",
}

// TestPublishedAccuracies evaluates the public MNIST models on the test images
// and wants exactly the recorded numbers of right answers, which ONNX Runtime
// gave.
func TestPublishedAccuracies(t *testing.T) {
	root := shared(t)
	f, err := os.Open(filepath.Join(root, "refs", "mnist_test_accuracy.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma = '\t'
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	transposed := transposedImages(t, root)
	exact, refused := 0, 0
	for _, row := range rows[1:] {
		path, scaling, want := filepath.Join(root, "models", row[0]), row[2], row[4]
		spec := "mnist:" + filepath.Join(root, "datasets", "mnist") + ",split=test," + scalings[scaling]
		if strings.HasPrefix(scaling, "x/255, image transposed") {
			spec = transposed + ",scale=1/255,task=class"
		} else if scalings[scaling] == "" {
			t.Fatalf("scaling %q is not known", scaling)
		}
		if testing.Short() {
			spec += ",limit=1000"
			want = row[3]
		}
		var out, errs bytes.Buffer
		code := Run([]string{"eval", path, "--data", spec, "--format", "json"}, nil, &out, &errs)
		if code == codeInvalid {
			refused++
			t.Logf("%s: %s", row[0], &errs)
			continue
		}
		var got evalJSON
		if err := json.Unmarshal(out.Bytes(), &got); code != 0 || err != nil {
			t.Errorf("%s: exit code %d: %v %s", row[0], code, err, &errs)
			continue
		}
		if fmt.Sprint(*got.Correct) != want {
			t.Errorf("%s: %d right answers, want %s", row[0], *got.Correct, want)
			continue
		}
		exact++
	}
	t.Logf("%d of %d accuracies reproduced, %d models refused", exact, len(rows)-1, refused)
	if exact != len(rows)-1 || refused != 0 {
		t.Errorf("%d accuracies reproduced and %d models refused, want %d and 0", exact, refused, len(rows)-1)
	}
}

// transposedImages writes the test images with rows and columns exchanged, as
// MATLAB stores them, and returns their data spec.
func transposedImages(t *testing.T, root string) string {
	t.Helper()
	spec := dataset.Spec{Format: "mnist", Paths: []string{filepath.Join(root, "datasets", "mnist")}, Split: dataset.Test, Scale: 1}
	set, err := dataset.Load(t.Context(), spec, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := set.Len()
	x := make([]float64, set.Size())
	turned := make([]float64, n*set.Size())
	labels := make([]float64, n)
	for i := range n {
		set.Batch64(x, []int{i})
		for r := range 28 {
			for c := range 28 {
				turned[i*784+c*28+r] = x[r*28+c]
			}
		}
		labels[i] = float64(set.Labels()[i])
	}
	dir := t.TempDir()
	for name, a := range map[string]*array{"x.npy": {[]int{n, 1, 28, 28}, turned}, "y.npy": {[]int{n}, labels}} {
		var b bytes.Buffer
		if err := writeNPY(&b, a, map[string]string{"x.npy": "float32", "y.npy": "int64"}[name]); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "npy:" + filepath.Join(dir, "x.npy") + "," + filepath.Join(dir, "y.npy")
}

func TestScoresOfOneExample(t *testing.T) {
	f := []float64{1, 3, 2}
	// ln(e + e^3 + e^2) = 3.4076059644443806 (NumPy's logaddexp.reduce).
	if got, want := crossEntropy(f, 2), 3.4076059644443806-2; !(math.Abs(got-want) <= 1e-15) {
		t.Errorf("loss %v, want %v", got, want)
	}
	if got := crossEntropy([]float64{1e4, 0}, 1); got != 1e4 {
		t.Errorf("loss %v, want 1e4", got)
	}
	if got := margin(f, 2); got != -1 {
		t.Errorf("margin %v, want -1", got)
	}
	if got := predicted(f); got != 1 {
		t.Errorf("class %d, want 1", got)
	}
	if got := predicted([]float64{1, math.NaN()}); got != -1 {
		t.Errorf("class %d of NaN, want none", got)
	}
}

func TestPercentilesInterpolate(t *testing.T) {
	// numpy.percentile([1, 2, 4, 8], p)
	for p, want := range map[float64]float64{0: 1, 5: 1.15, 50: 3, 90: 6.8, 100: 8} {
		if got := percentile([]float64{1, 2, 4, 8}, p); !(math.Abs(got-want) <= 1e-15) {
			t.Errorf("percentile %v: %v, want %v", p, got, want)
		}
	}
	if !math.IsNaN(percentile(nil, 5)) {
		t.Error("a percentile of nothing is a number")
	}
}

func TestEvalOfRegression(t *testing.T) {
	t.Chdir(t.TempDir())
	var sink bytes.Buffer
	if code := Run(strings.Fields("init --widths 2,3,1 --seed 4 -o m.onnx"), nil, &sink, &sink); code != 0 {
		t.Fatal(&sink)
	}
	for name, a := range map[string]*array{"x.npy": {[]int{2, 2}, []float64{1, 2, -1, 0.5}}, "y.npy": {[]int{2, 1}, []float64{0.5, -0.25}}} {
		var b bytes.Buffer
		if err := writeNPY(&b, a, "float64"); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out, y bytes.Buffer
	if code := Run(strings.Fields("eval m.onnx --data npy:x.npy,y.npy --format json"), nil, &out, &sink); code != 0 {
		t.Fatal(&sink)
	}
	if code := Run(strings.Fields("run m.onnx --input x.npy -o -"), nil, &y, &sink); code != 0 {
		t.Fatal(&sink)
	}
	values := y.Bytes()[y.Len()-8:]
	want := 0.0
	for i, target := range []float64{0.5, -0.25} {
		got := float64(math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:])))
		want += (got - target) * (got - target) / 2 // the mean of two examples
	}
	var r evalJSON
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	// The outputs were rounded to float32.
	if !(math.Abs(*r.MeanSquared-want) <= 1e-6) || !(math.Abs(*r.Loss-want/2) <= 1e-6) || r.LossName != "squared" || r.Error != nil {
		t.Errorf("loss %s %v, mean squared error %v, want %v", r.LossName, *r.Loss, *r.MeanSquared, want)
	}
}

// TestEvalOfOneScore: a single score f is the logit of class 1 against 0.
func TestEvalOfOneScore(t *testing.T) {
	t.Chdir(t.TempDir())
	var sink, y bytes.Buffer
	if code := Run(strings.Fields("init --widths 2,3,1 --seed 4 -o m.onnx"), nil, &sink, &sink); code != 0 {
		t.Fatal(&sink)
	}
	var x bytes.Buffer
	if err := writeNPY(&x, &array{[]int{3, 2}, []float64{1, 2, -1, 0.5, 2, -3}}, "float64"); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"x.npy": x.String(), "d.csv": "1,2,0\n-1,0.5,1\n2,-3,1\n", "three.csv": "1,2,0\n-1,0.5,1\n2,-3,2\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if code := Run(strings.Fields("eval m.onnx --data csv:d.csv --percentile 50 --format json"), nil, &out, &sink); code != 0 {
		t.Fatal(&sink)
	}
	if code := Run(strings.Fields("run m.onnx --input x.npy -o -"), nil, &y, &sink); code != 0 {
		t.Fatal(&sink)
	}
	values := y.Bytes()[y.Len()-12:]
	var loss float64
	var correct int
	var margins []float64
	for i, label := range []int{0, 1, 1} {
		m := float64(math.Float32frombits(binary.LittleEndian.Uint32(values[4*i:])))
		if label == 0 {
			m = -m
		}
		margins = append(margins, m)
		loss += math.Log1p(math.Exp(-m)) / 3
		if m > 0 {
			correct++
		}
	}
	slices.Sort(margins)
	var r evalJSON
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	// The outputs were rounded to float32.
	if !(math.Abs(*r.Loss-loss) <= 1e-6) || *r.Correct != correct || !(math.Abs(*r.Margins[0].Margin-margins[1]) <= 1e-6) || !r.Logits {
		t.Errorf("%+v: want loss %v, %d correct, margin %v", r, loss, correct, margins[1])
	}
	if code := Run(strings.Fields("eval m.onnx --data csv:three.csv"), nil, &out, &sink); code != codeInvalid || !strings.Contains(sink.String(), "has one score, which tells the classes 0 and 1 apart") {
		t.Errorf("three classes: exit code %d: %s", code, &sink)
	}
}

// An output that the file gives once for all samples, as the version numbers of a policy for a game
// engine, has no axis of samples in what run writes.
func TestRunOfConstantOutputs(t *testing.T) {
	model, err := filepath.Abs("testdata/shapes/version.onnx")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var file bytes.Buffer
	if err := writeNPY(&file, &array{[]int{2, 2}, []float64{1, 2, 3, 4}}, "float64"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("x.npy", file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	parsed[runJSON](t, "run", model, "--input", "x.npy", "-o", "out")
	if y := readNumbers(t, "out/y.npy"); !slices.Equal(y.shape, []int{2, 3}) {
		t.Errorf("y has shape %v", y.shape)
	}
	if v := readNumbers(t, "out/version.npy"); !slices.Equal(v.shape, []int{1}) || v.data[0] != 3 {
		t.Errorf("version is %v of shape %v", v.data, v.shape)
	}
}
