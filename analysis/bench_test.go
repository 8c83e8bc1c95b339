package analysis_test

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// wide is 784-4000-4000-10 in float32, weights N(0, 1/fan-in): 76 MB.
func wide(b *testing.B) *dag.Network {
	var bld dag.Builder
	rng := rand.New(rand.NewPCG(1, 1))
	widths := []int{784, 4000, 4000, 10}
	at := bld.Input("x", widths[0])
	for l := 1; l < len(widths); l++ {
		if l > 1 {
			at = bld.Activation("relu", at, 0)
		}
		in, out := widths[l-1], widths[l]
		w := make([]float32, in*out)
		for i := range w {
			w[i] = float32(rng.NormFloat64() / math.Sqrt(float64(in)))
		}
		at = bld.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{at}, Shape: []int{out}, Op: &dag.Linear{
			Map: &dag.Dense{Rows: out, Cols: in, W: dag.Use{Param: dag.NewParam32("w", dag.Float32, []int{out, in}, w)}},
		}})
	}
	bld.Output("y", at)
	n, err := bld.Build()
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func BenchmarkMeasures(b *testing.B) {
	n := wide(b)
	for _, c := range []struct {
		name  string
		names []string
	}{
		{"fast", []string{"fast"}},
		{"path_norm", []string{"path_norm"}},
		{"spectral", []string{"frobenius", "spectral", "stable_rank"}},
		{"kappa_spread", []string{"kappa_spread"}},
	} {
		b.Run("net=784-4000-4000-10/measures="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(4 * (784*4000 + 4000*4000 + 40000))
			for b.Loop() {
				if _, err := analysis.Measures(context.Background(), n, analysis.Options{Names: c.names, Threads: runtime.NumCPU()}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
