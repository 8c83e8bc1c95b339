package kernel

import "unsafe"

// Widen writes src as float64 to dst, which must be as long.
func Widen(dst []float64, src []float32) {
	src = src[:len(dst)]
	n := 0
	if widen32 != nil && len(src) >= lanes {
		n = len(src) &^ (lanes - 1)
		widen32(&dst[0], &src[0], n)
	}
	for i, v := range src[n:] {
		dst[n+i] = float64(v)
	}
}

// widen32 is Widen in assembly for n a multiple of lanes; nil when there is
// none.
var widen32 func(dst *float64, src *float32, n int)

// Scale writes T(r * c_j * src_j) to dst: the factor is one float64 product,
// and the result is rounded once more, to T. A nil c is all ones. dst, c and
// src have the same length; dst may be src.
func Scale[T Float](dst []T, r float64, c []float64, src []T) {
	dst = dst[:len(src)]
	n := 0
	if v := vector[T](); v.scale != nil && len(src) >= lanes {
		n = len(src) &^ (lanes - 1)
		if c == nil {
			v.scaleConst(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), r, n)
		} else {
			c = c[:len(src)]
			v.scale(unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0]), &c[0], r, n)
		}
	}
	if c == nil {
		for i := n; i < len(src); i++ {
			dst[i] = T(r * float64(src[i]))
		}
		return
	}
	for i := n; i < len(src); i++ {
		dst[i] = T(r * c[i] * float64(src[i]))
	}
}
