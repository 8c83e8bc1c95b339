package rescale

import (
	"math"
	"sync"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
)

// matrices returns the matrices of a layer, without the factors of its rows, and without
// copying weights. The fixed weights of a diagonal or of average pooling, under a factor a
// channel, come as the p-norm of each row.
func matrices(l *dag.Linear, p float64) []dag.Matrix {
	if out := l.Matrices(); out != nil {
		return out
	}
	diagonal := make([]float64, l.Rows())
	for i, x := range paths.RowNorms(&dag.Linear{Map: l.Map}, p, 1) {
		diagonal[i] = x.Float64()
	}
	return []dag.Matrix{dag.DiagonalMatrix(diagonal)}
}

// eachWeight calls f for every stored number e with its row and column of the layer.
func eachWeight(s *dag.Matrix, f func(e, row, col int, w float64)) {
	for e := range s.Len() {
		row, col := s.Place(e)
		f(e, row, col, s.At(e))
	}
}

// transposed returns s with its rows as columns and its columns as rows.
func transposed(s dag.Matrix) dag.Matrix {
	s.Turned = !s.Turned
	s.Row, s.Col, s.Rows, s.Cols = s.Col, s.Row, s.Cols/s.Kernel, s.Rows*s.Kernel
	return s
}

// side is a layer's numbers of the stored rows or columns of a matrix: k of these
// in a row belong to each number from the first on.
type side struct{ first, k, n int }

// sides returns how stored rows and columns lie among the layer's rows and
// columns; the other way round where the matrix is stored inputs first.
func sides(s *dag.Matrix) (rows, cols side) {
	m, n := s.Stored()
	rows, cols = side{s.Row, 1, m}, side{s.Col, s.Kernel, n}
	if s.Turned {
		rows.first, cols.first = s.Col, s.Row
	}
	return rows, cols
}

func (d side) at(i int) int { return d.first + i/d.k }

// along returns the numbers of x, one a stored row or column.
func along[T any](d side, x []T) []T {
	if d.k == 1 {
		return x[d.first:][:d.n]
	}
	out := make([]T, d.n)
	for i := range out {
		out[i] = x[d.at(i)]
	}
	return out
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
func products(s *dag.Matrix, k norm, x, y, ax, aty []float64, threads int) {
	if s.Diagonal {
		for i, w := range s.F64 {
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
	if s.Turned {
		x, y, ax, aty = y, x, aty, ax
	}
	if s.F64 != nil {
		productsOf(s, s.F64, k, x, y, ax, aty, threads)
	} else {
		productsOf(s, s.F32, k, x, y, ax, aty, threads)
	}
}

// rooms are memory for the sums of parts: fresh pages took a quarter of the time.
var rooms sync.Pool

func productsOf[T kernel.Float](s *dag.Matrix, w []T, k norm, x, y, ax, aty []float64, threads int) {
	if len(w) == 0 {
		return
	}
	rows, cols := sides(s)
	m, n := rows.n, cols.n
	xs, ys := along(cols, x), along(rows, y)
	// The matrix alone says how many parts there are, and with them the order of all
	// sums. Each has sums along the columns, so none has few rows; a multiple of the
	// four that the loops take at a time.
	const most, least = 16, 32 // parts, rows
	parts := max(1, min(most, m*n/(1<<16), m/least))
	chunk := (m + 4*parts - 1) / (4 * parts) * 4
	room, _ := rooms.Get().(*[]float64)
	if room == nil || len(*room) < m+parts*n {
		fresh := make([]float64, m+parts*n)
		room = &fresh
	}
	defer rooms.Put(room)
	down, across := make([][]float64, parts), (*room)[:m]
	kernel.Parallel(parts, threads, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			down[t] = (*room)[m+t*n:][:n]
			i0, i1 := min(t*chunk, m), min((t+1)*chunk, m)
			clear(down[t])
			clear(across[i0:i1])
			part := w[i0*n : i1*n]
			switch k {
			case sumAbs:
				kernel.ProductsAbs(across[i0:i1], down[t], part, xs, ys[i0:i1])
			case sumSquares:
				kernel.ProductsSquares(across[i0:i1], down[t], part, xs, ys[i0:i1])
			case maxAbs:
				kernel.ProductsMax(across[i0:i1], down[t], part, xs, ys[i0:i1])
			}
		}
	})
	add := func(d side, sums, part []float64) {
		for i, v := range part {
			at := d.at(i)
			if k == maxAbs {
				sums[at] = math.Max(sums[at], v)
			} else {
				sums[at] += v
			}
		}
	}
	add(rows, ax, across)
	for _, part := range down {
		add(cols, aty, part)
	}
}

// normalised returns (|w| e^(lr_row + lc_col))^p of every number, as a matrix
// of its own for sumAbs.
func normalised(s *dag.Matrix, p float64, lr, lc []float64) dag.Matrix {
	out := *s
	out.F32, out.F64 = nil, make([]float64, s.Len())
	eachWeight(s, func(e, row, col int, w float64) {
		if w != 0 {
			out.F64[e] = math.Exp(p * (math.Log(math.Abs(w)) + lr[row] + lc[col]))
		}
	})
	return out
}

// cut sets the numbers of some rows and columns to zero and returns their sum.
// The matrix is one that normalised made.
func cut(s *dag.Matrix, which func(row, col int) bool) (sum float64) {
	eachWeight(s, func(e, row, col int, w float64) {
		if w != 0 && which(row, col) {
			sum += w
			s.F64[e] = 0
		}
	})
	return sum
}
