package rescale_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

// mlp returns a multilayer perceptron in float32 of He's scale, its biases small.
func mlp(widths ...int) *dag.Network {
	rng := rand.New(rand.NewPCG(1, 1))
	var b dag.Builder
	x := b.Input("x", widths[0])
	for l := 1; l < len(widths); l++ {
		rows, cols := widths[l], widths[l-1]
		w, bias := make([]float32, rows*cols), make([]float32, rows)
		s := math.Sqrt(2 / float64(cols))
		for i := range w {
			w[i] = float32(s * rng.NormFloat64())
		}
		for i := range bias {
			bias[i] = float32(0.1 * rng.NormFloat64())
		}
		name := fmt.Sprintf("fc%d", l)
		x = b.Node(dag.Node{Name: name, Source: "Gemm", In: []int{x}, Shape: []int{rows}, Op: &dag.Linear{
			Map:    &dag.Dense{W: dag.Use{Param: dag.NewParam32(name, dag.Float32, []int{rows, cols}, w)}, Rows: rows, Cols: cols},
			Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam32(name, dag.Float32, []int{rows}, bias)}, Coef: 1}}},
		}})
		if l < len(widths)-1 {
			x = b.Activation("relu", x, 0)
		}
	}
	b.Output("y", x)
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	return n
}

// deep is 64 units in 16 layers.
func deep() []int {
	w := make([]int, 18)
	for i := range w {
		w[i] = 64
	}
	return w
}

func BenchmarkRun(b *testing.B) {
	for _, net := range []struct {
		name string
		n    *dag.Network
	}{{"784-512-256-10", mlp(784, 512, 256, 10)}, {"64x16", mlp(deep()...)}, {"784-4000-4000-10", mlp(784, 4000, 4000, 10)}} {
		for _, m := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned} {
			b.Run(fmt.Sprintf("%s/%s", m, net.name), func(b *testing.B) {
				b.ReportAllocs()
				var r *rescale.Result
				for b.Loop() {
					var err error
					if r, err = rescale.Run(context.Background(), m, net.n, rescale.Options{Threads: 2}); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(r.Sweeps), "sweeps")
			})
		}
	}
}
