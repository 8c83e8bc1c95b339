package engine

import (
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/program"
)

// farUnits is operations on units on a device: a chain, or an activation that is
// not simple, as a chain of one stage.
type farUnits[T program.Float] struct {
	*far[T]
	k        *chain[T]
	stages   cuda.Ptr
	n, inner int
	width    int
	parts    cuda.Ptr
	lanes    int
}

// farChain is a chain on a device.
func (b *builder[T]) farChain(k *chain[T], width int) *farUnits[T] {
	f := b.Engine.far
	if f == nil {
		return nil
	}
	u := &farUnits[T]{far: f, k: k, stages: f.Stages(k.stages...), n: k.axis.N, inner: k.axis.Inner, width: width, lanes: 1}
	if k.axis.Inner > 1 {
		u.lanes = 64
	}
	return u
}

func (u *farUnits[T]) forward(c *remote) {
	u.k.mask.draw(c.n)
	u.Launch("units", c.n*u.width, c.dst, c.in[0], u.k.mask.place(), u.stages, len(u.k.stages), u.n, u.inner, u.k.act, float64(u.k.slope))
}

func (u *farUnits[T]) gate(c *remote) {
	u.Launch("gate", c.n*u.width, c.dst, c.in[0], c.in[1], u.k.mask.place(), float64(u.k.slope))
}

func (u *farUnits[T]) times(c *remote) {
	u.Launch("units_dx", c.n*u.width, c.dst, c.in[0], u.stages, len(u.k.stages), u.n, u.inner)
}

// sums computes the two sums of each unit that derivatives need, first in parts.
func (u *farUnits[T]) sums(c *remote) {
	many, x := 1, cuda.Ptr(0)
	if len(c.in) > 1 {
		many, x = 2, c.in[1]
	}
	if u.parts == 0 {
		u.parts = u.Alloc(cuda.Bytes[float64](2 * u.lanes * u.n))
	}
	u.Launch("unit_parts", u.lanes*u.n, u.parts, c.in[0], x, u.n, u.inner, c.n*u.width/u.n, u.lanes)
	u.Launch("unit_sums", many*u.n, c.dst, u.parts, u.n, u.lanes)
}

// stage computes the derivative by the tensor of stage j.
func (u *farUnits[T]) stage(v *program.Vector, j, length int) func(c *remote) {
	if u == nil {
		return nil
	}
	units := *v
	units.Axis.Outer, units.Axis.Inner = 1, 1
	t := u.Table(cuda.Serves(&units, length, u.n))
	return func(c *remote) {
		u.Launch("stage_grad", length, c.dst, c.in[0], u.stages, j, len(u.k.stages), u.n, t.Start, t.List, c.add)
	}
}

func (u *farUnits[T]) activate(c *remote) {
	u.k.mask.draw(c.n)
	u.Launch("activate", c.n*u.width, c.dst, c.in[0], c.in[0], u.k.mask.place(), u.stages, u.n, u.inner)
}

func (u *farUnits[T]) activateBack(c *remote) {
	u.Launch("activate", c.n*u.width, c.dst, c.in[0], c.in[1], u.k.mask.place(), u.stages, u.n, u.inner)
}

// slopes computes the derivative by the slopes.
func (u *farUnits[T]) slopes(v *program.Vector, length int) func(c *remote) {
	if u == nil {
		return nil
	}
	t := u.Table(cuda.Serves(v, length, u.width))
	return func(c *remote) {
		u.Launch("slopes", length, c.dst, c.in[0], c.in[1], u.k.mask.place(), t.Start, t.List, u.width, c.n, c.add)
	}
}

// farPool is maxima on a device: the result, and the derivative by operand i.
func (b *builder[T]) farPool(s *program.Pool) (forward func(c *remote), back func(i int) func(c *remote)) {
	f, k := b.Engine.far, b.prog.Values[s.Y].Len
	if f == nil {
		return nil, func(int) func(c *remote) { return nil }
	}
	which := f.Alloc(cuda.Bytes[int32](b.opt.Batch * k))
	if s.Start == nil {
		forward = func(c *remote) {
			for i, x := range c.in {
				f.Launch("larger", c.n*k, c.dst, which, x, i)
			}
		}
		return forward, func(i int) func(c *remote) {
			return func(c *remote) { f.Launch("larger_dx", c.n*k, c.dst, c.in[0], which, i, c.add) }
		}
	}
	taps := cuda.Windows(s.Start, s.At, nil)
	t, r := f.Table(taps), f.Table(taps.Transposed(s.InLen))
	forward = func(c *remote) {
		f.Launch("largest", c.n*k, c.dst, which, c.in[0], t.Start, t.List, s.OutLen, s.InLen)
	}
	return forward, func(int) func(c *remote) {
		return func(c *remote) {
			f.Launch("largest_dx", c.n*s.Channels*s.InLen, c.dst, c.in[0], which, r.Start, r.List, s.OutLen, s.InLen, c.add)
		}
	}
}

// farConv is a convolution on a device: products, example by example, of weights
// by the unfolded operand.
type farConv[T program.Float] struct {
	b     *builder[T]
	op    *program.Conv
	table cuda.Ptr
	reads cuda.Table
}

func (b *builder[T]) farConv(o *program.Conv) *farConv[T] {
	f := b.Engine.far
	if f == nil {
		return nil
	}
	f.room = max(f.room, b.opt.Batch*o.Groups*o.In*o.Kernel*o.OutLen)
	return &farConv[T]{b, o, cuda.Upload(f, o.Table), f.Table(cuda.Reads(o))}
}

// each calls do for each group of each example: addresses of the operand's
// columns, of the result and of the weights.
func (v *farConv[T]) each(n int, y, w cuda.Ptr, do func(first bool, cols, y, w cuda.Ptr)) {
	o, skip := v.op, v.b.there.skip
	depth := o.In * o.Kernel
	for i := range n {
		for g := range o.Groups {
			at := i*o.Groups + g
			do(i == 0, skip(v.b.Engine.far.scratch, at*depth*o.OutLen), skip(y, at*o.Out*o.OutLen), skip(w, g*o.Out*depth))
		}
	}
}

func (v *farConv[T]) unfold(x cuda.Ptr, n int) {
	o := v.op
	v.b.Engine.far.Launch("unfold", n*o.Groups*o.In*o.Kernel*o.OutLen, v.b.Engine.far.scratch, x, v.table, o.Kernel, o.OutLen, o.InLen)
}

func (v *farConv[T]) forward(c *remote) {
	o := v.op
	v.unfold(c.in[0], c.n)
	v.each(c.n, c.dst, c.in[1], func(_ bool, cols, y, w cuda.Ptr) {
		v.b.there.gemm(false, false, o.Out, o.OutLen, o.In*o.Kernel, 1, w, o.In*o.Kernel, cols, o.OutLen, 0, y, o.OutLen)
	})
}

func (v *farConv[T]) byInput(c *remote) {
	o := v.op
	v.each(c.n, c.in[0], c.in[1], func(_ bool, cols, dy, w cuda.Ptr) {
		v.b.there.gemm(true, false, o.In*o.Kernel, o.OutLen, o.Out, 1, w, o.In*o.Kernel, dy, o.OutLen, 0, cols, o.OutLen)
	})
	v.b.Engine.far.Launch("refold", c.n*o.Groups*o.In*o.InLen, c.dst, v.b.Engine.far.scratch, v.reads.Start, v.reads.List, o.Kernel*o.OutLen, o.InLen, c.add)
}

func (v *farConv[T]) byWeights(c *remote) {
	o := v.op
	v.unfold(c.in[1], c.n)
	v.each(c.n, c.in[0], c.dst, func(first bool, cols, dy, dw cuda.Ptr) {
		v.b.there.gemm(false, true, o.Out, o.In*o.Kernel, o.OutLen, 1, dy, o.OutLen, cols, o.OutLen, weight[T](c.add || !first), dw, o.In*o.Kernel)
	})
}
