package finetune_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// recorded is testdata/onestep.json.
type recorded struct {
	X        []float64
	Y        []int
	Start    [][]float64
	Loss     float64
	Gradient [][]float64
	Eta      float64
	Steps    int
	Cases    []struct {
		Optimizer       string
		P               float64
		Momentum, Decay float64
		Penalty         float64
		MaxNorm         float64 `json:"max_norm"`
		After           [][]float64
	}
}

func readRecorded(t *testing.T) *recorded {
	t.Helper()
	raw, err := os.ReadFile("testdata/onestep.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// skipNet is the network of testdata/onestep.py: 4 inputs, 5 units, 5 units with
// a skip around them, 3 outputs.
func skipNet(w [][]float64) *dag.Network {
	var b dag.Builder
	x := b.Input("x", 4)
	h1 := b.Activation("", b.Affine("fc1", x, 5, w[0], w[1]), 0)
	h2 := b.Activation("", b.Sum("skip", b.Affine("fc2", h1, 5, w[2], w[3]), h1), 0)
	b.Output("y", b.Affine("fc3", h2, 3, w[4], w[5]))
	return build(&b)
}

var optimizers = map[string]optim.Kind{"sgd": optim.SGD, "path-sgd": optim.PathSGD, "adagrad": optim.AdaGrad, "path-adagrad": optim.PathAdaGrad}

// TestStepsAgainstPyTorch: gradients, and two steps of every optimizer with
// momentum, decay, path penalty and max-norm projection, for p = 1, 2 and 3.
func TestStepsAgainstPyTorch(t *testing.T) {
	r := readRecorded(t)
	pl, lib := pool.New(2), blas.Find()
	defer pl.Close()
	batch := &engine.Batch[float64]{N: len(r.Y), X: r.X, Labels: r.Y}
	how := engine.Options{Batch: batch.N, BLAS: lib, Pool: pl}
	p := compile64(t, skipNet(r.Start))
	grads := make([][]float64, len(p.Tensors))
	for k, x := range p.Tensors {
		grads[k] = make([]float64, len(x.Data))
	}
	s, err := engine.New(p, nil, how).Gradient(batch, grads)
	if err != nil {
		t.Fatal(err)
	}
	if loss := s.Loss / float64(s.N); !(math.Abs(loss-r.Loss) <= 1e-12) {
		t.Errorf("loss %v, PyTorch has %v", loss, r.Loss)
	}
	closeTo(t, "gradient", grads, r.Gradient)
	for _, c := range r.Cases {
		p := compile64(t, skipNet(r.Start))
		o := optim.New(p, optim.Rule{
			Kind: optimizers[c.Optimizer], P: c.P, Epsilon: 1e-10, Momentum: c.Momentum > 0,
			Decay: c.Decay, PathPenalty: c.Penalty, MaxNorm: c.MaxNorm,
		}, geometry.New(p, geometry.Options{P: c.P, BLAS: lib, Pool: pl}), pl)
		o.Eta, o.Eta0, o.Mu = r.Eta, r.Eta, c.Momentum
		e := engine.New(p, o, how)
		for range r.Steps {
			if _, err := e.Step(batch); err != nil {
				t.Fatal(err)
			}
		}
		var got [][]float64
		for _, x := range p.Tensors {
			got = append(got, x.Data)
		}
		closeTo(t, fmt.Sprintf("%s, p = %v, momentum %v, decay %v, penalty %v, max-norm %v",
			c.Optimizer, c.P, c.Momentum, c.Decay, c.Penalty, c.MaxNorm), got, c.After)
	}
}

func compile64(t *testing.T, net *dag.Network) *program.Program[float64] {
	t.Helper()
	p, err := program.Compile[float64](net, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// closeTo compares to 1e-10 of the largest number: a few hundred roundings in
// double precision.
func closeTo(t *testing.T, what string, got, want [][]float64) {
	t.Helper()
	for k := range want {
		most := 1e-30
		for _, v := range want[k] {
			most = math.Max(most, math.Abs(v))
		}
		for i, v := range want[k] {
			if !(math.Abs(got[k][i]-v) <= 1e-10*most) {
				t.Errorf("%s: tensor %d[%d] is %v, PyTorch has %v", what, k, i, got[k][i], v)
				return
			}
		}
	}
}
