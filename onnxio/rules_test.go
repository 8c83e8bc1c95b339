package onnxio_test

import (
	"math"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// Every rule of rescaling but those of attention (TestFactorsOfAttention): as many factors
// are free as the rule says, and change nothing; a free one that the columns behind forget,
// and a pinned one that moves, change the output.
func TestRulesOfRescaling(t *testing.T) {
	node := func(op, out string, in []string, attr ...field) field {
		return pbNode(op, out, in, names(out), attr...)
	}
	weight := func(name string, dims ...int64) field {
		n := 1
		for _, d := range dims {
			n *= int(d)
		}
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(math.Sin(float64(3*i*i+i) + float64(len(name)) + float64(name[0])))
		}
		return pbInitializer(name, dims, w...)
	}
	positive := pbInitializer("positive", []int64{6}, 1, 2, 0.5, 1.5, 0.7, 3)
	// The layers h and g of the input, and y of r.
	ends := []field{
		weight("w", 4, 6), weight("bias", 6), weight("second", 4, 6), weight("out", 6, 3), positive,
		pbInitializer("low", nil, 0), pbInitializer("high", nil, 0.5),
		node("MatMul", "mm", names("x", "w")), node("Add", "h", names("mm", "bias")), node("MatMul", "g", names("x", "second")),
	}
	last := node("MatMul", "y", names("r", "out"))
	for _, c := range []struct {
		name  string
		nodes []field
		free  int
	}{
		{"linear", []field{node("Identity", "r", names("h"))}, 6},
		{"ReLU", []field{node("Relu", "r", names("h"))}, 6},
		{"leaky ReLU", []field{node("LeakyRelu", "r", names("h"))}, 6},
		{"cap", []field{node("Clip", "r", names("h", "low", "high"))}, 6},
		{"one threshold", []field{node("ThresholdedRelu", "r", names("h"), attrOfFloat("alpha", 0.3))}, 1},
		{"sum", []field{node("Add", "r", names("h", "g"))}, 6},
		{"maximum", []field{node("Max", "r", names("h", "g"))}, 6},
		{"concatenation", []field{node("Concat", "both", names("h", "g"), attrOfInt("axis", 1)), weight("half", 12, 6), node("MatMul", "r", names("both", "half"))}, 18},
		{"curve", []field{node("Tanh", "r", names("h"))}, 0},
		{"softmax", []field{node("Softmax", "r", names("h"))}, 0},
		{"normaliser", []field{node("LayerNormalization", "r", names("h", "positive", "bias"))}, 6},
		{"gate", []field{node("Sigmoid", "gate", names("g")), node("Mul", "r", names("h", "gate"))}, 6},
		{"gate first", []field{node("Sigmoid", "gate", names("g")), node("Mul", "r", names("gate", "h"))}, 6},
		{"both free", []field{node("Mul", "r", names("h", "g"))}, 6},
		{"over a function", []field{node("Tanh", "t", names("g")), node("Exp", "below", names("t")), node("Div", "r", names("h", "below"))}, 6},
		{"under a function", []field{node("Softplus", "below", names("h")), node("Tanh", "t", names("g")), node("Div", "r", names("t", "below"))}, 0},
		{"an output", []field{pbOutput("h", -1, 6), node("Relu", "r", names("h"))}, 0},
		{"recurrent cell", []field{
			pbIntegers("steps", 0), node("Unsqueeze", "sequence", names("h", "steps")), weight("input", 1, 6, 6), weight("recurrence", 1, 6, 6),
			pbNode("RNN", "rnn", names("sequence", "input", "recurrence"), names("", "state"), attrOfInt("hidden_size", 6)),
			node("Squeeze", "r", names("state", "steps")),
		}, 0},
		{"convolutions", []field{
			pbIntegers("image", -1, 2, 3, 1), node("Reshape", "i", names("h", "image")),
			weight("kernel", 3, 2, 3, 1), node("Conv", "c", names("i", "kernel"), attrOfInts("pads", 1, 0, 1, 0)),
			node("MaxPool", "pool", names("c"), attrOfInts("kernel_shape", 2, 1)),
			weight("depthwise", 3, 1, 2, 1), node("Conv", "d", names("pool", "depthwise"), attrOfInt("group", 3), attrOfInts("pads", 1, 0, 0, 0)),
			node("Flatten", "r", names("d")),
		}, 2 + 3 + 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			model := slices.Concat([]field{pbInput("x", -1, 4), pbOutput("y", -1, 3)}, ends, c.nodes, []field{last})
			m, err := onnxio.Decode(pbModel(8, 17, model...), onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			g := m.Net.Groups()
			if got := g.Free(); got != c.free {
				t.Errorf("%d factors are free, want %d: pins %q", got, c.free, g.Pin)
			}
			// Float32 weights, rounded once more.
			if d := furthestOf(t, m.Net, randomly(t, m.Net, 3), 4); d > 1e-6 {
				t.Errorf("the function changed by %g", d)
			}
			// The matrices of a cell are read where they are stored.
			inside := map[int32]bool{}
			for nd, f := range dag.Each[*dag.Func](m.Net) {
				for _, i := range nd.In[len(nd.In)-f.Inside:] {
					for _, id := range g.Rows[i] {
						inside[id] = true
					}
				}
			}
			for id := range g.Count {
				if g.Size[id] == 0 || inside[int32(id)] {
					continue
				}
				wrong, factors := *g, g.Ones()
				factors[id] = 3
				if g.Pin[id] != "" {
					wrong.Pin = make([]string, g.Count)
				} else {
					wrong.Cols = make([][]int32, len(g.Cols))
					for i, ids := range g.Cols { // no column takes a factor back
						wrong.Cols[i] = make([]int32, len(ids))
					}
				}
				bad, err := m.Net.Rescale(&wrong, factors)
				if err != nil {
					t.Fatal(err)
				}
				if d := furthestOf(t, m.Net, bad, 4); d < 1e-4 {
					t.Errorf("a wrong factor of group %d (pin %q) changes the function by %g only", id, g.Pin[id], d)
				}
			}
		})
	}
}
