package finetune_test

import (
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
)

// unitLaws are the laws of the hidden units of a network of two layers, by their formula.
func unitLaws(n *dag.Network) (differ, size []float64) {
	layers := n.Layers()
	a, b := n.Nodes[layers[0]].Op.(*dag.Linear), n.Nodes[layers[1]].Op.(*dag.Linear)
	v, w := a.Map.Weight().Param.Values(), b.Map.Weight().Param.Values()
	units, in, out := a.Rows(), len(v)/a.Rows(), b.Rows()
	for u := range units {
		bias := a.Bias()[u]
		x, y := bias*bias, 0.0
		for j := range in {
			x += v[u*in+j] * v[u*in+j]
		}
		for k := range out {
			y += w[k*units+u] * w[k*units+u]
		}
		differ, size = append(differ, x-y), append(size, x+y)
	}
	return differ, size
}

// SGD drifts from the laws of gradient flow in proportion to the step: over the same time half the
// step drifts half as far. What is logged is the largest of the units' own.
func TestConservationLaws(t *testing.T) {
	set := blobs(t, 40, 1)
	run := func(rate float64, epochs int) float64 {
		net := mlp(dag.Float64, 5, 4, 6, 3)
		res, err := train(t, t.Context(), net, set, finetune.Options{
			Optimizer: finetune.SGD, Rate: rate, Batch: 40, Epochs: epochs, Normalize: finetune.NormalizeOff, Conservation: true, Threads: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		before, size := unitLaws(net)
		after, _ := unitLaws(res.Net)
		want := 0.0
		for u := range before {
			want = max(want, math.Abs(after[u]-before[u])/size[u])
		}
		got := res.Epochs[len(res.Epochs)-1].Drift
		if got == nil || math.Abs(*got-want) > 1e-12 { // sums in another order
			t.Fatalf("rate %v: drift %v, want %v", rate, got, want)
		}
		return want
	}
	whole, half := run(0.04, 10), run(0.02, 20)
	if ratio := whole / half; !(ratio > 1.8 && ratio < 2.2) || whole == 0 {
		t.Errorf("drift %v, at half the step %v: a ratio of %v, want about 2", whole, half, ratio)
	}
}
