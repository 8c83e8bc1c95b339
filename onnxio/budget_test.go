package onnxio_test

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/relupath/relupath/onnxio"
)

// TestBudgetIsAskedFirst: an operator whose result does not fit into what is left of the
// budget for constants is refused itself, before its result is made.
func TestBudgetIsAskedFirst(t *testing.T) {
	const (
		side = 4095    // side x side numbers are the budget of 128 MiB less 64 KiB
		held = 200_000 // of which something else has 1.5 MiB
		many = 9 << 20
	)
	text := func(name, v string) field { return pbMessage(5, pbString(1, name), pbString(4, v), pbInt(20, 3)) }
	op := func(typ string, in []string, attr ...field) []field {
		out := names("big")
		if typ == "TopK" {
			out = names("big", "places")
		}
		return []field{pbNode(typ, "it", in, out, attr...)}
	}
	// after runs the operator on many numbers, 72 MiB, of two axes or one.
	after := func(axes, typ string, in []string, attr ...field) []field {
		return append([]field{
			pbNode("Range", "", names("zero", "many", "step"), names("counted")),
			pbNode("Reshape", "", names("counted", axes), names("r")),
		}, op(typ, in, attr...)...)
	}
	large := func(name string, dims ...int64) field { return pbInitializer(name, dims, make([]float32, side)...) }
	for what, c := range map[string]struct {
		nodes []field
		limit uint64 // MiB that may be allocated, 16 where none is stated
	}{
		"Add":             {nodes: op("Add", names("a", "b"))},
		"Sum":             {nodes: op("Sum", names("a", "b"))},
		"Max":             {nodes: op("Max", names("a", "b"))},
		"Mean":            {nodes: op("Mean", names("a", "b"))},
		"Pow":             {nodes: op("Pow", names("a", "b"))},
		"Equal":           {nodes: op("Equal", names("a", "b"))},
		"Where":           {nodes: op("Where", names("yes", "a", "b"))},
		"MatMul":          {nodes: op("MatMul", names("a", "b"))},
		"Gemm":            {nodes: op("Gemm", names("a", "b"))},
		"Einsum":          {nodes: op("Einsum", names("a", "b"), text("equation", "ij,jk->ik"))},
		"Expand":          {nodes: op("Expand", names("step", "square"))},
		"Tile":            {nodes: op("Tile", names("one", "square"))},
		"ConstantOfShape": {nodes: op("ConstantOfShape", names("square"))},
		"Range":           {nodes: op("Range", names("zero", "all", "step"))},
		"Gather":          {nodes: op("Gather", names("b", "zeros"), attrOfInt("axis", 0))},
		"GatherND":        {nodes: op("GatherND", names("b", "tuples"))},
		"OneHot":          {nodes: op("OneHot", names("zeros", "depth", "pair"))},
		"HannWindow":      {nodes: op("HannWindow", names("length"))},
		"Concat":          {nodes: op("Concat", slices.Repeat(names("held"), 168), attrOfInt("axis", 0))},
		"Resize":          {nodes: op("Resize", names("image", "", "", "sizes"), text("mode", "cubic")), limit: 600},
		"Cast":            {nodes: after("flat", "Cast", names("r"), attrOfInt("to", 7)), limit: 170},
		"Neg":             {nodes: after("flat", "Neg", names("r")), limit: 170},
		"NonZero":         {nodes: after("flat", "NonZero", names("r")), limit: 170},
		"CumSum":          {nodes: after("flat", "CumSum", names("r", "axis")), limit: 170},
		"ScatterND":       {nodes: after("flat", "ScatterND", names("r", "place", "one")), limit: 170},
		"Transpose":       {nodes: after("wide", "Transpose", names("r")), limit: 170},
		"Trilu":           {nodes: after("wide", "Trilu", names("r")), limit: 170},
		"TopK":            {nodes: after("wide", "TopK", names("r", "two"), attrOfInt("axis", 0)), limit: 170},
		"LRN":             {nodes: after("deep", "LRN", names("r"), attrOfInt("size", 3)), limit: 170},
		"EyeLike":         {nodes: after("wide", "EyeLike", names("r")), limit: 170},
	} {
		graph := []field{
			pbInput("x", -1, 2), pbOutput("y", -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4),
			large("a", side, 1), large("b", 1, side), pbInitializer("one", []int64{1}, 1),
			pbIntegers("square", side*side), pbIntegers("place", 0), pbIntegers("flat", -1), pbIntegers("wide", 2, -1), pbIntegers("deep", 1, 2, -1), pbIntegers("two", 2),
			pbInitializer("pair", []int64{2}, 0, 1), pbIntegers("sizes", 1, 1, 7800, 7800), pbInitializer("image", []int64{1, 1, 2, 2}, 1, 2, 3, 4),
			pbInitializer("zero", nil, 0), pbInitializer("step", nil, 1), pbInitializer("all", nil, side*side-8), pbInitializer("many", nil, many),
			pbIntegers("counts", side), pbIntegers("twice", side, 1), pbIntegers("some", held),
			pbIntegers("sided", side), pbIntegers("none", 0), pbIntegers("whole", side*side),
			pbNode("Squeeze", "", names("none"), names("axis")), pbNode("Squeeze", "", names("sided"), names("depth")), pbNode("Squeeze", "", names("whole"), names("length")),
			pbNode("Expand", "", names("none", "counts"), names("zeros")), pbNode("Expand", "", names("none", "twice"), names("tuples")),
			pbNode("Cast", "", names("one"), names("yes"), attrOfInt("to", 9)),
			pbNode("Expand", "", names("one", "some"), names("held")),
		}
		graph = append(graph, c.nodes...)
		graph = append(graph, pbNode("Cast", "", names("big"), names("real"), attrOfInt("to", 1)),
			pbNode("ReduceSum", "", names("real"), names("s"), attrOfInt("keepdims", 0)),
			pbNode("ReduceSum", "", names("held"), names("h"), attrOfInt("keepdims", 0)), pbNode("Add", "", names("s", "h"), names("both")),
			pbNode("MatMul", "", names("x", "w"), names("m")), pbNode("Add", "", names("m", "both"), names("y")))
		model := pbModel(8, 17, graph...)
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := onnxio.Decode(model, onnxio.Options{})
		runtime.ReadMemStats(&now)
		if err == nil || !strings.Contains(err.Error(), `"it"`) || !strings.Contains(err.Error(), "simplify the model before export") {
			t.Errorf("%s: %v", what, err)
		}
		if n := (now.TotalAlloc - before.TotalAlloc) >> 20; n > max(c.limit, 16) {
			t.Errorf("%s: %d MiB were allocated before %v", what, n, err)
		}
	}
}

// Constants are picked from and normalised while the file is read: the network has no nodes for
// them. Expected: 4, 3 and their places 2, 0; and 1 / (1 + 1)^0.5 and 3 / (1 + 9)^0.5.
func TestConstantsAreFolded(t *testing.T) {
	for what, c := range map[string]struct {
		node field
		want []float64
	}{
		"TopK":   {pbNode("TopK", "", names("c", "two"), names("big", "places")), []float64{4, 3}},
		"places": {pbNode("TopK", "", names("c", "two"), names("values", "big")), []float64{2, 0}},
		"LRN": {
			pbNode("LRN", "", names("d"), names("big"), attrOfInt("size", 1), attrOfFloat("alpha", 1), attrOfFloat("beta", 0.5)),
			[]float64{1 / math.Sqrt(2), 3 / math.Sqrt(10)},
		},
	} {
		model := pbModel(8, 17, pbInput("x", -1, 2), pbOutput("y", -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4),
			pbInitializer("c", []int64{4}, 3, 1, 4, 2), pbInitializer("d", []int64{1, 2, 1}, 1, 3), pbIntegers("two", 2), pbIntegers("flat", -1), c.node,
			pbNode("Cast", "", names("big"), names("real"), attrOfInt("to", 1)), pbNode("Reshape", "", names("real", "flat"), names("b")),
			pbNode("MatMul", "", names("x", "w"), names("m")), pbNode("Add", "", names("m", "b"), names("y")))
		m, got := evalOne(t, model, 0, 0)
		if n := len(m.Net.Nodes); n > 2 {
			t.Errorf("%s: %d nodes, want an input and a layer:\n%v", what, n, m.Net)
		}
		// float32 is rounded to 24 bits, where a constant is stored in it.
		if diff := cmp.Diff(c.want, got, cmpopts.EquateApprox(1e-7, 0)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}
