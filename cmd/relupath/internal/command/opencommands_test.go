package command

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// opened is a file of testdata/open (testdata/open.py).
func opened(name string) string { return filepath.Join("testdata", "open", name) }

// TestFilesNameNoFolders: an exporter writes where its own code lay, which is of one machine.
func TestFilesNameNoFolders(t *testing.T) {
	files, err := filepath.Glob(opened("*.onnx"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, []byte(`File "/`)) {
			t.Errorf("%s names folders of the machine that made it", file)
		}
	}
}

// TestDataGiveShapes: where the file leaves the size of images open, the examples have it.
// The loss is that of ONNX Runtime's outputs.
func TestDataGiveShapes(t *testing.T) {
	raw, err := os.ReadFile(opened("images.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct{ Loss float64 }
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	data := "npz:" + opened("images.npz")
	for _, name := range []string{"image.onnx", "image_dynamo.onnx"} {
		got, _ := parsed[evalJSON](t, "eval", opened(name), "--data", data)
		if got.Loss == nil || math.Abs(*got.Loss-want.Loss) > 1e-6 { // ONNX Runtime computes in float32
			t.Errorf("%s: loss %v, want %v", name, short(got.Loss), want.Loss)
		}
		if w := strings.Join(got.Warnings, "\n"); !strings.Contains(w, "x=1x1x10x11") {
			t.Errorf("%s: warnings %q", name, w)
		}
		trained, _ := parsed[finetuneJSON](t, "finetune", opened(name), "--data", data, "--test", data, "--epochs", "1", "-o", filepath.Join(t.TempDir(), "y.onnx"))
		if b := trained.Before; b.TestLoss == nil || math.Abs(*b.TestLoss-want.Loss) > 1e-6 {
			t.Errorf("%s: finetune begins at %+v, want %v", name, b, want.Loss)
		}
		measured, _ := parsed[auditJSON](t, "audit", opened(name), "--data", data)
		given, _ := parsed[auditJSON](t, "audit", opened(name), "--data", data, "--input-shape", "x=1x1x10x11")
		same(t, measured.Models[0].Measures, given.Models[0].Measures)
	}
	refused(t, codeInvalid, []string{"give the shape"}, "eval", opened("positions.onnx"), "--data", "npz:"+opened("images.npz"))
}

// TestBalanceOfOpenShapes: factors are found for one shape, and the outputs are compared for
// another too. Of a table that the shape cuts, the shape is one that reads all of it, and units that
// read a part in any case keep 1. Where the shape is given the report says that the result is for this one.
func TestBalanceOfOpenShapes(t *testing.T) {
	for _, method := range []string{"enorm", "cle", "path", "pathcond"} {
		out := filepath.Join(t.TempDir(), "b.onnx")
		r, _ := parsed[balanceJSON](t, "balance", opened("image.onnx"), "--method", method, "-o", out)
		if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, "x=1x1x28x28") {
			t.Errorf("%s: warnings %q", method, w)
		}
		// The same function of images of a third size.
		for _, other := range []string{"image.onnx", "image_dynamo.onnx"} {
			e, _ := parsed[equivalentJSON](t, "equivalent", opened(other), out, "--input-shape", "x=1x1x9x10")
			if e.Equivalent == nil || !*e.Equivalent || *e.Factors.Min == *e.Factors.Max {
				t.Errorf("%s and what %s makes: %+v", other, method, e)
			}
		}
	}
	out := filepath.Join(t.TempDir(), "b.onnx")
	for _, c := range []struct{ name, shape string }{{"positions.onnx", "x=2x64x4"}, {"positions_offset.onnx", "x=1x28x4"}} {
		r, _ := parsed[balanceJSON](t, "balance", opened(c.name), "-o", out, "--force")
		if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, c.shape) {
			t.Errorf("%s: warnings %q", c.name, w)
		}
		for _, length := range []string{"1", "9", "62"} {
			e, _ := parsed[equivalentJSON](t, "equivalent", opened(c.name), out, "--input-shape", "x=1x"+length+"x4")
			if e.Equivalent == nil || !*e.Equivalent || *e.Factors.Min == *e.Factors.Max {
				t.Errorf("%s of length %s: %+v", c.name, length, e)
			}
		}
	}
	r, _ := parsed[balanceJSON](t, "balance", opened("positions.onnx"), "-o", out, "--force", "--input-shape", "x=1x9x4")
	if w := strings.Join(r.Warnings, "\n"); !strings.Contains(w, "another shape") {
		t.Errorf("warnings %q", w)
	}
	p, _ := parsed[pruneJSON](t, "prune", opened("image.onnx"), "--sparsity", "0.5", "-o", out, "--force")
	if w := strings.Join(p.Warnings, "\n"); !strings.Contains(w, "x=1x1x28x28") {
		t.Errorf("prune: warnings %q", w)
	}
}

// TestNumbersMadeOfShapes: the places of a grid and its steps, which a detector makes of the image's
// size, are no parameters, and no factor goes into them. With images of 28 and of 32 pixels they are the same.
func TestNumbersMadeOfShapes(t *testing.T) {
	const convolutions = 60 + 330 + 440 + 36 + 18
	open, _ := parsed[auditJSON](t, "audit", opened("boxes.onnx"), "--measures", "parameter_count,frobenius,group_norm(2,inf)")
	given, _ := parsed[auditJSON](t, "audit", opened("boxes.onnx"), "--measures", "parameter_count,frobenius,group_norm(2,inf)", "--input-shape", "x=1x1x160x40")
	if n := open.Models[0].Parameters; n != convolutions {
		t.Errorf("%d parameters, want %d", n, convolutions)
	}
	same(t, open.Models[0].Measures, given.Models[0].Measures)
	out := filepath.Join(t.TempDir(), "b.onnx")
	for _, method := range []string{"enorm", "cle", "path", "pathcond"} {
		r, _ := parsed[balanceJSON](t, "balance", opened("boxes.onnx"), "--method", method, "-o", out, "--force")
		if *r.Factors.Min == *r.Factors.Max {
			t.Errorf("%s: factors %+v", method, r.Factors)
		}
		for _, size := range []string{"32x32", "20x48"} {
			e, _ := parsed[equivalentJSON](t, "equivalent", opened("boxes.onnx"), out, "--input-shape", "x=1x1x"+size)
			if e.Equivalent == nil || !*e.Equivalent || *e.Factors.Min == *e.Factors.Max {
				t.Errorf("what %s makes, of %s: %+v", method, size, e)
			}
		}
	}
}

// TestMatricesMadeOfShapes: a matrix that the graph makes of the length alone, a causal mean, is no layer, and takes
// no factor; a learned number that is spread over the length counts once, as the scale of each unit. So
// norms are the same for every length, and for a file of one.
func TestMatricesMadeOfShapes(t *testing.T) {
	const parameters = 4*8 + 8 + 8*8 + 8 + 8*3 + 3 + 1
	const measures = "parameter_count,frobenius,spectral,group_norm(2,inf)"
	first, _ := parsed[auditJSON](t, "audit", opened("causal.onnx"), "--measures", measures)
	for _, c := range []struct{ name, given, other string }{
		{"causal.onnx", "x=1x19x4", "x=2x13x4"}, {"causal_dynamo.onnx", "x=1x19x4", "x=2x13x4"}, {"causal_fixed.onnx", "x=1x7x4", "x=2x7x4"},
	} {
		for _, shape := range [][]string{nil, {"--input-shape", c.given}} {
			r, _ := parsed[auditJSON](t, append([]string{"audit", opened(c.name), "--measures", measures}, shape...)...)
			m := r.Models[0]
			var units []int
			for _, l := range m.Layers {
				units = append(units, l.Outputs)
			}
			if m.Parameters != parameters || !slices.Equal(units, []int{8, 8, 8, 3}) {
				t.Errorf("%s %v: %d parameters in layers of %v units, want %d", c.name, shape, m.Parameters, units, parameters)
			}
			same(t, m.Measures, first.Models[0].Measures)
		}
		out := filepath.Join(t.TempDir(), "b.onnx")
		for _, method := range []string{"enorm", "cle", "path", "pathcond"} {
			r, _ := parsed[balanceJSON](t, "balance", opened(c.name), "--method", method, "-o", out, "--force")
			if *r.Factors.Min == *r.Factors.Max {
				t.Errorf("%s, %s: factors %+v", c.name, method, r.Factors)
			}
			e, _ := parsed[equivalentJSON](t, "equivalent", opened(c.name), out, "--input-shape", c.other)
			if e.Equivalent == nil || !*e.Equivalent {
				t.Errorf("what %s makes of %s: %+v", method, c.name, e)
			}
		}
	}
	r, _ := parsed[pruneJSON](t, "prune", opened("causal_fixed.onnx"), "--sparsity", "0.5", "-o", filepath.Join(t.TempDir(), "p.onnx"))
	if n := len(r.Layers); n != 3 {
		t.Errorf("%d layers to prune, want 3", n)
	}
}

// TestParametersOfCutTables: the parameters of a file whose table of positions is cut to an open
// length are all of the table's, and so are the norms that it is in; where other rows than the first are
// read, and a table of kinds once a position, the parameters.
func TestParametersOfCutTables(t *testing.T) {
	for _, c := range []struct {
		name  string
		want  int
		norms bool
	}{
		{"positions.onnx", 64*8 + 4*8 + 8 + 8*8 + 8 + 8*3 + 3, true},
		{"positions_offset.onnx", 64*8 + 4*8 + 8 + 8*8 + 8 + 8*3 + 3, false},
		{"kinds.onnx", 64*8 + 2*8 + 4*8 + 8 + 8*3 + 3, false},
		{"decoder.onnx", 64*8 + 4*8 + 8 + 8*3 + 3, false}, // its mask is none
	} {
		r, _ := parsed[auditJSON](t, "audit", opened(c.name), "--measures", "parameter_count,group_norm(1,1)")
		got := r.Models[0]
		for _, m := range got.Measures {
			switch {
			case m.Name == "parameter_count" && (m.Value.Value == nil || int(*m.Value.Value) != c.want || got.Parameters != c.want):
				t.Errorf("%s: %v and %d parameters, want %d", c.name, short(m.Value.Value), got.Parameters, c.want)
			case m.Name == "group_norm" && (m.Value.Value != nil) != c.norms:
				t.Errorf("%s: %s is %v", c.name, m.label(), short(m.Value.Value))
			}
		}
	}
	given, _ := parsed[auditJSON](t, "audit", opened("kinds.onnx"), "--input-shape", "x=1x9x4")
	if n := given.Models[0].Parameters; n != 9*8+2*8+4*8+8+8*3+3 { // of the positions nine rows, of the kinds no more than there are
		t.Errorf("%d parameters of nine places", n)
	}
}

// TestRoundingInAnotherShape: what a larger image makes of the rounding of new weights is no other function.
func TestRoundingInAnotherShape(t *testing.T) {
	out := filepath.Join(t.TempDir(), "b.onnx")
	args := []string{"balance", opened("wave.onnx"), "--method", "cle", "-o", out}
	refused(t, codeInvalid, []string{"x=2x1x224x224", "--input-shape"}, append(args, "--tolerance", "1e-5")...)
	if r, _ := parsed[balanceJSON](t, args...); r.Output != out {
		t.Errorf("wrote %q", r.Output)
	}
}

// TestEquivalentOfOpenShapes: models of open shapes are compared with several, one of which
// reads all of a table that is cut to the shape; beside a model of one shape with that one.
func TestEquivalentOfOpenShapes(t *testing.T) {
	for _, pair := range [][2]string{
		{"image.onnx", "image_dynamo.onnx"}, {"image.onnx", "image_fixed.onnx"}, {"image_fixed.onnx", "image_dynamo.onnx"}, {"positions.onnx", "positions.onnx"},
	} {
		e, _ := parsed[equivalentJSON](t, "equivalent", opened(pair[0]), opened(pair[1]))
		if e.Equivalent == nil || !*e.Equivalent {
			t.Errorf("%v: %+v", pair, e)
		}
	}
	// The tables differ in line 60 of 64 alone.
	refused(t, codeFailed, nil, "equivalent", opened("positions.onnx"), opened("positions_other.onnx"))
	refused(t, codeUsage, []string{`no input "z"`}, "equivalent", opened("image.onnx"), opened("image.onnx"), "--input-shape", "z=1x1x9x9")
	refused(t, codeUsage, []string{`no input "z"`}, "diff", opened("image.onnx"), opened("image.onnx"), "--input-shape", "z=1x1x9x9")
}

// TestReferenceOfOpenShapes: distances do not depend on the shape.
func TestReferenceOfOpenShapes(t *testing.T) {
	r, _ := parsed[auditJSON](t, "audit", opened("image.onnx"), "--reference", opened("image_fixed.onnx"), "--measures", "distance_frobenius")
	for _, m := range r.Models[0].Measures {
		if v := m.Value.Value; v == nil || *v > 1e-7 { // float32 of a folded scale
			t.Errorf("%s is %v", m.label(), m.Value)
		}
	}
}

// TestPruneOfOpenShapes: what the graph makes of weights otherwise for another shape is not pruned, and
// what is written is a model of every shape.
func TestPruneOfOpenShapes(t *testing.T) {
	for _, name := range []string{"relative.onnx", "positions.onnx", "boxes.onnx"} {
		out := filepath.Join(t.TempDir(), "p.onnx")
		r, _ := parsed[pruneJSON](t, "prune", opened(name), "--sparsity", "0.5", "-o", out)
		if w := strings.Join(r.Warnings, "\n"); strings.Contains(w, "another shape") {
			t.Errorf("%s: warnings %q", name, w)
		}
	}
}
