// Package engine computes the steps of training. It makes a program an
// expression graph of Gorgonia's, which Gorgonia differentiates, and runs three
// plans over that graph on a machine of its own: the loss, the loss and its
// derivatives, and a step of an optimizer. docs/decisions/0008-one-engine.md
// tells why it is made so.
package engine

import (
	"fmt"

	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Batch is a number of examples, row after row.
type Batch[T program.Float] struct {
	N int
	X []T
	// Labels are classes; Targets rows of numbers. One of them is nil.
	Labels  []int
	Targets []T
	// Seed and Step determine the dropout.
	Seed, Step uint64
}

// Stats are sums over the examples of a batch.
type Stats struct {
	N int
	// Loss is the training loss, Full the loss without truncation.
	Loss, Full float64
	// Wrong counts the examples whose largest logit is not their label's.
	Wrong int
}

// Add sums two Stats.
func (s *Stats) Add(t Stats) {
	s.N += t.N
	s.Loss += t.Loss
	s.Full += t.Full
	s.Wrong += t.Wrong
}

// Finite reports whether the loss is a number.
func (s *Stats) Finite() bool { return s.Loss-s.Loss == 0 && s.Full-s.Full == 0 }

// Options tells how to compute.
type Options struct {
	// Batch is the largest number of examples of a batch.
	Batch int
	Loss  Loss
	// Dropout is the probability that a hidden unit is left out of a step.
	Dropout float64
	BLAS    *blas.Engine
	Pool    *pool.Pool
}

// Engine computes on the live slices of one program. It is used by one
// goroutine at a time.
type Engine[T program.Float] struct {
	prog *program.Program[T]
	opt  Options
	rule *optim.Optimizer[T]
	here products[T, []T]
	// serial is a product with the caller's thread alone.
	serial func(transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int)
	conv   convMemory[T]
	// On a device.
	far   *far[T]
	there products[T, cuda.Ptr]

	graph                   *G.ExprGraph
	logits                  *G.Node
	slopes                  []*G.Node // the derivatives by each tensor; nil where it is not trained
	machine                 machine[T]
	evaluate, derive, train *plan[T]

	// Of the run in progress.
	batch *Batch[T]
	x     []T
	grads [][]T // where derivatives are wanted
	drop  bool
	slope bool // the derivative of the loss is wanted
	stats Stats
}

// New prepares an engine for a program and the optimizer of its steps, nil where
// none are done. Memory: the values that are alive at a time.
func New[T program.Float](prog *program.Program[T], rule *optim.Optimizer[T], opt Options) *Engine[T] {
	e := prepare(prog, rule, opt)
	e.build()
	return e
}

// prepare makes an engine without its graph.
func prepare[T program.Float](prog *program.Program[T], rule *optim.Optimizer[T], opt Options) *Engine[T] {
	e := &Engine[T]{prog: prog, opt: opt, rule: rule, graph: G.NewGraph(), grads: make([][]T, len(prog.Tensors))}
	switch e := any(e).(type) {
	case *Engine[float32]:
		e.here.gemm, e.serial = opt.BLAS.Sgemm, opt.BLAS.Serial().Sgemm
	case *Engine[float64]:
		e.here.gemm, e.serial = opt.BLAS.Dgemm, opt.BLAS.Serial().Dgemm
	}
	e.here.skip = func(x []T, n int) []T { return x[n:] }
	e.machine = machine[T]{graph: e.graph, given: map[*G.Node]*[]T{}, pool: opt.Pool, stop: func() bool { return !e.stats.Finite() }}
	return e
}

// Name says what the engine is, for reports.
func (e *Engine[T]) Name() string {
	if e.far != nil {
		return "gorgonia, " + e.far.Name()
	}
	return "gorgonia, " + e.opt.BLAS.Name()
}

// Close frees what the garbage collector does not.
func (e *Engine[T]) Close() error {
	if e.far != nil {
		return e.far.Close()
	}
	return nil
}

// Logits returns the logits of the last batch, valid until the next call.
func (e *Engine[T]) Logits() []T {
	if e.far != nil {
		e.far.Enter()
		defer e.far.Leave()
		f := make([]T, e.machine.n*e.prog.Values[e.prog.Logits].Len)
		e.fetch(f, e.logits)
		return f
	}
	p := e.machine.plan.at[e.logits]
	return e.machine.slice(&p)
}

// Evaluate computes the loss without dropout.
func (e *Engine[T]) Evaluate(b *Batch[T]) (Stats, error) {
	e.drop, e.slope = false, false
	return e.run(e.evaluate, b)
}

// Gradient writes the gradient of the mean loss, without dropout, into grads: a
// slice for each trained tensor.
func (e *Engine[T]) Gradient(b *Batch[T], grads [][]T) (Stats, error) {
	e.drop, e.slope = false, true
	copy(e.grads, grads)
	s, err := e.run(e.derive, b)
	if e.far != nil && err == nil {
		err = e.fetchGradients()
	}
	return s, err
}

// Step does one step of the optimizer on a batch. When the loss is not finite
// the weights are left as they were, and Stats says so.
func (e *Engine[T]) Step(b *Batch[T]) (Stats, error) {
	e.drop, e.slope = true, true
	var rule interface {
		Begin()
		End()
	} = e.rule
	if e.far != nil {
		e.far.Enter()
		defer e.far.Leave()
		rule, e.far.fresh = e.far.rule, false
	}
	rule.Begin()
	s, err := e.run(e.train, b)
	e.rule.Wait()
	if err == nil && s.Finite() {
		rule.End()
		err = e.machine.failure()
	}
	return s, err
}

func (e *Engine[T]) run(p *plan[T], b *Batch[T]) (Stats, error) {
	e.batch, e.x = b, b.X
	e.machine.plan, e.machine.n = p, b.N
	if e.far != nil {
		e.far.Enter()
		defer e.far.Leave()
		e.upload(b)
	}
	if err := e.machine.RunAll(); err != nil {
		return e.stats, fmt.Errorf("engine: %w", err)
	}
	return e.stats, nil
}

// grain splits rows of so many numbers so that a goroutine is worth while.
func grain(length int) int { return max(1, 1<<14/max(length, 1)) }
