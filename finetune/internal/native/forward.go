package native

import (
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/program"
)

func (e *Engine[T]) forwardOp(i int) {
	o := &e.ops[i]
	switch op := e.prog.Ops[i].(type) {
	case *program.Dense:
		e.dense(op)
	case *program.Conv:
		e.conv(o, op)
	case *program.Average:
		e.average(op)
	case *program.Shift:
		program.Fill(o.vec, &op.V, e.prog.Tensors)
		e.opt.Pool.Do(e.n, grain(e.prog.Values[op.Y].Len), o.rows)
	case *program.Scale:
		program.Fill(o.vec, &op.V, e.prog.Tensors)
		e.opt.Pool.Do(e.n, grain(e.prog.Values[op.Y].Len), o.rows)
	case *program.Activate:
		program.Fill(o.vec, &op.V, e.prog.Tensors)
		if o.mask != nil && e.train {
			engine.Drop(o.mask[:e.n*e.prog.Values[op.Y].Len], e.opt.Dropout, e.batch.Seed, e.batch.Step, i)
		}
		e.opt.Pool.Do(e.n, grain(e.prog.Values[op.Y].Len), o.rows)
	case *program.Sum:
		e.sum(op)
	case *program.Concat:
		e.concat(op)
	case *program.Select:
		x, y := e.value(op.X), e.value(op.Y)
		m, k := e.prog.Values[op.X].Len, len(op.Index)
		for b := range e.n {
			src, dst := x[b*m:][:m], y[b*k:][:k]
			for j, at := range op.Index {
				dst[j] = 0
				if at >= 0 {
					dst[j] = src[at]
				}
			}
		}
	case *program.Pool:
		e.pooled(o, op)
	case *program.Constant:
		clear(e.value(op.Y))
	}
}

func (e *Engine[T]) dense(op *program.Dense) {
	w, x, y := e.prog.Tensors[op.W].Data, e.value(op.X), e.value(op.Y)
	if op.Inner == 1 {
		m := e.n * op.Outer
		if op.InOut {
			e.gemm(false, false, m, op.Rows, op.Cols, 1, x, op.Cols, w, op.Rows, 0, y, op.Rows)
		} else {
			e.gemm(false, true, m, op.Rows, op.Cols, 1, x, op.Cols, w, op.Cols, 0, y, op.Rows)
		}
		return
	}
	p := op.Inner
	for b := range e.n * op.Outer {
		src, dst := x[b*op.Cols*p:], y[b*op.Rows*p:]
		if op.InOut {
			e.gemm(true, false, op.Rows, p, op.Cols, 1, w, op.Rows, src, p, 0, dst, p)
		} else {
			e.gemm(false, false, op.Rows, p, op.Cols, 1, w, op.Cols, src, p, 0, dst, p)
		}
	}
}

// unfold lists, for each input channel and kernel position of a group, what the
// output positions read.
func unfold[T program.Float](op *program.Conv, dst, src []T, group int) {
	for j := range op.In {
		x := src[(group*op.In+j)*op.InLen:][:op.InLen]
		for k := range op.Kernel {
			row := dst[(j*op.Kernel+k)*op.OutLen:][:op.OutLen]
			for o, at := range op.Table[k*op.OutLen:][:op.OutLen] {
				if at >= 0 {
					row[o] = x[at]
				} else {
					row[o] = 0
				}
			}
		}
	}
}

func (e *Engine[T]) conv(o *operation[T], op *program.Conv) {
	w, x, y := e.prog.Tensors[op.W].Data, e.value(op.X), e.value(op.Y)
	m := op.In * op.Kernel
	for b := range e.n {
		src := x[b*op.Groups*op.In*op.InLen:]
		for g := range op.Groups {
			unfold(op, o.cols, src, g)
			e.gemm(false, false, op.Out, op.OutLen, m, 1, w[g*op.Out*m:], m, o.cols, op.OutLen,
				0, y[(b*op.Groups+g)*op.Out*op.OutLen:], op.OutLen)
		}
	}
}

func (e *Engine[T]) average(op *program.Average) {
	x, y := e.value(op.X), e.value(op.Y)
	for c := range e.n * op.Channels {
		src, dst := x[c*op.InLen:][:op.InLen], y[c*op.OutLen:][:op.OutLen]
		for o := range dst {
			var s T
			for _, j := range op.At[op.Start[o]:op.Start[o+1]] {
				s += src[j]
			}
			dst[o] = T(op.Weight[o]) * s
		}
	}
}

// units calls f for each run of elements of one unit in samples lo to hi.
func units(v *program.Vector, length, lo, hi int, f func(unit, from, to int)) {
	a := v.Axis
	for b := lo; b < hi; b++ {
		for r := range a.Outer * a.N {
			at := b*length + r*a.Inner
			f(r%a.N, at, at+a.Inner)
		}
	}
}

// simple reports whether a vector has one unit an element.
func simple(v *program.Vector) bool { return v.Axis.Outer == 1 && v.Axis.Inner == 1 }

func (e *Engine[T]) addVector(i int, op *program.Shift, lo, hi int) {
	x, y, vec := e.value(op.X), e.value(op.Y), e.ops[i].vec
	length := e.prog.Values[op.Y].Len
	if simple(&op.V) {
		for b := lo; b < hi; b++ {
			src, dst := x[b*length:][:length], y[b*length:][:length]
			for j, v := range vec {
				dst[j] = src[j] + v
			}
		}
		return
	}
	units(&op.V, length, lo, hi, func(u, from, to int) {
		v, dst := vec[u], y[from:to]
		for k, z := range x[from:to] {
			dst[k] = z + v
		}
	})
}

// addActivate adds a bias and applies max(z, slope z), 0 <= slope.
func (e *Engine[T]) addActivate(i int, op *program.Shift, slope T, lo, hi int) {
	x, y, vec := e.value(op.X), e.value(op.Y), e.ops[i].vec
	length := len(vec)
	for b := lo; b < hi; b++ {
		src, dst := x[b*length:][:length], y[b*length:][:length]
		if slope == 0 {
			for j, v := range vec {
				dst[j] = max(src[j]+v, 0)
			}
			continue
		}
		for j, v := range vec {
			z := src[j] + v
			if z <= 0 {
				z *= slope
			}
			dst[j] = z
		}
	}
}

func (e *Engine[T]) mulVector(i int, op *program.Scale, lo, hi int) {
	x, y, vec := e.value(op.X), e.value(op.Y), e.ops[i].vec
	units(&op.V, e.prog.Values[op.Y].Len, lo, hi, func(u, from, to int) {
		v, dst := vec[u], y[from:to]
		for k, z := range x[from:to] {
			dst[k] = z * v
		}
	})
}

func (e *Engine[T]) activate(i int, op *program.Activate, lo, hi int) {
	o := &e.ops[i]
	length := e.prog.Values[op.Y].Len
	x, y := e.value(op.X), e.value(op.Y)
	for b := lo; b < hi; b++ {
		src, dst := x[b*length:][:length], y[b*length:][:length]
		switch {
		case len(o.vec) == 1 && o.vec[0] == 0:
			for j, z := range src {
				dst[j] = max(z, 0)
			}
		case len(o.vec) == 1:
			for j, z := range src {
				if z <= 0 {
					z *= o.vec[0]
				}
				dst[j] = z
			}
		default:
			for j, z := range src {
				if z <= 0 {
					z *= o.vec[j]
				}
				dst[j] = z
			}
		}
		if o.mask != nil && e.train {
			for j, m := range o.mask[b*length:][:length] {
				dst[j] *= m
			}
		}
	}
}

func (e *Engine[T]) sum(op *program.Sum) {
	y := e.value(op.Y)
	clear(y)
	for k, v := range op.X {
		x := e.value(v)
		if op.Sign[k] < 0 {
			for j, z := range x {
				y[j] -= z
			}
			continue
		}
		for j, z := range x {
			y[j] += z
		}
	}
}

func (e *Engine[T]) concat(op *program.Concat) {
	y, k, at := e.value(op.Y), e.prog.Values[op.Y].Len, 0
	for _, v := range op.X {
		x, m := e.value(v), e.prog.Values[v].Len
		for b := range e.n {
			copy(y[b*k+at:][:m], x[b*m:])
		}
		at += m
	}
}

// pooled takes maxima and remembers where they came from: the first of equals.
func (e *Engine[T]) pooled(o *operation[T], op *program.Pool) {
	y := e.value(op.Y)
	if op.Start == nil {
		copy(y, e.value(op.X[0]))
		clear(o.which[:len(y)])
		for k, v := range op.X[1:] {
			for j, z := range e.value(v) {
				if z > y[j] || z != z {
					y[j], o.which[j] = z, int32(k+1)
				}
			}
		}
		return
	}
	x := e.value(op.X[0])
	for c := range e.n * op.Channels {
		src, dst := x[c*op.InLen:][:op.InLen], y[c*op.OutLen:][:op.OutLen]
		for p := range dst {
			best := int32(-1)
			for _, j := range op.At[op.Start[p]:op.Start[p+1]] {
				if best < 0 || src[j] > src[best] || src[j] != src[j] {
					best = j
				}
			}
			o.which[c*op.OutLen+p] = best
			dst[p] = 0
			if best >= 0 {
				dst[p] = src[best]
			}
		}
	}
}
