package rescale

import (
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/paths"
)

// A layer's shares, kept as factors of their matrix, have its products.
func TestSharesInFactors(t *testing.T) {
	met := 0
	for seed := range uint64(400) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly})
		g := n.Groups()
		v, err := newView(n, g, 2, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		v.kappa = paths.NewKappa(n, 2, paths.Options{Carries: g.Carries})
		for _, y := range v.layers {
			if _, ok := y.l.Map.(*dag.Dense); !ok || y.parts == nil {
				continue
			}
			b := v.newLinks(y, -2)
			v.squares(y, b)
			k := v.newShares(y, b, -2)
			if k.a != nil {
				continue
			}
			met++
			x, z := make([]float64, len(k.col)), make([]float64, len(k.row))
			for j := range x {
				x[j] = 1 / float64(j+1)
			}
			for i := range z {
				z[i] = float64(i + 1)
			}
			got := [2][]float64{make([]float64, len(z)), make([]float64, len(x))}
			k.products(x, z, got[0], got[1])
			all := &shares{row: k.row, col: k.col, a: make([]float64, len(z)*len(x))}
			v.countEdges(y, b, &problem{s: -2, lin: make([]float64, len(v.active))}, nil, nil, all)
			want := [2][]float64{make([]float64, len(z)), make([]float64, len(x))}
			all.products(x, z, want[0], want[1])
			for side := range got {
				for i, w := range want[side] {
					if !(math.Abs(got[side][i]-w) <= 1e-12*w) { // sums of positive numbers in another order
						t.Fatalf("seed %d, %s, side %d, %d: %v, want %v", seed, n.Nodes[y.node].Name, side, i, got[side][i], w)
					}
				}
			}
		}
	}
	if met < 20 {
		t.Errorf("only %d layers met", met)
	}
}
