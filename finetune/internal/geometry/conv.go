package geometry

import (
	"math"

	"github.com/relupath/relupath/finetune/internal/program"
)

// convScratch is memory for the products of one group of a convolution.
type convScratch struct {
	weights, cols []float64
}

func (s *convScratch) reserve(op *program.Conv) {
	grow := func(b *[]float64, n int) {
		if len(*b) < n {
			*b = make([]float64, n)
		}
	}
	grow(&s.weights, op.Out*op.In*op.Kernel)
	grow(&s.cols, op.In*op.Kernel*op.OutLen)
}

// edges writes what the weights of a group multiply path sums by.
func (c *conv[T]) edges(group int) []float64 {
	g := c.g
	n := c.Out * c.In * c.Kernel
	c.stored, c.raised = g.prog.Tensors[c.W].Data[group*n:][:n], g.conv.weights[:n]
	g.opt.Pool.Do(n, stretch, c.raise)
	return c.raised
}

// unfold lists, for each input channel and kernel position of a group, the sums
// that the output positions read.
func (c *conv[T]) unfold(dst, src []float64, group int) {
	for j := range c.In {
		x := src[(group*c.In+j)*c.InLen:][:c.InLen]
		for k := range c.Kernel {
			row := dst[(j*c.Kernel+k)*c.OutLen:][:c.OutLen]
			for o, at := range c.Table[k*c.OutLen:][:c.OutLen] {
				row[o] = 0
				if at >= 0 {
					row[o] = x[at]
				}
			}
		}
	}
}

// conv is a convolution: one matrix product a group.
type conv[T program.Float] struct {
	g *Geometry[T]
	*program.Conv
	// raise writes what some of a group's stored weights multiply path sums by.
	raise  func(lo, hi int)
	stored []T
	raised []float64
}

func newConv[T program.Float](g *Geometry[T], op *program.Conv) *conv[T] {
	g.conv.reserve(op)
	c := &conv[T]{g: g, Conv: op}
	c.raise = func(lo, hi int) {
		dst := c.raised[lo:hi]
		for i, w := range c.stored[lo:hi] {
			dst[i] = g.edge(float64(w))
		}
	}
	return c
}

func (c *conv[T]) forward(y *vec) {
	x := &c.g.in[c.X]
	y.e = x.e
	c.sums(y.v, x.v)
}

func (c *conv[T]) backward(y *vec) {
	tmp := c.g.tmp[:len(c.g.out[c.X].v)]
	c.against(tmp, y.v)
	c.g.give(c.X, 0, tmp, y.e)
}

func (c *conv[T]) sums(y, x []float64) {
	g := c.g
	m := c.In * c.Kernel
	cols := g.conv.cols[:m*c.OutLen]
	for group := range c.Groups {
		w := c.edges(group)
		c.unfold(cols, x, group)
		dst := y[group*c.Out*c.OutLen:][:c.Out*c.OutLen]
		if g.opt.P == 1 || g.opt.P == 2 {
			g.opt.BLAS.Dgemm(false, false, c.Out, c.OutLen, m, 1, w, m, cols, c.OutLen, 0, dst, c.OutLen)
			continue
		}
		for i := range c.Out {
			for o := range c.OutLen {
				dst[i*c.OutLen+o] = g.norm(m, func(t int) float64 { return w[i*m+t] * cols[t*c.OutLen+o] })
			}
		}
	}
}

// norm returns (sum t_k^p)^(1/p) of n terms.
func (g *Geometry[T]) norm(n int, t func(k int) float64) float64 {
	largest, sum := 0.0, 0.0
	for k := range n {
		largest = math.Max(largest, t(k))
	}
	for k := range n {
		sum += term(t(k), largest, g.opt.P)
	}
	return largest * math.Pow(sum, 1/g.opt.P)
}

func (c *conv[T]) against(x, y []float64) {
	g := c.g
	m := c.In * c.Kernel
	cols := g.conv.cols[:m*c.OutLen]
	clear(x)
	for group := range c.Groups {
		w := c.edges(group)
		src := y[group*c.Out*c.OutLen:][:c.Out*c.OutLen]
		if g.opt.P == 1 || g.opt.P == 2 {
			g.opt.BLAS.Dgemm(true, false, m, c.OutLen, c.Out, 1, w, m, src, c.OutLen, 0, cols, c.OutLen)
		} else {
			for t := range m {
				for o := range c.OutLen {
					cols[t*c.OutLen+o] = g.norm(c.Out, func(i int) float64 { return w[i*m+t] * src[i*c.OutLen+o] })
				}
			}
		}
		for j := range c.In {
			dst := x[(group*c.In+j)*c.InLen:][:c.InLen]
			for k := range c.Kernel {
				row := cols[(j*c.Kernel+k)*c.OutLen:][:c.OutLen]
				for o, at := range c.Table[k*c.OutLen:][:c.OutLen] {
					if at >= 0 {
						dst[at] = g.plus(dst[at], row[o])
					}
				}
			}
		}
	}
}

// total adds the products over the positions of a convolution: a matrix
// product.
func (c *conv[T]) total(dst []float64, f, q float64, _ edges) {
	g := c.g
	in, out := g.lift(0, &g.in[c.X], q), g.lift(1, &g.out[c.Y], q)
	m := c.In * c.Kernel
	cols := g.conv.cols[:m*c.OutLen]
	for group := range c.Groups {
		c.unfold(cols, in, group)
		g.opt.BLAS.Dgemm(false, true, c.Out, m, c.OutLen, f, out[group*c.Out*c.OutLen:], c.OutLen,
			cols, c.OutLen, 1, dst[group*c.Out*m:], m)
	}
}
