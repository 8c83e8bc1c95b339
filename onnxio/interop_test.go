package onnxio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// interopCase is a line for testdata/interop.py.
type interopCase struct {
	Name      string                  `json:"name"`
	Original  *string                 `json:"original"`
	Exported  string                  `json:"exported"`
	Inputs    map[string]interopInput `json:"inputs"`
	Outputs   map[string][]any        `json:"outputs"`
	Tolerance float64                 `json:"tolerance"`
}

type interopInput struct {
	Type string    `json:"type"`
	Dims []int     `json:"dims"`
	Data []float64 `json:"data"`
}

// TestInterop exports every shared model and every form of storage randomly
// rescaled, and random networks
// as fresh files, and has onnx.checker and ONNX Runtime judge them. It needs a
// Python with onnx and onnxruntime, named by RELUPATH_PYTHON.
func TestInterop(t *testing.T) {
	python := os.Getenv("RELUPATH_PYTHON")
	if python == "" || testing.Short() {
		t.Skip("long, and wants a Python named by RELUPATH_PYTHON")
	}
	dir := t.TempDir()
	var cases []*interopCase
	for k, m := range sharedModels(t) {
		model, err := onnxio.Read(m.path, onnxio.Options{})
		if err != nil {
			continue
		}
		if _, ok := model.Net.Unevaluated(nil); ok {
			model.Close()
			continue
		}
		out := filepath.Join(dir, fmt.Sprintf("shared%d.onnx", k))
		err = model.WriteFile(out, randomly(t, model.Net, uint64(k)), onnxio.WriteOptions{SkipSync: true})
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
		} else {
			cases = append(cases, newCase(t, m.name, &m.path, out))
		}
		model.Close()
	}
	for _, f := range forms() {
		m := readForm(t, &f)
		original := m.Path()
		out := filepath.Join(dir, strings.ReplaceAll(f.name, " ", "_")+".onnx")
		if err := m.WriteFile(out, randomly(t, m.Net, 1), onnxio.WriteOptions{SkipSync: true}); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, newCase(t, f.name, &original, out))
	}
	types := []dag.DType{dag.Float32, dag.Float64}
	for seed := range uint64(60) {
		typ := types[seed%2]
		features := dagtest.Feature(dagtest.All)
		if seed%4 < 2 {
			features &^= dagtest.Fixed
		} else {
			features &^= dagtest.Pool
		}
		if typ == dag.Float64 {
			// ONNX Runtime's CPU provider convolves and averages in float32 alone,
			// and so are its LeakyRelu and PRelu.
			features &^= dagtest.Conv | dagtest.Pool | dagtest.Slope
		}
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features, Type: typ, Steps: 10})
		out := filepath.Join(dir, fmt.Sprintf("fresh%d.onnx", seed))
		f, err := os.Create(out)
		if err != nil {
			t.Fatal(err)
		}
		if err := onnxio.WriteNetwork(f, n); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, newCase(t, fmt.Sprintf("fresh %d (%v)", seed, typ), nil, out))
	}
	list := filepath.Join(dir, "cases.jsonl")
	f, err := os.Create(list)
	if err != nil {
		t.Fatal(err)
	}
	e := json.NewEncoder(f)
	for _, c := range cases {
		if err := e.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "interop.py"), list).CombinedOutput()
	t.Logf("%s", said)
	if err != nil {
		t.Error(err)
	}
}

// newCase evaluates an exported model on random inputs.
func newCase(t *testing.T, name string, original *string, exported string) *interopCase {
	m, err := onnxio.Read(exported, onnxio.Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer m.Close()
	c := &interopCase{
		Name: name, Original: original, Exported: exported,
		Inputs: map[string]interopInput{}, Outputs: map[string][]any{}, Tolerance: 1e-4,
	}
	if original != nil && isHalf(m.Net) {
		// ONNX Runtime keeps float16 values between operators.
		c.Tolerance = 2e-2
	}
	n := m.Net
	r := rand.New(rand.NewPCG(5, 5))
	batch := 1
	in := make([][]float64, len(n.Inputs))
	for k, p := range n.Inputs {
		dims, fixed := m.Inputs[k].Shape, n.Nodes[p.Node].Shape
		full := append([]int(nil), dims...)
		for i, d := range full {
			if d >= 0 {
				continue
			}
			full[i] = 2
			if i > 0 || len(fixed) == len(full) {
				full[i] = fixed[i-(len(full)-len(fixed))]
			}
		}
		in[k] = make([]float64, dag.Size(full))
		for i := range in[k] {
			in[k][i] = float64(float32(r.NormFloat64()))
			if typ := m.Inputs[k].Type; typ != "float32" && typ != "float64" {
				in[k][i] = math.Trunc(in[k][i])
			}
		}
		batch = len(in[k]) / max(n.Nodes[p.Node].Len(), 1)
		c.Inputs[p.Name] = interopInput{m.Inputs[k].Type, full, in[k]}
	}
	out, err := eval.Run(context.Background(), n, in, batch, evalOptions)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for k, p := range n.Outputs {
		v := make([]any, len(out[k]))
		for i, x := range out[k] {
			v[i] = x
			if x-x != 0 {
				v[i] = fmt.Sprint(x)
			}
		}
		c.Outputs[p.Name] = v
	}
	return c
}

func isHalf(n *dag.Network) bool {
	for _, p := range n.Params() {
		if p.Type == dag.Float16 || p.Type == dag.BFloat16 {
			return true
		}
	}
	return false
}
