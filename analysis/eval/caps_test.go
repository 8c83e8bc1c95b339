package eval_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// Caps are evaluated as element by element, whether neighbours have the same bounds or not.
func TestCaps(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const size, batch = 60, 3
	bounds := func(run int, f func() float64) []float64 {
		out := make([]float64, size)
		for i := range out {
			if i%run == 0 {
				out[i] = f()
			} else {
				out[i] = out[i-1]
			}
		}
		return out
	}
	for _, c := range []*dag.Cap{
		{Lo: []float64{0}, Hi: bounds(20, rng.Float64)},
		{Lo: bounds(30, func() float64 { return -rng.Float64() }), Hi: bounds(20, rng.Float64)},
		{Lo: bounds(1, func() float64 { return -rng.Float64() }), Hi: bounds(1, rng.Float64)},
		{Lo: []float64{math.Inf(-1)}, Hi: bounds(15, func() float64 { return []float64{math.Inf(1), 0}[rng.IntN(2)] })},
		{Lo: bounds(20, rng.Float64), Hi: []float64{math.Inf(1)}, Jump: true},
	} {
		var b dag.Builder
		in := b.Input("x", size)
		b.Output("y", b.Node(dag.Node{Name: "cap", Source: "Clip", In: []int{in}, Shape: []int{size}, Op: c}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float64, size*batch)
		for i := range x {
			x[i] = 2 * rng.NormFloat64()
		}
		x[7], x[size+1], x[2*size+3] = math.NaN(), math.Inf(1), math.Inf(-1)
		got, err := eval.Run(context.Background(), n, [][]float64{x}, batch, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range x {
			if want := c.Apply(i%size, v); got[0][i] != want && !(want != want && got[0][i] != got[0][i]) {
				t.Errorf("%v: element %d, %v: %v, want %v", c, i, v, got[0][i], want)
			}
		}
	}
}
