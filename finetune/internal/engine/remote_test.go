package engine_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
)

// onDevice makes an engine on the device, real or emulated; the test is skipped
// where there is none.
func onDevice[T program.Float](t testing.TB, p *program.Program[T], rule *optim.Optimizer[T], opt engine.Options) *engine.Engine[T] {
	t.Helper()
	e, err := engine.OnDevice(p, rule, opt)
	if _, ok := errors.AsType[*cuda.Error](err); ok {
		if _, found := cuda.Find(); found != nil {
			t.Skipf("this test needs a GPU, or the emulated one of make test-cuda: %v", err)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDeviceAgrees32(t *testing.T) { deviceAgrees[float32](t, dag.Float32, 1e-4) }
func TestDeviceAgrees64(t *testing.T) { deviceAgrees[float64](t, dag.Float64, 1e-10) }

// deviceAgrees compares random networks, here and on a device: losses, logits,
// gradients, and steps of every rule. The tolerance is relative to the largest
// number of each tensor: sums of a few terms, in another order in convolutions
// and path programmes, and steps that divide by small numbers.
func deviceAgrees[T program.Float](t *testing.T, typ dag.DType, tolerance float64) {
	onDevice(t, mlpProgram[T](t, 2, 2), nil, engine.Options{Batch: 1, BLAS: blas.Gonum()}).Close()
	rapid.Check(t, func(t *rapid.T) {
		net := dagtest.Random(t, dagtest.Options{Features: features, Type: typ, Zeros: 0.1})
		drop := rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "dropout")
		var both [2]*engine.Engine[T]
		var progs [2]*program.Program[T]
		loss := rapid.SampledFrom([]engine.Loss{{}, {Kind: engine.Truncated, Margin: 0.5}, {Kind: engine.Squared}}).Draw(t, "loss")
		how := engine.Options{Batch: 4, Loss: loss, Dropout: drop, BLAS: blas.Find()}
		rule := optim.Rule{
			Kind:     rapid.SampledFrom([]optim.Kind{optim.SGD, optim.PathSGD, optim.AdaGrad, optim.PathAdaGrad}).Draw(t, "rule"),
			P:        rapid.SampledFrom([]float64{1, 2}).Draw(t, "p"),
			Momentum: rapid.Bool().Draw(t, "momentum"),
			Decay:    rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "decay"),
			MaxNorm:  rapid.SampledFrom([]float64{0, 1.5}).Draw(t, "max-norm"),
			Epsilon:  1e-2,
		}
		exclude := rapid.Bool().Draw(t, "exclude bias")
		penalty := rapid.SampledFrom([]float64{0, 1e-2}).Draw(t, "penalty")
		for k := range both {
			p, err := program.Compile[T](net, program.Options{Dropout: drop > 0})
			if err != nil {
				t.Skip(err)
			}
			geo := geometry.New(p, geometry.Options{P: rule.P, ExcludeBias: exclude, BLAS: blas.Find()})
			if !geo.Folded() {
				rule.PathPenalty = penalty
			}
			o := optim.New(p, rule, geo, nil)
			o.Eta, o.Eta0, o.Mu = 1e-3, 1e-3, 0.5
			progs[k] = p
			if k == 0 {
				both[k] = engine.New(p, o, how)
			} else if both[k], err = engine.OnDevice(p, o, how); err != nil {
				t.Fatal(err)
			}
		}
		defer both[1].Close()
		for step, n := range []int{4, rapid.IntRange(1, 4).Draw(t, "n")} {
			b := deviceBatch(t, progs[0], n, loss.Kind != engine.Squared || rapid.Bool().Draw(t, "labels"))
			b.Step = uint64(step)
			compareGradients(t, progs[0], both, b, tolerance)
			for _, e := range both {
				if _, err := e.Step(b); err != nil {
					t.Fatal(err)
				}
			}
			if err := both[1].Sync(); err != nil {
				t.Fatal(err)
			}
			for k, x := range progs[0].Tensors {
				nearly(t, net, "after a step, "+x.Param.Name, x.Data, progs[1].Tensors[k].Data, 10*tolerance)
				copy(progs[1].Tensors[k].Data, x.Data)
			}
			if err := both[1].Load(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func compareGradients[T program.Float](t *rapid.T, p *program.Program[T], both [2]*engine.Engine[T], b *engine.Batch[T], tolerance float64) {
	var grads [2][][]T
	var stats [2]engine.Stats
	var logits [2][]T
	for i, e := range both {
		for _, x := range p.Tensors {
			if x.Frozen {
				grads[i] = append(grads[i], nil)
			} else {
				grads[i] = append(grads[i], make([]T, len(x.Data)))
			}
		}
		var err error
		if stats[i], err = e.Gradient(b, grads[i]); err != nil {
			t.Fatal(err)
		}
		logits[i] = append([]T(nil), e.Logits()...)
	}
	nearly(t, p.Net, "logits", logits[0], logits[1], tolerance)
	near := func(a, b float64) bool { return math.Abs(a-b) <= tolerance*(1+math.Abs(a)) }
	if s, d := stats[0], stats[1]; !near(s.Loss, d.Loss) || !near(s.Full, d.Full) || s.Wrong != d.Wrong || s.N != d.N {
		t.Fatalf("here %+v, on the device %+v\n%v", s, d, p.Net)
	}
	for k := range grads[0] {
		nearly(t, p.Net, "gradient of "+p.Tensors[k].Param.Name, grads[0][k], grads[1][k], tolerance)
	}
}

func nearly[T program.Float](t *rapid.T, net *dag.Network, what string, a, b []T, tolerance float64) {
	most := 1.0
	for _, v := range a {
		most = math.Max(most, math.Abs(float64(v)))
	}
	for i := range a {
		if !(math.Abs(float64(a[i])-float64(b[i])) <= tolerance*most) {
			t.Fatalf("%s[%d]: here %v, on the device %v\n%v", what, i, a[i], b[i], net)
		}
	}
}

func deviceBatch[T program.Float](t *rapid.T, p *program.Program[T], n int, labels bool) *engine.Batch[T] {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "examples"), 1))
	b := &engine.Batch[T]{N: n, X: make([]T, n*p.Values[p.Input].Len), Seed: 7}
	for i := range b.X {
		b.X[i] = T(rng.NormFloat64())
	}
	k := p.Values[p.Logits].Len
	for range n {
		if labels {
			b.Labels = append(b.Labels, rng.IntN(max(2, k)))
			continue
		}
		for range k {
			b.Targets = append(b.Targets, T(rng.NormFloat64()))
		}
	}
	return b
}

// mlpProgram is a multilayer perceptron with weights that are no special case.
func mlpProgram[T program.Float](t testing.TB, widths ...int) *program.Program[T] {
	t.Helper()
	var b dag.Builder
	h := b.Input("x", widths[0])
	for k := 1; k < len(widths); k++ {
		in, out := widths[k-1], widths[k]
		if k > 1 {
			h = b.Activation("", h, 0)
		}
		w := make([]float64, in*out)
		for i := range w {
			w[i] = float64(i%7-3) / float64(in)
		}
		h = b.Affine("", h, out, w, make([]float64, out))
	}
	b.Output("y", h)
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Compile[T](net, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
