package kernel

import (
	"math"
	"unsafe"
)

// Float is the type of a stored weight.
type Float interface{ float32 | float64 }

// Row holds sums over a run of weights.
type Row struct {
	// Abs, Squares and Cubes are sum |w|, sum w^2 and sum |w|^3.
	Abs, Squares, Cubes float64
	// Max is the largest |w|.
	Max float64
	// Zeros is the number of weights that are zero.
	Zeros int
}

// lanes is the number of elements that a vector loop takes at a time; the rest
// is left to the loop in Go.
const lanes = 16

// vectorOps holds the loops of one weight type in assembly, for n a multiple of
// lanes. They are nil where there are none.
type vectorOps struct {
	row                                    func(w unsafe.Pointer, n int, out *Row)
	rowPaths                               func(w unsafe.Pointer, n int, g1, g2, gmax *float64, ahead int, out *RowPaths)
	dotAbs, dotSquares, dotMax             func(w unsafe.Pointer, g *float64, n int) float64
	columnsAbs, columnsSquares, columnsMax func(dst *float64, w unsafe.Pointer, stride, n int, g *float64)
	scale                                  func(dst, src unsafe.Pointer, c *float64, r float64, n int)
	scaleConst                             func(dst, src unsafe.Pointer, r float64, n int)
	gram, gramNarrow                       gramOps

	productsAbs, productsSquares, productsMax products
	dotsAbs, dotsSquares                      dots
	// maxAbs returns the bits of the largest |w|.
	maxAbs func(w unsafe.Pointer, n int) uint64
	// above returns the first multiple of lanes from which on the next weights
	// have one above; n for none.
	above func(w unsafe.Pointer, n int, r float64, c *float64, floor float64, floors *float64) int
}

var vector32, vector64 vectorOps

// Vector names the instructions that the loops use: "AVX2", "AVX2, products AVX-512" or "Go".
func Vector() string {
	switch {
	case vector32.row == nil:
		return "Go"
	case tile.rows == MaxTileRows:
		return "AVX2, products AVX-512"
	default:
		return "AVX2"
	}
}

// vector returns T's loops in assembly.
func vector[T Float]() *vectorOps {
	var x T
	if unsafe.Sizeof(x) == 4 {
		return &vector32
	}
	return &vector64
}

func data[T Float](w []T) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(w)) }

// Add adds the sums of the weights w to r: one read of w gives all of them. A
// NaN among w makes all but Zeros NaN, an infinity makes them infinite.
func Add[T Float](r *Row, w []T) {
	n := 0
	if f := vector[T]().row; f != nil && len(w) >= lanes {
		n = len(w) &^ (lanes - 1)
		f(data(w), n, r)
	}
	sum := *r // in registers
	for _, x := range w[n:] {
		a := math.Abs(float64(x))
		s := a * a
		sum.Abs += a
		sum.Squares += s
		sum.Cubes += s * a
		if !(a <= sum.Max) {
			sum.Max = a
		}
		if x == 0 {
			sum.Zeros++
		}
	}
	*r = sum
	if r.Abs != r.Abs {
		r.Max = r.Abs // a NaN before the largest
	}
}

// RowPaths is a Row and the share of the row in three path programmes.
type RowPaths struct {
	Row
	// DotAbs, DotSquares and DotMax are as the functions of these names.
	DotAbs, DotSquares, DotMax float64
}

// AddPaths is Add, without Cubes, with DotAbs of the factors g1, DotSquares of
// g2 and DotMax of gmax: all that the path norms of order 1, 2 and Inf need, in
// one read. What lies ahead elements beyond w, usually the next row, is fetched
// meanwhile; it need not exist.
func AddPaths[T Float](r *RowPaths, w []T, ahead int, g1, g2, gmax []float64) {
	n := len(w) &^ (lanes - 1)
	f := vector[T]().rowPaths
	if f == nil || n == 0 {
		Add(&r.Row, w)
		r.DotAbs += DotAbs(w, g1)
		r.DotSquares += DotSquares(w, g2)
		r.DotMax = larger(r.DotMax, DotMax(w, gmax))
		return
	}
	g1, g2, gmax = g1[:len(w)], g2[:len(w)], gmax[:len(w)]
	old := r.DotMax
	f(data(w), n, &g1[0], &g2[0], &gmax[0], ahead*int(unsafe.Sizeof(w[0])), r)
	cubes := r.Cubes
	Add(&r.Row, w[n:])
	r.Cubes = cubes
	r.DotAbs += DotAbs(w[n:], g1[n:])
	r.DotSquares += DotSquares(w[n:], g2[n:])
	r.DotMax = larger(r.DotMax, DotMax(w[n:], gmax[n:]))
	if r.Max-r.Max != 0 || r.DotMax-r.DotMax != 0 || old != old {
		// A maximum may drop a NaN.
		r.DotMax = larger(old, DotMax(w, gmax))
	}
}

// DotAbs returns sum_j |w_j| g_j of non-negative g, which is at least as long
// as w. NaN and infinities come out as such; infinity times zero is NaN.
func DotAbs[T Float](w []T, g []float64) float64 {
	g = g[:len(w)]
	n, s := 0, 0.0
	if f := vector[T]().dotAbs; f != nil && len(w) >= lanes {
		n = len(w) &^ (lanes - 1)
		s = f(data(w), &g[0], n)
	}
	for j := n; j < len(w); j++ {
		s += math.Abs(float64(w[j])) * g[j]
	}
	return s
}

// DotSquares returns sum_j w_j^2 g_j, else as DotAbs.
func DotSquares[T Float](w []T, g []float64) float64 {
	g = g[:len(w)]
	n, s := 0, 0.0
	if f := vector[T]().dotSquares; f != nil && len(w) >= lanes {
		n = len(w) &^ (lanes - 1)
		s = f(data(w), &g[0], n)
	}
	for j := n; j < len(w); j++ {
		s += float64(w[j]) * float64(w[j]) * g[j]
	}
	return s
}

// DotMax returns max_j |w_j| g_j, zero for no weights, else as DotAbs.
func DotMax[T Float](w []T, g []float64) float64 {
	g = g[:len(w)]
	n, m := 0, 0.0
	if f := vector[T]().dotMax; f != nil && len(w) >= lanes {
		n = len(w) &^ (lanes - 1)
		m = f(data(w), &g[0], n)
	}
	for j := n; j < len(w); j++ {
		m = larger(m, math.Abs(float64(w[j]))*g[j])
	}
	return m
}

// larger is the larger of two non-negative numbers; NaN if either is.
func larger(m, x float64) float64 {
	if x <= m || m != m {
		return m
	}
	return x
}

// ColumnsAbs adds, for each column j of dst, sum_i |w_ij| g_i over the
// len(g) rows of the matrix w, whose rows are stride apart. Rows are added in
// order, four at a time.
func ColumnsAbs[T Float](dst []float64, w []T, stride int, g []float64) {
	columns(dst, w, stride, g, vector[T]().columnsAbs, func(d []float64, w []T, g float64) {
		for j, x := range w {
			d[j] += math.Abs(float64(x)) * g
		}
	})
}

// ColumnsSquares is ColumnsAbs with w_ij^2.
func ColumnsSquares[T Float](dst []float64, w []T, stride int, g []float64) {
	columns(dst, w, stride, g, vector[T]().columnsSquares, func(d []float64, w []T, g float64) {
		for j, x := range w {
			d[j] += float64(x) * float64(x) * g
		}
	})
}

// ColumnsMax makes each column's dst_j the largest of dst_j and |w_ij| g_i.
func ColumnsMax[T Float](dst []float64, w []T, stride int, g []float64) {
	columns(dst, w, stride, g, vector[T]().columnsMax, func(d []float64, w []T, g float64) {
		for j, x := range w {
			d[j] = larger(d[j], math.Abs(float64(x))*g)
		}
	})
}

// columns runs f on four rows at a time and row on what it leaves.
func columns[T Float](dst []float64, w []T, stride int, g []float64,
	f func(*float64, unsafe.Pointer, int, int, *float64), row func(d []float64, w []T, g float64),
) {
	n, i := len(dst), 0
	if n == 0 || len(g) == 0 {
		return
	}
	_ = w[(len(g)-1)*stride+n-1]
	vec := n &^ (lanes - 1)
	if f != nil && vec > 0 {
		var x T
		for ; i+4 <= len(g); i += 4 {
			f(&dst[0], data(w[i*stride:]), stride*int(unsafe.Sizeof(x)), vec, &g[i])
			for r := i; r < i+4 && vec < n; r++ {
				row(dst[vec:], w[r*stride+vec:r*stride+n], g[r])
			}
		}
	}
	for ; i < len(g); i++ {
		row(dst, w[i*stride:i*stride+n], g[i])
	}
}
