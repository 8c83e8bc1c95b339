package kernel

import "math"

// Reciprocals replaces numbers, none of them negative, by their reciprocals, and returns the largest of these. Zero, NaN,
// and what is so small that its reciprocal is infinite, become zero.
func Reciprocals(x []float64) (most float64) {
	if reciprocals64 != nil && len(x) >= lanes {
		n := len(x) &^ (lanes - 1)
		most = reciprocals64(&x[0], n)
		x = x[n:]
	}
	for i, v := range x {
		q := 1 / v
		if !(q <= math.MaxFloat64) {
			q = 0
		}
		x[i] = q
		most = max(most, q)
	}
	return most
}

// Descend writes keep*w - step*(g*q) to w, element by element, computed in float64.
func Descend[T Float](w, g []T, q []float64, keep, step float64) {
	g, q = g[:len(w)], q[:len(w)]
	if f := elements[T]().descend; f != nil && len(w) >= lanes {
		n := len(w) &^ (lanes - 1)
		f(&w[0], &g[0], &q[0], n, keep, step)
		w, g, q = w[n:], g[n:], q[n:]
	}
	for i, v := range w {
		// The conversions keep Go from rounding a product and a sum at once.
		w[i] = T(float64(keep*float64(v)) - float64(step*float64(float64(g[i])*q[i])))
	}
}

// reciprocals64 is Reciprocals in assembly, for n a multiple of lanes; nil when there is none.
var reciprocals64 func(x *float64, n int) float64
