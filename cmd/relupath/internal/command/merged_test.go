package command

import (
	"bytes"
	"math"
	"path/filepath"
	"slices"
	"testing"
)

// TestMergedBatch: models that make one stack of all samples and heads, or of all samples
// and windows, are read sample by sample, whether the file fixes the batch or leaves it
// open, and give ONNX Runtime's outputs (testdata/merged.py), balanced too. The masks of
// minus infinity belong to the attentions and spoil nothing.
func TestMergedBatch(t *testing.T) {
	for _, name := range []string{"encoder_fixed", "encoder_open", "swin_open", "windows_open", "lines_open"} {
		base, dir := filepath.Join("testdata", "merged", name), t.TempDir()
		balanced := filepath.Join(dir, "b.onnx")
		var errs bytes.Buffer
		if code := Run([]string{"balance", base + ".onnx", "-o", balanced}, nil, &bytes.Buffer{}, &errs); code != 0 {
			t.Errorf("%s: %s", name, &errs)
			continue
		}
		want := readNumbers(t, base+"_y.npy")
		for _, model := range []string{base + ".onnx", balanced} {
			out := filepath.Join(dir, "y.npy")
			parsed[runJSON](t, "run", model, "--input", base+"_x.npy", "-o", out, "--force")
			got := readNumbers(t, out)
			if !slices.Equal(got.shape, want.shape) {
				t.Errorf("%s: shape %v, want %v", model, got.shape, want.shape)
				continue
			}
			for i, w := range want.data {
				if math.Abs(got.data[i]-w) > 1e-5*(1+math.Abs(w)) { // ONNX Runtime computes in float32
					t.Errorf("%s: element %d is %v, want %v", model, i, got.data[i], w)
				}
			}
		}
	}
	fixed, w1 := parsed[auditJSON](t, "audit", filepath.Join("testdata", "merged", "encoder_fixed.onnx"))
	open, w2 := parsed[auditJSON](t, "audit", filepath.Join("testdata", "merged", "encoder_open.onnx"))
	one, w3 := parsed[auditJSON](t, "audit", filepath.Join("testdata", "merged", "encoder_open.onnx"), "--input-shape", "x=1x5x8")
	_, w4 := parsed[auditJSON](t, "audit", filepath.Join("testdata", "merged", "windows_open.onnx"))
	_, w5 := parsed[auditJSON](t, "audit", filepath.Join("testdata", "merged", "lines_open.onnx"))
	if w1+w2+w3+w4+w5 != "" {
		t.Errorf("warnings %s %s %s %s %s", w1, w2, w3, w4, w5)
	}
	for _, other := range []auditJSON{fixed, open} {
		a, b := one.Models[0], other.Models[0]
		same(t, a.Measures, b.Measures)
		if len(a.Segments) != len(b.Segments) || len(a.Segments) < 4 {
			t.Fatalf("%d and %d segments", len(a.Segments), len(b.Segments))
		}
		for i := range a.Segments {
			same(t, a.Segments[i].Measures, b.Segments[i].Measures)
		}
	}
}

// TestTally: what is left out of the measures is named once.
func TestTally(t *testing.T) {
	if got := tally([]string{"Shape", "Softmax", "Shape", "Shape"}); got != "Shape (3), Softmax" {
		t.Error(got)
	}
}
