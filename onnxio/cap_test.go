package onnxio_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// cap models are a convolution of two channels, what bounds its value h as z, and another
// convolution; opsets before 9 list initializers among the inputs.
func capModel(opset int64, more []field, nodes ...field) []byte {
	ir := int64(8)
	graph := []field{pbInput("x", -1, 1, 3, 3), pbOutput("y", -1, 1, 2, 2)}
	if opset < 9 {
		ir = 3
		graph = append(graph, pbInput("w", 2, 1, 2, 2), pbInput("b", 2), pbInput("v", 1, 2, 1, 1))
	}
	graph = append(graph, pbInitializer("w", []int64{2, 1, 2, 2}, 3, -1, 2, 0.5, -2, 1, 4, 1), pbInitializer("b", []int64{2}, 0.5, -0.25),
		pbInitializer("v", []int64{1, 2, 1, 1}, 1, -3))
	graph = append(append(graph, more...), pbNode("Conv", "first", names("x", "w", "b"), names("h")))
	graph = append(append(graph, nodes...), pbNode("Conv", "last", names("z", "v"), names("y")))
	return pbModel(ir, opset, graph...)
}

// operatorsOf lists the operators of a file, and its initializers.
func operatorsOf(t *testing.T, model []byte) (ops, initializers string) {
	var o, in []string
	eachField(t, model, 7, func(graph []byte) {
		eachField(t, graph, 1, func(node []byte) { eachField(t, node, 4, func(op []byte) { o = append(o, string(op)) }) })
		eachField(t, graph, 5, func(tensor []byte) { eachField(t, tensor, 8, func(name []byte) { in = append(in, string(name)) }) })
	})
	return strings.Join(o, " "), strings.Join(in, " ")
}

// The bounds of a cap are rescaled with its units: the file that is written has the
// function of the source and the very numbers of the rescaled network, whatever operator
// and opset holds them. Where units differ the bounds become tensors; a wrong one changes
// the function.
func TestCapsAreWritten(t *testing.T) {
	scalar := func(name string, v float32) field { return pbInitializer(name, nil, v) }
	clip := func(in ...string) field {
		return pbNode("Clip", "clip", append([]string{"h"}, in...), names("z"))
	}
	clipTo := func(in, out string) field {
		return pbNode("Clip", "clip"+out, names(in, "", "hi"), names(out))
	}
	six := pbNode("Clip", "clip", names("h"), names("z"), attrOfFloat("min", 0), attrOfFloat("max", 2))
	for _, c := range []struct {
		name       string
		model      []byte
		free       int
		ops, added string
	}{
		{"attributes, one bound for all", capModel(6, nil, six), 1, "Conv Clip Conv", "w b v"},
		{"attributes", capModel(10, nil, six), 2, "Conv Relu Min Conv", "w b v z_max"},
		{
			"attributes on either side", capModel(10, nil, pbNode("Clip", "clip", names("h"), names("z"), attrOfFloat("min", -1), attrOfFloat("max", 2))),
			2, "Conv Max Min Conv", "w b v z_min z_max",
		},
		{"operands", capModel(13, []field{scalar("lo", 0), scalar("hi", 2)}, clip("lo", "hi")), 2, "Conv Relu Min Conv", "w b v z_max"},
		{"an operand above", capModel(13, []field{scalar("hi", 2)}, clip("", "hi")), 2, "Conv Min Conv", "w b v z_max"},
		{"constants", capModel(13, nil, pbNode("Constant", "c", nil, names("hi"), attrOfTensor("value", tensorFields("", nil, 2)...)),
			pbNode("Identity", "i", names("hi"), names("same")), clip("", "same")), 2, "Conv Min Conv", "w b v z_max"},
		{
			"a bound of two", capModel(13, []field{scalar("hi", 2)}, clipTo("h", "p"), clipTo("h", "q"), pbNode("Add", "add", names("p", "q"), names("z"))),
			2, "Conv Min Min Add Conv", "w b v p_max q_max",
		},
		{
			"a bound that is a bias too", capModel(13, []field{scalar("hi", 2)}, pbNode("Add", "add", names("hi", "h"), names("k")), clipTo("k", "z")),
			2, "Conv Add Min Conv", "w b v hi hi_1 z_max",
		},
		{"Min", capModel(13, []field{scalar("hi", 2)}, pbNode("Min", "min", names("h", "hi"), names("z"))), 2, "Conv Min Conv", "w b v hi_1"},
		{"Min of a ReLU", capModel(8, []field{pbInput("hi", 1, 2, 1, 1), pbInitializer("hi", []int64{1, 2, 1, 1}, 2, 1)},
			pbNode("Relu", "relu", names("h"), names("r")), pbNode("Min", "min", names("hi", "r"), names("z"))), 2, "Conv Relu Min Conv", "w b v hi hi_1"},
		{"Max, then Clip", capModel(13, []field{scalar("lo", -1), scalar("hi", 2)}, pbNode("Max", "max", names("h", "lo"), names("m")),
			pbNode("Clip", "clip", names("m", "", "hi"), names("z"))), 2, "Conv Max Min Conv", "w b v lo_1 z_max"},
		{"a threshold", capModel(13, nil, pbNode("ThresholdedRelu", "t", names("h"), names("z"), attrOfFloat("alpha", 2))), 1, "Conv ThresholdedRelu Conv", "w b v"},
		{"a threshold by default", capModel(13, nil, pbNode("ThresholdedRelu", "t", names("h"), names("z"))), 1, "Conv ThresholdedRelu Conv", "w b v"},
		{"inside a function", withFunctions(capModel(13, []field{scalar("hi", 2)}, pbNode("F", "f", names("h", "hi"), names("z"), pbString(7, "local"))),
			pbFunction("F", names("a", "b"), names("c"), nil, pbNodeFields("Min", "min", names("a", "b"), names("c")))), 0, "Conv F Conv", "w b v hi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := onnxio.Decode(c.model, onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			g := m.Net.Groups()
			if g.Free() != c.free {
				t.Fatalf("%d groups are free, want %d: %q", g.Free(), c.free, g.Pin)
			}
			factors := g.Ones()
			for id, k := 0, 1; id < g.Count; id++ {
				if g.Pin[id] == "" {
					factors[id] = math.Ldexp(1, k) // exact, and different
					k += 2
				}
			}
			scaled, err := m.Net.Rescale(g, factors)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := m.Write(&out, scaled); err != nil {
				t.Fatal(err)
			}
			ops, initializers := operatorsOf(t, out.Bytes())
			if d := cmp.Diff([]string{c.ops, c.added}, []string{ops, initializers}); d != "" {
				t.Error(d)
			}
			back := decode(t, out.Bytes())
			for _, n := range []*dag.Network{scaled, m.Net} { // powers of two: no rounding
				if d := furthest(t, n, back); d != 0 {
					t.Errorf("the written model differs by %g", d)
				}
			}
			if len(back.Nodes) != len(m.Net.Nodes) {
				t.Errorf("read back with other nodes:\n%s", back)
			}
			// What was written can be written again.
			again, err := onnxio.Decode(out.Bytes(), onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var twice bytes.Buffer
			if err := again.Write(&twice, randomly(t, again.Net, 3)); err != nil {
				t.Fatal(err)
			}
			// Factors of any size: some roundings to float32.
			if d := furthest(t, m.Net, decode(t, twice.Bytes())); d > 1e-5 {
				t.Errorf("written twice it differs by %g", d)
			}
			if c.free == 0 {
				return
			}
			// The weights alone: a factor that forgets the bounds changes the function.
			wrong := *scaled
			wrong.Nodes = append([]dag.Node(nil), scaled.Nodes...)
			for i := range wrong.Nodes {
				if _, ok := wrong.Nodes[i].Op.(*dag.Cap); ok {
					wrong.Nodes[i].Op = m.Net.Nodes[i].Op
				}
			}
			if d := furthestOf(t, m.Net, &wrong, 64); d < 1e-3 { // some sample is beyond a bound
				t.Errorf("without its bounds rescaled the network differs by %g only", d)
			}
		})
	}
}

// Attributes are float32: a bound of a network of float64 that float32 has not becomes a tensor.
func TestCapsOfFloat64AreWritten(t *testing.T) {
	tensor := func(name string, dims []int64, v ...float64) field {
		raw := make([]byte, 0, 8*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
		}
		return pbMessage(5, append(tensorHeader(name, 11, dims), pbBytes(9, raw))...)
	}
	for _, c := range []struct {
		factor float64
		ops    string
	}{
		{1.7, "MatMul Relu Min MatMul"},
		{2, "MatMul Clip MatMul"},
	} {
		m, err := onnxio.Decode(pbModel(8, 10, pbValue(11, "x", 11, -1, 2), pbValue(12, "y", 11, -1, 1),
			tensor("w", []int64{2, 1}, 3, -1), tensor("v", []int64{1, 1}, 1),
			pbNode("MatMul", "first", names("x", "w"), names("h")),
			pbNode("Clip", "clip", names("h"), names("z"), attrOfFloat("min", 0), attrOfFloat("max", 0.3)),
			pbNode("MatMul", "last", names("z", "v"), names("y"))), onnxio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		g := m.Net.Groups()
		if g.Free() != 1 {
			t.Fatalf("%d groups are free, want 1: %q", g.Free(), g.Pin)
		}
		factors := g.Ones()
		for id := range factors {
			if g.Pin[id] == "" {
				factors[id] = c.factor
			}
		}
		scaled, err := m.Net.Rescale(g, factors)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := m.Write(&out, scaled); err != nil {
			t.Fatal(err)
		}
		if ops, _ := operatorsOf(t, out.Bytes()); ops != c.ops {
			t.Errorf("factor %v: %s, want %s", c.factor, ops, c.ops)
		}
		if d := furthest(t, scaled, decode(t, out.Bytes())); d != 0 {
			t.Errorf("factor %v: the written model differs by %g", c.factor, d)
		}
	}
}

// A bound that an attribute holds, in float32, and one that a tensor of float64 holds stay apart: each
// is stored in its own type.
func TestCapsOfTwoTypesAreWritten(t *testing.T) {
	tensor := func(name string, dims []int64, v ...float64) field {
		raw := make([]byte, 0, 8*len(v))
		for _, x := range v {
			raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(x))
		}
		return pbMessage(5, append(tensorHeader(name, 11, dims), pbBytes(9, raw))...)
	}
	clip := func(in, out string) field {
		return pbNode("Clip", "clip", names(in), names(out), attrOfFloat("max", 0.5))
	}
	bound := func(in, out string) field { return pbNode("Max", "max", names(in, "lo"), names(out)) }
	for _, nodes := range [][]field{{clip("h", "a"), bound("a", "z")}, {bound("h", "a"), clip("a", "z")}} {
		m, err := onnxio.Decode(pbModel(8, 7, append([]field{
			pbValue(11, "x", 11, -1, 2), pbValue(12, "y", 11, -1, 1),
			tensor("w", []int64{2, 1}, 3, -1), tensor("v", []int64{1, 1}, 1), tensor("lo", []int64{1}, -0.1),
			pbNode("MatMul", "first", names("x", "w"), names("h")), pbNode("MatMul", "last", names("z", "v"), names("y")),
		}, nodes...)...), onnxio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		g := m.Net.Groups()
		factors := g.Ones()
		for id := range factors {
			if g.Pin[id] == "" {
				factors[id] = 4
			}
		}
		scaled, err := m.Net.Rescale(g, factors)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := m.Write(&out, scaled); err != nil {
			t.Fatal(err)
		}
		if d := furthest(t, m.Net, decode(t, out.Bytes())); d > 1e-15 {
			t.Errorf("the written model differs by %g", d)
		}
	}
}
