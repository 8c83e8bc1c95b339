package onnxio_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// TestWriteNetwork writes random networks of every kind as fresh files: what is
// read back computes the same.
func TestWriteNetwork(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom([]dag.DType{dag.Float32, dag.Float64}).Draw(t, "type")
		// The maximum of a constant and an activation is refused on reading.
		without := rapid.SampledFrom([]dagtest.Feature{dagtest.Fixed, dagtest.Pool}).Draw(t, "without")
		n := dagtest.Random(t, dagtest.Options{Features: dagtest.All &^ without, Type: typ})
		var b bytes.Buffer
		if err := onnxio.WriteNetwork(&b, n); err != nil {
			t.Fatalf("%v\n%v", err, n)
		}
		m, err := onnxio.Decode(b.Bytes(), onnxio.Options{})
		if err != nil {
			t.Fatalf("%v\n%v", err, n)
		}
		in := dagtest.Input(n, 3, 1)
		want, err := eval.Run(t.Context(), n, in, 3, evalOptions)
		if err != nil {
			t.Fatal(err)
		}
		got, err := eval.Run(t.Context(), m.Net, in, 3, evalOptions)
		if err != nil {
			t.Fatal(err)
		}
		// Constants that are stored nowhere are rounded to the stored type once, and
		// the epsilon of a normalisation to float32: 2^-25 of 1e-3 beside variances
		// of about 1.
		tol := max(256*typ.Epsilon(), 1e-9)
		for k := range want {
			if d := difference(t, n.Outputs[k].Name, got[k], want[k]); !(d <= tol) {
				t.Fatalf("output %d differs by %.3g, want %g\n%v\n%v", k, d, tol, n, m.Net)
			}
		}
	})
}

// TestWriteNetworkHead checks that a function in the head is refused by name.
func TestWriteNetworkHead(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	b.Output("y", b.Node(dag.Node{
		Name: "squash", Source: "Sigmoid", In: []int{x}, Shape: []int{2},
		Op: &dag.Func{Apply: func(dst []float64, in ...[]float64) {}},
	}))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	err = onnxio.WriteNetwork(&bytes.Buffer{}, n)
	if err == nil || !strings.Contains(err.Error(), `"squash" (Sigmoid) cannot be written`) {
		t.Errorf("got %v", err)
	}
}
