package onnxio_test

import (
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// The Lipschitz constant of each curve is the largest difference quotient on a grid
// of 1e-4 from -8 to 8: never less, and no more than 1e-3 above it. A curve that bends
// by 10 or less loses 5e-4 on a grid so fine.
func TestLipschitz(t *testing.T) {
	attr := attrOfFloat
	for _, c := range []struct {
		op    string
		opset int64
		attrs []field
	}{
		{op: "Tanh"},
		{op: "Sin"},
		{op: "Cos"},
		{op: "Atan"},
		{op: "Asinh"},
		{op: "Softsign"},
		{op: "Softplus"},
		{op: "Sigmoid"},
		{op: "Erf"},
		{op: "HardSwish"},
		{op: "Mish"},
		{op: "HardSigmoid"},
		{op: "HardSigmoid", attrs: []field{attr("alpha", 0.7)}},
		{op: "Elu"},
		{op: "Elu", attrs: []field{attr("alpha", 2.5)}},
		{op: "Selu"},
		{op: "Selu", attrs: []field{attr("alpha", 0.5), attr("gamma", 2)}},
		{op: "Celu"},
		{op: "Celu", attrs: []field{attr("alpha", 0.3)}},
		{op: "Gelu", opset: 20},
		{op: "Gelu", opset: 20, attrs: []field{pbMessage(5, pbString(1, "approximate"), pbString(4, "tanh"), pbInt(20, 3))}},
		{op: "Swish", opset: 24},
		{op: "Swish", opset: 24, attrs: []field{attr("alpha", 3)}},
		{op: "Shrink", attrs: []field{attr("lambd", 0.5), attr("bias", 0.5)}},
	} {
		opset := max(c.opset, 18)
		model := pbModel(10, opset, pbInput("x", -1, 1), pbOutput("y", -1, 1), pbNode(c.op, "f", names("x"), names("y"), c.attrs...))
		m, err := onnxio.Decode(model, onnxio.Options{})
		if err != nil {
			t.Fatalf("%s: %v", c.op, err)
		}
		var f *dag.Func
		for i := range m.Net.Nodes {
			if g, ok := m.Net.Nodes[i].Op.(*dag.Func); ok {
				f = g
			}
		}
		if f == nil || f.Kind != dag.Curve {
			t.Fatalf("%s is no curve\n%s", c.op, m.Net)
		}
		const step = 1e-4
		at := func(k int) float64 {
			y := []float64{0}
			f.Apply(y, []float64{float64(k) * step})
			return y[0]
		}
		top := 0.0
		for k := -80000; k < 80000; k++ {
			top = math.Max(top, math.Abs(at(k+1)-at(k))/step)
		}
		// A difference of values near 8 is off by some 1e-15, its quotient by 1e-11.
		if f.Lipschitz < top-1e-10 || f.Lipschitz > top+1e-3 {
			t.Errorf("%s %v: the Lipschitz constant is %v, the largest difference quotient %v", c.op, c.attrs, f.Lipschitz, top)
		}
	}
}
