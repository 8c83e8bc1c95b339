package rescale

import (
	"math"
	"slices"
)

// reduced gives links of a layer with the matrices of |w|, or w^2, their products, from as
// few numbers as may change apart: the positions of a kernel are added up, and so are the
// columns, or the rows, of a layer of which none has a variable. Nil is a layer without
// variables, whose sum is fixed.
func (p *problem) reduced(b *links, parts []matrix, kind norm, threads int) *links {
	rows, cols := hasVariables(b.rows), hasVariables(b.cols)
	kinds := make([]norm, len(parts))
	for k := range parts {
		kinds[k] = kind
	}
	b.mul = func(x, y, ax, aty []float64) {
		for k := range parts {
			parts[k].products(kinds[k], x, y, ax, aty, threads)
		}
	}
	if rows && cols {
		parts = slices.Clone(parts)
		for k := range parts {
			if parts[k].diag == nil && parts[k].Kernel > 1 {
				parts[k], kinds[k] = parts[k].folded(kind), sumAbs
			}
		}
		return b
	}
	x, y, ax, aty := exps(b.col), exps(b.row), make([]float64, len(b.row)), make([]float64, len(b.col))
	b.mul(x, y, ax, aty)
	if rows {
		b.col, b.cols = []float64{0}, []int32{-1}
		b.mul = func(x, y, sum, across []float64) {
			for i, a := range ax {
				sum[i] += a * x[0]
				across[0] += a * y[i]
			}
		}
		return b
	}
	for _, l := range b.bias {
		p.fixed += math.Exp(l)
	}
	if !cols {
		for i, a := range ax {
			p.fixed += a * y[i]
		}
		return nil
	}
	b.row, b.rows, b.rowSign, b.bias = []float64{0}, []int32{-1}, []float64{1}, nil
	b.mul = func(x, y, across, sum []float64) {
		for j, a := range aty {
			sum[j] += a * y[0]
			across[0] += a * x[j]
		}
	}
	return b
}

func hasVariables(of []int32) bool {
	return slices.ContainsFunc(of, func(v int32) bool { return v >= 0 })
}

func exps(ln []float64) []float64 {
	out := make([]float64, len(ln))
	for i, l := range ln {
		out[i] = math.Exp(l)
	}
	return out
}

// folded returns the sums of |w|, or of w^2, over the positions of the kernel, as a matrix
// of its own for sumAbs.
func (s *matrix) folded(kind norm) matrix {
	out := *s
	out.F32, out.F64 = nil, make([]float64, s.Len()/s.Kernel)
	out.Cols, out.Kernel = s.Cols/s.Kernel, 1
	e := 0
	for i := range out.F64 {
		for range s.Kernel {
			w := math.Abs(s.At(e))
			if kind == sumSquares {
				w *= w
			}
			out.F64[i] += w
			e++
		}
	}
	return out
}
