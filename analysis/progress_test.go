package analysis_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// uneven has layers of unlike sizes, the second as large as all others together.
func uneven(t *testing.T) *dag.Network {
	rng := rand.New(rand.NewPCG(1, 0))
	var weights [][]float64
	sizes := []int{6, 40, 160, 12, 9, 5, 3}
	for k := 1; k < len(sizes); k++ {
		w := make([]float64, sizes[k-1]*sizes[k])
		for i := range w {
			w[i] = rng.NormFloat64()
		}
		weights = append(weights, w)
	}
	return mlp(t, sizes[0], weights, make([][]float64, len(weights)))
}

// TestThreadsChangeNoBit: layers side by side, or one with all threads, have the same
// singular values.
func TestThreadsChangeNoBit(t *testing.T) {
	n := uneven(t)
	opt := analysis.Options{Names: []string{"spectral", "stable_rank", "nuclear", "product_spectral"}, Threads: 1}
	want := measure(t, n, opt)
	for _, threads := range []int{2, 3, 8} {
		opt.Threads = threads
		if diff := cmp.Diff(want.Layers, measure(t, n, opt).Layers); diff != "" {
			t.Errorf("%d threads: %s", threads, diff)
		}
	}
}

// TestProgress: each stage goes on, and those with parts end with all of them.
func TestProgress(t *testing.T) {
	type part struct{ done, all int }
	var stages []string
	last := map[string]part{}
	measure(t, uneven(t), analysis.Options{
		Names: []string{"path_norm", "spectral", "nuclear"}, Threads: 2,
		Progress: func(stage string, done, all int) {
			before, ok := last[stage]
			if !ok {
				stages = append(stages, stage)
			}
			if done < before.done || ok && all != before.all {
				t.Errorf("%s: %d of %d after %v", stage, done, all, before)
			}
			last[stage] = part{done, all}
		},
	})
	if diff := cmp.Diff([]string{"reading the weights", "path_norm", "spectral norms", "singular values"}, stages); diff != "" {
		t.Error(diff)
	}
	for _, stage := range stages {
		if p := last[stage]; p.done != p.all {
			t.Errorf("%s ends at %d of %d", stage, p.done, p.all)
		}
	}
}
