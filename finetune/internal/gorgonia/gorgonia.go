//go:build cuda

// Package gorgonia computes steps on a GPU, with Gorgonia's own machine: it builds
// a program as an expression graph, lets Gorgonia differentiate it, and hands the
// gradients to the optimizer as a gorgonia.Solver.
//
// The graph has a fixed batch: a smaller one is padded with zero rows, which
// have no targets and so no part in the loss.
package gorgonia

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/analysis/blas"
	_ "github.com/relupath/relupath/finetune/internal/cuda" // Gorgonia's kernels, in the CUDA build
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Engine does what an engine.Engine does.
type Engine[T program.Float] struct {
	prog *program.Program[T]
	rule *optim.Optimizer[T]
	opt  engine.Options
	name string
	g    *G.ExprGraph
	vm   G.VM

	x, y    []T // the batch, and its weighted targets
	weight  []T // squared loss: 1/(2n) for each number of a real example
	masks   map[int][]T
	logits  G.Value
	cost    G.Value
	tensors []G.Value // the live slices, nil where frozen
	grads   []G.Value
	n       int
}

// New builds the graph. Errors list what this engine cannot do.
func New[T program.Float](prog *program.Program[T], rule *optim.Optimizer[T], opt engine.Options) (*Engine[T], error) {
	useBLAS(opt.BLAS)
	name, err := where(opt.BLAS.Name())
	if err != nil {
		return nil, fmt.Errorf("engine gorgonia: %w", err)
	}
	e := &Engine[T]{
		prog: prog, rule: rule, opt: opt, name: "gorgonia, " + name, g: G.NewGraph(), masks: map[int][]T{},
		tensors: make([]G.Value, len(prog.Tensors)), grads: make([]G.Value, len(prog.Tensors)),
	}
	b := &builder[T]{Engine: e, nodes: make([]*G.Node, len(prog.Values)), params: make([]*G.Node, len(prog.Tensors))}
	if err := b.build(); err != nil {
		return nil, fmt.Errorf("engine gorgonia: %w", err)
	}
	if e.vm, err = newMachine(e.g); err != nil {
		return nil, fmt.Errorf("engine gorgonia: %w", err)
	}
	return e, nil
}

// Name says what the engine is, for reports.
func (e *Engine[T]) Name() string { return e.name }

// Close frees the device.
func (e *Engine[T]) Close() error {
	// A context of CUDA belongs to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return e.vm.Close()
}

// Logits returns the logits of the last batch.
func (e *Engine[T]) Logits() []T {
	f, err := numbers[T](e.logits)
	if err != nil {
		return nil
	}
	return f[:e.n*e.prog.Values[e.prog.Logits].Len]
}

// run evaluates the graph on a batch and returns its loss.
func (e *Engine[T]) run(b *engine.Batch[T], train bool) (engine.Stats, error) {
	m := e.prog.Values[e.prog.Input].Len
	clear(e.x)
	copy(e.x, b.X[:b.N*m])
	e.targets(b)
	for op, mask := range e.masks {
		if train {
			engine.Drop(mask, e.opt.Dropout, b.Seed, b.Step, op)
			continue
		}
		for i := range mask {
			mask[i] = 1
		}
	}
	e.n = b.N
	e.vm.Reset()
	if err := e.vm.RunAll(); err != nil {
		return engine.Stats{}, fmt.Errorf("gorgonia: %w", err)
	}
	cost, err := numbers[T](e.cost)
	if err != nil {
		return engine.Stats{}, err
	}
	s := engine.Of(e.opt.Loss, b, e.Logits(), nil)
	s.Loss = float64(cost[0]) * float64(b.N)
	return s, nil
}

// targets writes what the loss multiplies: for the softmax losses -1/n at each
// label, for the squared loss the targets and 1/(2n).
func (e *Engine[T]) targets(b *engine.Batch[T]) {
	k := len(e.y) / e.opt.Batch
	clear(e.y)
	clear(e.weight)
	inv := 1 / float64(max(b.N, 1))
	one := T(-inv)
	if e.opt.Loss.Kind == engine.Squared {
		one = 1
		for i := range b.N * k {
			e.weight[i] = T(inv / 2)
		}
	}
	if b.Labels == nil {
		copy(e.y, b.Targets[:b.N*k])
		return
	}
	for i, y := range b.Labels[:b.N] {
		if k == 1 {
			e.y[i] = T(2*y - 1)
			continue
		}
		e.y[i*k+y] = one
	}
}

// Evaluate computes the loss without dropout.
func (e *Engine[T]) Evaluate(b *engine.Batch[T]) (engine.Stats, error) { return e.run(b, false) }

// Gradient writes the gradient of the mean loss, without dropout, into grads.
func (e *Engine[T]) Gradient(b *engine.Batch[T], grads [][]T) (engine.Stats, error) {
	s, err := e.run(b, false)
	if err != nil {
		return s, err
	}
	for t, dst := range grads {
		if dst == nil {
			continue
		}
		g, err := numbers[T](e.grads[t])
		if err != nil {
			return s, err
		}
		copy(dst, g)
	}
	return s, nil
}

// Step does one step of the optimizer on a batch.
func (e *Engine[T]) Step(b *engine.Batch[T]) (engine.Stats, error) {
	e.rule.Begin()
	s, err := e.run(b, true)
	if err != nil || !s.Finite() {
		return s, err
	}
	var model []G.ValueGrad
	for t, v := range e.tensors {
		if v != nil {
			model = append(model, tensorGrad{t, v, e.grads[t]})
		}
	}
	return s, (&Solver[T]{e.rule}).Step(model)
}

// tensorGrad is a stored tensor and its gradient, as a gorgonia.ValueGrad.
type tensorGrad struct {
	index       int
	value, grad G.Value
}

func (t tensorGrad) Value() G.Value         { return t.value }
func (t tensorGrad) Grad() (G.Value, error) { return t.grad, nil }

// Solver makes an optimizer a gorgonia.Solver of an engine's tensors.
type Solver[T program.Float] struct{ o *optim.Optimizer[T] }

var _ G.Solver = (*Solver[float32])(nil)

// Step implements gorgonia.Solver.
func (s *Solver[T]) Step(model []G.ValueGrad) error {
	for _, m := range model {
		t, ok := m.(tensorGrad)
		if !ok {
			return errors.New("gorgonia: the solver knows the tensors of its own engine only")
		}
		g, err := numbers[T](t.grad)
		if err != nil {
			return err
		}
		s.o.Apply(t.index, g)
	}
	s.o.End()
	return nil
}

// products does Gorgonia's matrix products with our engine; the rest is gonum's.
type products struct {
	gonum.Implementation
	e *blas.Engine
}

// Sgemm implements blas.Float32Level3.
func (p products) Sgemm(ta, tb gonumblas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	p.e.Sgemm(ta != gonumblas.NoTrans, tb != gonumblas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// Dgemm implements blas.Float64Level3.
func (p products) Dgemm(ta, tb gonumblas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	p.e.Dgemm(ta != gonumblas.NoTrans, tb != gonumblas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

// used is the engine that Gorgonia, which has one for the whole process, uses.
var used struct {
	sync.Mutex
	e *blas.Engine
}

func useBLAS(e *blas.Engine) {
	used.Lock()
	defer used.Unlock()
	if used.e != e {
		used.e = e
		G.Use(products{e: e})
		tensor.Use(products{e: e})
	}
}
