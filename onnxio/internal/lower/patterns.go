package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// Exporters write normalisers and activations in simpler operators. What is known of
// a node's value lets the last of these operators put the whole in their place.

// role says what a node's value is.
type role uint8

const (
	positive    role = iota + 1 // where x > 0
	negative                    // where x < 0
	mean                        // the mean of x along axes
	centred                     // x less its mean
	square                      // x^2
	cube                        // x^3
	meanSquare                  // the mean of x^2 along axes, plus epsilon
	deviation                   // its root
	inverse                     // 1 over that
	exponential                 // exp(x)
	oneMore                     // 1 + exp(x)
)

// fact is what is known of a node.
type fact struct {
	role role
	x    *value
	// order has the axes of x with those of the mean last, n how many elements those
	// have.
	order   []int
	n       int
	epsilon float64
}

// know records what a value is; it does nothing for constants.
func (l *lowering) know(v *value, f fact) {
	if v != nil && !v.constant() {
		l.facts[v.node] = f
	}
}

// known returns what is known of a value, if it is of that role.
func (l *lowering) known(v *value, r role) (fact, bool) {
	if v == nil || v.constant() {
		return fact{}, false
	}
	f := l.facts[v.node]
	return f, f.role == r
}

// is says that two values are one.
func (v *value) is(w *value) bool {
	return !v.constant() && !w.constant() && v.node == w.node && slices.Equal(v.shape, w.shape)
}

// result returns the operator's first output.
func (o *op) result() *value {
	if len(o.node.Outputs) == 0 {
		return nil
	}
	return o.values[o.node.Outputs[0]]
}

// number returns a constant of one element.
func number(v *value) (float64, bool) {
	if !v.constant() || !v.con.Scalar() || v.con.Kind != tensor.Floating {
		return 0, false
	}
	x, err := v.con.Value()
	return x, err == nil
}

// knowMean records a mean over axes that stay as axes of one element.
func (o *op) knowMean(v *value, red reduced) {
	if o.node.OpType != "ReduceMean" || len(red.shape) != len(v.shape) {
		return
	}
	f := fact{role: mean, x: v, order: red.order, n: red.count}
	if s, ok := o.known(v, square); ok {
		f.role, f.x = meanSquare, s.x
	}
	o.know(o.result(), f)
}

// knowSum records a - m as centred, and a mean square plus a number.
func (o *op) knowSum(a, b, out *value, sign float64) {
	if f, ok := o.known(b, mean); ok && sign == -1 && a.is(f.x) && slices.Equal(out.shape, a.shape) {
		f.role = centred
		o.know(out, f)
		return
	}
	if a.constant() {
		a, b = b, a
	}
	if f, ok := o.known(a, exponential); ok && sign == 1 && slices.Equal(out.shape, a.shape) {
		if x, ok := number(b); ok && x == 1 {
			f.role = oneMore
			o.know(out, f)
		}
		return
	}
	if f, ok := o.known(a, meanSquare); ok && sign == 1 && f.epsilon == 0 && slices.Equal(out.shape, a.shape) {
		if x, ok := number(b); ok && x > 0 {
			f.epsilon = x
			o.know(out, f)
		}
	}
}

// knowPower records squares, roots and their inverses.
func (o *op) knowPower(v, out *value, exponent float64) {
	if out == nil || !slices.Equal(out.dims(), v.dims()) {
		return
	}
	switch {
	case exponent == 2:
		o.know(out, fact{role: square, x: v})
	case exponent == 3:
		o.know(out, fact{role: cube, x: v})
	case exponent == -1:
		if f, ok := o.known(v, deviation); ok {
			f.role = inverse
			o.know(out, f)
		}
	case math.Abs(exponent) == 0.5:
		if f, ok := o.known(v, meanSquare); ok {
			if f.role = deviation; exponent < 0 {
				f.role = inverse
			}
			o.know(out, f)
		}
	}
}

// powered makes a lowerer that records what a power of its operand is.
func powered(lower lowerer, exponent float64) lowerer {
	return func(o *op) error {
		err := lower(o)
		if err == nil && !o.in[0].constant() {
			o.knowPower(o.in[0], o.result(), exponent)
		}
		return err
	}
}

// normalised returns x over its own deviation, nil where by is none: a division has
// the role deviation, a product inverse. A centred x makes it the normaliser of
// LayerNormalization, another that of RMSNormalization.
func (o *op) normalised(x, by *value, r role) *value {
	f, ok := o.known(by, r)
	if !ok || !x.is(f.x) {
		return nil
	}
	stats, v := rootMeanSquare(f.epsilon), x
	if c, ok := o.known(x, centred); ok && c.n == f.n && slices.Equal(c.order, f.order) {
		stats, v = meanVariance(f.epsilon), c.x
	}
	return o.transpose(o.standardise(o.transpose(v, f.order), f.n, stats), inverted(f.order))
}

// knowSign records comparisons with 0.
func (o *op) knowSign(a, b, out *value) {
	name := o.node.OpType
	up := name == "Greater" || name == "GreaterOrEqual"
	if !up && name != "Less" && name != "LessOrEqual" {
		return
	}
	if a.constant() {
		a, b, up = b, a, !up
	}
	if a.constant() || !b.constant() || !tensor.IsFloat(a.elem) || !slices.Equal(out.shape, a.shape) {
		return
	}
	if zero, err := tensor.AllZero(b.con); err != nil || !zero {
		return
	}
	f := fact{role: positive, x: a}
	if !up {
		f.role = negative
	}
	o.know(out, f)
}

// multiple returns c where v is c x.
func (o *op) multiple(v, x *value) (c float64, ok bool) {
	if v.constant() {
		zero, err := tensor.AllZero(v.con)
		return 0, err == nil && zero
	}
	if v.is(x) {
		return 1, true
	}
	nd := &o.nodes[v.node]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || len(l.Stages) != 1 || len(nd.In) != 1 || nd.In[0] != x.node || !slices.Equal(v.shape, x.shape) {
		return 0, false
	}
	s := l.Stages[0]
	if _, diagonal := l.Map.(*dag.Diagonal); !diagonal || s.Mul == nil || s.Mul.Param != nil || s.Add != nil || s.Norm != nil {
		return 0, false
	}
	return s.Mul.Coef, true
}

// pieces is above*x where x > 0 and below*x elsewhere.
func (o *op) pieces(x *value, above, below float64) (*value, error) {
	if above == 0 && below != 0 {
		v, err := o.affine(x, affine{coef: -1})
		if err != nil {
			return nil, err
		}
		return o.affine(o.activation(v, 0), affine{coef: -below})
	}
	slope := 0.0
	if above != 0 {
		slope = below / above
	}
	v := o.activation(x, slope)
	if above == 1 {
		return v, nil
	}
	return o.affine(v, affine{coef: above})
}

// chosen is Where on the sign of x between multiples of it, nil where it is none.
func (o *op) chosen(cond, yes, no *value) (*value, error) {
	f, ok := o.known(cond, positive)
	if !ok {
		if f, ok = o.known(cond, negative); !ok {
			return nil, nil
		}
		yes, no = no, yes
	}
	if rank(yes) > len(f.x.shape) || rank(no) > len(f.x.shape) {
		return nil, nil
	}
	for _, v := range []*value{yes, no} {
		shape, err := tensor.BroadcastDims(f.x.shape, v.dims())
		if v.constant() {
			shape, err = tensor.BroadcastDims(f.x.shape, tensor.AlignBatch(v.con, f.x.shape))
		}
		if err != nil || !slices.Equal(shape, f.x.shape) {
			return nil, nil
		}
	}
	above, up := o.multiple(yes, f.x)
	below, down := o.multiple(no, f.x)
	if !up || !down {
		return nil, nil
	}
	return o.pieces(f.x, above, below)
}

// masked is a product of x and a truth value of its sign, nil where it is none.
func (o *op) masked(x, mask *value) (*value, error) {
	if f, ok := o.known(mask, positive); ok && x.is(f.x) {
		return o.pieces(x, 1, 0)
	}
	if f, ok := o.known(mask, negative); ok && x.is(f.x) {
		return o.pieces(x, 0, 1)
	}
	return nil, nil
}

// lowerExp knows of what it is.
func lowerExp(o *op) error {
	err := curve("it is an exponential", math.Exp)(o)
	if err == nil {
		o.know(o.result(), fact{role: exponential, x: o.in[0]})
	}
	return err
}

// logistic is 1/(1 + exp(x)), the sigmoid of -x; nil where v is not its denominator. Written
// so, what ends the homogeneous part would be x, and it is -x that is the score.
func (o *op) logistic(v *value) (*value, error) {
	f, ok := o.known(v, oneMore)
	if !ok {
		return nil, nil
	}
	x := *f.x
	x.exclusive = false
	score, err := o.affine(&x, affine{coef: -1})
	if err != nil {
		return nil, err
	}
	return o.apply("it is bounded", v.dataType(), func(x []float64) float64 { return sigmoid(x[0]) }, score)
}

// lowerReciprocal may be the end of a sigmoid.
func lowerReciprocal(o *op, v *value) error {
	out, err := o.logistic(v)
	if err != nil {
		return err
	}
	if out != nil {
		o.give(0, out)
		return nil
	}
	return powered(curve("it is homogeneous of degree -1", func(x float64) float64 { return 1 / x }), -1)(o)
}

// lowerSqrt knows of what it is.
var lowerSqrt = powered(curve("it is homogeneous of degree 1/2", math.Sqrt), 0.5)
