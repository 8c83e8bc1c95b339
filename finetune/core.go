package finetune

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/gorgonia"
	"github.com/relupath/relupath/finetune/internal/native"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// runner is a core of either type.
type runner interface {
	step(set *dataset.Set, order []int, step uint64) (engine.Stats, error)
	evaluate(set *dataset.Set, stop func() error) (engine.Stats, error)
	schedule(rate float64, exp int, nominal, momentum float64)
	normalize(ctx context.Context, net *dag.Network, set *dataset.Set, order []int) (float64, int, error)
	pathNorm() float64
	finite() bool
	keep(where *[]any)
	network(what []any) *dag.Network
	arrays() []array
	exponents() []sumExponent
	setExponents(e []sumExponent)
	fingerprint() string
	warnings() []string
	engineName() string
	output() int
	close() error
}

// core is the part of a Trainer that depends on the type of the numbers.
type core[T program.Float] struct {
	opt   Options
	what  program.Options
	prog  *program.Program[T]
	geo   *geometry.Geometry[T]
	rule  *optim.Optimizer[T]
	eng   engine.Engine[T]
	pool  *pool.Pool
	batch engine.Batch[T]
	x, t  []T
	label []int
}

// newRunner makes the core for the type of a network: float64 where a stored
// tensor is, else float32.
func newRunner(net *dag.Network, opt Options, what program.Options) (runner, error) {
	for _, p := range net.Params() {
		if p.Type == dag.Float64 {
			return newCore[float64](net, opt, what)
		}
	}
	return newCore[float32](net, opt, what)
}

func newCore[T program.Float](net *dag.Network, opt Options, what program.Options) (*core[T], error) {
	if opt.Device == GPU {
		if _, err := FindGPU(); err != nil {
			return nil, fmt.Errorf("finetune: %w", err)
		}
	}
	prog, err := program.Compile[T](net, what)
	if err != nil {
		return nil, fmt.Errorf("finetune: %w", err)
	}
	c := &core[T]{opt: opt, what: what, prog: prog, pool: pool.New(opt.Threads)}
	blas.SetThreads(opt.Threads)
	c.geo = geometry.New(prog, geometry.Options{P: opt.P, ExcludeBias: opt.Bias == paths.Exclude, BLAS: opt.BLAS, Pool: c.pool})
	if opt.PathPenalty != 0 && c.geo.Folded() {
		c.pool.Close()
		return nil, fmt.Errorf("finetune: the path penalty is not defined here for a layer with stages after its bias (BatchNormalization): fold them into the layer first, or use weight decay")
	}
	c.rule = optim.New(prog, opt.rule(), c.geo, c.pool)
	loss := engine.Loss{Kind: lossKinds[opt.Loss], Margin: opt.Margin}
	if opt.Engine == Gorgonia {
		c.eng, err = gorgonia.New(prog, gorgonia.Options{Batch: opt.Batch, Loss: loss, Dropout: opt.Dropout, BLAS: opt.BLAS})
		if err != nil {
			c.pool.Close()
			return nil, fmt.Errorf("finetune: %w", err)
		}
	} else {
		c.eng = native.New(prog, native.Options{Batch: opt.Batch, Loss: loss, Dropout: opt.Dropout, BLAS: opt.BLAS, Pool: c.pool})
	}
	c.x = make([]T, opt.Batch*prog.Values[prog.Input].Len)
	return c, nil
}

func (c *core[T]) close() error {
	c.pool.Close()
	return c.eng.Close()
}

func (c *core[T]) warnings() []string { return c.prog.Warnings }
func (c *core[T]) engineName() string { return c.eng.Name() }
func (c *core[T]) output() int        { return c.prog.LogitNode }

// load makes the examples named by order the batch.
func (c *core[T]) load(set *dataset.Set, order []int) *engine.Batch[T] {
	b := &c.batch
	b.N, b.X = len(order), c.x
	switch x := any(c.x).(type) {
	case []float32:
		set.Batch32(x, order)
	case []float64:
		set.Batch64(x, order)
	}
	b.Labels, b.Targets = nil, nil
	if set.Task() == dataset.Classification {
		c.label = c.label[:0]
		for _, i := range order {
			c.label = append(c.label, set.Labels()[i])
		}
		b.Labels = c.label
		return b
	}
	c.t = c.t[:0]
	for _, i := range order {
		for _, v := range set.Target(i) {
			c.t = append(c.t, T(v))
		}
	}
	b.Targets = c.t
	return b
}

func (c *core[T]) step(set *dataset.Set, order []int, step uint64) (engine.Stats, error) {
	b := c.load(set, order)
	b.Seed, b.Step = c.opt.Seed, step
	return c.eng.Step(b, c.rule)
}

// evaluate runs over a whole set; stop ends it early.
func (c *core[T]) evaluate(set *dataset.Set, stop func() error) (engine.Stats, error) {
	var sum engine.Stats
	order := make([]int, 0, c.opt.Batch)
	for at := 0; at < set.Len(); at += c.opt.Batch {
		if err := stop(); err != nil {
			return sum, err
		}
		order = order[:0]
		for i := at; i < min(at+c.opt.Batch, set.Len()); i++ {
			order = append(order, i)
		}
		s, err := c.eng.Evaluate(c.load(set, order))
		if err != nil {
			return sum, err
		}
		sum.Add(s)
	}
	return sum, nil
}

// schedule sets the step size rate*2^exp and the momentum.
func (c *core[T]) schedule(rate float64, exp int, nominal, momentum float64) {
	c.rule.Eta, c.rule.EtaExp, c.rule.Eta0, c.rule.Mu = rate, exp, nominal, momentum
}

func (c *core[T]) pathNorm() float64 { return c.geo.Log10Norm() }

// finite reports whether every trained number is.
func (c *core[T]) finite() bool {
	for _, t := range c.prog.Tensors {
		// A sum is finite only if its terms are; one that overflows is looked
		// into number by number.
		var s T
		for _, v := range t.Data {
			s += v
		}
		if s-s == 0 {
			continue
		}
		for _, v := range t.Data {
			if v-v != 0 {
				return false
			}
		}
	}
	return true
}

// keep copies the trained tensors.
func (c *core[T]) keep(where *[]any) {
	if *where == nil {
		*where = make([]any, len(c.prog.Tensors))
	}
	for k, t := range c.prog.Tensors {
		if t.Frozen {
			continue
		}
		old, _ := (*where)[k].([]T)
		(*where)[k] = append(old[:0], t.Data...)
	}
}

// network returns the network with the tensors kept, or with the live ones.
func (c *core[T]) network(what []any) *dag.Network {
	data := make([][]T, len(c.prog.Tensors))
	for k, t := range c.prog.Tensors {
		data[k] = t.Data
		if what != nil && !t.Frozen {
			data[k] = what[k].([]T)
		}
	}
	return c.prog.Network(data)
}

// squares returns sum g^2/kappa of a gradient over the tensors of a program,
// kappa being 1 where geo is nil, as f*2^exp.
func squares[T program.Float](prog *program.Program[T], geo *geometry.Geometry[T], grads [][]T) (f float64, exp int) {
	for t, x := range prog.Tensors {
		if x.Frozen {
			continue
		}
		s, e := 0.0, 0
		if geo == nil {
			for _, g := range grads[t] {
				s += float64(g) * float64(g)
			}
		} else {
			q := geo.Inverse(t)
			e = q.Exp
			for i, g := range grads[t] {
				s += float64(g) * float64(g) * q.At(i)
			}
		}
		switch {
		case f == 0:
			f, exp = s, e
		case e > exp:
			f, exp = math.Ldexp(f, exp-e)+s, e
		default:
			f += math.Ldexp(s, e-exp)
		}
	}
	return f, exp
}
