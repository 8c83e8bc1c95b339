package geometry

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// kernels is memory, and what path programmes do in it. Each function adds a step, which makes
// one vector (dense: one in each direction), and returns what the step will fill.
type kernels interface {
	// constant is n times one number.
	constant(n int, x float64) *Path
	add(x, y *Path) *Path
	// gather sums links of x, whose weights are those of edges, in each of so many channels of m numbers.
	gather(x *Path, t cuda.Links, channels, m int) *Path
	// scale multiplies by a vector's numbers, or by what an activation with these slopes passes on.
	scale(x *Path, v *program.Vector, gain bool) *Path
	// bias adds the edge from the constant unit that the stages of a layer come to.
	bias(x *Path, stages []cuda.Stage, axis dag.Axis) *Path
	// dense sums over a layer's inputs x, and back over its units y; nil is not wanted.
	dense(op *program.Dense, x, y *Path) (up, down *Path)
	// conv sums over a convolution's inputs, or back over its outputs.
	conv(op *program.Conv, x *Path, back bool) *Path
	// totalDense, totalConv and totalUnits add a use of a tensor: a matrix, a convolution's, a number a unit.
	totalDense(op *program.Dense, u use) *Path
	totalConv(op *program.Conv, u use) *Path
	totalUnits(v *program.Vector, u use) *Path
	// raise makes h^q of sums, h = g^(1/p), or its reciprocal: for q = 2 the factor of kappa, for q = p that
	// of the path norm. For q = 1 it may do so in place.
	raise(x *Path, q float64, invert bool) *Path
}

// use is a use of a tensor of n numbers: the sums over those before (nil is zeros), to which those over the edges
// that use an element are added, of coef^q (h_in h_out)^q, h_in of the operand x (nil is the
// constant unit) and h_out of the result y. gain leaves out slopes that paths see as 1.
type use struct {
	sum, x, y *Path
	n         int
	q         float64
	gain      bool
}

// pass is what an operation does with path sums: forward makes g_in of the result, backward hands the
// sums y of the result on to operand k, total adds a use of its tensor.
type pass struct {
	forward  func() *Path
	backward func(k int, y *Path) *Path
	total    func(use) *Path
}

// programmes are the steps of one program.
type programmes[T program.Float] struct {
	*Geometry[T]
	kernels
	in, out []*Path // of each value, nil where there are none
	// pure are the sums of a biased value without the edge from the constant unit, stages
	// those of its layer up to it.
	pure   []*Path
	stages [][]cuda.Stage
	ops    []pass
}

func newProgrammes[T program.Float](g *Geometry[T], k kernels) *programmes[T] {
	n := len(g.prog.Values)
	m := &programmes[T]{Geometry: g, kernels: k, in: make([]*Path, n), out: make([]*Path, n), pure: make([]*Path, n), stages: make([][]cuda.Stage, n)}
	m.in[g.prog.Input] = k.constant(g.prog.Values[g.prog.Input].Len, 1)
	m.out[g.prog.Logits] = k.constant(g.prog.Values[g.prog.Logits].Len, 1)
	for _, op := range g.prog.Ops {
		m.ops = append(m.ops, m.pass(op))
	}
	return m
}

// both makes the sums that kappa needs, those of the layer meet (-1 for none) in both
// directions at once.
func (m *programmes[T]) both(meet int) {
	last := len(m.ops) - 1
	m.forwards(0, meet-1)
	m.backwards(last, meet+1)
	if meet >= 0 {
		op := m.prog.Ops[meet].(*program.Dense)
		up, down := m.dense(op, m.in[op.X], m.out[op.Y])
		m.in[op.Y], m.out[op.X] = up, m.sum(m.out[op.X], down)
	}
	m.forwards(meet+1, last)
	m.backwards(meet-1, 0)
}

func (m *programmes[T]) forwards(lo, hi int) {
	for i := lo; i <= hi; i++ {
		if y := m.prog.Ops[i].Result(); m.needIn[y] {
			m.in[y] = m.ops[i].forward()
		}
	}
}

func (m *programmes[T]) backwards(hi, lo int) {
	for i := hi; i >= lo; i-- {
		y := m.out[m.prog.Ops[i].Result()]
		if y == nil {
			continue // the result reaches no logit
		}
		for k, x := range m.prog.Ops[i].Operands() {
			if m.needOut[x] {
				m.out[x] = m.sum(m.out[x], m.ops[i].backward(k, y))
			}
		}
	}
}

// sum adds two vectors; nil is zero.
func (m *programmes[T]) sum(x, y *Path) *Path {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return m.add(x, y)
}

// pass is an operation with what it needs of m.
func (m *programmes[T]) pass(op program.Op) pass {
	n := m.prog.Values[op.Result()].Len
	same := func(_ int, y *Path) *Path { return y }
	switch op := op.(type) {
	case *program.Dense:
		return pass{
			func() *Path { up, _ := m.dense(op, m.in[op.X], nil); return up },
			func(_ int, y *Path) *Path { _, down := m.dense(op, nil, y); return down },
			func(u use) *Path { return m.totalDense(op, u) },
		}
	case *program.Conv:
		return pass{
			func() *Path { return m.conv(op, m.in[op.X], false) },
			func(_ int, y *Path) *Path { return m.conv(op, y, true) },
			func(u use) *Path { return m.totalConv(op, u) },
		}
	case *program.Average:
		return m.window(op.X, &op.Taps, op.Weight)
	case *program.Shift:
		return pass{func() *Path { return m.shift(op) }, same, m.units(&op.V)}
	case *program.Scale:
		return pass{func() *Path { return m.scaled(op) }, func(_ int, y *Path) *Path { return m.scale(y, &op.V, false) }, m.units(&op.V)}
	case *program.Activate:
		if op.V.Tensor < 0 && !slices.ContainsFunc(op.V.Coef, func(c float64) bool { return c > 1 || c < -1 }) {
			break
		}
		return pass{
			func() *Path { return m.scale(m.in[op.X], &op.V, true) },
			func(_ int, y *Path) *Path { return m.scale(y, &op.V, true) },
			m.units(&op.V),
		}
	case *program.Concat:
		return m.joined(op, n)
	case *program.Constant:
		return pass{forward: func() *Path { return m.constant(n, 0) }, backward: same}
	case *program.Pool:
		if op.Start != nil {
			return m.window(op.X[0], &op.Taps, nil)
		}
	}
	// A sum, a maximum, or an activation that is no edge.
	return pass{
		forward: func() *Path {
			var sum *Path
			for _, x := range op.Operands() {
				sum = m.sum(sum, m.in[x])
			}
			return sum
		},
		backward: same,
	}
}

// units is total of an operation on each unit alone.
func (m *programmes[T]) units(v *program.Vector) func(use) *Path {
	return func(u use) *Path { return m.totalUnits(v, u) }
}

// window sums the taps of each output position, with weights or alike.
func (m *programmes[T]) window(x int, t *program.Taps, weight []float64) pass {
	links := func() cuda.Links {
		l := cuda.Windows(t.Start, t.At, weight)
		for k, w := range l.Weight {
			l.Weight[k] = m.edge(w)
		}
		return l
	}
	return pass{
		forward:  func() *Path { return m.gather(m.in[x], links(), t.Channels, t.InLen) },
		backward: func(_ int, y *Path) *Path { return m.gather(y, links().Transposed(t.InLen), t.Channels, t.OutLen) },
	}
}

// joined puts the operands one behind the other, n numbers in all.
func (m *programmes[T]) joined(op *program.Concat, n int) pass {
	start := make([]int, len(op.X))
	for k := 1; k < len(start); k++ {
		start[k] = start[k-1] + m.prog.Values[op.X[k-1]].Len
	}
	return pass{
		forward: func() *Path {
			var sum *Path
			for k, v := range op.X {
				x := m.in[v]
				sum = m.sum(sum, m.gather(x, shifted(x.Len, start[k], n), 1, x.Len))
			}
			return sum
		},
		backward: func(k int, y *Path) *Path {
			return m.gather(y, shifted(n, -start[k], m.prog.Values[op.X[k]].Len), 1, n)
		},
	}
}

// shifted are the links of a vector of so many that has n numbers from from on.
func shifted(n, from, length int) cuda.Links {
	index := make([]int32, length)
	for e := range index {
		index[e] = -1
		if e >= from && e < from+n {
			index[e] = int32(e - from)
		}
	}
	return cuda.Picked(index)
}

// shift is g_in behind a bias.
func (m *programmes[T]) shift(op *program.Shift) *Path {
	if m.inPreamble(op) {
		return m.constant(m.prog.Values[op.Y].Len, 1) // padding is zero until something is added
	}
	m.pure[op.Y] = m.in[op.X]
	if m.follows(op) {
		m.pure[op.Y], m.stages[op.Y] = m.pure[op.X], m.stages[op.X]
	}
	return m.withBias(op.Y, cuda.Stage{V: &op.V})
}

// scaled is g_in behind a factor a unit.
func (m *programmes[T]) scaled(op *program.Scale) *Path {
	switch {
	case m.inPreamble(op):
		return m.in[op.X]
	case !m.follows(op):
		return m.scale(m.in[op.X], &op.V, false)
	}
	m.pure[op.Y], m.stages[op.Y] = m.scale(m.pure[op.X], &op.V, false), m.stages[op.X]
	return m.withBias(op.Y, cuda.Stage{V: &op.V, Mul: true})
}

// withBias adds a stage to those of a value, and what they come to to its sums.
func (m *programmes[T]) withBias(y int, s cuda.Stage) *Path {
	m.stages[y] = append(slices.Clip(m.stages[y]), s)
	if m.opt.ExcludeBias {
		return m.pure[y]
	}
	return m.bias(m.pure[y], m.stages[y], s.V.Axis)
}

// factors makes those of a tensor: (h_in h_out)^q, or its reciprocal, summed over uses. For kappa they are all
// uses: it is defined for biases that paths do not count, and for slopes that paths see
// as 1. Else they are those on which ||pi||_p depends.
func (m *programmes[T]) factors(t int, q float64, invert bool) Factors {
	zeros := func(x *Path, n int) *Path {
		if x == nil {
			return m.constant(n, 0)
		}
		return x
	}
	if op := m.outer(t); op != nil {
		return Factors{
			Out: m.raise(zeros(m.out[op.Y], op.Rows), q, invert), In: m.raise(zeros(m.in[op.X], op.Cols), q, invert), InOut: op.InOut,
		}
	}
	u := use{n: len(m.prog.Tensors[t].Data), q: q}
	for _, i := range m.uses[t] {
		op := m.prog.Ops[i]
		_, part := op.Tensor()
		bias := part == program.Bias
		if u.y = m.out[op.Result()]; u.y == nil || bias && !invert && m.opt.ExcludeBias {
			continue
		}
		if u.x = nil; !bias {
			u.x = m.in[op.Operands()[0]]
		}
		u.gain = part == program.Slope && !invert
		u.sum = m.ops[i].total(u)
	}
	return Factors{All: m.raise(zeros(u.sum, u.n), 1, invert)}
}
