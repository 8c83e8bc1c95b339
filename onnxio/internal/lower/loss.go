package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

const loses = "it is a loss"

// lowerSoftmaxCrossEntropyLoss is the negative log-likelihood of a softmax over axis 1;
// its second output is the logarithm of the softmax.
func lowerSoftmaxCrossEntropyLoss(o *op, scores *value) error {
	dims := scores.dims()
	if len(dims) < 2 || dims[1] == tensor.BatchDim {
		return refusal.New("", "scores of shape %s", tensor.DimString(dims))
	}
	log, err := o.functionOf("it is a logarithm of a sum of exponentials", scores.dataType(), dims, rowwise(tensor.Around(dims, 1), logSoftmax), scores)
	if err != nil {
		return err
	}
	o.give(1, log)
	return o.likelihood(log)
}

// likelihood is NegativeLogLikelihoodLoss: the loss -w[t] log[t] of the target t at each place, their weighted
// mean or their sum.
func (o *op) likelihood(log *value) error {
	target, err := o.need(1)
	if err != nil {
		return err
	}
	dims := log.dims()
	if len(dims) < 2 || dims[1] == tensor.BatchDim || !slices.Equal(target.dims(), slices.Delete(slices.Clone(dims), 1, 2)) {
		if abreast(log, target) {
			return refusal.New("", "targets of shape %s for scores of shape %s", tensor.DimString(target.dims()), tensor.DimString(dims))
		}
		return refusal.MixesBatch("it compares samples of the batch with constants")
	}
	weights := slices.Repeat([]float64{1}, dims[1])
	if o.arg(2) != nil {
		if weights, err = o.floatsAt(2, "the weights of the classes"); err != nil {
			return err
		}
		if len(weights) != dims[1] {
			return refusal.New("", "%s for %s", words.Count(len(weights), "weight"), words.Count(dims[1], "class"))
		}
	}
	reduction, shape := o.str("reduction", "mean"), target.dims()
	switch reduction {
	case "none":
	case "mean", "sum":
		if slices.Contains(shape, tensor.BatchDim) {
			return refusal.MixesBatch("it sums over the batch")
		}
		shape = nil
	default:
		return refusal.New("", "reduction %q", reduction)
	}
	a := tensor.Around(dims, 1)
	ignored, skips := o.int("ignore_index", 0), o.attr("ignore_index") != nil
	return o.gives(o.functionOf(loses, log.dataType(), shape, func(dst []float64, in ...[]float64) {
		sum, mass := 0.0, 0.0
		for k, t := range in[1] {
			loss, w := 0.0, 0.0
			if !skips || t != float64(ignored) {
				loss, w = math.NaN(), math.NaN()
				if c, ok := place(t, a.N); ok {
					w = weights[c]
					loss = -w * in[0][(k/a.Inner*a.N+c)*a.Inner+k%a.Inner]
				}
			}
			if reduction == "none" {
				dst[k] = loss
			}
			sum, mass = sum+loss, mass+w
		}
		switch reduction {
		case "mean":
			dst[0] = sum / mass
		case "sum":
			dst[0] = sum
		}
	}, log, target))
}

// lowerReverseSequence reverses the first entries of each sequence along the axis of
// time.
func lowerReverseSequence(o *op, v, lens *value) error {
	dims := v.dims()
	time, batch := int(o.int("time_axis", 0)), int(o.int("batch_axis", 1))
	if len(dims) < 2 || time+batch != 1 || time*batch != 0 {
		return refusal.New("", "axes %d and %d of %s", time, batch, tensor.DimString(dims))
	}
	if dims[time] == tensor.BatchDim || slices.ContainsFunc(dims[2:], func(d int) bool { return d == tensor.BatchDim }) {
		return refusal.MixesBatch("it reverses the batch axis")
	}
	if n := lens.dims(); len(n) != 1 || n[0] != dims[batch] {
		if lens.constant() && dims[batch] == tensor.BatchDim {
			return refusal.MixesBatch("its sequences have lengths of their own")
		}
		return refusal.New("", "lengths of shape %s for values of shape %s", tensor.DimString(lens.dims()), tensor.DimString(dims))
	}
	steps, sequences, run := dims[time], tensor.Single(dims[batch]), dag.Size(dims[2:])
	return o.gives(o.functionOf("it reverses sequences", v.dataType(), dims, func(dst []float64, in ...[]float64) {
		place := func(t, b int) int {
			if time == 0 {
				return (t*sequences + b) * run
			}
			return (b*steps + t) * run
		}
		for b := range sequences {
			n := int(tensor.Larger(0, tensor.Smaller(float64(steps), in[1][b])))
			for t := range steps {
				from := t
				if t < n {
					from = n - 1 - t
				}
				copy(dst[place(t, b):][:run], in[0][place(from, b):])
			}
		}
	}, v, lens))
}
