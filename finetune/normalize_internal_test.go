package finetune

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune/internal/engine"
)

// TestRescaledSquares: the shortcut for plain networks gives what the gradient
// of the rescaled network gives.
func TestRescaledSquares(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64() * math.Exp(rng.NormFloat64())
		}
		return v
	}
	var b dag.Builder
	h := b.Activation("", b.Affine("a", b.Input("x", 4), 5, draw(20), draw(5)), 0)
	h = b.Activation("", b.Sum("skip", b.Affine("b", h, 5, draw(25), draw(5)), h), 0)
	b.Output("y", b.Affine("c", h, 3, draw(15), draw(3)))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newLoop[float64](setup{net: net, opt: Options{Batch: 6, Threads: 1, P: 2, BLAS: blas.Find(), Loss: Softmax, Optimizer: PathSGD}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	batch := &engine.Batch[float64]{N: 6, X: draw(24), Labels: []int{0, 1, 2, 0, 1, 2}}
	res, err := rescale.Run(context.Background(), rescale.EqualNorm, net, rescale.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := c.balancedSquares(res, batch)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := gradient(c.eng, c.prog, batch)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := rescaledSquares(c.prog, grads, res.Groups, res.Factors)
	if !ok || !(math.Abs(got-want) <= 1e-10*want) {
		t.Errorf("%v %v, want %v", got, ok, want)
	}
}
