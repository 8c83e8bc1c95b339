package rescale_test

import (
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/rescale"
)

// Where cycles through tied groups decide, factors are all but free along them, and go on moving
// when the bound has stopped to rise: path ends then. Newton's method needs some tens of reads.
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
