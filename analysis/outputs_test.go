package analysis_test

import (
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// TestManyOutputs: what has a number for each output takes memory for as many as somebody
// may look at.
func TestManyOutputs(t *testing.T) {
	for n, listed := range map[int]int{1 << 16: 1 << 16, 1<<16 + 1: 0} {
		var b dag.Builder
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(i % 7)
		}
		d := &dag.Dense{W: dag.Use{Param: dag.NewParam32("w", dag.Float32, []int{n, 1}, w)}, Rows: n, Cols: 1}
		b.Output("y", b.Node(dag.Node{Source: "Gemm", In: []int{b.Input("x", 1)}, Shape: []int{n}, Op: &dag.Linear{Map: d}}))
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		r, err := analysis.Measures(t.Context(), net, analysis.Options{P: []float64{1}})
		if err != nil {
			t.Fatal(err)
		}
		single := 0
		for _, m := range r.Measures {
			switch {
			case m.Name == "path_norm_output" && m.Defined:
				single++
			case m.Name == "path_norm_output" && !strings.Contains(m.Reason, "65537 outputs are more than 65536"):
				t.Errorf("reason %q", m.Reason)
			case m.Name == "path_norm_max_output" && m.Value.Float64() != 6:
				t.Errorf("the largest of %d outputs has %v", n, m.Value)
			}
		}
		if single != listed {
			t.Errorf("of %d outputs %d are listed, want %d", n, single, listed)
		}
	}
}
