package kernel

import "slices"

// Affine writes max(lo, min(hi, s*x + b)) to dst, element by element; a NaN stays. dst
// may be x.
func Affine(dst, x []float64, s, b, lo, hi float64) {
	if b == 0 {
		b = 0 // not -0: a bound of 0 gives +0
	}
	x = x[:len(dst)]
	n := 0
	if affine64 != nil && len(x) >= lanes {
		n = len(x) &^ (lanes - 1)
		affine64(&dst[0], &x[0], n, s, b, lo, hi)
	}
	for i, v := range x[n:] {
		dst[n+i] = max(lo, min(hi, s*v+b))
	}
}

// Sum writes a*x + b*y to dst, which may be either.
func Sum(dst []float64, a float64, x []float64, b float64, y []float64) {
	x, y = x[:len(dst)], y[:len(dst)]
	n := 0
	if sum64 != nil && len(dst) >= lanes {
		n = len(dst) &^ (lanes - 1)
		sum64(&dst[0], a, &x[0], b, &y[0], n)
	}
	for i, v := range x[n:] {
		dst[n+i] = a*v + b*y[n+i]
	}
}

// Taps writes lines of width elements, each of which is
//
//	dst[r*width+i] = max(lo, min(hi, s*sum over t of w[t]*x[rows[r]+at[t]+i] + b)).
//
// Terms are added in the order of t; a NaN stays.
func Taps(dst []float64, width int, x []float64, rows, at []int, w []float64, s, b, lo, hi float64) {
	w = w[:len(at)]
	if b == 0 {
		b = 0 // not -0: a bound of 0 gives +0
	}
	if width == 0 || len(rows) == 0 {
		return
	}
	_ = dst[:width*len(rows)]
	if taps64 != nil && width >= 4 && len(at) > 0 {
		first, last := slices.Min(at), slices.Max(at)+width
		for _, r := range rows {
			_ = x[r+first : r+last]
		}
		taps64(&dst[0], width, &x[0], &rows[0], len(rows), &at[0], &w[0], len(at), s, b, lo, hi)
		return
	}
	for r, from := range rows {
		for i := range width {
			sum := 0.0
			for t, a := range at {
				sum += w[t] * x[from+a+i]
			}
			dst[r*width+i] = max(lo, min(hi, s*sum+b))
		}
	}
}

// These are Affine and Sum in assembly for n a multiple of lanes, and Taps for at least
// four elements a line and one tap; nil when there is none.
var (
	affine64 func(dst, x *float64, n int, s, b, lo, hi float64)
	sum64    func(dst *float64, a float64, x *float64, b float64, y *float64, n int)
	taps64   func(dst *float64, width int, x *float64, rows *int, lines int, at *int, w *float64, taps int, s, b, lo, hi float64)
)
