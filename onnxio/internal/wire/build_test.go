package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// built returns the bytes that Build writes.
func built(t testing.TB, m *Model, g *Graph) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := Build(&b, m, g)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("Build reports %d bytes, wrote %d", n, b.Len())
	}
	return b.Bytes()
}

func TestBuild(t *testing.T) {
	value := NewTensor("", Int64, nil, RawBytes(le([]int64{3})))
	m := Model{
		IRVersion: 8, ProducerName: "p", ProducerVersion: "v", Domain: "d", ModelVersion: 2, DocString: "doc",
		OpsetImports: []Opset{{"", 13}, {"com.x", 1}}, Metadata: []Entry{{"k", "v"}},
	}
	g := Graph{
		Name: "g", DocString: "doc",
		Nodes: []Node{
			{
				Name: "gemm", OpType: "Gemm", Inputs: []string{"x", "w", ""}, Outputs: []string{"h"},
				Attributes: []Attribute{
					{Name: "alpha", Type: AttrFloat, F: 0},
					{Name: "transB", Type: AttrInt, I: 0},
					{Name: "mode", Type: AttrString, S: []byte{}},
					{Name: "value", Type: AttrTensor, T: &value},
					{Name: "floats", Type: AttrFloats, Floats: []float32{1, 2}},
					{Name: "ints", Type: AttrInts, Ints: []int64{-1, 2}},
					{Name: "strings", Type: AttrStrings, Strings: [][]byte{[]byte("a")}},
				},
			},
			{OpType: "Relu", Domain: "com.x", Overload: "o", Inputs: []string{"h"}, Outputs: []string{"y"}},
		},
		Initializers: []Tensor{
			NewTensor("w", Float32, []int64{2, 1}, payload32(1, 2)),
			NewTensor("empty", Float32, []int64{0}, payload32()),
		},
		Inputs: []ValueInfo{{
			Name: "x", Tensor: true, ElemType: Float32, HasShape: true,
			Dims: []Dim{{Param: "batch"}, {Known: true, Value: 0}, {}},
		}},
		Outputs:   []ValueInfo{{Name: "y", Tensor: true, ElemType: Float32}},
		ValueInfo: []ValueInfo{{Name: "h"}},
	}
	data := built(t, &m, &g)
	want := join(
		uintField(1, 8), stringField(2, "p"), stringField(3, "v"), stringField(4, "d"), uintField(5, 2), stringField(6, "doc"),
		bytesField(7,
			bytesField(1, stringField(1, "x"), stringField(1, "w"), stringField(1, ""), stringField(2, "h"), stringField(3, "gemm"), stringField(4, "Gemm"),
				bytesField(5, stringField(1, "alpha"), fixed32Field(2, 0), uintField(20, 1)),
				bytesField(5, stringField(1, "transB"), uintField(3, 0), uintField(20, 2)),
				bytesField(5, stringField(1, "mode"), stringField(4, ""), uintField(20, 3)),
				bytesField(5, stringField(1, "value"), bytesField(5, uintField(2, 7), bytesField(9, le([]int64{3}))), uintField(20, 4)),
				bytesField(5, stringField(1, "floats"), fixed32Field(7, 1), fixed32Field(7, 2), uintField(20, 6)),
				bytesField(5, stringField(1, "ints"), uintField(8, 1<<64-1), uintField(8, 2), uintField(20, 7)),
				bytesField(5, stringField(1, "strings"), stringField(9, "a"), uintField(20, 8))),
			bytesField(1, stringField(1, "h"), stringField(2, "y"), stringField(4, "Relu"), stringField(7, "com.x"), stringField(8, "o")),
			stringField(2, "g"),
			bytesField(5, uintField(1, 2), uintField(1, 1), uintField(2, 1), stringField(8, "w"), bytesField(9, le([]float32{1, 2}))),
			bytesField(5, uintField(1, 0), uintField(2, 1), stringField(8, "empty"), bytesField(9)),
			stringField(10, "doc"),
			bytesField(11, stringField(1, "x"), bytesField(2, bytesField(1, uintField(1, 1), bytesField(2,
				bytesField(1, stringField(2, "batch")), bytesField(1, uintField(1, 0)), bytesField(1))))),
			bytesField(12, stringField(1, "y"), bytesField(2, bytesField(1, uintField(1, 1)))),
			bytesField(13, stringField(1, "h"))),
		bytesField(8, stringField(1, ""), uintField(2, 13)), bytesField(8, stringField(1, "com.x"), uintField(2, 1)),
		bytesField(14, stringField(1, "k"), stringField(2, "v")))
	if d := cmp.Diff(want, data); d != "" {
		t.Errorf("bytes (-want +got):\n%s", d)
	}
	f := mustParse(t, data)
	same(t, &File{Model: m, Graph: g}, f)
	// A file that was read can be built again.
	if d := cmp.Diff(data, built(t, &f.Model, &f.Graph)); d != "" {
		t.Errorf("built from a file (-want +got):\n%s", d)
	}
}

func TestBuildRefuses(t *testing.T) {
	for want, g := range map[string]Graph{
		"numbers, strings":      {Nodes: []Node{{Attributes: []Attribute{{Name: "a", Type: AttrGraph}}}}},
		"tensor is missing":     {Nodes: []Node{{Attributes: []Attribute{{Name: "a", Type: AttrTensor}}}}},
		"sequence cannot":       {Outputs: []ValueInfo{{Name: "y", Kind: "sequence"}}},
		"sparse":                {SparseInitializers: make([]SparseTensor, 1)},
		"no raw form":           {Initializers: []Tensor{NewTensor("w", String, nil, payload32())}},
		"wrote 4 bytes, want 8": {Initializers: []Tensor{NewTensor("w", Float32, []int64{2}, payload32(1))}},
		"larger than 2 GiB":     {Initializers: []Tensor{NewTensor("w", Float32, []int64{1 << 29}, payload32(1))}},
	} {
		_, err := Build(io.Discard, &Model{}, &g)
		wantError(t, err, want)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%v is not an *Error", err)
		}
	}
	_, err := Build(io.Discard, &Model{Functions: make([]Function, 1)}, &Graph{})
	wantError(t, err, "local functions")
}

func TestSkeleton(t *testing.T) {
	f := mustParse(t, modelOf(
		stringField(2, "g"),
		bytesField(1, stringField(2, "c"), stringField(3, "named"), stringField(4, "Constant"),
			bytesField(5, stringField(1, "value"), bytesField(5, tensorOf(Int64, nil, bytesField(7, varints(1)))))),
		bytesField(1, stringField(1, "x"), stringField(2, "y"), stringField(4, "Op"), stringField(7, "com.x"),
			bytesField(5, stringField(1, "i"), uintField(3, 1)), bytesField(5, stringField(1, "is"), uintField(8, 1))),
		bytesField(5, tensorOf(Float32, []int64{1}, bytesField(9, le([]float32{1})))),
		bytesField(11, stringField(1, "x"), bytesField(2, bytesField(1, uintField(1, 1)))),
		bytesField(12, stringField(1, "y")), bytesField(13, stringField(1, "c"))))
	want := modelOf(
		bytesField(1, stringField(1, ""), stringField(2, "c"), stringField(4, "Constant")),
		bytesField(1, stringField(1, "x"), stringField(2, "y"), stringField(4, "Op"),
			bytesField(5, stringField(1, "i"), uintField(3, 1), uintField(20, 2)), stringField(7, "com.x")),
		stringField(2, "g"), bytesField(5, stringField(8, "w")),
		bytesField(12, stringField(1, "y")), bytesField(13, stringField(1, "x")))
	if d := cmp.Diff(want, Skeleton(f)); d != "" {
		t.Errorf("skeleton (-want +got):\n%s", d)
	}
}

// Random edits of random models: the parsed output is what the same edits of
// the description give.
func TestPatchProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, g := drawModel(t)
		var b bytes.Buffer
		if _, err := Build(&b, &m, &g); err != nil {
			t.Fatal(err)
		}
		f, err := Parse(b.Bytes(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := NewPatch(f)
		fresh := 0
		for k := range g.Initializers {
			x := &g.Initializers[k]
			if rapid.Bool().Draw(t, "replace") {
				x.payload = drawPayload(t, x.Dims[0])
				must(t, p.ReplaceInitializer(k, x.payload))
			}
		}
		for n := range g.Nodes {
			for i := range g.Nodes[n].Inputs {
				if !rapid.Bool().Draw(t, "repoint") {
					continue
				}
				name := p.FreshName(rapid.StringN(0, 140, 140).Draw(t, "name"))
				x := NewTensor(name, Float32, []int64{int64(fresh % 40)}, drawPayload(t, int64(fresh%40)))
				fresh++
				must(t, p.AddInitializer(x.Name, x.DType, x.Dims, x.payload))
				must(t, p.RepointInput(n, i, name))
				g.Initializers = append(g.Initializers, x)
				g.Nodes[n].Inputs[i] = name
				if m.IRVersion < 4 {
					g.Inputs = append(g.Inputs, ValueInfo{
						Name: name, Tensor: true, ElemType: Float32, HasShape: true, Dims: []Dim{{Known: true, Value: x.Dims[0]}},
					})
				}
			}
		}
		var got, want bytes.Buffer
		if _, err := p.WriteTo(&got); err != nil {
			t.Fatal(err)
		}
		if _, err := Build(&want, &m, &g); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want.Bytes(), got.Bytes()) {
			t.Fatalf("patched and built models differ:\n%x\n%x", want.Bytes(), got.Bytes())
		}
	})
}

func must(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func drawPayload(t *rapid.T, n int64) Payload {
	return RawBytes(bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, int(4*n)))
}

// drawModel draws a model with at least one graph input and one initializer,
// so that what a patch appends comes behind one of its kind.
func drawModel(t *rapid.T) (Model, Graph) {
	m := Model{IRVersion: rapid.Int64Range(3, 9).Draw(t, "ir"), OpsetImports: []Opset{{"", 13}}}
	g := Graph{Name: "g", Inputs: []ValueInfo{{Name: "x"}}, Outputs: []ValueInfo{{Name: "y"}}}
	for k := range rapid.IntRange(1, 4).Draw(t, "initializers") {
		n := rapid.Int64Range(0, 100).Draw(t, "elements")
		g.Initializers = append(g.Initializers, NewTensor(string(rune('a'+k)), Float32, []int64{n}, drawPayload(t, n)))
	}
	for range rapid.IntRange(0, 4).Draw(t, "nodes") {
		n := Node{OpType: "Op", Outputs: []string{"y"}}
		for range rapid.IntRange(0, 3).Draw(t, "inputs") {
			n.Inputs = append(n.Inputs, "a")
		}
		g.Nodes = append(g.Nodes, n)
	}
	return m, g
}
