package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// elementwise computes f of the operator's inputs, broadcast against each
// other, element by element, as a function: the reason says why it is one.
// Constants are folded.
func (o *op) elementwise(reason string, f func(x []float64) float64) error {
	in := make([]*value, len(o.in))
	for k := range o.in {
		var err error
		if in[k], err = o.need(k); err != nil {
			return err
		}
	}
	if len(in) == 0 {
		return refusal.New("", "no operands")
	}
	return o.gives(o.apply(reason, in[0].dataType(), f, in...))
}

// apply is elementwise with the values given; the result has the type typ and
// is rounded to it where that is an integer type.
func (o *op) apply(reason string, typ wire.DataType, f func(x []float64) float64, in ...*value) (*value, error) {
	shape, acts, err := o.broadcastAll(in)
	if err != nil {
		return nil, err
	}
	sample := tensor.SampleShape(shape)
	if acts == 0 {
		from := lists.Map(in, func(v *value) *tensor.Tensor { return v.con })
		if err := tensor.Foldable(sample, from...); err != nil {
			return nil, err
		}
		// Each operand is repeated to the shape, by a list of places.
		if err := o.affordIndexed((len(in) + 1) * dag.Size(sample)); err != nil {
			return nil, err
		}
	}
	// Each operand is fixed numbers or an activation.
	fixed := make([][]float64, len(in))
	var nodes []*value
	for k, v := range in {
		if !v.constant() {
			nodes = append(nodes, o.expand(v, shape))
			continue
		}
		x, err := v.con.Float64s()
		if err != nil {
			return nil, err
		}
		dims, err := sampleDims(v.con, shape)
		if err != nil {
			return nil, err
		}
		fixed[k] = make([]float64, dag.Size(sample))
		o.spent += len(fixed[k])
		for i, j := range tensor.BroadcastIndex(dims, sample) {
			fixed[k][i] = x[j]
		}
	}
	compute := func(dst []float64, acts ...[]float64) {
		args, x := make([][]float64, len(fixed)), make([]float64, len(fixed))
		next := 0
		for k := range fixed {
			if args[k] = fixed[k]; args[k] == nil {
				args[k] = acts[next]
				next++
			}
		}
		for i := range dst {
			for k := range args {
				x[k] = args[k][i]
			}
			y := f(x)
			if !tensor.IsFloat(typ) && y == y { // NaN says that there is no number
				y = tensor.Rounded(typ, y)
			}
			dst[i] = y
		}
	}
	if acts == 0 {
		out := make([]float64, dag.Size(sample))
		compute(out)
		return &value{con: tensor.NewTensor(typ, sample, out)}, nil
	}
	out := o.function(reason, typ, shape, compute, nodes...)
	if acts == 1 && tensor.IsFloat(typ) {
		o.as(dag.Curve, out)
		o.nodes[out.node].Op.(*dag.Func).Lipschitz = o.lipschitz()
	}
	return out, nil
}

// broadcastAll returns the common shape of values and how many are no
// constants.
func (o *op) broadcastAll(in []*value) (shape []int, acts int, err error) {
	for _, v := range in {
		if v.constant() {
			continue
		}
		acts++
		if shape, err = tensor.BroadcastDims(shape, v.shape); err != nil {
			return nil, 0, sumShapes(err, in)
		}
	}
	for _, v := range in {
		if !v.constant() {
			continue
		}
		if shape, err = tensor.BroadcastDims(shape, tensor.AlignBatch(v.con, shape)); err != nil {
			return nil, 0, sumShapes(err, in)
		}
	}
	return shape, acts, nil
}

// function adds a function and records why it is one.
func (o *op) function(reason string, typ wire.DataType, shape []int, f func(dst []float64, in ...[]float64), in ...*value) *value {
	out := o.emit(&dag.Func{Apply: f, Why: reason}, shape, in...)
	out.elem = typ
	return out
}

// functionOf is function of activations and constants: those are part of it, and where
// all are it is folded.
func (o *op) functionOf(reason string, typ wire.DataType, shape []int, f func(dst []float64, in ...[]float64), in ...*value) (*value, error) {
	fixed := make([][]float64, len(in))
	var from []*tensor.Tensor
	var acts []*value
	for k, v := range in {
		if !v.constant() {
			acts = append(acts, v)
			continue
		}
		x, err := v.con.Float64s()
		if err != nil {
			return nil, err
		}
		fixed[k], from = x, append(from, v.con)
		o.spent += len(x)
	}
	switch len(acts) {
	case 0:
		if err := tensor.Foldable(shape, from...); err != nil {
			return nil, err
		}
		if err := o.afford(dag.Size(shape)); err != nil {
			return nil, err
		}
		out := make([]float64, dag.Size(shape))
		f(out, fixed...)
		return &value{con: tensor.NewTensor(typ, shape, out)}, nil
	case len(in):
		return o.function(reason, typ, shape, f, in...), nil
	}
	varies := make([]int, 0, len(acts))
	for k, v := range in {
		if !v.constant() {
			varies = append(varies, k)
		}
	}
	return o.function(reason, typ, shape, func(dst []float64, in ...[]float64) {
		args := slices.Clone(fixed)
		for k, x := range in {
			args[varies[k]] = x
		}
		f(dst, args...)
	}, acts...), nil
}

// formed says what arithmetic of two activations a value is.
func (v *value) formed(o *op, form dag.Form) *value {
	if !v.constant() {
		if f, ok := o.nodes[v.node].Op.(*dag.Func); ok && len(o.nodes[v.node].In) == 2 {
			f.Form = form
		}
	}
	return v
}

// as says what kind of function a value is of; it does nothing for others.
func (o *op) as(kind dag.FuncKind, v *value) *value {
	if !v.constant() {
		if f, ok := o.nodes[v.node].Op.(*dag.Func); ok {
			f.Kind = kind
		}
	}
	return v
}

// head makes a lowerer of a function of one number; make reads its attributes.
func head(reason string, make func(o *op) func(x float64) float64) lowerer {
	return ofFirst(func(o *op, v *value) error {
		f := make(o)
		return o.gives(o.apply(reason, v.dataType(), func(x []float64) float64 { return f(x[0]) }, v))
	})
}

// curve is head for a function without attributes.
func curve(reason string, f func(x float64) float64) lowerer {
	return head(reason, func(*op) func(float64) float64 { return f })
}

// predicate is head for a function to truth values.
func predicate(reason string, f func(x float64) bool) lowerer {
	return ofFirst(func(o *op, v *value) error {
		return o.gives(o.apply(reason, wire.Bool, func(x []float64) float64 { return truth(f(x[0])) }, v))
	})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// lowerPair lowers an operator of two numbers that is not homogeneous.
func lowerPair(o *op, a, b *value) error {
	out, err := o.pair(o.node.OpType+" is not positively homogeneous", a, b)
	if err != nil {
		return err
	}
	o.knowSign(a, b, out)
	o.give(0, out)
	return nil
}

// lowerMod is the remainder of a division, with the sign of the divisor or, with
// fmod, of the dividend.
func lowerMod(o *op, a, b *value) error {
	name := "Mod"
	if o.int("fmod", 0) != 0 {
		name = "fmod"
	}
	return o.gives(o.pairNamed(name, "a remainder is not homogeneous", a, b))
}

// lowerBitShift shifts unsigned integers, one way or the other.
func lowerBitShift(o *op, a, b *value) error {
	way := o.str("direction", "")
	if way != "LEFT" && way != "RIGHT" {
		return refusal.New("", "direction is %q", way)
	}
	return o.gives(o.pairNamed(way, "it shifts bits", a, b))
}

func lowerBitwiseNot(o *op, v *value) error {
	typ := v.dataType()
	if tensor.IsFloat(typ) {
		return refusal.New("", "bits of floating-point numbers")
	}
	return o.gives(o.apply("it inverts bits", typ, func(x []float64) float64 { return float64(tensor.Wrap(typ, ^int64(x[0]))) }, v))
}

// lowerIsInf tells infinities of the signs that its attributes say.
func lowerIsInf(o *op) error {
	up, down := o.int("detect_positive", 1) != 0, o.int("detect_negative", 1) != 0
	return predicate("it gives a truth value", func(x float64) bool {
		return up && math.IsInf(x, 1) || down && math.IsInf(x, -1)
	})(o)
}

// pair applies the current operator of two numbers, in the operands' type.
func (o *op) pair(reason string, a, b *value) (*value, error) {
	return o.pairNamed(o.node.OpType, reason, a, b)
}

func (o *op) pairNamed(name, reason string, a, b *value) (*value, error) {
	if a.constant() && b.constant() {
		return valueOf(o.foldPair(name, a.con, b.con))
	}
	p, typ := tensor.Pairs[name], a.dataType()
	f := func(x []float64) float64 { return p.Float(x[0], x[1]) }
	if !tensor.IsFloat(typ) {
		f = func(x []float64) float64 {
			if int64(x[1]) == 0 && (name == "Div" || name == "Mod" || name == "fmod") {
				return math.NaN()
			}
			return float64(tensor.Wrap(typ, p.Integer(int64(x[0]), int64(x[1]), typ == wire.Uint64)))
		}
	} else if p.Float == nil {
		return nil, refusal.New("", "%s of floating-point numbers", name)
	}
	if p.Test {
		typ = wire.Bool
	}
	return o.apply(reason, typ, f, a, b)
}

// lowerWhere picks from two operands by a condition.
func lowerWhere(o *op, cond, x, y *value) error {
	if cond.constant() && x.constant() && y.constant() {
		return o.givesTensor(o.foldWhere(cond.con, x.con, y.con))
	}
	if out, err := o.chosen(cond, x, y); err != nil || out != nil {
		if err == nil {
			o.give(0, out)
		}
		return err
	}
	return o.gives(o.apply("it picks values by a condition", x.dataType(), func(x []float64) float64 {
		if x[0] != 0 {
			return x[1]
		}
		return x[2]
	}, cond, x, y))
}

// foldWhere picks constants; sizes of the batch pass through.
func (l *lowering) foldWhere(cond, x, y *tensor.Tensor) (*tensor.Tensor, error) {
	dims, err := tensor.BroadcastDims(cond.Dims, x.Dims)
	if err == nil {
		dims, err = tensor.BroadcastDims(dims, y.Dims)
	}
	if err != nil {
		return nil, refusal.New("", "%v", err)
	}
	c, err := cond.Int64s()
	if err != nil {
		return nil, err
	}
	if err := l.afford(3 * dag.Size(dims)); err != nil { // both sides, and lists of places
		return nil, err
	}
	if x, err = tensor.FoldExpand(x, dims); err != nil {
		return nil, err
	}
	if y, err = tensor.FoldExpand(y, dims); err != nil {
		return nil, err
	}
	for i, j := range tensor.BroadcastIndex(cond.Dims, dims) {
		switch {
		case c[j] != 0:
		case x.Kind == tensor.Floating:
			x.Floats[i], x.Part = y.Floats[i], nil // elements of two
		default:
			x.Ints[i] = y.Ints[i]
		}
	}
	return x, nil
}
