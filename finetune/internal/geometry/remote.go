package geometry

import (
	"fmt"
	"math"
	"slices"

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
	ops           []remotePass
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

// headBytes is the size of a head; heads is the number of them in a chunk, lanes
// that of parts of a sum, none the exponent b of what is left as it is.
const (
	headBytes = 8
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
		m.ops = append(m.ops, m.pass(op))
	}
	for i, op := range g.prog.Ops {
		if g.needIn[op.Result()] {
			m.in[op.Result()] = m.ops[i].forward()
		}
	}
	for i := len(g.prog.Ops) - 1; i >= 0; i-- {
		if g.back[i] {
			m.backward(i)
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
	v := slices.Repeat([]float64{x}, n)
	return &Path{V: cuda.Upload(m, v), Head: cuda.Upload(m, []int32{0, none}), Len: n}
}

// make adds a kernel that makes a vector, whose arguments begin with its two
// addresses.
func (m *Remote[T]) make(kernel string, n int, args ...any) *Path {
	if m.used%heads == 0 {
		m.chunks = append(m.chunks, m.Alloc(heads*headBytes))
	}
	head := m.chunks[m.used/heads] + cuda.Ptr(m.used%heads*headBytes)
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
		f := m.makeAt(m.factors+cuda.Ptr(m.count*headBytes), "path_raise", x.Len, x.V, x.Head, square, reciprocal)
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
	u := remoteUse{n: len(m.Prog.Tensors[t].Data), q: 2, square: square, which: which}
	if which == counted {
		u.q = m.p
	}
	var sum *Path
	for _, i := range m.geo.uses[t] {
		if u.y = m.out[m.Prog.Ops[i].Result()]; u.y == nil {
			continue
		}
		u.x = nil
		if from := m.geo.begins[i]; from >= 0 {
			u.x = m.in[from]
		}
		sum = m.add(sum, m.ops[i].total(u))
	}
	return m.zeros(sum, u.n)
}
