package engine

import (
	"encoding/binary"
	"hash"
	"slices"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// operands is what a kernel works on: its result and its operands, in memory M.
type operands[M any] struct {
	dst M
	in  []M
	n   int
	// add asks for the result to be added to what dst holds.
	add bool
}

// call is work here, on slices cut to the rows of the examples at hand; remote
// on a device, on addresses.
type (
	call[T program.Float] = operands[[]T]
	remote                = operands[cuda.Ptr]
)

// op is the only kind of operation: a kernel, and how to differentiate it. All
// operands and results are matrices: one row an example, or one row for what
// has the size of a stored tensor. It implements gorgonia.SDOp.
type op[T program.Float] struct {
	name  string
	id    uint32
	arity int
	shape tensor.Shape
	// run computes the range [lo, hi) of span things, of examples where span is
	// 0. Ranges of grain things and more run side by side; 0 keeps it whole.
	run         func(c *call[T], lo, hi int)
	span, grain int
	// before and after run once, around all ranges.
	before, after func(c *call[T])
	// over is the operand whose memory the result may take, -1 for none.
	over int
	// adds says that the kernel heeds call.add.
	adds bool
	// far is before, run and after on a device; nil where there are no kernels.
	far func(c *remote)
	// diff gives the derivatives by the operands, nil for none.
	diff func(x G.Nodes, y, dy *G.Node) G.Nodes
	// dense is the layer of whose weights this is the derivative.
	dense *program.Dense
}

var _ G.SDOp = (*op[float32])(nil)

func (o *op[T]) Arity() int { return o.arity }

// Type says that operands and result are matrices of one type.
func (o *op[T]) Type() hm.Type {
	return hm.NewFnType(slices.Repeat([]hm.Type{hm.TypeVariable('a')}, o.arity+1)...)
}

func (o *op[T]) InferShape(...G.DimSizer) (tensor.Shape, error) { return o.shape.Clone(), nil }
func (o *op[T]) ReturnsPtr() bool                               { return false }
func (o *op[T]) CallsExtern() bool                              { return false }

// OverwritesInput implements gorgonia.Op. It is a permission, which the machine
// uses where nobody reads the operand any more; Gorgonia's machines do not look.
func (o *op[T]) OverwritesInput() int { return o.over }

// WriteHash implements gorgonia.Op. Gorgonia takes operations of one hash for
// the same, so that each has its own.
func (o *op[T]) WriteHash(h hash.Hash) { _ = binary.Write(h, binary.LittleEndian, o.id) }
func (o *op[T]) Hashcode() uint32      { return o.id }
func (o *op[T]) String() string        { return o.name }

func (o *op[T]) DiffWRT(int) []bool {
	return slices.Repeat([]bool{o.diff != nil}, o.arity)
}

func (o *op[T]) SymDiff(x G.Nodes, y, dy *G.Node) (G.Nodes, error) { return o.diff(x, y, dy), nil }

// Do implements gorgonia.Op, for Gorgonia's own machines: a new matrix.
func (o *op[T]) Do(in ...G.Value) (G.Value, error) {
	c := call[T]{dst: make([]T, o.shape.TotalSize()), n: o.shape[0]}
	for _, v := range in {
		c.in = append(c.in, v.Data().([]T))
		c.n = max(c.n, v.Shape()[0])
	}
	o.do(&c, nil, func(lo, hi int) { o.run(&c, lo, hi) })
	return tensor.New(tensor.WithShape(o.shape...), tensor.WithBacking(c.dst)), nil
}

// do runs a call, in ranges side by side where it may be split; part runs one.
func (o *op[T]) do(c *call[T], p *pool.Pool, part func(lo, hi int)) {
	n := o.span
	if n == 0 {
		n = c.n
	}
	if o.before != nil {
		o.before(c)
	}
	if o.grain == 0 {
		part(0, n)
	} else {
		p.Do(n, o.grain, part)
	}
	if o.after != nil {
		o.after(c)
	}
}
