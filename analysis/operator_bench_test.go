package analysis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// Convolutions of residual networks, with normal weights in float32.
func BenchmarkOperator(b *testing.B) {
	for _, c := range []struct{ outer, inner, kernel, stride, grid, groups int }{
		{64, 64, 3, 1, 56, 1},
		{128, 128, 3, 1, 28, 1},
		{256, 256, 3, 1, 14, 1},
		{512, 512, 3, 1, 7, 1},
		{128, 64, 3, 2, 56, 1},
		{64, 3, 7, 2, 224, 1},
		{144, 144, 3, 1, 56, 144},
	} {
		b.Run(fmt.Sprintf("channels=%dx%d/kernel=%d/stride=%d/grid=%d/groups=%d", c.outer, c.inner, c.kernel, c.stride, c.grid, c.groups), func(b *testing.B) {
			shape := []int{c.outer, c.inner / c.groups, c.kernel, c.kernel}
			rng := rand.New(rand.NewPCG(1, 1))
			w := make([]float32, dag.Size(shape))
			for i := range w {
				w[i] = float32(rng.NormFloat64())
			}
			pad := c.kernel / 2
			conv := &dag.Conv{
				W: dag.Use{Param: dag.NewParam32("w", dag.Float32, shape, w)}, Groups: c.groups, InChannels: c.inner, OutChannels: c.outer,
				Window: dag.Window{
					In: []int{c.grid, c.grid}, Kernel: shape[2:], Stride: []int{c.stride, c.stride}, Dilation: []int{1, 1},
					Before: []int{pad, pad}, After: []int{pad, pad},
				},
			}
			var bld dag.Builder
			at := bld.Input("x", conv.In().Len())
			bld.Output("y", bld.Node(dag.Node{Name: "conv", In: []int{at}, Shape: []int{conv.Out().Len()}, Op: &dag.Linear{Map: conv}}))
			n, err := bld.Build()
			if err != nil {
				b.Fatal(err)
			}
			opt := analysis.Options{Names: []string{"spectral_operator"}, Threads: runtime.NumCPU()}
			var value float64
			for b.Loop() {
				r, err := analysis.Measures(context.Background(), n, opt)
				if err != nil {
					b.Fatal(err)
				}
				value = r.Layers[0].Measures[0].Value.Float64()
			}
			b.ReportMetric(value, "sigma")
		})
	}
}
