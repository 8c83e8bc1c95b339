package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/relupath/relupath/onnxio/internal/wire/wiretest"
)

func payload32(v ...float32) Payload { return RawBytes(le(v)) }

func TestPatchKeepsUnedited(t *testing.T) {
	data := join(
		stringField(99, "unknown"),
		[]byte{0x88, 0x80, 0x00, 0x88, 0x80, 0x80, 0x00}, // ir_version, tag and value padded
		bytesField(7, bytesField(1, stringField(4, "Relu")), uintField(77, 1)),
	)
	got := written(t, NewPatch(mustParse(t, data)))
	if !bytes.Equal(got, data) {
		t.Errorf("got %x\nwant %x", got, data)
	}
}

// Each encoding is edited with new elements; the expected bytes are assembled
// by hand.
func TestReplaceInitializer(t *testing.T) {
	old, new := []float32{1, 2, 3}, []float32{-4, 5, 6}
	dims := []int64{3}
	after := stringField(12, "a field behind")
	for name, c := range map[string]struct{ before, want []byte }{
		"raw": {tensorOf(Float32, dims, bytesField(9, le(old)), after), tensorOf(Float32, dims, bytesField(9, le(new)), after)},
		"last raw": {
			tensorOf(Float32, dims, bytesField(9, le(old[:1])), bytesField(9, le(old))),
			tensorOf(Float32, dims, bytesField(9, le(old[:1])), bytesField(9, le(new))),
		},
		"packed": {tensorOf(Float32, dims, bytesField(4, le(old)), after), tensorOf(Float32, dims, bytesField(4, le(new)), after)},
		"unpacked": {
			tensorOf(Float32, dims, fixed32Field(4, 1), fixed32Field(4, 2), fixed32Field(4, 3), after),
			tensorOf(Float32, dims, bytesField(9, le(new)), after),
		},
		"scattered": {
			tensorOf(Float32, dims, fixed32Field(4, 1), after, bytesField(4, le(old[1:])), bytesField(9)),
			tensorOf(Float32, dims, bytesField(9, le(new)), after),
		},
		"float16 in int32_data": {
			tensorOf(Float16, []int64{6}, bytesField(5, varints(1, 2, 3, 4, 5, 6))),
			tensorOf(Float16, []int64{6}, bytesField(9, le(new))),
		},
		"nothing": {tensorOf(Float32, []int64{0}), tensorOf(Float32, []int64{0})},
	} {
		t.Run(name, func(t *testing.T) {
			other := bytesField(5, stringField(8, "other"))
			p := NewPatch(mustParse(t, modelOf(bytesField(5, c.before), other)))
			data := payload32(new...)
			if name == "nothing" {
				data = payload32()
			}
			check(t, p.ReplaceInitializer(0, data))
			want := modelOf(bytesField(5, c.want), other)
			for range 2 {
				if d := cmp.Diff(want, written(t, p)); d != "" {
					t.Errorf("bytes (-want +got):\n%s", d)
				}
			}
		})
	}
}

func TestReplaceAttribute(t *testing.T) {
	node := func(v ...float32) []byte {
		return modelOf(bytesField(1, stringField(4, "Constant"), bytesField(5, stringField(1, "value"),
			bytesField(5, tensorOf(Float32, []int64{int64(len(v))}, bytesField(9, le(v)))), uintField(20, 4))))
	}
	p := NewPatch(mustParse(t, node(1, 2)))
	check(t, p.ReplaceAttribute(0, 0, payload32(3, 4)))
	if d := cmp.Diff(node(3, 4), written(t, p)); d != "" {
		t.Errorf("bytes (-want +got):\n%s", d)
	}
	p = NewPatch(mustParse(t, modelOf(bytesField(1, bytesField(5, stringField(1, "alpha"), fixed32Field(2, 1))))))
	wantError(t, p.ReplaceAttribute(0, 0, payload32(1)), `attribute "alpha": it holds no tensor`)
}

// Lengths are chosen so that the prefixes of the node and of the graph become
// longer, and shorter, than they were.
func TestPrefixWidths(t *testing.T) {
	model := func(name string) []byte {
		return modelOf(
			bytesField(1, stringField(1, "x"), stringField(1, name), stringField(4, "Add"), stringField(3, name[:1])),
			bytesField(5, stringField(8, "v")), bytesField(5, stringField(8, string(bytes.Repeat([]byte{'n'}, 200)))))
	}
	long := string(bytes.Repeat([]byte{'n'}, 200))
	p := NewPatch(mustParse(t, model("v")))
	check(t, p.RepointInput(0, 1, long))
	want := bytes.Replace(model(long), stringField(3, "n"), stringField(3, "v"), 1)
	if d := cmp.Diff(want, written(t, p)); d != "" {
		t.Errorf("longer (-want +got):\n%s", d)
	}
	p = NewPatch(mustParse(t, model(long)))
	check(t, p.RepointInput(0, 1, "v"))
	want = bytes.Replace(model("v"), stringField(3, "v"), stringField(3, "n"), 1)
	if d := cmp.Diff(want, written(t, p)); d != "" {
		t.Errorf("shorter (-want +got):\n%s", d)
	}
}

func TestAddInitializer(t *testing.T) {
	graph := func(ir uint64, extra, input []byte, readFirst, readSecond string) []byte {
		return join(uintField(1, ir), bytesField(7,
			bytesField(5, tensorOf(Float32, []int64{1}, bytesField(9, le([]float32{1})))), extra,
			bytesField(11, stringField(1, "x")), input,
			bytesField(1, stringField(1, readFirst), stringField(1, readSecond), stringField(2, "y"), stringField(4, "Add")),
			bytesField(12, stringField(1, "y"))))
	}
	added := bytesField(5, uintField(1, 2), uintField(1, 1), uintField(2, 1), stringField(8, "w_1"), bytesField(9, le([]float32{7, 8})))
	input := bytesField(11, stringField(1, "w_1"), bytesField(2, bytesField(1, uintField(1, 1), bytesField(2,
		bytesField(1, uintField(1, 2)), bytesField(1, uintField(1, 1))))))
	for _, ir := range []uint64{3, 4} {
		want := graph(ir, added, nil, "w", "w_1")
		if ir < 4 {
			want = graph(ir, added, input, "w", "w_1")
		}
		p := NewPatch(mustParse(t, graph(ir, nil, nil, "w", "w")))
		name := p.FreshName("w")
		check(t, p.AddInitializer(name, Float32, []int64{2, 1}, payload32(7, 8)))
		check(t, p.RepointInput(0, 1, name))
		if d := cmp.Diff(want, written(t, p)); d != "" {
			t.Errorf("IR %d (-want +got):\n%s", ir, d)
		}
		for _, taken := range []string{"", "w", "w_1", "x", "y"} {
			wantError(t, p.AddInitializer(taken, Float32, nil, payload32(1)), "empty or in use")
		}
	}
	p := NewPatch(mustParse(t, modelOf()))
	check(t, p.AddInitializer("a", Float32, nil, payload32(1)))
	check(t, p.AddInitializer("b", Float32, nil, payload32(2)))
	got := mustParse(t, written(t, p)).Graph.Initializers
	if len(got) != 2 || got[0].Name != "a" || got[1].Name != "b" {
		t.Errorf("initializers added to an empty graph: %v", got)
	}
}

// TestSetMetadata: a key has one entry, in the place of the old one or at the end; the
// checker of ONNX refuses a second.
func TestSetMetadata(t *testing.T) {
	entry := func(k, v string) []byte { return bytesField(14, stringField(1, k), stringField(2, v)) }
	graph := bytesField(7, bytesField(12, stringField(1, "y")))
	for _, c := range []struct{ name, before, after string }{
		{"a new key", string(join(graph, entry("a", "1"))), string(join(graph, entry("a", "1"), entry("k", "v")))},
		{"another value", string(join(entry("k", "old"), graph, entry("a", "1"))), string(join(entry("k", "v"), graph, entry("a", "1")))},
		{"two entries", string(join(entry("k", "1"), entry("k", "2"), graph, entry("k", "3"))), string(join(entry("k", "v"), graph))},
	} {
		p := NewPatch(mustParse(t, []byte(c.before)))
		check(t, p.SetMetadata("k", "v"))
		if d := cmp.Diff(c.after, string(written(t, p))); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
		if p.Size() != int64(len(c.after)) {
			t.Errorf("%s: size %d, want %d", c.name, p.Size(), len(c.after))
		}
		wantError(t, p.SetMetadata("k", "w"), "edited twice")
	}
}

func TestPatchRefuses(t *testing.T) {
	file := func() *File {
		return mustParse(t, modelOf(
			bytesField(5, tensorOf(Float32, []int64{1}, bytesField(9, le([]float32{1})))),
			bytesField(5, stringField(8, "short"), uintField(1, 4), uintField(2, 1)),
			bytesField(1, stringField(1, "w"), stringField(2, "y"))))
	}
	p := NewPatch(file())
	check(t, p.ReplaceInitializer(0, payload32(1)))
	wantError(t, p.ReplaceInitializer(0, payload32(1)), `tensor "w": it is edited twice`)
	wantError(t, p.ReplaceInitializer(1, payload32(1)), "no data holds 0 bytes")
	check(t, p.RepointInput(0, 0, "y"))
	wantError(t, p.RepointInput(0, 0, "w"), "edited twice")
	wantError(t, p.RepointInput(0, 0, "nowhere"), `no value "nowhere"`)
	wantError(t, p.AddInitializer("v", String, nil, nil), "no raw form")

	failure := errors.New("disk on fire")
	for want, data := range map[string]Payload{
		`tensor "w": payload wrote 0 bytes, want 4`: func(io.Writer, int64) error { return nil },
		"more than was announced":                   payload32(1, 2),
		"disk on fire":                              func(io.Writer, int64) error { return failure },
	} {
		p := NewPatch(file())
		check(t, p.ReplaceInitializer(0, data))
		_, err := p.WriteTo(io.Discard)
		wantError(t, err, want)
		if want == failure.Error() && !errors.Is(err, failure) {
			t.Errorf("%v does not wrap the payload's error", err)
		}
	}
	if _, err := NewPatch(file()).WriteTo(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("error of a full disk is %v", err)
	}
}

type fullDisk struct{}

var errFull = errors.New("no space")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// A length prefix that no edit changes keeps its padding.
func TestPaddedPrefix(t *testing.T) {
	padded := func(num protowire.Number, content []byte) []byte {
		b := protowire.AppendTag(nil, num, protowire.BytesType)
		return append(append(b, byte(len(content))|0x80, 0x80, 0x00), content...)
	}
	model := func(v float32) []byte {
		return padded(7, padded(5, tensorOf(Float32, []int64{1}, padded(9, le([]float32{v})))))
	}
	p := NewPatch(mustParse(t, model(1)))
	check(t, p.ReplaceInitializer(0, payload32(2)))
	if d := cmp.Diff(model(2), written(t, p)); d != "" {
		t.Errorf("bytes (-want +got):\n%s", d)
	}
	reads := func(name string) []byte {
		return padded(7, join(padded(1, padded(1, []byte(name))), padded(11, stringField(1, "a")), padded(11, stringField(1, "b"))))
	}
	p = NewPatch(mustParse(t, reads("a")))
	check(t, p.RepointInput(0, 0, "b"))
	if d := cmp.Diff(reads("b"), written(t, p)); d != "" {
		t.Errorf("a name of the same length (-want +got):\n%s", d)
	}
}

// An absent input that ends a node that ends the graph is given a name, where
// an initializer is appended as well.
func TestEditsAtOnePlace(t *testing.T) {
	p := NewPatch(mustParse(t, modelOf(bytesField(1, stringField(4, "Clip"), stringField(1, "")))))
	check(t, p.AddInitializer("w", Float32, []int64{1}, payload32(1)))
	check(t, p.RepointInput(0, 0, "w"))
	want := modelOf(bytesField(1, stringField(4, "Clip"), stringField(1, "w")),
		bytesField(5, uintField(1, 1), uintField(2, 1), stringField(8, "w"), bytesField(9, le([]float32{1}))))
	if d := cmp.Diff(want, written(t, p)); d != "" {
		t.Errorf("bytes (-want +got):\n%s", d)
	}
}

func TestSharedModelsPatch(t *testing.T) {
	files := append(wiretest.Files(t, "models", ".onnx"), wiretest.Files(t, "conformance", "model.onnx")...)
	edited, split := 0, 0
	for _, path := range files {
		t.Run(path, func(t *testing.T) {
			f, err := Open(path)
			check(t, err)
			defer f.Close()
			if !bytes.Equal(written(t, NewPatch(f)), f.data) {
				t.Fatal("unedited output differs")
			}
			if k := largest(f); k >= 0 {
				editOne(t, f, k)
				edited++
			}
			if splitFirst(t, f) {
				split++
			}
		})
	}
	t.Logf("edited %d, split %d of %d", edited, split, len(files))
	if edited < 100 || split < 100 {
		t.Error("too few edits were possible for this to test much")
	}
}

// largest returns the initializer with the most bytes, -1 without one.
func largest(f *File) int {
	best, size := -1, 0
	for k := range f.Graph.Initializers {
		if n, err := f.Graph.Initializers[k].check(); err == nil && n > size && f.Graph.Initializers[k].Encoding != External {
			best, size = k, n
		}
	}
	return best
}

// reparse parses an output as if it lay beside the file.
func reparse(t *testing.T, f *File, data []byte) *File {
	t.Helper()
	g, err := Parse(data, Options{Name: "output", Dir: f.dir})
	check(t, err)
	t.Cleanup(func() { g.Close() })
	return g
}

// editOne inverts the bytes of one initializer and compares everything.
func editOne(t *testing.T, f *File, k int) {
	old, _, err := f.Graph.Initializers[k].Bytes()
	check(t, err)
	want := make([]byte, len(old))
	for i := range old {
		want[i] = ^old[i]
	}
	p := NewPatch(f)
	check(t, p.ReplaceInitializer(k, RawBytes(want)))
	out := written(t, p)
	g := reparse(t, f, out)
	got, _, err := g.Graph.Initializers[k].Bytes()
	check(t, err)
	if !bytes.Equal(want, got) {
		t.Error("the new elements are not in the output")
	}
	if r := f.Graph.Initializers[k].raw; r.len() > 0 {
		if len(out) != len(f.data) || !bytes.Equal(out[:r.start], f.data[:r.start]) || !bytes.Equal(out[r.end:], f.data[r.end:]) {
			t.Error("bytes beside the payload changed")
		}
	}
	p = NewPatch(g)
	check(t, p.ReplaceInitializer(k, RawBytes(old)))
	same(t, f, reparse(t, f, written(t, p)))
}

// splitFirst gives the first node input that reads an initializer an
// initializer of its own.
func splitFirst(t *testing.T, f *File) bool {
	index := map[string]int{}
	for k := range f.Graph.Initializers {
		index[f.Graph.Initializers[k].Name] = k
	}
	for n := range f.Graph.Nodes {
		for i, name := range f.Graph.Nodes[n].Inputs {
			k, ok := index[name]
			if !ok || f.Graph.Initializers[k].Encoding == External {
				continue
			}
			x := &f.Graph.Initializers[k]
			raw, _, err := x.Bytes()
			if err != nil {
				return false
			}
			p := NewPatch(f)
			fresh := p.FreshName(name)
			check(t, p.AddInitializer(fresh, x.DType, x.Dims, RawBytes(raw)))
			check(t, p.RepointInput(n, i, fresh))
			g := reparse(t, f, written(t, p))
			last := &g.Graph.Initializers[len(g.Graph.Initializers)-1]
			if last.Name != fresh || g.Graph.Nodes[n].Inputs[i] != fresh {
				t.Errorf("added %q, node reads %q, want %q", last.Name, g.Graph.Nodes[n].Inputs[i], fresh)
			}
			sameElements(t, x, last)
			undo(f, g, n, i, name)
			same(t, f, g)
			return true
		}
	}
	return false
}

// undo takes the split out of what was parsed, so that the rest can be
// compared.
func undo(f, g *File, n, i int, name string) {
	g.Graph.Nodes[n].Inputs[i] = name
	g.Graph.Initializers = g.Graph.Initializers[:len(f.Graph.Initializers)]
	g.Graph.Inputs = g.Graph.Inputs[:len(f.Graph.Inputs)]
}

func ExamplePatch() {
	f, err := Parse(modelOf(bytesField(5, tensorOf(Float32, []int64{1}, bytesField(9, le([]float32{1}))))), Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := NewPatch(f)
	if err := p.ReplaceInitializer(0, RawBytes(le([]float32{2}))); err != nil {
		fmt.Println(err)
		return
	}
	var out bytes.Buffer
	n, err := p.WriteTo(&out)
	fmt.Println(n == f.Size(), err)
	// Output: true <nil>
}
