package onnxio_test

import (
	"bytes"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// TestRepeatedNumber: one stored number that the graph repeats for an operand takes a factor that all units
// share, or one for each, and what is written reads back as the network that was.
func TestRepeatedNumber(t *testing.T) {
	for _, op := range []string{"Mul", "Div", "Add", "Sub"} {
		for _, different := range []bool{false, true} {
			m, err := onnxio.Decode(pbModel(8, 17, pbInput("x", -1, 4), pbOutput("y", -1, 2), pbIntegers("to", 1, 4), pbInitializer("s", []int64{1}, 0.5),
				pbInitializer("w", []int64{4, 4}, ramp(16)...), pbInitializer("v", []int64{4, 2}, ramp(8)...),
				pbNode("Expand", "", names("s", "to"), names("c")), pbNode("MatMul", "", names("x", "w"), names("a")),
				pbNode("Sigmoid", "", names("a"), names("b")), pbNode(op, "scale", names("b", "c"), names("d")),
				pbNode("Relu", "", names("d"), names("e")), pbNode("MatMul", "", names("e", "v"), names("y"))), onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			g := m.Net.Groups()
			factors := g.Ones()
			for k := range factors {
				if g.Pin[k] == "" {
					if factors[k] = 2; different {
						factors[k] = float64(int(1) << k)
					}
				}
			}
			net, err := m.Net.Rescale(g, factors)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := m.Write(&out, net); err != nil {
				t.Errorf("%s: %v", op, err)
				continue
			}
			back, err := onnxio.Decode(out.Bytes(), onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			scale := func(n *dag.Network) *dag.Linear {
				i := n.Find("scale")
				if len(i) != 1 {
					t.Fatalf("%s: %v are called scale", op, i)
				}
				return n.Nodes[i[0]].Op.(*dag.Linear)
			}
			a, b := scale(net), scale(back.Net)
			for u := range a.Rows() {
				of := func(x []float64) float64 {
					if x == nil {
						return 0
					}
					return x[u]
				}
				if of(a.Scale()) != of(b.Scale()) || of(a.Bias()) != of(b.Bias()) {
					t.Errorf("%s: unit %d: %v x + %v, want %v x + %v", op, u, of(b.Scale()), of(b.Bias()), of(a.Scale()), of(a.Bias()))
				}
			}
		}
	}
}
