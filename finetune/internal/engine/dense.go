package engine

import (
	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/finetune/internal/program"
)

// dense adds a product by a matrix.
func (b *builder[T]) dense(d *program.Dense) *G.Node {
	o := op[T]{
		name: "dense", shape: b.rows(d.Outer * d.Rows * d.Inner), over: -1,
		run: func(c *call[T], _, _ int) { b.forward(d, c.dst, c.in[0], c.in[1], c.n*d.Outer) },
		diff: func(x G.Nodes, _, dy *G.Node) G.Nodes {
			return G.Nodes{b.denseInput(d, dy, x[1]), b.denseWeights(d, dy, x[0])}
		},
	}
	return b.apply(o, b.nodes[d.X], b.tensor(d.W))
}

// ld returns the leading dimension of the stored weights.
func ld(d *program.Dense) int {
	if d.InOut {
		return d.Rows
	}
	return d.Cols
}

// forward computes m rows: Y = X W^T, or W X for each where there are positions
// to the right of the columns.
func (e *Engine[T]) forward(d *program.Dense, y, x, w []T, m int) {
	if p := d.Inner; p > 1 {
		for b := range m {
			e.gemm(d.InOut, false, d.Rows, p, d.Cols, 1, w, ld(d), x[b*d.Cols*p:], p, 0, y[b*d.Rows*p:], p)
		}
		return
	}
	e.gemm(false, !d.InOut, m, d.Rows, d.Cols, 1, x, d.Cols, w, ld(d), 0, y, d.Rows)
}

// denseInput adds the derivative by the input.
func (b *builder[T]) denseInput(d *program.Dense, dy, w *G.Node) *G.Node {
	return b.apply(op[T]{
		name: "dense dx", shape: b.rows(d.Outer * d.Cols * d.Inner), over: -1, adds: true,
		run: func(c *call[T], _, _ int) {
			dy, w, m, beta := c.in[0], c.in[1], c.n*d.Outer, weight[T](c.add)
			if p := d.Inner; p > 1 {
				for i := range m {
					b.gemm(!d.InOut, false, d.Cols, p, d.Rows, 1, w, ld(d), dy[i*d.Rows*p:], p, beta, c.dst[i*d.Cols*p:], p)
				}
				return
			}
			b.gemm(false, d.InOut, m, d.Cols, d.Rows, 1, dy, d.Rows, w, ld(d), beta, c.dst, d.Cols)
		},
	}, dy, w)
}

// weight is the beta of a product that is added or not.
func weight[T program.Float](add bool) T {
	if add {
		return 1
	}
	return 0
}

// denseWeights adds the derivative by the weights.
func (b *builder[T]) denseWeights(d *program.Dense, dy, x *G.Node) *G.Node {
	o := op[T]{name: "dense dw", shape: b.row(d.Rows * d.Cols), over: -1, adds: true}
	if p := d.Inner; p > 1 {
		o.run = func(c *call[T], _, _ int) {
			if !c.add {
				clear(c.dst)
			}
			for i := range c.n * d.Outer {
				dy, x := c.in[0][i*d.Rows*p:], c.in[1][i*d.Cols*p:]
				if d.InOut {
					b.gemm(false, true, d.Cols, d.Rows, p, 1, x, p, dy, p, 1, c.dst, d.Rows)
				} else {
					b.gemm(false, true, d.Rows, d.Cols, p, 1, dy, p, x, p, 1, c.dst, d.Cols)
				}
			}
		}
		return b.apply(o, dy, x)
	}
	o.dense = d
	o.run = func(c *call[T], _, _ int) { b.outer(d, c, 1, weight[T](c.add), c.dst) }
	return b.apply(o, dy, x)
}

// outer makes w = beta w + alpha D^T X of a layer with the derivatives D and the
// inputs X of a call.
func (e *Engine[T]) outer(d *program.Dense, c *call[T], alpha, beta T, w []T) {
	dy, x, m := c.in[0], c.in[1], c.n*d.Outer
	if d.InOut {
		e.gemm(true, false, d.Cols, d.Rows, m, alpha, x, d.Cols, dy, d.Rows, beta, w, d.Rows)
		return
	}
	e.gemm(true, false, d.Rows, d.Cols, m, alpha, dy, d.Rows, x, d.Cols, beta, w, d.Cols)
}
