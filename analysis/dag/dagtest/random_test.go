package dagtest_test

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// The evaluator on layers equals the naive one on edges, at every node. Both
// round each of some hundred terms of unit size to 53 bits.
func TestEvalAgainstEdges(t *testing.T) {
	for _, engine := range []*blas.Engine{blas.Gonum(), blas.Find()} {
		rapid.Check(t, func(t *rapid.T) {
			n := dagtest.Random(t, dagtest.Options{Features: dagtest.All, Type: dag.Float64, Zeros: 0.1})
			batch := rapid.IntRange(1, 3).Draw(t, "batch")
			in := dagtest.Input(n, batch, 7)
			all := make([]int, len(n.Nodes))
			for i := range all {
				all[i] = i
			}
			got, err := n.Eval(context.Background(), in, batch, dag.EvalOptions{BLAS: engine, Threads: 2, Values: all})
			if err != nil {
				t.Fatal(err)
			}
			for b := range batch {
				one := make([][]float64, len(in))
				for k, x := range in {
					m := len(x) / batch
					one[k] = x[b*m:][:m]
				}
				want := dagtest.Eval(n, one)
				for i := range want {
					scale := 1.0
					for _, w := range want[i] {
						scale = max(scale, math.Abs(w))
					}
					for e, w := range want[i] {
						if g := got[i][b*len(want[i])+e]; !(math.Abs(g-w) <= 1e-12*scale) {
							t.Fatalf("sample %d, node %d element %d: %v, want %v\n%s", b, i, e, g, w, n)
						}
					}
				}
			}
		})
	}
}
