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
//
// The programmes are made once, as a list of steps that each make one vector: in
// memory here, or on a device. What a step computes is a kernel of either.
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
	// Pool runs the programmes, beside its caller.
	Pool *pool.Pool
}

// Geometry holds the programmes of one program; Update runs them.
type Geometry[T program.Float] struct {
	prog *program.Program[T]
	opt  Options
	// needIn and needOut are the values whose sums kappa of the trained tensors needs.
	needIn, needOut []bool
	// The stages of a layer are folded: its units have one edge from the constant unit, with
	// what the stages add up to. biased are the values that have such an edge; folded says
	// that a layer has stages after a bias.
	biased []bool
	folded bool
	uses   [][]int // operations that read each tensor
	// Made at the first Update.
	here           *host[T]
	paths          *programmes[T]
	inverse, slope []*Factors // of each tensor; nil where nobody asked for them
	run            func(int, int)
}

// New prepares the programmes; nothing is computed yet.
func New[T program.Float](prog *program.Program[T], opt Options) *Geometry[T] {
	values, tensors := len(prog.Values), len(prog.Tensors)
	g := &Geometry[T]{
		prog: prog, opt: opt, uses: make([][]int, tensors), inverse: make([]*Factors, tensors), slope: make([]*Factors, tensors),
		needIn: make([]bool, values), needOut: make([]bool, values), biased: make([]bool, values),
	}
	for i, op := range prog.Ops {
		y := op.Result()
		t, part := op.Tensor()
		bias := part == program.Bias
		if bias || part == program.Factor {
			follows := g.follows(op)
			g.folded, g.biased[y] = g.folded || follows, bias || follows
		}
		if t >= 0 {
			g.uses[t] = append(g.uses[t], i)
			if !prog.Tensors[t].Frozen {
				g.needOut[y] = true
				if !bias {
					g.needIn[op.Operands()[0]] = true
				}
			}
		}
	}
	for _, op := range prog.Ops {
		for _, x := range op.Operands() {
			g.needOut[op.Result()] = g.needOut[op.Result()] || g.needOut[x]
		}
	}
	for i := len(prog.Ops) - 1; i >= 0; i-- {
		if g.needIn[prog.Ops[i].Result()] {
			for _, x := range prog.Ops[i].Operands() {
				g.needIn[x] = true
			}
		}
	}
	return g
}

// follows tells whether a stage is made from a biased value of the same layer.
func (g *Geometry[T]) follows(op program.Op) bool {
	x := op.Operands()[0]
	return g.biased[x] && g.prog.Values[x].Node == g.prog.Values[op.Result()].Node
}

// inPreamble tells whether an operation is in the preamble, whose values count as inputs,
// whatever constants they are multiplied by.
func (g *Geometry[T]) inPreamble(op program.Op) bool {
	return g.prog.Net.Nodes[g.prog.Values[op.Result()].Node].Zone == dag.Preamble
}

// Folded tells whether a layer has stages after a bias, so that a stored number
// is not the weight of one kind of edge. Slope does not serve such networks.
func (g *Geometry[T]) Folded() bool { return g.folded }

// Update runs the programmes on the tensors' present values. Cost for fully
// connected layers: at most two reads of each weight, one of the largest.
func (g *Geometry[T]) Update() {
	g.Start()
	g.Wait()
}

// Start is Update beside the caller, on one goroutine of the pool, until Wait: the tensors must not change before.
func (g *Geometry[T]) Start() {
	if g.here == nil {
		g.here = newHost(g)
		g.paths = newProgrammes(g, g.here)
		g.paths.both(g.largest())
		g.run = g.here.run
	}
	g.opt.Pool.Start(g.run)
}

// Wait returns when what Start began is done.
func (g *Geometry[T]) Wait() { g.opt.Pool.Wait() }

// largest is the fully connected layer with the most weights, which are read once for
// both directions; -1 for none.
func (g *Geometry[T]) largest() int {
	most, at := 0, -1
	for i, op := range g.prog.Ops {
		if d, ok := op.(*program.Dense); ok && d.Plain() && g.needIn[d.Y] && g.needOut[d.X] && d.Rows*d.Cols > most {
			most, at = d.Rows*d.Cols, i
		}
	}
	return at
}

// Factors is one positive number for each element of a stored tensor: Out[i]*In[j] of unit i
// and input j where it is an outer product, else All[e]. A zero stands for a dead path.
type Factors struct {
	Out, In, All *Path
	// InOut says that the tensor is stored inputs x units.
	InOut bool
}

// At returns element e, without the exponent.
func (f *Factors) At(e int) float64 {
	switch {
	case f.All != nil:
		return f.All.Sums[e]
	case f.InOut:
		return f.In.Sums[e/f.Out.Len] * f.Out.Sums[e%f.Out.Len]
	}
	return f.Out.Sums[e/f.In.Len] * f.In.Sums[e%f.In.Len]
}

// Exp is the exponent of all elements.
func (f *Factors) Exp() int {
	if f.All != nil {
		return f.All.Exp
	}
	return f.Out.Exp + f.In.Exp
}

// Outer tells whether kappa of a tensor is an outer product.
func (g *Geometry[T]) Outer(t int) bool { return g.outer(t) != nil }

// outer returns the only use of a tensor whose kappa is an outer product.
func (g *Geometry[T]) outer(t int) *program.Dense {
	if len(g.uses[t]) != 1 {
		return nil
	}
	op, ok := g.prog.Ops[g.uses[t][0]].(*program.Dense)
	if !ok || !op.Plain() {
		return nil
	}
	return op
}

// Inverse returns 1/kappa of a trained tensor, of the last Update; the caller
// must not keep it beyond the next. The largest factor is near 1. What was asked for once is
// a part of every Update.
func (g *Geometry[T]) Inverse(t int) *Factors { return g.factors(g.inverse, t, 2, true) }

// Slope returns sum g_in g_out |coef|^p over the uses of a trained tensor, as Inverse does:
// times p |w|^(p-1) sign(w), the derivative of ||pi||_p^p. A slope, of which
// paths see max(1, |slope|), has it where it exceeds 1. It does
// not serve networks that are Folded.
func (g *Geometry[T]) Slope(t int) *Factors { return g.factors(g.slope, t, g.opt.P, false) }

func (g *Geometry[T]) factors(of []*Factors, t int, q float64, invert bool) *Factors {
	g.Wait()
	if of[t] == nil {
		done := len(g.here.steps)
		f := g.paths.factors(t, q, invert)
		of[t] = &f
		for _, do := range g.here.steps[done:] {
			do()
		}
	}
	return of[t]
}

// Log10Norm returns log10 ||pi||_p of the program at the tensors' present
// values: minus infinity for zero. It allocates.
func (g *Geometry[T]) Log10Norm() float64 {
	h := newHost(g)
	m := newProgrammes(g, h)
	for i, op := range g.prog.Ops {
		m.in[op.Result()] = m.ops[i].forward()
	}
	h.run(0, 1)
	x := m.in[g.prog.Logits]
	sum := 0.0
	for _, v := range x.Sums {
		sum = h.plus(sum, v)
	}
	l := math.Log10(sum) + float64(x.Exp)*math.Log10(2)
	if g.opt.P == 2 {
		l /= 2
	}
	return l
}
