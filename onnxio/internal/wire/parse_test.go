package wire

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

func TestParse(t *testing.T) {
	data := join(
		uintField(1, 9), stringField(2, "maker"), stringField(3, "1.2"), stringField(4, "org.x"),
		uintField(5, 7), stringField(6, "doc"),
		bytesField(8, uintField(2, 17)),
		bytesField(8, stringField(1, "com.x"), uintField(2, 3)),
		bytesField(14, stringField(1, "k"), stringField(2, "v")),
		stringField(99, "an unknown field"),
		bytesField(25, stringField(1, "fn"), stringField(10, "com.x"), stringField(4, "a"), stringField(5, "b"),
			stringField(6, "alpha"), bytesField(11, stringField(1, "beta"), fixed32Field(2, 2), uintField(20, 1)),
			bytesField(7, stringField(1, "a"), stringField(2, "b"), stringField(4, "Relu"),
				bytesField(5, stringField(1, "p"), stringField(21, "alpha"), uintField(20, 1))),
			bytesField(9, uintField(2, 17))),
		bytesField(7,
			stringField(2, "g"),
			bytesField(1, stringField(1, "x"), stringField(1, ""), stringField(2, "y"), stringField(3, "n0"),
				stringField(4, "Op"), stringField(7, "com.x"),
				bytesField(5, stringField(1, "f"), fixed32Field(2, 0.5), uintField(20, 1)),
				bytesField(5, stringField(1, "i"), uintField(3, 1<<64-3), uintField(20, 2)),
				bytesField(5, stringField(1, "s"), stringField(4, "text"), uintField(20, 3)),
				bytesField(5, stringField(1, "fs"), fixed32Field(7, 1), bytesField(7, le([]float32{2, 3})), uintField(20, 6)),
				bytesField(5, stringField(1, "is"), bytesField(8, varints(1, -1)), uintField(8, 5), uintField(20, 7)),
				bytesField(5, stringField(1, "ss"), stringField(9, "a"), stringField(9, ""), uintField(20, 8)),
				bytesField(5, stringField(1, "undeclared"), uintField(3, 4))),
			bytesField(5, tensorOf(Float32, []int64{2}, bytesField(9, le([]float32{1, 2})))),
			bytesField(11, stringField(1, "x"), bytesField(2, bytesField(1, uintField(1, 1), bytesField(2,
				bytesField(1, stringField(2, "batch")), bytesField(1, uintField(1, 3)), bytesField(1))))),
			bytesField(11, stringField(1, "seq"), bytesField(2, bytesField(4))),
			bytesField(12, stringField(1, "y")),
			bytesField(15, bytesField(1, stringField(8, "sp")), bytesField(2, uintField(2, 7)), bytesField(3, varints(5, 6))),
		),
	)
	f := mustParse(t, data)
	wantModel := Model{
		IRVersion: 9, ProducerName: "maker", ProducerVersion: "1.2", Domain: "org.x", ModelVersion: 7, DocString: "doc",
		OpsetImports: []Opset{{"", 17}, {"com.x", 3}},
		Metadata:     []Entry{{"k", "v"}},
		Functions: []Function{{
			Domain: "com.x", Name: "fn", Inputs: []string{"a"}, Outputs: []string{"b"},
			AttributeNames: []string{"alpha"},
			Attributes:     []Attribute{{Name: "beta", Type: AttrFloat, F: 2}},
			Nodes: []Node{{
				OpType: "Relu", Inputs: []string{"a"}, Outputs: []string{"b"},
				Attributes: []Attribute{{Name: "p", Type: AttrFloat, RefAttrName: "alpha"}},
			}},
			OpsetImports: []Opset{{"", 17}},
		}},
	}
	if d := cmp.Diff(wantModel, f.Model, exported); d != "" {
		t.Errorf("model (-want +got):\n%s", d)
	}
	wantGraph := Graph{
		Name: "g",
		Nodes: []Node{{
			Name: "n0", OpType: "Op", Domain: "com.x", Inputs: []string{"x", ""}, Outputs: []string{"y"},
			Attributes: []Attribute{
				{Name: "f", Type: AttrFloat, F: 0.5},
				{Name: "i", Type: AttrInt, I: -3},
				{Name: "s", Type: AttrString, S: []byte("text")},
				{Name: "fs", Type: AttrFloats, Floats: []float32{1, 2, 3}},
				{Name: "is", Type: AttrInts, Ints: []int64{1, -1, 5}},
				{Name: "ss", Type: AttrStrings, Strings: [][]byte{[]byte("a"), {}}},
				{Name: "undeclared", Type: AttrInt, Undeclared: true, I: 4},
			},
		}},
		Initializers: []Tensor{{Name: "w", Dims: []int64{2}, DType: Float32, Encoding: Raw}},
		Inputs: []ValueInfo{
			{Name: "x", Tensor: true, ElemType: Float32, HasShape: true, Dims: []Dim{{Param: "batch"}, {Known: true, Value: 3}, {}}},
			{Name: "seq", Kind: "sequence"},
		},
		Outputs:            []ValueInfo{{Name: "y"}},
		SparseInitializers: []SparseTensor{{Values: Tensor{Name: "sp"}, Indices: Tensor{DType: Int64}, Dims: []int64{5, 6}}},
	}
	if d := cmp.Diff(wantGraph, f.Graph, exported); d != "" {
		t.Errorf("graph (-want +got):\n%s", d)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	empty, page := filepath.Join(dir, "empty.onnx"), filepath.Join(dir, "page.onnx")
	check(t, os.WriteFile(empty, nil, 0o644))
	check(t, os.WriteFile(page, []byte("<html>"), 0o644))
	for path, want := range map[string]string{
		filepath.Join(dir, "nothing"): "no such file",
		dir:                           "this is a folder",
		empty:                         "the file is empty",
		page:                          "HTML",
	} {
		f, err := Open(path)
		wantError(t, err, want)
		wantError(t, err, path)
		if f != nil {
			t.Errorf("%s: a File beside an error", path)
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%v is not an *Error", err)
		}
	}
	if _, err := Open(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v does not wrap fs.ErrNotExist", err)
	}
}

func TestOpset(t *testing.T) {
	for _, c := range []struct {
		imports []Opset
		domain  string
		want    int64
	}{
		{nil, "", 1},
		{nil, "ai.onnx", 1},
		{nil, "com.x", 0},
		{[]Opset{{"ai.onnx", 12}}, "", 12},
		{[]Opset{{"", 12}, {"com.x", 2}}, "ai.onnx", 12},
		{[]Opset{{"", 12}, {"com.x", 2}}, "com.x", 2},
	} {
		m := Model{OpsetImports: c.imports}
		if got := m.Opset(c.domain); got != c.want {
			t.Errorf("Opset(%q) with %v is %d, want %d", c.domain, c.imports, got, c.want)
		}
	}
}

// nested wraps a graph in n subgraphs.
func nested(n int) []byte {
	graph := bytesField(1, stringField(1, "outer"), stringField(4, "Relu"))
	for range n {
		graph = bytesField(1, stringField(4, "If"), bytesField(5, stringField(1, "then"), bytesField(6, graph)))
	}
	return modelOf(graph)
}

// zipOf is the beginning of an archive with one empty file.
func zipOf(name string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	if _, err := z.Create(name); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestParseRefuses(t *testing.T) {
	group := protowire.AppendTag(nil, 50, protowire.StartGroupType)
	whole := modelOf(bytesField(5, tensorOf(Float32, []int64{2}, bytesField(9, le([]float32{1, 2})))))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":            {nil, "the file is empty"},
		"LFS pointer":      {[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), "this is a Git LFS pointer, fetch the real file"},
		"HTML":             {[]byte("\n<!DOCTYPE html><html>"), "HTML"},
		"zip":              {[]byte("PK\x03\x04\x00\x00"), "zip archive"},
		"PyTorch":          {zipOf("archive/data.pkl"), "torch.onnx.export"},
		"Keras":            {zipOf("metadata.json"), "keras.saving.load_model"},
		"npz":              {zipOf("x.npy"), "--data npz:"},
		"safetensors":      {append([]byte{2, 0, 0, 0, 0, 0, 0, 0}, "{} "...), "safetensors"},
		"TorchScript":      {[]byte("PK\x03\x04" + strings.Repeat("\x00", 22) + "\x09\x00\x00\x00ts/data/0"), "torch.onnx.export"},
		"GGUF":             {[]byte("GGUF\x03\x00\x00\x00"), "GGUF"},
		"npy":              {[]byte("\x93NUMPY\x01\x00"), "--data npy:"},
		"TFLite":           {[]byte("\x1c\x00\x00\x00TFL3"), "tf2onnx.convert --tflite"},
		"Parquet":          {[]byte("PAR1\x15\x04\x15\x10"), "df.to_csv"},
		"PNG":              {[]byte("\x89PNG\r\n\x1a\n"), "a picture"},
		"JPEG":             {[]byte("\xff\xd8\xff\xe0"), "a picture"},
		"SavedModel":       {[]byte("\x08\x01\x12\x05\x0a\x03\x22\x01x"), "tf2onnx.convert --saved-model"},
		"frozen graph":     {[]byte("\x0a\x06\x0a\x01x\x12\x01A"), "--graphdef"},
		"CSV":              {[]byte("a,b\n1,2\n"), "--data csv:"},
		"longer CSV":       {[]byte(strings.Repeat("é,b\n1,2\n", 100)), "--data csv:"},
		"CSV with a mark":  {[]byte("\ufeff\"a\";b\r\n1;2\r\n"), "--data csv:"},
		"CSV in Latin-1":   {[]byte("h\xf6he;b\n1;2\n"), "--data csv:"},
		"CSV in UTF-16":    {[]byte("\xff\xfea\x00,\x00b\x00\n\x00"), "--data csv:"},
		"HTML with a mark": {[]byte("\ufeff<!doctype html>"), "HTML"},
		"gzip":             {[]byte("\x1f\x8b\x08\x00"), "gzip"},
		"pickle":           {[]byte("\x80\x02\x8a\x0a\x6c"), "pickle"},
		"HDF5":             {[]byte("\x89HDF\r\n\x1a\n"), "HDF5"},
		"ORT":              {[]byte("\x18\x00\x00\x00ORTM...."), ".ort"},
		"no graph":         {uintField(1, 8), "no graph"},
		"two graphs":       {join(modelOf(), modelOf()), "a second graph"},
		"truncated":        {whole[:len(whole)-20], "truncated"},
		"over-long":        {protowire.AppendVarint(protowire.AppendTag(nil, 7, protowire.BytesType), 1<<63), "claims 9223372036854775808 bytes, 0 are left"},
		"wrong type":       {join(uintField(1, 8), uintField(7, 1)), "field 7 is varint, want length-delimited"},
		"wrong type 2":     {stringField(1, "x"), "field 1 is length-delimited, want varint"},
		"group":            {join(modelOf(), group), "is a group"},
		"field zero":       {[]byte{0x00, 0x01}, "no field begins here"},
		"long varint":      {append([]byte{0x08}, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255), "field 1"},
		"nested 65":        {nested(65), "nested more than 64 deep"},
		"odd packed":       {modelOf(bytesField(5, bytesField(4, []byte{1, 2, 3}))), "3 packed bytes are not a multiple of 4"},
		"cut varints":      {modelOf(bytesField(5, bytesField(7, []byte{1, 0x80}))), "end in the middle"},
		"second type":      {modelOf(bytesField(11, bytesField(2), bytesField(2))), "a second type"},
		"second tensor":    {modelOf(bytesField(1, bytesField(5, bytesField(5), bytesField(5)))), "a second tensor value"},
		"too many parts":   {modelOf([]byte(strings.Repeat("\x0a\x00", 1<<16))), "too many small parts"},
		"place":            {modelOf(bytesField(1, bytesField(5, uintField(1, 1)))), "graph.node[0].attribute[0] at byte"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.data, Options{Name: "m.onnx"})
			wantError(t, err, c.want)
			wantError(t, err, "m.onnx")
		})
	}
	mustParse(t, nested(64))
}

// TestLongNames: names are repeated wherever their node or value is spoken of, and have a bound.
func TestLongNames(t *testing.T) {
	for field, model := range map[string]func(name []byte) []byte{
		"producer":        func(n []byte) []byte { return join(modelOf(), bytesField(2, n)) },
		"domain":          func(n []byte) []byte { return join(modelOf(), bytesField(8, bytesField(1, n))) },
		"graph":           func(n []byte) []byte { return modelOf(bytesField(2, n)) },
		"node":            func(n []byte) []byte { return modelOf(bytesField(1, bytesField(3, n))) },
		"operator":        func(n []byte) []byte { return modelOf(bytesField(1, bytesField(4, n))) },
		"operator domain": func(n []byte) []byte { return modelOf(bytesField(1, bytesField(7, n))) },
		"operand":         func(n []byte) []byte { return modelOf(bytesField(1, bytesField(1, n))) },
		"result":          func(n []byte) []byte { return modelOf(bytesField(1, bytesField(2, n))) },
		"attribute":       func(n []byte) []byte { return modelOf(bytesField(1, bytesField(5, bytesField(1, n)))) },
		"initializer":     func(n []byte) []byte { return modelOf(bytesField(5, bytesField(8, n))) },
		"input":           func(n []byte) []byte { return modelOf(bytesField(11, bytesField(1, n))) },
		"output":          func(n []byte) []byte { return modelOf(bytesField(12, bytesField(1, n))) },
		"function":        func(n []byte) []byte { return join(modelOf(), bytesField(25, bytesField(1, n))) },
	} {
		t.Run(field, func(t *testing.T) {
			_, err := Parse(model(bytes.Repeat([]byte{'n'}, longestName+1)), Options{Name: "m.onnx"})
			wantError(t, err, "a name of 65537 bytes")
			mustParse(t, model(bytes.Repeat([]byte{'n'}, longestName)))
		})
	}
}

func TestEveryTruncationFailsOrParses(t *testing.T) {
	whole := modelOf(
		bytesField(1, stringField(1, "x"), stringField(4, "Relu"), bytesField(5, stringField(1, "t"), bytesField(5, tensorOf(Int64, nil, bytesField(7, varints(1)))))),
		bytesField(5, tensorOf(Float32, []int64{2}, bytesField(9, le([]float32{1, 2})))))
	parsed := 0
	for n := range whole {
		if _, err := Parse(whole[:n], Options{}); err == nil {
			parsed++
		}
	}
	// Only the end of the graph and the end of the file are ends of a message
	// with a graph.
	if parsed != 1 {
		t.Errorf("%d proper prefixes parse, want 1", parsed)
	}
}

func TestCaptures(t *testing.T) {
	inner := [][]byte{
		bytesField(1, stringField(1, "deep"), stringField(1, "mid"), stringField(2, "r"), stringField(4, "Add")),
		bytesField(12, stringField(1, "r")),
	}
	sub := join(
		bytesField(11, stringField(1, "formal")),
		bytesField(5, stringField(8, "const")),
		bytesField(1, stringField(1, "formal"), stringField(1, "const"), stringField(1, "outer"), stringField(1, ""), stringField(2, "mid"), stringField(4, "Sum")),
		bytesField(1, stringField(4, "If"), stringField(1, "mid"), bytesField(5, stringField(1, "else"), bytesField(6, inner...))),
		bytesField(12, stringField(1, "mid")),
	)
	f := mustParse(t, modelOf(bytesField(1, stringField(4, "Loop"), bytesField(5, stringField(1, "body"), bytesField(6, sub)))))
	a := f.Graph.Nodes[0].Attribute("body")
	if a.Graphs != 1 || a.Type != AttrGraph {
		t.Errorf("attribute has %d subgraphs and type %d", a.Graphs, a.Type)
	}
	if d := cmp.Diff([]string{"deep", "outer"}, a.Captures); d != "" {
		t.Errorf("captures (-want +got):\n%s", d)
	}
	if p := NewPatch(f); p.FreshName("mid") != "mid_1" || p.FreshName("free") != "free" {
		t.Errorf("fresh names %q and %q, want mid_1 and free", p.FreshName("mid"), p.FreshName("free"))
	}
}
