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

// pass is an operation as the path programmes see it.
type pass interface {
	// forward makes y, the sums of the result, from those of the operands.
	forward(y *vec)
	// backward hands y, the sums of the result, on to the operands.
	backward(y *vec)
}

// stored is a pass whose weights are a stored tensor.
type stored interface {
	pass
	// total adds f times the sum over edges of coef^q (h_in h_out)^q, for each element of
	// the tensor.
	total(dst []float64, f, q float64, which edges)
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
	// folded says that a layer has stages after a bias.
	folded bool
	// ops are the operations as the programmes see them.
	ops []pass
	// begins is the value at which the edges of each operation with a stored tensor
	// begin; -1 for the constant unit.
	begins []int
	// meet is the operation whose weights are read once for both directions.
	meet   int
	tmp    []float64
	lifted [2][]float64
	conv   convScratch
	uses   [][]int
	facts  []factors
	// inverse is the memory of reciprocals.
	inverse *reciprocals
}

// New prepares the programmes; nothing is computed yet.
func New[T program.Float](prog *program.Program[T], opt Options) *Geometry[T] {
	g := &Geometry[T]{
		prog: prog, opt: opt, in: make([]vec, len(prog.Values)), out: make([]vec, len(prog.Values)),
		needIn: make([]bool, len(prog.Values)), needOut: make([]bool, len(prog.Values)), meet: -1,
		bias: make([][]float64, len(prog.Values)), pure: make([]*vec, len(prog.Values)),
		uses: make([][]int, len(prog.Tensors)), facts: make([]factors, len(prog.Tensors)),
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
		g.ops = append(g.ops, g.pass(op))
		x := -1
		if t := op.Tensor(); t >= 0 {
			g.uses[t] = append(g.uses[t], i)
			if _, bias := op.(*program.Shift); !bias {
				x = op.Operands()[0]
			}
		}
		g.begins = append(g.begins, x)
		if d, ok := g.ops[i].(*dense[T]); ok && d.Plain() && g.needIn[d.Y] && g.needOut[d.X] && d.Rows*d.Cols > most {
			most, g.meet = d.Rows*d.Cols, i
		}
	}
	g.reserveFactors()
	for _, t := range prog.Tensors {
		longest = max(longest, len(t.Data))
	}
	g.inverse = newReciprocals(longest)
	return g
}

// pass is an operation with what it needs of g.
func (g *Geometry[T]) pass(op program.Op) pass {
	switch op := op.(type) {
	case *program.Dense:
		rows, cols := op.Rows, op.Cols
		if op.InOut {
			rows, cols = cols, rows
		}
		return &dense[T]{g, op, newMatrixSums(g.prog.Tensors[op.W].Data, rows, cols, g.opt.P, g.opt.Pool)}
	case *program.Conv:
		return newConv(g, op)
	case *program.Average:
		return &window[T]{g, op.X, op.Taps, op.Weight}
	case *program.Shift:
		return g.shift(op)
	case *program.Scale:
		return g.scale(op)
	case *program.Activate:
		return &activate[T]{g, op}
	case *program.Concat:
		return &concat[T]{g, op.X}
	case *program.Select:
		return &pick[T]{g, op}
	case *program.Pool:
		if op.Start != nil {
			return &window[T]{g, op.X[0], op.Taps, nil}
		}
	}
	return &join[T]{g, op.Operands()} // a sum, a maximum, or a constant: no operands
}

// follows tells whether y is made from a biased value x of the same layer.
func (g *Geometry[T]) follows(x, y int) bool {
	follows := g.bias[x] != nil && g.prog.Values[x].Node == g.prog.Values[y].Node
	g.folded = g.folded || follows
	return follows
}

// Folded tells whether a layer has stages after a bias, so that a stored number
// is not the weight of one kind of edge. Slope does not serve such networks.
func (g *Geometry[T]) Folded() bool { return g.folded }

// plan finds which sums the trained tensors need.
func (g *Geometry[T]) plan() {
	ops := g.prog.Ops
	for _, op := range ops {
		t := op.Tensor()
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
	g.ops[g.meet].(*dense[T]).both()
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
	g.ops[i].forward(y)
	y.settle()
}

// backward hands the sums of an operation's result on to its operands.
func (g *Geometry[T]) backward(i int) {
	y := &g.out[g.prog.Ops[i].Result()]
	if !y.set {
		// The result reaches no logit.
		y.start(0)
	}
	g.ops[i].backward(y)
}

// give adds the sums src*2^e to those of value x, from element at on.
func (g *Geometry[T]) give(x, at int, src []float64, e int) {
	dst := &g.out[x]
	if !g.needOut[x] {
		return
	}
	if !dst.set {
		dst.start(e)
	}
	y := vec{e: e}
	f := dst.meetAt(&y)
	for k, v := range src {
		dst.v[at+k] = g.plus(dst.v[at+k], v*f)
	}
	dst.settle()
}
