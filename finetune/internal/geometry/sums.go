package geometry

import (
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// matrixSums sums the powers of a stored matrix along its rows and columns.
type matrixSums[T program.Float] struct {
	w          []T
	rows, cols int
	p          float64
	pool       *pool.Pool

	// The arguments of the pass in progress.
	rowH, colH     []float64
	rowOut, colOut []float64
	part           [][]float64 // column sums of each chunk of rows
	chunk          int
	pass           func(lo, hi int)
}

// grain is the number of weights that make a goroutine worth while, mostParts the
// number of chunks of rows. The matrix alone says which chunks these are, so that any
// number of threads gives the same sums.
const grain, mostParts = 1 << 15, 16

func newMatrixSums[T program.Float](w []T, rows, cols int, p float64, pl *pool.Pool) *matrixSums[T] {
	m := &matrixSums[T]{w: w, rows: rows, cols: cols, p: p, pool: pl}
	parts := max(1, min(mostParts, rows/max(1, grain/max(cols, 1))))
	m.chunk = max(1, (rows+parts-1)/parts)
	for range max(1, (rows+m.chunk-1)/m.chunk) {
		m.part = append(m.part, make([]float64, cols))
	}
	m.pass = func(lo, hi int) {
		for k := lo; k < hi; k++ {
			m.slice(m.part[k], k*m.chunk, min(m.rows, (k+1)*m.chunk))
		}
	}
	return m
}

// sums computes, of terms t = w^2 h for p = 2 and |w| h otherwise, what plus
// makes of the terms of each row (weighted by rowH, one a column) and of each
// column (weighted by colH, one a row). Either output may be nil. One read of
// the weights serves both.
func (m *matrixSums[T]) sums(rowOut, rowH, colOut, colH []float64) {
	m.rowOut, m.rowH, m.colOut, m.colH = rowOut, rowH, colOut, colH
	if m.p != 1 && m.p != 2 {
		m.general()
		return
	}
	m.pool.Do(len(m.part), 1, m.pass)
	if colOut == nil {
		return
	}
	copy(colOut, m.part[0])
	for _, part := range m.part[1:] {
		for j, v := range part {
			colOut[j] += v
		}
	}
}

// tile is the number of rows that serve the columns while they are still in the
// cache for the rows.
const tile = 16

// slice works on rows lo to hi, whose column sums are part.
func (m *matrixSums[T]) slice(part []float64, lo, hi int) {
	clear(part)
	dot, columns := kernel.DotAbs[T], kernel.ColumnsAbs[T]
	if m.p == 2 {
		dot, columns = kernel.DotSquares[T], kernel.ColumnsSquares[T]
	}
	for i := lo; i < hi; i += tile {
		end := min(i+tile, hi)
		if m.rowOut != nil {
			for k := i; k < end; k++ {
				m.rowOut[k] = dot(m.w[k*m.cols:][:m.cols], m.rowH)
			}
		}
		if m.colOut != nil {
			columns(part, m.w[i*m.cols:end*m.cols], m.cols, m.colH[i:end])
		}
	}
}

// general is sums for any other p: (sum t^p)^(1/p), each term divided by the
// largest of its sum first, so that no power leaves the range.
func (m *matrixSums[T]) general() {
	for i := range m.rowOut {
		row := m.w[i*m.cols:][:m.cols]
		m.rowOut[i] = norm(m.p, m.cols, func(j int) float64 { return math.Abs(float64(row[j])) * m.rowH[j] })
	}
	if m.colOut == nil {
		return
	}
	largest := m.part[0]
	clear(largest)
	clear(m.colOut)
	for i, h := range m.colH {
		for j, x := range m.w[i*m.cols:][:m.cols] {
			largest[j] = math.Max(largest[j], math.Abs(float64(x))*h)
		}
	}
	for i, h := range m.colH {
		for j, x := range m.w[i*m.cols:][:m.cols] {
			m.colOut[j] += term(math.Abs(float64(x))*h, largest[j], m.p)
		}
	}
	for j, sum := range m.colOut {
		m.colOut[j] = largest[j] * math.Pow(sum, 1/m.p)
	}
}

// norm returns (sum t_k^p)^(1/p) of n terms.
func norm(p float64, n int, t func(k int) float64) float64 {
	largest, sum := 0.0, 0.0
	for k := range n {
		largest = math.Max(largest, t(k))
	}
	for k := range n {
		sum += term(t(k), largest, p)
	}
	return largest * math.Pow(sum, 1/p)
}

// term returns (t/largest)^p; 0 for t = 0.
func term(t, largest, p float64) float64 {
	if t == 0 {
		return 0
	}
	return power(t/largest, p)
}

// power returns x^p for x >= 0, by products where p is a small whole number.
func power(x, p float64) float64 {
	switch p {
	case 1:
		return x
	case 2:
		return x * x
	case 3:
		return x * x * x
	case 4:
		return (x * x) * (x * x)
	}
	return math.Pow(x, p)
}
