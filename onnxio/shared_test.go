package onnxio_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// shared returns a folder of the shared test data; the test is skipped where
// there is none, unless RELUPATH_SHARED says that there is.
func shared(t testing.TB, elem ...string) string {
	root, named := os.LookupEnv("RELUPATH_SHARED")
	if !named {
		root = filepath.Join("..", "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		if named {
			t.Fatal(err)
		}
		t.Skip("no shared test data: ", err)
	}
	return path
}

// sharedModel is a row of the inventory of shared models.
type sharedModel struct {
	path, name, role, expected string
}

// sharedModels reads the inventory.
func sharedModels(t testing.TB) []sharedModel {
	dir := shared(t, "models")
	f, err := os.Open(filepath.Join(dir, "INVENTORY.tsv"))
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
	column := map[string]int{}
	for k, name := range rows[0] {
		column[name] = k
	}
	var out []sharedModel
	for _, row := range rows[1:] {
		m := sharedModel{name: row[column["local_path"]], role: row[column["role"]]}
		m.path = filepath.Join(dir, m.name)
		if e := row[column["ort_ref_json"]]; e != "-" {
			m.expected = filepath.Join(dir, e)
		}
		out = append(out, m)
	}
	return out
}

// recorded is what ONNX Runtime computed for a model.
type recorded struct {
	Inputs, Outputs map[string]recordedTensor
}

type recordedTensor struct {
	Type string
	Dims []int
	Data []any
}

func readRecorded(t testing.TB, path string) *recorded {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorded{}
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return r
}

// floats returns the numbers; those that JSON cannot hold are strings.
func (r *recordedTensor) floats(t testing.TB) []float64 {
	out := make([]float64, len(r.Data))
	for i, x := range r.Data {
		switch x := x.(type) {
		case float64:
			out[i] = x
		case bool:
			if x {
				out[i] = 1
			}
		case string:
			switch strings.TrimPrefix(strings.ToLower(x), "+") {
			case "nan":
				out[i] = math.NaN()
			case "inf", "infinity":
				out[i] = math.Inf(1)
			case "-inf", "-infinity":
				out[i] = math.Inf(-1)
			default:
				t.Fatalf("value %q", x)
			}
		default:
			t.Fatalf("value %v", x)
		}
	}
	return out
}

// evaluateRecorded evaluates a model on recorded inputs and returns the largest
// difference of any output relative to that output's largest value.
func evaluateRecorded(t testing.TB, m *onnxio.Model, r *recorded) (worst float64, compared int) {
	n := m.Net
	batch := 0
	inputs := make([][]float64, len(n.Inputs))
	for k, p := range n.Inputs {
		in, ok := r.Inputs[p.Name]
		if !ok {
			t.Fatalf("input %q was not recorded", p.Name)
		}
		inputs[k] = in.floats(t)
		if size := n.Nodes[p.Node].Len(); size > 0 {
			batch = len(inputs[k]) / size
		}
	}
	out, err := eval.Run(context.Background(), n, inputs, batch, evalOptions)
	if err != nil {
		t.Fatal(err)
	}
	for k, p := range n.Outputs {
		want, ok := r.Outputs[p.Name]
		if !ok {
			t.Fatalf("output %q was not recorded", p.Name)
		}
		worst = max(worst, difference(t, p.Name, out[k], want.floats(t)))
		compared++
	}
	return worst, compared
}

// difference returns the largest difference relative to the largest value.
func difference(t interface{ Fatalf(string, ...any) }, name string, got, want []float64) float64 {
	if len(got) != len(want) {
		t.Fatalf("output %q: %d values, want %d", name, len(got), len(want))
	}
	worst, scale := 0.0, 0.0
	for i, w := range want {
		if got[i] == w || (math.IsNaN(w) && math.IsNaN(got[i])) {
			scale = max(scale, math.Abs(w))
			continue
		}
		d := math.Abs(got[i] - w)
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		worst, scale = max(worst, d), max(scale, math.Abs(w))
	}
	if worst == 0 {
		return 0
	}
	return worst / scale
}
