package onnxio_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// TestStackedProducts multiplies by stacks of matrices that broadcast against
// an operand of every kind: with a batch, with axes that share the matrices,
// and with axes that the stack alone has.
func TestStackedProducts(t *testing.T) {
	for _, c := range []struct {
		left, right []int64
		weightLeft  bool
	}{
		{left: []int64{3, 2, 4}, right: []int64{-1, 3, 4, 5}, weightLeft: true},
		{left: []int64{-1, 3, 5, 4}, right: []int64{3, 4, 2}},
		{left: []int64{-1, 3, 5, 4}, right: []int64{1, 3, 4, 2}},
		{left: []int64{-1, 1, 5, 4}, right: []int64{3, 4, 2}},
		{left: []int64{-1, 2, 3, 5, 4}, right: []int64{3, 4, 2}},
		{left: []int64{2, 1, 2, 4}, right: []int64{-1, 2, 3, 4, 5}, weightLeft: true},
		{left: []int64{1, 3, 2, 4}, right: []int64{1, 3, 4, 5}, weightLeft: true},
	} {
		t.Run(fmt.Sprint(c.left, c.right), func(t *testing.T) {
			weight, input := c.right, c.left
			operands := names("x", "w")
			if c.weightLeft {
				weight, input = c.left, c.right
				operands = names("w", "x")
			}
			w := ramp(size(weight))
			rank := max(len(weight), len(input))
			open := slices.Repeat([]int64{1}, rank)
			open[0] = input[0]
			model := pbModel(8, 13, pbInput("x", input...), pbOutput("y", open...), pbInitializer("w", weight, w...),
				pbInitializer("b", []int64{1}, 0.5),
				pbNode("MatMul", "mm", operands, names("h")), pbNode("Add", "bias", names("h", "b"), names("y")))
			m, err := onnxio.Decode(model, onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			const batch = 3
			n := batch
			if input[0] > 0 {
				n = 1
			}
			full := slices.Clone(input)
			full[0] = int64(n)
			x := ramp(size(full))
			wide := make([]float64, len(x))
			for i, v := range x {
				wide[i] = float64(v)
			}
			got, err := eval.Run(t.Context(), m.Net, [][]float64{wide}, n, eval.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var want []float64
			if c.weightLeft {
				want = product(weight, w, full, x)
			} else {
				want = product(full, x, weight, w)
			}
			if len(got[0]) != len(want) {
				t.Fatalf("%d elements, want %d", len(got[0]), len(want))
			}
			for i := range want {
				// Eighths below 2^10 and their products are exact.
				if math.Abs(got[0][i]-want[i]-0.5) > 0 {
					t.Fatalf("element %d is %v, want %v", i, got[0][i], want[i]+0.5)
				}
			}
		})
	}
}

func size(dims []int64) int {
	n := 1
	for _, d := range dims {
		n *= int(d)
	}
	return n
}

// product is the broadcasting product of two stacks of matrices.
func product(da []int64, a []float32, db []int64, b []float32) []float64 {
	rank := max(len(da), len(db))
	da = slices.Concat(slices.Repeat([]int64{1}, rank-len(da)), da)
	db = slices.Concat(slices.Repeat([]int64{1}, rank-len(db)), db)
	m, k, n := int(da[rank-2]), int(da[rank-1]), int(db[rank-1])
	lead := make([]int64, rank-2)
	for i := range lead {
		lead[i] = max(da[i], db[i])
	}
	var out []float64
	for s := range size(lead) {
		// The place of the matrices in either stack.
		pa, pb, rest, ra, rb := 0, 0, s, 1, 1
		for i := rank - 3; i >= 0; i-- {
			at := rest % int(lead[i])
			rest /= int(lead[i])
			if da[i] > 1 {
				pa += at * ra
			}
			if db[i] > 1 {
				pb += at * rb
			}
			ra *= int(da[i])
			rb *= int(db[i])
		}
		for i := range m {
			for j := range n {
				sum := 0.0
				for e := range k {
					sum += float64(a[(pa*m+i)*k+e]) * float64(b[(pb*k+e)*n+j])
				}
				out = append(out, sum)
			}
		}
	}
	return out
}

// TestZipMap checks that a map from labels to numbers is evaluated as its
// numbers: with labels that are strings it is all that such a model gives.
func TestZipMap(t *testing.T) {
	m, err := onnxio.Decode(withML(pbModel(8, 17, pbInput("x", -1, 2), pbOutput("label", -1), pbOutput("probabilities", -1, 2),
		pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4),
		pbNode("MatMul", "fc", names("x", "w"), names("h")), pbNode("Softmax", "softmax", names("h"), names("p")),
		pbNode("ZipMap", "zip", names("p"), names("probabilities"), pbString(7, "ai.onnx.ml"),
			pbMessage(5, pbString(1, "classlabels_strings"), pbString(9, "no"), pbString(9, "yes"), pbInt(20, 8))),
		pbNode("LabelEncoder", "encoder", names("p"), names("label"), pbString(7, "ai.onnx.ml")))), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := eval.Run(t.Context(), m.Net, [][]float64{{1, -1}}, 1, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// h = (-2, -2).
	if len(m.Net.Outputs) != 1 || m.Net.Outputs[0].Name != "probabilities" || len(got) != 1 || !slices.Equal(got[0], []float64{0.5, 0.5}) {
		t.Errorf("outputs %v are %v", m.Net.Outputs, got)
	}
}
