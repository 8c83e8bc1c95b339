// Package native is the engine derived by hand: forward and backward passes in
// preallocated buffers, products by the BLAS found on the machine, and updates
// that are linear in the gradient done as one product into the weights.
package native

import (
	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Options tells how to compute.
type Options struct {
	// Batch is the largest number of examples of a batch.
	Batch int
	Loss  engine.Loss
	// Dropout is the probability that a hidden unit is left out of a step.
	Dropout float64
	BLAS    *blas.Engine
	Pool    *pool.Pool
}

// Engine implements engine.Engine.
type Engine[T program.Float] struct {
	prog *program.Program[T]
	opt  Options
	gemm func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int)

	values, grads [][]T // of each buffer
	ops           []operation[T]
	skip          []bool // forward done by the operation before
	has           []bool // the gradient of a value has been begun
	inPlace       []bool // the only reader of a value overwrites it
	given         []bool // the gradient of a tensor has been begun
	tensor        [][]T  // gradients of the tensors being collected
	own           [][]T  // memory for those
	scaled        []T    // scratch: inputs over kappa

	batch *engine.Batch[T]
	n     int
	train bool
	up    *optim.Optimizer[T] // the optimizer of a step that may fuse updates
}

// operation is what the engine keeps beside each program operation.
type operation[T program.Float] struct {
	vec   []T     // the vector, one number a unit
	mask  []T     // dropout
	which []int32 // the operand's element that a pool took
	cols  []T     // unfolded input of one sample
	rows  func(lo, hi int)
	back  func(lo, hi int)
}

// New prepares the engine for a program. Memory: two buffers for each value
// that is not made in place.
func New[T program.Float](prog *program.Program[T], opt Options) *Engine[T] {
	e := &Engine[T]{
		prog: prog, opt: opt, values: make([][]T, prog.Buffers), grads: make([][]T, prog.Buffers),
		ops: make([]operation[T], len(prog.Ops)), skip: make([]bool, len(prog.Ops)), has: make([]bool, len(prog.Values)),
		given: make([]bool, len(prog.Tensors)), tensor: make([][]T, len(prog.Tensors)), own: make([][]T, len(prog.Tensors)),
	}
	switch e := any(e).(type) {
	case *Engine[float32]:
		e.gemm = opt.BLAS.Sgemm
	case *Engine[float64]:
		e.gemm = opt.BLAS.Dgemm
	}
	for i, v := range prog.Values {
		if i != prog.Input && e.values[v.Buffer] == nil {
			e.values[v.Buffer] = make([]T, opt.Batch*v.Len)
		}
		if v.Grad && e.grads[v.Buffer] == nil {
			e.grads[v.Buffer] = make([]T, opt.Batch*v.Len)
		}
	}
	widest := 0
	for i, op := range prog.Ops {
		e.prepare(i, op)
		if op, ok := op.(*program.Dense); ok {
			widest = max(widest, opt.Batch*op.Outer*op.Cols)
		}
	}
	e.scaled = make([]T, widest)
	e.inPlace = make([]bool, len(prog.Values))
	for _, op := range prog.Ops {
		if x := op.Operands(); len(x) == 1 && prog.Values[x[0]].Buffer == prog.Values[op.Result()].Buffer {
			e.inPlace[x[0]] = true
		}
	}
	e.merge()
	return e
}

// prepare allocates what an operation needs and builds the loops that are split
// over goroutines.
func (e *Engine[T]) prepare(i int, op program.Op) {
	o := &e.ops[i]
	y := &e.prog.Values[op.Result()]
	switch op := op.(type) {
	case *program.Shift:
		o.vec = make([]T, op.V.Axis.N)
		o.rows = func(lo, hi int) { e.addVector(i, op, lo, hi) }
	case *program.Scale:
		o.vec = make([]T, op.V.Axis.N)
		o.rows = func(lo, hi int) { e.mulVector(i, op, lo, hi) }
		o.back = func(lo, hi int) { e.mulBack(i, op, lo, hi) }
	case *program.Activate:
		o.vec = make([]T, op.V.Axis.N)
		if op.Drop && e.opt.Dropout > 0 {
			o.mask = make([]T, e.opt.Batch*y.Len)
		}
		o.rows = func(lo, hi int) { e.activate(i, op, lo, hi) }
		o.back = func(lo, hi int) { e.activateBack(i, op, lo, hi) }
	case *program.Conv:
		o.cols = make([]T, op.In*op.Kernel*op.OutLen)
	case *program.Pool:
		o.which = make([]int32, e.opt.Batch*y.Len)
	}
}

// merge lets a bias do the ReLU that follows it, in one pass over the values.
func (e *Engine[T]) merge() {
	for i := 0; i+1 < len(e.prog.Ops); i++ {
		s, ok := e.prog.Ops[i].(*program.Shift)
		if !ok || s.V.Axis.Outer != 1 || s.V.Axis.Inner != 1 {
			continue
		}
		a, ok := e.prog.Ops[i+1].(*program.Activate)
		if !ok || a.X != s.Y || !a.InPlace || len(a.V.Coef) != 1 || e.ops[i+1].mask != nil {
			continue
		}
		slope := T(a.V.Coef[0])
		e.skip[i+1] = true
		e.ops[i+1].vec[0] = slope // for the backward pass
		e.ops[i].rows = func(lo, hi int) { e.addActivate(i, s, slope, lo, hi) }
	}
}

// Name implements engine.Engine.
func (e *Engine[T]) Name() string { return "native, " + e.opt.BLAS.Name() }

// Sync implements engine.Engine: the slices are always current.
func (e *Engine[T]) Sync() error { return nil }

// Close implements engine.Engine.
func (e *Engine[T]) Close() error { return nil }

// Logits implements engine.Engine.
func (e *Engine[T]) Logits() []T {
	v := e.prog.Values[e.prog.Logits]
	return e.values[v.Buffer][:e.n*v.Len]
}

// Evaluate implements engine.Engine.
func (e *Engine[T]) Evaluate(b *engine.Batch[T]) (engine.Stats, error) {
	e.train = false
	e.forward(b)
	return engine.Of(e.opt.Loss, b, e.Logits(), nil), nil
}

// Gradient implements engine.Engine.
func (e *Engine[T]) Gradient(b *engine.Batch[T], grads [][]T) (engine.Stats, error) {
	copy(e.tensor, grads)
	e.up = nil
	s := e.lossAndGrad(b)
	e.backward()
	for t, g := range grads {
		if g != nil && !e.given[t] {
			clear(g)
		}
	}
	return s, nil
}

// Step implements engine.Engine.
func (e *Engine[T]) Step(b *engine.Batch[T], o *optim.Optimizer[T]) (engine.Stats, error) {
	o.Begin()
	s := e.lossAndGrad(b)
	if !s.Finite() {
		return s, nil
	}
	for t := range e.tensor {
		e.tensor[t] = nil
		if e.prog.Tensors[t].Frozen {
			continue
		}
		if e.own[t] == nil && !e.fusable(t, o) {
			e.own[t] = make([]T, len(e.prog.Tensors[t].Data))
		}
		e.tensor[t] = e.own[t]
	}
	e.up = o
	e.backward()
	for t, g := range e.tensor {
		if g != nil && e.given[t] {
			o.Apply(t, g)
		}
	}
	o.End()
	return s, nil
}

// fusable tells whether a tensor's update needs no gradient of its own.
func (e *Engine[T]) fusable(t int, o *optim.Optimizer[T]) bool {
	for _, op := range e.prog.Ops {
		if d, ok := op.(*program.Dense); ok && d.W == t && d.Inner == 1 {
			_, ok := o.Fused(t)
			return ok
		}
	}
	return false
}

func (e *Engine[T]) lossAndGrad(b *engine.Batch[T]) engine.Stats {
	e.train = true
	e.forward(b)
	v := e.prog.Values[e.prog.Logits]
	return engine.Of(e.opt.Loss, b, e.Logits(), e.grads[v.Buffer][:b.N*v.Len])
}

// value returns the rows of a value for the present batch.
func (e *Engine[T]) value(v int) []T {
	x := &e.prog.Values[v]
	return e.values[x.Buffer][:e.n*x.Len]
}

// grad returns the rows of a value's gradient.
func (e *Engine[T]) grad(v int) []T {
	x := &e.prog.Values[v]
	return e.grads[x.Buffer][:e.n*x.Len]
}

// want tells whether the gradient of an operand is wanted, and whether what is
// computed must be added to what is there.
func (e *Engine[T]) want(v int) (wanted bool, beta T) {
	if !e.prog.Values[v].Grad {
		return false, 0
	}
	if e.has[v] {
		return true, 1
	}
	e.has[v] = true
	return true, 0
}

// grain splits rows of len numbers so that a goroutine is worth while.
func grain(length int) int { return max(1, 1<<14/max(length, 1)) }

func (e *Engine[T]) forward(b *engine.Batch[T]) {
	e.batch, e.n = b, b.N
	in := &e.prog.Values[e.prog.Input]
	e.values[in.Buffer] = b.X[:b.N*in.Len]
	for i := range e.prog.Ops {
		if !e.skip[i] {
			e.forwardOp(i)
		}
	}
}

func (e *Engine[T]) backward() {
	clear(e.has)
	clear(e.given)
	e.has[e.prog.Logits] = true
	for i := len(e.prog.Ops) - 1; i >= 0; i-- {
		y := e.prog.Ops[i].Result()
		if !e.prog.Values[y].Grad {
			continue
		}
		if !e.has[y] {
			clear(e.grad(y))
			e.has[y] = true
		}
		e.backwardOp(i)
	}
}
