package finetune

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/optim"
)

// Optimizer is an optimization method. With g the gradient of the mean loss:
//
//	path-sgd      w -= eta g/kappa
//	sgd           w -= eta g
//	adagrad       a += g^2,       w -= eta g/(sqrt(a) + eps)
//	path-adagrad  a += g^2/kappa, w -= eta (g/kappa)/(sqrt(a) + eps)
//
// The eps of AdaGrad is 1e-10 and stands beside a number that rescaling does
// not change. The step sizes of different methods are not comparable.
type Optimizer string

// The optimizers.
const (
	PathSGD     Optimizer = "path-sgd"
	SGD         Optimizer = "sgd"
	AdaGrad     Optimizer = "adagrad"
	PathAdaGrad Optimizer = "path-adagrad"
)

// Optimizers lists them, the default first.
func Optimizers() []Optimizer { return []Optimizer{PathSGD, SGD, AdaGrad, PathAdaGrad} }

var kinds = map[Optimizer]optim.Kind{PathSGD: optim.PathSGD, SGD: optim.SGD, AdaGrad: optim.AdaGrad, PathAdaGrad: optim.PathAdaGrad}

// DefaultRate is the step size that an optimizer gets when none is given: 0.2
// for path-sgd (to be normalised), 0.1 for sgd, 0.01 for the others.
func DefaultRate(o Optimizer) float64 {
	return cmp.Or(map[Optimizer]float64{PathSGD: 0.2, SGD: 0.1}[o], 0.01)
}

// Loss is what is minimised, a mean over examples, of logits f and label y:
//
//	softmax            -f_y + ln sum_c exp f_c
//	truncated-softmax  the same, but 0 where f_y - max_{c != y} f_c > Margin
//	squared            (1/2) sum_c (f_c - t_c)^2, t the targets or y's unit vector
//
// A network with a single score f for labels 0 and 1 has the logits (0, f), so
// that softmax is the logistic loss; squared compares f with -1 and 1.
type Loss string

// The losses.
const (
	Softmax          Loss = "softmax"
	TruncatedSoftmax Loss = "truncated-softmax"
	Squared          Loss = "squared"
)

// Losses lists them, the default first.
func Losses() []Loss { return []Loss{Softmax, TruncatedSoftmax, Squared} }

var lossKinds = map[Loss]engine.LossKind{Softmax: engine.Softmax, TruncatedSoftmax: engine.Truncated, Squared: engine.Squared}

// Normalize says whether the step size is normalised: multiplied by
// S / sum_e(g_e^2/kappa_e) at the first step, with S = ||g||^2 at the
// equivalent network of least sum of squares. Both are the same for equivalent
// networks, and the product is the step that SGD would take on that network,
// so that one rate serves networks of any scale. The factor is rounded to six
// bits, so that rounding errors of equivalent starts do not reach the run.
type Normalize uint8

// The choices.
const (
	// NormalizeAuto is on for path-sgd.
	NormalizeAuto Normalize = iota
	NormalizeOn
	NormalizeOff
)

// Options tells how to train. The zero value trains with Path-SGD for 10
// epochs.
type Options struct {
	// Optimizer is the method. Default: path-sgd.
	Optimizer Optimizer
	// P is the order of the path geometry, of the path penalty, of the norm that
	// MaxNorm bounds and of the path norm in the log: finite, at least 1. Default: 2.
	P float64
	// Bias says whether biases are edges of paths. Default: Include.
	Bias paths.Bias
	// Rate is the step size eta. Default: DefaultRate.
	Rate float64
	// RateDecay multiplies the step size after each epoch. Default: 1.
	RateDecay float64
	// Normalize says whether Rate is normalised. Only path-sgd can be.
	Normalize Normalize
	// Momentum is the coefficient m of the heavy ball, in [0, 1): with eta d the
	// step of the optimizer, v = m v + eta d and w -= v. It rises by
	// MomentumRise after each epoch up to MomentumMax. Defaults: 0, and no rise.
	Momentum, MomentumRise, MomentumMax float64
	// WeightDecay is lambda of the decoupled decay w -= eta lambda w of all
	// tensors but slopes; eta is not normalised here. For path-sgd of order 2 it
	// acts as the penalty (lambda/2)||pi||_2^2. Default: 0.
	WeightDecay float64
	// PathPenalty is mu of the penalty (mu/p)||pi||_p^p in the loss. Default: 0.
	PathPenalty float64
	// MaxNorm bounds the p-norm of the incoming weights of each unit, biases left
	// out, by projection after each step. Default: no bound.
	MaxNorm float64
	// KeepZeros keeps weights of layers at zero that are zero before training, as a pruned
	// network's are. Default: they are trained like others. On the CPU
	// only.
	KeepZeros bool
	// Conservation logs how far units are from the conservation laws of gradient flow: see
	// Epoch.Drift. On the CPU only. Default: not.
	Conservation bool
	// Dropout is the probability with which a step leaves a hidden unit out, in
	// [0, 1), rounded to 1/65536; activations that stay are divided by its
	// complement. kappa is that of the whole network. Default: 0.
	Dropout float64

	// Loss is the loss. Default: softmax for classes, squared for targets.
	Loss Loss
	// Margin is the threshold of truncated-softmax. Default: 1.
	Margin float64
	// Output names the output or layer whose value feeds the loss: see Scores.
	// Default: the one that fits the data.
	Output string
	// Freeze names layers that keep their tensors: see dag.Network.Find. Default:
	// none.
	Freeze []string

	// Batch is the number of examples of a step. Default: 100.
	Batch int
	// Epochs is the number of passes over the data. Default: 10.
	Epochs int
	// Patience ends the run after so many epochs without a smaller test error
	// (test loss for targets); Result.Best is then the best epoch's network.
	// Default: 0, never.
	Patience int
	// Test is evaluated after each epoch. Default: nothing is.
	Test *dataset.Set
	// EvalTrain says that the training loss and error of the log are those after
	// the epoch, not the means over its batches.
	EvalTrain bool

	// Seed determines the order of the examples and the dropout. Default: 0, a
	// seed like any other.
	Seed uint64
	// Threads is the number of threads. Default: runtime.GOMAXPROCS.
	Threads int
	// Device is where the steps are computed. Default: the CPU.
	Device Device
	// BLAS does the matrix products. Default: blas.Find.
	BLAS *blas.Engine

	// Checkpoint is the folder in which the state of the run is kept, after each
	// epoch and when the run is interrupted. Default: it is not kept.
	Checkpoint string
	// Resume continues from the checkpoint, where there is one.
	Resume bool
	// Log is called after each epoch, when its checkpoint is written. A resumed
	// run begins with calls for the epochs before it, since an end in between may
	// have come before the last one's. An error ends the run.
	Log func(Epoch) error
	// Progress is called after each step.
	Progress func(Progress)
}

// DefaultMargin is the threshold of the truncated loss when none is given.
const DefaultMargin = 1

// complete fills in the defaults and checks the ranges.
func (o Options) complete(train *dataset.Set) (Options, error) {
	o.Optimizer = cmp.Or(o.Optimizer, PathSGD)
	if o.Loss == "" {
		o.Loss = Softmax
		if train.Task() == dataset.Regression {
			o.Loss = Squared
		}
	}
	o.P = cmp.Or(o.P, 2)
	o.Rate = cmp.Or(o.Rate, DefaultRate(o.Optimizer))
	o.RateDecay = cmp.Or(o.RateDecay, 1)
	if o.MomentumRise == 0 {
		o.MomentumMax = cmp.Or(o.MomentumMax, o.Momentum)
	}
	o.Margin = cmp.Or(o.Margin, DefaultMargin)
	o.Batch = cmp.Or(o.Batch, 100)
	o.Epochs = cmp.Or(o.Epochs, 10)
	o.Threads = cmp.Or(o.Threads, runtime.GOMAXPROCS(0))
	if o.BLAS == nil {
		o.BLAS = blas.Find()
	}
	if o.Normalize == NormalizeAuto {
		o.Normalize = NormalizeOff
		if o.Optimizer == PathSGD {
			o.Normalize = NormalizeOn
		}
	}
	if err := o.check(train); err != nil {
		return o, err
	}
	// There is room for a whole batch.
	o.Batch = min(o.Batch, train.Len())
	return o, nil
}

func (o *Options) check(train *dataset.Set) error {
	var errs []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("finetune: "+format, args...))
		}
	}
	_, known := kinds[o.Optimizer]
	want(known, "there is no optimizer %q", o.Optimizer)
	_, known = lossKinds[o.Loss]
	want(known, "there is no loss %q", o.Loss)
	want(o.Device == "" || o.Device == CPU || o.Device == GPU, "there is no device %q", o.Device)
	want(!o.Conservation || o.Device != GPU, "conservation laws are logged by training on the CPU only")
	want(!o.KeepZeros || o.Device != GPU, "zeros are kept by training on the CPU only")
	want(o.P >= 1 && !math.IsInf(o.P, 1), "order p = %v, want a finite number of at least 1", o.P)
	want(o.Rate > 0 && !math.IsInf(o.Rate, 1), "step size %v, want a positive number", o.Rate)
	want(o.RateDecay > 0 && o.RateDecay <= 1, "decay of the step size %v, want a number in (0, 1]", o.RateDecay)
	want(o.Momentum >= 0 && o.Momentum < 1, "momentum %v, want a number in [0, 1)", o.Momentum)
	want(o.MomentumMax >= 0 && o.MomentumMax < 1 || o.MomentumRise == 0, "largest momentum %v, want a number in [0, 1)", o.MomentumMax)
	want(o.MomentumRise >= 0, "rise of the momentum %v, want a number of at least 0", o.MomentumRise)
	want(o.MomentumRise == 0 || o.MomentumMax > 0, "the momentum rises by %v: say up to which largest momentum", o.MomentumRise)
	want(o.Dropout >= 0 && o.Dropout < 1-0x1p-16, "dropout %v, want a number in [0, 1)", o.Dropout)
	for _, c := range []struct {
		what string
		v    float64
	}{{"weight decay", o.WeightDecay}, {"path penalty", o.PathPenalty}, {"max norm", o.MaxNorm}} {
		want(c.v >= 0 && !math.IsInf(c.v, 1), "%s %v, want a number of at least 0", c.what, c.v)
	}
	// Beyond 1 each step would turn the weights' signs.
	want(!(o.Rate*o.WeightDecay > 1), "step size %v times weight decay %v is above 1: lower one of them", o.Rate, o.WeightDecay)
	want(!math.IsNaN(o.Margin), "truncation margin NaN, want a number")
	want(o.Batch >= 1 && o.Epochs >= 1 && o.Threads >= 1 && o.Patience >= 0,
		"batch %d, epochs %d, threads %d, patience %d: want positive numbers", o.Batch, o.Epochs, o.Threads, o.Patience)
	want(o.Normalize != NormalizeOn || o.Optimizer == PathSGD, "only the step size of path-sgd can be normalised, not that of %s", o.Optimizer)
	want(o.Patience == 0 || o.Test != nil, "patience needs test data to look at")
	want(o.Loss == Squared || train.Task() == dataset.Classification, "the loss %s needs class labels: the data have targets", o.Loss)
	want(!o.Resume || o.Checkpoint != "", "there is no checkpoint folder to resume from")
	want(train.Len() > 0, "the training data are empty")
	if errs != nil {
		return &OptionError{Err: errors.Join(errs...)}
	}
	return nil
}

// OptionError says that options make no sense, alone or with the data.
type OptionError struct{ Err error }

func (e *OptionError) Error() string { return e.Err.Error() }
func (e *OptionError) Unwrap() error { return e.Err }

// rule is the optimizer's part of the options.
func (o *Options) rule() optim.Rule {
	return optim.Rule{
		Kind: kinds[o.Optimizer], P: o.P, Epsilon: 1e-10, Momentum: o.MomentumMax > 0,
		Decay: o.WeightDecay, PathPenalty: o.PathPenalty, MaxNorm: o.MaxNorm, KeepZeros: o.KeepZeros,
	}
}

func (o *Options) loss() engine.Loss { return engine.Loss{Kind: lossKinds[o.Loss], Margin: o.Margin} }

// rateAt and momentumAt are the schedule: epochs count from 0.
func (o *Options) rateAt(epoch int) float64 { return o.Rate * math.Pow(o.RateDecay, float64(epoch)) }

func (o *Options) momentumAt(epoch int) float64 {
	return math.Min(o.Momentum+o.MomentumRise*float64(epoch), math.Max(o.MomentumMax, o.Momentum))
}
