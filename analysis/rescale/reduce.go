package rescale

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
)

// reduced gives links of a layer with the matrices of |w|, or w^2, their products, from as
// few numbers as may change apart: the positions of a kernel are added up, and so are the
// columns, or the rows, of a layer of which none has a variable. Nil is a layer without
// variables, whose sum is fixed.
func (p *problem) reduced(b *links, parts []dag.Matrix, kind norm, threads int) *links {
	rows, cols := hasVariables(b.rows), hasVariables(b.cols)
	kinds := slices.Repeat([]norm{kind}, len(parts))
	b.mul = func(x, y, ax, aty []float64) {
		for k := range parts {
			products(&parts[k], kinds[k], x, y, ax, aty, threads)
		}
	}
	if rows && cols {
		parts = slices.Clone(parts)
		for k := range parts {
			if parts[k].Kernel > 1 {
				parts[k], kinds[k] = overKernel(&parts[k], kind, threads), sumAbs
			}
		}
		return b
	}
	left, fixed := b.collapsed()
	p.fixed += math.Exp(fixed.ln())
	return left
}

// collapsed is links of which no column, or no row, has a variable, with what it is multiplied by added up
// over those. Nil is links without variables; fixed are their sum and that of biases without one.
func (b *links) collapsed() (left *links, fixed lnSum) {
	rows, cols := hasVariables(b.rows), hasVariables(b.cols)
	x, highest := exps(b.col)
	y, top := exps(b.row)
	ax, aty := make([]float64, len(b.row)), make([]float64, len(b.col))
	b.mul(x, y, ax, aty)
	if rows {
		b.col, b.cols = []float64{highest}, []int32{-1}
		b.mul = func(x, y, sum, across []float64) {
			for i, a := range ax {
				sum[i] += a * x[0]
				across[0] += a * y[i]
			}
		}
		return b, fixed
	}
	for _, l := range b.bias {
		fixed.add(l)
	}
	if !cols {
		total := 0.0
		for i, a := range ax {
			total += a * y[i]
		}
		fixed.add(math.Log(total) + highest + top)
		return nil, fixed
	}
	b.row, b.rows, b.rowSign, b.bias = []float64{top}, []int32{-1}, []float64{1}, nil
	b.mul = func(x, y, across, sum []float64) {
		for j, a := range aty {
			sum[j] += a * y[0]
			across[0] += a * x[j]
		}
	}
	return b, fixed
}

func hasVariables(of []int32) bool {
	return slices.ContainsFunc(of, func(v int32) bool { return v >= 0 })
}

// exps are numbers given by their logarithms, over the largest, whose logarithm is top: 0 where there is none.
func exps(ln []float64) (out []float64, top float64) {
	if top = largestLn(ln); math.IsInf(top, -1) {
		top = 0
	}
	out = lists.Map(ln, func(l float64) float64 { return math.Exp(l - top) })
	return out, top
}

// overKernel returns the sums of |w|, or of w^2, over the positions of the kernel, as a matrix
// of its own for sumAbs.
func overKernel(s *dag.Matrix, kind norm, threads int) dag.Matrix {
	out := *s
	out.F32, out.F64 = nil, make([]float64, s.Len()/s.Kernel)
	out.Cols, out.Kernel = s.Cols/s.Kernel, 1
	if s.F64 != nil {
		sumGroups(out.F64, s.F64, kind, threads)
	} else {
		sumGroups(out.F64, s.F32, kind, threads)
	}
	return out
}

// sumGroups writes the sums of |w|, or of w^2, over as many groups of neighbours as dst has numbers.
func sumGroups[T float32 | float64](dst []float64, w []T, kind norm, threads int) {
	k := len(w) / max(1, len(dst))
	kernel.Parallel(len(dst), threads, 1<<16/k+1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			sum := 0.0
			if kind == sumSquares {
				for _, x := range w[i*k:][:k] {
					sum += float64(x) * float64(x)
				}
			} else {
				for _, x := range w[i*k:][:k] {
					sum += math.Abs(float64(x))
				}
			}
			dst[i] = sum
		}
	})
}
