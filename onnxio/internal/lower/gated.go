package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// Exporters write SiLU, GELU, Mish and HardSwish as products of x and a gate
// alpha + beta S(gamma x + delta): the product of the two is one curve.

// linearIn is a value as mul times that of a node plus add.
type linearIn struct {
	node     int
	mul, add float64
	// consts are the stored numbers that this comes from.
	consts []*dag.Param
}

// peeled reads a value as linear in the nodes before it, through multiplications by
// and additions of one number, nearest first: the value itself comes first.
func (o *op) peeled(v *value) []linearIn {
	at := linearIn{node: v.node, mul: 1}
	out := []linearIn{at}
	for {
		nd := &o.nodes[at.node]
		l, ok := nd.Op.(*dag.Linear)
		if !ok || len(nd.In) != 1 || !slices.Equal(nd.Shape, o.nodes[nd.In[0]].Shape) {
			return out
		}
		if _, diagonal := l.Map.(*dag.Diagonal); !diagonal {
			return out
		}
		for _, s := range slices.Backward(l.Stages) {
			if s.Norm != nil || !scalar(s.Mul) || !scalar(s.Add) {
				return out
			}
			for _, x := range []*dag.Vector{s.Mul, s.Add} {
				if x != nil && x.Param != nil {
					at.consts = append(at.consts, x.Param)
				}
			}
			if s.Add != nil {
				at.add += at.mul * s.Add.At(0)
			}
			if s.Mul != nil {
				at.mul *= s.Mul.At(0)
			}
		}
		at.node = nd.In[0]
		at.consts = slices.Clip(at.consts)
		out = append(out, at)
	}
}

// scalar reports whether a vector is one number, or none.
func scalar(v *dag.Vector) bool { return v == nil || v.Param == nil || v.Param.Len() == 1 }

// gate is S with the largest slope of x (alpha + beta S(gamma x + delta)).
type gate struct {
	x      linearIn // x as the operand of S
	f      func(u []float64)
	slope  float64
	consts []*dag.Param
}

// each makes a function of numbers one of slices, in place.
func each(f func(u float64) float64) func(u []float64) {
	return func(u []float64) {
		for i, v := range u {
			u[i] = f(v)
		}
	}
}

// line makes each number a*u + b.
func line(u []float64, a, b float64) {
	if a == 1 && b == 0 {
		return
	}
	for i, v := range u {
		u[i] = a*v + b
	}
}

// gatedBlock is the number of elements whose gates are computed at a time.
const gatedBlock = 512

// gates returns what a value is as a gate of each of the nodes before it, slopes for
// the factor 1 of x.
func (o *op) gates(v *value) []gate {
	all := o.peeled(v)
	s := all[len(all)-1]
	nd := &o.nodes[s.node]
	if len(nd.In) != 1 || s.mul == 0 {
		return nil
	}
	inner := o.peeled(&value{node: nd.In[0]})
	sum := math.Abs(math.Abs(s.add)-math.Abs(s.mul)) <= 1e-6*math.Abs(s.mul) // 1 + S or 1 - S
	scale, none := math.Abs(s.mul), s.add == 0
	var out []gate
	add := func(x linearIn, slope float64, f func(u []float64)) {
		out = append(out, gate{
			x: x, slope: scale * slope, consts: slices.Concat(s.consts, x.consts),
			f: func(u []float64) {
				line(u, x.mul, x.add)
				f(u)
				line(u, s.mul, s.add)
			},
		})
	}
	if lo, h, ok := nd.Bounds(); ok && none && lo == 0 && h > 0 && !math.IsInf(h, 0) {
		for _, x := range inner {
			if x.mul == 1 && x.add >= 0 && x.add <= h {
				add(x, h*(2-x.add/h), each(func(u float64) float64 { return tensor.Smaller(h, tensor.Larger(0, u)) }))
			}
		}
	}
	f, ok := nd.Op.(*dag.Func)
	if !ok || f.Kind != dag.Curve {
		return out
	}
	apply := func(u float64) float64 {
		y := []float64{0}
		f.Apply(y, []float64{u})
		return y[0]
	}
	for _, x := range inner {
		straight := x.add == 0 && x.mul != 0
		switch nd.Source {
		case "Sigmoid":
			if none && straight {
				add(x, swishSlope, sigmoids)
			}
		case "Erf":
			if sum && straight {
				add(x, 2*geluSlope, func(u []float64) { kernel.Erf(u, u) })
			}
		case "HardSigmoid":
			if b := apply(0); none && straight && x.mul == 1 && b > 0 && b < 1 {
				a := math.Copysign(f.Lipschitz, apply(1e-9)-b)
				add(x, 2-b, each(func(u float64) float64 { return tensor.Smaller(1, tensor.Larger(0, a*u+b)) }))
			}
		case "Tanh":
			if g, ok := o.cubic(x); ok && sum {
				add(g, 2*tanhGeluSlope, each(func(u float64) float64 { return math.Tanh(u + geluCubic*geluCubicUnit*u*u*u) }))
			}
			if p := &o.nodes[x.node]; p.Source == "Softplus" && len(p.In) == 1 && none && x.add == 0 && x.mul == 1 {
				g := linearIn{node: p.In[0], mul: 1, consts: x.consts}
				add(g, mishSlope, each(func(u float64) float64 { return math.Tanh(softplus(u)) }))
			}
		}
	}
	return out
}

// The approximation of GELU by tanh(c (x + geluCubic x^3)), c = sqrt(2/pi). With u = c x
// the operand is u + geluCubic/c^2 u^3.
const (
	geluCubic     = 0.044715
	geluCubicUnit = math.Pi / 2
)

// cubic reads a node as c (x + geluCubic x^3), and gives x with the factor c: written as a
// sum, or as c x (1 + geluCubic x^2).
func (o *op) cubic(v linearIn) (x linearIn, ok bool) {
	if v.add != 0 {
		return x, false
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }
	c := math.Sqrt(2 / math.Pi)
	nd := &o.nodes[v.node]
	if len(nd.In) != 2 {
		return x, false
	}
	for _, in := range [][2]int{{nd.In[0], nd.In[1]}, {nd.In[1], nd.In[0]}} {
		for _, a := range o.peeled(&value{node: in[0]}) {
			all := o.peeled(&value{node: in[1]})
			p := all[len(all)-1]
			consts := slices.Concat(v.consts, a.consts, p.consts)
			sum, ok := nd.Op.(*dag.Add)
			switch {
			case a.add != 0:
			case ok && sum.Sign == nil && p.add == 0 && o.power(p.node, a.node) == 3 && near(v.mul*a.mul, c) && near(p.mul/a.mul, geluCubic):
				return linearIn{node: a.node, mul: v.mul * a.mul, consts: consts}, true
			case multiplies(nd) && o.power(p.node, a.node) == 2 && near(v.mul*a.mul*p.add, c) && near(p.mul/p.add, geluCubic):
				return linearIn{node: a.node, mul: v.mul * a.mul * p.add, consts: consts}, true
			}
		}
	}
	return x, false
}

// power returns 2 or 3 for a node that is the square or the cube of x, else 0.
func (o *op) power(node, x int) int {
	switch f := o.facts[node]; {
	case f.role == square && f.x.node == x:
		return 2
	case f.role == cube && f.x.node == x:
		return 3
	}
	nd := &o.nodes[node]
	for k, in := range nd.In {
		if in == x && multiplies(nd) && o.power(nd.In[1-k], x) == 2 {
			return 3
		}
	}
	return 0
}

// multiplies reports whether a node multiplies two values element by element.
func multiplies(nd *dag.Node) bool {
	f, ok := nd.Op.(*dag.Func)
	return ok && f.Form == (dag.Times{})
}

// gated returns a product of x, or a multiple of it, and a gate of x as one curve, nil
// where it is none.
func (o *op) gated(a, b *value) *value {
	if !slices.Equal(a.shape, b.shape) || !tensor.IsFloat(a.elem) || !tensor.IsFloat(b.elem) {
		return nil
	}
	for _, g := range o.gates(b) {
		for _, x := range o.peeled(a) {
			if x.node != g.x.node || x.add != 0 || x.mul == 0 {
				continue
			}
			for _, p := range slices.Concat(x.consts, g.consts) {
				if s := o.owners[p]; s != nil {
					s.Fixed = true
				}
			}
			k, f := x.mul, g.f
			v := &value{node: x.node, shape: a.shape, elem: a.elem}
			out := o.emit(&dag.Func{
				Kind: dag.Curve, Why: "it is a curve, written out", Lipschitz: math.Abs(k) * g.slope,
				Apply: func(dst []float64, in ...[]float64) {
					block := make([]float64, min(len(in[0]), gatedBlock))
					for x := range slices.Chunk(in[0], gatedBlock) {
						u := block[:copy(block, x)]
						f(u)
						for i, z := range x {
							dst[i] = k * z * u[i]
						}
						dst = dst[len(x):]
					}
				},
			}, a.shape, v)
			return out
		}
	}
	return nil
}
