package wire

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"github.com/relupath/relupath/onnxio/internal/wire/wiretest"
)

// FuzzParse checks that any bytes either fail or can be read, edited and
// written: without a panic, in memory bounded by their size, and unchanged
// where nothing was edited.
func FuzzParse(f *testing.F) {
	f.Add(modelOf(
		bytesField(1, stringField(1, "x"), stringField(1, "w"), stringField(2, "y"), stringField(4, "MatMul")),
		bytesField(1, stringField(2, "c"), stringField(4, "Constant"), bytesField(5, stringField(1, "value"),
			bytesField(5, tensorOf(Int64, []int64{1}, bytesField(7, varints(3)))), uintField(20, 4))),
		bytesField(5, tensorOf(Float32, []int64{2}, bytesField(9, le([]float32{1, 2})))),
		bytesField(5, tensorOf(Float16, []int64{2}, bytesField(5, varints(1, 2)))),
		outside("e", "d.bin", 1, "offset", "4"),
		bytesField(11, stringField(1, "x")), bytesField(12, stringField(1, "y"))))
	f.Add(nested(3))
	f.Add(modelOf(bytesField(5, tensorOf(Float32, []int64{3}, fixed32Field(4, 1), stringField(12, "doc"), bytesField(4, le([]float32{2, 3}))))))
	if os.Getenv("RELUPATH_SHARED") != "" {
		for _, path := range wiretest.Files(f, "models", ".onnx") {
			if data, err := os.ReadFile(path); err == nil && len(data) < 10_000 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		file, err := Parse(data, Options{})
		runtime.ReadMemStats(&after)
		// What is allocated in all is a few times what is kept, since slices
		// grow by copying.
		if got, most := after.TotalAlloc-before.TotalAlloc, 4*uint64(memoryBase+memoryPerByte*len(data)); got > most {
			t.Fatalf("parsing %d bytes allocated %d, want at most %d", len(data), got, most)
		}
		if err != nil {
			return
		}
		if !bytes.Equal(written(t, NewPatch(file)), data) {
			t.Fatal("unedited output differs")
		}
		Skeleton(file)
		p := NewPatch(file)
		for k := range file.Graph.Initializers {
			fuzzTensor(t, p, k)
		}
		fuzzNames(t, p)
	})
}

// fuzzTensor reads a tensor in every way and replaces it by itself.
func fuzzTensor(t *testing.T, p *Patch, k int) {
	x := &p.f.Graph.Initializers[k]
	raw, _, err := x.Bytes()
	_, _, _ = x.Float32s()
	_, _, _ = x.Float64s()
	_, _ = x.Int64s()
	_, _ = x.Halves()
	if len(raw) > 16*len(p.f.data) {
		t.Fatalf("a file of %d bytes holds a tensor of %d", len(p.f.data), len(raw))
	}
	if err == nil {
		check(t, p.ReplaceInitializer(k, RawBytes(raw)))
	}
}

// fuzzNames repoints the inputs of the first node, writes all edits, and
// compares what is parsed.
func fuzzNames(t *testing.T, p *Patch) {
	name := p.FreshName("a name longer than most, so that the length of its prefix and those around it has to change in many files")
	check(t, p.AddInitializer(name, Float32, []int64{1}, payload32(1)))
	g := &p.f.Graph
	if len(g.Nodes) > 0 {
		for i := range g.Nodes[0].Inputs {
			check(t, p.RepointInput(0, i, name))
			g.Nodes[0].Inputs[i] = name
		}
	}
	// An addition may be what makes the parts too many; else it must parse.
	out, err := Parse(written(t, p), Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := len(g.Initializers)
	if len(out.Graph.Initializers) != n+1 || out.Graph.Initializers[n].Name != name {
		t.Fatal("the added initializer is not the last")
	}
	if out.Graph.Initializers = out.Graph.Initializers[:n]; len(out.Graph.Inputs) > len(g.Inputs) {
		out.Graph.Inputs = out.Graph.Inputs[:len(g.Inputs)]
	}
	for k := range g.Initializers {
		a, _, errA := g.Initializers[k].Bytes()
		b, _, errB := out.Graph.Initializers[k].Bytes()
		if (errA == nil) != (errB == nil) || !bytes.Equal(a, b) {
			t.Fatalf("initializer %d changed: %v, %v", k, errA, errB)
		}
	}
	clearTensors(p.f)
	clearTensors(out)
	same(t, p.f, out)
}

// clearTensors drops what was compared already and may fail to be read.
func clearTensors(f *File) { f.Graph.Initializers = nil }
