package onnxio_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/relupath/relupath/onnxio"
)

// malformed is a hostile or broken file, or one of another kind, and a part of
// the sentence that it is refused with.
type malformed struct {
	name, want string
	model      []byte
	// data is the external data file model.bin beside the model.
	data []byte
	// computed is what constants that the graph computes may take.
	computed uint64
}

// small is a sound model that the malformed ones are made from: its fields are
// changed one at a time.
func small(extra ...field) []byte {
	return pbModel(8, 17, append([]field{
		pbInput("x", -1, 3), pbOutput("y", -1, 3),
		pbNode("MatMul", "mm", names("x", "W"), names("y")),
	}, extra...)...)
}

// externalTensor has 9 numbers in another file.
func externalTensor(entries ...string) field {
	f := append(tensorHeader("W", 1, []int64{3, 3}), pbInt(14, 1))
	for i := 0; i+1 < len(entries); i += 2 {
		f = append(f, pbMessage(13, pbString(1, entries[i]), pbString(2, entries[i+1])))
	}
	return pbMessage(5, f...)
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

// nestedGraph is a graph with subgraphs within subgraphs, made from the inside
// out: at each level what stands before the next one.
func nestedGraph(depth int) []byte {
	size := 0
	levels := make([][]byte, depth)
	for k := range levels {
		// What contains the graph of the given size is its last field throughout.
		open := func(before []byte, num protowire.Number, inner []byte) []byte {
			before = protowire.AppendTag(before, num, protowire.BytesType)
			before = protowire.AppendVarint(before, uint64(len(inner)+size))
			return append(before, inner...)
		}
		attribute := open(fields(pbString(1, "then_branch"), pbInt(20, 5)), 6, nil)
		node := open(fields(pbNodeFields("If", "", names("x"), names("y"))...), 5, attribute)
		levels[k] = open(nil, 1, node)
		size += len(levels[k])
	}
	slices.Reverse(levels)
	return bytes.Join(levels, nil)
}

// doubled is a model whose constant doubles so many times.
func doubled(times int) []byte {
	f := []field{pbInput("x", -1, 3), pbOutput("y", -1, 3), pbInitializer("c", []int64{1}, 1)}
	last := "c"
	for k := range times {
		name := fmt.Sprintf("d%d", k)
		f = append(f, pbNode("Concat", name, names(last, last), names(name), attrOfInt("axis", 0)))
		last = name
	}
	f = append(f, pbNode("ReduceSum", "sum", names(last), names("s")), pbNode("Mul", "scale", names("x", "s"), names("y")))
	return pbModel(8, 13, f...)
}

func malformedModels() []malformed {
	w := pbInitializer("W", []int64{3, 3}, ramp(9)...)
	sound := small(w)
	header := func(dims ...int64) []field { return tensorHeader("W", 1, dims) }
	var doubling [][]byte
	for k := range 40 {
		name := func(i int) string { return fmt.Sprintf("F%d", i) }
		doubling = append(doubling, pbFunction(name(k), names("a"), names("c"), nil,
			pbNodeFields(name(k+1), "one", names("a"), names("b"), pbString(7, "local")),
			pbNodeFields(name(k+1), "two", names("b"), names("c"), pbString(7, "local"))))
	}
	wide := []field{pbInput("x", -1, 3), pbOutput("y", -1, 3)}
	ins := make([]string, 3000)
	for i := range ins {
		ins[i] = "x"
	}
	wide = append(wide, pbNode("Sum", "sum", ins, append(names("y"), make([]string, 2000)...)))
	list := func(name string, v ...int64) field {
		f := tensorHeader(name, 7, []int64{int64(len(v))})
		for _, x := range v {
			f = append(f, pbInt(7, x))
		}
		return pbMessage(5, f...)
	}
	// picked takes many entries, all of them the first, of a long axis.
	picked := func(node field, shape ...int64) []byte {
		return withML(pbModel(8, 17, pbInput("x", shape...), pbOutput("y", -1, 3), list("n", 1<<16),
			pbNode("ConstantOfShape", "zeros", names("n"), names("i"),
				attrOfTensor("value", append(tensorHeader("", 7, []int64{1}), pbInt(7, 0))...)), node))
	}
	return []malformed{
		{
			name: "Gather of too much", want: "[batch 65536 60000] has too many elements",
			model: picked(pbNode("Gather", "pick", names("x", "i"), names("y"), attrOfInt("axis", 1)), -1, 1, 60000),
		},
		{
			name: "ArrayFeatureExtractor of too much", want: "[batch 60000 65536] has too many elements",
			model: picked(pbNode("ArrayFeatureExtractor", "pick", names("x", "i"), names("y"), pbString(7, "ai.onnx.ml")), -1, 60000, 1),
		},
		{
			name: "a sum that broadcasts too far", want: "make too many elements",
			model: pbModel(8, 17, pbInput("x", -1, 400000, 1), pbInput("z", -1, 1, 400000), pbOutput("y", -1, 3),
				pbNode("Add", "add", names("x", "z"), names("y"))),
		},
		{
			name: "a bias that broadcasts too far", want: "make too many elements",
			model: pbModel(8, 17, pbInput("x", -1, 400000, 1), pbOutput("y", -1, 3), pbInitializer("b", []int64{1, 1, 400}, make([]float32, 400)...),
				pbNode("Add", "add", names("x", "b"), names("y"))),
		},
		{
			name: "an input whose size overflows", want: "[batch 4294967296 4294967296] has too many elements",
			model: pbModel(8, 17, pbInput("x", -1, 1<<32, 1<<32), pbOutput("y", -1, 3), pbNode("Relu", "r", names("x"), names("y"))),
		},
		{
			name: "Slice with too few steps", want: "2 starts, 2 ends, 2 axes, 1 step",
			model: pbModel(8, 17, pbInput("x", -1, 3, 4), pbOutput("y", -1, 3), list("s", 0, 0), list("e", 2, 2), list("a", 1, 2), list("p", 1),
				pbNode("Slice", "s", names("x", "s", "e", "a", "p"), names("y"))),
		},
		{
			name: "Slice backwards of nothing", want: "fc",
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbInitializer("c", []int64{0, 3}), list("s", 5), list("e", -9), list("a", 0), list("p", -1),
				pbNode("Slice", "s", names("c", "s", "e", "a", "p"), names("w")), pbNode("MatMul", "fc", names("x", "w"), names("y"))),
		},
		{
			name: "Scaler of a scalar", want: "2 values of offset for a value of shape []",
			model: withML(pbModel(8, 17, pbInput("x"), pbOutput("y", 3), pbNode("Scaler", "s", names("x"), names("y"), pbString(7, "ai.onnx.ml"),
				pbMessage(5, pbString(1, "offset"), pbFloat(7, 1), pbFloat(7, 1), pbInt(20, 6))))),
		},
		{
			name: "constants that double", want: `node "d23" (Concat): the constants that are computed up to it take more than 128 MiB`,
			model: doubled(26), computed: 128 << 20,
		},
		{
			name: "a ReLU of two values", want: `node "r" (Relu): it has 2 inputs, the operator has 1`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbNode("Relu", "r", names("x", "x"), names("y"))),
		},
		{
			name: "a product of one value", want: `node "unused" (MatMul): it has 1 input, the operator has 2`,
			model: small(w, pbNode("MatMul", "unused", names("x"), names("z"))),
		},
		{
			name: "a pool without a kernel", want: `node "p" (MaxPool): attribute "kernel_shape" is missing`,
			model: pbModel(8, 17, pbInput("x", -1, 1, 3), pbOutput("y", -1, 1, 3), pbNode("MaxPool", "p", names("x"), names("y"))),
		},
		{
			name: "a slope that is an integer", want: `node "r" (LeakyRelu): attribute "alpha" has the type int: want float`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbNode("LeakyRelu", "r", names("x"), names("y"), attrOfInt("alpha", 1))),
		},
		{
			name: "an operator before its time", want: `node "r" (HardSwish): opset 13 has no such operator: it came with opset 14`,
			model: pbModel(8, 13, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbNode("HardSwish", "r", names("x"), names("y"))),
		},
		{name: "opset 0", want: `it imports version 0 of the operators`, model: pbModel(8, 0, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbNode("Relu", "r", names("x"), names("y")))},
		{name: "opset -1", want: `it imports version -1 of the operators`, model: pbModel(8, -1, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbNode("Relu", "r", names("x"), names("y")))},
		{name: "empty", model: []byte{}, want: "the file is empty"},
		{name: "LFS pointer", model: []byte("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"), want: "git lfs pull"},
		{name: "gzip", model: gzipped(sound), want: "this is gzip-compressed: decompress it first"},
		{name: "zip", model: []byte("PK\x03\x04abcdefgh"), want: "this is a zip archive"},
		{name: "web page", model: []byte("<!DOCTYPE html><html>"), want: "download the raw file"},
		{name: "protobuf text", model: []byte("ir_version: 8\ngraph {\n}\n"), want: "text form of protocol buffers"},
		{name: "text syntax", model: []byte("<\n  ir_version: 8,\n  opset_import: [\"\" : 17]\n>\ng (float[N] x) => (float[N] y) {}\n"), want: "in ONNX's text syntax"},
		{name: "ONNX Runtime format", model: []byte("\x18\x00\x00\x00ORTM\x00\x00\x00\x00"), want: "use the .onnx file that it was made from"},
		{name: "a tensor file", model: fields(tensorFields("t", []int64{2}, 1, 2)...), want: "invalid model"},
		{name: "random bytes", model: []byte("\xfe\xed\xfa\xce\xca\xfe\xba\xbe"), want: "invalid model"},
		{name: "truncated", model: sound[:len(sound)-40], want: "truncated"},
		{name: "no graph", model: fields(pbInt(1, 8)), want: "no graph"},
		{name: "no nodes", model: pbModel(8, 17, pbInput("x", 3)), want: "the graph is empty"},
		{name: "no outputs", model: pbModel(8, 17, pbInput("x", 3), pbNode("Relu", "r", names("x"), names("y"))), want: "the graph has no outputs"},
		{name: "length beyond the file", model: append(bytes.Clone(sound), 0x3a, 0xff, 0xff, 0xff, 0xff, 0x07), want: "truncated"},
		{name: "field number 0", model: append(bytes.Clone(sound), 0x00, 0x00), want: "byte"},
		{name: "an overlong varint", model: append(bytes.Clone(sound), bytes.Repeat([]byte{0xff}, 11)...), want: "byte"},
		{
			name: "cycle", want: `node "b" (Relu): it depends on itself: node "b" (Relu) -> node "a" (Relu) -> node "b" (Relu)`,
			model: pbModel(8, 17, pbInput("x", 3), pbOutput("y", 3),
				pbNode("Relu", "a", names("y"), names("h")), pbNode("Relu", "b", names("h"), names("y"))),
		},
		{
			name: "self edge", want: `node "a" (Relu): it depends on itself`,
			model: pbModel(8, 17, pbInput("x", 3), pbOutput("y", 3), pbNode("Relu", "a", names("y"), names("y"))),
		},
		{name: "unknown name", want: `node "mm" (MatMul): input "W" is produced by no node and is no graph input or initializer`, model: small()},
		{name: "two producers", want: `output "y" is produced by node #0 already`, model: small(w, pbNode("Relu", "r", names("x"), names("y")))},
		{name: "duplicate initializer", want: `initializer "W" occurs twice`, model: small(w, w)},
		{name: "duplicate input", want: `graph input "x" occurs twice`, model: small(w, pbInput("x", -1, 3))},
		{name: "unnamed initializer", want: "initializer 1 has no name", model: small(w, pbInitializer("", []int64{1}, 1))},
		{name: "negative dims", want: `tensor "W"`, model: small(pbMessage(5, append(header(-3, -3), pbBytes(9, make([]byte, 36)))...))},
		{
			name: "dims of 2 GB without data", want: "dims [3 178956970] of float32 want 2147483640",
			model: small(pbMessage(5, append(header(3, 178956970), pbBytes(9, make([]byte, 36)))...)),
		},
		{
			name: "dims beyond any memory", want: "have too many elements",
			model: small(pbMessage(5, append(header(1<<40, 1<<40), pbBytes(9, make([]byte, 36)))...)),
		},
		{name: "too little data", want: "raw_data holds 32 bytes, dims [3 3] of float32 want 36", model: small(pbMessage(5, append(header(3, 3), pbBytes(9, make([]byte, 32)))...))},
		{
			name: "data stored twice", want: "elements are stored twice",
			model: small(pbMessage(5, append(header(3, 3), pbBytes(9, make([]byte, 36)), pbFloat(4, 1))...)),
		},
		{name: "segments", want: "stored in segments", model: small(pbMessage(5, append(header(3, 3), pbMessage(3, pbInt(1, 0)))...))},
		{
			name: "wrong width", want: `node "mm" (MatMul): a weight of 2 x 3 does not fit a value of shape [batch 3]`,
			model: small(pbInitializer("W", []int64{2, 3}, ramp(6)...)),
		},
		{
			name: "sparse initializer", want: `node "W" (initializer): it is stored as a sparse tensor`,
			model: small(pbMessage(15, pbMessage(1, tensorFields("W", []int64{1}, 1)...), pbInt(3, 3), pbInt(3, 3))),
		},
		{name: "open dimension", want: `x=1x28`, model: pbModel(8, 17, pbInput("x", -1, -1), pbOutput("y", -1, 3), pbNode("Relu", "r", names("x"), names("y")))},
		{
			name: "huge input", want: "has too many elements",
			model: pbModel(8, 17, pbInput("x", -1, 1<<31, 1<<31), pbOutput("y", -1, 3), pbNode("Relu", "r", names("x"), names("y"))),
		},
		{
			name: "a constant of 2^40 numbers", want: `node "fill" (ConstantOfShape)`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3),
				pbMessage(5, append(tensorHeader("s", 7, []int64{2}), pbInt(7, 1<<20), pbInt(7, 1<<20))...),
				pbNode("ConstantOfShape", "fill", names("s"), names("c")), pbNode("Add", "add", names("x", "c"), names("y"))),
		},
		{
			name: "a range of 2^60 numbers", want: `node "count" (Range)`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3),
				pbInitializer("a", nil, 0), pbInitializer("b", nil, 1e18), pbInitializer("c", nil, 1),
				pbNode("Range", "count", names("a", "b", "c"), names("r")), pbNode("Add", "add", names("x", "r"), names("y"))),
		},
		{
			name: "expanded to 2^40 numbers", want: `node "wide" (Expand)`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3),
				pbMessage(5, append(tensorHeader("s", 7, []int64{3}), pbInt(7, 1<<20), pbInt(7, 1<<20), pbInt(7, 3))...),
				pbNode("Expand", "wide", names("x", "s"), names("y"))),
		},
		{
			name: "padded to 2^40 numbers", want: `node "wide" (Pad)`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3),
				pbMessage(5, append(tensorHeader("p", 7, []int64{4}), pbInt(7, 0), pbInt(7, 0), pbInt(7, 0), pbInt(7, 1<<40))...),
				pbNode("Pad", "wide", names("x", "p"), names("y"))),
		},
		{
			name: "a pool of 30,000 elements at as many places", want: `node "pool" (MaxPool): a kernel of 30000 elements at 30001 positions along one axis`,
			model: pbModel(8, 17, pbInput("x", -1, 1, 60000), pbOutput("y", -1, 1, 30001),
				pbNode("MaxPool", "pool", names("x"), names("y"), attrOfInts("kernel_shape", 30000))),
		},
		{
			name: "a kernel of 30,000 elements at as many places", want: `node "c" (Conv): a kernel of 30000 elements at 30001 positions along one axis`,
			model: pbModel(8, 17, pbInput("x", -1, 1, 60000), pbOutput("y", -1, 1, 30001),
				pbInitializer("w", []int64{1, 1, 30000}, make([]float32, 30000)...), pbNode("Conv", "c", names("x", "w"), names("y"))),
		},
		{
			name: "sums over 30,000 channels", want: `node "l" (LRN): sums over 30000 of 60000 channels`,
			model: pbModel(8, 17, pbInput("x", -1, 60000, 1), pbOutput("y", -1, 60000, 1),
				pbNode("LRN", "l", names("x"), names("y"), attrOfInt("size", 30000))),
		},
		{
			name: "a pool of any size", want: `node "pool" (MaxPool)`,
			model: pbModel(8, 17, pbInput("x", -1, 1, 1<<13, 1<<13), pbOutput("y", -1, 1, 1, 1),
				pbNode("MaxPool", "pool", names("x"), names("y"), attrOfInts("kernel_shape", 1<<12, 1<<12))),
		},
		{name: "more edges than a graph may have", want: "the graph has more than", model: pbModel(8, 17, wide...)},
		{name: "subgraphs 10,000 deep", want: "subgraphs are nested more than", model: fields(pbInt(1, 8), pbBytes(7, nestedGraph(10000)))},
		{
			name: "a function that calls itself", want: "local functions call each other more than",
			model: withFunctions(pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3),
				pbNode("F", "f", names("x"), names("y"), pbString(7, "local"))),
				pbFunction("F", names("a"), names("b"), nil, pbNodeFields("F", "again", names("a"), names("b"), pbString(7, "local")))),
		},
		{
			name: "functions that double", want: "local functions",
			model: withFunctions(pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3),
				pbNode("F0", "f", names("x"), names("y"), pbString(7, "local"))), doubling...),
		},
		{
			name: "no operator set", want: `node "mm" (MatMul): the file (IR version 8) does not say which version`,
			model: fields(pbInt(1, 8), pbMessage(7, pbInput("x", -1, 3), pbOutput("y", -1, 3), w, pbNode("MatMul", "mm", names("x", "W"), names("y")))),
		},
		{
			name: "a branch", want: `node "if" (If)`,
			model: pbModel(8, 17, pbInput("x", -1, 3), pbOutput("y", -1, 3), pbNode("If", "if", names("x"), names("y"),
				pbMessage(5, pbString(1, "then_branch"), pbMessage(6, pbOutput("x", 3)), pbInt(20, 5)))),
		},
		{name: "external data: absolute path", want: "lies outside the model's folder", model: small(externalTensor("location", "/etc/passwd"))},
		{name: "external data: path escape", want: "lies outside the model's folder", model: small(externalTensor("location", "../../../etc/passwd"))},
		{name: "external data: backslashes", want: "lies outside the model's folder", model: small(externalTensor("location", `..\secret.bin`))},
		{name: "external data: missing file", want: `external data "absent.bin"`, model: small(externalTensor("location", "absent.bin"))},
		{name: "external data: no location", want: "location", model: small(externalTensor("offset", "0"))},
		{name: "external data: a folder", want: "not a regular file", model: small(externalTensor("location", "."))},
		{name: "external data: too short", want: "which has 8", data: make([]byte, 8), model: small(externalTensor("location", "model.bin"))},
		{
			name: "external data: offset beyond the file", want: "which has 36", data: make([]byte, 36),
			model: small(externalTensor("location", "model.bin", "offset", "9223372036854775800")),
		},
		{
			name: "external data: negative offset", want: "is not a size", data: make([]byte, 36),
			model: small(externalTensor("location", "model.bin", "offset", "-4")),
		},
		{
			name: "external data: wrong length", want: "want 36", data: make([]byte, 36),
			model: small(externalTensor("location", "model.bin", "length", "4")),
		},
	}
}

// bound is the memory that reading a malformed file of a few kilobytes may
// allocate, and the time that it may take; the largest file here has 1 MB.
const (
	bound     = 64 << 20
	boundTime = 10 * time.Second
)

// TestMalformed reads every malformed file: each is refused with its sentence,
// which names the file, in bounded memory and time.
func TestMalformed(t *testing.T) {
	for _, c := range malformedModels() {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := os.WriteFile(path, c.model, 0o666); err != nil {
				t.Fatal(err)
			}
			if c.data != nil {
				if err := os.WriteFile(filepath.Join(filepath.Dir(path), "model.bin"), c.data, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			m, err := onnxio.Read(path, onnxio.Options{})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil {
				m.Close()
				t.Fatalf("it was read:\n%v", m.Net)
			}
			var unsupported *onnxio.UnsupportedError
			var invalid *onnxio.InvalidError
			if !errors.As(err, &unsupported) && !errors.As(err, &invalid) {
				t.Errorf("%T, want an InvalidError or an UnsupportedError", err)
			}
			if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v\nwant %s: ... %s", err, path, c.want)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > bound+c.computed {
				t.Errorf("reading %d bytes allocated %d MB", len(c.model), n>>20)
			}
			if took > boundTime {
				t.Errorf("reading took %v", took)
			}
			t.Log(err)
		})
	}
}

// TestTruncated cuts a model at every length: none is read, none panics.
func TestTruncated(t *testing.T) {
	sound := small(pbInitializer("W", []int64{3, 3}, ramp(9)...))
	if _, err := onnxio.Decode(sound, onnxio.Options{}); err != nil {
		t.Fatal(err)
	}
	for n := range sound {
		if _, err := onnxio.Decode(sound[:n], onnxio.Options{}); err == nil {
			t.Errorf("%d of %d bytes were read", n, len(sound))
		}
	}
}

// TestReadErrors checks errors of the operating system, which name the path.
func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	absent := filepath.Join(dir, "absent.onnx")
	if _, err := onnxio.Read(absent, onnxio.Options{}); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), absent) {
		t.Errorf("got %v", err)
	}
	if _, err := onnxio.Read(dir, onnxio.Options{}); err == nil || !strings.Contains(err.Error(), "this is a folder: name the .onnx file in it") {
		t.Errorf("got %v", err)
	}
}
