package rescale_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

// In a deep and narrow network every unit has as much in as out, as the optimum of
// sum |theta|^p wants, after few reads of the weights: the conjugate gradients alone
// need as many as there are layers for each step.
func TestEqualNormOfDeepNetworks(t *testing.T) {
	const depth, p = 2000, 2.0
	rng := rand.New(rand.NewPCG(1, 1))
	draw := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return v
	}
	var b dag.Builder
	width := 2
	at := b.Input("x", width)
	for l := range depth {
		if l > 0 {
			at = b.Activation(fmt.Sprintf("relu%d", l), at, 0)
		}
		next := 1 + rng.IntN(3)
		at = b.Affine(fmt.Sprintf("fc%d", l), at, next, draw(next*width), draw(next))
		width = next
	}
	b.Output("y", at)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := find(t, rescale.EqualNorm, n, rescale.Options{P: p})
	if r.Sweeps > 300 {
		t.Errorf("%d reads of the weights", r.Sweeps)
	}
	out, err := n.Rescale(r.Groups, r.Factors)
	if err != nil {
		t.Fatal(err)
	}
	layers := out.Layers()
	for k, i := range layers[:len(layers)-1] {
		l, after := out.Nodes[i].Op.(*dag.Linear), out.Nodes[layers[k+1]].Op.(*dag.Linear).Map.(*dag.Dense)
		d, bias := l.Map.(*dag.Dense), l.Bias()
		for u := range d.Rows {
			in, from := math.Pow(math.Abs(bias[u]), p), 0.0
			for j := range d.Cols {
				in += math.Pow(math.Abs(d.At(u, j)), p)
			}
			for j := range after.Rows {
				from += math.Pow(math.Abs(after.At(j, u)), p)
			}
			// Newton's method ends at residuals of 1e-12; the weights are of float64.
			if !(math.Abs(in-from) <= 1e-8*in) {
				t.Fatalf("layer %d, unit %d: %v in, %v out", k, u, in, from)
			}
		}
	}
}
