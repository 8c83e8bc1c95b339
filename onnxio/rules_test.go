package onnxio_test

import (
	"math"
	"slices"
	"strings"
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
		{"PReLU", []field{pbInitializer("slopes", []int64{6}, 0.1, 0.2, 0.3, 0.1, 0.5, -0.5), node("PRelu", "r", names("h", "slopes"))}, 6},
		{"absolute value", []field{node("Abs", "r", names("h"))}, 6},
		{"bounds one by one", []field{node("Relu", "positive_part", names("h")), node("Min", "r", names("positive_part", "positive"))}, 6},
		{"skip", []field{weight("square", 6, 6), node("Relu", "a", names("h")), node("MatMul", "b", names("a", "square")), node("Add", "r", names("b", "h"))}, 6},
		{"zero padding", []field{
			pbIntegers("by", 0, 1, 0, 1), node("Pad", "padded", names("h", "by")), weight("wide", 8, 6), node("MatMul", "r", names("padded", "wide")),
		}, 12},
		// The number that pads would take the factors too, but an operator stores one.
		{"constant padding", []field{
			pbIntegers("by", 0, 1, 0, 1), node("Pad", "padded", names("h", "by", "high")), weight("wide", 8, 6), node("MatMul", "r", names("padded", "wide")),
		}, 6},
		{"average", []field{
			pbIntegers("image", -1, 2, 3, 1), node("Reshape", "i", names("h", "image")),
			node("AveragePool", "pool", names("i"), attrOfInts("kernel_shape", 2, 1), attrOfInts("pads", 1, 0, 0, 0)), node("Flatten", "r", names("pool")),
		}, 2},
		{"nearest resize", resized("nearest", node), 6},
		{"linear resize", resized("linear", node), 2},
		{"embedding", []field{
			node("ArgMax", "place", names("x"), attrOfInt("axis", 1), attrOfInt("keepdims", 0)), weight("table", 4, 6),
			node("Gather", "e", names("table", "place")), node("Add", "r", names("e", "h")),
		}, 6},
		{"normaliser in simpler operators", []field{
			node("ReduceMean", "mean", names("h"), attrOfInts("axes", 1)), node("Sub", "centred", names("h", "mean")),
			node("Mul", "squares", names("centred", "centred")), node("ReduceMean", "variance", names("squares"), attrOfInts("axes", 1)),
			pbInitializer("epsilon", nil, 1e-5), node("Add", "above", names("variance", "epsilon")), node("Sqrt", "deviation", names("above")),
			node("Div", "standard", names("centred", "deviation")), node("Mul", "scaled", names("standard", "positive")), node("Add", "r", names("scaled", "bias")),
		}, 6},
		{"normaliser of channels", []field{
			pbIntegers("image", -1, 2, 3, 1), node("Reshape", "i", names("h", "image")),
			pbInitializer("gamma", []int64{2}, 0.5, 2), pbInitializer("beta", []int64{2}, 0.3, -1),
			node("InstanceNormalization", "n", names("i", "gamma", "beta")), node("Flatten", "r", names("n")),
		}, 2},
		{"quantiser", []field{
			pbInitializer("step", nil, 0.05), node("QuantizeLinear", "q", names("h", "step")), node("DequantizeLinear", "r", names("q", "step")),
		}, 0},
		{"queries and keys", meeting("MatMul", node, weight), 2 + 6},
		{"queries and keys of an Einsum", meeting("Einsum", node, weight), 2 + 6},
		// With a factor of its own on one side the norms of its weights would have two signs.
		{"queries that weights read too", append(meeting("MatMul", node, weight)[:6:6], weight("square", 6, 6), weight("nine", 9, 6),
			node("MatMul", "a", names("f", "nine")), node("MatMul", "b", names("h", "square")), node("Add", "r", names("a", "b"))), 6},
		{"weights and values", []field{
			pbIntegers("rows", -1, 2, 3), pbIntegers("columns", -1, 3, 2), node("Reshape", "logits", names("g", "rows")), node("Softmax", "weights", names("logits")),
			node("Reshape", "values", names("h", "columns")), node("MatMul", "mixed", names("weights", "values")), node("Flatten", "f", names("mixed")),
			weight("narrow", 4, 6), node("MatMul", "r", names("f", "narrow")),
		}, 2 + 6},
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
				// Where a file only cannot store it, a factor is none that changes the function.
				if g.Size[id] == 0 || inside[int32(id)] || strings.Contains(g.Pin[id], "cannot be stored") {
					continue
				}
				wrong, factors := *g, g.Ones()
				factors[id] = 3
				// Of two sides that meet one forgets the other.
				wrong.Inverse = slices.Repeat([]int32{-1}, g.Count)
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

type noder = func(op, out string, in []string, attr ...field) field

// resized doubles h, as an image of two channels, and takes every second element.
func resized(mode string, node noder) []field {
	return []field{
		pbIntegers("image", -1, 2, 3, 1), node("Reshape", "i", names("h", "image")),
		pbInitializer("scales", []int64{4}, 1, 1, 2, 1), node("Resize", "twice", names("i", "", "scales"), attrOfString("mode", mode)),
		pbIntegers("from", 1), pbIntegers("to", 6), pbIntegers("along", 2), pbIntegers("by", 2),
		node("Slice", "half", names("twice", "from", "to", "along", "by")), node("Flatten", "r", names("half")),
	}
}

// meeting multiplies h and g, as three positions of two numbers, along the numbers.
func meeting(op string, node noder, weight func(name string, dims ...int64) field) []field {
	out := []field{pbIntegers("positions", -1, 3, 2), node("Reshape", "q", names("h", "positions")), node("Reshape", "k", names("g", "positions"))}
	if op == "Einsum" {
		out = append(out, node("Einsum", "s", names("q", "k"), attrOfString("equation", "bik,bjk->bij")))
	} else {
		out = append(out, node("Transpose", "t", names("k"), attrOfInts("perm", 0, 2, 1)), node("MatMul", "s", names("q", "t")))
	}
	return append(out, node("Flatten", "f", names("s")), weight("nine", 9, 6), node("MatMul", "r", names("f", "nine")))
}
