package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

const (
	dequantised = "it is stored in quantised form"
	scales      = "it scales quantised numbers"
)

// limits returns the smallest and the largest number of a quantised type.
func limits(typ wire.DataType) (lo, hi float64, ok bool) {
	bits := typ.Bits()
	switch typ {
	case wire.Int4, wire.Int8, wire.Int16, wire.Int32:
		return -math.Ldexp(1, bits-1), math.Ldexp(1, bits-1) - 1, true
	case wire.Uint4, wire.Uint8, wire.Uint16:
		return 0, math.Ldexp(1, bits) - 1, true
	}
	return 0, 0, false
}

// quantum is how numbers are quantised: x = (q - zero) scale. A nil zero is 0.
type quantum struct {
	scale, zero *value
	// axis has an entry of scale and zero where those are vectors; along it each
	// block of so many numbers has one, with block 0 each number.
	axis, block int
	// shifted says that the zero point is added before rounding, as ONNX Runtime's
	// sums and products do: halves go to another neighbour.
	shifted bool
}

// quantum reads the inputs with scale and zero point; no axis is -1.
func (o *op) quantum(scale, axis, block int) (quantum, error) {
	s, err := o.need(scale)
	if err != nil {
		return quantum{}, err
	}
	return quantum{scale: s, zero: o.arg(scale + 1), axis: axis, block: block}, nil
}

// beside returns a scale or zero point as it broadcasts to the dims of what is
// quantised.
func (o *op) beside(v *value, dims []int, q quantum) (*value, error) {
	if v == nil {
		return &value{con: tensor.NewFloats(dag.Float32, nil, []float64{0})}, nil
	}
	own := v.dims()
	shape := []int{}
	switch {
	case len(own) == 0 || len(own) == 1 && own[0] == 1 && q.block == 0:
	case len(own) > 1 && q.block == 0 && q.axis < 0: // as it stands
		return v, nil
	case q.axis < 0:
		return nil, refusal.New("", "scales of shape %s", tensor.DimString(own))
	case q.block == 0:
		if len(own) != 1 || own[0] != dims[q.axis] {
			if dims[q.axis] == tensor.BatchDim {
				return nil, refusal.MixesBatch("it scales each sample on its own")
			}
			return nil, refusal.New("", "scales of shape %s for axis %d of %s", tensor.DimString(own), q.axis, tensor.DimString(dims))
		}
		shape = slices.Repeat([]int{1}, len(dims)-q.axis)
		shape[0] = own[0]
	default:
		return o.blocked(v, dims, q)
	}
	if v.constant() {
		return &value{con: v.con.Reshaped(shape)}, nil
	}
	return o.relabel(v, shape), nil
}

// blocked repeats scales of blocks for each number of a block.
func (o *op) blocked(v *value, dims []int, q quantum) (*value, error) {
	if !v.constant() || slices.Contains(dims, tensor.BatchDim) {
		return nil, refusal.New("quantise constants alone in blocks", "it has scales of blocks of an activation")
	}
	from := v.con.Dims
	want := slices.Clone(dims)
	want[q.axis] = (dims[q.axis] + q.block - 1) / q.block
	if !slices.Equal(from, want) {
		return nil, refusal.New("", "scales of shape %v for blocks of %d of %v", from, q.block, dims)
	}
	if err := tensor.Foldable(dims, v.con); err != nil {
		return nil, err
	}
	if err := o.affordIndexed(dag.Size(dims)); err != nil {
		return nil, err
	}
	step := tensor.Strides(from)
	all := tensor.Strides(dims)
	index := make([]int32, dag.Size(dims))
	for e := range index {
		at := 0
		for k := range dims {
			j := e / all[k] % dims[k]
			if k == q.axis {
				j /= q.block
			}
			at += j * step[k]
		}
		index[e] = int32(at)
	}
	return valueOf(v.con.Indexed(dims, index))
}

// scaled applies f(x, scale, zero) to each number.
func (o *op) scaled(v *value, q quantum, reason string, typ wire.DataType, f func(x, scale, zero float64) float64) (*value, error) {
	s, err := o.beside(q.scale, v.dims(), q)
	if err != nil {
		return nil, err
	}
	z, err := o.beside(q.zero, v.dims(), q)
	if err != nil {
		return nil, err
	}
	if len(s.dims()) > len(v.dims()) || len(z.dims()) > len(v.dims()) {
		return nil, refusal.New("", "scales of shape %s for a value of shape %s", tensor.DimString(s.dims()), tensor.DimString(v.dims()))
	}
	out, err := o.apply(reason, typ, func(x []float64) float64 { return f(x[0], x[1], x[2]) }, v, s, z)
	if err != nil {
		return nil, err
	}
	return o.as(dag.Curve, out), nil
}

// dequantise gives (x - zero) scale. Of a constant it is a constant, which cannot
// be written back.
func (o *op) dequantise(v *value, q quantum, typ wire.DataType) (*value, error) {
	out, err := o.scaled(v, q, scales, typ, func(x, scale, zero float64) float64 { return (x - zero) * scale })
	if err == nil && out.constant() {
		out.con.Pinned = dequantised
	}
	return out, err
}

// quantise rounds x/scale, adds the zero point and keeps to the limits of typ.
func (o *op) quantise(v *value, q quantum, typ wire.DataType) (*value, error) {
	lo, hi, ok := limits(typ)
	if !ok {
		return nil, refusal.New("quantise to integers", "it quantises to %v", typ)
	}
	from := v.dataType()
	if !tensor.IsFloat(from) {
		from = wire.Float32
	}
	return o.scaled(v, q, "it rounds", typ, func(x, scale, zero float64) float64 {
		// The quotient is rounded as the operator does, so that halves are the same.
		y := tensor.Rounded(from, tensor.Rounded(from, x)/scale)
		if q.shifted {
			y = math.RoundToEven(y + zero)
		} else {
			y = math.RoundToEven(y) + zero
		}
		return tensor.Larger(lo, tensor.Smaller(hi, y))
	})
}

// linear reads how QuantizeLinear and DequantizeLinear scale their operand: inputs 1 and 2 along the
// attribute axis, in blocks of block_size.
func (o *op) linear(v *value) (quantum, error) {
	block := int(o.int("block_size", 0))
	if block < 0 || block > tensor.MaxElements {
		return quantum{}, refusal.New("", "block_size is %d", block)
	}
	s := o.arg(1)
	if s == nil || len(s.dims()) == 0 || block == 0 && len(s.dims()) == 1 && s.dims()[0] == 1 {
		return o.quantum(1, -1, 0)
	}
	axis, err := tensor.AxisOf(o.int("axis", 1), rank(v))
	if err != nil {
		return quantum{}, err
	}
	return o.quantum(1, axis, block)
}

// floatType is the floating type of a value, float32 where it has none.
func floatType(v *value) wire.DataType {
	if t := v.dataType(); tensor.IsFloat(t) && t != wire.Undefined {
		return t
	}
	return wire.Float32
}

func lowerDequantizeLinear(o *op, v *value) error {
	if t := v.dataType(); !plainType(t) || tensor.IsFloat(t) {
		return refusal.New("quantise to integers", "it scales numbers of type %v", t)
	}
	q, err := o.linear(v)
	if err != nil {
		return err
	}
	typ := floatType(q.scale)
	if t := o.int("output_dtype", 0); t != 0 {
		if typ = wire.DataType(t); !tensor.IsFloat(typ) {
			return refusal.New("", "output_dtype is %d", t)
		}
	}
	return o.gives(o.dequantise(v, q, typ))
}

func lowerQuantizeLinear(o *op, v *value) error {
	q, err := o.linear(v)
	if err != nil {
		return err
	}
	typ := wire.Uint8
	if t := o.int("output_dtype", 0); t != 0 {
		typ = wire.DataType(t)
	}
	if q.zero != nil {
		typ = q.zero.dataType()
	}
	return o.gives(o.quantise(v, q, typ))
}
