package onnxio_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// outline tells the nodes of a network without their names.
func outline(n *dag.Network) []string {
	var out []string
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		line := fmt.Sprintf("%d %T %v %v", nd.Zone, nd.Op, nd.Shape, nd.In)
		if f, ok := nd.Op.(*dag.Func); ok {
			line += fmt.Sprint(" ", f.Kind)
		}
		for _, u := range nd.Uses() {
			line += " " + u.Param.Name
		}
		out = append(out, line)
	}
	return out
}

// TestDecomposedNormalisers writes LayerNormalization and RMSNormalization in simple
// operators, as exporters do, and wants the networks of the fused operators.
func TestDecomposedNormalisers(t *testing.T) {
	model := func(opset int64, nodes ...field) []byte {
		return pbModel(8, opset, append(nodes,
			pbInput("x", -1, 2, 3), pbOutput("y", -1, 2, 2),
			pbInitializer("w", []int64{3, 3}, 1, 2, -1, 0.5, -3, 1, 2, 1, 1), pbInitializer("v", []int64{3, 2}, ramp(6)...),
			pbInitializer("scale", []int64{3}, 0.5, 2, -1), pbInitializer("shift", []int64{3}, 0.25, 0, 1),
			pbInitializer("two", nil, 2), pbInitializer("eps", nil, 1e-5), pbInitializer("one", nil, 1),
		)...)
	}
	first, last := pbNode("MatMul", "a", names("x", "w"), names("h")), pbNode("MatMul", "b", names("n", "v"), names("y"))
	node := func(op, in1, in2, out string) field {
		in := names(in1)
		if in2 != "" {
			in = names(in1, in2)
		}
		return pbNode(op, out, in, names(out))
	}
	meanOf := func(in, out string) field {
		return pbNode("ReduceMean", out, names(in), names(out), attrOfInts("axes", -1))
	}
	centre := []field{meanOf("h", "m"), node("Sub", "h", "m", "d")}
	root := []field{meanOf("p", "q"), node("Add", "q", "eps", "e"), node("Sqrt", "e", "", "s")}
	rescaled := []field{node("Mul", "z", "scale", "g"), node("Add", "g", "shift", "n")}
	layer := model(17, first, pbNode("LayerNormalization", "ln", names("h", "scale", "shift"), names("n")), last)
	rms := model(23, first, pbNode("RMSNormalization", "ln", names("h", "scale"), names("n")), last)
	for _, c := range []struct {
		name  string
		fused []byte
		nodes [][]field
	}{
		{"Pow and Div", layer, [][]field{{first}, centre, {node("Pow", "d", "two", "p")}, root, {node("Div", "d", "s", "z")}, rescaled, {last}}},
		{"Mul and Reciprocal", layer, [][]field{
			{first},
			centre,
			{node("Mul", "d", "d", "p")},
			root,
			{node("Reciprocal", "s", "", "r"), node("Mul", "r", "d", "z")},
			rescaled,
			{last},
		}},
		{"without a mean", rms, [][]field{
			{first, node("Pow", "h", "two", "p")},
			root,
			{node("Div", "one", "s", "r"), node("Mul", "h", "r", "z"), node("Mul", "z", "scale", "n"), last},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := []float64{1, -2, 0.5, 3, 4, -1}
			fused, want := evalOne(t, c.fused, x...)
			simple, got := evalOne(t, model(17, slices.Concat(c.nodes...)...), x...)
			for i := range want {
				// The epsilon of the attribute and of the initializer are the same float32.
				if math.Abs(got[i]-want[i]) > 1e-12 {
					t.Errorf("%v, want %v", got, want)
				}
			}
			if a, b := outline(simple.Net), outline(fused.Net); !slices.Equal(a, b) {
				t.Errorf("the networks are\n%q and\n%q", a, b)
			}
		})
	}
}

// TestFoldedMeanSquare scales a mean square by a constant before the root: that is no
// normaliser.
func TestFoldedMeanSquare(t *testing.T) {
	_, got := evalOne(t, pbModel(8, 17,
		pbInput("x", -1, 2), pbOutput("y", -1, 2),
		pbInitializer("two", nil, 2), pbInitializer("eps", nil, 0.5), pbInitializer("four", nil, 4),
		pbNode("Pow", "p", names("x", "two"), names("p")),
		pbNode("ReduceMean", "m", names("p"), names("m"), attrOfInts("axes", -1)),
		pbNode("Add", "e", names("m", "eps"), names("e")), pbNode("Mul", "f", names("e", "four"), names("f")),
		pbNode("Sqrt", "s", names("f"), names("s")), pbNode("Div", "d", names("x", "s"), names("y")),
	), 1, -2)
	// The mean square is 2.5, the root of 4 (2.5 + 0.5) is sqrt(12).
	for i, x := range []float64{1, -2} {
		if want := x / math.Sqrt(12); math.Abs(got[i]-want) > 1e-15 {
			t.Errorf("%v, want %v", got[i], want)
		}
	}
}

// TestWrittenActivations reads activations that are written as a choice by the sign
// of their operand.
func TestWrittenActivations(t *testing.T) {
	zero := pbInitializer("zero", nil, 0)
	slope := pbInitializer("a", nil, 0.25)
	compare := func(op, a, b string) field { return pbNode(op, "cmp", names(a, b), names("c")) }
	for name, c := range map[string]struct {
		nodes        []field
		above, below float64
	}{
		"Where":            {[]field{compare("Greater", "h", "zero"), pbNode("Where", "w", names("c", "h", "zero"), names("r"))}, 1, 0},
		"Where of a slope": {[]field{compare("GreaterOrEqual", "h", "zero"), pbNode("Mul", "s", names("h", "a"), names("k")), pbNode("Where", "w", names("c", "h", "k"), names("r"))}, 1, 0.25},
		"mask":             {[]field{compare("Greater", "h", "zero"), pbNode("Cast", "f", names("c"), names("k"), attrOfInt("to", 1)), pbNode("Mul", "w", names("k", "h"), names("r"))}, 1, 0},
		"mask below":       {[]field{compare("Greater", "zero", "h"), pbNode("Cast", "f", names("c"), names("k"), attrOfInt("to", 1)), pbNode("Mul", "w", names("h", "k"), names("r"))}, 0, 1},
		"Where below":      {[]field{compare("Less", "h", "zero"), pbNode("Mul", "s", names("h", "a"), names("k")), pbNode("Where", "w", names("c", "k", "h"), names("r"))}, 1, 0.25},
	} {
		t.Run(name, func(t *testing.T) {
			model := pbModel(8, 17, append(c.nodes,
				pbInput("x", -1, 2), pbOutput("y", -1, 2), zero, slope,
				pbInitializer("w1", []int64{2, 2}, 1, 0, 0, 1), pbInitializer("w2", []int64{2, 2}, 1, 0, 0, 1),
				pbNode("MatMul", "m1", names("x", "w1"), names("h")), pbNode("MatMul", "m2", names("r", "w2"), names("y")))...)
			m, got := evalOne(t, model, 3, -2)
			if want := []float64{3 * c.above, -2 * c.below}; !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
			if f := m.Net.Functions(); len(f) > 0 {
				t.Errorf("functions %v between the weights", f)
			}
		})
	}
}

// TestWrittenSigmoid reads 1/(1 + exp(-x)), as skl2onnx writes the sigmoid of one score for
// each class: the homogeneous part ends in x, not in -x, whose largest is another class.
func TestWrittenSigmoid(t *testing.T) {
	for name, end := range map[string]field{
		"Reciprocal": pbNode("Reciprocal", "p", names("d"), names("y")),
		"Div":        pbNode("Div", "p", names("one", "d"), names("y")),
	} {
		m, got := evalOne(t, pbModel(8, 17,
			pbInput("x", -1, 2), pbOutput("y", -1, 2),
			pbInitializer("w", []int64{2, 2}, 2, 0, 0, 3), pbInitializer("minus", nil, -1), pbInitializer("one", nil, 1),
			pbNode("MatMul", "m", names("x", "w"), names("s")), pbNode("Mul", "n", names("s", "minus"), names("z")),
			pbNode("Exp", "e", names("z"), names("b")), pbNode("Add", "a", names("b", "one"), names("d")), end,
		), 0.5, -1)
		for i, s := range []float64{1, -3} {
			if want := 1 / (1 + math.Exp(-s)); math.Abs(got[i]-want) > 1e-15 {
				t.Errorf("%s: %v, want %v", name, got[i], want)
			}
		}
		ends := m.Net.Boundary()
		values, err := eval.Run(t.Context(), m.Net, [][]float64{{0.5, -1}}, 1, eval.Options{Values: ends})
		if err != nil || len(ends) != 1 || !slices.Equal(values[0], []float64{1, -3}) {
			t.Errorf("%s: the scores are %v, want 1 and -3: %v", name, values, err)
		}
		// The product s has become one node with its negative z, which is what the node gives.
		if _, ok := m.Values["s"]; ok || m.Net.Nodes[m.Values["z"]].Name != "m" || m.Values["y"] != m.Net.Outputs[0].Node {
			t.Errorf("%s: values %v", name, m.Values)
		}
	}
}
