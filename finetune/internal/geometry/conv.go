package geometry

import (
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// conv is a convolution: one matrix product a group.
type conv[T program.Float] struct {
	*host[T]
	*program.Conv
	depth int // inputs of an output
}

func (h *host[T]) convolution(op *program.Conv) *conv[T] {
	c := &conv[T]{host: h, Conv: op, depth: op.In * op.Kernel}
	h.raised, h.cols = lists.Longer(h.raised, c.Out*c.depth), lists.Longer(h.cols, c.depth*c.OutLen)
	return c
}

func (h *host[T]) conv(op *program.Conv, x *Path, back bool) *Path {
	c, sums := h.convolution(op), (*conv[T]).sums
	n := op.Groups * op.Out * op.OutLen
	if back {
		n, sums = op.Groups*op.In*op.InLen, (*conv[T]).against
	}
	return h.make(n, func(y *Path) {
		y.Exp = x.Exp
		for group := range c.Groups {
			h.edges(h.raised, h.prog.Tensors[c.W].Data[group*c.Out*c.depth:][:c.Out*c.depth])
			sums(c, y.Sums, x.Sums, group)
		}
	})
}

// unfold lists, for each input channel and kernel position of a group, the sums
// that the output positions read.
func (c *conv[T]) unfold(src []float64, group int) {
	for j := range c.In {
		x := src[(group*c.In+j)*c.InLen:][:c.InLen]
		for k := range c.Kernel {
			row := c.cols[(j*c.Kernel+k)*c.OutLen:][:c.OutLen]
			for o, at := range c.Table[k*c.OutLen:][:c.OutLen] {
				row[o] = 0
				if at >= 0 {
					row[o] = x[at]
				}
			}
		}
	}
}

// outputs are the numbers of one group's outputs.
func (c *conv[T]) outputs(x []float64, group int) []float64 {
	return x[group*c.Out*c.OutLen:][:c.Out*c.OutLen]
}

// product multiplies m rows, or columns, of k of a group's raised weights by a matrix b of k rows.
func (c *conv[T]) product(columns bool, m, k int, b, dst []float64) {
	n, w, step, next := c.OutLen, c.raised, c.depth, 1
	if c.linear() {
		c.blas.Dgemm(columns, false, m, n, k, 1, w, c.depth, b, n, 0, dst, n)
		return
	}
	if columns {
		step, next = 1, c.depth
	}
	for i := range m {
		for o := range n {
			dst[i*n+o] = norm(c.opt.P, k, func(t int) float64 { return w[i*step+t*next] * b[t*n+o] })
		}
	}
}

// sums makes the sums over the inputs of one group's outputs.
func (c *conv[T]) sums(y, x []float64, group int) {
	c.unfold(x, group)
	c.product(false, c.Out, c.depth, c.cols, c.outputs(y, group))
}

// against makes the sums over the outputs of one group's inputs.
func (c *conv[T]) against(x, y []float64, group int) {
	c.product(true, c.depth, c.Out, c.outputs(y, group), c.cols)
	linear := c.linear()
	for j := range c.In {
		dst := x[(group*c.In+j)*c.InLen:][:c.InLen]
		clear(dst)
		for k := range c.Kernel {
			row := c.cols[(j*c.Kernel+k)*c.OutLen:][:c.OutLen]
			for o, at := range c.Table[k*c.OutLen:][:c.OutLen] {
				switch {
				case at < 0:
				case linear:
					dst[at] += row[o]
				default:
					dst[at] = c.plus(dst[at], row[o])
				}
			}
		}
	}
}

// total makes beta dst and f times the products over the positions of a convolution: a matrix product.
func (c *conv[T]) total(dst, in, out []float64, f, beta float64) {
	for group := range c.Groups {
		c.unfold(in, group)
		c.blas.Dgemm(false, true, c.Out, c.depth, c.OutLen, f, c.outputs(out, group), c.OutLen,
			c.cols, c.OutLen, beta, dst[group*c.Out*c.depth:], c.depth)
	}
}
