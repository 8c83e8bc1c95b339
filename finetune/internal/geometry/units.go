package geometry

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/program"
)

// at returns a vector's number for unit i.
func (g *Geometry[T]) at(v *program.Vector, i int) float64 {
	if v.Tensor < 0 {
		return v.CoefAt(i)
	}
	d := g.prog.Tensors[v.Tensor].Data
	return v.CoefAt(i) * float64(d[v.Element(i, len(d))])
}

// gain is the largest |slope| of an activation's element, as an edge.
func (o *activate[T]) gain(e int) float64 {
	return o.g.edge(math.Max(1, math.Abs(o.g.at(&o.V, o.V.Axis.At(e)))))
}

// inPreamble tells whether an operation is in the preamble, whose values count as inputs,
// whatever constants they are multiplied by.
func (g *Geometry[T]) inPreamble(op program.Op) bool {
	return g.prog.Net.Nodes[g.prog.Values[op.Result()].Node].Zone == dag.Preamble
}

// activate multiplies paths by the largest slope.
type activate[T program.Float] struct {
	g *Geometry[T]
	*program.Activate
}

func (o *activate[T]) forward(y *vec) {
	x := &o.g.in[o.X]
	y.e = x.e
	for e, v := range x.v {
		y.v[e] = v * o.gain(e)
	}
}

func (o *activate[T]) backward(y *vec) {
	tmp := o.g.tmp[:len(y.v)]
	for e, v := range y.v {
		tmp[e] = v * o.gain(e)
	}
	o.g.give(o.X, 0, tmp, y.e)
}

func (o *activate[T]) total(dst []float64, f, q float64, which edges) {
	o.g.products(dst, &o.V, o.X, o.Y, f, q, which)
}

// scale multiplies the paths of each unit, and the bias of the layer so far.
type scale[T program.Float] struct {
	g *Geometry[T]
	*program.Scale
	preamble, folded bool
}

func (g *Geometry[T]) scale(op *program.Scale) *scale[T] {
	o := &scale[T]{g, op, g.inPreamble(op), g.follows(op.X, op.Y)}
	if o.folded {
		g.bias[o.Y] = make([]float64, g.prog.Values[o.Y].Len)
		g.pure[o.Y] = &vec{v: make([]float64, g.prog.Values[o.Y].Len)}
	}
	return o
}

func (o *scale[T]) forward(y *vec) {
	g := o.g
	x, dst := &g.in[o.X], y
	if o.preamble {
		copy(y.v, x.v)
		y.e = x.e
		return
	}
	if o.folded {
		x, dst = g.pure[o.X], g.pure[o.Y]
	}
	dst.e, dst.set = x.e, true
	for e, v := range x.v {
		dst.v[e] = v * g.edge(g.at(&o.V, o.V.Axis.At(e)))
	}
	if !o.folded {
		return
	}
	bias := g.bias[o.Y]
	for e, b := range g.bias[o.X] {
		bias[e] = b * g.at(&o.V, o.V.Axis.At(e))
	}
	g.addBias(y, dst, bias)
}

func (o *scale[T]) backward(y *vec) {
	tmp := o.g.tmp[:len(y.v)]
	for e, v := range y.v {
		tmp[e] = v * o.g.edge(o.g.at(&o.V, o.V.Axis.At(e)))
	}
	o.g.give(o.X, 0, tmp, y.e)
}

func (o *scale[T]) total(dst []float64, f, q float64, _ edges) {
	o.g.products(dst, &o.V, o.X, o.Y, f, q, every)
}

// shift adds edges from the constant unit.
type shift[T program.Float] struct {
	g *Geometry[T]
	*program.Shift
	preamble, folded bool
}

func (g *Geometry[T]) shift(op *program.Shift) *shift[T] {
	o := &shift[T]{g, op, g.inPreamble(op), g.follows(op.X, op.Y)}
	g.bias[o.Y] = make([]float64, g.prog.Values[o.Y].Len)
	g.pure[o.Y] = &g.in[o.X]
	if o.folded {
		g.pure[o.Y] = g.pure[o.X]
	}
	return o
}

func (o *shift[T]) forward(y *vec) {
	g := o.g
	if o.preamble {
		ones(y) // padding is zero until something is added
		return
	}
	bias := g.bias[o.Y]
	for e := range bias {
		bias[e] = g.at(&o.V, o.V.Axis.At(e))
		if o.folded {
			bias[e] += g.bias[o.X][e]
		}
	}
	g.addBias(y, g.pure[o.Y], bias)
}

func (o *shift[T]) backward(y *vec) { o.g.give(o.X, 0, y.v, y.e) }

func (o *shift[T]) total(dst []float64, f, q float64, which edges) {
	if which == counted && o.g.opt.ExcludeBias {
		return
	}
	for e, v := range o.g.lift(0, &o.g.out[o.Y], q) {
		o.g.addUse(dst, &o.V, e, v*f, q)
	}
}

// addBias makes y the sums x and the edges from the constant unit.
func (g *Geometry[T]) addBias(y, x *vec, bias []float64) {
	copy(y.v, x.v)
	y.e = x.e
	if g.opt.ExcludeBias {
		return
	}
	if y.e < -400 {
		// The constant unit's 1 would leave the range.
		y.shift(0)
	}
	one := math.Ldexp(1, -y.e)
	if g.opt.P == 1 || g.opt.P == 2 {
		for e, b := range bias {
			y.v[e] += g.edge(b) * one
		}
		return
	}
	for e, b := range bias {
		y.v[e] = g.plus(y.v[e], g.edge(b)*one)
	}
}

func (g *Geometry[T]) addUse(dst []float64, v *program.Vector, e int, h, q float64) {
	i := v.Axis.At(e)
	c := v.CoefAt(i)
	if q == 2 {
		c *= c
	} else {
		c = math.Pow(math.Abs(c), q)
	}
	dst[v.Element(i, len(dst))] += c * h
}

// products adds h_in h_out of every element of a unit-wise operation; of slopes,
// those that paths see as 1 are not counted.
func (g *Geometry[T]) products(dst []float64, v *program.Vector, x, y int, f, q float64, which edges) {
	in, out := g.lift(0, &g.in[x], q), g.lift(1, &g.out[y], q)
	for e := range in {
		if which == counted && math.Abs(g.at(v, v.Axis.At(e))) <= 1 {
			continue
		}
		g.addUse(dst, v, e, f*in[e]*out[e], q)
	}
}
