package rescale

import (
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
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
			all := &shares{row: k.row, col: k.col}
			all.keep(y)
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

// The shares of a convolution with groups are the numbers within its groups, and have the products of
// the whole matrix.
func TestSharesOfGroups(t *testing.T) {
	met := 0
	for seed := range uint64(800) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly})
		g := n.Groups()
		v, err := newView(n, g, 2, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		v.kappa = paths.NewKappa(n, 2, paths.Options{Carries: g.Carries})
		for _, y := range v.layers {
			if len(y.parts) < 2 {
				continue
			}
			met++
			b := v.newLinks(y, -2)
			v.squares(y, b)
			k := v.newShares(y, b, -2)
			v.countEdges(y, b, &problem{s: -2, lin: make([]float64, len(v.active))}, nil, nil, k)
			rows, cols := len(k.row), len(k.col)
			if want := rows * cols / len(y.parts); len(k.a) != want {
				t.Fatalf("seed %d, %s: %d shares of %d rows, %d columns and %d groups, want %d", seed, n.Nodes[y.node].Name, len(k.a), rows, cols, len(y.parts), want)
			}
			x, z := make([]float64, cols), make([]float64, rows)
			for j := range x {
				x[j] = 1 / float64(j+1)
			}
			for i := range z {
				z[i] = float64(i + 1)
			}
			got, want := [2][]float64{make([]float64, rows), make([]float64, cols)}, [2][]float64{make([]float64, rows), make([]float64, cols)}
			k.products(x, z, got[0], got[1])
			of := y.l.Matrices()
			v.kappa.EachEdge(y.node, func(e int, kappa scaled.Num) {
				i, j := of[e/of[0].Len()].Place(e % of[0].Len())
				if y.rows[i] != dag.NoGroup && y.cols[j] != dag.NoGroup && !kappa.IsZero() {
					a := math.Exp(kappa.Ln() - k.row[i] - k.col[j])
					want[0][i] += a * x[j]
					want[1][j] += a * z[i]
				}
			})
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
