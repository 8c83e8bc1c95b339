package native

import "github.com/relupath/relupath/finetune/internal/program"

func (e *Engine[T]) backwardOp(i int) {
	o := &e.ops[i]
	switch op := e.prog.Ops[i].(type) {
	case *program.Dense:
		e.denseBack(op)
	case *program.Conv:
		e.convBack(o, op)
	case *program.Average:
		e.averageBack(op)
	case *program.Shift:
		e.vectorGrad(&op.V, op.Y, -1)
		e.pass(op.X, op.Y, 1)
	case *program.Scale:
		e.vectorGrad(&op.V, op.Y, op.X)
		e.begin(op.X)
		e.opt.Pool.Do(e.n, grain(e.prog.Values[op.Y].Len), o.back)
	case *program.Activate:
		e.slopeGrad(i, op)
		e.begin(op.X)
		e.opt.Pool.Do(e.n, grain(e.prog.Values[op.Y].Len), o.back)
	case *program.Sum:
		for k, x := range op.X {
			e.pass(x, op.Y, T(op.Sign[k]))
		}
	case *program.Concat:
		e.concatBack(op)
	case *program.Select:
		e.begin(op.X)
		if !e.prog.Values[op.X].Grad {
			return
		}
		dx, dy := e.grad(op.X), e.grad(op.Y)
		m, k := e.prog.Values[op.X].Len, len(op.Index)
		for b := range e.n {
			src, dst := dy[b*k:][:k], dx[b*m:][:m]
			for j, at := range op.Index {
				if at >= 0 {
					dst[at] += src[j]
				}
			}
		}
	case *program.Pool:
		e.poolBack(o, op)
	}
}

// begin makes the gradient of an operand ready to be added to. One in the
// memory of the result is it.
func (e *Engine[T]) begin(x int) {
	if wanted, beta := e.want(x); wanted && beta == 0 && !e.made(x) {
		clear(e.grad(x))
	}
}

// made reports whether the operation in place that reads x shares its gradient,
// which is then already there.
func (e *Engine[T]) made(x int) bool { return e.inPlace[x] }

// pass adds sign times the gradient of y to that of x.
func (e *Engine[T]) pass(x, y int, sign T) {
	wanted, beta := e.want(x)
	if !wanted || e.made(x) {
		return
	}
	dx, dy := e.grad(x), e.grad(y)
	if beta == 0 {
		for j, d := range dy {
			dx[j] = sign * d
		}
		return
	}
	for j, d := range dy {
		dx[j] += sign * d
	}
}

// collect returns where the gradient of a tensor is added up; nil where it is
// not wanted.
func (e *Engine[T]) collect(t int) []T {
	if t < 0 || e.prog.Tensors[t].Frozen || e.tensor[t] == nil {
		return nil
	}
	if !e.given[t] {
		e.given[t] = true
		clear(e.tensor[t])
	}
	return e.tensor[t]
}

func (e *Engine[T]) denseBack(op *program.Dense) {
	t := e.prog.Tensors[op.W]
	w, x, dy := t.Data, e.value(op.X), e.grad(op.Y)
	if op.Inner > 1 {
		e.denseBackInner(op)
		return
	}
	m := e.n * op.Outer
	if wanted, beta := e.want(op.X); wanted {
		dx := e.grad(op.X)
		if op.InOut {
			e.gemm(false, true, m, op.Cols, op.Rows, 1, dy, op.Rows, w, op.Rows, beta, dx, op.Cols)
		} else {
			e.gemm(false, false, m, op.Cols, op.Rows, 1, dy, op.Rows, w, op.Cols, beta, dx, op.Cols)
		}
	}
	if t.Frozen {
		return
	}
	alpha, beta, dst := T(1), T(0), e.tensor[op.W]
	switch {
	case dst != nil:
		if e.given[op.W] {
			beta = 1
		}
		e.given[op.W] = true
	case e.up != nil:
		s, _ := e.up.Fused(op.W)
		alpha, beta, dst = s.Alpha, s.Beta, w
		if s.Out != nil {
			times(dy, dy, s.Out)
		}
		if s.In != nil {
			times(e.scaled[:len(x)], x, s.In)
			x = e.scaled[:len(x)]
		}
	default:
		return
	}
	if op.InOut {
		e.gemm(true, false, op.Cols, op.Rows, m, alpha, x, op.Cols, dy, op.Rows, beta, dst, op.Rows)
	} else {
		e.gemm(true, false, op.Rows, op.Cols, m, alpha, dy, op.Rows, x, op.Cols, beta, dst, op.Cols)
	}
}

// times multiplies each row of src by f.
func times[T program.Float](dst, src, f []T) {
	for len(src) > 0 {
		d, s := dst[:len(f)], src[:len(f)]
		for j, v := range f {
			d[j] = s[j] * v
		}
		dst, src = dst[len(f):], src[len(f):]
	}
}

// denseBackInner is denseBack with positions to the right of the columns.
func (e *Engine[T]) denseBackInner(op *program.Dense) {
	w, x, dy, p := e.prog.Tensors[op.W].Data, e.value(op.X), e.grad(op.Y), op.Inner
	wanted, beta := e.want(op.X)
	dst := e.collect(op.W)
	for b := range e.n * op.Outer {
		src, d := x[b*op.Cols*p:], dy[b*op.Rows*p:]
		if wanted {
			dx := e.grad(op.X)[b*op.Cols*p:]
			if op.InOut {
				e.gemm(false, false, op.Cols, p, op.Rows, 1, w, op.Rows, d, p, beta, dx, p)
			} else {
				e.gemm(true, false, op.Cols, p, op.Rows, 1, w, op.Cols, d, p, beta, dx, p)
			}
		}
		switch {
		case dst == nil:
		case op.InOut:
			e.gemm(false, true, op.Cols, op.Rows, p, 1, src, p, d, p, 1, dst, op.Rows)
		default:
			e.gemm(false, true, op.Rows, op.Cols, p, 1, d, p, src, p, 1, dst, op.Cols)
		}
	}
}

func (e *Engine[T]) convBack(o *operation[T], op *program.Conv) {
	w, x, dy := e.prog.Tensors[op.W].Data, e.value(op.X), e.grad(op.Y)
	m := op.In * op.Kernel
	dst := e.collect(op.W)
	e.begin(op.X)
	for b := range e.n {
		src := x[b*op.Groups*op.In*op.InLen:]
		for g := range op.Groups {
			d := dy[(b*op.Groups+g)*op.Out*op.OutLen:]
			if dst != nil {
				unfold(op, o.cols, src, g)
				e.gemm(false, true, op.Out, m, op.OutLen, 1, d, op.OutLen, o.cols, op.OutLen, 1, dst[g*op.Out*m:], m)
			}
			if !e.prog.Values[op.X].Grad {
				continue
			}
			e.gemm(true, false, m, op.OutLen, op.Out, 1, w[g*op.Out*m:], m, d, op.OutLen, 0, o.cols, op.OutLen)
			fold(op, e.grad(op.X)[b*op.Groups*op.In*op.InLen:], o.cols, g)
		}
	}
}

// fold adds what unfold spread out.
func fold[T program.Float](op *program.Conv, dst, cols []T, group int) {
	for j := range op.In {
		x := dst[(group*op.In+j)*op.InLen:][:op.InLen]
		for k := range op.Kernel {
			row := cols[(j*op.Kernel+k)*op.OutLen:][:op.OutLen]
			for o, at := range op.Table[k*op.OutLen:][:op.OutLen] {
				if at >= 0 {
					x[at] += row[o]
				}
			}
		}
	}
}

func (e *Engine[T]) averageBack(op *program.Average) {
	e.begin(op.X)
	if !e.prog.Values[op.X].Grad {
		return
	}
	dx, dy := e.grad(op.X), e.grad(op.Y)
	for c := range e.n * op.Channels {
		src, dst := dy[c*op.OutLen:][:op.OutLen], dx[c*op.InLen:][:op.InLen]
		for o, d := range src {
			d *= T(op.Weight[o])
			for _, j := range op.At[op.Start[o]:op.Start[o+1]] {
				dst[j] += d
			}
		}
	}
}

// vectorGrad adds the gradient of a vector: the sum of dy over the elements of
// each unit, times x where the vector multiplies (x >= 0).
func (e *Engine[T]) vectorGrad(v *program.Vector, y, x int) {
	dst := e.collect(v.Tensor)
	if dst == nil {
		return
	}
	dy, length := e.grad(y), e.prog.Values[y].Len
	if x < 0 && simple(v) && v.Index == nil && len(dst) == length && len(v.Coef) == 1 && v.Coef[0] == 1 {
		for b := range e.n {
			for j, d := range dy[b*length:][:length] {
				dst[j] += d
			}
		}
		return
	}
	units(v, length, 0, e.n, func(u, from, to int) {
		var s T
		if x < 0 {
			for _, d := range dy[from:to] {
				s += d
			}
		} else {
			z := e.value(x)[from:to]
			for k, d := range dy[from:to] {
				s += d * z[k]
			}
		}
		dst[v.Element(u, len(dst))] += T(v.CoefAt(u)) * s
	})
}

func (e *Engine[T]) mulBack(i int, op *program.Scale, lo, hi int) {
	if !e.prog.Values[op.X].Grad {
		return
	}
	dx, dy, vec := e.grad(op.X), e.grad(op.Y), e.ops[i].vec
	inPlace := e.made(op.X)
	units(&op.V, e.prog.Values[op.Y].Len, lo, hi, func(u, from, to int) {
		v, dst := vec[u], dx[from:to]
		for k, d := range dy[from:to] {
			if inPlace {
				dst[k] = v * d
			} else {
				dst[k] += v * d
			}
		}
	})
}

// slopeGrad adds the gradient of stored slopes: dy z where z is negative.
func (e *Engine[T]) slopeGrad(i int, op *program.Activate) {
	dst := e.collect(op.V.Tensor)
	if dst == nil {
		return
	}
	o := &e.ops[i]
	x, dy, length := e.value(op.X), e.grad(op.Y), e.prog.Values[op.Y].Len
	for k, z := range x {
		if z > 0 {
			continue
		}
		d := dy[k] * z
		if o.mask != nil {
			d *= o.mask[k]
		}
		u := op.V.Axis.At(k % length)
		dst[op.V.Element(u, len(dst))] += d
	}
}

// activateBack multiplies by the derivative: 1 for z > 0, else the slope. In
// place, the sign of z is that of the result; where dropout zeroed it, the mask
// is zero too.
func (e *Engine[T]) activateBack(i int, op *program.Activate, lo, hi int) {
	if !e.prog.Values[op.X].Grad {
		return
	}
	o := &e.ops[i]
	length := e.prog.Values[op.Y].Len
	x, dx, dy := e.value(op.X), e.grad(op.X), e.grad(op.Y)
	for b := lo; b < hi; b++ {
		z, from, to := x[b*length:][:length], dy[b*length:][:length], dx[b*length:][:length]
		if o.mask != nil {
			for j, m := range o.mask[b*length:][:length] {
				from[j] *= m
			}
		}
		switch {
		case op.InPlace && len(o.vec) == 1 && o.vec[0] == 0:
			gate(to, z)
		case op.InPlace:
			for j, v := range z {
				if v <= 0 {
					to[j] *= o.vec[j%len(o.vec)]
				}
			}
		default:
			for j, v := range z {
				d := from[j]
				if v <= 0 {
					d *= o.vec[j%len(o.vec)]
				}
				to[j] += d
			}
		}
	}
}

func (e *Engine[T]) concatBack(op *program.Concat) {
	dy, k, at := e.grad(op.Y), e.prog.Values[op.Y].Len, 0
	for _, x := range op.X {
		m := e.prog.Values[x].Len
		e.begin(x)
		if e.prog.Values[x].Grad {
			dx := e.grad(x)
			for b := range e.n {
				dst := dx[b*m:][:m]
				for j, d := range dy[b*k+at:][:m] {
					dst[j] += d
				}
			}
		}
		at += m
	}
}

func (e *Engine[T]) poolBack(o *operation[T], op *program.Pool) {
	dy := e.grad(op.Y)
	for k, x := range op.X {
		e.begin(x)
		if !e.prog.Values[x].Grad {
			continue
		}
		dx := e.grad(x)
		if op.Start == nil {
			for j, d := range dy {
				if int(o.which[j]) == k {
					dx[j] += d
				}
			}
			continue
		}
		for c := range e.n * op.Channels {
			for p := range op.OutLen {
				if j := o.which[c*op.OutLen+p]; j >= 0 {
					dx[c*op.InLen+int(j)] += dy[c*op.OutLen+p]
				}
			}
		}
	}
}
