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
	"github.com/relupath/relupath/analysis/dag"
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
	// The stages of a layer are folded: its units have one edge from the constant
	// unit, with what the stages add up to. bias is that number for each element
	// of a value, nil where there is none, and pure the sums without it.
	bias    [][]float64
	pure    []*vec
	needIn  []bool
	needOut []bool
	// back marks the operations that hand sums on to an operand.
	back []bool
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
	g := &Geometry[T]{
		prog: prog, opt: opt, in: make([]vec, len(prog.Values)), out: make([]vec, len(prog.Values)),
		needIn: make([]bool, len(prog.Values)), needOut: make([]bool, len(prog.Values)), meet: -1,
		dense: map[int]*matrix[T]{}, uses: make([][]int, len(prog.Tensors)), facts: make([]factors, len(prog.Tensors)),
	}
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
	g.fold()
	g.reserveFactors()
	return g
}

// fold finds the stages of each layer.
func (g *Geometry[T]) fold() {
	values := g.prog.Values
	g.bias, g.pure = make([][]float64, len(values)), make([]*vec, len(values))
	for _, op := range g.prog.Ops {
		switch op := op.(type) {
		case *program.Shift:
			g.bias[op.Y] = make([]float64, values[op.Y].Len)
			g.pure[op.Y] = &g.in[op.X]
			if g.follows(op.X, op.Y) {
				g.pure[op.Y] = g.pure[op.X]
			}
		case *program.Scale:
			if g.follows(op.X, op.Y) {
				g.bias[op.Y] = make([]float64, values[op.Y].Len)
				g.pure[op.Y] = &vec{v: make([]float64, values[op.Y].Len)}
			}
		}
	}
}

// follows tells whether y is made from a biased value x of the same layer.
func (g *Geometry[T]) follows(x, y int) bool {
	return g.bias[x] != nil && g.prog.Values[x].Node == g.prog.Values[y].Node
}

// Folded tells whether a layer has stages after a bias, so that a stored number
// is not the weight of one kind of edge. Slope does not serve such networks.
func (g *Geometry[T]) Folded() bool {
	for _, op := range g.prog.Ops {
		switch op := op.(type) {
		case *program.Shift:
			if g.follows(op.X, op.Y) {
				return true
			}
		case *program.Scale:
			if g.follows(op.X, op.Y) {
				return true
			}
		}
	}
	return false
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
	g.back = make([]bool, len(ops))
	for i, op := range ops {
		for _, x := range op.Operands() {
			g.back[i] = g.back[i] || g.needOut[x]
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
		if g.back[i] {
			g.backward(i)
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
		m = max(m, v)
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
	if g.preamble(g.prog.Ops[i], y) {
		return
	}
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
		g.scaleForward(op, y)
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

// preamble treats the constants of the preamble: its values count as inputs,
// whatever they are multiplied by; padding is zero until something is added.
func (g *Geometry[T]) preamble(op program.Op, y *vec) bool {
	p := g.prog
	if p.Net.Nodes[p.Values[op.Result()].Node].Zone != dag.Preamble {
		return false
	}
	switch op := op.(type) {
	case *program.Shift:
		ones(y)
		return true
	case *program.Scale:
		copy(y.v, g.in[op.X].v)
		y.e = g.in[op.X].e
		return true
	}
	return false
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

// scaleForward multiplies the sums, and the bias of the layer so far.
func (g *Geometry[T]) scaleForward(op *program.Scale, y *vec) {
	x, dst := &g.in[op.X], y
	folded := g.follows(op.X, op.Y)
	if folded {
		x, dst = g.pure[op.X], g.pure[op.Y]
	}
	dst.e, dst.set = x.e, true
	for e, v := range x.v {
		dst.v[e] = v * g.edge(g.at(&op.V, op.V.Axis.At(e)))
	}
	if !folded {
		return
	}
	bias := g.bias[op.Y]
	for e, b := range g.bias[op.X] {
		bias[e] = b * g.at(&op.V, op.V.Axis.At(e))
	}
	g.addBias(y, dst, bias)
}

// shiftForward adds to the layer's bias.
func (g *Geometry[T]) shiftForward(op *program.Shift, y *vec) {
	bias, folded := g.bias[op.Y], g.follows(op.X, op.Y)
	for e := range bias {
		bias[e] = g.at(&op.V, op.V.Axis.At(e))
		if folded {
			bias[e] += g.bias[op.X][e]
		}
	}
	g.addBias(y, g.pure[op.Y], bias)
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
