package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protowire"
)

// The functions below append fields by hand, so that the tests do not rest on
// the package's own encoder.

// join concatenates fields into a message.
func join(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

func uintField(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func bytesField(num protowire.Number, content ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), join(content...))
}

func stringField(num protowire.Number, s string) []byte { return bytesField(num, []byte(s)) }

func fixed32Field(num protowire.Number, v float32) []byte {
	return protowire.AppendFixed32(protowire.AppendTag(nil, num, protowire.Fixed32Type), math.Float32bits(v))
}

func fixed64Field(num protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), math.Float64bits(v))
}

// varints packs values without a tag.
func varints(v ...int64) []byte {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(x))
	}
	return b
}

// le is the little-endian form of a slice of numbers.
func le(v any) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err)
	}
	return b
}

// modelOf wraps the fields of a graph in a model of IR version 8, opset 13.
func modelOf(graph ...[]byte) []byte {
	return join(uintField(1, 8), bytesField(7, graph...), bytesField(8, stringField(1, ""), uintField(2, 13)))
}

// tensorOf returns the fields of a tensor named w.
func tensorOf(typ DataType, dims []int64, data ...[]byte) []byte {
	var b []byte
	for _, d := range dims {
		b = append(b, uintField(1, uint64(d))...)
	}
	return join(b, uintField(2, uint64(typ)), stringField(8, "w"), join(data...))
}

func mustParse(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Parse(data, Options{Name: "test.onnx"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// written returns what a patch writes, and checks the reported size.
func written(t testing.TB, p *Patch) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := p.WriteTo(&b)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("WriteTo reports %d bytes, wrote %d", n, b.Len())
	}
	return b.Bytes()
}

// check fails the test on an error.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that an error's message contains a text.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want one with %q", err, want)
	}
}

// exported compares what users of the package see.
var exported = cmp.Options{
	cmpopts.IgnoreUnexported(Graph{}, Node{}, Attribute{}, Tensor{}),
	cmpopts.EquateEmpty(), cmpopts.EquateNaNs(),
}

// same compares two files: what they say, and the elements of every tensor.
func same(t testing.TB, want, got *File) {
	t.Helper()
	if d := cmp.Diff(want.Model, got.Model, exported); d != "" {
		t.Errorf("model (-want +got):\n%s", d)
	}
	if d := cmp.Diff(want.Graph, got.Graph, exported, ignoreEncoding); d != "" {
		t.Errorf("graph (-want +got):\n%s", d)
	}
	for i := range want.Graph.Initializers {
		sameElements(t, &want.Graph.Initializers[i], &got.Graph.Initializers[i])
	}
}

var ignoreEncoding = cmpopts.IgnoreFields(Tensor{}, "Encoding")

func sameElements(t testing.TB, want, got *Tensor) {
	t.Helper()
	a, _, errA := want.Bytes()
	b, _, errB := got.Bytes()
	if errA != nil || errB != nil {
		t.Errorf("tensor %q: errors %v and %v", want.Name, errA, errB)
	} else if !bytes.Equal(a, b) {
		t.Errorf("tensor %q: elements differ", want.Name)
	}
}
