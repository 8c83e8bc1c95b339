package onnxio_test

import (
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// TestFoldedImage: columns that overlap in the image are added, and nothing ends there.
func TestFoldedImage(t *testing.T) {
	m, got := evalOne(t, pbModel(8, 18,
		pbInput("x", -1, 2, 3), pbOutput("y", -1, 1, 1, 4), pbIntegers("image", 1, 4), pbIntegers("block", 1, 2),
		pbInitializer("w", []int64{3, 3}, 1, 0, 0, 0, 1, 0, 0, 0, 1), pbNode("MatMul", "layer", names("x", "w"), names("h")),
		pbNode("Col2Im", "fold", names("h", "image", "block"), names("y")),
	), 1, 2, 3, 10, 20, 30)
	if want := []float64{1, 2 + 10, 3 + 20, 30}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if n := len(m.Net.Functions()); n > 0 {
		t.Errorf("%d functions, want none", n)
	}
}

// TestNormalisedNothing: LRN of a constant without channels has none.
func TestNormalisedNothing(t *testing.T) {
	_, got := evalOne(t, pbModel(8, 17,
		pbInput("x", -1, 2), pbOutput("y", -1, 2), pbInitializer("none", []int64{1, 0, 2}), pbInitializer("b", []int64{1, 1, 2}, 5, 7), pbIntegers("flat", 2), pbInitializer("w", []int64{2, 2}, 1, 0, 0, 1),
		pbNode("LRN", "", names("none"), names("n"), attrOfInt("size", 3)), pbNode("Concat", "", names("n", "b"), names("both"), attrOfInt("axis", 1)),
		pbNode("Reshape", "", names("both", "flat"), names("s")), pbNode("MatMul", "", names("x", "w"), names("h")), pbNode("Add", "", names("h", "s"), names("y")),
	), 1, 2)
	if want := []float64{6, 9}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestIdentityOfAShape: EyeLike takes the shape of its operand, not the numbers, so that what it makes is no parameter.
func TestIdentityOfAShape(t *testing.T) {
	m, got := evalOne(t, pbModel(8, 17,
		pbInput("x", -1, 2), pbOutput("y", -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4),
		pbNode("EyeLike", "", names("w"), names("eye"), attrOfInt("k", 1)), pbNode("MatMul", "", names("x", "eye"), names("h")), pbNode("MatMul", "", names("h", "w"), names("y")),
	), 1, 2)
	if want := []float64{3, 4}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, p := range m.Net.Params() {
		if p.Made != (p.Name != "w") {
			t.Errorf("%q: made %t", p.Name, p.Made)
		}
	}
}

// TestDeformedLayer: where no place is moved, a deformable convolution is the convolution, with
// its stored weight as the layer.
func TestDeformedLayer(t *testing.T) {
	attrs := []field{attrOfInts("pads", 1, 1, 1, 1), attrOfInts("strides", 2, 1)}
	var x []float64
	for i := range 2 * 4 * 3 {
		x = append(x, float64(i*i%11)-4)
	}
	model := func(node field) []byte {
		return pbModel(8, 19,
			pbInput("x", 1, 2, 4, 3), pbOutput("y", 1, 3, 2, 3),
			pbInitializer("w", []int64{3, 2, 3, 3}, ramp(54)...), pbInitializer("b", []int64{3}, 1, -2, 3),
			pbInitializer("none", []int64{1, 18, 1, 1}, make([]float32, 18)...), pbIntegers("to", 1, 1, 2, 3),
			pbNode("ReduceSum", "sum", names("x"), names("s")), pbInitializer("zero", []int64{1}, 0),
			pbNode("Mul", "nothing", names("s", "zero"), names("n")), pbNode("Add", "offsets", names("n", "none"), names("o")),
			pbNode("Tile", "everywhere", names("o", "to"), names("offset")), node)
	}
	plain, want := evalOne(t, model(pbNode("Conv", "it", names("x", "w", "b"), names("y"), attrs...)), x...)
	moved, got := evalOne(t, model(pbNode("DeformConv", "it", names("x", "w", "offset", "b"), names("y"), attrs...)), x...)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	weight := func(m *onnxio.Model) (out []*dag.Conv) {
		for i := range m.Net.Nodes {
			if l, ok := m.Net.Nodes[i].Op.(*dag.Linear); ok {
				if c, ok := l.Map.(*dag.Conv); ok {
					out = append(out, c)
				}
			}
		}
		return out
	}
	a, b := weight(plain), weight(moved)
	if len(a) != 1 || len(b) != 1 || a[0].OutChannels != b[0].OutChannels || b[0].W.Param.Name != "w" {
		t.Errorf("layers %v and %v", a, b)
	}
}

// TestComputedKernel: a convolution by a computed weight is a product of two values.
func TestComputedKernel(t *testing.T) {
	m, err := onnxio.Decode(pbModel(8, 18,
		pbInput("x", 1, 1, 1, 3), pbInput("k", 1, 1, 1, 2), pbOutput("y", 1, 1, 1, 2),
		pbNode("Conv", "it", names("x", "k"), names("y")),
	), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.Run(t.Context(), m.Net, [][]float64{{1, 2, 3}, {1, 10}}, 1, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{21, 32}; !slices.Equal(got[0], want) {
		t.Errorf("%v, want %v", got[0], want)
	}
}
