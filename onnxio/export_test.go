package onnxio_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// randomly rescales every free group by a factor between 1/4 and 4.
func randomly(t testing.TB, n *dag.Network, seed uint64) *dag.Network {
	r := rand.New(rand.NewPCG(seed, 1))
	g := n.Groups()
	c := g.Ones()
	for i := range c {
		if g.Pin[i] == "" {
			c[i] = math.Exp2(4*r.Float64() - 2)
		}
	}
	out, err := n.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// randomInputs returns standard normal inputs for a batch.
func randomInputs(n *dag.Network, batch int, seed uint64) [][]float64 {
	r := rand.New(rand.NewPCG(seed, 2))
	in := make([][]float64, len(n.Inputs))
	for k, p := range n.Inputs {
		in[k] = make([]float64, batch*n.Nodes[p.Node].Len())
		for i := range in[k] {
			in[k][i] = r.NormFloat64()
		}
	}
	return in
}

// furthest returns the largest difference of the outputs of two networks on
// the same inputs, relative to the largest value of the output.
func furthest(t testing.TB, a, b *dag.Network) float64 {
	batch := 4
	if testing.Short() {
		batch = 1 // the race detector makes convolutions slow
	}
	return furthestOf(t, a, b, batch)
}

// furthestOf is furthest on so many samples.
func furthestOf(t testing.TB, a, b *dag.Network, batch int) float64 {
	in := randomInputs(a, batch, 7)
	x, err := eval.Run(context.Background(), a, in, batch, evalOptions)
	if err != nil {
		t.Fatal(err)
	}
	y, err := eval.Run(context.Background(), b, in, batch, evalOptions)
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for k := range x {
		worst = max(worst, difference(t, a.Outputs[k].Name, y[k], x[k]))
	}
	return worst
}

// TestRoundTrip writes every shared model unedited, which must give the same
// bytes, and randomly rescaled, which must give a model of the same function.
func TestRoundTrip(t *testing.T) {
	read, edited := 0, 0
	for _, m := range sharedModels(t) {
		model, err := onnxio.Read(m.path, onnxio.Options{})
		if err != nil {
			continue
		}
		read++
		t.Run(m.name, func(t *testing.T) {
			defer model.Close()
			var same bytes.Buffer
			if err := model.Write(&same, model.Net); err != nil {
				t.Fatal(err)
			}
			source, err := os.ReadFile(m.path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(same.Bytes(), source) {
				t.Error("the unedited model was not written byte for byte")
			}
			scaled := randomly(t, model.Net, 1)
			path := filepath.Join(t.TempDir(), "out.onnx")
			if err := model.WriteFile(path, scaled, onnxio.WriteOptions{SkipSync: true}); err != nil {
				t.Fatal(err)
			}
			back, err := onnxio.Read(path, onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if _, ok := model.Net.Unevaluated(nil); ok {
				return
			}
			// What is read back has the very values that were written.
			if d := furthest(t, scaled, back.Net); d != 0 {
				t.Errorf("the written model differs from the network written by %.3g", d)
			}
			// Each weight is rounded once: relative 2^-24 in float32, 2^-11 in float16,
			// amplified by cancellation in the sums.
			tol := 1e-5
			for _, p := range model.Net.Params() {
				tol = max(tol, 64*p.Type.Epsilon())
			}
			if d := furthest(t, model.Net, back.Net); !(d <= tol) {
				t.Errorf("the rescaled model differs from the source by %.3g, want %g", d, tol)
			}
			edited++
		})
	}
	t.Logf("%d models read, %d rescaled and read back", read, edited)
}

// The scale of an InstanceNormalization of one channel is one number for all its
// elements, and stays one: the file that is written reads as the network.
func TestScaleOfOneChannel(t *testing.T) {
	m, err := onnxio.Decode(pbModel(8, 17, pbInput("x", -1, 1, 4), pbOutput("y", -1, 2),
		pbInitializer("g", []int64{1}, 2), pbInitializer("b", []int64{1}, 1), pbInitializer("w", []int64{4, 2}, ramp(8)...),
		pbInitializer("k", []int64{1, 1, 1}, 2), pbNode("Conv", "conv", names("x", "k"), names("h")),
		pbNode("InstanceNormalization", "norm", names("h", "g", "b"), names("n")),
		pbNode("Flatten", "flat", names("n"), names("f")), pbNode("Gemm", "fc", names("f", "w"), names("y"))), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := m.Write(&out, randomly(t, m.Net, 1)); err != nil {
		t.Fatal(err)
	}
	if d := furthest(t, m.Net, decode(t, out.Bytes())); d > 1e-6 { // two roundings to float32
		t.Errorf("the written model differs by %g", d)
	}
}

// A number that divides an image behind a gate is one for each channel, as the layer's
// before it, not one for each pixel; beside a sequence it follows the features.
func TestScaleOfImages(t *testing.T) {
	image := decode(t, pbModel(8, 17, pbInput("x", -1, 1, 6, 5), pbOutput("y", -1, 3, 6, 5),
		pbInitializer("k", []int64{3, 1, 1, 1}, 1, 2, 3), pbInitializer("six", nil, 6),
		pbNode("Conv", "conv", names("x", "k"), names("h")), pbNode("HardSigmoid", "", names("h"), names("g")), pbNode("Mul", "", names("h", "g"), names("m")),
		pbNode("Div", "div", names("m", "six"), names("y"))))
	sequence := decode(t, pbModel(8, 17, pbInput("x", -1, 5, 2), pbOutput("y", -1, 5, 3), pbInitializer("w", []int64{2, 3}, ramp(6)...), pbInitializer("six", nil, 6),
		pbNode("MatMul", "fc", names("x", "w"), names("h")), pbNode("Sigmoid", "", names("h"), names("s")),
		pbNode("Div", "div", names("s", "six"), names("y"))))
	for net, want := range map[*dag.Network]dag.Axis{image: {Outer: 1, N: 3, Inner: 30}, sequence: {Outer: 5, N: 3, Inner: 1}} {
		last := &net.Nodes[len(net.Nodes)-1]
		l, ok := last.Op.(*dag.Linear)
		if !ok || l.Out() != want {
			t.Errorf("%s: units %+v, want %+v", net, l.Out(), want)
			continue
		}
		for _, s := range l.Scale() {
			if !(math.Abs(s-1./6) < 1e-7) { // of float32
				t.Errorf("scale %v", l.Scale())
			}
		}
	}
}
