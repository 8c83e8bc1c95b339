package dagtest_test

import (
	"context"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
)

// evaluated lists the nodes that the evaluator gives element by element: all but
// places in tables, layers inside functions and what such read.
func evaluated(n *dag.Network) []int {
	var out []int
	for i := range n.Nodes {
		if _, unseen := n.Unevaluated([]int{i}); unseen {
			continue
		}
		if f, ok := n.Nodes[i].Op.(*dag.Func); !ok || f.Kind != dag.OneHot {
			out = append(out, i)
		}
	}
	return out
}

// same compares bits: what values are kept decides about no rounding.
func same(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return math.Float64bits(x) == math.Float64bits(y) })
}

// The evaluator on layers equals the naive one on edges, at every node. Both
// round each of some hundred terms of unit size to 53 bits.
func TestEvalAgainstEdges(t *testing.T) {
	for _, engine := range []*blas.Engine{blas.Gonum(), blas.Find()} {
		rapid.Check(t, func(t *rapid.T) {
			n := dagtest.Random(t, dagtest.Options{Features: dagtest.Partly, Type: dag.Float64, Zeros: 0.1})
			batch := rapid.IntRange(1, 3).Draw(t, "batch")
			in := dagtest.Input(n, batch, 7)
			all := evaluated(n)
			got, err := eval.Run(context.Background(), n, in, batch, eval.Options{BLAS: engine, Threads: 2, Values: all})
			if err != nil {
				t.Fatal(err)
			}
			// What is computed in place, since nothing else wants the values between.
			var ends []int
			for _, p := range n.Outputs {
				ends = append(ends, p.Node)
			}
			if _, unseen := n.Unevaluated(ends); !unseen {
				outs, err := eval.Run(context.Background(), n, in, batch, eval.Options{BLAS: engine, Threads: 2})
				if err != nil {
					t.Fatal(err)
				}
				for k, i := range ends {
					if at := slices.Index(all, i); at >= 0 && !same(outs[k], got[at]) {
						t.Fatalf("node %d alone: %v, beside the others %v\n%s", i, outs[k], got[at], n)
					}
				}
			}
			for b := range batch {
				one := make([][]float64, len(in))
				for k, x := range in {
					m := len(x) / batch
					one[k] = x[b*m:][:m]
				}
				want := dagtest.Eval(n, one)
				for k, i := range all {
					scale := 1.0
					for _, w := range want[i] {
						scale = max(scale, math.Abs(w))
					}
					for e, w := range want[i] {
						if g := got[k][b*len(want[i])+e]; !(math.Abs(g-w) <= 1e-12*scale) {
							t.Fatalf("sample %d, node %d element %d: %v, want %v\n%s", b, i, e, g, w, n)
						}
					}
				}
			}
		})
	}
}
