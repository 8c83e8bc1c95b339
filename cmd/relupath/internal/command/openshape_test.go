package command

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readNumbers reads a NumPy file.
func readNumbers(t *testing.T, path string) *array {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, err := readNPY(path, raw)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestRunTakesShapes: a model whose extents are open, or that merges the batch with its
// targets, is run with the shapes of the arrays, and gives ONNX Runtime's outputs
// (testdata/shapes.py).
func TestRunTakesShapes(t *testing.T) {
	for _, name := range []string{"targets", "attention"} {
		base := filepath.Join("testdata", "shapes", name)
		out := filepath.Join(t.TempDir(), "y.npy")
		parsed[runJSON](t, "run", base+".onnx", "--input", base+"_x.npy", "-o", out)
		got, want := readNumbers(t, out), readNumbers(t, base+"_y.npy")
		if !slices.Equal(got.shape, want.shape) {
			t.Errorf("%s: shape %v, want %v", name, got.shape, want.shape)
			continue
		}
		for i, w := range want.data {
			if math.Abs(got.data[i]-w) > 1e-5*(1+math.Abs(w)) { // ONNX Runtime computes in float32
				t.Errorf("%s: element %d is %v, want %v", name, i, got.data[i], w)
			}
		}
		// From standard input too, which is there once.
		raw, err := os.ReadFile(base + "_x.npy")
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		if code := Run([]string{"run", base + ".onnx", "--input", "-", "-o", out, "--force"}, bytes.NewReader(raw), &bytes.Buffer{}, &errs); code != 0 {
			t.Errorf("%s from standard input: %s", name, &errs)
		}
	}
}

// TestAuditOfTargets: what merges the samples of a batch behind the last weights takes
// nothing from the measures, which are those of the model for one sample.
func TestAuditOfTargets(t *testing.T) {
	path := filepath.Join("testdata", "shapes", "targets.onnx")
	open, _ := parsed[auditJSON](t, "audit", path)
	one, _ := parsed[auditJSON](t, "audit", path, "--input-shape", "X=1x4")
	if open.Models[0].Paths == "" || open.Models[0].Paths != one.Models[0].Paths {
		t.Errorf("%q paths, %q with the shape given", open.Models[0].Paths, one.Models[0].Paths)
	}
	same(t, open.Models[0].Measures, one.Models[0].Measures)
}

// same checks that each measure of b, but those of single outputs, is in a with the same
// value.
func same(t *testing.T, a, b []measured) {
	t.Helper()
	for i := range a {
		x, y := a[i].Value.Value, b[i].Value.Value
		switch {
		case y == nil || a[i].Output != "":
		case x == nil:
			t.Errorf("%s is undefined: %s", a[i].label(), a[i].Reason)
		case *x != *y:
			t.Errorf("%s is %v, %v with the shape given", a[i].label(), *x, *y)
		}
	}
}

// TestAuditOfOpenShapes: where the file leaves extents open that paths depend on, norms of
// layers are those of the model with any shape, path norms are left out, and one sentence
// says which option gives them.
func TestAuditOfOpenShapes(t *testing.T) {
	path := filepath.Join("testdata", "shapes", "attention.onnx")
	open, _ := parsed[auditJSON](t, "audit", path, "--measures", "all")
	given, _ := parsed[auditJSON](t, "audit", path, "--measures", "all", "--input-shape", "x=2x9x4")
	a, b := open.Models[0], given.Models[0]
	if len(a.Layers) != 4 || len(b.Layers) != 4 {
		t.Fatalf("%d layers, %d with the shape given, want 4", len(a.Layers), len(b.Layers))
	}
	for i := range a.Layers {
		same(t, a.Layers[i].Measures, b.Layers[i].Measures)
	}
	for _, m := range a.Measures {
		if strings.HasPrefix(m.Name, "path") && m.Value.Value != nil {
			t.Errorf("%s is %v", m.label(), *m.Value.Value)
		}
		if m.Name == "frobenius" && m.Value.Value == nil {
			t.Error("no Frobenius norm")
		}
	}
	if a.Paths != "" || a.Segments != nil {
		t.Errorf("%q paths, %d segments", a.Paths, len(a.Segments))
	}
	if w := strings.Join(a.Warnings, "\n"); !strings.Contains(w, "--input-shape x=1x") {
		t.Errorf("the warnings are %s", w)
	}
	var out bytes.Buffer
	if code := Run([]string{"audit", path}, nil, &out, &bytes.Buffer{}); code != 0 || !strings.Contains(out.String(), "not measured") {
		t.Errorf("exit code %d:\n%s", code, &out)
	}
	// The model itself from standard input, which is read more than once.
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code := Run([]string{"audit", "-"}, bytes.NewReader(raw), &bytes.Buffer{}, &out); code != 0 {
		t.Errorf("from standard input: %s", &out)
	}
}
