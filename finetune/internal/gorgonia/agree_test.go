//go:build cuda

package gorgonia_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/gorgonia"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// layer is the program of one layer of two units without biases.
func layer[T program.Float](t *testing.T, inputs int, w ...float64) *program.Program[T] {
	t.Helper()
	var b dag.Builder
	b.Output("y", b.Affine("fc", b.Input("x", inputs), 2, w, nil))
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

// TestInitialises fails where Gorgonia refuses the Go version: it depends on
// go4.org/unsafe/assume-no-moving-gc, which must know it.
func TestInitialises(t *testing.T) {
	e, err := gorgonia.New(layer[float64](t, 2, 1, 2, 3, 4), nil, engine.Options{Batch: 2, BLAS: blas.Gonum()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Evaluate(&engine.Batch[float64]{N: 1, X: []float64{1, 1}, Labels: []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	// Logits 3 and 7: the loss is ln(1 + exp(-4)).
	if want := math.Log1p(math.Exp(-4)); !(math.Abs(s.Loss-want) <= 1e-12) {
		t.Errorf("loss %v, want %v", s.Loss, want)
	}
}

// A row far below the first one has its own largest logit.
func TestLossOfDistantRows(t *testing.T) {
	e, err := gorgonia.New(layer[float32](t, 1, 1, 2), nil, engine.Options{Batch: 2, BLAS: blas.Gonum()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := e.Evaluate(&engine.Batch[float32]{N: 2, X: []float32{1000, -1000}, Labels: []int{1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	// Margins 1000 and -1000.
	if want := 1000.0; !(math.Abs(s.Loss-want) <= 1e-3) {
		t.Errorf("loss %v, want %v", s.Loss, want)
	}
}

// without are the features that the engine refuses.
const without = dagtest.Inputs | dagtest.Outputs | dagtest.Conv | dagtest.Pool

func TestAgrees32(t *testing.T) { agree[float32](t, dag.Float32, 1e-4) }
func TestAgrees64(t *testing.T) { agree[float64](t, dag.Float64, 1e-10) }

// agree compares losses, logits, gradients and one step of an optimizer. The
// tolerance is relative to the largest number of each tensor: a few rounding
// errors of sums of a few terms, and in single precision of loss and softmax,
// which Gorgonia rounds to it.
func agree[T program.Float](t *testing.T, typ dag.DType, tolerance float64) {
	pl := pool.New(1)
	rapid.Check(t, func(t *rapid.T) {
		net := dagtest.Random(t, dagtest.Options{Features: dagtest.All &^ without, Type: typ, Zeros: 0.1})
		drop := rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "dropout")
		loss := rapid.SampledFrom([]engine.Loss{{}, {Kind: engine.Truncated, Margin: 0.5}, {Kind: engine.Squared}}).Draw(t, "loss")
		opt := program.Options{Dropout: drop > 0}
		p, err := program.Compile[T](net, opt)
		if err != nil {
			t.Skip(err)
		}
		q, err := program.Compile[T](net, opt)
		if err != nil {
			t.Fatal(err)
		}
		const batch = 4
		how := engine.Options{Batch: batch, Loss: loss, Dropout: drop, BLAS: blas.Find(), Pool: pl}
		rule := func(p *program.Program[T]) *optim.Optimizer[T] {
			o := optim.New(p, optim.Rule{Kind: optim.PathSGD, P: 2}, geometry.New(p, geometry.Options{P: 2, BLAS: blas.Find(), Pool: pl}), pl)
			o.Eta, o.Eta0 = 1e-3, 1e-3
			return o
		}
		cpu := engine.New(p, rule(p), how)
		gpu, err := gorgonia.New(q, rule(q), how)
		if err != nil {
			if strings.Contains(err.Error(), "use the CPU") {
				t.Skip(err)
			}
			t.Fatal(err)
		}
		defer gpu.Close()
		// A full batch, then a partial one: the padding must have no part.
		for step, n := range []int{batch, 1 + rapid.IntRange(0, batch-1).Draw(t, "n")} {
			b := examples[T](t, p, n)
			b.Step = uint64(step)
			compare(t, p, cpu, gpu, b, tolerance)
			for _, e := range []stepper[T]{cpu, gpu} {
				if _, err := e.Step(b); err != nil {
					t.Fatal(err)
				}
			}
			for k := range p.Tensors {
				near(t, net, "tensor after a step", p.Tensors[k].Data, q.Tensors[k].Data, 10*tolerance)
			}
			for k := range p.Tensors {
				copy(q.Tensors[k].Data, p.Tensors[k].Data)
			}
		}
	})
}

// stepper is what both have.
type stepper[T program.Float] interface {
	Step(b *engine.Batch[T]) (engine.Stats, error)
	Gradient(b *engine.Batch[T], grads [][]T) (engine.Stats, error)
	Logits() []T
}

func compare[T program.Float](t *rapid.T, p *program.Program[T], cpu, gpu stepper[T], b *engine.Batch[T], tolerance float64) {
	grads := [2][][]T{make([][]T, len(p.Tensors)), make([][]T, len(p.Tensors))}
	var stats [2]engine.Stats
	var logits [2][]T
	for i, e := range []stepper[T]{cpu, gpu} {
		for k, x := range p.Tensors {
			if !x.Frozen {
				grads[i][k] = make([]T, len(x.Data))
			}
		}
		var err error
		if stats[i], err = e.Gradient(b, grads[i]); err != nil {
			t.Fatal(err)
		}
		logits[i] = append([]T(nil), e.Logits()...)
	}
	near(t, p.Net, "logits", logits[0], logits[1], tolerance)
	if !(math.Abs(stats[0].Loss-stats[1].Loss) <= tolerance*(1+math.Abs(stats[0].Loss))) || stats[0].Wrong != stats[1].Wrong {
		t.Fatalf("CPU %+v, GPU %+v\n%v", stats[0], stats[1], p.Net)
	}
	for k := range grads[0] {
		near(t, p.Net, "gradient of "+p.Tensors[k].Param.Name, grads[0][k], grads[1][k], tolerance)
	}
}

func near[T program.Float](t *rapid.T, net *dag.Network, what string, a, b []T, tolerance float64) {
	most := 1.0
	for _, v := range a {
		most = math.Max(most, math.Abs(float64(v)))
	}
	for i := range a {
		if !(math.Abs(float64(a[i])-float64(b[i])) <= tolerance*most) {
			t.Fatalf("%s[%d]: CPU %v, GPU %v\n%v", what, i, a[i], b[i], net)
		}
	}
}

func examples[T program.Float](t *rapid.T, p *program.Program[T], n int) *engine.Batch[T] {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "examples"), 1))
	b := &engine.Batch[T]{N: n, X: make([]T, n*p.Values[p.Input].Len), Seed: 7}
	for i := range b.X {
		b.X[i] = T(rng.NormFloat64())
	}
	for range n {
		b.Labels = append(b.Labels, rng.IntN(max(2, p.Values[p.Logits].Len)))
	}
	return b
}
