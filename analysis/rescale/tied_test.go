package rescale_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/rescale"
)

// Where cycles through tied groups decide, factors are all but free along them, and go on moving
// when the bound has stopped to rise: path ends then. Some tens of reads are enough.
func TestPathEndsWithItsBound(t *testing.T) {
	for _, features := range []dagtest.Feature{dagtest.Conv | dagtest.Skip, dagtest.Bias | dagtest.Skip | dagtest.Concat} {
		for seed := range uint64(300) {
			n := dagtest.FromSeed(seed, dagtest.Options{Features: features, Steps: 20, Width: 6, Type: dag.Float64})
			u := run(t, rescale.Unbalance, n, rescale.Options{})
			given := run(t, rescale.Path, n, rescale.Options{})
			n, err := n.Rescale(u.Groups, u.Factors)
			if err != nil {
				t.Fatal(err)
			}
			r := run(t, rescale.Path, n, rescale.Options{})
			if r.Sweeps > 100 {
				t.Errorf("seed %d: %d reads", seed, r.Sweeps)
			}
			// The bisection for a feasible bound ends at 1e-12.
			if far := r.Objective.After.Ln() - given.Objective.After.Ln(); !(far < 2e-12 && far > -2e-12) || r.Residual > 2e-12 {
				t.Errorf("seed %d: the optimum is %s from one start and %s from another, residual %g", seed, given.Objective.After, r.Objective.After, r.Residual)
			}
		}
	}
}

// Blocks that a skip closes to cycles of two units each, as ConvMixer's: every cycle has a gain of its own, and the
// largest decide one after the other. The factors of the first are far from the given ones.
func TestPathOfManyCycles(t *testing.T) {
	const width, blocks = 8, 32
	rng := rand.New(rand.NewPCG(19, 1))
	random := func(n int, scale float64) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = scale * rng.NormFloat64()
		}
		return w
	}
	diagonal := func() []float64 {
		w := make([]float64, width*width)
		for i, x := range random(width, 1) {
			w[i*width+i] = x
		}
		return w
	}
	var b dag.Builder
	x := b.Input("x", width)
	for k := range blocks {
		x = b.Activation("relu", b.Affine(fmt.Sprintf("mix%d", k), x, width, random(width*width, 0.03), random(width, 0.1)), 0)
		y := b.Activation("relu", b.Affine(fmt.Sprintf("a%d", k), x, width, diagonal(), random(width, 0.1)), 0)
		x = b.Sum("skip", x, b.Affine(fmt.Sprintf("b%d", k), y, width, diagonal(), random(width, 0.1)))
	}
	b.Output("y", b.Affine("out", x, 4, random(4*width, 1), nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []float64{1, 2} {
		given := run(t, rescale.Path, n, rescale.Options{P: p})
		u := run(t, rescale.Unbalance, n, rescale.Options{})
		m, err := n.Rescale(u.Groups, u.Factors)
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, rescale.Path, m, rescale.Options{P: p})
		for _, r := range []*rescale.Result{given, r} {
			// The search ends at 1e-12, Newton's steps in the row before it.
			if far := r.Objective.After.Ln() - given.Objective.After.Ln(); !(far < 2e-12 && far > -2e-12) || r.Residual > 2e-12 || r.Sweeps > 60 {
				t.Errorf("p %g: the optimum is %s, %s as given, residual %g, %d reads", p, r.Objective.After, given.Objective.After, r.Residual, r.Sweeps)
			}
		}
		t.Logf("p %g: %s, %d and %d reads", p, given.Objective.After, given.Sweeps, r.Sweeps)
	}
}
