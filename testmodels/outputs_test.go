package testmodels_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

// open reads a model from a copy on disk, where its external data lies too.
func open(t *testing.T, name string) *onnxio.Model {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, testmodels.Files()); err != nil {
		t.Fatal(err)
	}
	m, err := onnxio.Read(filepath.Join(dir, name+".onnx"), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// tolerance is how far ONNX Runtime's numbers may lie from ours, relative to
// the largest number of an output: a few roundings of each layer's sums in the
// type of the weights, in which ONNX Runtime computes and we do not.
func tolerance(n *dag.Network) float64 {
	eps := 0.0
	for _, p := range n.Params() {
		eps = max(eps, p.Type.Epsilon())
	}
	return 64 * eps
}

// TestOutputs compares the evaluation of every model with what ONNX Runtime
// computed, at the outputs and at the end of the measured part.
func TestOutputs(t *testing.T) {
	for _, name := range testmodels.Names() {
		t.Run(name, func(t *testing.T) {
			m, want := open(t, name), testmodels.ExpectedOf(name)
			ends := m.Net.Boundary()
			if len(ends) != 1 || m.Net.Nodes[ends[0]].Len() != want.Measured.Elements {
				t.Fatalf("the measured part ends at nodes %v, want one of %d elements", ends, want.Measured.Elements)
			}
			if len(m.Net.Outputs) == 0 {
				t.Fatal("no output is computed")
			}
			values := ends
			for _, p := range m.Net.Outputs {
				values = append(values, p.Node)
			}
			var x []float64
			for _, s := range want.Samples {
				x = append(x, s.Input...)
			}
			got, err := eval.Run(context.Background(), m.Net, [][]float64{x}, len(want.Samples), eval.Options{Values: values})
			if err != nil {
				t.Fatal(err)
			}
			tol := tolerance(m.Net)
			for i, s := range want.Samples {
				near(t, "measured output", s.Measured, row(got[0], i, len(want.Samples)), tol)
				for k, p := range m.Net.Outputs {
					near(t, p.Name, s.Outputs[p.Name], row(got[k+1], i, len(want.Samples)), tol)
				}
			}
		})
	}
}

// TestHeader checks what the file says of itself.
func TestHeader(t *testing.T) {
	for _, name := range testmodels.Names() {
		t.Run(name, func(t *testing.T) {
			type header struct {
				Producer         string
				IRVersion, Opset int64
				Input            string
			}
			m, want := open(t, name), testmodels.ExpectedOf(name)
			got := header{m.Producer, m.IRVersion, m.Opset, m.Inputs[0].Name}
			if diff := cmp.Diff(header{want.Producer, want.IRVersion, want.Opset, want.Input.Name}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func row(batch []float64, i, rows int) []float64 {
	n := len(batch) / rows
	return batch[i*n : (i+1)*n]
}

func near(t *testing.T, what string, want, got []float64, tol float64) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	largest, worst := 0.0, 0.0
	for i := range want {
		largest = max(largest, math.Abs(want[i]))
		worst = max(worst, math.Abs(want[i]-got[i]))
	}
	if !(worst <= tol*largest) {
		t.Errorf("%s: off by %g of %g, allowed %g:\nwant %v\ngot  %v", what, worst, largest, tol*largest, want, got)
	}
}
