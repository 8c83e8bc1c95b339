package kernel

import (
	"math"
	"slices"
	"unsafe"
)

// Affine writes max(lo, min(hi, s*x + b)) to dst, element by element; a NaN stays. dst
// may be x.
func Affine[T Float](dst, x []T, s, b, lo, hi T) {
	if b == 0 {
		b = 0 // not -0: a bound of 0 gives +0
	}
	x = x[:len(dst)]
	n := 0
	if e := elements[T](); e.affine != nil && len(x) >= 4*e.lanes {
		n = len(x) &^ (4*e.lanes - 1)
		e.affine(&dst[0], &x[0], n, s, b, lo, hi)
	}
	for i, v := range x[n:] {
		dst[n+i] = max(lo, min(hi, s*v+b))
	}
}

// Sum writes a*x + b*y to dst, which may be either.
func Sum[T Float](dst []T, a T, x []T, b T, y []T) {
	x, y = x[:len(dst)], y[:len(dst)]
	n := 0
	if e := elements[T](); e.add != nil && len(dst) >= 4*e.lanes {
		n = len(dst) &^ (4*e.lanes - 1)
		e.add(&dst[0], a, &x[0], b, &y[0], n)
	}
	for i, v := range x[n:] {
		dst[n+i] = a*v + b*y[n+i]
	}
}

// Times writes x*y to dst, element by element; it may be either.
func Times[T Float](dst, x, y []T) {
	x, y = x[:len(dst)], y[:len(dst)]
	n := 0
	if e := elements[T](); e.times != nil && len(dst) >= 4*e.lanes {
		n = len(dst) &^ (4*e.lanes - 1)
		e.times(&dst[0], &x[0], &y[0], n)
	}
	for i, v := range x[n:] {
		dst[n+i] = v * y[n+i]
	}
}

// Gate writes d to dst where y, the result of a ReLU, is not zero, and zero where it is. y is not
// negative, so that it is zero if and only if its bits are; a branch on it would be mispredicted half of
// the time. dst may be d or y.
func Gate[T Float](dst, d, y []T) {
	dst, d = dst[:len(y)], d[:len(y)]
	if len(y) == 0 {
		return
	}
	n := 0
	if f := elements[T]().gate; f != nil && len(y) >= lanes {
		n = len(y) &^ (lanes - 1)
		f(&dst[0], &d[0], &y[0], n)
	}
	if dst, d, y = dst[n:], d[n:], y[n:]; len(y) == 0 {
		return
	}
	if unsafe.Sizeof(y[0]) == 4 {
		to, from := bits[uint32](dst), bits[uint32](d)
		for j, b := range bits[uint32](y) {
			to[j] = from[j] & uint32(-int32(b)>>31)
		}
		return
	}
	to, from := bits[uint64](dst), bits[uint64](d)
	for j, b := range bits[uint64](y) {
		to[j] = from[j] & uint64(-int64(b)>>63)
	}
}

func bits[B uint32 | uint64, T Float](x []T) []B {
	return unsafe.Slice((*B)(unsafe.Pointer(&x[0])), len(x))
}

// sumLanes is how many sums Total and Dot add up side by side in assembly.
const sumLanes = 32

// Total adds up numbers, in the precision that they have and in several sums side by side.
func Total[T Float](x []T) T {
	var first T
	if f := elements[T]().total; f != nil && len(x) >= sumLanes {
		n := len(x) &^ (sumLanes - 1)
		first = f(&x[0], n)
		x = x[n:]
	}
	var s [4]T
	for ; len(x) >= 4; x = x[4:] {
		s[0] += x[0]
		s[1] += x[1]
		s[2] += x[2]
		s[3] += x[3]
	}
	for _, v := range x {
		s[0] += v
	}
	return first + (s[0] + s[1] + (s[2] + s[3]))
}

// Dot is Total of the products x_i y_i.
func Dot[T Float](x, y []T) T {
	y = y[:len(x)]
	var first T
	if f := elements[T]().dot; f != nil && len(x) >= sumLanes {
		n := len(x) &^ (sumLanes - 1)
		first = f(&x[0], &y[0], n)
		x, y = x[n:], y[n:]
	}
	var s [4]T
	for ; len(x) >= 4 && len(y) >= 4; x, y = x[4:], y[4:] {
		s[0] += x[0] * y[0]
		s[1] += x[1] * y[1]
		s[2] += x[2] * y[2]
		s[3] += x[3] * y[3]
	}
	for j, v := range x {
		s[0] += v * y[j]
	}
	return first + (s[0] + s[1] + (s[2] + s[3]))
}

// Extremes returns the least of x that is not zero, infinity if there is none, and the largest,
// zero for none. No number is negative; ok says that all are finite.
func Extremes(x []float64) (least, most float64, ok bool) {
	// Bits are ordered as the numbers are; less one, zero is the largest.
	low, high := uint64(math.MaxUint64), uint64(0)
	if extremes64 != nil && len(x) >= lanes {
		var out [12]uint64
		n := len(x) &^ (lanes - 1)
		extremes64(&x[0], n, &out)
		x = x[n:]
		for k := range 4 {
			low, high = min(low, out[k]), max(high, out[4+k], out[8+k]&(1<<63))
		}
	}
	for _, v := range x {
		b := math.Float64bits(v)
		low, high = min(low, b-1), max(high, b)
	}
	least = math.Inf(1)
	if low != math.MaxUint64 {
		least = math.Float64frombits(low + 1)
	}
	return least, math.Float64frombits(high), high < math.Float64bits(math.Inf(1))
}

// extremes64 is Extremes in assembly; nil when there is none.
var extremes64 func(x *float64, n int, out *[12]uint64)

// Taps writes lines of width elements, each of which is
//
//	dst[r*width+i] = max(lo, min(hi, s*sum over t of w[t]*x[rows[r]+at[t]+i] + b)).
//
// Terms are added in the order of t; a NaN stays.
func Taps[T Float](dst []T, width int, x []T, rows, at []int, w []T, s, b, lo, hi T) {
	w = w[:len(at)]
	if b == 0 {
		b = 0 // not -0: a bound of 0 gives +0
	}
	if width == 0 || len(rows) == 0 {
		return
	}
	_ = dst[:width*len(rows)]
	if e := elements[T](); e.taps != nil && width >= e.lanes && len(at) > 0 {
		first, last := slices.Min(at), slices.Max(at)+width
		for _, r := range rows {
			_ = x[r+first : r+last]
		}
		e.taps(&dst[0], width, &x[0], &rows[0], len(rows), &at[0], &w[0], len(at), s, b, lo, hi)
		return
	}
	for r, from := range rows {
		for i := range width {
			var sum T
			for t, a := range at {
				sum += w[t] * x[from+a+i]
			}
			dst[r*width+i] = max(lo, min(hi, s*sum+b))
		}
	}
}

// elementOps are loops over elements in assembly: affine, add and times for n a multiple of four
// times lanes, which are those of a vector, gate of the constant of that name, total and dot of
// sumLanes, descend of lanes, and taps for lines of at least lanes elements and one tap. They are nil where there
// are none.
type elementOps[T Float] struct {
	affine  func(dst, x *T, n int, s, b, lo, hi T)
	add     func(dst *T, a T, x *T, b T, y *T, n int)
	times   func(dst, x, y *T, n int)
	gate    func(dst, d, y *T, n int)
	total   func(x *T, n int) T
	dot     func(x, y *T, n int) T
	descend func(w, g *T, q *float64, n int, keep, step float64)
	taps    func(dst *T, width int, x *T, rows *int, lines int, at *int, w *T, taps int, s, b, lo, hi T)
	lanes   int
}

var (
	elements32 elementOps[float32]
	elements64 elementOps[float64]
)

func elements[T Float]() *elementOps[T] {
	if e, ok := any(&elements32).(*elementOps[T]); ok {
		return e
	}
	return any(&elements64).(*elementOps[T])
}
