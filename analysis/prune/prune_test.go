package prune_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/prune"
)

// mask lists which weights of each layer are zero.
func mask(n *dag.Network) [][]bool {
	var out [][]bool
	for _, l := range dag.Each[*dag.Linear](n) {
		if l.Map == nil || l.Map.Weight() == nil {
			continue
		}
		p := l.Map.Weight().Param
		m := make([]bool, p.Len())
		for e := range m {
			m[e] = p.At(e) == 0
		}
		out = append(out, m)
	}
	return out
}

// Networks that are equivalent by powers of two lose exactly the same weights by paths, of
// whatever structure; by magnitude they do not.
func TestEquivalentNetworksLoseTheSame(t *testing.T) {
	others := 0
	for seed := range uint64(200) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly &^ dagtest.Fixed &^ dagtest.Shared, Width: 5})
		rng := rand.New(rand.NewPCG(seed, 1))
		g := n.Groups()
		c := make([]float64, g.Count)
		for i := range c {
			c[i] = 1
			if g.Pin[i] == "" {
				c[i] = math.Ldexp(1, rng.IntN(13)-6)
			}
		}
		scaled, err := n.Rescale(g, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, scope := range prune.Scopes() {
			for _, by := range prune.Scores() {
				opt := prune.Options{Sparsity: 0.6, By: by, Scope: scope}
				a, err := prune.Run(n, opt)
				if err != nil {
					t.Fatal(err)
				}
				b, err := prune.Run(scaled, opt)
				if err != nil {
					t.Fatal(err)
				}
				same := slices.EqualFunc(mask(a.Net), mask(b.Net), slices.Equal)
				if by == prune.ByPath && !same {
					t.Errorf("seed %d, %s: other weights\n%s", seed, scope, n)
				}
				if by == prune.ByMagnitude && !same {
					others++
				}
				if by == prune.ByPath && len(n.Functions()) == 0 && a.Metric.Cmp(b.Metric) != 0 {
					t.Errorf("seed %d, %s: metric %v and %v", seed, scope, a.Metric, b.Metric)
				}
			}
		}
	}
	if others == 0 {
		t.Error("factors never changed what magnitude prunes")
	}
}

// The score is what ||pi||_1 loses when one weight becomes zero, the smallest go first, and
// the share of zeros is what was asked for.
func TestScores(t *testing.T) {
	const features = dagtest.Bias | dagtest.Skip | dagtest.Concat | dagtest.Slope | dagtest.Conv | dagtest.Pool | dagtest.Outputs
	norm := func(n *dag.Network) float64 {
		return paths.Forward(n, []float64{1}, paths.Options{}).PathNorm(0).Float64()
	}
	for seed := range uint64(60) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features, Type: dag.Float64, Zeros: 0.1})
		res, err := prune.Run(n, prune.Options{Sparsity: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := res.Metric.Float64(), norm(n)-norm(res.Net); !(math.Abs(got-want) <= 1e-12*norm(n)) {
			t.Errorf("seed %d: metric %v, norms differ by %v", seed, got, want)
		}
		zero, weights := 0, 0
		var kept, gone []float64
		after := mask(res.Net)
		for i, m := range mask(n) {
			l := res.Layers[i]
			weights += l.Weights
			zero += l.After
			p := n.Nodes[l.Node].Op.(*dag.Linear).Map.Weight().Param
			for e, was := range m {
				if was {
					continue
				}
				one := n.Replace(func(u *dag.Use) *dag.Param {
					if u.Param != p {
						return u.Param
					}
					v := p.Values()
					v[e] = 0
					return p.WithValues(nil, v)
				})
				loss := norm(n) - norm(one)
				if after[i][e] {
					gone = append(gone, loss)
				} else {
					kept = append(kept, loss)
				}
			}
		}
		if len(gone) > 0 && len(kept) > 0 && slices.Max(gone) > slices.Min(kept)+1e-10*norm(n) {
			t.Errorf("seed %d: a weight of score %v went, one of %v stayed\n%s", seed, slices.Max(gone), slices.Min(kept), n)
		}
		if len(gone) > 0 && zero != weights/2 {
			t.Errorf("seed %d: %d of %d weights are zero", seed, zero, weights)
		}
	}
	if _, err := prune.Run(dagtest.FromSeed(1, dagtest.Options{}), prune.Options{Sparsity: 1}); err == nil {
		t.Error("no error for sparsity 1")
	}
}

// What is inside a function, as the matrices of a recurrent cell are, keeps its weights by either score:
// the function computes with them what no layer here follows.
func TestInsideStays(t *testing.T) {
	cells := 0
	for seed := range uint64(100) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly})
		inside := map[int]bool{}
		for nd, f := range dag.Each[*dag.Func](n) {
			for _, j := range nd.In[len(nd.In)-f.Inside:] {
				inside[j] = true
			}
		}
		for _, by := range prune.Scores() {
			res, err := prune.Run(n, prune.Options{Sparsity: 0.6, By: by})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range res.Layers {
				if inside[l.Node] {
					cells++
				}
				if inside[l.Node] && (l.After != l.Before || l.Kept == "") {
					t.Errorf("seed %d by %s: %+v", seed, by, l)
				}
			}
		}
	}
	if cells == 0 {
		t.Error("no function had layers inside")
	}
}

// A layer without units has no weights to lose.
func TestNoUnits(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	for k, size := range [][2]int{{0, 2}, {3, 0}} {
		w := dag.Use{Param: dag.NewParam64("w"+string(rune('0'+k)), size[:], nil)}
		x = b.Node(dag.Node{In: []int{x}, Shape: []int{size[0]}, Op: &dag.Linear{Map: &dag.Dense{W: w, Rows: size[0], Cols: size[1]}}})
	}
	b.Output("y", x)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range prune.Scores() {
		if _, err := prune.Run(n, prune.Options{Sparsity: 0.5, By: by}); err != nil {
			t.Errorf("by %s: %v", by, err)
		}
	}
}
