package lower

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

const ownNorm = "it divides by a norm of its own operand, which is homogeneous of degree 0"

// standardise is a normaliser over runs of n neighbours of the sample:
//
//	y = (x - m) / s,
//
// where stats gives the centre m, which may be 0, and the divisor s of a run.
func (o *op) standardise(v *value, n int, stats func(x []float64) (m, s float64)) *value {
	return o.emit(&dag.Func{Kind: dag.Normalizer, Why: ownNorm, Apply: func(dst []float64, in ...[]float64) {
		for at := 0; at+n <= len(dst) && n > 0; at += n {
			x := in[0][at : at+n]
			m, s := stats(x)
			for i, z := range x {
				dst[at+i] = (z - m) / s
			}
		}
	}}, v.shape, v)
}

// meanVariance gives the mean and the square root of the variance plus epsilon.
func meanVariance(epsilon float64) func(x []float64) (m, s float64) {
	return func(x []float64) (m, s float64) {
		for _, z := range x {
			m += z
		}
		m /= float64(len(x))
		for _, z := range x {
			s += (z - m) * (z - m)
		}
		return m, math.Sqrt(s/float64(len(x)) + epsilon)
	}
}

// rootMeanSquare gives 0 and the square root of the mean square plus epsilon.
func rootMeanSquare(epsilon float64) func(x []float64) (m, s float64) {
	return func(x []float64) (_, s float64) {
		for _, z := range x {
			s += z * z
		}
		return 0, math.Sqrt(s/float64(len(x)) + epsilon)
	}
}

// rescaled multiplies v by input scale and adds input shift, each of which is left
// out where it is absent or -1: a diagonal layer of constants, or products and sums
// of activations. dims gives a constant's shape against v; nil leaves it.
func (o *op) rescaled(v *value, scale, shift int, dims []int) (*value, error) {
	f := affine{mulAt: scale, addAt: shift, coef: 1, addCoef: 1}
	fit := func(t *tensor.Tensor) (*tensor.Tensor, error) {
		if dims == nil {
			return t, nil
		}
		if dag.Size(dims) != t.Size() {
			return nil, refusal.New("", "%s for a shape %v", words.Count(t.Size(), "number"), dims)
		}
		return t.Reshaped(dims), nil
	}
	var err error
	later := false // what the network computes comes behind the constants
	if s := o.arg(scale); s != nil {
		if later = !s.constant(); !later {
			if f.mul, err = fit(s.con); err != nil {
				return nil, err
			}
		}
	}
	b := o.arg(shift)
	if b != nil && b.constant() && !later {
		if f.add, err = fit(b.con); err != nil {
			return nil, err
		}
	}
	if f.mul != nil || f.add != nil {
		if v, err = o.affine(v, f); err != nil {
			return nil, err
		}
		if l, ok := o.nodes[v.node].Op.(*dag.Linear); ok && dims != nil && l.Rows() != dag.Size(dims) {
			for _, u := range o.nodes[v.node].Uses() {
				u.Param.Storage, u.Param.Reason = dag.Unwritable, fmt.Sprintf("%s has one number for several units here", o.node.OpType)
			}
		}
	}
	shape := v.shape
	for k, w := range []*value{o.arg(scale), b} {
		if w == nil || w.constant() && (k == 0 || f.add != nil) {
			continue
		}
		if w, err = o.materialize(w); err != nil {
			return nil, err
		}
		if dims != nil {
			if dag.Size(dims) != dag.Size(tensor.SampleShape(w.shape)) || w.batchAxis() >= 0 {
				return nil, refusal.New("", "a scale or shift of shape %s for a shape %v", tensor.DimString(w.shape), dims)
			}
			w = o.relabel(w, dims)
		}
		if k == 1 {
			v, err = o.combine(nil, v, w)
		} else if v, err = o.apply(degree2, v.elem, func(x []float64) float64 { return x[0] * x[1] }, v, w); err == nil {
			o.as(dag.Product, v)
		}
		if err != nil {
			return nil, err
		}
		if !slices.Equal(v.shape, shape) {
			return nil, refusal.New("", "a scale or shift of shape %s for a value of shape %s", tensor.DimString(w.shape), tensor.DimString(shape))
		}
	}
	return v, nil
}

// trailing returns the axis from which a normaliser works and the number of
// elements of a run.
func (o *op) trailing(v *value) (axis, n int, err error) {
	axis, err = tensor.AxisOf(o.int("axis", -1), len(v.shape))
	if err != nil {
		return 0, 0, err
	}
	if v.batchAxis() >= axis {
		return 0, 0, refusal.MixesBatch("it normalises along the batch axis")
	}
	return axis, dag.Size(v.shape[axis:]), nil
}

// layerNormalization makes a lowerer of LayerNormalization and its kin: the input
// and the inputs with scale and shift; epsilon is the default.
func layerNormalization(scale, shift int, epsilon float32, stats func(epsilon float64) func(x []float64) (m, s float64)) lowerer {
	return ofActivation(func(o *op, v *value) error {
		_, n, err := o.trailing(v)
		if err != nil {
			return err
		}
		return o.giveNormalized(v, n, scale, shift, stats(o.float("epsilon", epsilon)))
	})
}

// giveNormalized gives the rescaled standardised operand, and as second and third
// output the mean and one over the deviation of each run.
func (o *op) giveNormalized(v *value, n, scale, shift int, stats func(x []float64) (m, s float64)) error {
	out, err := o.rescaled(o.standardise(v, n, stats), scale, shift, nil)
	if err != nil {
		return err
	}
	o.give(0, out)
	for k := 1; k < min(3, len(o.node.Outputs)); k++ {
		if o.node.Outputs[k] == "" {
			continue
		}
		shape := slices.Clone(v.shape)
		for i, left := len(shape)-1, n; left > 1 && i >= 0; i-- {
			left /= max(shape[i], 1)
			shape[i] = 1
		}
		o.give(k, o.function(ownNorm, v.elem, shape, func(dst []float64, in ...[]float64) {
			for i := range dst {
				m, s := stats(in[0][i*n : (i+1)*n])
				if dst[i] = m; k == 2 || o.node.OpType == "SimplifiedLayerNormalization" {
					dst[i] = 1 / s
				}
			}
		}, v))
	}
	return nil
}

// activationOperand returns input k as the value of a node.
func (o *op) activationOperand(k int) (*value, error) {
	v, err := o.need(k)
	if err != nil {
		return nil, err
	}
	return o.materialize(v)
}

// lowerSkipNormalization is com.microsoft.SkipLayerNormalization: the sum of two
// values, and a bias, normalised; the fourth output is the sum.
func lowerSkipNormalization(o *op, a *value) error {
	b, err := o.activationOperand(1)
	if err != nil {
		return err
	}
	v, err := o.combine(nil, a, b)
	if err != nil {
		return err
	}
	simplified := o.node.OpType == "SkipSimplifiedLayerNormalization"
	shift, bias := 3, 4
	stats := meanVariance(o.float("epsilon", 1e-12))
	if simplified {
		shift, bias = -1, 3
		stats = rootMeanSquare(o.float("epsilon", 1e-12))
	}
	if x := o.arg(bias); x != nil {
		t, err := o.constant(bias, "the bias")
		if err != nil {
			return err
		}
		if v, err = o.affine(v, affine{add: t, addAt: bias, coef: 1, addCoef: 1}); err != nil {
			return err
		}
	}
	v.exclusive = false // the layer that it may be must stay the sum
	if err := o.giveNormalized(v, v.shape[len(v.shape)-1], 2, shift, stats); err != nil {
		return err
	}
	o.give(3, v)
	return nil
}

// channelled returns the extents of the operand of a normaliser over channels: (N, C, spatial...).
func channelled(v *value) (channels, positions int, err error) {
	dims := v.dims()
	if len(dims) < 3 {
		return 0, 0, refusal.New("", "an operand of rank %d", len(dims))
	}
	if v.batchAxis() > 0 {
		return 0, 0, refusal.MixesBatch("it normalises along the batch axis")
	}
	return dims[1], dag.Size(dims[2:]), nil
}

// perChannel is the shape of one number a channel against (N, C, spatial...).
func perChannel(channels, rank int) []int {
	return slices.Concat([]int{channels}, slices.Repeat([]int{1}, rank-2))
}

func lowerInstanceNormalization(o *op, v *value) error {
	c, n, err := channelled(v)
	if err != nil {
		return err
	}
	return o.gives(o.rescaled(o.standardise(v, n, meanVariance(o.float("epsilon", 1e-5))), 1, 2, perChannel(c, len(v.shape))))
}

// lowerGroupNormalization has a scale and a shift a group before opset 21, and a
// channel from then on.
func lowerGroupNormalization(o *op, v *value) error {
	c, n, err := channelled(v)
	if err != nil {
		return err
	}
	groups := int(o.int("num_groups", 0))
	if groups < 1 || c%groups != 0 {
		return refusal.New("", "%s of %s", words.Count(groups, "group"), words.Count(c, "channel"))
	}
	y := o.standardise(v, c/groups*n, meanVariance(o.float("epsilon", 1e-5)))
	if o.opset < 21 {
		y = o.relabel(y, slices.Concat([]int{v.shape[0], groups, c / groups}, v.shape[2:]))
		if y, err = o.rescaled(y, 1, 2, perChannel(groups, len(v.shape)+1)); err != nil {
			return err
		}
		o.give(0, o.relabel(y, v.shape))
		return nil
	}
	return o.gives(o.rescaled(y, 1, 2, perChannel(c, len(v.shape))))
}

// lowerLpNormalization divides by the 1- or 2-norm along an axis; a run of norm 0
// stays 0.
func lowerLpNormalization(o *op) error {
	p := o.int("p", 2)
	if p != 1 && p != 2 {
		return refusal.New("", "p is %d", p)
	}
	return normalizer(ownNorm, func(x []float64) {
		s := 0.0
		for _, z := range x {
			if p == 1 {
				s += math.Abs(z)
			} else {
				s += z * z
			}
		}
		if p == 2 {
			s = math.Sqrt(s)
		}
		for i := range x {
			if s != 0 {
				x[i] /= s
			}
		}
	})(o)
}

// lowerMeanVarianceNormalization normalises over the given axes, by default all but
// the channels; over the batch the samples do not stay apart.
func lowerMeanVarianceNormalization(o *op, v *value) error {
	axes := o.ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	drop := make([]bool, len(v.shape))
	for _, a := range axes {
		k, err := tensor.AxisOf(a, len(v.shape))
		if err != nil {
			return err
		}
		if v.shape[k] == tensor.BatchDim {
			return refusal.MixesBatch("it normalises along the batch axis")
		}
		drop[k] = true
	}
	var kept, last []int
	n := 1
	for k, d := range v.shape {
		if drop[k] {
			last = append(last, k)
			n *= d
		} else {
			kept = append(kept, k)
		}
	}
	order := slices.Concat(kept, last)
	stats := meanVariance(0)
	y := o.standardise(o.transpose(v, order), n, func(x []float64) (m, s float64) {
		m, s = stats(x)
		return m, s + 1e-9
	})
	o.give(0, o.transpose(y, inverted(order)))
	return nil
}

// lowerLRN divides by a power of a sum of squares over neighbouring channels.
func lowerLRN(o *op, v *value) error {
	c, n, err := channelled(v)
	if err != nil {
		return err
	}
	size := int(o.int("size", 0))
	if size < 1 {
		return refusal.New("", "size is %d", size)
	}
	if c > maxSteps/max(1, min(c, size)) {
		return refusal.New("", "sums over %d of %d channels: more than %d squares", size, c, maxSteps)
	}
	samples := tensor.Single(v.dims()[0])
	if v.constant() {
		if err := o.affordProducts(samples * c * n * min(c, size)); err != nil {
			return err
		}
	}
	alpha, beta, bias := o.float("alpha", 0.0001), o.float("beta", 0.75), o.float("bias", 1)
	y, err := o.functionOf(ownNorm, v.dataType(), v.dims(), func(dst []float64, in ...[]float64) {
		for q := range samples {
			x, y := in[0][q*c*n:], dst[q*c*n:]
			for k := range c {
				lo, hi := max(0, k-(size-1)/2), min(c-1, k+size/2)
				for p := range n {
					s := 0.0
					for j := lo; j <= hi; j++ {
						s += x[j*n+p] * x[j*n+p]
					}
					y[k*n+p] = x[k*n+p] / math.Pow(bias+alpha/float64(size)*s, beta)
				}
			}
		}
	}, v)
	if err != nil {
		return err
	}
	o.give(0, o.as(dag.Normalizer, y))
	return nil
}
