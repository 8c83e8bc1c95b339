package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// activation applies z for z >= 0, slope*z below.
func (o *op) activation(v *value, slope float64) *value {
	return o.emit(&dag.Activation{Slope: []float64{slope}}, v.shape, v)
}

// leaky makes a lowerer of an activation with a slope that is known, or that
// the attribute alpha holds.
func leaky(slope func(o *op) float64) lowerer {
	return ofFirst(func(o *op, v *value) error {
		s := slope(o)
		if v.constant() || !tensor.IsFloat(v.elem) {
			return o.elementwise("integers have no slope", func(x []float64) float64 {
				if x[0] < 0 {
					return s * x[0]
				}
				return x[0]
			})
		}
		o.give(0, o.activation(v, s))
		return nil
	})
}

var (
	lowerRelu      = leaky(func(*op) float64 { return 0 })
	lowerAbs       = leaky(func(*op) float64 { return -1 })
	lowerLeakyRelu = leaky(func(o *op) float64 { return o.float("alpha", 0.01) })
)

// lowerPRelu is an activation with a stored slope, which broadcasts to the
// operand from its last axis.
func lowerPRelu(o *op, v *value) error {
	if s := o.arg(1); s != nil && !s.constant() {
		return o.computedSlope(v, s)
	}
	t, err := o.constant(1, "the slope")
	if err != nil {
		return err
	}
	if v.constant() {
		return o.elementwise("", func(x []float64) float64 {
			if x[0] < 0 {
				return x[1] * x[0]
			}
			return x[0]
		})
	}
	if t, err = o.legacySlope(t, v.shape); err != nil {
		return err
	}
	shape, err := tensor.BroadcastDims(v.shape, tensor.AlignBatch(t, v.shape))
	if err != nil {
		return sumShapes(err, []*value{v})
	}
	if dag.Size(tensor.SampleShape(shape)) != dag.Size(tensor.SampleShape(v.shape)) {
		return refusal.New("", "a slope of shape %v does not broadcast to %s", t.Dims, tensor.DimString(v.shape))
	}
	dims, err := sampleDims(t, v.shape)
	if err != nil {
		return err
	}
	u, err := o.use(t, 1)
	if err != nil {
		return err
	}
	a := &dag.Activation{Param: &u}
	if t.Scalar() {
		a.Slope = []float64{u.Param.At(0)}
		o.give(0, o.emit(a, v.shape, v))
		return nil
	}
	index := tensor.BroadcastIndex(dims, tensor.SampleShape(v.shape))
	if t.Swapped {
		// The Param holds the transpose.
		place := tensor.Permutation([]int{t.Dims[1], t.Dims[0]}, []int{1, 0})
		for i, j := range index {
			index[i] = place[j]
		}
	}
	a.Slope = make([]float64, len(index))
	plain := len(index) == u.Param.Len()
	for i, j := range index {
		a.Slope[i] = u.Param.At(int(j))
		plain = plain && int(j) == i
	}
	if !plain {
		a.Index = index
	}
	o.give(0, o.emit(a, v.shape, v))
	return nil
}

// computedSlope is an activation whose slopes the network computes.
func (o *op) computedSlope(v, slope *value) error {
	out, err := o.apply(degree2, v.dataType(), func(x []float64) float64 {
		if x[0] < 0 {
			return x[1] * x[0]
		}
		return x[0]
	}, v, slope)
	if err != nil {
		return err
	}
	if !slices.Equal(out.shape, v.dims()) && !v.constant() {
		return refusal.New("", "a slope of shape %s does not broadcast to %s", tensor.DimString(slope.shape), tensor.DimString(v.shape))
	}
	o.give(0, o.as(dag.Product, out))
	return nil
}

// legacySlope gives the slope of a channel, as opsets before 7 store it, and as
// exporters kept storing it, its place beside the spatial axes.
func (o *op) legacySlope(t *tensor.Tensor, shape []int) (*tensor.Tensor, error) {
	if len(t.Dims) != 1 || t.Scalar() || len(shape) < 2 || o.opset >= 7 {
		return t, nil
	}
	if t.Dims[0] != shape[1] {
		return nil, refusal.New("", "%s for %s", words.Count(t.Dims[0], "slope"), words.Count(shape[1], "channel"))
	}
	return t.Reshaped(append([]int{t.Dims[0]}, slices.Repeat([]int{1}, len(shape)-2)...)), nil
}

// lowerThresholdedRelu is ReLU where the threshold is 0.
func lowerThresholdedRelu(o *op) error {
	alpha := o.float("alpha", 1)
	if alpha == 0 {
		return lowerRelu(o)
	}
	v, err := o.need(0)
	if err != nil {
		return err
	}
	if alpha > 0 && !v.constant() && tensor.IsFloat(v.elem) {
		at := source.Bound{Node: o.index, Input: -1}
		o.give(0, o.cap(v, []float64{alpha}, []float64{math.Inf(1)}, &source.Cap{Lo: at, Hi: source.Nowhere}, jump))
		return nil
	}
	return o.elementwise("its threshold is not 0", func(x []float64) float64 {
		if x[0] > alpha {
			return x[0]
		}
		return 0
	})
}

// lowerClip is ReLU for the bounds 0 and infinity, and the identity without
// bounds. Any other bound is a number that does not scale with the operand.
func lowerClip(o *op, v *value) error {
	var err error
	lo, hi := bound{}, bound{}
	for k, b := range []*bound{&lo, &hi} {
		if *b, err = o.bound(k); err != nil {
			return err
		}
	}
	if !v.constant() && tensor.IsFloat(v.elem) && !hi.set {
		switch {
		case !lo.set:
			o.give(0, v)
			return nil
		case lo.at == 0:
			o.give(0, o.activation(v, 0))
			return nil
		}
	}
	if !v.constant() && tensor.IsFloat(v.elem) && (!lo.set || lo.at <= 0) && (!hi.set || hi.at >= 0) {
		site := &source.Cap{}
		for k, at := range []*source.Bound{&site.Lo, &site.Hi} {
			*at = source.Bound{Node: o.index, Input: 1 + k}
			switch {
			case o.opset < 11:
				at.Input = -1
			case o.arg(1+k) != nil:
				at.Dims = o.in[1+k].con.Dims
			}
		}
		o.give(0, o.cap(v, []float64{lo.or(math.Inf(-1))}, []float64{hi.or(math.Inf(1))}, site, noJump))
		return nil
	}
	return o.gives(o.apply("it clips at a number other than 0", v.dataType(), func(x []float64) float64 {
		y := x[0]
		if lo.set {
			y = tensor.Larger(y, lo.at)
		}
		if hi.set {
			y = tensor.Smaller(y, hi.at)
		}
		return y
	}, v))
}

// bound is a bound of Clip; it is set where it can be reached.
type bound struct {
	at  float64
	set bool
}

// or is the bound, or x where it cannot be reached.
func (b bound) or(x float64) float64 {
	if b.set {
		return b.at
	}
	return x
}

// bound reads the lower (0) or upper (1) bound: an attribute before opset 11,
// an input from then on.
func (o *op) bound(k int) (bound, error) {
	x := 0.0
	if o.opset < 11 {
		name := [...]string{"min", "max"}[k]
		if o.attr(name) == nil {
			return bound{}, nil
		}
		x = o.float(name, 0)
	} else {
		if o.arg(1+k) == nil {
			return bound{}, nil
		}
		var err error
		if x, err = o.numberAt(1+k, [...]string{"the lower bound", "the upper bound"}[k], 0); err != nil {
			return bound{}, err
		}
	}
	// The largest float32 stands for infinity in the files of several exporters.
	const most = 3.4028234e38
	if k == 0 && x <= -most || k == 1 && x >= most {
		return bound{}, nil
	}
	return bound{x, true}, nil
}
