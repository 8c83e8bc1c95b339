package geometry

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Remote runs the programmes on a device, for p = 1 and 2.
type Remote[T program.Float] struct {
	*cuda.Resident[T]
	paths *programmes[T]
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
	m := &Remote[T]{Resident: r, p: p, factors: factors}
	m.paths = newProgrammes(g, m)
	m.paths.both(-1)
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

// Inverse adds 1/kappa of a tensor, Slope what it has for Geometry; heads have the exponents. Call them
// once for each tensor, before the first Update.
func (m *Remote[T]) Inverse(t int) Factors { return m.paths.factors(t, 2, true) }

// Slope is documented with Inverse.
func (m *Remote[T]) Slope(t int) Factors { return m.paths.factors(t, float64(m.p), false) }

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

func (m *Remote[T]) add(x, y *Path) *Path {
	return m.make("path_add", x.Len, x.V, x.Head, y.V, y.Head)
}

func (m *Remote[T]) gather(x *Path, t cuda.Links, channels, length int) *Path {
	table, k := m.Table(t), len(t.Start)-1
	return m.make("path_gather", channels*k, x.V, x.Head, table.Start, table.List, table.Weight, k, length)
}

func (m *Remote[T]) scale(x *Path, v *program.Vector, gain bool) *Path {
	return m.make("path_scale", x.Len, x.V, x.Head, m.Stages(cuda.Stage{V: v}), v.Axis.N, v.Axis.Inner, m.p, gain)
}

func (m *Remote[T]) bias(x *Path, stages []cuda.Stage, axis dag.Axis) *Path {
	return m.make("path_bias", x.Len, x.V, x.Head, m.Stages(stages...), len(stages), axis.N, axis.Inner, m.p)
}

func (m *Remote[T]) dense(op *program.Dense, x, y *Path) (up, down *Path) {
	so, sk := op.Cols, 1
	if op.InOut {
		so, sk = 1, op.Rows
	}
	if x != nil {
		up = m.products(op, x, op.Rows, so, op.Cols, sk)
	}
	if y != nil {
		down = m.products(op, y, op.Cols, sk, op.Rows, so)
	}
	return up, down
}

// products makes so many outs of a matrix product by the weights, each of depth numbers: weights of neighbouring
// outs are so apart in memory, terms of one out sk.
func (m *Remote[T]) products(op *program.Dense, x *Path, outs, so, depth, sk int) *Path {
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

func (m *Remote[T]) conv(op *program.Conv, x *Path, back bool) *Path {
	if back {
		t := m.Table(cuda.Reads(op))
		return m.make("path_conv_back", op.Groups*op.In*op.InLen, x.V, x.Head, m.Tensors[op.W], t.Start, t.List, m.p, op.Out, op.In, op.Kernel, op.OutLen, op.InLen)
	}
	return m.make("path_conv", op.Groups*op.Out*op.OutLen, x.V, x.Head, m.Tensors[op.W], cuda.Upload(m, op.Table), m.p, op.Out, op.In, op.Kernel, op.OutLen, op.InLen)
}

func (m *Remote[T]) raise(x *Path, q float64, invert bool) *Path {
	f := m.makeAt(m.factors+cuda.Ptr(m.count*headBytes), "path_raise", x.Len, x.V, x.Head, m.square(q), invert)
	f.Index = m.count
	m.count++
	return f
}

// square tells whether sums are squared for h^q; a vector holds g for p = 2.
func (m *Remote[T]) square(q float64) bool { return m.p == 1 && q == 2 }

func (m *Remote[T]) totalDense(op *program.Dense, u use) *Path {
	x, y := u.x, u.y
	return m.paths.sum(u.sum, m.make("path_dense_total", u.n, x.V, x.Head, y.V, y.Head, op.Rows, op.Cols, op.InOut, op.Outer, op.Inner, m.square(u.q)))
}

func (m *Remote[T]) totalConv(op *program.Conv, u use) *Path {
	x, y := u.x, u.y
	return m.paths.sum(u.sum, m.make("path_conv_total", u.n, x.V, x.Head, y.V, y.Head, cuda.Upload(m, op.Table), op.Out, op.In, op.Kernel, op.OutLen, op.InLen, m.square(u.q)))
}

func (m *Remote[T]) totalUnits(v *program.Vector, u use) *Path {
	x, y := u.x, u.y
	if x == nil {
		x = new(Path)
	}
	s := m.Table(cuda.Serves(v, u.n, y.Len))
	return m.paths.sum(u.sum, m.make("path_total", u.n, x.V, x.Head, y.V, y.Head, s.Start, s.List, m.Stages(cuda.Stage{V: v}), v.Axis.N, v.Axis.Inner, int(u.q), m.square(u.q), u.gain))
}
