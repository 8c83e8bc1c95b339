package command

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
)

// TestOneSampleServesAll: as ONNX Runtime broadcasts an input whose first axis is 1, one
// sample of an input serves all samples of the others.
func TestOneSampleServesAll(t *testing.T) {
	var b dag.Builder
	sum := b.Sum("sum", b.Input("x", 2), b.Input("mask", 2))
	b.Output("y", sum)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, samples int, values ...float64) string {
		var npy bytes.Buffer
		if err := writeNPY(&npy, &array{shape: []int{samples, 2}, data: values}, "f8"); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name+".npy")
		if err := os.WriteFile(path, npy.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	x, one := "x="+file("x", 3, 1, 2, 3, 4, 5, 6), "mask="+file("one", 1, 10, 20)
	for _, specs := range [][]string{{x, one}, {one, x}} {
		values, batch, err := (&app{}).readInputs(t.Context(), n, specs)
		if err != nil {
			t.Fatal(err)
		}
		if batch != 3 || !slices.Equal(values[0], []float64{1, 2, 3, 4, 5, 6}) || !slices.Equal(values[1], []float64{10, 20, 10, 20, 10, 20}) {
			t.Errorf("%v: %d samples %v", specs, batch, values)
		}
	}
	two := "mask=" + file("two", 2, 1, 2, 3, 4)
	if _, _, err := (&app{}).readInputs(t.Context(), n, []string{x, two}); err == nil || !strings.Contains(err.Error(), "a batch of 2 samples, another input has 3") {
		t.Error(err)
	}
}
