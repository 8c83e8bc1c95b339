package lower

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

func (o *op) binary() (a, b *value, err error) {
	if a, b, err = o.two(); err != nil {
		return
	}
	if o.opset < 7 && wire.Domain(o.node.Domain) == "" {
		if b.constant() {
			dims, err := o.legacyBroadcast(b.con.Dims)
			if err != nil {
				return nil, nil, err
			}
			if !slices.Equal(dims, b.con.Dims) {
				b = &value{con: b.con.Reshaped(dims)}
			}
		} else if rank(a) != rank(b) {
			shape, err := o.legacyBroadcast(b.shape)
			if err != nil {
				return nil, nil, err
			}
			if !slices.Equal(shape, b.shape) {
				b = o.emit(&dag.Select{}, shape, b)
			}
		}
	}
	return a.besides(b), b.besides(a), nil
}

// legacyBroadcast returns the constant or value with the shape that the
// broadcast and axis attributes before opset 7 give its second operand.
func (o *op) legacyBroadcast(shape []int) ([]int, error) {
	a, b := o.in[0], o.in[1]
	ra, rb := rank(a), rank(b)
	at := o.attr("axis")
	if o.opset >= 7 || ra == rb && (at == nil || dag.Size(shape) == 1) {
		return shape, nil
	}
	if o.int("broadcast", 0) == 0 {
		if ra == rb {
			return shape, nil
		}
		return nil, refusal.New("", "the operands have ranks %d and %d without broadcast=1", ra, rb)
	}
	if at == nil {
		return shape, nil
	}
	k, err := tensor.AxisOf(at.I, ra)
	if err != nil {
		return nil, err
	}
	if k+rb > ra {
		return nil, refusal.New("", "axis %d puts rank %d beyond rank %d", k, rb, ra)
	}
	out := slices.Clone(shape)
	for len(out) < ra-k {
		out = append(out, 1)
	}
	return out, nil
}

// legacyFull is the shape of one number a unit under the rules before opset 7:
// the operand's last axes, or those from the attribute axis on, without axes of
// extent 1 before them. Where the units lie elsewhere no such operand exists.
func (o *op) legacyFull(w *dag.Vector, shape, axes []int) {
	from := len(shape) - len(axes)
	if at := o.attr("axis"); at != nil {
		from = int(at.I)
		if from < 0 {
			from += len(shape)
		}
	}
	w.Full = nil
	for i, d := range axes {
		if d != from+i {
			w.Param.Storage, w.Param.Reason = dag.Unwritable, fmt.Sprintf("before opset 7 no operand of %s has one number a unit here", o.node.OpType)
			w.Full = nil
			return
		}
		w.Full = append(w.Full, shape[d])
	}
}

const wraps = "arithmetic of integers wraps"

// withIntegers says that a value is combined with a constant of integers.
func withIntegers(a, b *value) bool {
	return (a.constant() || b.constant()) && !tensor.IsFloat(a.dataType()) && !tensor.IsFloat(b.dataType())
}

func rank(v *value) int { return len(v.dims()) }

// addition makes a lowerer of Add (sign 1) and Sub (sign -1): a skip connection,
// or a bias on either side.
func addition(sign float64) lowerer {
	name := "Add"
	if sign < 0 {
		name = "Sub"
	}
	return ofPair(func(o *op, a, b *value) error {
		var out *value
		var err error
		switch {
		case a.constant() && b.constant():
			return o.foldBinary(a.con, b.con)
		case withIntegers(a, b):
			out, err = o.pairNamed(name, wraps, a, b)
		case b.constant():
			out, err = o.affine(a, affine{add: b.con, addAt: 1, coef: 1, addCoef: sign})
		case a.constant():
			out, err = o.affine(b, affine{add: a.con, addAt: 0, coef: sign, addCoef: 1})
		default:
			signs := []float64{1, sign}
			if sign == 1 {
				signs = nil
			}
			p, q := o.rotated(a, b)
			out, err = o.combine(signs, p, q)
		}
		if err != nil {
			return err
		}
		o.knowSum(a, b, out, sign)
		o.give(0, out)
		return nil
	})
}

func lowerMul(o *op, a, b *value) error {
	var out *value
	var err error
	switch {
	case a.constant() && b.constant():
		return o.foldBinary(a.con, b.con)
	case withIntegers(a, b):
		out, err = o.pairNamed("Mul", wraps, a, b)
	case b.constant():
		out, err = o.multiply(a, b.con, 1, false)
	case a.constant():
		out, err = o.multiply(b, a.con, 0, false)
	case a.is(b):
		out, err = o.apply("a square is homogeneous of degree 2", a.dataType(), func(x []float64) float64 { return x[0] * x[0] }, a)
		if err == nil {
			o.knowPower(a, out, 2)
		}
	default:
		if out = o.normalised(a, b, inverse); out == nil {
			out = o.normalised(b, a, inverse)
		}
		if out == nil {
			out, err = o.masked(a, b)
		}
		if out == nil && err == nil {
			out, err = o.masked(b, a)
		}
		if out != nil || err != nil {
			break
		}
		if out = o.gated(a, b); out == nil {
			out = o.gated(b, a)
		}
		if out != nil {
			break
		}
		out, err = o.apply("the product of two activations is homogeneous of degree 2", a.dataType(),
			func(x []float64) float64 { return x[0] * x[1] }, a, b)
		if err == nil {
			o.as(dag.Product, out).formed(o, dag.Times{})
		}
	}
	return o.gives(out, err)
}

func lowerDiv(o *op, a, b *value) error {
	switch {
	case a.constant() && b.constant():
		return o.foldBinary(a.con, b.con)
	case b.constant() && b.con.Kind == tensor.Floating:
		return o.gives(o.multiply(a, b.con, 1, true))
	}
	if out := o.normalised(a, b, deviation); out != nil {
		o.give(0, out)
		return nil
	}
	if x, ok := number(a); ok && x == 1 {
		out, err := o.logistic(b)
		if err != nil {
			return err
		}
		if out != nil {
			o.give(0, out)
			return nil
		}
	}
	out, err := o.apply("a quotient by an activation is not linear", a.dataType(),
		func(x []float64) float64 { return x[0] / x[1] }, a, b)
	if err != nil {
		return err
	}
	if x, ok := number(a); ok && x == 1 {
		o.knowPower(b, out, -1)
	}
	o.give(0, o.as(dag.Normalizer, out).formed(o, dag.Over{}))
	return nil
}

func lowerNeg(o *op, v *value) error {
	if v.constant() {
		return o.foldUnary(func(x float64) float64 { return -x })
	}
	return o.gives(o.affine(v, affine{coef: -1}))
}

// combine sums activations, each with a sign.
func (o *op) combine(sign []float64, in ...*value) (*value, error) {
	shape := in[0].shape
	for _, v := range in[1:] {
		s, err := tensor.BroadcastDims(shape, v.shape)
		if err != nil {
			return nil, sumShapes(err, in)
		}
		shape = s
	}
	for k := range in {
		in[k] = o.expand(in[k], shape)
	}
	return o.emit(&dag.Add{Sign: sign}, shape, in...), nil
}

// sumShapes refuses operands that do not broadcast; with a batch axis among
// them the reason may be that.
func sumShapes(err error, in []*value) error {
	for _, v := range in {
		if v.batchAxis() >= 0 {
			return refusal.MixesBatch("%v", err)
		}
	}
	return refusal.New("", "%v", err)
}

func lowerSum(o *op) error { return o.gives(o.sum()) }

func lowerMean(o *op) error {
	v, err := o.sum()
	if err != nil {
		return err
	}
	if v.constant() {
		f, err := v.con.Float64s()
		if err != nil {
			return err
		}
		n := float64(len(o.in))
		o.giveTensor(tensor.NewFloats(v.con.Typ, v.con.Dims, lists.Map(f, func(x float64) float64 { return x / n })))
		return nil
	}
	return o.gives(o.affine(v, affine{coef: 1 / float64(len(o.in))}))
}

// sum adds all operands: activations by one Add, then each constant.
func (o *op) sum() (*value, error) {
	var acts []*value
	var cons []int
	for k := range o.in {
		v, err := o.need(k)
		if err != nil {
			return nil, err
		}
		if v.constant() {
			cons = append(cons, k)
		} else {
			acts = append(acts, v)
		}
	}
	if len(acts) == 0 {
		return o.foldAll("Add")
	}
	out := acts[0]
	if len(acts) > 1 {
		var err error
		if out, err = o.combine(nil, acts...); err != nil {
			return nil, err
		}
	}
	for _, k := range cons {
		var err error
		out, err = o.affine(out, affine{add: o.in[k].con, addAt: k, coef: 1, addCoef: 1})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
