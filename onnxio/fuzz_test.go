package onnxio_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// seed adds small shared models, the forms of storage, the malformed files, and the cases
// of operators in the folder RELUPATH_OPERATORS, if that is set: see TestOperators.
func seed(f *testing.F) {
	for _, x := range forms() {
		f.Add(x.model)
	}
	for _, x := range malformedModels() {
		if len(x.model) < 1<<14 {
			f.Add(x.model)
		}
	}
	if dir := os.Getenv("RELUPATH_OPERATORS"); dir != "" {
		cases, _ := filepath.Glob(filepath.Join(dir, "*", "model.onnx"))
		for _, path := range cases {
			if b, err := os.ReadFile(path); err == nil && len(b) < 1<<13 {
				f.Add(b)
			}
		}
	}
	if _, err := os.Stat("../../shared"); err != nil && os.Getenv("RELUPATH_SHARED") == "" {
		return
	}
	for _, m := range sharedModels(f) {
		if b, err := os.ReadFile(m.path); err == nil && len(b) < 1<<13 {
			f.Add(b)
		}
	}
}

// tooLarge says that a network's values are too large to evaluate many times.
func tooLarge(n *dag.Network) bool {
	size := 0
	for i := range n.Nodes {
		size += n.Nodes[i].Len()
	}
	for _, p := range n.Params() {
		size += p.Len()
	}
	return size > 1<<14
}

// FuzzDecode reads any bytes: no panic, no more memory than maxElements allows,
// and what is read is a valid network that is written byte for byte.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnxio.Decode(b, onnxio.Options{})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a sentence")
			}
			return
		}
		if err := m.Net.Validate(); err != nil {
			t.Fatal(err)
		}
		m.Net.Groups()
		var out bytes.Buffer
		if err := m.Write(&out, m.Net); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), b) {
			t.Error("the unedited model was not written byte for byte")
		}
	})
}

// FuzzExport rescales what can be read at random and writes it: what is read
// back has the weights that were written.
func FuzzExport(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnxio.Decode(b, onnxio.Options{})
		if err != nil || tooLarge(m.Net) {
			return
		}
		for _, p := range m.Net.Params() {
			for _, v := range p.Values() {
				// Factors up to 16 on both sides must not leave the range.
				if v-v != 0 || math.Abs(v) > 200 {
					return
				}
			}
		}
		scaled := randomly(t, m.Net, 9)
		var out bytes.Buffer
		if err := m.Write(&out, scaled); err != nil {
			t.Skip(err)
		}
		back, err := onnxio.Decode(out.Bytes(), onnxio.Options{})
		if err != nil {
			t.Fatalf("the written model is refused: %v", err)
		}
		in := randomInputs(scaled, 2, 3)
		want, err := eval.Run(t.Context(), scaled, in, 2, evalOptions)
		if err != nil {
			t.Skip(err)
		}
		got, err := eval.Run(t.Context(), back.Net, in, 2, evalOptions)
		if err != nil {
			t.Fatal(err)
		}
		for k := range want {
			for i := range want[k] {
				if math.Float64bits(want[k][i]) != math.Float64bits(got[k][i]) && want[k][i] == want[k][i] {
					t.Fatalf("output %q[%d] is %v, want %v", scaled.Outputs[k].Name, i, got[k][i], want[k][i])
				}
			}
		}
	})
}
