//go:build cuda

package gorgonia

import (
	"errors"
	"fmt"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/program"
)

// builder makes the graph of an engine.
type builder[T program.Float] struct {
	*Engine[T]
	nodes  []*G.Node // of each value
	params []*G.Node // of each tensor
}

func (b *builder[T]) dtype() tensor.Dtype {
	var x T
	if _, single := any(x).(float32); single {
		return tensor.Float32
	}
	return tensor.Float64
}

// input adds a matrix whose numbers are data, now and at every run.
func (b *builder[T]) input(name string, rows, cols int, data []T) *G.Node {
	return G.NewMatrix(b.g, b.dtype(), G.WithShape(rows, cols), G.WithName(name),
		G.WithValue(tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))))
}

func (b *builder[T]) build() error {
	p := b.prog
	b.x = make([]T, b.opt.Batch*p.Values[p.Input].Len)
	b.nodes[p.Input] = b.input("x", b.opt.Batch, p.Values[p.Input].Len, b.x)
	var obstacles []error
	for i, op := range p.Ops {
		n, err := b.op(i, op)
		if err != nil {
			obstacles = append(obstacles, fmt.Errorf("%s: %w", p.Net.Nodes[p.Values[op.Result()].Node].Label(), err))
			n = b.blank(op.Result())
		}
		b.nodes[op.Result()] = n
	}
	if len(obstacles) > 0 {
		return errors.Join(obstacles...)
	}
	cost, err := b.loss()
	if err != nil {
		return err
	}
	G.Read(b.nodes[p.Logits], &b.logits)
	G.Read(cost, &b.cost)
	return b.differentiate(cost)
}

// blank stands for a value that cannot be made, so that all obstacles are found.
func (b *builder[T]) blank(v int) *G.Node {
	n := b.prog.Values[v].Len
	return b.input(fmt.Sprintf("blank%d", v), b.opt.Batch, n, make([]T, b.opt.Batch*n))
}

// differentiate adds the gradients of the trained tensors.
func (b *builder[T]) differentiate(cost *G.Node) error {
	var wrt G.Nodes
	var which []int
	for t, n := range b.params {
		if n != nil && !b.prog.Tensors[t].Frozen {
			wrt, which = append(wrt, n), append(which, t)
		}
	}
	grads, err := G.Grad(cost, wrt...)
	if err != nil {
		return err
	}
	for k, t := range which {
		b.tensors[t] = wrt[k].Value()
		G.Read(grads[k], &b.grads[t])
	}
	return nil
}

// param returns the node of a stored tensor, a matrix of the given size.
func (b *builder[T]) param(t, rows, cols int) (*G.Node, error) {
	if n := b.params[t]; n != nil {
		if !n.Shape().Eq(tensor.Shape{rows, cols}) {
			return nil, fmt.Errorf("%q is shared by layers that see it in different shapes: the GPU has no kernel for that, use the CPU", b.prog.Tensors[t].Param.Name)
		}
		return n, nil
	}
	b.params[t] = b.input(fmt.Sprintf("tensor%d", t), rows, cols, b.prog.Tensors[t].Data)
	return b.params[t], nil
}

var errCPU = errors.New("is not supported on the GPU: use the CPU")

func (b *builder[T]) op(i int, op program.Op) (*G.Node, error) {
	n := b.prog.Values[op.Result()].Len
	all := tensor.Shape{b.opt.Batch, n}
	switch op := op.(type) {
	case *program.Dense:
		return b.dense(op)
	case *program.Shift:
		v, err := b.vector(i, &op.V, n)
		if err != nil {
			return nil, err
		}
		return b.spread(i, v, n, func(v *G.Node) (*G.Node, error) { return G.Add(b.nodes[op.X], v) })
	case *program.Scale:
		v, err := b.vector(i, &op.V, n)
		if err != nil {
			return nil, err
		}
		return b.spread(i, v, n, func(v *G.Node) (*G.Node, error) { return G.HadamardProd(b.nodes[op.X], v) })
	case *program.Activate:
		v, err := b.vector(i, &op.V, n)
		if err != nil {
			return nil, err
		}
		y, err := G.ApplyOp(&activation[T]{custom{fmt.Sprintf("activation %d", i), 2, all}}, b.nodes[op.X], v)
		if err != nil || !op.Drop || b.Engine.opt.Dropout == 0 {
			return y, err
		}
		b.masks[i] = make([]T, b.opt.Batch*n)
		return G.HadamardProd(y, b.input(fmt.Sprintf("mask%d", i), b.opt.Batch, n, b.masks[i]))
	case *program.Sum:
		return b.sum(i, op, all)
	case *program.Concat:
		nodes := make([]*G.Node, len(op.X))
		for k, x := range op.X {
			nodes[k] = b.nodes[x]
		}
		return G.Concat(1, nodes...)
	case *program.Select:
		return b.pick(i, b.nodes[op.X], b.prog.Values[op.X].Len, op.Index, nil)
	case *program.Average:
		return b.average(i, op)
	case *program.Constant:
		return b.blank(op.Y), nil
	case *program.Conv:
		return nil, fmt.Errorf("a convolution %w", errCPU)
	}
	return nil, fmt.Errorf("pooling %w", errCPU)
}

func (b *builder[T]) dense(op *program.Dense) (*G.Node, error) {
	if op.Inner > 1 {
		return nil, fmt.Errorf("a product along an inner axis %w", errCPU)
	}
	rows, cols := op.Rows, op.Cols
	if op.InOut {
		rows, cols = cols, rows
	}
	w, err := b.param(op.W, rows, cols)
	if err != nil {
		return nil, err
	}
	if !op.InOut {
		if w, err = G.Transpose(w, 1, 0); err != nil {
			return nil, err
		}
	}
	x := b.nodes[op.X]
	if op.Outer > 1 {
		if x, err = G.Reshape(x, tensor.Shape{b.opt.Batch * op.Outer, op.Cols}); err != nil {
			return nil, err
		}
	}
	y, err := G.Mul(x, w)
	if err != nil || op.Outer == 1 {
		return y, err
	}
	return G.Reshape(y, tensor.Shape{b.opt.Batch, op.Outer * op.Rows})
}

// vector gives one number for each of n elements, as a matrix of one row.
func (b *builder[T]) vector(i int, v *program.Vector, n int) (*G.Node, error) {
	if v.Tensor < 0 {
		data := make([]T, n)
		for e := range data {
			data[e] = T(v.CoefAt(v.Axis.At(e)))
		}
		return b.input(fmt.Sprintf("constant%d", i), 1, n, data), nil
	}
	length := len(b.prog.Tensors[v.Tensor].Data)
	theta, err := b.param(v.Tensor, 1, length)
	if err != nil {
		return nil, err
	}
	index, coef := make([]int32, n), make([]T, n)
	plain := length == n
	for e := range index {
		u := v.Axis.At(e)
		index[e], coef[e] = int32(v.Element(u, length)), T(v.CoefAt(u))
		plain = plain && int(index[e]) == e && coef[e] == 1
	}
	if plain {
		return theta, nil
	}
	return b.pick(i, theta, length, index, coef)
}

// spread repeats a matrix of one row for each example and hands it to f.
// Gorgonia's own broadcast is avoided: its derivative is wrong for a width of 1.
func (b *builder[T]) spread(i int, v *G.Node, n int, f func(*G.Node) (*G.Node, error)) (*G.Node, error) {
	v, err := G.ApplyOp(newSpread[T](fmt.Sprintf("spread %d", i), b.opt.Batch, n), v)
	if err != nil {
		return nil, err
	}
	return f(v)
}

// pick takes element Index[j] of each row, times coef[j], as element j; zero for
// index -1.
func (b *builder[T]) pick(i int, x *G.Node, m int, index []int32, coef []T) (*G.Node, error) {
	rows, k := x.Shape()[0], len(index)
	c := func(j int) T {
		if coef == nil {
			return 1
		}
		return coef[j]
	}
	f := func(dst, src []T) {
		for r := range rows {
			for j, at := range index {
				if at >= 0 {
					dst[r*k+j] = c(j) * src[r*m+int(at)]
				}
			}
		}
	}
	adjoint := func(dst, src []T) {
		for r := range rows {
			for j, at := range index {
				if at >= 0 {
					dst[r*m+int(at)] += c(j) * src[r*k+j]
				}
			}
		}
	}
	return G.ApplyOp(newLinear(fmt.Sprintf("pick %d", i), tensor.Shape{rows, m}, tensor.Shape{rows, k}, f, adjoint), x)
}

func (b *builder[T]) average(i int, op *program.Average) (*G.Node, error) {
	rows := b.opt.Batch * op.Channels
	each := func(f func(o, x int, w T)) {
		for r := range rows {
			for o := range op.OutLen {
				for _, j := range op.At[op.Start[o]:op.Start[o+1]] {
					f(r*op.OutLen+o, r*op.InLen+int(j), T(op.Weight[o]))
				}
			}
		}
	}
	in := tensor.Shape{b.opt.Batch, op.Channels * op.InLen}
	out := tensor.Shape{b.opt.Batch, op.Channels * op.OutLen}
	return G.ApplyOp(newLinear(fmt.Sprintf("average %d", i), in, out,
		func(dst, src []T) { each(func(o, x int, w T) { dst[o] += w * src[x] }) },
		func(dst, src []T) { each(func(o, x int, w T) { dst[x] += w * src[o] }) }), b.nodes[op.X])
}

func (b *builder[T]) sum(i int, op *program.Sum, all tensor.Shape) (*G.Node, error) {
	var y *G.Node
	for k, x := range op.X {
		n := b.nodes[x]
		var err error
		if op.Sign[k] < 0 {
			minus := func(dst, src []T) {
				for j, v := range src {
					dst[j] = -v
				}
			}
			if n, err = G.ApplyOp(newLinear(fmt.Sprintf("minus %d %d", i, k), all, all, minus, minus), n); err != nil {
				return nil, err
			}
		}
		if y == nil {
			y = n
			continue
		}
		if y, err = G.Add(y, n); err != nil {
			return nil, err
		}
	}
	return y, nil
}

// loss adds the mean loss of the batch.
func (b *builder[T]) loss() (*G.Node, error) {
	f := b.nodes[b.prog.Logits]
	k := b.prog.Values[b.prog.Logits].Len
	if k == 1 && b.Engine.opt.Loss.Kind != engine.Squared {
		// One logit of two classes stands for (0, f).
		var err error
		if f, err = G.Mul(f, b.input("pair", 1, 2, []T{0, 1})); err != nil {
			return nil, err
		}
		k = 2
	}
	b.y = make([]T, b.opt.Batch*k)
	b.weight = make([]T, b.opt.Batch*k)
	y := b.input("y", b.opt.Batch, k, b.y)
	if b.Engine.opt.Loss.Kind == engine.Squared {
		d, err := G.Sub(f, y)
		if err != nil {
			return nil, err
		}
		if d, err = G.Square(d); err != nil {
			return nil, err
		}
		if d, err = G.HadamardProd(d, b.input("weight", b.opt.Batch, k, b.weight)); err != nil {
			return nil, err
		}
		return G.Sum(d)
	}
	if b.Engine.opt.Loss.Kind == engine.Truncated {
		var err error
		op := &truncate[T]{custom{"truncate", 2, tensor.Shape{b.opt.Batch, k}}, b.Engine.opt.Loss.Margin}
		if y, err = G.ApplyOp(op, f, y); err != nil {
			return nil, err
		}
	}
	logp, err := G.ApplyOp(&logSoftmax[T]{custom{"log softmax", 1, tensor.Shape{b.opt.Batch, k}}}, f)
	if err != nil {
		return nil, err
	}
	if logp, err = G.HadamardProd(logp, y); err != nil {
		return nil, err
	}
	return G.Sum(logp)
}
