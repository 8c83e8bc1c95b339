package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// inner lowers another operator with the given inputs in the place of this one and
// returns its first output. Input k is what the file calls input names[k] of this
// operator, -1 for none of them.
func (o *op) inner(lower lowerer, opType string, in []*value, names []int) (*value, error) {
	return o.innerWith(o.node.Attributes, lower, opType, in, names)
}

// innerWith is inner with attributes of its own.
func (o *op) innerWith(attributes []wire.Attribute, lower lowerer, opType string, in []*value, names []int) (*value, error) {
	n := *o.node
	n.OpType, n.Domain, n.Attributes = opType, "", attributes
	n.Inputs = make([]string, len(in))
	for k, from := range names {
		if from >= 0 && from < len(o.node.Inputs) {
			n.Inputs[k] = o.node.Inputs[from]
		}
	}
	const result = "\x00" // no name of a file: it is deleted at once
	n.Outputs = []string{result}
	c := &op{lowering: o.lowering, index: o.index, node: &n, opset: max(o.opset, 13), in: in}
	if wire.Domain(o.node.Domain) != "" {
		c.opset = newestOpset
	}
	outer := o.current
	o.current = c
	err := lower(c)
	o.current = outer
	out := o.values[result]
	delete(o.values, result)
	if err == nil && out == nil {
		err = refusal.New("", "%s has no result", opType)
	}
	return out, err
}

// zeroed takes a zero point, input k, off an integer value: the entries of a vector
// lie along axis.
func (o *op) zeroed(v *value, k, axis int) (*value, error) {
	q := quantum{zero: o.arg(k), axis: axis}
	if q.zero != nil && len(q.zero.dims()) > 1 {
		q.axis = -1
	}
	if q.zero == nil && !v.constant() {
		return v, nil
	}
	q.scale = &value{con: tensor.NewFloats(dag.Float32, nil, []float64{1})}
	if q.zero != nil && q.zero.constant() && !v.constant() {
		if none, err := tensor.AllZero(q.zero.con); err != nil || none {
			return v, err
		}
	}
	return o.dequantise(v, q, wire.Float32)
}

// integers gives an activation the type int32; what it is made of keeps within.
func (o *op) integers(v *value) *value {
	if v.constant() {
		return v
	}
	w := *v
	w.elem = wire.Int32
	w.exclusive = false
	return &w
}

func lowerMatMulInteger(o *op, a, b *value) error {
	if len(a.dims()) == 0 || len(b.dims()) == 0 {
		return refusal.New("", "a scalar operand")
	}
	a, err := o.zeroed(a, 2, max(0, rank(a)-2))
	if err != nil {
		return err
	}
	if b, err = o.zeroed(b, 3, rank(b)-1); err != nil {
		return err
	}
	out, err := o.matMul(a, b)
	if err != nil {
		return err
	}
	return o.giveIntegers(out)
}

// giveIntegers gives a product of integers.
func (o *op) giveIntegers(v *value) error {
	if v.constant() {
		x, err := v.con.Float64s()
		if err != nil {
			return err
		}
		o.giveTensor(tensor.NewTensor(wire.Int32, v.con.Dims, slices.Clone(x)))
		return nil
	}
	o.give(0, o.integers(v))
	return nil
}

func lowerConvInteger(o *op, x, w *value) error {
	x, err := o.zeroed(x, 2, -1)
	if err != nil {
		return err
	}
	if w, err = o.zeroed(w, 3, 0); err != nil {
		return err
	}
	out, err := o.inner(lowerConv, "Conv", []*value{x, w}, []int{0, 1})
	if err != nil {
		return err
	}
	return o.giveIntegers(out)
}

// quantisedInput is an operand with scale and zero point behind it.
func (o *op) quantisedInput(k, axis int) (*value, quantum, error) {
	v, err := o.need(k)
	if err != nil {
		return nil, quantum{}, err
	}
	q, err := o.quantum(k+1, axis, 0)
	if err != nil {
		return nil, q, err
	}
	if axis >= rank(v) {
		return nil, q, refusal.New("", "an operand of rank %d", rank(v))
	}
	if len(q.scale.dims()) > 1 {
		q.axis = -1
	}
	v, err = o.dequantise(v, q, floatType(q.scale))
	return v, q, err
}

// giveQuantised quantises the result by input scale and the zero point behind it.
func (o *op) giveQuantised(v *value, scale int, otherwise wire.DataType) error {
	q, err := o.quantum(scale, -1, 0)
	if err != nil {
		return err
	}
	switch o.node.OpType {
	case "QLinearAdd", "QLinearMul":
		q.shifted = true
	}
	typ := otherwise
	if q.zero != nil {
		typ = q.zero.dataType()
	}
	return o.gives(o.quantise(v, q, typ))
}

// innerQuantised gives what inner returns, quantised.
func (o *op) innerQuantised(scale int, otherwise wire.DataType, lower lowerer, opType string, in []*value, names []int) error {
	out, err := o.inner(lower, opType, in, names)
	if err != nil {
		return err
	}
	return o.giveQuantised(out, scale, otherwise)
}

func lowerQLinearMatMul(o *op, a *value) error {
	b, err := o.need(3)
	if err != nil {
		return err
	}
	typ := a.dataType()
	if a, _, err = o.quantisedInput(0, max(0, rank(a)-2)); err != nil {
		return err
	}
	if b, _, err = o.quantisedInput(3, rank(b)-1); err != nil {
		return err
	}
	return o.innerQuantised(6, typ, ofTwo(lowerMatMul), "MatMul", []*value{a, b}, []int{0, 3})
}

// lowerQLinearConv is a convolution of quantised numbers. Its bias is stored in
// units of the two scales' product.
func lowerQLinearConv(o *op) error {
	x, qx, err := o.quantisedInput(0, -1)
	if err != nil {
		return err
	}
	w, qw, err := o.quantisedInput(3, 0)
	if err != nil {
		return err
	}
	in, names := []*value{x, w}, []int{0, 3}
	if b := o.arg(8); b != nil {
		if !qx.scale.constant() || !qw.scale.constant() || !qx.scale.con.Scalar() {
			return refusal.New("make its scales constants", "the scales of its bias are computed by the network")
		}
		s, err := o.foldPair("Mul", qx.scale.con.Reshaped(nil), qw.scale.con)
		if err != nil {
			return err
		}
		if b, err = o.dequantise(b, quantum{scale: &value{con: s}, axis: 0}, wire.Float32); err != nil {
			return err
		}
		in, names = append(in, b), append(names, 8)
	}
	return o.innerQuantised(6, o.in[0].dataType(), lowerConv, "Conv", in, names)
}

// quantisedPair makes a lowerer of an operator of two quantised operands.
func quantisedPair(lower lowerer, opType string) lowerer {
	return func(o *op) error {
		a, _, err := o.quantisedInput(0, -1)
		if err != nil {
			return err
		}
		b, _, err := o.quantisedInput(3, -1)
		if err != nil {
			return err
		}
		return o.innerQuantised(6, o.in[0].dataType(), lower, opType, []*value{a, b}, []int{0, 3})
	}
}

// quantisedOne makes a lowerer of an operator of one quantised operand.
func quantisedOne(lower lowerer, opType string) lowerer {
	return func(o *op) error {
		if o.int("channels_last", 0) != 0 {
			return refusal.New("export with the channels second", "its channels are the last axis")
		}
		v, _, err := o.quantisedInput(0, -1)
		if err != nil {
			return err
		}
		return o.innerQuantised(3, o.in[0].dataType(), lower, opType, []*value{v}, []int{0})
	}
}

// lowerQLinearConcat has the result's scale first, then three inputs an operand.
func lowerQLinearConcat(o *op) error {
	if len(o.in) < 5 || len(o.in)%3 != 2 {
		return refusal.New("", "it has %s", words.Count(len(o.in), "input"))
	}
	var in []*value
	var names []int
	for k := 2; k+2 < len(o.in); k += 3 {
		v, _, err := o.quantisedInput(k, -1)
		if err != nil {
			return err
		}
		in, names = append(in, v), append(names, k)
	}
	return o.innerQuantised(0, o.in[2].dataType(), lowerConcat, "Concat", in, names)
}

// lowerQGemm is Gemm of quantised numbers; without a scale of the result that is
// in float32. Its bias is stored in units of alpha and both scales.
func lowerQGemm(o *op) error {
	a, qa, err := o.quantisedInput(0, -1)
	if err != nil {
		return err
	}
	axis := 1
	if o.int("transB", 0) != 0 {
		axis = 0
	}
	b, qb, err := o.quantisedInput(3, axis)
	if err != nil {
		return err
	}
	in, names := []*value{a, b}, []int{0, 3}
	if c := o.arg(6); c != nil {
		if !qa.scale.constant() || !qb.scale.constant() || !qa.scale.con.Scalar() || !c.constant() {
			return refusal.New("make its scales constants", "its bias or the scales of it are computed by the network")
		}
		s, err := o.foldPair("Mul", qa.scale.con.Reshaped(nil), qb.scale.con)
		if err != nil {
			return err
		}
		if s, err = o.foldPair("Mul", s, tensor.NewTensor(wire.Float32, nil, []float64{o.float("alpha", 1)})); err != nil {
			return err
		}
		if s.Scalar() {
			s = s.Reshaped(nil)
		}
		if c, err = o.dequantise(c, quantum{scale: &value{con: s}, axis: rank(c) - 1}, wire.Float32); err != nil {
			return err
		}
		in, names = append(in, c), append(names, 6)
	}
	out, err := o.inner(lowerGemm, "Gemm", in, names)
	if err != nil {
		return err
	}
	if o.arg(7) == nil {
		o.give(0, out)
		return nil
	}
	return o.giveQuantised(out, 7, o.in[0].dataType())
}

// lowerQLinearSoftmax is com.microsoft.QLinearSoftmax, in ONNX Runtime's own arithmetic:
// exponentials as integers out of a table of 256, and a division that rounds.
func lowerQLinearSoftmax(o *op, v *value) error {
	var scale [2]float64
	for k, at := range []int{1, 3} {
		t, err := o.constant(at, "its scale")
		if err != nil {
			return err
		}
		if scale[k], err = t.Value(); err != nil {
			return err
		}
	}
	zero, err := o.numberAt(4, "its zero point", 0)
	if err != nil {
		return err
	}
	typ := o.in[0].dataType()
	lo, hi, ok := limits(typ)
	if !ok || hi-lo != 255 {
		return refusal.New("quantise to 8 bits", "it is of numbers of another type than 8 bits")
	}
	o.opset = o.int("opset", 13)
	a, err := o.normalizedAxis(v.shape)
	if err != nil {
		return err
	}
	one := math.Min(math.MaxUint32/float64(max(a.N, 1)), 0x7fffff)
	times := math.Floor(1 / scale[1])
	o.give(0, o.as(dag.Normalizer, o.function("it is a ratio of exponentials", typ, v.shape, rowwise(a, func(x []float64) {
		top, sum := extremeOf(x, tensor.Larger), 0.0
		for i, q := range x {
			x[i] = math.Round(one * math.Exp((q-top)*scale[0]))
			sum += x[i]
		}
		for i, e := range x {
			y := math.RoundToEven(e * times / sum)
			if lo == 0 {
				y = math.Floor((e*times + math.Floor(sum/2)) / sum)
			}
			x[i] = tensor.Larger(lo, tensor.Smaller(hi, y+zero))
		}
	}), v)))
	return nil
}

// lowerSigmoid is Sigmoid for the quantised form of it.
var lowerSigmoid = curve("it is bounded", sigmoid)
