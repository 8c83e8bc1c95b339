package rescale

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
)

// matrix is a stored tensor, or a part of one, as m x n numbers between rows
// and columns of a layer. A convolution's kernel positions are columns of their
// own, which belong to one channel.
type matrix struct {
	f32  []float32
	f64  []float64
	m, n int
	// rows and cols give the layer's row of each stored row and its column of
	// each stored column; nil is the same index. With swap, stored rows are
	// columns and stored columns are rows.
	rows, cols []int32
	swap       bool
	// diag says that the numbers, one a row, are a diagonal.
	diag bool
}

// matrices returns the matrices of a map without copying weights. The fixed
// weights of a diagonal or of average pooling, under a factor a channel, come as
// the p-norm of each row.
func matrices(m dag.Map, p float64) []matrix {
	switch m := m.(type) {
	case *dag.Dense:
		s := matrix{f32: m.W.Param.Float32s(), f64: m.W.Param.Float64s(), m: m.Rows, n: m.Cols}
		if m.InOut {
			s.m, s.n, s.swap = m.Cols, m.Rows, true
		}
		return []matrix{s}
	case *dag.Conv:
		return convMatrices(m)
	}
	n := m.Out().N
	s := matrix{f64: make([]float64, n), m: n, n: n, diag: true}
	for i, x := range paths.RowNorms(&dag.Linear{Map: m}, p, 1) {
		s.f64[i] = x.Float64()
	}
	return []matrix{s}
}

func convMatrices(c *dag.Conv) []matrix {
	taps := dag.Size(c.Window.Kernel)
	outer, inner := c.OutChannels/c.Groups, c.InChannels/c.Groups
	if c.Transposed {
		outer, inner = inner, outer
	}
	size := outer * inner * taps
	var out []matrix
	for k := range c.Groups {
		s := matrix{
			m: outer, n: inner * taps, swap: c.Transposed,
			rows: make([]int32, outer), cols: make([]int32, inner*taps),
		}
		if f := c.W.Param.Float64s(); f != nil {
			s.f64 = f[k*size:][:size]
		} else {
			s.f32 = c.W.Param.Float32s()[k*size:][:size]
		}
		for i := range s.rows {
			s.rows[i] = int32(k*outer + i)
		}
		for j := range s.cols {
			s.cols[j] = int32(k*inner + j/taps)
		}
		out = append(out, s)
	}
	return out
}

// at returns stored number e.
func (s *matrix) at(e int) float64 {
	if s.f64 != nil {
		return s.f64[e]
	}
	return float64(s.f32[e])
}

// each calls f for every stored number e with its row and column of the layer.
func (s *matrix) each(f func(e, row, col int, w float64)) {
	if s.diag {
		for i, w := range s.f64 {
			f(i, i, i, w)
		}
		return
	}
	for i := range s.m {
		for j := range s.n {
			row, col := pick(s.rows, i), pick(s.cols, j)
			if s.swap {
				row, col = col, row
			}
			e := i*s.n + j
			f(e, row, col, s.at(e))
		}
	}
}

func pick(ids []int32, i int) int {
	if ids == nil {
		return i
	}
	return int(ids[i])
}

// norm says how the numbers of a matrix are summed: |w|, w^2, or their maximum.
type norm uint8

const (
	sumAbs norm = iota
	sumSquares
	maxAbs
)

// products adds A x to ax and A^T y to aty for the matrix A of |w| or w^2, or
// takes the largest |w| x and |w| y (x, y non-negative), in one read. x and aty
// go by the layer's columns, y and ax by its rows.
func (s *matrix) products(k norm, x, y, ax, aty []float64, threads int) {
	if s.diag {
		for i, w := range s.f64 {
			if k == maxAbs {
				ax[i], aty[i] = math.Max(ax[i], w*x[i]), math.Max(aty[i], w*y[i])
				continue
			}
			if k == sumSquares {
				w *= w
			}
			ax[i] += w * x[i]
			aty[i] += w * y[i]
		}
		return
	}
	if s.swap {
		x, y, ax, aty = y, x, aty, ax
	}
	if s.f64 != nil {
		products(s, s.f64, k, x, y, ax, aty, threads)
	} else {
		products(s, s.f32, k, x, y, ax, aty, threads)
	}
}

func products[T kernel.Float](s *matrix, w []T, k norm, x, y, ax, aty []float64, threads int) {
	if s.m == 0 || s.n == 0 {
		return
	}
	xs, ys := gather(s.cols, x, s.n), gather(s.rows, y, s.m)
	// The matrix alone says how many parts there are, and with them the order of all
	// sums. Each has sums along the columns, so none has few rows; a multiple of the
	// four that the loops take at a time.
	const most, least = 16, 32 // parts, rows
	parts := max(1, min(most, s.m*s.n/(1<<16), s.m/least))
	chunk := (s.m + 4*parts - 1) / (4 * parts) * 4
	down, across := make([][]float64, parts), make([]float64, s.m)
	kernel.Parallel(parts, threads, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			down[t] = make([]float64, s.n)
			i0, i1 := min(t*chunk, s.m), min((t+1)*chunk, s.m)
			rows := w[i0*s.n : i1*s.n]
			switch k {
			case sumAbs:
				kernel.ProductsAbs(across[i0:i1], down[t], rows, xs, ys[i0:i1])
			case sumSquares:
				kernel.ProductsSquares(across[i0:i1], down[t], rows, xs, ys[i0:i1])
			case maxAbs:
				kernel.ProductsMax(across[i0:i1], down[t], rows, xs, ys[i0:i1])
			}
		}
	})
	add := func(ids []int32, sums, part []float64) {
		for i, v := range part {
			at := pick(ids, i)
			if k == maxAbs {
				sums[at] = math.Max(sums[at], v)
			} else {
				sums[at] += v
			}
		}
	}
	add(s.rows, ax, across)
	for _, part := range down {
		add(s.cols, aty, part)
	}
}

func gather(ids []int32, x []float64, n int) []float64 {
	if ids == nil {
		return x[:n]
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = x[ids[i]]
	}
	return out
}

// normalised returns (|w| e^(lr_row + lc_col))^p of every number, as a matrix
// of its own for sumAbs.
func (s *matrix) normalised(p float64, lr, lc []float64) matrix {
	out := *s
	out.f32, out.f64 = nil, make([]float64, len(s.f32)+len(s.f64))
	s.each(func(e, row, col int, w float64) {
		if w != 0 {
			out.f64[e] = math.Exp(p * (math.Log(math.Abs(w)) + lr[row] + lc[col]))
		}
	})
	return out
}

// cut sets the numbers of some rows and columns to zero and returns their sum.
// The matrix is one that normalised made.
func (s *matrix) cut(which func(row, col int) bool) (sum float64) {
	s.each(func(e, row, col int, w float64) {
		if w != 0 && which(row, col) {
			sum += w
			s.f64[e] = 0
		}
	})
	return sum
}
