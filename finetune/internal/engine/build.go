package engine

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
)

// builder makes the graph of an engine.
type builder[T program.Float] struct {
	*Engine[T]
	nodes []*G.Node // of each value
	theta []*G.Node // of each tensor; nil where no operation reads it
	count uint32
	// readers counts the operations that read a value; done marks those that an
	// earlier node does.
	readers []int
	done    []bool
}

// build makes the graph and the plans.
func (e *Engine[T]) build() {
	p := e.prog
	b := &builder[T]{
		Engine: e, nodes: make([]*G.Node, len(p.Values)), theta: make([]*G.Node, len(p.Tensors)),
		readers: make([]int, len(p.Values)), done: make([]bool, len(p.Ops)),
	}
	for _, o := range p.Ops {
		for _, x := range o.Operands() {
			b.readers[x]++
		}
	}
	b.readers[p.Logits]++
	b.nodes[p.Input] = b.input("x", b.rows(p.Values[p.Input].Len), &e.x)
	for i := range p.Ops {
		if !b.done[i] {
			b.op(i)
		}
	}
	e.logits = b.nodes[p.Logits]
	loss := b.loss()
	e.machine.last = loss.Op().(*op[T])

	var wrt, roots, updates G.Nodes
	var which []int
	for t, n := range b.theta {
		if n != nil && !p.Tensors[t].Frozen {
			wrt, which = append(wrt, n), append(which, t)
		}
	}
	grads, err := G.Backpropagate(G.Nodes{e.logits}, G.Nodes{loss}, wrt)
	if err != nil {
		panic("engine: " + err.Error()) // the graph is ours
	}
	given := map[*G.Node]*[]T{}
	e.slopes = make([]*G.Node, len(p.Tensors))
	for k, t := range which {
		e.slopes[t] = grads[k]
		if e.far == nil {
			given[grads[k]] = &e.grads[t]
		}
		roots = append(roots, grads[k])
		if e.rule != nil {
			updates = append(updates, b.update(t, grads[k]))
		}
	}
	keep := []*G.Node{e.logits}
	e.evaluate = e.machine.compile(e.opt.Batch, []*G.Node{loss}, keep, nil)
	e.derive = e.machine.compile(e.opt.Batch, append([]*G.Node{loss}, roots...), keep, given)
	e.train = e.machine.compile(e.opt.Batch, append([]*G.Node{loss}, updates...), keep, nil)
}

func (b *builder[T]) dtype() tensor.Dtype {
	if _, single := any(*new(T)).(float32); single {
		return tensor.Float32
	}
	return tensor.Float64
}

// rows is the shape of a value, row that of what has the size of a tensor.
func (b *builder[T]) rows(n int) tensor.Shape { return tensor.Shape{b.opt.Batch, n} }
func (b *builder[T]) row(n int) tensor.Shape  { return tensor.Shape{1, n} }

// input adds a matrix whose numbers are those of data at each run.
func (b *builder[T]) input(name string, shape tensor.Shape, data *[]T) *G.Node {
	n := G.NewMatrix(b.graph, b.dtype(), G.WithShape(shape...), G.WithName(name))
	b.machine.given[n] = data
	return n
}

// tensor returns the node of a stored tensor.
func (b *builder[T]) tensor(t int) *G.Node {
	if b.theta[t] == nil {
		x := b.prog.Tensors[t]
		b.theta[t] = b.input(fmt.Sprintf("tensor %d", t), b.row(len(x.Data)), &x.Data)
	}
	return b.theta[t]
}

// apply adds an operation.
func (b *builder[T]) apply(o op[T], x ...*G.Node) *G.Node {
	b.count++
	o.id, o.arity = b.count, len(x)
	o.name = fmt.Sprintf("%s %d", o.name, o.id)
	n, err := G.ApplyOp(&o, x...)
	if err != nil || n.Op() != G.Op(&o) {
		panic(fmt.Sprintf("engine: %s: %v", o.name, err))
	}
	return n
}

func (b *builder[T]) op(i int) {
	switch o := b.prog.Ops[i].(type) {
	case *program.Dense:
		b.nodes[o.Y] = b.dense(o)
	case *program.Conv:
		b.nodes[o.Y] = b.convolution(o)
	case *program.Average:
		b.nodes[o.Y] = b.average(o)
	case *program.Shift, *program.Scale:
		b.units(i)
	case *program.Activate:
		if simple(o) {
			b.units(i)
			return
		}
		b.nodes[o.Y] = b.activate(i, o)
	case *program.Sum:
		b.nodes[o.Y] = b.sum("sum", o.Y, o.Sign, b.list(o.X)...)
	case *program.Concat:
		b.nodes[o.Y] = b.concat(o)
	case *program.Pool:
		b.nodes[o.Y] = b.pool(o)
	case *program.Constant:
		zero := make([]T, b.opt.Batch*b.prog.Values[o.Y].Len)
		b.machine.reside(&zero)
		b.nodes[o.Y] = b.input(fmt.Sprintf("zero %d", o.Y), b.rows(b.prog.Values[o.Y].Len), &zero)
	}
}

// next returns the only operation that reads a value; -1 for several or none.
func (b *builder[T]) next(v int) int {
	if b.readers[v] != 1 || v == b.prog.Logits {
		return -1
	}
	return slices.IndexFunc(b.prog.Ops, func(o program.Op) bool { return slices.Contains(o.Operands(), v) })
}

// loss adds the derivative of the loss by the logits, which counts the loss and
// the errors as it goes.
func (b *builder[T]) loss() *G.Node {
	e := b.Engine
	return b.apply(op[T]{
		name: "loss", shape: e.logits.Shape(), over: -1,
		run: func(c *call[T], _, _ int) {
			dst := c.dst
			if !e.slope {
				dst = nil
			}
			e.stats = Of(e.opt.Loss, e.batch, c.in[0], dst)
		},
		far: b.farLoss,
	}, e.logits)
}

// update adds the change of a tensor. Where the rule is linear in the gradient,
// and the gradient a product of the batch's derivatives and inputs, the change
// is that product, added to the weights.
func (b *builder[T]) update(t int, grad *G.Node) *G.Node {
	rule := b.rule
	o := op[T]{name: fmt.Sprintf("update %d", t), shape: b.row(1), over: -1}
	if g, ours := grad.Op().(*op[T]); ours && g.dense != nil && rule.Linear(t) {
		d := g.dense
		scaled := [2][]T{make([]T, b.opt.Batch*d.Outer*d.Rows), make([]T, b.opt.Batch*d.Outer*d.Cols)}
		weights := b.prog.Tensors[t].Data
		o.far = b.farUpdate(t, d)
		var s *optim.Scaling[T]
		o.before = func(c *call[T]) {
			s = rule.Scaling(t)
			for k, f := range [][]T{s.Out, s.In} {
				if f != nil {
					times(scaled[k], c.in[k], f)
					c.in[k] = scaled[k][:len(c.in[k])]
				}
			}
		}
		o.run = func(c *call[T], _, _ int) { outer(&b.here, d, c, s.Alpha, s.Beta, weights) }
		return b.apply(o, b.machine.operands(grad)...)
	}
	o.far = b.farUpdate(t, nil)
	o.run = func(c *call[T], _, _ int) { rule.Apply(t, c.in[0]) }
	return b.apply(o, grad)
}

// times multiplies each row of src by f.
func times[T program.Float](dst, src, f []T) {
	for len(src) > 0 {
		kernel.Times(dst[:len(f)], src, f)
		dst, src = dst[len(f):], src[len(f):]
	}
}
