package onnxio_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// form is a way in which a weight can lie in a file.
type form struct {
	name  string
	model []byte
	// added is how many initializers a random rescaling adds.
	added int
	// free is how many groups have a free factor.
	free int
	// data is the external data file model.bin.
	data []byte
}

func names(s ...string) []string { return s }

// forms lists small models, each storing weights in another way. All have the
// input x of batch x 3 and the output y.
func forms() []form {
	x, y := pbInput("x", -1, 3), pbOutput("y", -1, 3)
	square := []int64{3, 3}
	gemm := func(in, w, b, out string) field {
		return pbNode("Gemm", "fc_"+out, names(in, w, b), names(out), attrOfInt("transB", 1))
	}
	relu := func(in, out string) field { return pbNode("Relu", "relu_"+out, names(in), names(out)) }
	bias := func(name string) field { return pbInitializer(name, []int64{3}, 0.5, -0.25, 1) }
	layers := func(f ...field) []byte { return pbModel(8, 17, append([]field{x, y}, f...)...) }

	typed := tensorHeader("W1", 1, square)
	for _, v := range ramp(9) {
		typed = append(typed, pbFloat(4, v))
	}
	half := func(name string, typ int64, dims []int64, n int) field {
		raw := make([]byte, 0, 2*n)
		for _, v := range ramp(n) {
			h := dag.Float32ToFloat16(v)
			if typ == 16 {
				h = dag.Float32ToBFloat16(v)
			}
			raw = binary.LittleEndian.AppendUint16(raw, h)
		}
		return pbMessage(5, append(tensorHeader(name, typ, dims), pbBytes(9, raw))...)
	}
	var data []byte
	for _, v := range ramp(9) {
		data = append(data, fields(pbFloat(1, v))[1:]...)
	}
	external := pbMessage(5, append(tensorHeader("W1", 1, square), pbInt(14, 1),
		pbMessage(13, pbString(1, "location"), pbString(2, "model.bin")),
		pbMessage(13, pbString(1, "offset"), pbString(2, "0")),
		pbMessage(13, pbString(1, "length"), pbString(2, "36")))...)
	w1, w2 := pbInitializer("W1", square, ramp(9)...), pbInitializer("W2", square, slices.Concat(ramp(8), []float32{2})...)

	layer := pbFunction("Layer", names("in", "w", "b"), names("out"), names("trans"),
		pbNodeFields("Gemm", "mm", names("in", "w", "b"), names("h"), attrByReference("transB", "trans", 2)),
		pbNodeFields("Relu", "act", names("h"), names("out")))
	call := func(fn, name string, in []string, out string, attr ...field) field {
		return pbNode(fn, name, in, names(out), append(attr, pbString(7, "local"))...)
	}
	return []form{
		{name: "plain", model: layers(w1, w2, bias("b1"), bias("b2"),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "typed data", model: layers(pbMessage(5, typed...), w2, bias("b1"), bias("b2"),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{
			name: "tied weight", model: layers(w1, bias("b1"), bias("b2"), bias("b3"),
				gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W1", "b2", "h2"), relu("h2", "r2"), gemm("r2", "W1", "b3", "y")),
			added: 2, free: 6,
		},
		{
			name: "tied weight, IR 3", model: pbModel(3, 8, x, pbInput("W1", 3, 3), pbInput("b1", 3), pbInput("b2", 3), y,
				w1, bias("b1"), bias("b2"), gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W1", "b2", "y")),
			added: 1, free: 3,
		},
		{name: "tied bias through Identity", model: layers(w1, w2, bias("b1"),
			pbNode("Identity", "same", names("b1"), names("b2")),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), added: 1, free: 3},
		{name: "tied zeros through Identity", model: layers(w1, w2, pbInitializer("b1", []int64{3}, 0, 0, 0),
			pbNode("Identity", "same", names("b1"), names("b2")),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "a zero scalar bias", model: layers(w1, w2, pbInitializer("s", nil, 0), bias("b2"),
			pbNode("MatMul", "mm", names("x", "W1"), names("m")), pbNode("Add", "add", names("m", "s"), names("h")),
			relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "transposed by a node", model: layers(w1, w2, bias("b1"), bias("b2"),
			pbNode("Transpose", "t", names("W1"), names("V"), attrOfInts("perm", 1, 0)),
			pbNode("MatMul", "mm", names("x", "V"), names("m")), pbNode("Add", "add", names("b1", "m"), names("h")),
			relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{
			name: "transposed by a node and tied", model: layers(w1, bias("b1"), bias("b2"),
				pbNode("Transpose", "t", names("W1"), names("V"), attrOfInts("perm", 1, 0)),
				pbNode("MatMul", "mm", names("x", "V"), names("m")), pbNode("Add", "add", names("b1", "m"), names("h")),
				relu("h", "r"), pbNode("MatMul", "mm2", names("r", "V"), names("m2")), pbNode("Add", "add2", names("m2", "b2"), names("y"))),
			added: 1, free: 3,
		},
		{name: "reshaped and tied", model: layers(pbInitializer("W1", []int64{9}, ramp(9)...), bias("b1"), bias("b2"),
			pbMessage(5, append(tensorHeader("s", 7, []int64{2}), pbInt(7, 3), pbInt(7, 3))...),
			pbNode("Reshape", "shape", names("W1", "s"), names("V")),
			gemm("x", "V", "b1", "h"), relu("h", "r"), gemm("r", "V", "b2", "y")), added: 1, free: 3},
		{name: "computed", model: layers(w1, w2, bias("b1"), bias("b2"),
			pbNode("Add", "double", names("W1", "W1"), names("V")),
			gemm("x", "V", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), added: 1, free: 3},
		{name: "Constant node", model: layers(w2, bias("b2"),
			pbNode("Constant", "c", nil, names("W1"), attrOfTensor("value", tensorFields("", square, ramp(9)...)...)),
			pbNode("Constant", "d", nil, names("b1"), attrOfTensor("value", tensorFields("", []int64{3}, ramp(3)...)...)),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "scalar bias", model: layers(w1, w2, pbInitializer("s", nil, 0.5), bias("b2"),
			pbNode("MatMul", "mm", names("x", "W1"), names("m")), pbNode("Add", "add", names("m", "s"), names("h")),
			relu("h", "r"), gemm("r", "W2", "b2", "y")), added: 1, free: 3},
		{name: "scalar bias, opset 6", model: pbModel(3, 6, x, y, pbInput("W1", 3, 3), pbInput("W2", 3, 3), pbInput("s", 1), pbInput("b2", 3),
			w1, w2, pbInitializer("s", []int64{1}, 0.5), bias("b2"),
			pbNode("MatMul", "mm", names("x", "W1"), names("m")),
			pbNode("Add", "add", names("m", "s"), names("h"), attrOfInt("broadcast", 1), attrOfInt("axis", 1)),
			relu("h", "r"), pbNode("Gemm", "fc", names("r", "W2", "b2"), names("y"), attrOfInt("transB", 1), attrOfInt("broadcast", 1))), added: 1, free: 3},
		{name: "values used elsewhere", model: layers(w1, w2, bias("b1"),
			pbNode("ReduceSum", "sum", names("b1"), names("s"), attrOfInt("keepdims", 1)),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "s", "y")), added: 1, free: 3},
		{name: "subtracted and divided", model: layers(w1, w2, bias("b1"), pbInitializer("d", []int64{1, 3}, 2, -4, 8), bias("b2"),
			pbNode("MatMul", "mm", names("x", "W1"), names("m")), pbNode("Div", "div", names("m", "d"), names("q")),
			pbNode("Sub", "sub", names("b1", "q"), names("h")), relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "weight on the left", model: pbModel(8, 17, pbInput("x", 3), pbOutput("y", 3), w1, w2, bias("b1"),
			pbNode("MatMul", "mm", names("W1", "x"), names("m")), pbNode("Add", "add", names("m", "b1"), names("h")),
			relu("h", "r"), pbNode("MatMul", "mm2", names("W2", "r"), names("y"))), free: 3},
		{name: "batch normalisation", model: layers(w1, w2, bias("b2"), bias("beta"), bias("mean"),
			pbInitializer("gamma", []int64{3}, 1, 2, -0.5), pbInitializer("var", []int64{3}, 1, 0.5, 2),
			pbNode("MatMul", "mm", names("x", "W1"), names("m")),
			pbNode("BatchNormalization", "bn", names("m", "gamma", "beta", "mean", "var"), names("h")),
			relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "float16 cast up", model: layers(half("H", 10, square, 9), w2, bias("b1"), bias("b2"),
			pbNode("Cast", "cast", names("H"), names("W1"), attrOfInt("to", 1)),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), added: 1, free: 3},
		{name: "float16", model: pbModel(8, 17, pbValue(11, "x", 10, -1, 3), pbValue(12, "y", 10, -1, 3),
			half("W1", 10, square, 9), half("W2", 10, square, 9), half("b1", 10, []int64{3}, 3),
			pbNode("MatMul", "mm", names("x", "W1"), names("m")), pbNode("Add", "add", names("m", "b1"), names("h")),
			relu("h", "r"), pbNode("MatMul", "mm2", names("r", "W2"), names("y"))), free: 3},
		{name: "bfloat16", model: pbModel(8, 17, pbValue(11, "x", 16, -1, 3), pbValue(12, "y", 16, -1, 3),
			half("W1", 16, square, 9), half("W2", 16, square, 9),
			pbNode("MatMul", "mm", names("x", "W1"), names("h")), relu("h", "r"),
			pbNode("MatMul", "mm2", names("r", "W2"), names("y"))), free: 3},
		{name: "external data", data: data, model: layers(external, w2, bias("b1"), bias("b2"),
			gemm("x", "W1", "b1", "h"), relu("h", "r"), gemm("r", "W2", "b2", "y")), free: 3},
		{name: "local functions", model: withFunctions(layers(w1, w2, bias("b1"), bias("b2"),
			call("Layer", "one", names("x", "W1", "b1"), "r", attrOfInt("trans", 1)), gemm("r", "W2", "b2", "y")), layer), free: 3},
		{
			name: "a function of functions, tied", model: withFunctions(layers(w1, w2, bias("b1"), bias("b2"),
				call("Pair", "both", names("x", "W1", "b1", "b1"), "r"), gemm("r", "W2", "b2", "y")), layer,
				pbFunction("Pair", names("p", "w", "b", "c"), names("q"), nil,
					pbNodeFields("Layer", "first", names("p", "w", "b"), names("h"), pbString(7, "local")),
					pbNodeFields("Layer", "second", names("h", "w", "c"), names("q"), pbString(7, "local")))),
			// The first layer's weight cannot be split off the second's, nor be stored
			// twice: only the biases' inputs lead out of the functions.
			free: 0,
		},
		{name: "a constant inside a function", model: withFunctions(layers(w1, w2, bias("b2"),
			call("Biased", "one", names("x", "W1"), "r"), gemm("r", "W2", "b2", "y")),
			pbFunction("Biased", names("in", "w"), names("out"), nil,
				pbNodeFields("Constant", "c", nil, names("b"), attrOfTensor("value", tensorFields("", []int64{3}, ramp(3)...)...)),
				pbNodeFields("Gemm", "mm", names("in", "w", "b"), names("h")),
				pbNodeFields("Relu", "act", names("h"), names("out")))), free: 0},
	}
}

// readForm reads the model of a form from a file.
func readForm(t *testing.T, f *form) *onnxio.Model {
	path := filepath.Join(t.TempDir(), "model.onnx")
	for name, b := range map[string][]byte{path: f.model, filepath.Join(filepath.Dir(path), "model.bin"): f.data} {
		if b == nil {
			continue
		}
		if err := os.WriteFile(name, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	m, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// TestForms rescales each form of storage at random: the written file holds the
// rescaled values wherever they were, and only the initializers that are needed
// are added.
func TestForms(t *testing.T) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			m := readForm(t, &f)
			if diff := cmp.Diff(f.free, m.Net.Groups().Free()); diff != "" {
				t.Errorf("free groups (-want +got):\n%s\npins %q", diff, m.Net.Groups().Pin)
			}
			scaled := randomly(t, m.Net, 3)
			out := filepath.Join(t.TempDir(), "out.onnx")
			if err := m.WriteFile(out, scaled, onnxio.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			back, err := onnxio.Read(out, onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			if d := furthest(t, scaled, back.Net); d != 0 {
				t.Errorf("the written model differs from the network written by %.3g", d)
			}
			b, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if got := initializers(t, b) - initializers(t, f.model); got != f.added {
				t.Errorf("%d initializers were added, want %d", got, f.added)
			}
			var again bytes.Buffer
			if err := back.Write(&again, back.Net); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again.Bytes(), b) {
				t.Error("the written model is not written again byte for byte")
			}
		})
	}
}

// initializers counts the initializers of a model.
func initializers(t *testing.T, model []byte) int {
	n := 0
	eachField(t, model, 7, func(graph []byte) {
		eachField(t, graph, 5, func([]byte) { n++ })
	})
	return n
}

// TestRatioKeepsItsValue checks that a tensor which is a bias and the ratio of a
// Dropout is not edited in place.
func TestRatioKeepsItsValue(t *testing.T) {
	m, err := onnxio.Decode(pbModel(8, 13, pbInput("x", -1, 1), pbOutput("y", -1, 1),
		pbInitializer("w", []int64{1, 1}, 3), pbInitializer("v", []int64{1, 1}, 5), pbInitializer("b", nil, 0.25),
		pbNode("Dropout", "drop", names("x", "b"), names("d")),
		pbNode("Gemm", "fc1", names("d", "w", "b"), names("h")), pbNode("Relu", "act", names("h"), names("r")),
		pbNode("Gemm", "fc2", names("r", "v"), names("y"))), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := m.Net.Groups()
	c := g.Ones()
	for id := range c {
		if g.Pin[id] == "" {
			c[id] = 2
		}
	}
	net, err := m.Net.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(&b, net); err != nil {
		t.Fatal(err)
	}
	for what, v := range map[string]float32{"the ratio": 0.25, "the rescaled bias": 0.5} {
		if !bytes.Contains(b.Bytes(), binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))) {
			t.Errorf("%s is gone", what)
		}
	}
}
