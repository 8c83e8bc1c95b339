package geometry

import "github.com/relupath/relupath/finetune/internal/program"

// conv is a convolution: one matrix product a group.
type conv[T program.Float] struct {
	*host[T]
	*program.Conv
	depth int // inputs of an output
}

func (h *host[T]) convolution(op *program.Conv) *conv[T] {
	c := h.convolutions[op]
	if c == nil {
		c = &conv[T]{host: h, Conv: op, depth: op.In * op.Kernel}
		h.raised, h.cols = longer(h.raised, c.Out*c.depth), longer(h.cols, c.depth*c.OutLen)
		h.convolutions[op] = c
	}
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
			for i, w := range h.prog.Tensors[c.W].Data[group*c.Out*c.depth:][:c.Out*c.depth] {
				h.raised[i] = h.edge(float64(w))
			}
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

// sums makes the sums over the inputs of one group's outputs.
func (c *conv[T]) sums(y, x []float64, group int) {
	c.unfold(x, group)
	dst, w, cols, m := c.outputs(y, group), c.raised, c.cols, c.depth
	if c.opt.P == 1 || c.opt.P == 2 {
		c.blas.Dgemm(false, false, c.Out, c.OutLen, m, 1, w, m, cols, c.OutLen, 0, dst, c.OutLen)
		return
	}
	for i := range c.Out {
		for o := range c.OutLen {
			dst[i*c.OutLen+o] = norm(c.opt.P, m, func(t int) float64 { return w[i*m+t] * cols[t*c.OutLen+o] })
		}
	}
}

// against makes the sums over the outputs of one group's inputs.
func (c *conv[T]) against(x, y []float64, group int) {
	src, w, cols, m := c.outputs(y, group), c.raised, c.cols, c.depth
	simple := c.opt.P == 1 || c.opt.P == 2
	if simple {
		c.blas.Dgemm(true, false, m, c.OutLen, c.Out, 1, w, m, src, c.OutLen, 0, cols, c.OutLen)
	} else {
		for t := range m {
			for o := range c.OutLen {
				cols[t*c.OutLen+o] = norm(c.opt.P, c.Out, func(i int) float64 { return w[i*m+t] * src[i*c.OutLen+o] })
			}
		}
	}
	for j := range c.In {
		dst := x[(group*c.In+j)*c.InLen:][:c.InLen]
		clear(dst)
		for k := range c.Kernel {
			row := cols[(j*c.Kernel+k)*c.OutLen:][:c.OutLen]
			for o, at := range c.Table[k*c.OutLen:][:c.OutLen] {
				switch {
				case at < 0:
				case simple:
					dst[at] += row[o]
				default:
					dst[at] = c.plus(dst[at], row[o])
				}
			}
		}
	}
}

// total adds f times the products over the positions of a convolution: a matrix product.
func (c *conv[T]) total(dst, in, out []float64, f float64) {
	for group := range c.Groups {
		c.unfold(in, group)
		c.blas.Dgemm(false, true, c.Out, c.depth, c.OutLen, f, c.outputs(out, group), c.OutLen,
			c.cols, c.OutLen, 1, dst[group*c.Out*c.depth:], c.depth)
	}
}
