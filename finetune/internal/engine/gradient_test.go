package engine_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

const features = dagtest.All &^ (dagtest.Inputs | dagtest.Outputs)

// compile makes the program of a random network, skipping those with a
// transposed convolution, which training refuses.
func compile(t *rapid.T, net *dag.Network, opt program.Options) *program.Program[float64] {
	p, err := program.Compile[float64](net, opt)
	if err != nil {
		if strings.Contains(err.Error(), "transposed") || strings.Contains(err.Error(), "nothing is left") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return p
}

// examples draws a batch that fits a program.
func examples(t *rapid.T, p *program.Program[float64], n int, labels bool) *engine.Batch[float64] {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "examples"), 1))
	b := &engine.Batch[float64]{N: n, X: make([]float64, n*p.Values[p.Input].Len)}
	for i := range b.X {
		b.X[i] = rng.NormFloat64()
	}
	k := p.Values[p.Logits].Len
	if labels {
		for range n {
			b.Labels = append(b.Labels, rng.IntN(k))
		}
		return b
	}
	b.Targets = make([]float64, n*k)
	for i := range b.Targets {
		b.Targets[i] = rng.NormFloat64()
	}
	return b
}

// logits evaluates a program's network by the evaluator of package dag.
func logits(t *rapid.T, p *program.Program[float64], net *dag.Network, b *engine.Batch[float64]) []float64 {
	y, err := eval.Run(context.Background(), net, [][]float64{b.X}, b.N, eval.Options{Values: []int{p.LogitNode}})
	if err != nil {
		t.Fatal(err)
	}
	return y[0]
}

func losses() []engine.Loss {
	return []engine.Loss{{Kind: engine.Softmax}, {Kind: engine.Truncated, Margin: 0.5}, {Kind: engine.Squared}}
}

// TestForward compares the logits with those of package dag.
func TestForward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := compile(t, dagtest.Random(t, dagtest.Options{Features: features, Type: dag.Float64}), program.Options{})
		b := examples(t, p, rapid.IntRange(1, 4).Draw(t, "n"), true)
		e := engine.New(p, nil, engine.Options{Batch: 4, BLAS: blas.Find(), Pool: pool.New(1)})
		if _, err := e.Evaluate(b); err != nil {
			t.Fatal(err)
		}
		want := logits(t, p, p.Net, b)
		for i, v := range e.Logits() {
			// The evaluator folds the stages of a layer into one factor, which
			// rounds differently.
			if !(math.Abs(v-want[i]) <= 1e-9*(1+math.Abs(want[i]))) {
				t.Fatalf("logit %d is %v, want %v\n%v", i, v, want[i], p.Net)
			}
		}
	})
}

// TestGradient compares gradients with differences of the loss of package dag's
// evaluator.
func TestGradient(t *testing.T) {
	pl := pool.New(2)
	defer pl.Close()
	rapid.Check(t, func(t *rapid.T) {
		p := compile(t, dagtest.Random(t, dagtest.Options{Features: features, Type: dag.Float64}), program.Options{})
		loss := rapid.SampledFrom(losses()).Draw(t, "loss")
		b := examples(t, p, rapid.IntRange(1, 4).Draw(t, "n"), loss.Kind != engine.Squared || rapid.Bool().Draw(t, "labels"))
		e := engine.New(p, nil, engine.Options{Batch: 4, Loss: loss, BLAS: blas.Find(), Pool: pl})
		grads := make([][]float64, len(p.Tensors))
		for k, x := range p.Tensors {
			grads[k] = make([]float64, len(x.Data))
		}
		if _, err := e.Gradient(b, grads); err != nil {
			t.Fatal(err)
		}
		k := rapid.IntRange(0, len(p.Tensors)-1).Draw(t, "tensor")
		x := p.Tensors[k]
		if x.Frozen {
			return
		}
		at := rapid.IntRange(0, len(x.Data)-1).Draw(t, "element")
		w := x.Data[at]
		eval := func(h float64) (float64, []float64) {
			x.Data[at] = w + h
			y := logits(t, p, p.Network(nil), b)
			s := engine.Of(loss, b, y, nil)
			x.Data[at] = w
			return s.Loss / float64(b.N), y
		}
		const h = 1e-5
		up, _ := eval(h)
		down, _ := eval(-h)
		mid, _ := eval(0)
		left, right := (mid-down)/h, (up-mid)/h
		if !(math.Abs(left-right) <= 1e-3*(1+math.Abs(left))) {
			return // a kink of the function or of the loss lies in between
		}
		got, want := grads[k][at], (up-down)/(2*h)
		// Rounding of the loss over 2h, and the third derivative times h^2.
		if !(math.Abs(got-want) <= 1e-5*(1+math.Abs(want)+math.Abs(mid))) {
			t.Fatalf("derivative by %q[%d] is %v, the difference %v\n%v", x.Param.Name, at, got, want, p.Net)
		}
	})
}
