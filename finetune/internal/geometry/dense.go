package geometry

import "github.com/relupath/relupath/finetune/internal/program"

func (h *host[T]) dense(op *program.Dense, x, y *Path) (up, down *Path) {
	w, positions := h.prog.Tensors[op.W].Data, op.Outer*op.Inner
	// Of one position.
	sums := func(up, x, down, y []float64) {
		if op.InOut {
			h.sums(w, op.Rows, down, y, up, x)
		} else {
			h.sums(w, op.Cols, up, x, down, y)
		}
	}
	if op.Plain() && x != nil && y != nil {
		down = vector(op.Cols)
		up = h.make(op.Rows, func(up *Path) {
			up.Exp, down.Exp = x.Exp, y.Exp
			sums(up.Sums, x.Sums, down.Sums, y.Sums)
			down.settle()
		})
		return up, down
	}
	if x != nil {
		up = h.make(op.Rows*positions, h.positions(op, op.Rows, x, op.Cols, func(dst, src []float64) { sums(dst, src, nil, nil) }))
	}
	if y != nil {
		down = h.make(op.Cols*positions, h.positions(op, op.Cols, y, op.Rows, func(dst, src []float64) { sums(nil, nil, dst, src) }))
	}
	return up, down
}

// positions makes n sums of m numbers at each position of a layer.
func (h *host[T]) positions(op *program.Dense, n int, x *Path, m int, sums func(dst, src []float64)) func(y *Path) {
	src, dst := make([]float64, m), make([]float64, n)
	return func(y *Path) {
		y.Exp = x.Exp
		if op.Plain() {
			sums(y.Sums, x.Sums)
			return
		}
		for a := range op.Outer {
			for b := range op.Inner {
				for j := range src {
					src[j] = x.Sums[(a*m+j)*op.Inner+b]
				}
				sums(dst, src)
				for k, v := range dst {
					y.Sums[(a*n+k)*op.Inner+b] = v
				}
			}
		}
	}
}

// denseTotal adds f times the products over the positions of a fully connected layer.
func denseTotal(op *program.Dense) func(dst, in, out []float64, f float64) {
	return func(dst, in, out []float64, f float64) {
		for a := range op.Outer {
			for b := range op.Inner {
				for i := range op.Rows {
					o := f * out[(a*op.Rows+i)*op.Inner+b]
					for j := range op.Cols {
						at := i*op.Cols + j
						if op.InOut {
							at = j*op.Rows + i
						}
						dst[at] += o * in[(a*op.Cols+j)*op.Inner+b]
					}
				}
			}
		}
	}
}
