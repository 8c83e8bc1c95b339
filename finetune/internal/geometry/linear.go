package geometry

import (
	"math"

	"github.com/relupath/relupath/finetune/internal/program"
)

// both serves both directions of a dense layer with one read of its weights.
func (g *Geometry[T]) both(i int) {
	op := g.prog.Ops[i].(*program.Dense)
	x, y := &g.in[op.X], &g.out[op.Y]
	if !y.set {
		y.start(0)
	}
	up, down := &g.in[op.Y], g.tmp[:op.Cols]
	up.e, up.set = x.e, true
	if op.InOut {
		g.dense[i].sums(down, y.v, up.v, x.v)
	} else {
		g.dense[i].sums(up.v, x.v, down, y.v)
	}
	up.settle()
	g.give(op.X, 0, down, y.e)
}

func (g *Geometry[T]) denseForward(i int, op *program.Dense, y *vec) {
	x := &g.in[op.X]
	y.e = x.e
	if op.Plain() {
		g.along(i, op, y.v, x.v)
		return
	}
	h, s := make([]float64, op.Cols), make([]float64, op.Rows)
	for a := range op.Outer {
		for b := range op.Inner {
			for j := range h {
				h[j] = x.v[(a*op.Cols+j)*op.Inner+b]
			}
			g.along(i, op, s, h)
			for k, v := range s {
				y.v[(a*op.Rows+k)*op.Inner+b] = v
			}
		}
	}
}

// along sums over the inputs of each unit.
func (g *Geometry[T]) along(i int, op *program.Dense, dst, h []float64) {
	if op.InOut {
		g.dense[i].sums(nil, nil, dst, h)
	} else {
		g.dense[i].sums(dst, h, nil, nil)
	}
}

// against sums over the units of each input.
func (g *Geometry[T]) against(i int, op *program.Dense, dst, h []float64) {
	if op.InOut {
		g.dense[i].sums(dst, h, nil, nil)
	} else {
		g.dense[i].sums(nil, nil, dst, h)
	}
}

func (g *Geometry[T]) denseBackward(i int, op *program.Dense, y *vec) {
	tmp := g.tmp[:len(g.out[op.X].v)]
	if op.Plain() {
		g.against(i, op, tmp, y.v)
		g.give(op.X, 0, tmp, y.e)
		return
	}
	h, s := make([]float64, op.Rows), make([]float64, op.Cols)
	for a := range op.Outer {
		for b := range op.Inner {
			for k := range h {
				h[k] = y.v[(a*op.Rows+k)*op.Inner+b]
			}
			g.against(i, op, s, h)
			for j, v := range s {
				tmp[(a*op.Cols+j)*op.Inner+b] = v
			}
		}
	}
	g.give(op.X, 0, tmp, y.e)
}

// convScratch is memory for the products of one group of a convolution.
type convScratch struct {
	weights, cols, positions []float64
}

func (s *convScratch) reserve(op *program.Conv) {
	grow := func(b *[]float64, n int) {
		if len(*b) < n {
			*b = make([]float64, n)
		}
	}
	grow(&s.weights, op.Out*op.In*op.Kernel)
	grow(&s.cols, op.In*op.Kernel*op.OutLen)
	grow(&s.positions, op.Out*op.OutLen)
}

// groupEdges writes what the weights of a group multiply path sums by.
func (g *Geometry[T]) groupEdges(op *program.Conv, group int) []float64 {
	n := op.Out * op.In * op.Kernel
	dst := g.conv.weights[:n]
	for i, w := range g.prog.Tensors[op.W].Data[group*n:][:n] {
		dst[i] = g.edge(float64(w))
	}
	return dst
}

// unfold lists, for each input channel and kernel position of a group, the sums
// that the output positions read.
func unfold(op *program.Conv, dst, src []float64, group int) {
	for j := range op.In {
		x := src[(group*op.In+j)*op.InLen:][:op.InLen]
		for k := range op.Kernel {
			row := dst[(j*op.Kernel+k)*op.OutLen:][:op.OutLen]
			for o, at := range op.Table[k*op.OutLen:][:op.OutLen] {
				row[o] = 0
				if at >= 0 {
					row[o] = x[at]
				}
			}
		}
	}
}

func (g *Geometry[T]) convForward(op *program.Conv, y, x []float64) {
	m := op.In * op.Kernel
	cols := g.conv.cols[:m*op.OutLen]
	for group := range op.Groups {
		w := g.groupEdges(op, group)
		unfold(op, cols, x, group)
		dst := y[group*op.Out*op.OutLen:][:op.Out*op.OutLen]
		if g.opt.P == 1 || g.opt.P == 2 {
			g.opt.BLAS.Dgemm(false, false, op.Out, op.OutLen, m, 1, w, m, cols, op.OutLen, 0, dst, op.OutLen)
			continue
		}
		for i := range op.Out {
			for o := range op.OutLen {
				dst[i*op.OutLen+o] = g.norm(m, func(t int) float64 { return w[i*m+t] * cols[t*op.OutLen+o] })
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

func (g *Geometry[T]) convBackward(op *program.Conv, x, y []float64) {
	m := op.In * op.Kernel
	cols := g.conv.cols[:m*op.OutLen]
	clear(x)
	for group := range op.Groups {
		w := g.groupEdges(op, group)
		src := y[group*op.Out*op.OutLen:][:op.Out*op.OutLen]
		if g.opt.P == 1 || g.opt.P == 2 {
			g.opt.BLAS.Dgemm(true, false, m, op.OutLen, op.Out, 1, w, m, src, op.OutLen, 0, cols, op.OutLen)
		} else {
			for t := range m {
				for o := range op.OutLen {
					cols[t*op.OutLen+o] = g.norm(op.Out, func(i int) float64 { return w[i*m+t] * src[i*op.OutLen+o] })
				}
			}
		}
		for j := range op.In {
			dst := x[(group*op.In+j)*op.InLen:][:op.InLen]
			for k := range op.Kernel {
				row := cols[(j*op.Kernel+k)*op.OutLen:][:op.OutLen]
				for o, at := range op.Table[k*op.OutLen:][:op.OutLen] {
					if at >= 0 {
						dst[at] = g.plus(dst[at], row[o])
					}
				}
			}
		}
	}
}
