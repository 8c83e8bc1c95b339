package finetune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
)

// FreshOptions says how to make a fresh network.
type FreshOptions struct {
	// Type is that of the weights: dag.Float32 or dag.Float64. Default: Float32.
	Type dag.DType
	// Bias is what the layers add. Default: BiasZero.
	Bias BiasStart
	// Seed determines the weights.
	Seed uint64
}

// BiasStart says with which biases a fresh network starts.
type BiasStart uint8

// The choices.
const (
	// BiasZero starts with zeros, which training changes.
	BiasZero BiasStart = iota
	// BiasNone makes layers without biases.
	BiasNone
)

// Fresh returns a multilayer perceptron with the given numbers of inputs, of units in each hidden
// layer, and of outputs: layers fc1, fc2... with ReLU between them, weights from
// N(0,1)/sqrt(fan-in). Each layer has its own random stream, so that changing a width does not
// change the layers before it. Source: Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015,
// section 5. It panics for fewer than two widths or one that is not positive; the only error is
// ctx's.
func Fresh(ctx context.Context, widths []int, opt FreshOptions) (*dag.Network, error) {
	if len(widths) < 2 {
		panic("finetune: a network has inputs and outputs at least")
	}
	var b dag.Builder
	at := b.Input("input", widths[0])
	last := len(widths) - 1
	for k := 1; k <= last; k++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("fc%d", k)
		in, out := widths[k-1], widths[k]
		rng := rand.New(rand.NewPCG(opt.Seed, uint64(k)))
		w := opt.param(name+".weight", []int{out, in}, func() float64 { return rng.NormFloat64() / math.Sqrt(float64(in)) })
		l := &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: w}, Rows: out, Cols: in}}
		if opt.Bias != BiasNone {
			bias := opt.param(name+".bias", []int{out}, func() float64 { return 0 })
			l.Stages = []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: bias}, Coef: 1}}}
		}
		at = b.Node(dag.Node{Name: name, Source: "Gemm", In: []int{at}, Shape: []int{out}, Op: l})
		if k < last {
			at = b.Activation(fmt.Sprintf("relu%d", k), at, 0)
		}
	}
	b.Output("output", at)
	return b.Build()
}

func (o *FreshOptions) param(name string, shape []int, draw func() float64) *dag.Param {
	if o.Type != dag.Float64 {
		v := make([]float32, dag.Size(shape))
		for i := range v {
			v[i] = float32(draw())
		}
		return dag.NewParam32(name, dag.Float32, shape, v)
	}
	v := make([]float64, dag.Size(shape))
	for i := range v {
		v[i] = draw()
	}
	return dag.NewParam64(name, shape, v)
}
