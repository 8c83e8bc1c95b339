package onnxio_test

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/onnxio"
)

func decode(t *testing.T, model []byte) *dag.Network {
	t.Helper()
	m, err := onnxio.Decode(model, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m.Net
}

// TestLowering checks which layers small graphs become: a bias, a scale and a
// batch normalization belong to the layer before them, and what equals a ReLU
// is one.
func TestLowering(t *testing.T) {
	x, y := pbInput("x", -1, 2), pbOutput("y", -1, 2)
	w := pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4)
	b := pbInitializer("b", []int64{2}, 5, 6)
	zero := pbInitializer("zero", nil, 0)
	matMul := pbNode("MatMul", "fc", names("x", "w"), names("h"))
	image := pbInput("x", -1, 2, 3, 3)
	kernel := pbInitializer("k", []int64{2, 2, 1, 1}, 1, 2, 3, 4)
	norm := []field{
		pbInitializer("gamma", []int64{2}, 1, 2), pbInitializer("beta", []int64{2}, 3, 4),
		pbInitializer("mean", []int64{2}, 5, 6), pbInitializer("var", []int64{2}, 7, 8),
	}
	for _, c := range []struct {
		name  string
		model []field
		want  []string
	}{
		{
			"bias first",
			[]field{x, y, w, b, matMul, pbNode("Add", "bias", names("b", "h"), names("y"))},
			[]string{"Linear 2x2 +bias (MatMul+Add)"},
		},
		{
			"bias of a product that is used twice",
			[]field{
				x, y, w, b, matMul, pbNode("Add", "bias", names("h", "b"), names("z")),
				pbNode("Add", "skip", names("h", "z"), names("y")),
			},
			[]string{"Linear 2x2 (MatMul)", "Diagonal 2 +bias (Add)", "Add (Add)"},
		},
		{
			"Gemm",
			[]field{x, y, w, b, pbNode("Gemm", "fc", names("x", "w", "b"), names("y"), attrOfFloat("alpha", 2), attrOfFloat("beta", 3), attrOfInt("transB", 1))},
			[]string{"Linear 2x2 *scale +bias (Gemm)"},
		},
		{
			"constant minus activation",
			[]field{x, y, w, b, matMul, pbNode("Sub", "minus", names("b", "h"), names("y"))},
			[]string{"Linear 2x2 *scale +bias (MatMul+Sub)"},
		},
		{
			"maximum with 0",
			[]field{x, y, w, zero, matMul, pbNode("Max", "m", names("h", "zero"), names("y"))},
			[]string{"Linear 2x2 (MatMul)", "ReLU (Max)"},
		},
		{
			"minimum with 0",
			[]field{x, y, w, zero, matMul, pbNode("Min", "m", names("h", "zero"), names("y"))},
			[]string{"Linear 2x2 *scale (MatMul+Min)", "ReLU (Min)", "Diagonal 2 *scale (Min)"},
		},
		{
			"Clip from 0",
			[]field{x, y, w, zero, matMul, pbNode("Clip", "c", names("h", "zero"), names("y"))},
			[]string{"Linear 2x2 (MatMul)", "ReLU (Clip)"},
		},
		{
			"Clip of the largest float",
			[]field{
				x, y, w, zero, pbInitializer("most", nil, math.MaxFloat32), matMul,
				pbNode("Clip", "c", names("h", "zero", "most"), names("y")),
			},
			[]string{"Linear 2x2 (MatMul)", "ReLU (Clip)"},
		},
		{
			"maximum of activations",
			[]field{x, y, w, matMul, pbNode("Max", "m", names("h", "x"), names("y"))},
			[]string{"Linear 2x2 (MatMul)", "Max (Max)"},
		},
		{
			"normalization behind a convolution", append(norm, image, pbOutput("y", -1, 2, 3, 3), kernel,
				pbNode("Conv", "conv", names("x", "k"), names("h")),
				pbNode("BatchNormalization", "bn", names("h", "gamma", "beta", "mean", "var"), names("n")),
				pbNode("Relu", "relu", names("n"), names("y"))),
			[]string{"Conv 2x2 1x1 +norm (Conv+BatchNormalization)", "ReLU (Relu)"},
		},
		{
			"normalization behind a product whose shape and type are read, and whose numbers nothing of use reads",
			append([]field{
				x, y, w, matMul, pbNode("Shape", "s", names("h"), names("size")), pbNode("Relu", "unused", names("h"), names("u")),
				pbNode("CastLike", "like", names("gamma", "h"), names("scale")),
				pbNode("BatchNormalization", "bn", names("h", "scale", "beta", "mean", "var"), names("n")),
				pbNode("Reshape", "r", names("n", "size"), names("y")),
			}, norm...),
			[]string{"Linear 2x2 +norm (MatMul+BatchNormalization)"},
		},
		{
			"normalization behind a ReLU", append(norm, image, pbOutput("y", -1, 2, 3, 3),
				pbNode("Relu", "relu", names("x"), names("h")),
				pbNode("BatchNormalization", "bn", names("h", "gamma", "beta", "mean", "var"), names("y"))),
			[]string{"ReLU (Relu)", "Diagonal 2 +norm (BatchNormalization)"},
		},
		{
			"identities vanish",
			[]field{
				x, y, w, pbNode("Identity", "i", names("w"), names("v")),
				pbNode("Transpose", "t", names("v"), names("u")), pbNode("Dropout", "d", names("x"), names("z")),
				pbNode("MatMul", "fc", names("z", "u"), names("y")),
			},
			[]string{"Linear 2x2 (MatMul)"},
		},
		{
			"bias that is repeated over the batch",
			[]field{
				x, y, w, b, matMul, pbNode("Shape", "s", names("x"), names("size")),
				pbNode("Expand", "e", names("b", "size"), names("c")), pbNode("Add", "bias", names("h", "c"), names("y")),
			},
			[]string{"Linear 2x2 +bias (MatMul+Add)"},
		},
		{
			"maximum with zeros that are repeated over the batch",
			[]field{
				x, y, w, zero, matMul, pbNode("Shape", "s", names("h"), names("size")),
				pbNode("Expand", "e", names("zero", "size"), names("zeros")), pbNode("Max", "m", names("h", "zeros"), names("y")),
			},
			[]string{"Linear 2x2 (MatMul)", "ReLU (Max)"},
		},
		{
			"maximum with zeros of the traced batch",
			[]field{
				pbInput("x", 3, 2, 3, 3), pbOutput("y", 3, 2, 3, 3), kernel, pbInitializer("zeros", []int64{3, 2, 3, 3}, make([]float32, 54)...),
				pbNode("Conv", "conv", names("x", "k"), names("h")), pbNode("Max", "m", names("h", "zeros"), names("y")),
			},
			[]string{"Conv 2x2 1x1 (Conv)", "ReLU (Max)"},
		},
		{
			"bias of the traced batch",
			[]field{
				pbInput("x", 3, 2), pbOutput("y", 3, 2), w, matMul, pbInitializer("c", []int64{3, 2}, 5, 6, 5, 6, 5, 6),
				pbNode("Add", "bias", names("c", "h"), names("y")),
			},
			[]string{"Linear 2x2 +bias (MatMul+Add)"},
		},
		{
			"zeros of the traced batch beside an activation",
			[]field{
				pbInput("x", 3, 2), pbOutput("y", 3, 4), w, matMul, pbInitializer("zeros", []int64{3, 2}, make([]float32, 6)...),
				pbNode("Concat", "c", names("h", "zeros"), names("y"), attrOfInt("axis", 1)),
			},
			[]string{"Linear 2x2 (MatMul)", "Constant +bias (Concat)", "Reshape (Concat)", "Concat (Concat)"},
		},
		{
			"bias that differs from sample to sample",
			[]field{
				pbInput("x", 3, 2), pbOutput("y", 3, 2), w, matMul, pbInitializer("c", []int64{3, 2}, 5, 6, 5, 6, 5, 7),
				pbNode("Add", "bias", names("c", "h"), names("y")),
			},
			// The whole batch is one sample.
			[]string{"Linear 2x2 (MatMul)", "Diagonal 6 +bias (Add)"},
		},
		{
			"negation with the batch between other axes",
			[]field{
				image, pbOutput("y", 2, -1, 3, 3), pbNode("Transpose", "t", names("x"), names("u"), attrOfInts("perm", 1, 0, 2, 3)),
				pbNode("Neg", "n", names("u"), names("v")), pbNode("Transpose", "back", names("v"), names("y"), attrOfInts("perm", 1, 0, 2, 3)),
			},
			[]string{"Reshape (Transpose)", "Diagonal 3 *scale (Neg)", "Reshape (Transpose)"},
		},
		{
			"normalization behind one bias for all units",
			append([]field{
				x, pbOutput("y", -1, 2, 1), w, pbInitializer("half", nil, 0.5), matMul, pbMessage(5, append(tensorHeader("two", 7, []int64{1}), pbBytes(9, []byte{2, 0, 0, 0, 0, 0, 0, 0}))...),
				pbNode("Unsqueeze", "u", names("h", "two"), names("c")), pbNode("Add", "bias", names("c", "half"), names("d")),
				pbNode("BatchNormalization", "bn", names("d", "gamma", "beta", "mean", "var"), names("y")),
			}, norm...),
			// As behind a bias of each unit, which it can become.
			[]string{"Linear 2x2 (MatMul)", "Reshape (Unsqueeze)", "Diagonal 2 +bias +norm (Add+BatchNormalization)"},
		},
		{
			"minimum of one value",
			[]field{x, y, w, matMul, pbNode("Min", "min", names("h"), names("y"))},
			[]string{"Linear 2x2 (MatMul)"},
		},
		{
			"padding by nothing",
			[]field{
				x, y, w, matMul, pbInitializer("half", nil, 0.5), pbMessage(5, append(tensorHeader("pads", 7, []int64{4}), pbBytes(9, make([]byte, 32)))...),
				pbNode("Pad", "pad", names("h", "pads", "half"), names("y")),
			},
			[]string{"Linear 2x2 (MatMul)"},
		},
		{
			"sum of all axes",
			[]field{x, pbOutput("y", -1, 1), pbNode("ReduceSum", "s", names("x"), names("y"), attrOfInts("axes", 1))},
			[]string{"AveragePool 2 (ReduceSum)"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			opset := int64(15)
			if c.name == "sum of all axes" {
				opset = 11 // axes as an attribute
			}
			n := decode(t, pbModel(8, opset, c.model...))
			var got []string
			for i := range n.Nodes {
				if nd := &n.Nodes[i]; nd.Source != "Input" {
					got = append(got, dag.Describe(nd)+" ("+nd.Source+")")
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestSharedWeights checks what counts once and what once a position: a 3x3
// convolution of ones without padding over 4x4 has 9 weights and 36 edges, and
// a 2x2 maximum over its result joins 4 paths from each.
func TestSharedWeights(t *testing.T) {
	ones := make([]float32, 9)
	for i := range ones {
		ones[i] = 1
	}
	n := decode(t, pbModel(8, 13, pbInput("x", -1, 1, 4, 4), pbOutput("y", -1, 1, 1, 1), pbInitializer("k", []int64{1, 1, 3, 3}, ones...),
		pbNode("Conv", "conv", names("x", "k"), names("h")),
		pbNode("MaxPool", "pool", names("h"), names("y"), attrOfInts("kernel_shape", 2, 2))))
	conv := n.Nodes[1].Op.(*dag.Linear)
	edges := 0
	conv.Elements(func(_, _, _, _ int, w float64) { edges++ })
	if got := conv.Map.Weight().Param.Len(); got != 9 || edges != 36 {
		t.Errorf("%d weights and %d edges, want 9 and 36", got, edges)
	}
	v := paths.Forward(n, []float64{1, 2, math.Inf(1)}, paths.Options{})
	for k, want := range []float64{36, 6, 1} {
		if got := v.PathNorm(k).Float64(); !(math.Abs(got-want) <= 1e-12*want) {
			t.Errorf("path norm of order %v is %v, want %v", v.P[k], got, want)
		}
	}
}

// TestOpenFirstAxis checks that a model which mixes the elements along an open
// first axis is not read for one sample: the mean over the batch depends on
// how many there are.
func TestOpenFirstAxis(t *testing.T) {
	model := pbModel(8, 13, pbInput("x", -1, 2), pbOutput("y", 1, 2),
		pbNode("ReduceMean", "mean", names("x"), names("y"), attrOfInts("axes", 0)))
	_, err := onnxio.Decode(model, onnxio.Options{})
	var unsupported *onnxio.UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Fatalf("error %v, want *UnsupportedError", err)
	}
	want := []onnxio.Obstacle{{
		Node: "x", Op: "graph input",
		Reason: `its first axis is left open and is no batch of separate samples: node "mean" (ReduceMean): it reduces the batch axis`,
		Remedy: "give the shape, for example x=1x2",
	}}
	if diff := cmp.Diff(want, unsupported.Obstacles); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	m, err := onnxio.Decode(model, onnxio.Options{InputShape: map[string][]int{"x": {3, 2}}})
	if err != nil {
		t.Fatal(err)
	}
	y, err := eval.Run(t.Context(), m.Net, [][]float64{{1, 10, 2, 20, 6, 60}}, 1, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]float64{{3, 30}}, y); diff != "" {
		t.Errorf("mean of three samples (-want +got)\n%s", diff)
	}
}

// TestMixingBehindWeights checks that what mixes the samples of a batch behind the last
// weights is left out, so that the rest is a network of one sample, and that Whole has it.
func TestMixingBehindWeights(t *testing.T) {
	w := pbInitializer("W", []int64{2, 3}, ramp(6)...)
	v := pbInitializer("V", []int64{3, 2}, ramp(6)...)
	gemm := pbNode("MatMul", "fc", names("x", "W"), names("h"))
	for _, c := range []struct {
		name, output string
		severed      bool
		nodes        []field
	}{
		{"a reshape to one column", "", false, []field{
			gemm, pbInitializer("s", []int64{2}, -1, 1), pbNode("Cast", "", names("s"), names("i"), attrOfInt("to", 7)),
			pbNode("Reshape", "mix", names("h", "i"), names("y")),
		}},
		{"a mean loss beside the scores", "h", false, []field{
			pbOutput("h", -1, 3), gemm, pbNode("ReduceMean", "mix", names("h"), names("m"), attrOfInts("axes", 0)), pbNode("Neg", "", names("m"), names("y")),
		}},
		{"samples joined", "", false, []field{gemm, pbNode("Concat", "mix", names("h", "h"), names("y"), attrOfInt("axis", 0))}},
		{"a matrix behind", "", true, []field{
			gemm, pbNode("ReduceMean", "mix", names("h"), names("m"), attrOfInts("axes", 0), attrOfInt("keepdims", 1)), v, pbNode("MatMul", "", names("m", "V"), names("y")),
		}},
		{"weights in the mixing operator", "", true, []field{
			gemm, v, pbInitializer("b", []int64{3, 1}, ramp(3)...), pbNode("Gemm", "mix", names("h", "V", "b"), names("y")),
		}},
		{"no weights before", "", true, []field{pbNode("ReduceMean", "mix", names("x"), names("y"), attrOfInts("axes", 0))}},
	} {
		model := pbModel(8, 13, append([]field{pbInput("x", -1, 2), w, pbOutput("y", -1, 1)}, c.nodes...)...)
		m, err := onnxio.Decode(model, onnxio.Options{})
		var unsupported *onnxio.UnsupportedError
		if c.severed {
			if !errors.As(err, &unsupported) || len(unsupported.Examples) == 0 {
				t.Errorf("%s: %v, want a refusal with shapes", c.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var outputs []string
		for _, p := range m.Net.Outputs {
			outputs = append(outputs, p.Name)
		}
		if got := strings.Join(outputs, " "); m.Batchless || !strings.Contains(m.Mixed, "mix") || got != c.output || len(m.Warnings) == 0 {
			t.Errorf("%s: outputs %q, mixed by %q, warnings %q", c.name, got, m.Mixed, m.Warnings)
		}
		if i := m.Net.Layers(); len(i) != 1 || !slices.Equal(m.Net.Nodes[i[0]].Shape, []int{3}) || len(m.Net.Segments()) != 1 {
			t.Errorf("%s: %v", c.name, m.Net)
		}
		if _, err := onnxio.Decode(model, onnxio.Options{Whole: true}); !errors.As(err, &unsupported) {
			t.Errorf("%s: the whole of an unknown batch: %v", c.name, err)
		}
		whole, err := onnxio.Decode(model, onnxio.Options{Whole: true, InputShape: map[string][]int{"x": {4, 2}}})
		if err != nil || whole.Mixed != "" || whole.Net.Outputs[0].Name != "y" {
			t.Errorf("%s: the whole: %v", c.name, err)
		}
	}
}

// TestShapeHint checks that the shape that a refusal names is one with which the
// model can be read.
func TestShapeHint(t *testing.T) {
	for _, c := range []struct {
		name, hint string
		model      []byte
	}{
		{
			"a bias of three rows", "x=3x4",
			pbModel(8, 17, pbInput("x", -1, 4), pbOutput("y", -1, 2),
				pbInitializer("W", []int64{4, 3}, ramp(12)...), pbInitializer("b", []int64{3, 1}, ramp(3)...), pbInitializer("V", []int64{3, 2}, ramp(6)...),
				pbNode("Gemm", "", names("x", "W", "b"), names("h")), pbNode("Relu", "", names("h"), names("a")), pbNode("Gemm", "", names("a", "V"), names("y"))),
		},
		{
			"features left open", "x=1x5",
			pbModel(8, 17, pbInput("x", -1, -1), pbOutput("y", -1, 2), pbInitializer("W", []int64{5, 2}, ramp(10)...),
				pbNode("MatMul", "", names("x", "W"), names("y"))),
		},
		{
			"an image left open", "x=1x1x64x64",
			pbModel(8, 17, pbInput("x", -1, 1, -1, -1), pbOutput("y", -1, 2), pbInitializer("W", []int64{64 * 64, 2}, ramp(2*64*64)...),
				pbNode("Flatten", "", names("x"), names("f")), pbNode("MatMul", "", names("f", "W"), names("y"))),
		},
		{
			"a small image behind a window", "x=1x1x9x9",
			pbModel(8, 17, pbInput("x", -1, 1, -1, -1), pbOutput("y", -1, 2), pbInitializer("K", []int64{1, 1, 3, 3}, ramp(9)...), pbInitializer("W", []int64{49, 2}, ramp(98)...),
				pbNode("Conv", "", names("x", "K"), names("c")), pbNode("Flatten", "", names("c"), names("f")), pbNode("MatMul", "", names("f", "W"), names("y"))),
		},
		{
			"no shape", "x=1x5",
			pbModel(8, 17, pbMessage(11, pbString(1, "x"), pbMessage(2, pbMessage(1, pbInt(1, 1)))), pbOutput("y", -1, 2), pbInitializer("W", []int64{5, 2}, ramp(10)...),
				pbNode("MatMul", "", names("x", "W"), names("y"))),
		},
		{
			"no shape fits", "",
			pbModel(8, 17, pbInput("x", -1, -1), pbOutput("y", -1, 2), pbInitializer("W", []int64{5, 2}, ramp(10)...),
				pbNode("MatMul", "", names("x", "W"), names("h")), pbNode("MatMul", "", names("h", "W"), names("y"))),
		},
	} {
		_, err := onnxio.Decode(c.model, onnxio.Options{})
		var unsupported *onnxio.UnsupportedError
		if !errors.As(err, &unsupported) {
			t.Errorf("%s: %v, want an UnsupportedError", c.name, err)
			continue
		}
		remedy := unsupported.Obstacles[0].Remedy
		if c.hint == "" {
			if remedy != "give the shape of x, every axis of it" {
				t.Errorf("%s: remedy %q", c.name, remedy)
			}
			continue
		}
		if remedy != "give the shape, for example "+c.hint || len(unsupported.Obstacles) != 1 {
			t.Errorf("%s: %v, want the hint %s alone", c.name, err, c.hint)
		}
		var shape []int
		for d := range strings.SplitSeq(strings.TrimPrefix(c.hint, "x="), "x") {
			n, _ := strconv.Atoi(d)
			shape = append(shape, n)
		}
		if _, err := onnxio.Decode(c.model, onnxio.Options{InputShape: map[string][]int{"x": shape}}); err != nil {
			t.Errorf("%s: with %s: %v", c.name, c.hint, err)
		}
	}
}

// TestIndicesOfInput checks that a table whose rows an input names is a layer.
func TestIndicesOfInput(t *testing.T) {
	m, err := onnxio.Decode(pbModel(8, 17, pbValue(11, "ids", 7, -1, 2), pbOutput("y", -1, 2, 2), pbInitializer("E", []int64{5, 2}, ramp(10)...),
		pbNode("Gather", "embed", names("E", "ids"), names("y"))), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Net.Layers(); len(got) != 1 || m.Net.Nodes[got[0]].Op.(*dag.Linear).Rows() != 2 {
		t.Errorf("the layers are %v of\n%v", got, m.Net)
	}
	y, err := eval.Run(t.Context(), m.Net, [][]float64{{3, 0, 1, -1}}, 2, evalOptions)
	if err != nil {
		t.Fatal(err)
	}
	for k, at := range []int{6, 7, 0, 1, 2, 3, 8, 9} {
		if want := float64(ramp(10)[at]); y[0][k] != want {
			t.Errorf("element %d is %v, want %v", k, y[0][k], want)
		}
	}
}

// TestAttributeDefault checks that the default of an attribute is a float32, as
// a stored one is.
func TestAttributeDefault(t *testing.T) {
	n := decode(t, pbModel(8, 13, pbInput("x", -1, 2), pbOutput("y", -1, 2), pbNode("LeakyRelu", "act", names("x"), names("y"))))
	if got, want := n.Nodes[1].Op.(*dag.Activation).Slope[0], float64(float32(0.01)); got != want {
		t.Errorf("slope %v, want %v", got, want)
	}
}

// TestNegativeExtent checks that an extent of -1 in the file, as some exporters write,
// is open.
func TestNegativeExtent(t *testing.T) {
	in := pbMessage(11, pbString(1, "x"), pbMessage(2, pbMessage(1, pbInt(1, 1), pbMessage(2, pbMessage(1, pbInt(1, -1)), pbMessage(1, pbInt(1, 2))))))
	model := pbModel(8, 13, in, pbOutput("y", 1, 2), pbNode("Relu", "act", names("x"), names("y")))
	for _, opt := range []onnxio.Options{{}, {InputShape: map[string][]int{"x": {3, 2}}}} {
		if _, err := onnxio.Decode(model, opt); err != nil {
			t.Errorf("with the shape %v: %v", opt.InputShape["x"], err)
		}
	}
}
