package geometry

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// remotePass is what an operation does with path sums on a device, as pass is on the CPU.
// Each function adds the kernels and returns the vector that they make.
type remotePass struct {
	// forward makes g_in of the result.
	forward func() *Path
	// backward hands the sums y of the result on to operand k.
	backward func(k int, y *Path) *Path
	// total is the sum over the edges that use an element of the operation's tensor, for
	// each; nil for an operation without one. It may return nil for zeros.
	total func(u remoteUse) *Path
}

// remoteUse is a use of a tensor of n numbers: the sums x of the operand and y of the
// result, raised to the power q.
type remoteUse struct {
	x, y   *Path
	n, q   int
	square bool
	which  edges
}

// backward hands the sums of the result of operation i on to its operands.
func (m *Remote[T]) backward(i int) {
	op := m.Prog.Ops[i]
	y := m.out[op.Result()]
	if y == nil {
		return // the result reaches no logit
	}
	for k, x := range op.Operands() {
		if m.geo.needOut[x] {
			m.out[x] = m.add(m.out[x], m.ops[i].backward(k, y))
		}
	}
}

// pass is an operation with what it needs of m.
func (m *Remote[T]) pass(op program.Op) remotePass {
	p, n := m.Prog, m.Prog.Values[op.Result()].Len
	same := func(_ int, y *Path) *Path { return y }
	switch op := op.(type) {
	case *program.Dense:
		return remotePass{
			forward:  func() *Path { return m.dense(op, m.in[op.X], false) },
			backward: func(_ int, y *Path) *Path { return m.dense(op, y, true) },
			total: func(u remoteUse) *Path {
				return m.make("path_dense_total", u.n, u.x.V, u.x.Head, u.y.V, u.y.Head, op.Rows, op.Cols, op.InOut, op.Outer, op.Inner, u.square)
			},
		}
	case *program.Conv:
		return m.conv(op, n)
	case *program.Average:
		return m.window(op.X, &op.Taps, op.Weight)
	case *program.Shift:
		return remotePass{
			forward:  func() *Path { return m.shift(op, n) },
			backward: same,
			total: func(u remoteUse) *Path {
				if u.which == counted && m.geo.opt.ExcludeBias {
					return nil
				}
				return m.units(&op.V, u, false)
			},
		}
	case *program.Scale:
		return remotePass{
			forward:  func() *Path { return m.scaled(op) },
			backward: func(_ int, y *Path) *Path { return m.scale(y, &op.V, false) },
			total:    func(u remoteUse) *Path { return m.units(&op.V, u, false) },
		}
	case *program.Activate:
		return remotePass{
			forward:  func() *Path { return m.scale(m.in[op.X], &op.V, true) },
			backward: func(_ int, y *Path) *Path { return m.scale(y, &op.V, true) },
			total:    func(u remoteUse) *Path { return m.units(&op.V, u, u.which == counted) },
		}
	case *program.Select:
		from := p.Values[op.X].Len
		return remotePass{
			forward:  func() *Path { return m.gather(m.in[op.X], cuda.Picked(op.Index), 1, from) },
			backward: func(_ int, y *Path) *Path { return m.gather(y, cuda.Picked(op.Index).Transposed(from), 1, y.Len) },
		}
	case *program.Concat:
		return m.joined(op, n)
	case *program.Constant:
		return remotePass{forward: func() *Path { return m.constant(n, 0) }}
	case *program.Pool:
		if op.Start != nil {
			return m.window(op.X[0], &op.Taps, nil)
		}
	}
	return remotePass{
		forward: func() *Path {
			var sum *Path
			for _, x := range op.Operands() {
				sum = m.add(sum, m.in[x])
			}
			return sum
		},
		backward: same,
	}
}

// conv is a convolution, whose result has n numbers.
func (m *Remote[T]) conv(op *program.Conv, n int) remotePass {
	return remotePass{
		forward: func() *Path {
			x := m.in[op.X]
			return m.make("path_conv", n, x.V, x.Head, m.Tensors[op.W], cuda.Upload(m, op.Table), m.p, op.Out, op.In, op.Kernel, op.OutLen, op.InLen)
		},
		backward: func(_ int, y *Path) *Path {
			t := m.Table(cuda.Reads(op))
			return m.make("path_conv_back", m.Prog.Values[op.X].Len, y.V, y.Head, m.Tensors[op.W], t.Start, t.List, m.p, op.Out, op.In, op.Kernel, op.OutLen, op.InLen)
		},
		total: func(u remoteUse) *Path {
			return m.make("path_conv_total", u.n, u.x.V, u.x.Head, u.y.V, u.y.Head, cuda.Upload(m, op.Table), op.Out, op.In, op.Kernel, op.OutLen, op.InLen, u.square)
		},
	}
}

// window sums the taps of each output position, with weights or alike.
func (m *Remote[T]) window(x int, t *program.Taps, weight []float64) remotePass {
	return remotePass{
		forward: func() *Path { return m.gather(m.in[x], cuda.Windows(t.Start, t.At, weight), t.Channels, t.InLen) },
		backward: func(_ int, y *Path) *Path {
			return m.gather(y, cuda.Windows(t.Start, t.At, weight).Transposed(t.InLen), t.Channels, t.OutLen)
		},
	}
}

// joined puts the operands one behind the other, n numbers in all.
func (m *Remote[T]) joined(op *program.Concat, n int) remotePass {
	start := make([]int, len(op.X))
	for k := 1; k < len(start); k++ {
		start[k] = start[k-1] + m.Prog.Values[op.X[k-1]].Len
	}
	return remotePass{
		forward: func() *Path {
			var sum *Path
			for k, x := range op.X {
				one := m.in[x]
				sum = m.add(sum, m.gather(one, shifted(one.Len, start[k], n), 1, one.Len))
			}
			return sum
		},
		backward: func(k int, y *Path) *Path {
			return m.gather(y, shifted(y.Len, -start[k], m.Prog.Values[op.X[k]].Len), 1, y.Len)
		},
	}
}

// bias adds the edges from the constant unit to the sums x of a layer's stages.
func (m *Remote[T]) bias(x *Path, y int, axis dag.Axis) *Path {
	if m.geo.opt.ExcludeBias {
		return x
	}
	s := m.stages[y]
	return m.make("path_bias", x.Len, x.V, x.Head, m.Stages(s...), len(s), axis.N, axis.Inner, m.p)
}

// shift is g_in behind a bias.
func (m *Remote[T]) shift(op *program.Shift, n int) *Path {
	if m.geo.inPreamble(op) {
		return m.constant(n, 1)
	}
	m.pure[op.Y] = m.in[op.X]
	if m.geo.follows(op.X, op.Y) {
		m.pure[op.Y], m.stages[op.Y] = m.pure[op.X], m.stages[op.X]
	}
	s := m.stages[op.Y]
	m.stages[op.Y] = append(slices.Clip(s), cuda.Stage{V: &op.V})
	return m.bias(m.pure[op.Y], op.Y, op.V.Axis)
}

// scaled is g_in behind a factor a unit.
func (m *Remote[T]) scaled(op *program.Scale) *Path {
	switch {
	case m.geo.inPreamble(op):
		return m.in[op.X]
	case !m.geo.follows(op.X, op.Y):
		return m.scale(m.in[op.X], &op.V, false)
	}
	s := m.stages[op.X]
	m.pure[op.Y], m.stages[op.Y] = m.scale(m.pure[op.X], &op.V, false), append(slices.Clip(s), cuda.Stage{V: &op.V, Mul: true})
	return m.bias(m.pure[op.Y], op.Y, op.V.Axis)
}

// units is the total of a vector of one number a unit.
func (m *Remote[T]) units(v *program.Vector, u remoteUse, counted bool) *Path {
	inV, inHead := cuda.Ptr(0), cuda.Ptr(0)
	if u.x != nil {
		inV, inHead = u.x.V, u.x.Head
	}
	s := m.Table(cuda.Serves(v, u.n, u.y.Len))
	return m.make("path_total", u.n, inV, inHead, u.y.V, u.y.Head, s.Start, s.List, m.Stages(cuda.Stage{V: v}), v.Axis.N, v.Axis.Inner, u.q, u.square, counted)
}
