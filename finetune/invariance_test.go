package finetune_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
)

// trajectory returns the loss of each step's batch.
func trajectory(t *testing.T, net *dag.Network, set *dataset.Set, steps int, opt finetune.Options) []float64 {
	t.Helper()
	var losses []float64
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	opt.Epochs = 1000
	opt.Progress = func(p finetune.Progress) {
		losses = append(losses, p.BatchLoss)
		if len(losses) == steps {
			stop()
		}
	}
	tr, err := finetune.New(net, set, opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Run(ctx); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
	return losses
}

// worst is the largest difference of two trajectories, relative to the loss.
func worst(a, b []float64, steps int) float64 {
	if len(a) < steps || len(b) < steps {
		return math.Inf(1)
	}
	m := 0.0
	for i := range steps {
		d := math.Abs(a[i]-b[i]) / (1e-30 + math.Abs(a[i]))
		if !(d <= m) {
			m = d
		}
	}
	return m
}

// length is the number of steps of the trajectories: 200, and 40 with -short.
func length() int {
	if testing.Short() {
		return 40
	}
	return 200
}

// rates by order train from the starts below; kappa of order 1 has another
// scale than that of order 2.
var rates = map[finetune.Optimizer][3]float64{
	finetune.PathSGD:     {1: 3, 2: 0.03},
	finetune.PathAdaGrad: {1: 0.05, 2: 0.01},
	finetune.SGD:         {1: 0.1, 2: 0.1},
	finetune.AdaGrad:     {1: 0.01, 2: 0.01},
}

func isPath(o finetune.Optimizer) bool { return o == finetune.PathSGD || o == finetune.PathAdaGrad }

// start is the network that training begins from.
func start(typ dag.DType) *dag.Network { return mlp(typ, 3, 784, 20, 20, 10) }

// TestPowersOfTwo: from starts that differ by powers of two over six decades the
// losses are the same bits under path-sgd and path-adagrad, and are not under
// sgd and adagrad.
func TestPowersOfTwo(t *testing.T) {
	steps := length()
	set := mnist(t, dataset.Train, 2000)
	for _, typ := range []dag.DType{dag.Float32, dag.Float64} {
		net := start(typ)
		other := rescaled(net, 5, powers)
		for _, o := range finetune.Optimizers() {
			for _, p := range []int{1, 2} {
				plain := finetune.Options{Optimizer: o, P: float64(p), Rate: rates[o][p], Normalize: finetune.NormalizeOff, Threads: 2, Seed: 9}
				a, b := trajectory(t, net, set, steps, plain), trajectory(t, other, set, steps, plain)
				switch d := worst(a, b, min(steps, len(b))); {
				case isPath(o) && (d != 0 || len(b) < steps):
					t.Errorf("%s, p = %v, %s: losses differ by %.3g", o, p, typ, d)
				case !isPath(o) && d < 1e-2:
					t.Errorf("%s, %s: losses agree to %.3g", o, typ, d)
				}
				if last := a[steps-1]; steps == 200 && !(last < 1.5) {
					t.Errorf("%s, p = %v, %s: the loss is %.3g after %d steps: the step size does not train", o, p, typ, last, steps)
				}
			}
		}
	}
}

// TestFarUnits: a unit whose kappa is 2^132 times that of its neighbours, more than float32's range above 1,
// changes the losses by rounding alone, where products leave the range of whole precision.
func TestFarUnits(t *testing.T) {
	const steps = 5
	set := mnist(t, dataset.Train, 500)
	net := start(dag.Float32)
	for _, e := range []float64{66, -66} {
		first := true
		other := rescaled(net, 5, func(*rand.Rand) float64 {
			if !first {
				return 1
			}
			first = false
			return math.Exp2(e)
		})
		opt := finetune.Options{Rate: 0.03, Normalize: finetune.NormalizeOff, Threads: 2, Seed: 9}
		a, b := trajectory(t, net, set, steps, opt), trajectory(t, other, set, steps, opt)
		if d := worst(a, b, steps); !(d <= 1e-6) { // ten roundings of float32
			t.Errorf("2^%v: losses differ by %.3g", e, d)
		}
	}
}

// TestPowersOfTwoWithOptions: momentum, decay, dropout, the path penalty and
// the normalised step keep the bits too.
func TestPowersOfTwoWithOptions(t *testing.T) {
	steps := length()
	set := mnist(t, dataset.Train, 2000)
	net := start(dag.Float32)
	other := rescaled(net, 5, powers)
	for name, opt := range map[string]finetune.Options{
		"momentum and decay": {Momentum: 0.5, WeightDecay: 1e-3, Rate: 0.03, Normalize: finetune.NormalizeOff},
		"path penalty":       {PathPenalty: 1e-3, Rate: 0.03, Normalize: finetune.NormalizeOff},
		"dropout":            {Dropout: 0.5, Rate: 0.03, Normalize: finetune.NormalizeOff},
		"normalised":         {Rate: 0.1},
		"adagrad, momentum":  {Optimizer: finetune.PathAdaGrad, Momentum: 0.5, Rate: 0.01},
	} {
		opt.Threads, opt.Seed = 2, 9
		a, b := trajectory(t, net, set, steps, opt), trajectory(t, other, set, steps, opt)
		if d := worst(a, b, steps); d != 0 {
			t.Errorf("%s: losses differ by %.3g", name, d)
		}
	}
}

// TestRealFactors: with real factors and with the experiment's unbalancing the
// losses agree to rounding errors, which training amplifies.
func TestRealFactors(t *testing.T) {
	steps := length()
	set := mnist(t, dataset.Train, 2000)
	for _, typ := range []dag.DType{dag.Float32, dag.Float64} {
		net := start(typ)
		res, err := rescale.Run(context.Background(), rescale.Unbalance, net, rescale.Options{Seed: 4})
		if err != nil {
			t.Fatal(err)
		}
		unbalanced, err := net.Rescale(res.Groups, res.Factors)
		if err != nil {
			t.Fatal(err)
		}
		random := rescaled(net, 6, func(rng *rand.Rand) float64 { return math.Exp(2 * rng.NormFloat64()) })
		for _, o := range finetune.Optimizers() {
			for _, p := range []int{1, 2} {
				opt := finetune.Options{Optimizer: o, P: float64(p), Rate: rates[o][p], Normalize: finetune.NormalizeOff, Threads: 2}
				// Double precision: 1e-10 over the run; single: 1e-4 for ten steps,
				// after which rounding errors have grown too far to say.
				limit, k := 1e-10, steps
				if typ == dag.Float32 {
					limit, k = 1e-4, 10
				}
				a := trajectory(t, net, set, steps, opt)
				for name, from := range map[string]*dag.Network{"unbalanced": unbalanced, "random": random} {
					b := trajectory(t, from, set, steps, opt)
					d := worst(a, b, min(k, len(b)))
					if isPath(o) && !(d <= limit) {
						t.Errorf("%s, p = %v, %s, %s: losses differ by %.3g, want %.0e", o, p, typ, name, d, limit)
					}
					if !isPath(o) && d < 1e-2 {
						t.Errorf("%s, %s, %s: losses agree to %.3g", o, typ, name, d)
					}
				}
			}
		}
	}
}
