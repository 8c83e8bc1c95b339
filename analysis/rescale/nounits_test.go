package rescale_test

import (
	"context"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

// A layer without units has nothing to balance.
func TestLayersWithoutUnits(t *testing.T) {
	var b dag.Builder
	dense := func(name string, in, rows, cols int) int {
		w := dag.Use{Param: dag.NewParam64(name, []int{rows, cols}, make([]float64, rows*cols))}
		return b.Node(dag.Node{Name: name, Source: "MatMul", In: []int{in}, Shape: []int{5, rows}, Op: &dag.Linear{
			Map: &dag.Dense{W: w, Rows: rows, Cols: cols, Outer: 5, Inner: 1},
		}})
	}
	h := b.Activation("relu", dense("fc", b.Input("x", 5, 3), 0, 3), 0)
	b.Output("y", dense("out", h, 2, 0))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned, rescale.Unbalance} {
		if _, err := rescale.Run(context.Background(), m, n, rescale.Options{}); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	if _, err := analysis.Measures(context.Background(), n, analysis.Options{Names: []string{"kappa_spread"}}); err != nil {
		t.Error(err)
	}
}
