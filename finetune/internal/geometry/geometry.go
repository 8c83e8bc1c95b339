// Package geometry runs the path programmes of Path-SGD over a training
// program, and makes of them the kappa of every stored number.
//
//	g_in(v)  = sum_{u->v} |w|^p g_in(u),  1 at inputs and the constant unit
//	g_out(u) = sum_{u->v} |w|^p g_out(v), 1 at the logits
//	kappa(u->v) = (g_in(u) g_out(v))^(2/p)
//
// A stored number theta with effective weight c*theta has c^2 times the kappa
// of its edge, and the sum over its uses where it is shared (Neyshabur,
// Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015, section 4; Neyshabur,
// Tomioka, Salakhutdinov, Srebro, Geometry of optimization and implicit
// regularization in deep learning, 2017, for shared weights). The slope of a
// PReLU counts as the weight of its edge.
//
// Range: a vector of sums carries one exponent, and is g itself for p = 2, else
// h = g^(1/p). For p = 1 and 2 only products, sums, reciprocals and powers of
// two touch a number, so that power-of-two rescaling commutes with every
// rounding. A sum that is smaller than the largest of its layer by more than
// float64's range counts as zero, and an edge of such a unit as dead.
package geometry

import (
	"math"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Options tells how to run the programmes.
type Options struct {
	// P is the order, at least 1 and finite.
	P float64
	// ExcludeBias leaves the constant unit out of g_in.
	ExcludeBias bool
	// BLAS does the products of convolutions.
	BLAS *blas.Engine
	// Pool runs the passes over weights.
	Pool *pool.Pool
}

// vec is the path sums of a value: v*2^e.
type vec struct {
	v   []float64
	e   int
	set bool
}

// Geometry holds the programmes of one program; Update refreshes them.
type Geometry[T program.Float] struct {
	prog    *program.Program[T]
	opt     Options
	in, out []vec
	needIn  []bool
	needOut []bool
	// meet is the operation whose weights are read once for both directions.
	meet   int
	dense  map[int]*matrix[T]
	tmp    []float64
	lifted [2][]float64
	conv   convScratch
	uses   [][]int
	facts  []factors
}

// New prepares the programmes; nothing is computed yet.
func New[T program.Float](prog *program.Program[T], opt Options) *Geometry[T] {
	g := &Geometry[T]{prog: prog, opt: opt, in: make([]vec, len(prog.Values)), out: make([]vec, len(prog.Values)),
		needIn: make([]bool, len(prog.Values)), needOut: make([]bool, len(prog.Values)), meet: -1,
		dense: map[int]*matrix[T]{}, uses: make([][]int, len(prog.Tensors)), facts: make([]factors, len(prog.Tensors))}
	g.plan()
	longest := 0
	for v := range prog.Values {
		n := prog.Values[v].Len
		longest = max(longest, n)
		g.in[v].v, g.out[v].v = make([]float64, n), make([]float64, n)
	}
	g.tmp = make([]float64, longest)
	g.lifted = [2][]float64{make([]float64, longest), make([]float64, longest)}
	most := 0
	for i, op := range prog.Ops {
		switch op := op.(type) {
		case *program.Dense:
			rows, cols := op.Rows, op.Cols
			if op.InOut {
				rows, cols = cols, rows
			}
			g.dense[i] = newMatrix(prog.Tensors[op.W].Data, rows, cols, opt.P, opt.Pool)
			if op.Plain() && g.needIn[op.Y] && g.needOut[op.X] && rows*cols > most {
				most, g.meet = rows*cols, i
			}
		case *program.Conv:
			g.conv.reserve(op)
		}
		if t := program.TensorOf(op); t >= 0 {
			g.uses[t] = append(g.uses[t], i)
		}
	}
	g.reserveFactors()
	return g
}

// plan finds which sums the trained tensors need.
func (g *Geometry[T]) plan() {
	ops := g.prog.Ops
	for _, op := range ops {
		t := program.TensorOf(op)
		if t < 0 || g.prog.Tensors[t].Frozen {
			continue
		}
		g.needOut[op.Result()] = true
		if _, bias := op.(*program.Shift); !bias {
			g.needIn[op.Operands()[0]] = true
		}
	}
	for _, op := range ops {
		for _, x := range op.Operands() {
			if g.needOut[x] {
				g.needOut[op.Result()] = true
			}
		}
	}
	for i := len(ops) - 1; i >= 0; i-- {
		if g.needIn[ops[i].Result()] {
			for _, x := range ops[i].Operands() {
				g.needIn[x] = true
			}
		}
	}
}

// Update runs the programmes on the tensors' present values. Cost for fully
// connected layers: at most two reads of each weight, one of the largest.
func (g *Geometry[T]) Update() {
	p := g.prog
	for v := range g.in {
		g.in[v].set, g.out[v].set = false, false
	}
	for t := range g.facts {
		g.facts[t].fresh = false
	}
	ones(&g.in[p.Input])
	ones(&g.out[p.Logits])
	last := len(p.Ops) - 1
	if g.meet < 0 {
		g.forwardRange(0, last)
		g.backwardRange(last, 0)
		return
	}
	g.forwardRange(0, g.meet-1)
	g.backwardRange(last, g.meet+1)
	g.both(g.meet)
	g.forwardRange(g.meet+1, last)
	g.backwardRange(g.meet-1, 0)
}

func ones(x *vec) {
	for i := range x.v {
		x.v[i] = 1
	}
	x.e, x.set = 0, true
}

func (g *Geometry[T]) forwardRange(lo, hi int) {
	for i := lo; i <= hi; i++ {
		if g.needIn[g.prog.Ops[i].Result()] {
			g.forward(i)
		}
	}
}

func (g *Geometry[T]) backwardRange(hi, lo int) {
	for i := hi; i >= lo; i-- {
		for _, x := range g.prog.Ops[i].Operands() {
			if g.needOut[x] {
				g.backward(i)
				break
			}
		}
	}
}

// edge is what a weight multiplies a path sum by.
func (g *Geometry[T]) edge(w float64) float64 {
	if g.opt.P == 2 {
		return w * w
	}
	return math.Abs(w)
}

// plus adds two path sums of one unit.
func (g *Geometry[T]) plus(a, b float64) float64 {
	switch {
	case g.opt.P == 1 || g.opt.P == 2:
		return a + b
	case a == 0:
		return b
	case b == 0:
		return a
	}
	m := math.Max(a, b)
	return m * math.Pow(power(a/m, g.opt.P)+power(b/m, g.opt.P), 1/g.opt.P)
}

// settle brings the largest sum near 1, by a power of two.
func (x *vec) settle() {
	m := 0.0
	for _, v := range x.v {
		m = math.Max(m, v)
	}
	if m == 0 || m-m != 0 || (m > 0x1p-32 && m < 0x1p32) {
		return
	}
	_, k := math.Frexp(m)
	x.shift(x.e + k)
}

// shift changes the exponent to e.
func (x *vec) shift(e int) {
	if e == x.e {
		return
	}
	k := x.e - e
	if k > -1000 && k < 1000 {
		f := math.Ldexp(1, k)
		for i := range x.v {
			x.v[i] *= f
		}
	} else {
		for i := range x.v {
			x.v[i] = math.Ldexp(x.v[i], k)
		}
	}
	x.e = e
}

// start makes x a zero vector with exponent e.
func (x *vec) start(e int) {
	clear(x.v)
	x.e, x.set = e, true
}

// meetAt aligns two vectors for an addition and returns the factor of the
// second, which stays as it is.
func (x *vec) meetAt(y *vec) float64 {
	if y.e > x.e {
		x.shift(y.e)
	}
	return math.Ldexp(1, y.e-x.e)
}

func (g *Geometry[T]) forward(i int) {
	y := &g.in[g.prog.Ops[i].Result()]
	y.set = true
	switch op := g.prog.Ops[i].(type) {
	case *program.Dense:
		g.denseForward(i, op, y)
	case *program.Conv:
		x := &g.in[op.X]
		y.e = x.e
		g.convForward(op, y.v, x.v)
	case *program.Average:
		g.averageForward(op, y)
	case *program.Shift:
		g.shiftForward(op, y)
	case *program.Scale:
		x := &g.in[op.X]
		y.e = x.e
		for e, v := range x.v {
			y.v[e] = v * g.edge(g.at(&op.V, op.V.Axis.At(e)))
		}
	case *program.Activate:
		x := &g.in[op.X]
		y.e = x.e
		for e, v := range x.v {
			y.v[e] = v * g.gain(op, e)
		}
	case *program.Sum:
		y.start(g.in[op.X[0]].e)
		for _, j := range op.X {
			f := y.meetAt(&g.in[j])
			for e, v := range g.in[j].v {
				y.v[e] = g.plus(y.v[e], v*f)
			}
		}
	case *program.Concat:
		y.start(g.highest(op.X))
		at := 0
		for _, j := range op.X {
			f := y.meetAt(&g.in[j])
			for e, v := range g.in[j].v {
				y.v[at+e] = v * f
			}
			at += len(g.in[j].v)
		}
	case *program.Select:
		x := &g.in[op.X]
		y.start(x.e)
		for e, j := range op.Index {
			if j >= 0 {
				y.v[e] = x.v[j]
			}
		}
	case *program.Pool:
		g.poolForward(op, y)
	case *program.Constant:
		y.start(0)
	}
	y.settle()
}

func (g *Geometry[T]) highest(values []int) int {
	e := g.in[values[0]].e
	for _, j := range values[1:] {
		e = max(e, g.in[j].e)
	}
	return e
}

// at returns a vector's number for unit i.
func (g *Geometry[T]) at(v *program.Vector, i int) float64 {
	if v.Tensor < 0 {
		return v.CoefAt(i)
	}
	d := g.prog.Tensors[v.Tensor].Data
	return v.CoefAt(i) * float64(d[v.Element(i, len(d))])
}

// gain is the largest |slope| of an activation's element, as an edge.
func (g *Geometry[T]) gain(op *program.Activate, e int) float64 {
	return g.edge(math.Max(1, math.Abs(g.at(&op.V, op.V.Axis.At(e)))))
}

// shiftForward adds the constant unit's edges.
func (g *Geometry[T]) shiftForward(op *program.Shift, y *vec) {
	x := &g.in[op.X]
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
	for e := range y.v {
		if b := g.edge(g.at(&op.V, op.V.Axis.At(e))) * one; b != 0 {
			y.v[e] = g.plus(y.v[e], b)
		}
	}
}

func (g *Geometry[T]) averageForward(op *program.Average, y *vec) {
	x := &g.in[op.X]
	y.start(x.e)
	for c := range op.Channels {
		for o := range op.OutLen {
			s, w := 0.0, g.edge(op.Weight[o])
			for _, j := range op.At[op.Start[o]:op.Start[o+1]] {
				s = g.plus(s, w*x.v[c*op.InLen+int(j)])
			}
			y.v[c*op.OutLen+o] = s
		}
	}
}

func (g *Geometry[T]) poolForward(op *program.Pool, y *vec) {
	y.start(g.highest(op.X))
	for _, j := range op.X {
		x := &g.in[j]
		f := y.meetAt(x)
		if op.Start == nil {
			for e, v := range x.v {
				y.v[e] = g.plus(y.v[e], v*f)
			}
			continue
		}
		for c := range op.Channels {
			for o := range op.OutLen {
				for _, k := range op.At[op.Start[o]:op.Start[o+1]] {
					y.v[c*op.OutLen+o] = g.plus(y.v[c*op.OutLen+o], x.v[c*op.InLen+int(k)]*f)
				}
			}
		}
	}
}
