package onnxio_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// microsoft is a model of one node of ONNX Runtime's operators.
func microsoft(t *testing.T, op string, in, out []string, attr []field, graph ...field) *onnxio.Model {
	t.Helper()
	graph = append(graph, pbNode(op, "node", in, out, append(attr, pbString(7, "com.microsoft"))...))
	m, err := onnxio.Decode(append(pbModel(8, 17, graph...), fields(pbMessage(8, pbString(1, "com.microsoft"), pbInt(2, 1)))...), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestPackedAttention: queries, keys and values in one tensor, or keys and values in one,
// give what three tensors give.
func TestPackedAttention(t *testing.T) {
	const length, heads, size = 3, 2, 4
	n := length * heads * size
	q, k, v := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		q[i], k[i], v[i] = math.Sin(float64(i)), math.Cos(2*float64(i)), math.Sin(3*float64(i)+1)
	}
	// interleave puts runs of one head side by side.
	interleave := func(parts ...[]float64) (out []float64) {
		for at := 0; at < n; at += size {
			for _, p := range parts {
				out = append(out, p[at:at+size]...)
			}
		}
		return out
	}
	attr := []field{attrOfInt("num_heads", heads)}
	y := pbOutput("y", -1, length, heads*size)
	flat := func(name string) field { return pbInput(name, -1, length, heads*size) }
	var want []float64
	for name, c := range map[string]struct {
		in    []string
		graph []field
		x     [][]float64
	}{
		"three": {names("q", "k", "v"), []field{flat("q"), flat("k"), flat("v")}, [][]float64{q, k, v}},
		"two":   {names("q", "kv"), []field{flat("q"), pbInput("kv", -1, length, heads, 2, size)}, [][]float64{q, interleave(k, v)}},
		"one":   {names("qkv"), []field{pbInput("qkv", -1, length, heads, 3, size)}, [][]float64{interleave(q, k, v)}},
	} {
		m := microsoft(t, "MultiHeadAttention", c.in, names("y"), attr, append(c.graph, y)...)
		got, err := eval.Run(t.Context(), m.Net, c.x, 1, evalOptions)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got[0]
		}
		if !slices.Equal(got[0], want) {
			t.Errorf("%s: %v, want %v", name, got[0], want)
		}
	}
}

// TestQuantisedRecurrence: the matrices of an LSTM that quantises its state are layers
// inside it, of the numbers (q - zero) scale.
func TestQuantisedRecurrence(t *testing.T) {
	const inputs, hidden = 2, 1
	rows := 4 * hidden
	bytes := func(name string, dims []int64, raw ...byte) field {
		return pbMessage(5, append(tensorHeader(name, 3, dims), pbBytes(9, raw))...)
	}
	m := microsoft(t, "DynamicQuantizeLSTM",
		names("x", "W", "R", "", "", "", "", "", "sw", "zw", "sr", "zr"), names("y"), []field{attrOfInt("hidden_size", hidden)},
		pbInput("x", 3, 1, inputs), pbOutput("y", 3, 1, 1, hidden),
		bytes("W", []int64{1, inputs, int64(rows)}, 1, 2, 3, 4, 5, 6, 7, 8), bytes("R", []int64{1, hidden, int64(rows)}, 9, 10, 11, 12),
		pbInitializer("sw", []int64{1}, 0.5), bytes("zw", []int64{1}, 2), pbInitializer("sr", []int64{1}, 2), bytes("zr", []int64{1}, 0))
	var got [][]float64
	for _, i := range m.Net.Layers() {
		w := m.Net.Nodes[i].Op.(*dag.Linear).Map.Weight()
		got = append(got, w.Param.Values())
	}
	want := [][]float64{{-0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3}, {18, 20, 22, 24}}
	if len(got) != 2 || !slices.Equal(got[0], want[0]) || !slices.Equal(got[1], want[1]) {
		t.Errorf("layers %v, want %v", got, want)
	}
	if w := strings.Join(m.Warnings, "\n"); !strings.Contains(w, "it quantises the state") {
		t.Errorf("warnings %s", w)
	}
}

// TestGroupedLengths: a sequence shorter than the keys is read otherwise by ONNX Runtime,
// so its scores are no numbers; the other of the batch is what it is.
func TestGroupedLengths(t *testing.T) {
	m := microsoft(t, "GroupQueryAttention", names("q", "k", "v", "", "", "n", "all"), names("y"),
		[]field{attrOfInt("num_heads", 2), attrOfInt("kv_num_heads", 1)},
		pbInput("q", -1, 2, 4), pbInput("k", -1, 2, 2), pbInput("v", -1, 2, 2), pbValue(11, "n", 6, -1), pbValue(11, "all", 6, -1), pbOutput("y", -1, 2, 4))
	v := []float64{1, 2, 3, 4, 1, 2, 3, 4}
	y, err := eval.Run(t.Context(), m.Net, [][]float64{make([]float64, 16), make([]float64, 8), v, {1, 0}, {2, 2}}, 2, evalOptions)
	if err != nil {
		t.Fatal(err)
	}
	// Scores of 0: the first query sees the first value, the second the mean of both.
	if want := []float64{1, 2, 1, 2, 2, 3, 2, 3}; !slices.Equal(y[0][:8], want) {
		t.Errorf("the whole sequence: %v, want %v", y[0][:8], want)
	}
	for _, x := range y[0][8:] {
		if !math.IsNaN(x) {
			t.Errorf("the shorter sequence: %v", y[0][8:])
			break
		}
	}
}

// TestGroupedSinks: a head's sink is one more key without a value, and a smooth softmax has
// one of score 0.
func TestGroupedSinks(t *testing.T) {
	in := []field{pbInput("q", -1, 2, 4), pbInput("k", -1, 2, 2), pbInput("v", -1, 2, 2), pbValue(11, "n", 6, -1), pbValue(11, "all", 6, -1)}
	// Scores of 0 and a bias: the second query sees its keys as 1 to 3.
	bias := pbInitializer("bias", []int64{1, 1, 2, 2}, 0, 0, 0, float32(math.Log(3)))
	ln2 := float32(math.Log(2))
	for _, c := range []struct {
		name string
		in   []string
		more []field
		attr []field
		want []float64
	}{
		{"none", names("q", "k", "v", "", "", "n", "all", "", "", "", "bias"), nil, nil, []float64{4, 4, 4, 4, 7, 7, 7, 7}},
		{"smooth", names("q", "k", "v", "", "", "n", "all", "", "", "", "bias"), nil, []field{attrOfInt("smooth_softmax", 1)}, []float64{2, 2, 2, 2, 5.6, 5.6, 5.6, 5.6}},
		{
			"sinks", names("q", "k", "v", "", "", "n", "all", "", "", "", "bias", "sinks"),
			[]field{pbInitializer("sinks", []int64{2}, 0, ln2)},
			nil,
			[]float64{2, 2, 4.0 / 3, 4.0 / 3, 5.6, 5.6, 28.0 / 6, 28.0 / 6},
		},
	} {
		graph := append(append(slices.Clone(in), pbOutput("y", -1, 2, 4), bias), c.more...)
		m := microsoft(t, "GroupQueryAttention", c.in, names("y"), append(c.attr, attrOfInt("num_heads", 2), attrOfInt("kv_num_heads", 1)), graph...)
		y, err := eval.Run(t.Context(), m.Net, [][]float64{make([]float64, 8), make([]float64, 4), {4, 4, 8, 8}, {1}, {2}}, 1, evalOptions)
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range c.want {
			if math.Abs(y[0][i]-w) > 1e-6 { // the logarithms are stored in float32
				t.Errorf("%s: %v, want %v", c.name, y[0], c.want)
				break
			}
		}
	}
}
