package command

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// zerosOf reads a model and lists which weights of each layer are zero.
func zerosOf(t *testing.T, path string) (out [][]bool, zero, weights int) {
	t.Helper()
	m, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, l := range dag.Each[*dag.Linear](m.Net) {
		if l.Map == nil || l.Map.Weight() == nil || l.Matrices() == nil {
			continue
		}
		var mask []bool
		for _, w := range l.Map.Weight().Param.Values() {
			mask = append(mask, w == 0)
			weights++
			if w == 0 {
				zero++
			}
		}
		out = append(out, mask)
	}
	return out, zero, weights
}

// A model and its rescaled copy lose the same weights by paths; the file has the share of
// zeros that was asked for, and its size but for what a rescaling or a zero needs; the outputs
// change by no more than the bound.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"letter_leaky", "usps_batchnorm", "digits_residual", "digits_keras_conv", "digits_half", "digits_external"} {
		source := filepath.Join("..", "..", "..", "..", "testmodels", name+".onnx")
		output(t, "balance "+source+" --method unbalance --exact --force -o "+in("other.onnx"))
		for _, scope := range []string{"global", "layer"} {
			r, _ := parsed[pruneJSON](t, "prune", source, "--sparsity", "0.7", "--scope", scope, "--force", "-o", in("a.onnx"))
			s, _ := parsed[pruneJSON](t, "prune", in("other.onnx"), "--sparsity", "0.7", "--scope", scope, "--force", "-o", in("b.onnx"))
			a, zero, weights := zerosOf(t, in("a.onnx"))
			b, _, _ := zerosOf(t, in("b.onnx"))
			if !slices.EqualFunc(a, b, slices.Equal) {
				t.Errorf("%s, %s: the rescaled copy lost other weights", name, scope)
			}
			if r.Zeros[1] != zero || r.Weights != weights || scope == "global" && zero != int(0.7*float64(weights)) {
				t.Errorf("%s, %s: %d of %d weights are zero, the report says %d of %d", name, scope, zero, weights, r.Zeros[1], r.Weights)
			}
			if r.Metric == nil || s.Metric == nil || *r.Metric != *s.Metric || !r.Bound {
				t.Errorf("%s, %s: path metric %v and %v", name, scope, r.Metric, s.Metric)
			}
			// Random inputs are at most some 5; the head does not stretch.
			if !(*r.MaxAbs > 0 && *r.MaxAbs <= 6**r.Metric) {
				t.Errorf("%s, %s: outputs change by %v, metric %v", name, scope, *r.MaxAbs, *r.Metric)
			}
			before, err := os.Stat(source)
			if err != nil {
				t.Fatal(err)
			}
			after, err := os.Stat(in("a.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			// Its data has another name.
			if d := after.Size() - before.Size(); d < -64 || d > 64 {
				t.Errorf("%s, %s: the file grew by %d bytes", name, scope, d)
			}
		}
	}
	iris := in("iris.csv")
	if err := os.WriteFile(iris, []byte(irisRows), 0o600); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join("..", "..", "..", "..", "testmodels", "iris_own.onnx")
	r, _ := parsed[pruneJSON](t, "prune", model, "--sparsity", "0.5", "--by", "magnitude", "--data", "csv:"+iris+",header", "-o", in("iris.onnx"))
	if r.Before == nil || r.After == nil || r.Before.Loss == nil || *r.Before.Loss == *r.After.Loss {
		t.Errorf("losses %+v and %+v", r.Before, r.After)
	}
	output(t, "finetune "+in("iris.onnx")+" --data csv:"+iris+",header --epochs 2 --lr 0.01 --keep-zeros -o "+in("tuned.onnx"))
	a, zero, _ := zerosOf(t, in("iris.onnx"))
	if b, _, _ := zerosOf(t, in("tuned.onnx")); zero == 0 || !slices.EqualFunc(a, b, slices.Equal) {
		t.Errorf("training moved some of %d zeros", zero)
	}
	for _, args := range [][]string{{"prune", model}, {"prune", model, "--sparsity", "1", "-o", in("x.onnx")}, {"prune", model, "--sparsity", "0.1"}} {
		var out, errs bytes.Buffer
		if code := Run(args, nil, &out, &errs); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
	}
}
