package finetune_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/onnxio"
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

// convolutions builds networks of convolutions with ReLUs and ten scores.
type convolutions struct {
	dag.Builder
	rng *rand.Rand
}

func (b *convolutions) conv(in, out, groups, kernel, stride int) int {
	shape := b.Shape(in)
	pad, i := kernel/2, shape[0]/groups
	w := dag.Window{
		In: shape[1:], Kernel: []int{kernel, kernel}, Stride: []int{stride, stride}, Dilation: []int{1, 1},
		Before: []int{pad, pad}, After: []int{pad, pad},
	}
	draw := func() float64 { return b.rng.NormFloat64() / math.Sqrt(float64(i*kernel*kernel)) }
	return b.Node(dag.Node{Source: "Conv", In: []int{in}, Shape: append([]int{out}, w.Out()...), Op: &dag.Linear{
		Map: &dag.Conv{
			W:          dag.Use{Param: param(dag.Float32, []int{out, i, kernel, kernel}, draw)},
			InChannels: i * groups, OutChannels: out, Groups: groups, Window: w,
		},
		Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: param(dag.Float32, []int{out}, draw)}, Coef: 1}}},
	}})
}

func (b *convolutions) relu(x int) int { return b.Activation("", x, 0) }

// scores ends a network with the mean over positions and a full matrix.
func (b *convolutions) scores(h int) *dag.Network {
	shape := b.Shape(h)
	w := dag.Window{In: shape[1:], Kernel: shape[1:], Stride: []int{1, 1}, Dilation: []int{1, 1}, Before: []int{0, 0}, After: []int{0, 0}}
	h = b.Node(dag.Node{Source: "GlobalAveragePool", In: []int{h}, Shape: []int{shape[0], 1, 1}, Op: &dag.Linear{
		Map: &dag.Average{Channels: shape[0], Window: w, Weights: []float64{1 / float64(dag.Size(shape[1:]))}},
	}})
	scores := make([]float64, 10*shape[0])
	for i := range scores {
		scores[i] = b.rng.NormFloat64() / 8
	}
	b.Output("y", b.Affine("", h, 10, scores, make([]float64, 10)))
	return build(&b.Builder)
}

// residual is the network of testdata/torch_conv.py.
func residual() *dag.Network {
	b := &convolutions{rng: rand.New(rand.NewPCG(1, 1))}
	h := b.relu(b.conv(b.Input("x", 3, 32, 32), 16, 1, 3, 1))
	for _, k := range [][3]int{{16, 16, 1}, {16, 16, 1}, {16, 32, 2}, {32, 32, 1}, {32, 64, 2}, {64, 64, 1}} {
		o, stride := k[1], k[2]
		y := b.conv(b.relu(b.conv(h, o, 1, 3, stride)), o, 1, 3, 1)
		if stride > 1 {
			h = b.conv(h, o, 1, 1, stride)
		}
		h = b.relu(b.Sum("", y, h))
	}
	return b.scores(h)
}

// inverted is a network of inverted residuals with depthwise convolutions, as MobileNetV2 has them.
func inverted() *dag.Network {
	b := &convolutions{rng: rand.New(rand.NewPCG(1, 1))}
	h := b.relu(b.conv(b.Input("x", 3, 32, 32), 16, 1, 3, 1))
	for _, k := range [][3]int{{16, 16, 1}, {16, 24, 2}, {24, 24, 1}, {24, 32, 2}, {32, 32, 1}} {
		i, o, stride := k[0], k[1], k[2]
		y := b.relu(b.conv(h, 6*i, 1, 1, 1))
		y = b.conv(b.relu(b.conv(y, 6*i, 6*i, 3, stride)), o, 1, 1, 1)
		if i == o && stride == 1 {
			y = b.Sum("", y, h)
		}
		h = y
	}
	return b.scores(h)
}

// BenchmarkConv times a step of a residual network and of one of inverted residuals: the counterpart of
// testdata/torch_conv.py.
func BenchmarkConv(b *testing.B) {
	b.Run("residual", func(b *testing.B) { benchmarkConv(b, residual()) })
	b.Run("inverted", func(b *testing.B) { benchmarkConv(b, inverted()) })
}

func benchmarkConv(b *testing.B, net *dag.Network) { benchmarkSteps(b, net, 100) }

func benchmarkSteps(b *testing.B, net *dag.Network, batch int) {
	blas.SetThreads(2)
	for _, kind := range []optim.Kind{optim.SGD, optim.PathSGD} {
		b.Run(map[optim.Kind]string{optim.SGD: "sgd", optim.PathSGD: "path-sgd"}[kind], func(b *testing.B) {
			p, err := program.Compile[float32](net, program.Options{Logits: len(net.Nodes) - 1})
			if err != nil {
				b.Fatal(err)
			}
			pl, lib := pool.New(2), blas.Find()
			defer pl.Close()
			o := optim.New(p, optim.Rule{Kind: kind, P: 2}, geometry.New(p, geometry.Options{P: 2, BLAS: lib, Pool: pl}), pl)
			o.Eta, o.Eta0 = 1e-9, 1e-9
			e := engine.New(p, o, engine.Options{Batch: batch, BLAS: lib, Pool: pl})
			x := benchBatch(batch, p.Values[p.Input].Len)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Step(x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkModel times a step of the network in the file that MODEL names, on a batch of 20: the counterpart of
// testdata/torch_model.py, which writes such files.
func BenchmarkModel(b *testing.B) {
	if os.Getenv("MODEL") == "" {
		b.Skip("MODEL names no file")
	}
	m, err := onnxio.Read(os.Getenv("MODEL"), onnxio.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	benchmarkSteps(b, m.Net, 20)
}

// BenchmarkNew times the making of the graph and its plans for a small network.
func BenchmarkNew(b *testing.B) {
	p, err := program.Compile[float32](mlp(dag.Float32, 1, 4, 16, 16, 3), program.Options{})
	if err != nil {
		b.Fatal(err)
	}
	pl, lib := pool.New(1), blas.Find()
	o := optim.New(p, optim.Rule{Kind: optim.PathSGD, P: 2}, geometry.New(p, geometry.Options{P: 2, BLAS: lib, Pool: pl}), pl)
	for b.Loop() {
		engine.New(p, o, engine.Options{Batch: 100, BLAS: lib, Pool: pl})
	}
}
