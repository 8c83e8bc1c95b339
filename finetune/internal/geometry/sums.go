package geometry

import (
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
)

// sums computes, of terms t = w^2 h for p = 2 and |w| h otherwise, what plus
// makes of the terms of each row of a matrix (weighted by rowH, one a column) and of each
// column (weighted by colH, one a row). Either output may be nil. One read of
// the weights serves both.
func (h *host[T]) sums(w []T, cols int, rowOut, rowH, colOut, colH []float64) {
	rows, columns, both := kernel.DotsAbs[T], kernel.ColumnsAbs[T], kernel.ProductsAbs[T]
	switch h.opt.P {
	case 1:
	case 2:
		rows, columns, both = kernel.DotsSquares[T], kernel.ColumnsSquares[T], kernel.ProductsSquares[T]
	default:
		h.general(w, cols, rowOut, rowH, colOut, colH)
		return
	}
	clear(rowOut)
	clear(colOut)
	switch {
	case rowOut == nil:
		columns(colOut, w, cols, colH)
	case colOut == nil:
		rows(rowOut, w, cols, rowH)
	default:
		both(rowOut, colOut, w, rowH, colH)
	}
}

// general is sums for any other p: (sum t^p)^(1/p), each term divided by the
// largest of its sum first, so that no power leaves the range.
func (h *host[T]) general(w []T, cols int, rowOut, rowH, colOut, colH []float64) {
	p := h.opt.P
	for i := range rowOut {
		row := w[i*cols:][:cols]
		rowOut[i] = norm(p, cols, func(j int) float64 { return math.Abs(float64(row[j])) * rowH[j] })
	}
	h.most = lists.Longer(h.most, len(colOut))
	largest := h.most[:len(colOut)]
	clear(largest)
	clear(colOut)
	terms := func(do func(j int, t float64)) {
		for i := 0; colOut != nil && i < len(colH); i++ {
			for j, x := range w[i*cols:][:cols] {
				do(j, math.Abs(float64(x))*colH[i])
			}
		}
	}
	terms(func(j int, t float64) { largest[j] = math.Max(largest[j], t) })
	terms(func(j int, t float64) { colOut[j] += term(t, largest[j], p) })
	for j, sum := range colOut {
		colOut[j] = largest[j] * math.Pow(sum, 1/p)
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
