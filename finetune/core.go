package finetune

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// loop is the training of a network in one type of numbers.
type loop[T program.Float] struct {
	setup
	prog  *program.Program[T]
	geo   *geometry.Geometry[T]
	rule  *optim.Optimizer[T]
	eng   *engine.Engine[T]
	pool  *pool.Pool
	batch engine.Batch[T]
	x, t  []T
	label []int

	state state
	good  [][]T // the tensors after the last sound epoch; nil: as they were read
	best  [][]T
	// vacant says that there was no checkpoint when the trainer was made, names
	// are those of the data in a checkpoint.
	vacant bool
	names  [2]string
}

func newLoop[T program.Float](s setup) (*loop[T], error) {
	opt := s.opt
	if opt.Device == GPU {
		if _, err := FindGPU(); err != nil {
			return nil, fmt.Errorf("finetune: %w", err)
		}
	}
	prog, err := program.Compile[T](s.net, s.what)
	if err != nil {
		return nil, fmt.Errorf("finetune: %w", err)
	}
	c := &loop[T]{setup: s, prog: prog, pool: pool.New(opt.Threads), state: state{Factor: 1}}
	blas.SetThreads(opt.Threads)
	c.geo = geometry.New(prog, geometry.Options{P: opt.P, ExcludeBias: opt.Bias == paths.Exclude, BLAS: opt.BLAS, Pool: c.pool})
	if opt.PathPenalty != 0 && c.geo.Folded() {
		c.pool.Close()
		return nil, fmt.Errorf("finetune: the path penalty is not defined here for a layer with stages after its bias (BatchNormalization): fold them into the layer first, or use weight decay")
	}
	c.rule = optim.New(prog, opt.rule(), c.geo, c.pool)
	how := engine.Options{Batch: opt.Batch, Loss: opt.loss(), Dropout: opt.Dropout, BLAS: opt.BLAS, Pool: c.pool}
	if opt.Device != GPU {
		c.eng = engine.New(prog, c.rule, how)
	} else if c.eng, err = engine.OnDevice(prog, c.rule, how); err != nil {
		c.pool.Close()
		return nil, fmt.Errorf("finetune: %w", err)
	}
	c.x = make([]T, opt.Batch*prog.Values[prog.Input].Len)
	_, err = os.Stat(c.checkpoint())
	c.vacant = err != nil
	return c, nil
}

func (c *loop[T]) close() error {
	c.pool.Close()
	return c.eng.Close()
}

// load makes the examples named by order the batch.
func (c *loop[T]) load(set *dataset.Set, order []int) *engine.Batch[T] {
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

// evaluate runs over a whole set.
func (c *loop[T]) evaluate(ctx context.Context, set *dataset.Set) (engine.Stats, error) {
	var sum engine.Stats
	for order := range slices.Chunk(lists.Count(0, set.Len()), c.opt.Batch) {
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		s, err := c.eng.Evaluate(c.load(set, order))
		if err != nil {
			return sum, err
		}
		sum.Add(s)
	}
	return sum, nil
}

// finite reports whether every trained number is.
func (c *loop[T]) finite() bool {
	for _, t := range c.prog.Tensors {
		// A sum is finite only if its terms are; one that overflows is looked
		// into number by number.
		var s T
		for _, v := range t.Data {
			s += v
		}
		if s-s != 0 && slices.ContainsFunc(t.Data, func(v T) bool { return v-v != 0 }) {
			return false
		}
	}
	return true
}

// keep copies the trained tensors over old, a result of keep or nil.
func (c *loop[T]) keep(old [][]T) [][]T {
	if old == nil {
		old = make([][]T, len(c.prog.Tensors))
	}
	for k, t := range c.prog.Tensors {
		if !t.Frozen {
			old[k] = append(old[k][:0], t.Data...)
		}
	}
	return old
}

// squares returns sum g^2/kappa of a gradient over the tensors of a program,
// kappa being 1 where geo is nil, as f*2^exp.
func squares[T program.Float](prog *program.Program[T], geo *geometry.Geometry[T], grads [][]T) (f float64, exp int) {
	for t, x := range prog.Tensors {
		if x.Frozen {
			continue
		}
		s, e, inverse := 0.0, 0, func(int) float64 { return 1 }
		if geo != nil {
			q := geo.Inverse(t)
			e, inverse = q.Exp(), q.At
		}
		for i, g := range grads[t] {
			s += float64(g) * float64(g) * inverse(i)
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
