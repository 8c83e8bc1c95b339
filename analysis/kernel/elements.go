package kernel

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

// TapBlock is the number of elements that Taps computes at a time: the length of its
// result is a multiple, and its operand must reach as far.
const TapBlock = lanes

// Taps writes the sum over t of w[t] * x[at[t]+i] to each dst[i].
func Taps(dst, x []float64, at []int, w []float64) {
	w = w[:len(at)]
	if len(at) == 0 || len(dst) == 0 {
		clear(dst)
		return
	}
	if taps64 != nil {
		for _, a := range at {
			_ = x[a:][:len(dst)]
		}
		taps64(&dst[0], &x[0], &at[0], &w[0], len(at), len(dst)&^(lanes-1))
		return
	}
	for t, a := range at {
		v := w[t]
		for i, e := range x[a:][:len(dst)] {
			if t == 0 {
				dst[i] = v * e
			} else {
				dst[i] += v * e
			}
		}
	}
}

// These are Affine, Sum and Taps in assembly for n a multiple of lanes; nil when there
// is none.
var (
	affine64 func(dst, x *float64, n int, s, b, lo, hi float64)
	sum64    func(dst *float64, a float64, x *float64, b float64, y *float64, n int)
	taps64   func(dst, x *float64, at *int, w *float64, taps, n int)
)
