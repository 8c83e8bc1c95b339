package finetune_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// BenchmarkStep times one step on a batch of 100 in single precision, two
// threads: the counterpart of testdata/torch_step.py.
func BenchmarkStep(b *testing.B) {
	const threads, batch = 2, 100
	for _, width := range []int{256, 4000} {
		net := mlp(dag.Float32, 1, 784, width, width, 10)
		for what, rule := range map[string]optim.Rule{
			"sgd": {Kind: optim.SGD}, "path-sgd": {Kind: optim.PathSGD}, "momentum": {Kind: optim.SGD, Momentum: true},
			"adagrad": {Kind: optim.AdaGrad, Epsilon: 1e-10},
		} {
			b.Run(fmt.Sprintf("%s/width=%d", what, width), func(b *testing.B) {
				p, err := program.Compile[float32](net, program.Options{Logits: len(net.Nodes) - 1})
				if err != nil {
					b.Fatal(err)
				}
				pl := pool.New(threads)
				defer pl.Close()
				lib := blas.Find()
				blas.SetThreads(threads)
				rule.P = 2
				o := optim.New(p, rule, geometry.New(p, geometry.Options{P: 2, BLAS: lib, Pool: pl}), pl)
				o.Eta, o.Eta0, o.Mu = 1e-4, 1e-4, 0.9
				e := engine.New(p, o, engine.Options{Batch: batch, BLAS: lib, Pool: pl})
				x := benchBatch(batch, 784)
				if _, err := e.Step(x); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := e.Step(x); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkGemm times the matrix products of such a step alone.
func BenchmarkGemm(b *testing.B) {
	lib := blas.Find()
	blas.SetThreads(2)
	for _, width := range []int{256, 4000} {
		b.Run(fmt.Sprintf("width=%d", width), func(b *testing.B) {
			w := []int{784, width, width, 10}
			x := make([]float32, 100*max(784, width))
			y := make([]float32, 100*max(784, width))
			m := make([]float32, width*max(784, width))
			for b.Loop() {
				for k := range 3 {
					in, out := w[k], w[k+1]
					lib.Sgemm(false, true, 100, out, in, 1, x, in, m, in, 0, y, out)
					lib.Sgemm(true, false, out, in, 100, 1e-9, y, out, x, in, 1, m, in)
					if k > 0 {
						lib.Sgemm(false, false, 100, in, out, 1, y, out, m, in, 0, x, in)
					}
				}
			}
		})
	}
}

func benchBatch(n, size int) *engine.Batch[float32] {
	rng := rand.New(rand.NewPCG(1, 1))
	b := &engine.Batch[float32]{N: n, X: make([]float32, n*size)}
	for i := range b.X {
		b.X[i] = float32(math.Max(0, rng.NormFloat64()))
	}
	for range n {
		b.Labels = append(b.Labels, rng.IntN(10))
	}
	return b
}
