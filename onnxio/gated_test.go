package onnxio_test

import (
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// TestCurvesWrittenOut: products of x and a gate of x are one curve, with its values, in
// float64 from the formula, and its Lipschitz constant, which is never below the
// largest difference quotient on a grid and at most 1e-3 above it.
func TestCurvesWrittenOut(t *testing.T) {
	node := func(op, out string, in ...string) field { return pbNode(op, out, in, names(out)) }
	gate := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	gelu := func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) }
	fast := func(x float64) float64 { return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }
	ramp := func(x float64) float64 { return math.Max(0, math.Min(1, x/6+0.5)) }
	for _, c := range []struct {
		name  string
		want  func(x float64) float64
		nodes []field
	}{
		{"SiLU", func(x float64) float64 { return x * gate(x) }, []field{node("Sigmoid", "s", "h"), node("Mul", "y", "h", "s")}},
		{"SiLU, the gate first", func(x float64) float64 { return x * gate(x) }, []field{node("Sigmoid", "s", "h"), node("Mul", "y", "s", "h")}},
		{"quick GELU", func(x float64) float64 { return x * gate(1.702*x) }, []field{node("Mul", "v", "h", "quick"), node("Sigmoid", "s", "v"), node("Mul", "y", "h", "s")}},
		{"SiLU of -x", func(x float64) float64 { return x * gate(-x) }, []field{node("Neg", "v", "h"), node("Sigmoid", "s", "v"), node("Mul", "y", "h", "s")}},
		{"GELU, half last", gelu, []field{
			node("Div", "v", "h", "root"), node("Erf", "e", "v"), node("Add", "g", "e", "one"), node("Mul", "p", "h", "g"), node("Mul", "y", "p", "half"),
		}},
		{"GELU, half first", gelu, []field{
			node("Mul", "k", "half", "h"), node("Div", "v", "h", "root"), node("Erf", "e", "v"), node("Add", "g", "one", "e"), node("Mul", "y", "k", "g"),
		}},
		{"GELU, half of the gate", gelu, []field{
			node("Div", "v", "h", "root"), node("Erf", "e", "v"), node("Add", "g", "e", "one"), node("Mul", "p", "g", "half"), node("Mul", "y", "h", "p"),
		}},
		{"GELU by tanh", fast, []field{
			node("Pow", "c", "h", "three"), node("Mul", "kc", "c", "cubic"), node("Add", "v", "h", "kc"), node("Mul", "u", "v", "slope"), node("Tanh", "t", "u"),
			node("Add", "g", "t", "one"), node("Mul", "k", "h", "half"), node("Mul", "y", "k", "g"),
		}},
		{"GELU by tanh, cube by products", fast, []field{
			node("Mul", "q", "h", "h"), node("Mul", "c", "q", "h"), node("Mul", "kc", "cubic", "c"), node("Add", "v", "kc", "h"), node("Mul", "u", "slope", "v"), node("Tanh", "t", "u"),
			node("Add", "g", "t", "one"), node("Mul", "p", "h", "g"), node("Mul", "y", "p", "half"),
		}},
		{"GELU by tanh, factored", fast, []field{
			node("Mul", "a", "h", "slope"), node("Mul", "q", "h", "h"), node("Mul", "kq", "q", "cubic"), node("Add", "b", "kq", "one"), node("Mul", "u", "a", "b"), node("Tanh", "t", "u"),
			node("Add", "g", "t", "one"), node("Mul", "p", "h", "half"), node("Mul", "y", "p", "g"),
		}},
		{"HardSwish by HardSigmoid", func(x float64) float64 { return x * ramp(x) }, []field{
			pbNode("HardSigmoid", "s", names("h"), names("s"), attrOfFloat("alpha", 1./6), attrOfFloat("beta", 0.5)), node("Mul", "y", "h", "s"),
		}},
		{"HardSwish by Clip", func(x float64) float64 { return x * ramp(x) }, []field{
			node("Add", "v", "h", "three"), node("Clip", "c", "v", "zero", "six"), node("Mul", "p", "h", "c"), node("Div", "y", "p", "six"),
		}},
		{"HardSwish by Clip, divided first", func(x float64) float64 { return x * ramp(x) }, []field{
			node("Add", "v", "h", "three"), node("Clip", "c", "v", "zero", "six"), node("Div", "d", "c", "six"), node("Mul", "y", "d", "h"),
		}},
		{"Mish", func(x float64) float64 { return x * math.Tanh(math.Log1p(math.Exp(x))) }, []field{
			node("Softplus", "s", "h"), node("Tanh", "t", "s"), node("Mul", "y", "h", "t"),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			number := func(name string, v float32) field { return pbInitializer(name, nil, v) }
			m, err := onnxio.Decode(pbModel(10, 17, append(c.nodes,
				pbInput("x", -1, 1), pbOutput("y", -1, 1), pbInitializer("w", []int64{1, 1}, 1), node("MatMul", "h", "x", "w"),
				number("half", 0.5), number("one", 1), number("root", math.Sqrt2), number("quick", 1.702), number("three", 3), number("zero", 0), number("six", 6),
				number("cubic", 0.044715), number("slope", float32(math.Sqrt(2/math.Pi))),
			)...), onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var f *dag.Func
			functions := 0
			for i := range m.Net.Nodes {
				if g, ok := m.Net.Nodes[i].Op.(*dag.Func); ok {
					f = g
					functions++
				}
			}
			if functions != 1 || f.Kind != dag.Curve {
				t.Fatalf("%d functions\n%s", functions, m.Net)
			}
			// Mul by a half may stand behind the curve.
			const step, n = 1e-3, 16001
			x := make([]float64, n)
			for i := range x {
				x[i] = float64(i-n/2) * step
			}
			y, err := eval.Run(t.Context(), m.Net, [][]float64{x}, n, eval.Options{})
			if err != nil {
				t.Fatal(err)
			}
			top, direct := 0.0, 0.0
			one := func(v float64) float64 {
				d := []float64{0}
				f.Apply(d, []float64{v})
				return d[0]
			}
			for i, v := range x {
				// Constants are stored as float32, which 1e-6 covers.
				if want := c.want(v); math.Abs(y[0][i]-want) > 1e-6*math.Max(1, math.Abs(want)) {
					t.Fatalf("at %v: %v, want %v", v, y[0][i], want)
				}
				if i > 0 {
					top = math.Max(top, math.Abs(y[0][i]-y[0][i-1])/step)
					direct = math.Max(direct, math.Abs(one(v)-one(x[i-1]))/step)
				}
			}
			// A step of 1e-3 over a bend of at most 1 loses 5e-4; the approximation of
			// 1e-7 by stored constants may raise the slope by as much.
			if l := f.Lipschitz; l < direct-1e-6 || l > direct*(1+1e-3) {
				t.Errorf("Lipschitz constant %v, largest difference quotient %v (with factors behind: %v)", l, direct, top)
			}
		})
	}
}
