package onnxio_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// pbGraphAttribute is a subgraph as attribute.
func pbGraphAttribute(name string, graph ...field) field {
	return pbMessage(5, pbString(1, name), pbMessage(6, graph...), pbInt(20, 5))
}

// evalOne reads a model of one input and one output and evaluates one sample.
func evalOne(t *testing.T, model []byte, x ...float64) (*onnxio.Model, []float64) {
	t.Helper()
	m, err := onnxio.Decode(model, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.Run(t.Context(), m.Net, [][]float64{x}, 1, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, got[0]
}

// TestKnownBranch takes the branch of a known condition. The branch reads a product
// to whose other reader a bias is added: it must see the product without it.
func TestKnownBranch(t *testing.T) {
	for cond, want := range map[float32][]float64{0: {5, 8}, 1: {6, 9}} {
		branch := func(name string, nodes ...field) field {
			return pbGraphAttribute(name, append(nodes, pbOutput(name+"_out", -1, 2))...)
		}
		model := pbModel(8, 17,
			pbInput("x", -1, 2), pbOutput("y", -1, 2),
			pbInitializer("w", []int64{2, 2}, 1, 0, 0, 2), pbInitializer("b", []int64{2}, 1, 1),
			pbInitializer("c", nil, cond),
			pbNode("Cast", "cond", names("c"), names("known"), attrOfInt("to", 9)),
			pbNode("MatMul", "mm", names("x", "w"), names("h")),
			pbNode("If", "if", names("known"), names("z"),
				branch("then_branch", pbInitializer("one", []int64{2}, 1, 1), pbNode("Add", "more", names("h", "one"), names("then_branch_out"))),
				branch("else_branch", pbNode("Identity", "same", names("h"), names("else_branch_out")))),
			pbNode("Add", "bias", names("h", "b"), names("g")),
			pbNode("Add", "sum", names("z", "g"), names("y")),
		)
		m, got := evalOne(t, model, 2, 1.75)
		// h is (2, 3.5), g is (3, 4.5).
		if !slices.Equal(got, want) {
			t.Errorf("condition %v: %v, want %v", cond, got, want)
		}
		if len(m.Warnings) > 0 {
			t.Errorf("condition %v: warnings %q", cond, m.Warnings)
		}
	}
}

// TestLoopWeights measures the weights that a loop's body stores and those of the
// graph around it that it reads.
func TestLoopWeights(t *testing.T) {
	body := pbGraphAttribute("body",
		pbValue(11, "i", 7), pbValue(11, "go", 9), pbInput("s", -1, 2),
		pbInitializer("inner", []int64{2, 2}, 1, 2, 3, 4),
		pbNode("Identity", "on", names("go"), names("go_on")),
		pbNode("MatMul", "a", names("s", "inner"), names("p")), pbNode("MatMul", "b", names("p", "outer"), names("q")),
		pbValue(12, "go_on", 9), pbOutput("q", -1, 2))
	model := pbModel(8, 17,
		pbInput("x", -1, 2), pbOutput("y", -1, 2),
		pbInitializer("outer", []int64{2, 2}, 5, 6, 7, 8), pbInitializer("w", []int64{2, 2}, 1, 1, 1, 1),
		pbMessage(5, append(tensorHeader("trips", 7, nil), pbInt(7, 3))...),
		pbNode("MatMul", "first", names("x", "w"), names("h")),
		pbNode("Loop", "loop", names("trips", "", "h"), names("y"), body),
	)
	m, err := onnxio.Decode(model, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for u := range m.Net.Uses() {
		got = append(got, u.Param.Name)
	}
	slices.Sort(got)
	if want := []string{"inner", "outer", "w"}; !slices.Equal(got, want) {
		t.Errorf("layers of %q, want %q", got, want)
	}
	if text := strings.Join(m.Warnings, "\n"); !strings.Contains(text, `Loop "loop" is not evaluated: it is a loop`) {
		t.Errorf("warnings %q", text)
	}
}

// TestDequantizedWeight measures a stored weight times its scales, and pins it.
func TestDequantizedWeight(t *testing.T) {
	raw := pbMessage(5, append(tensorHeader("q", 3, []int64{2, 2}), pbBytes(9, []byte{1, 2, 0xff, 4}))...)
	nibbles := pbMessage(5, append(tensorHeader("q", 22, []int64{2, 2}), pbBytes(9, []byte{0x21, 0x4f}))...)
	for name, weight := range map[string]field{"int8": raw, "int4": nibbles} {
		model := pbModel(10, 21,
			pbInput("x", -1, 2), pbOutput("y", -1, 2),
			weight, pbInitializer("s", []int64{2}, 0.5, 2),
			pbNode("DequantizeLinear", "dq", names("q", "s"), names("w"), attrOfInt("axis", 1)),
			pbNode("Gemm", "fc", names("x", "w"), names("y"), attrOfInt("transB", 1)),
		)
		m, got := evalOne(t, model, 2, 1)
		if want := []float64{5, 7}; !slices.Equal(got, want) { // W is (0.5 4; -0.5 8)
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		p := m.Net.Params()[0]
		if p.Storage != dag.Unwritable || p.Reason != "it is stored in quantised form" {
			t.Errorf("%s: %v, %q", name, p.Storage, p.Reason)
		}
	}
}

// TestRecurrentLayers counts W and R of each direction as layers whose rows nothing
// may rescale.
func TestRecurrentLayers(t *testing.T) {
	model := pbModel(8, 17,
		pbInput("x", -1, 3, 2), pbOutput("y", -1, 3),
		pbInitializer("W", []int64{2, 3, 2}, ramp(12)...), pbInitializer("R", []int64{2, 3, 3}, ramp(18)...),
		pbInitializer("v", []int64{3, 3}, ramp(9)...),
		pbNode("Transpose", "steps", names("x"), names("t"), attrOfInts("perm", 1, 0, 2)),
		pbNode("RNN", "rnn", names("t", "W", "R"), names("", "h"), attrOfInt("hidden_size", 3),
			pbMessage(5, pbString(1, "direction"), pbString(4, "bidirectional"), pbInt(20, 3))),
		pbNode("ReduceSum", "sum", names("h", "axes"), names("s"), attrOfInt("keepdims", 0)),
		pbMessage(5, append(tensorHeader("axes", 7, []int64{1}), pbInt(7, 0))...),
		pbNode("MatMul", "out", names("s", "v"), names("y")),
	)
	m, _ := evalOne(t, model, 1, 2, 3, 4, 5, 6)
	layers := m.Net.Layers()
	if len(layers) != 5 {
		t.Fatalf("%d layers, want 5", len(layers))
	}
	if s := m.Net.Segments(); len(s) != 1 || len(s[0].Layers) != 1 {
		t.Errorf("segments %v, want one with the last layer", s)
	}
}

// TestShapesThatDoNotFit wants a sentence, or numbers, where operands do not fit.
func TestShapesThatDoNotFit(t *testing.T) {
	x, y := pbInput("x", 2, 3), pbOutput("y", 2, 3)
	for name, c := range map[string]struct {
		want  string
		nodes []field
	}{
		"Concat of a scalar": {"operands of shapes", []field{
			pbInitializer("s", nil, 1), pbNode("ReduceSum", "r", names("x"), names("z"), attrOfInt("keepdims", 0)),
			pbNode("Unsqueeze", "u", names("z", "at"), names("v")), pbMessage(5, append(tensorHeader("at", 7, []int64{1}), pbInt(7, 0))...),
			pbNode("Concat", "c", names("v", "z"), names("y"), attrOfInt("axis", 0)),
		}},
		"GatherElements of more rows": {"indices of shape", []field{
			pbValue(11, "i", 7, 3, 3), pbNode("GatherElements", "g", names("x", "i"), names("y"), attrOfInt("axis", 1)),
		}},
		"scales of another length": {"scales of shape", []field{
			pbInitializer("s", []int64{2}, 1, 2), pbNode("QuantizeLinear", "q", names("x", "s"), names("y"), attrOfInt("axis", 1)),
		}},
		"a recurrent weight of another size": {"has the shape", []field{
			pbInitializer("W", []int64{1, 3, 2}, ramp(6)...), pbInitializer("R", []int64{1, 3, 3}, ramp(9)...),
			pbInitializer("three", []int64{2, 1, 3}, ramp(6)...),
			pbNode("Add", "a", names("x", "three"), names("h")), pbNode("RNN", "r", names("h", "W", "R"), names("y"), attrOfInt("hidden_size", 3)),
		}},
		"heads that do not divide": {"heads of a value", []field{
			pbInitializer("three", []int64{2, 1, 3}, ramp(6)...), pbNode("Add", "a", names("x", "three"), names("h")),
			pbNode("Attention", "att", names("h", "h", "h"), names("y"), attrOfInt("q_num_heads", 2), attrOfInt("kv_num_heads", 2)),
		}},
	} {
		_, err := onnxio.Decode(pbModel(10, 23, append(c.nodes, x, y)...), onnxio.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestIntegerRemainder takes the remainder by a number between 0 and 1, which integers
// hold as 0.
func TestIntegerRemainder(t *testing.T) {
	m, err := onnxio.Decode(pbModel(8, 17,
		pbValue(11, "x", 7, -1, 1), pbValue(11, "z", 7, -1, 1), pbValue(12, "y", 7, -1, 1),
		pbNode("Mod", "m", names("x", "z"), names("y"))), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.Run(t.Context(), m.Net, [][]float64{{5, -7}, {0.5, 3}}, 2, eval.Options{})
	if err != nil || got[0][0] == got[0][0] || got[0][1] != 2 {
		t.Errorf("%v, %v, want NaN and 2", got, err)
	}
}

// TestComputedBranch picks the values of a branch where the condition depends on the
// input, and keeps the node as it is where the branches differ in shape.
func TestComputedBranch(t *testing.T) {
	model := func(other field) []byte {
		return pbModel(8, 13,
			pbInput("x", 1, 2), pbOutput("y", 1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4), pbInitializer("zero", nil, 0),
			pbNode("ReduceMax", "max", names("x"), names("m"), attrOfInt("keepdims", 0)),
			pbNode("Greater", "sign", names("m", "zero"), names("c")),
			pbNode("If", "if", names("c"), names("y"),
				pbGraphAttribute("then_branch", pbNode("MatMul", "times", names("x", "w"), names("a")), pbOutput("a", 1, 2)),
				pbGraphAttribute("else_branch", other, pbOutput("b", 1, 2))))
	}
	same := model(pbNode("Neg", "minus", names("x"), names("b")))
	for _, c := range []struct{ x, want []float64 }{{[]float64{1, -1}, []float64{-2, -2}}, {[]float64{-1, -3}, []float64{1, 3}}} {
		m, got := evalOne(t, same, c.x...)
		if !slices.Equal(got, c.want) {
			t.Errorf("of %v: %v, want %v", c.x, got, c.want)
		}
		if n := len(m.Net.Layers()); n != 1 {
			t.Errorf("%d layers, want the matrix of the branch", n)
		}
	}
	m, err := onnxio.Decode(model(pbNode("Concat", "twice", names("x", "x"), names("b"), attrOfInt("axis", 1))), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Warnings) == 0 || !strings.Contains(m.Warnings[0], "its condition depends on the input") || len(m.Net.Layers()) != 1 {
		t.Errorf("branches of two shapes: warnings %q, layers %v", m.Warnings, m.Net.Layers())
	}
}
