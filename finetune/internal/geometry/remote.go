package geometry

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Remote runs the programmes on a device, for p = 1 and 2. What runs is known
// when it is made: a list of kernels, of which each makes one vector of sums.
type Remote[T program.Float] struct {
	*cuda.Resident[T]
	geo   *Geometry[T]
	p     int
	steps []func()
	// Heads of vectors begin anew at each Update: those of factors at factors,
	// count of them, and those of the rest in chunks.
	factors cuda.Ptr
	count   int
	chunks  []cuda.Ptr
	used    int
	// parts is memory for sums in parts, long numbers.
	parts cuda.Ptr
	long  int

	in, out, pure []*Path        // as in Geometry
	stages        [][]cuda.Stage // of the layer of a biased value, up to it
}

// Path is a vector of sums on a device and its head, which holds two exponents:
// the numbers are V[i] 2^-b 2^(a+b).
type Path struct {
	V, Head cuda.Ptr
	// Index is the number of the head among those of factors.
	Index int
	Len   int
}

// HeadExp is the exponent of a vector whose largest number is brought near 1,
// from its head.
func HeadExp(head uint64) int {
	if b := int32(head >> 32); b != none {
		return int(int32(head)) + int(b)
	}
	return int(int32(head))
}

// HeadBytes is the size of a head; heads is the number of them in a chunk, lanes
// that of parts of a sum, none the exponent b of what is left as it is.
const (
	HeadBytes = 8
	heads     = 256
	lanes     = 32
	none      = math.MinInt32
)

// On makes the programmes of a program that is on a device, where the heads of
// factors, at most four for each tensor, come to lie at factors. The error says
// that there are no kernels for the order.
func (g *Geometry[T]) On(r *cuda.Resident[T], factors cuda.Ptr) (*Remote[T], error) {
	p := int(g.opt.P)
	if float64(p) != g.opt.P || p > 2 {
		return nil, &cuda.Error{Reason: fmt.Sprintf("there are no kernels for path norms of order %v, those of 1 and 2 apart: use the CPU", g.opt.P)}
	}
	n := len(g.prog.Values)
	m := &Remote[T]{
		Resident: r, geo: g, p: p, factors: factors,
		in: make([]*Path, n), out: make([]*Path, n), pure: make([]*Path, n), stages: make([][]cuda.Stage, n),
	}
	m.in[g.prog.Input] = m.constant(g.prog.Values[g.prog.Input].Len, 1)
	m.out[g.prog.Logits] = m.constant(g.prog.Values[g.prog.Logits].Len, 1)
	for _, op := range g.prog.Ops {
		if g.needIn[op.Result()] {
			m.in[op.Result()] = m.forward(op)
		}
	}
	for i := len(g.prog.Ops) - 1; i >= 0; i-- {
		if g.back[i] {
			m.backward(g.prog.Ops[i])
		}
	}
	m.parts = r.Alloc(cuda.Bytes[float64](m.long))
	return m, nil
}

// Update runs the programmes.
func (m *Remote[T]) Update() {
	m.Launch("path_reset", m.count, m.factors)
	for _, c := range m.chunks {
		m.Launch("path_reset", heads, c)
	}
	for _, s := range m.steps {
		s()
	}
}

// constant is a vector of one number.
func (m *Remote[T]) constant(n int, x float64) *Path {
	v := make([]float64, n)
	for i := range v {
		v[i] = x
	}
	return &Path{V: cuda.Upload(m, v), Head: cuda.Upload(m, []int32{0, none}), Len: n}
}

// make adds a kernel that makes a vector, whose arguments begin with its two
// addresses.
func (m *Remote[T]) make(kernel string, n int, args ...any) *Path {
	if m.used%heads == 0 {
		m.chunks = append(m.chunks, m.Alloc(heads*HeadBytes))
	}
	head := m.chunks[m.used/heads] + cuda.Ptr(m.used%heads*HeadBytes)
	m.used++
	return m.makeAt(head, kernel, n, args...)
}

func (m *Remote[T]) makeAt(head cuda.Ptr, kernel string, n int, args ...any) *Path {
	p := &Path{V: m.Alloc(cuda.Bytes[float64](n)), Head: head, Len: n}
	all := append([]any{p.V, p.Head}, args...)
	m.steps = append(m.steps, func() { m.Launch(kernel, n, all...) })
	return p
}

// add is the sum of two vectors; nil is zero.
func (m *Remote[T]) add(x, y *Path) *Path {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return m.make("path_add", x.Len, x.V, x.Head, y.V, y.Head)
}

// gather sums links in each of so many channels of m numbers.
func (m *Remote[T]) gather(x *Path, t cuda.Links, channels, length int) *Path {
	for k, w := range t.Weight {
		t.Weight[k] = m.geo.edge(w)
	}
	table, k := m.Table(t), len(t.Start)-1
	return m.make("path_gather", channels*k, x.V, x.Head, table.Start, table.List, table.Weight, k, length)
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

// scale multiplies by a vector, or by what an activation passes on.
func (m *Remote[T]) scale(x *Path, v *program.Vector, gain bool) *Path {
	return m.make("path_scale", x.Len, x.V, x.Head, m.Stages(cuda.Stage{V: v}), v.Axis.N, v.Axis.Inner, m.p, gain)
}

// dense sums over a layer's inputs, or back over its units.
func (m *Remote[T]) dense(op *program.Dense, x *Path, back bool) *Path {
	outs, depth, so, sk := op.Rows, op.Cols, op.Cols, 1
	if op.InOut {
		so, sk = 1, op.Rows
	}
	if back {
		outs, depth, so, sk = depth, outs, sk, so
	}
	total := outs * op.Outer * op.Inner
	m.long = max(m.long, lanes*total)
	m.steps = append(m.steps, func() {
		m.Launch("path_dense", lanes*total, m.parts, m.Tensors[op.W], x.V, x.Head, m.p, outs, so, depth, sk, lanes, op.Inner, total)
	})
	y := m.make("path_fold", total, x.Head)
	last := len(m.steps) - 1
	m.steps[last] = func() { m.Launch("path_fold", total, y.V, y.Head, x.Head, m.parts, lanes) }
	return y
}

// bias adds the edges from the constant unit to the sums x of a layer's stages.
func (m *Remote[T]) bias(x *Path, y int, axis dag.Axis) *Path {
	if m.geo.opt.ExcludeBias {
		return x
	}
	s := m.stages[y]
	return m.make("path_bias", x.Len, x.V, x.Head, m.Stages(s...), len(s), axis.N, axis.Inner, m.p)
}

// forward makes g_in of an operation's result.
func (m *Remote[T]) forward(op program.Op) *Path {
	g, p, y := m.geo, m.Prog, op.Result()
	n := p.Values[y].Len
	early := g.inPreamble(op)
	switch op := op.(type) {
	case *program.Dense:
		return m.dense(op, m.in[op.X], false)
	case *program.Conv:
		x := m.in[op.X]
		return m.make("path_conv", n, x.V, x.Head, m.Tensors[op.W], cuda.Upload(m, op.Table), m.p, op.Out, op.In, op.Kernel, op.OutLen, op.InLen)
	case *program.Average:
		return m.gather(m.in[op.X], cuda.Windows(op.Start, op.At, op.Weight), op.Channels, op.InLen)
	case *program.Shift:
		if early {
			return m.constant(n, 1)
		}
		m.pure[y] = m.in[op.X]
		if g.follows(op.X, y) {
			m.pure[y], m.stages[y] = m.pure[op.X], m.stages[op.X]
		}
		m.stages[y] = append(m.stages[y][:len(m.stages[y]):len(m.stages[y])], cuda.Stage{V: &op.V})
		return m.bias(m.pure[y], y, op.V.Axis)
	case *program.Scale:
		if early {
			return m.in[op.X]
		}
		if !g.follows(op.X, y) {
			return m.scale(m.in[op.X], &op.V, false)
		}
		s := m.stages[op.X]
		m.pure[y], m.stages[y] = m.scale(m.pure[op.X], &op.V, false), append(s[:len(s):len(s)], cuda.Stage{V: &op.V, Mul: true})
		return m.bias(m.pure[y], y, op.V.Axis)
	case *program.Activate:
		return m.scale(m.in[op.X], &op.V, true)
	case *program.Select:
		return m.gather(m.in[op.X], cuda.Picked(op.Index), 1, p.Values[op.X].Len)
	case *program.Constant:
		return m.constant(n, 0)
	case *program.Pool:
		if op.Start != nil {
			return m.gather(m.in[op.X[0]], cuda.Windows(op.Start, op.At, nil), op.Channels, op.InLen)
		}
	}
	var sum *Path
	at := 0
	for _, x := range op.Operands() {
		one := m.in[x]
		if _, strung := op.(*program.Concat); strung {
			one = m.gather(one, shifted(one.Len, at, n), 1, one.Len)
			at += m.in[x].Len
		}
		sum = m.add(sum, one)
	}
	return sum
}

// backward hands the sums of an operation's result on to its operands.
func (m *Remote[T]) backward(op program.Op) {
	p, y := m.Prog, m.out[op.Result()]
	if y == nil {
		return // the result reaches no logit
	}
	var back *Path
	switch op := op.(type) {
	case *program.Dense:
		back = m.dense(op, y, true)
	case *program.Conv:
		t := m.Table(cuda.Reads(op))
		back = m.make("path_conv_back", p.Values[op.X].Len, y.V, y.Head, m.Tensors[op.W], t.Start, t.List, m.p, op.Out, op.In, op.Kernel, op.OutLen, op.InLen)
	case *program.Average:
		back = m.gather(y, cuda.Windows(op.Start, op.At, op.Weight).Transposed(op.InLen), op.Channels, op.OutLen)
	case *program.Scale:
		back = m.scale(y, &op.V, false)
	case *program.Activate:
		back = m.scale(y, &op.V, true)
	case *program.Select:
		back = m.gather(y, cuda.Picked(op.Index).Transposed(p.Values[op.X].Len), 1, y.Len)
	case *program.Pool:
		back = y
		if op.Start != nil {
			back = m.gather(y, cuda.Windows(op.Start, op.At, nil).Transposed(op.InLen), op.Channels, op.OutLen)
		}
	case *program.Concat:
		at := 0
		for _, x := range op.X {
			n := p.Values[x].Len
			if m.geo.needOut[x] {
				m.out[x] = m.add(m.out[x], m.gather(y, shifted(y.Len, -at, n), 1, y.Len))
			}
			at += n
		}
		return
	default:
		back = y
	}
	for _, x := range op.Operands() {
		if m.geo.needOut[x] {
			m.out[x] = m.add(m.out[x], back)
		}
	}
}

// RemoteFactors are Factors on a device, without exponents: the heads have them.
type RemoteFactors struct {
	Out, In, All *Path
	InOut        bool
}

// Inverse adds 1/kappa of a tensor, Slope what it has for Geometry. Call them
// once for each tensor, before the first Update.
func (m *Remote[T]) Inverse(t int) RemoteFactors { return m.of(t, m.p == 1, true, every) }

// Slope is documented with Inverse.
func (m *Remote[T]) Slope(t int) RemoteFactors { return m.of(t, false, false, counted) }

func (m *Remote[T]) of(t int, square, reciprocal bool, which edges) RemoteFactors {
	raise := func(x *Path, square bool) *Path {
		if x == nil {
			return nil
		}
		f := m.makeAt(m.factors+cuda.Ptr(m.count*HeadBytes), "path_raise", x.Len, x.V, x.Head, square, reciprocal)
		f.Index = m.count
		m.count++
		return f
	}
	if op := m.geo.outer(t); op != nil {
		return RemoteFactors{Out: raise(m.zeros(m.out[op.Y], op.Rows), square), In: raise(m.zeros(m.in[op.X], op.Cols), square), InOut: op.InOut}
	}
	return RemoteFactors{All: raise(m.total(t, square, which), false)}
}

// zeros is a vector, or zeros where there is none.
func (m *Remote[T]) zeros(x *Path, n int) *Path {
	if x == nil {
		return m.constant(n, 0)
	}
	return x
}

// total is the sum over a tensor's uses.
func (m *Remote[T]) total(t int, square bool, which edges) *Path {
	n := len(m.Prog.Tensors[t].Data)
	q := 2
	if which == counted {
		q = m.p
	}
	var sum *Path
	for _, i := range m.geo.uses[t] {
		op := m.Prog.Ops[i]
		y := m.out[op.Result()]
		if y == nil {
			continue
		}
		var x *Path
		if from := m.geo.begins[i]; from >= 0 {
			x = m.in[from]
		}
		var one *Path
		unit := func(v *program.Vector, counted bool) {
			inV, inHead := cuda.Ptr(0), cuda.Ptr(0)
			if x != nil {
				inV, inHead = x.V, x.Head
			}
			s := m.Table(cuda.Serves(v, n, y.Len))
			one = m.make("path_total", n, inV, inHead, y.V, y.Head, s.Start, s.List, m.Stages(cuda.Stage{V: v}), v.Axis.N, v.Axis.Inner, q, square, counted)
		}
		switch op := op.(type) {
		case *program.Shift:
			if which == counted && m.geo.opt.ExcludeBias {
				continue
			}
			unit(&op.V, false)
		case *program.Scale:
			unit(&op.V, false)
		case *program.Activate:
			unit(&op.V, which == counted)
		case *program.Dense:
			one = m.make("path_dense_total", n, x.V, x.Head, y.V, y.Head, op.Rows, op.Cols, op.InOut, op.Outer, op.Inner, square)
		case *program.Conv:
			one = m.make("path_conv_total", n, x.V, x.Head, y.V, y.Head, cuda.Upload(m, op.Table), op.Out, op.In, op.Kernel, op.OutLen, op.InLen, square)
		}
		sum = m.add(sum, one)
	}
	return m.zeros(sum, n)
}
