package command

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/cmd/relupath/internal/proof"
	"github.com/relupath/relupath/onnxio"
)

// TestRemoveDead: from networks as exporters write them the dead units go that testdata/dead.py
// made, tied ones together, and the function stays; what stays is named. ONNX Runtime judges too, where
// RELUPATH_PYTHON names a Python with it.
func TestRemoveDead(t *testing.T) {
	const (
		padding = "a convolution with padding reads their constant: at its ends it counts for less"
		grouped = "a convolution in groups reads or makes them, and each group has as many"
		last    = "a layer would have no units"
	)
	dir := t.TempDir()
	for name, c := range map[string]struct {
		units int
		kept  map[string]int
	}{
		"dense": {5, nil}, "old": {5, nil}, "norm": {2, nil}, "residual": {3, nil}, "residual_constant": {2, nil}, "residual_half": {0, nil},
		"concat": {4, nil}, "padding": {1, map[string]int{padding: 1}}, "depthwise": {3, nil}, "view": {1, nil},
		"residual_convolutions": {3, nil}, "groups": {0, map[string]int{grouped: 1}}, "all": {4, map[string]int{last: 1}},
	} {
		in, out := filepath.Join("testdata", "dead", name+".onnx"), filepath.Join(dir, name+".onnx")
		r, _ := parsed[pruneJSON](t, "prune", in, "--remove-dead", "-o", out)
		kept := c.kept
		if kept == nil {
			kept = map[string]int{}
		}
		if diff := cmp.Diff(kept, r.Removed.Kept); r.Removed.Units != c.units || diff != "" {
			t.Errorf("%s: %d units go, want %d; kept (-want +got):\n%s", name, r.Removed.Units, c.units, diff)
		}
		if smaller := r.Removed.Parameters[1] < r.Removed.Parameters[0] && r.Removed.Bytes[1] < r.Removed.Bytes[0]; smaller != (c.units > 0) {
			t.Errorf("%s: %+v", name, r.Removed)
		}
		sameFunction(t, name, in, out)
	}
	python := os.Getenv("RELUPATH_PYTHON")
	if python == "" {
		return
	}
	said, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "dead.py"), filepath.Join("testdata", "dead"), dir).CombinedOutput()
	if err != nil {
		t.Errorf("ONNX Runtime: %v\n%s", err, said)
	}
}

// sameFunction compares two files, independently of what prune found.
func sameFunction(t *testing.T, name, a, b string) {
	t.Helper()
	var nets []*dag.Network
	for _, path := range []string{a, b} {
		m, err := onnxio.Read(path, onnxio.Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer m.Close()
		nets = append(nets, m.Net)
	}
	v, err := proof.Compare(context.Background(), nets[0], nets[1], proof.Options{Samples: 16, Seed: 7, Tolerance: math.Inf(1)})
	// Biases that took a constant are rounded to float32.
	if err != nil || !(v.MaxRel <= 1e-6) {
		t.Errorf("%s: %v; outputs differ by %v", name, err, v)
	}
}

// TestRemoveDeadOfRandomNetworks: of random structures with many zeros what goes leaves the
// function as it is, and no file turns out unreadable or another function after it was written.
func TestRemoveDeadOfRandomNetworks(t *testing.T) {
	dir := t.TempDir()
	units, biased := 0, 0
	for seed := range uint64(80) {
		features := dagtest.Feature(dagtest.All)
		if seed%2 == 1 {
			features = dagtest.Bias | dagtest.Skip | dagtest.Concat | dagtest.Slope | dagtest.Conv
		}
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features, Zeros: 0.7, Width: 6})
		in, out := filepath.Join(dir, "in.onnx"), filepath.Join(dir, "out.onnx")
		var b bytes.Buffer
		if err := onnxio.WriteNetwork(&b, n); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(in, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		r, _ := parsed[pruneJSON](t, "prune", in, "--remove-dead", "--force", "-o", out)
		units += r.Removed.Units
		if *r.Removed.MaxRel > 0 {
			biased++
		}
		for why := range r.Removed.Kept {
			if strings.HasPrefix(why, "the file without them") {
				t.Errorf("seed %d: %s\n%s", seed, why, n)
			}
		}
		sameFunction(t, fmt.Sprintf("seed %d", seed), in, out)
	}
	if units < 100 || biased < 2 {
		t.Errorf("%d units went, %d networks with a constant", units, biased)
	}
}
