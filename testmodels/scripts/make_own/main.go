// Make_own trains iris_own.onnx, a network of float64 weights that came from no
// file, and writes it with relupath's own writer:
//
//	go run ./testmodels/scripts/make_own
//
// Gradient descent on the whole training set, written out here, so that the
// file depends on nothing but the network type and the writer.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/onnxio"
)

const (
	folder   = "testmodels"
	name     = "iris_own"
	hidden   = 8
	steps    = 4000
	rate     = 0.02
	momentum = 0.9
)

func main() {
	log.SetFlags(0)
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	shared := os.Getenv("RELUPATH_SHARED")
	if shared == "" {
		shared = "../shared"
	}
	spec, err := dataset.Parse("csv:" + filepath.Join(shared, "datasets/tabular/iris.csv") + ",header")
	if err != nil {
		return err
	}
	all, err := dataset.Load(context.Background(), spec, dataset.Options{})
	if err != nil {
		return err
	}
	var parts [2][]int // every fifth flower is for testing
	for i := range all.Len() {
		part := 0
		if i%5 == 0 {
			part = 1
		}
		parts[part] = append(parts[part], i)
	}
	train, test := all.Subset(parts[0]), all.Subset(parts[1])
	m := newMLP(train.Size(), hidden, train.Classes())
	for range steps {
		m.step(train)
	}
	net, err := m.network()
	if err != nil {
		return err
	}
	var file bytes.Buffer
	if err := onnxio.WriteNetwork(&file, net); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, name+".onnx"), file.Bytes(), 0o644); err != nil {
		return err
	}
	return record(map[string]any{
		"data": "iris", "exporter": "relupath onnxio.WriteNetwork", "script": "make_own/main.go",
		"shows":          "float64, written from a network that came from no file",
		"training":       fmt.Sprintf("gradient descent, momentum %g, rate %g, %d steps, seed 1", momentum, rate, steps),
		"train_accuracy": m.accuracy(train), "test_accuracy": m.accuracy(test),
	})
}

// mlp is linear, ReLU, linear, with one velocity for each weight.
type mlp struct {
	w, v [2]*mat.Dense // out x in
	b, u [2][]float64
}

func newMLP(widths ...int) *mlp {
	rng := rand.New(rand.NewPCG(1, 0))
	m := &mlp{}
	for l := range m.w {
		in, out := widths[l], widths[l+1]
		m.w[l], m.v[l] = mat.NewDense(out, in, nil), mat.NewDense(out, in, nil)
		m.b[l], m.u[l] = make([]float64, out), make([]float64, out)
		m.w[l].Apply(func(int, int, float64) float64 { return rng.NormFloat64() / math.Sqrt(float64(in)) }, m.w[l])
	}
	return m
}

// forward returns the inputs of both layers and the logits, a row an example.
func (m *mlp) forward(s *dataset.Set) (x [2]*mat.Dense, logits *mat.Dense) {
	order := make([]int, s.Len())
	for i := range order {
		order[i] = i
	}
	x[0] = mat.NewDense(s.Len(), s.Size(), nil)
	s.Batch64(x[0].RawMatrix().Data, order)
	x[1] = m.affine(0, x[0])
	x[1].Apply(func(_, _ int, z float64) float64 { return max(z, 0) }, x[1])
	return x, m.affine(1, x[1])
}

func (m *mlp) affine(l int, x *mat.Dense) *mat.Dense {
	var z mat.Dense
	z.Mul(x, m.w[l].T())
	z.Apply(func(_, j int, v float64) float64 { return v + m.b[l][j] }, &z)
	return &z
}

// step moves along the gradient of the mean cross-entropy.
func (m *mlp) step(s *dataset.Set) {
	x, delta := m.forward(s)
	for i, label := range s.Labels() {
		z := delta.RawRowView(i)
		floats.AddConst(-floats.LogSumExp(z), z)
		for j := range z {
			z[j] = math.Exp(z[j])
		}
		z[label]--
		floats.Scale(1/float64(s.Len()), z)
	}
	for l := 1; l >= 0; l-- {
		var back, g mat.Dense
		back.Mul(delta, m.w[l])
		g.Mul(delta.T(), x[l])
		m.v[l].Scale(momentum, m.v[l])
		m.v[l].Add(m.v[l], &g)
		floats.Scale(momentum, m.u[l])
		for i := range s.Len() {
			floats.Add(m.u[l], delta.RawRowView(i))
		}
		g.Scale(rate, m.v[l])
		m.w[l].Sub(m.w[l], &g)
		floats.AddScaled(m.b[l], -rate, m.u[l])
		back.Apply(func(i, j int, d float64) float64 {
			if x[l].At(i, j) <= 0 {
				return 0
			}
			return d
		}, &back)
		delta = &back
	}
}

func (m *mlp) accuracy(s *dataset.Set) float64 {
	_, logits := m.forward(s)
	right := 0
	for i, label := range s.Labels() {
		if floats.MaxIdx(logits.RawRowView(i)) == label {
			right++
		}
	}
	return math.Round(1e4*float64(right)/float64(s.Len())) / 1e4
}

func (m *mlp) network() (*dag.Network, error) {
	var b dag.Builder
	_, in := m.w[0].Dims()
	h := b.Input("input", in)
	for l, w := range m.w {
		rows, _ := w.Dims()
		h = b.Affine(fmt.Sprintf("fc%d", l+1), h, rows, w.RawMatrix().Data, m.b[l])
		if l == 0 {
			h = b.Activation("relu", h, 0)
		}
	}
	b.Output("output", h)
	return b.Build()
}

// record replaces the model's entry in training.json, in the form of record.py.
func record(facts map[string]any) error {
	path := filepath.Join(folder, "training.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	all := map[string]map[string]any{}
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	all[name] = facts
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(all); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
