package paths_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/paths"
)

// relative draws a network with other weights than n: some smaller, some zero, some of the
// other sign, some anything.
func relative(n *dag.Network, rng *rand.Rand) *dag.Network {
	slopes := map[*dag.Param]bool{}
	for _, a := range dag.Each[*dag.Activation](n) {
		if a.Param != nil {
			slopes[a.Param.Param] = true
		}
	}
	kind, made := rng.IntN(4), map[*dag.Param]*dag.Param{}
	return n.Replace(func(u *dag.Use) *dag.Param {
		if slopes[u.Param] {
			return u.Param
		}
		if made[u.Param] == nil {
			v := u.Param.Values()
			for e := range v {
				switch c := rng.IntN(4); {
				case c == 0 && kind != 3:
					v[e] = 0
				case c == 1 && kind > 0:
					v[e] *= 1 - 0.1*rng.Float64()
				case c == 2 && kind > 1:
					v[e] += 0.1 * rng.NormFloat64()
				case kind == 3:
					v[e] = rng.NormFloat64()
				}
			}
			made[u.Param] = u.Param.WithValues(nil, v)
		}
		return made[u.Param]
	})
}

// The bounds hold on 1,000 random pairs: outputs differ by no more than max(1, |x|) times
// the metric says, and so do path vectors, which are summed path by path on some.
func TestMetric(t *testing.T) {
	const features = dagtest.Bias | dagtest.Skip | dagtest.Concat | dagtest.Slope | dagtest.Conv | dagtest.Pool | dagtest.Select |
		dagtest.Shared | dagtest.Outputs | dagtest.Inputs
	rng := rand.New(rand.NewPCG(4, 4))
	tight, summed := 0.0, 0
	for seed := range uint64(1000) {
		a := dagtest.FromSeed(seed, dagtest.Options{Features: features, Type: dag.Float64, Zeros: 0.1})
		b := relative(a, rng)
		got, err := paths.Metric(a, b, 1)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, a)
		}
		metric := got.Float64()
		in := dagtest.Input(a, 4, seed)
		ends := a.Boundary()
		x, err := eval.Run(context.Background(), a, in, 4, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		y, err := eval.Run(context.Background(), b, in, 4, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for s := range 4 {
			size, off := 1.0, 0.0
			for k, p := range a.Inputs {
				for _, v := range in[k][s*a.Nodes[p.Node].Len():][:a.Nodes[p.Node].Len()] {
					size = math.Max(size, math.Abs(v))
				}
			}
			for k, p := range a.Outputs {
				if slices.IndexFunc(a.Outputs, func(q dag.Port) bool { return q.Node == p.Node }) < k {
					continue
				}
				w := a.Nodes[p.Node].Len()
				for e := range w {
					off += math.Abs(x[k][s*w+e] - y[k][s*w+e])
				}
			}
			// Sums of float64.
			if !(off <= size*metric*(1+1e-12)+1e-12) {
				t.Errorf("seed %d: outputs differ by %v, bound %v\n%s", seed, off, size*metric, a)
			}
			tight = math.Max(tight, off/(size*metric))
		}
		v, w := newWalk(a, paths.Include), newWalk(b, paths.Include)
		var of [2][]float64
		for k, walk := range []*walk{v, w} {
			walk.ends(ends, func(_ int, edges []int) {
				p := 1.0
				for _, e := range edges {
					p *= walk.u.Edges[e].W
				}
				of[k] = append(of[k], p)
			})
		}
		if len(of[0]) != len(of[1]) {
			continue // paths of zero weights, or too many
		}
		summed++
		var d float64
		for i, p := range of[0] {
			d += math.Abs(p - of[1][i])
		}
		if !(d <= metric*(1+1e-12)+1e-12) {
			t.Errorf("seed %d: path vectors differ by %v, metric %v\n%s", seed, d, metric, a)
		}
	}
	if tight < 0.5 || summed < 300 {
		t.Errorf("the outputs come to %v of the bound at most, and only %d path vectors were compared", tight, summed)
	}
}
