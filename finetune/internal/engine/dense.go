package engine

import (
	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/finetune/internal/program"
)

// products are matrix products in memory M, here or on a device. What follows is
// the same in both.
type products[T program.Float, M any] struct {
	gemm func(transA, transB bool, m, n, k int, alpha T, a M, lda int, b M, ldb int, beta T, c M, ldc int)
	// skip is memory so many numbers later.
	skip func(x M, n int) M
}

// dense adds a product by a matrix.
func (b *builder[T]) dense(d *program.Dense) *G.Node {
	dx := op[T]{
		name: "dense dx", shape: b.rows(d.Outer * d.Cols * d.Inner), over: -1, adds: true,
		run: func(c *call[T], _, _ int) { byInput(&b.here, d, c) },
		far: func(c *remote) { byInput(&b.there, d, c) },
	}
	dw := op[T]{
		name: "dense dw", shape: b.row(d.Rows * d.Cols), over: -1, adds: true,
		run: func(c *call[T], _, _ int) { byWeights(&b.here, d, c) },
		far: func(c *remote) { byWeights(&b.there, d, c) },
	}
	if d.Inner == 1 {
		dw.dense = d
	}
	o := op[T]{
		name: "dense", shape: b.rows(d.Outer * d.Rows * d.Inner), over: -1,
		run: func(c *call[T], _, _ int) { forward(&b.here, d, c) },
		far: func(c *remote) { forward(&b.there, d, c) },
		diff: func(x G.Nodes, _, dy *G.Node) G.Nodes {
			return G.Nodes{b.apply(dx, dy, x[1]), b.apply(dw, dy, x[0])}
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

// forward computes Y = X W^T, or W X for each row where there are positions to
// the right of the columns.
func forward[T program.Float, M any](e *products[T, M], d *program.Dense, c *operands[M]) {
	x, w, m := c.in[0], c.in[1], c.n*d.Outer
	if p := d.Inner; p > 1 {
		for i := range m {
			e.gemm(d.InOut, false, d.Rows, p, d.Cols, 1, w, ld(d), e.skip(x, i*d.Cols*p), p, 0, e.skip(c.dst, i*d.Rows*p), p)
		}
		return
	}
	e.gemm(false, !d.InOut, m, d.Rows, d.Cols, 1, x, d.Cols, w, ld(d), 0, c.dst, d.Rows)
}

// byInput computes the derivative by the input.
func byInput[T program.Float, M any](e *products[T, M], d *program.Dense, c *operands[M]) {
	dy, w, m, beta := c.in[0], c.in[1], c.n*d.Outer, weight[T](c.add)
	if p := d.Inner; p > 1 {
		for i := range m {
			e.gemm(!d.InOut, false, d.Cols, p, d.Rows, 1, w, ld(d), e.skip(dy, i*d.Rows*p), p, beta, e.skip(c.dst, i*d.Cols*p), p)
		}
		return
	}
	e.gemm(false, d.InOut, m, d.Cols, d.Rows, 1, dy, d.Rows, w, ld(d), beta, c.dst, d.Cols)
}

// weight is the beta of a product that is added or not.
func weight[T program.Float](add bool) T {
	if add {
		return 1
	}
	return 0
}

// byWeights computes the derivative by the weights.
func byWeights[T program.Float, M any](e *products[T, M], d *program.Dense, c *operands[M]) {
	p := d.Inner
	if p == 1 {
		outer(e, d, c, 1, weight[T](c.add), c.dst)
		return
	}
	for i := range c.n * d.Outer {
		dy, x, beta := e.skip(c.in[0], i*d.Rows*p), e.skip(c.in[1], i*d.Cols*p), weight[T](c.add || i > 0)
		if d.InOut {
			e.gemm(false, true, d.Cols, d.Rows, p, 1, x, p, dy, p, beta, c.dst, d.Rows)
		} else {
			e.gemm(false, true, d.Rows, d.Cols, p, 1, dy, p, x, p, beta, c.dst, d.Cols)
		}
	}
}

// outer makes w = beta w + alpha D^T X of a layer with the derivatives D and the
// inputs X of a call.
func outer[T program.Float, M any](e *products[T, M], d *program.Dense, c *operands[M], alpha, beta T, w M) {
	dy, x, m := c.in[0], c.in[1], c.n*d.Outer
	if d.InOut {
		e.gemm(true, false, d.Cols, d.Rows, m, alpha, x, d.Cols, dy, d.Rows, beta, w, d.Rows)
		return
	}
	e.gemm(true, false, d.Rows, d.Cols, m, alpha, dy, d.Rows, x, d.Cols, beta, w, d.Cols)
}
