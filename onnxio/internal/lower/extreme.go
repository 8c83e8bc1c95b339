package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// lowerMax is the maximum of activations; with the constant 0 it is ReLU.
func lowerMax(o *op) error { return o.extreme(1) }

// lowerMin is the negative of the maximum of the negatives. With constants that are
// not positive Max, and with those that are not negative Min, is a cap.
func lowerMin(o *op) error { return o.extreme(-1) }

func (o *op) extreme(sign float64) error {
	var acts []*value
	var cons []*value
	float := true
	for k := range o.in {
		v, err := o.need(k)
		if err != nil {
			return err
		}
		float = float && tensor.IsFloat(v.dataType())
		if v.constant() {
			cons = append(cons, v)
		} else {
			acts = append(acts, v)
		}
	}
	// around says that the constants have 0 on their inner side, zero that they are 0.
	around, zero := true, true
	for _, v := range cons {
		x, err := v.con.Float64s()
		if err != nil {
			return err
		}
		for _, b := range x {
			around = around && sign*b <= 0
			zero = zero && b == 0
		}
	}
	pick := tensor.Pairs[o.node.OpType]
	switch {
	case len(acts) == 0:
		return o.gives(o.foldAll(o.node.OpType))
	case !float || !zero && (!around || len(acts) > 1 || len(cons) > 1):
		return o.elementwise("it compares with a number beyond 0", func(x []float64) float64 {
			y := x[0]
			for _, z := range x[1:] {
				y = pick.Float(y, z)
			}
			return y
		})
	}
	if len(o.in) == 1 {
		o.give(0, acts[0])
		return nil
	}
	shape, _, err := o.broadcastAll(o.in)
	if err != nil {
		return err
	}
	if !zero {
		return o.bounded(sign, o.expand(acts[0], shape), shape)
	}
	for k, v := range acts {
		v = o.expand(v, shape)
		if sign < 0 {
			if v, err = o.affine(v, affine{coef: -1}); err != nil {
				return err
			}
		}
		acts[k] = v
	}
	out := acts[0]
	if len(acts) > 1 {
		out = o.emit(&dag.Pool{}, shape, acts...)
	}
	if len(cons) > 0 {
		out = o.activation(out, 0)
	}
	if sign < 0 {
		if out, err = o.affine(out, affine{coef: -1}); err != nil {
			return err
		}
	}
	o.give(0, out)
	return nil
}

// bounded caps an activation by a constant operand: from below for sign 1, from above
// for -1.
func (o *op) bounded(sign float64, v *value, shape []int) error {
	k := slices.IndexFunc(o.in, (*value).constant)
	bounds, err := o.in[k].con.Float64s()
	if err != nil {
		return err
	}
	if len(bounds) != 1 {
		dims, err := sampleDims(o.in[k].con, shape)
		if err != nil {
			return err
		}
		from := tensor.BroadcastIndex(dims, tensor.SampleShape(shape))
		o.spent += len(from)
		all := make([]float64, len(from))
		for e, j := range from {
			all[e] = bounds[j]
		}
		bounds = all
	}
	lo, hi, at := []float64{math.Inf(-1)}, []float64{math.Inf(1)}, &source.Cap{Lo: source.Nowhere, Hi: source.Nowhere}
	if site := (source.Bound{Node: o.index, Input: k, Dims: o.in[k].con.Dims}); sign > 0 {
		lo, at.Lo = bounds, site
	} else {
		hi, at.Hi = bounds, site
	}
	o.give(0, o.cap(v, lo, hi, at, noJump))
	return nil
}
