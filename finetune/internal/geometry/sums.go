package geometry

import (
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/program"
)

// matrixSums sums the powers of a stored matrix along its rows and columns.
type matrixSums[T program.Float] struct {
	w          []T
	rows, cols int
	p          float64
	largest    []float64 // of the terms of each column, for p other than 1 and 2
}

// sums computes, of terms t = w^2 h for p = 2 and |w| h otherwise, what plus
// makes of the terms of each row (weighted by rowH, one a column) and of each
// column (weighted by colH, one a row). Either output may be nil. One read of
// the weights serves both.
func (m *matrixSums[T]) sums(rowOut, rowH, colOut, colH []float64) {
	if m.p != 1 && m.p != 2 {
		m.general(rowOut, rowH, colOut, colH)
		return
	}
	clear(rowOut)
	clear(colOut)
	rows, columns, both := kernel.DotsAbs[T], kernel.ColumnsAbs[T], kernel.ProductsAbs[T]
	if m.p == 2 {
		rows, columns, both = kernel.DotsSquares[T], kernel.ColumnsSquares[T], kernel.ProductsSquares[T]
	}
	switch {
	case rowOut == nil:
		columns(colOut, m.w, m.cols, colH)
	case colOut == nil:
		rows(rowOut, m.w, m.cols, rowH)
	default:
		both(rowOut, colOut, m.w, rowH, colH)
	}
}

// general is sums for any other p: (sum t^p)^(1/p), each term divided by the
// largest of its sum first, so that no power leaves the range.
func (m *matrixSums[T]) general(rowOut, rowH, colOut, colH []float64) {
	for i := range rowOut {
		row := m.w[i*m.cols:][:m.cols]
		rowOut[i] = norm(m.p, m.cols, func(j int) float64 { return math.Abs(float64(row[j])) * rowH[j] })
	}
	if colOut == nil {
		return
	}
	m.largest = longer(m.largest, m.cols)
	largest := m.largest
	clear(largest)
	clear(colOut)
	for i, h := range colH {
		for j, x := range m.w[i*m.cols:][:m.cols] {
			largest[j] = math.Max(largest[j], math.Abs(float64(x))*h)
		}
	}
	for i, h := range colH {
		for j, x := range m.w[i*m.cols:][:m.cols] {
			colOut[j] += term(math.Abs(float64(x))*h, largest[j], m.p)
		}
	}
	for j, sum := range colOut {
		colOut[j] = largest[j] * math.Pow(sum, 1/m.p)
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
