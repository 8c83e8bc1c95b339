package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// extremes returns the scale and the zero point by which DynamicQuantizeLinear brings
// numbers to uint8, as ONNX Runtime computes them in float32.
func extremes(x []float64) (scale, zero float64) {
	lo, hi := 0.0, 0.0
	for _, z := range x {
		z = tensor.Rounded(wire.Float32, z)
		lo, hi = tensor.Smaller(lo, z), tensor.Larger(hi, z)
	}
	scale = tensor.Rounded(wire.Float32, tensor.Rounded(wire.Float32, hi-lo)/255)
	if scale == 0 {
		scale = 1
	}
	zero = math.RoundToEven(tensor.Larger(0, tensor.Smaller(255, tensor.Rounded(wire.Float32, -lo/scale))))
	return scale, zero
}

// quantised brings x to uint8.
func quantised(x, scale, zero float64) float64 {
	y := math.RoundToEven(tensor.Rounded(wire.Float32, tensor.Rounded(wire.Float32, x)/scale)) + zero
	return tensor.Larger(0, tensor.Smaller(255, y))
}

const byExtremes = "it scales by extremes of its operand"

// wholeBatch returns input 0, which must be of one sample.
func (o *op) wholeBatch() (*value, error) {
	v, err := o.need(0)
	if err == nil && slices.Contains(v.dims(), tensor.BatchDim) {
		err = refusal.MixesBatch("it scales by the extremes of the whole batch")
	}
	return v, err
}

// lowerDynamicQuantizeLinear quantises to uint8 by the extremes of the operand, 0
// among them.
func lowerDynamicQuantizeLinear(o *op) error {
	v, err := o.wholeBatch()
	if err != nil {
		return err
	}
	for k, part := range []struct {
		typ   wire.DataType
		shape []int
		f     func(dst []float64, in ...[]float64)
	}{
		{wire.Uint8, slices.Clone(v.dims()), func(dst []float64, in ...[]float64) {
			scale, zero := extremes(in[0])
			for i, x := range in[0] {
				dst[i] = quantised(x, scale, zero)
			}
		}},
		{wire.Float32, []int{}, func(dst []float64, in ...[]float64) { dst[0], _ = extremes(in[0]) }},
		{wire.Uint8, []int{}, func(dst []float64, in ...[]float64) { _, dst[0] = extremes(in[0]) }},
	} {
		out, err := o.functionOf(byExtremes, part.typ, part.shape, part.f, v)
		if err != nil {
			return err
		}
		o.give(k, out)
	}
	return nil
}

// lowerDynamicQuantizeMatMul is com.microsoft.DynamicQuantizeMatMul: a product whose first
// operand is quantised by its extremes, and the second stored so.
func lowerDynamicQuantizeMatMul(o *op) error {
	v, err := o.wholeBatch()
	if err != nil {
		return err
	}
	a, err := o.functionOf(byExtremes, wire.Float32, slices.Clone(v.dims()), func(dst []float64, in ...[]float64) {
		scale, zero := extremes(in[0])
		for i, x := range in[0] {
			dst[i] = (quantised(x, scale, zero) - zero) * scale
		}
	}, v)
	if err != nil {
		return err
	}
	return o.floatProduct(a, 2, 3, 4)
}

// lowerMatMulIntegerToFloat is com.microsoft.MatMulIntegerToFloat: a product of quantised
// operands, in float32.
func lowerMatMulIntegerToFloat(o *op, v *value) error {
	scale, err := o.need(2)
	if err != nil {
		return err
	}
	a, err := o.dequantise(v, quantum{scale: scale, zero: o.arg(4), axis: max(0, rank(v)-2)}, floatType(scale))
	if err != nil {
		return err
	}
	return o.floatProduct(a, 3, 5, 6)
}

// floatProduct gives the product of a and the quantised input 1, whose scale, zero point and
// a bias of the product are the inputs that the numbers say.
func (o *op) floatProduct(a *value, scale, zero, bias int) error {
	v, err := o.need(1)
	if err != nil {
		return err
	}
	s, err := o.need(scale)
	if err != nil {
		return err
	}
	b, err := o.dequantise(v, quantum{scale: s, zero: o.arg(zero), axis: rank(v) - 1}, floatType(s))
	if err != nil {
		return err
	}
	out, err := o.inner(ofTwo(lowerMatMul), "MatMul", []*value{a, b}, []int{0, 1})
	if err == nil && o.arg(bias) != nil {
		out, err = o.inner(addition(1), "Add", []*value{out, o.arg(bias)}, []int{-1, bias})
	}
	return o.gives(out, err)
}

// lowerQLinearWhere is com.microsoft.QLinearWhere.
func lowerQLinearWhere(o *op, cond *value) error {
	var err error
	in := []*value{cond, nil, nil}
	for k, at := range []int{1, 4} {
		if in[k+1], _, err = o.quantisedInput(at, -1); err != nil {
			return err
		}
	}
	return o.innerQuantised(7, o.in[1].dataType(), ofThree(lowerWhere), "Where", in, []int{0, 1, 4})
}

// lowerQEmbedLayerNormalization is com.microsoft.QEmbedLayerNormalization: tables, scale and
// shift are quantised, with their scales and then their zero points behind the mask.
func lowerQEmbedLayerNormalization(o *op) error {
	c := *o
	c.in = slices.Clone(o.in[:min(8, len(o.in))])
	for k := 2; k < 7 && k < len(c.in); k++ {
		scale := o.arg(6 + k)
		if c.in[k] == nil || scale == nil {
			continue
		}
		var err error
		if c.in[k], err = o.dequantise(c.in[k], quantum{scale: scale, zero: o.arg(11 + k), axis: -1}, floatType(scale)); err != nil {
			return err
		}
	}
	return ofActivation(lowerEmbedLayerNormalization)(&c)
}
