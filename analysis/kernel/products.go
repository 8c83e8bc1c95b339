package kernel

import (
	"math"
	"unsafe"
)

// ProductsAbs adds A x to ax and A^T y to aty in one read of the weights. A is
// the matrix of |w_ij|, len(y) rows of len(x) columns, one after another; x and
// y are not negative. NaN and infinities come out as such; infinity times zero
// is NaN.
func ProductsAbs[T Float](ax, aty []float64, w []T, x, y []float64) {
	eachRow(ax, aty, w, x, y, vector[T]().productsAbs, func(s float64, aty []float64, w []T, x []float64, y float64) float64 {
		for j, v := range w {
			a := math.Abs(float64(v))
			s += a * x[j]
			aty[j] += a * y
		}
		return s
	})
}

// ProductsSquares is ProductsAbs with w_ij^2.
func ProductsSquares[T Float](ax, aty []float64, w []T, x, y []float64) {
	eachRow(ax, aty, w, x, y, vector[T]().productsSquares, func(s float64, aty []float64, w []T, x []float64, y float64) float64 {
		for j, v := range w {
			a := float64(v) * float64(v)
			s += a * x[j]
			aty[j] += a * y
		}
		return s
	})
}

// ProductsMax makes each ax_i the largest of ax_i and |w_ij| x_j, and each aty_j
// the largest of aty_j and |w_ij| y_i. Products that are NaN are left out.
func ProductsMax[T Float](ax, aty []float64, w []T, x, y []float64) {
	eachRow(ax, aty, w, x, y, vector[T]().productsMax, func(s float64, aty []float64, w []T, x []float64, y float64) float64 {
		for j, v := range w {
			a := math.Abs(float64(v))
			if t := a * x[j]; t > s {
				s = t
			}
			if t := a * y; t > aty[j] {
				aty[j] = t
			}
		}
		return s
	})
}

// DotsAbs adds to each sums_i sum_j |w_ij| x_j over the row of len(x) weights that
// begins at i*stride: DotAbs of several rows, which read x once for four of them.
func DotsAbs[T Float](sums []float64, w []T, stride int, x []float64) {
	fourRows(sums, w, stride, x, vector[T]().dotsAbs, DotAbs[T])
}

// DotsSquares is DotsAbs with w_ij^2.
func DotsSquares[T Float](sums []float64, w []T, stride int, x []float64) {
	fourRows(sums, w, stride, x, vector[T]().dotsSquares, DotSquares[T])
}

// dots takes four rows of n columns, n a multiple of lanes, the rows stride bytes
// apart.
type dots func(w unsafe.Pointer, stride, n int, x, sums *float64)

func fourRows[T Float](sums []float64, w []T, stride int, x []float64, f dots, row func(w []T, x []float64) float64) {
	n, i := len(x), 0
	vec := n &^ (lanes - 1)
	if f != nil && vec > 0 {
		for ; i+4 <= len(sums); i += 4 {
			_ = w[(i+3)*stride+n-1]
			f(data(w[i*stride:]), stride*int(unsafe.Sizeof(w[0])), vec, &x[0], &sums[i])
			for k := i; k < i+4 && vec < n; k++ {
				sums[k] += row(w[k*stride+vec:k*stride+n], x[vec:])
			}
		}
	}
	for ; i < len(sums); i++ {
		sums[i] += row(w[i*stride:i*stride+n], x)
	}
}

// products takes four rows of n columns, n a multiple of lanes, the rows stride
// bytes apart.
type products func(w unsafe.Pointer, stride, n int, x, y, ax, aty *float64)

// eachRow runs f on four rows at a time, and row on the rows and the ends of rows
// that it leaves. row returns what the product along the row becomes from s.
func eachRow[T Float](ax, aty []float64, w []T, x, y []float64, f products,
	row func(s float64, aty []float64, w []T, x []float64, y float64) float64,
) {
	n, m := len(x), len(y)
	w, ax, aty = w[:m*n], ax[:m], aty[:n]
	first, i := n&^(lanes-1), 0
	if f != nil && first > 0 {
		for ; i+4 <= m; i += 4 {
			f(data(w[i*n:]), n*int(unsafe.Sizeof(w[0])), first, &x[0], &y[i], &ax[i], &aty[0])
		}
	}
	for k := range m {
		if k == i {
			first = 0
		}
		if first < n {
			ax[k] = row(ax[k], aty[first:], w[k*n+first:(k+1)*n], x[first:], y[k])
		}
	}
}

// pairs takes four rows and two vectors of n columns, n a multiple of 4, all stride
// bytes apart; the rows' results are dstStride bytes apart. Nil without vectors.
var pairs func(a *float64, stride, n int, x, dst *float64, dstStride int)

// PairsMax makes each dst[i*stride+v] the largest of it and a_ij x_vj, for the rows
// of a, len(a)/cols of cols numbers, and the vectors x, len(x)/cols of them. No
// number is negative, NaN or infinite.
func PairsMax(dst []float64, stride int, a, x []float64, cols int) {
	// So many columns of four rows and two vectors stay in the nearest cache.
	const part = 256
	if len(a) == 0 || len(x) == 0 {
		return
	}
	rows, vectors := len(a)/cols, len(x)/cols
	_ = dst[(rows-1)*stride+vectors-1]
	for lo := 0; lo < cols; lo += part {
		n := min(part, cols-lo)
		wide := n &^ 3
		for i := 0; i < rows; i += 4 {
			for v := 0; v < vectors; v += 2 {
				done := 0
				switch whole := i+4 <= rows && v+2 <= vectors; {
				case !whole || wide == 0:
				case pairs != nil:
					pairs(&a[i*cols+lo], 8*cols, wide, &x[v*cols+lo], &dst[i*stride+v], 8*stride)
					done = wide
				default:
					pairsLoop(dst[i*stride+v:], stride, a[i*cols+lo:], x[v*cols+lo:], cols, n)
					done = n
				}
				for r := i; r < min(i+4, rows) && done < n; r++ {
					for q := v; q < min(v+2, vectors); q++ {
						m, y := dst[r*stride+q], x[q*cols+lo+done:][:n-done]
						for j, w := range a[r*cols+lo+done:][:len(y)] {
							m = max(m, w*y[j])
						}
						dst[r*stride+q] = m
					}
				}
			}
		}
	}
}

// pairsLoop is pairs in Go: it takes all columns, of which the next row's are cols behind.
// max is a call where the machine's own maximum is another, so comparisons stand for it.
func pairsLoop(dst []float64, stride int, a, x []float64, cols, n int) {
	a0, a1, a2, a3 := a[:n], a[cols:][:n], a[2*cols:][:n], a[3*cols:][:n]
	x0, x1 := x[:n], x[cols:][:n]
	d0, d1, d2, d3 := dst[:2], dst[stride:][:2], dst[2*stride:][:2], dst[3*stride:][:2]
	m00, m01, m10, m11, m20, m21, m30, m31 := d0[0], d0[1], d1[0], d1[1], d2[0], d2[1], d3[0], d3[1]
	for j, u := range x0 {
		v := x1[j]
		w := a0[j]
		if y := w * u; y > m00 {
			m00 = y
		}
		if y := w * v; y > m01 {
			m01 = y
		}
		w = a1[j]
		if y := w * u; y > m10 {
			m10 = y
		}
		if y := w * v; y > m11 {
			m11 = y
		}
		w = a2[j]
		if y := w * u; y > m20 {
			m20 = y
		}
		if y := w * v; y > m21 {
			m21 = y
		}
		w = a3[j]
		if y := w * u; y > m30 {
			m30 = y
		}
		if y := w * v; y > m31 {
			m31 = y
		}
	}
	d0[0], d0[1], d1[0], d1[1] = m00, m01, m10, m11
	d2[0], d2[1], d3[0], d3[1] = m20, m21, m30, m31
}

// MaxAbs returns the largest |w|: NaN if one is NaN, zero for none.
func MaxAbs[T Float](w []T) float64 {
	n, m := 0, 0.0
	if f := vector[T]().maxAbs; f != nil && len(w) >= lanes {
		n = len(w) &^ (lanes - 1)
		bits := f(data(w), n)
		if unsafe.Sizeof(w[0]) == 4 {
			m = float64(math.Float32frombits(uint32(bits)))
		} else {
			m = math.Float64frombits(bits)
		}
	}
	for _, x := range w[n:] {
		m = larger(m, math.Abs(float64(x)))
	}
	return m
}

// Above returns the first index j from first on with
//
//	|w_j| r c_j >= floor  or  |w_j| r c_j >= floors_j,
//
// len(w) for none. c and floors are at least as long as w; no floor is NaN.
func Above[T Float](w []T, first int, r float64, c []float64, floor float64, floors []float64) int {
	c, floors = c[:len(w)], floors[:len(w)]
	j := first
	if f := vector[T]().above; f != nil && len(w)-j >= lanes {
		j += f(data(w[j:]), (len(w)-j)&^(lanes-1), r, &c[j], floor, &floors[j])
	}
	for ; j < len(w); j++ {
		if x := math.Abs(float64(w[j])) * r * c[j]; x >= floor || x >= floors[j] {
			break
		}
	}
	return j
}
