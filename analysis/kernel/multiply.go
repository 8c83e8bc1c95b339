package kernel

import "unsafe"

// Operands are the factors of Multiply: two matrices whose rows may begin anywhere, so that the
// operand of a convolution is one without being copied.
type Operands[T Float] struct {
	// A has its rows at Rows, the terms of a row Step elements apart.
	A    []T
	Rows []int
	Step int
	// B has its rows at At, or Stride elements apart where there is no list.
	B      []T
	At     Places
	Stride int
	// K is the number of terms: columns of A, rows of B.
	K int
}

// Places are where the rows of a matrix begin.
type Places struct {
	at   []int
	most int
}

// NewPlaces keeps a list of places, none of them negative.
func NewPlaces(at []int) Places {
	p := Places{at: at}
	for _, x := range at {
		if x < 0 {
			panic("kernel: a row begins before its matrix")
		}
		p.most = max(p.most, x)
	}
	return p
}

// Part is the places lo to hi of a list.
func (p Places) Part(lo, hi int) Places { return Places{p.at[lo:hi], p.most} }

// multiply are the arguments of a product in assembly: panels of rows, one to three vectors wide.
// rows and at count elements; step, stride and ldc are bytes. C, rows and panels change on the way.
type multiply struct {
	a, b, c           unsafe.Pointer
	rows, at          *int
	step, stride, ldc int
	k, panels         int
	vectors, add      int
	single            float32 // alpha
	double            float64
}

// The rows and bytes of a vector of the products in assembly, on any machine at most these.
const (
	mostPanel  = 8
	mostVector = 64
)

// multiplied are the rows of a panel of Multiply, and the bytes of a vector; zero without vectors.
var multiplied struct{ rows, vector int }

// perVector is how many numbers a vector has.
func perVector[T Float]() int { return multiplied.vector / int(unsafe.Sizeof(T(0))) }

// PanelCols is how wide panels of B are best for Multiply: as many vectors as keep both units for products
// busy, and no more, since rests are then shorter.
func PanelCols[T Float]() int {
	if multiplied.vector == mostVector {
		return 2 * perVector[T]()
	}
	return 3 * perVector[T]()
}

// Multiplies reports whether Multiply is in assembly: otherwise a library's products are faster.
func Multiplies() bool { return multiplied.rows > 0 }

// Multiplier names the instructions of Multiply: "AVX-512", "AVX2" or "Go".
func Multiplier() string {
	switch multiplied.vector {
	case 0:
		return "Go"
	case mostVector:
		return "AVX-512"
	default:
		return "AVX2"
	}
}

// Columns is n, rounded up to what Multiply computes at a time: if rows of B reach so far, be the
// rest of any value, no column is left to Go.
func Columns[T Float](n int) int {
	if lanes := perVector[T](); lanes > 0 {
		return (n + lanes - 1) / lanes * lanes
	}
	return n
}

// Multiply writes the product of two matrices of len(Rows) x K and K x n elements, or adds it:
//
//	c[i*ldc+j] = alpha * sum over l < K of A[Rows[i]+l*Step] * B[At[l]+j],
//
// at l*Stride for At[l] where At is empty. Terms are added in the order of l, the sum to c at the end,
// so that a part of the columns or of the rows gives the same bits where rows of B reach as far as
// Columns; what is left to Go rounds products too. It allocates nothing.
func Multiply[T Float](c []T, ldc, n int, o *Operands[T], alpha T, mode Store) {
	m := len(o.Rows)
	if m == 0 || n == 0 || o.K == 0 {
		return
	}
	first, last := o.Rows[0], o.Rows[0]
	for _, r := range o.Rows {
		first, last = min(first, r), max(last, r)
	}
	reach := (o.K - 1) * o.Stride
	if o.At.at != nil {
		_ = o.At.at[o.K-1]
		reach = o.At.most
	}
	_, _, _ = o.A[first], o.A[last+(o.K-1)*o.Step], c[(m-1)*ldc+n-1]
	_ = o.B[reach+n-1]
	if !Multiplies() {
		multiplySlow(c, ldc, 0, n, o, alpha, mode)
		return
	}
	size := int(unsafe.Sizeof(alpha))
	t := multiply{
		a: unsafe.Pointer(&o.A[0]), step: size * o.Step, stride: size * o.Stride, ldc: size * ldc, k: o.K, add: int(mode),
		single: float32(alpha), double: float64(alpha),
	}
	if o.At.at != nil {
		t.at = &o.At.at[0]
	}
	lanes, whole := perVector[T](), m-m%multiplied.rows
	for j := 0; j < n; {
		t.vectors = vectors((n - j + lanes - 1) / lanes)
		width := t.vectors * lanes
		if reach+j+width > len(o.B) {
			multiplySlow(c, ldc, j, n, o, alpha, mode)
			return
		}
		t.b = unsafe.Pointer(&o.B[j])
		done := 0
		if whole > 0 && j+width <= n {
			t.c, t.rows, t.panels = unsafe.Pointer(&c[j]), &o.Rows[0], whole/multiplied.rows
			run[T](&t)
			done = whole
		}
		if done < m {
			rest(&t, c[j:], ldc, min(width, n-j), o.Rows, done)
		}
		j += width
	}
}

// vectors is how many of those that are left are taken at a time: three, where not one is left then.
func vectors(left int) int {
	if left == 4 {
		return 2
	}
	return min(left, 3)
}

// rest computes the rows from done on of so many columns, by way of memory that has room for a panel.
func rest[T Float](t *multiply, c []T, ldc, n int, rows []int, done int) {
	var room [mostPanel * 3 * mostVector / 4]T
	var panel [mostPanel]int
	u := *t
	width := t.vectors * perVector[T]()
	u.ldc, u.add = t.vectors*multiplied.vector, 0
	for ; done < len(rows); done += multiplied.rows {
		some := min(multiplied.rows, len(rows)-done)
		for i := range panel {
			panel[i] = rows[done+min(i, some-1)]
		}
		u.c, u.rows, u.panels = unsafe.Pointer(&room[0]), &panel[0], 1
		run[T](&u)
		for i := range some {
			to, from := c[(done+i)*ldc:][:n], room[i*width:][:n]
			if t.add == int(Overwrite) {
				copy(to, from)
				continue
			}
			for j, v := range from {
				to[j] += v
			}
		}
	}
}

// multiplySlow is Multiply of the columns from j on in Go.
func multiplySlow[T Float](c []T, ldc, j, n int, o *Operands[T], alpha T, mode Store) {
	var sums [16]T
	for ; j < n; j += len(sums) {
		sums := sums[:min(len(sums), n-j)]
		for i, r := range o.Rows {
			clear(sums)
			for l := range o.K {
				at := l * o.Stride
				if o.At.at != nil {
					at = o.At.at[l]
				}
				a := o.A[r+l*o.Step]
				for q, b := range o.B[at+j:][:len(sums)] {
					sums[q] += a * b
				}
			}
			to := c[i*ldc+j:][:len(sums)]
			for q, s := range sums {
				s *= alpha
				if mode == Accumulate {
					s += to[q]
				}
				to[q] = s
			}
		}
	}
}

// run computes in assembly.
func run[T Float](t *multiply) {
	var number any = T(0)
	_, single := number.(float32)
	switch {
	case single && multiplied.vector == mostVector:
		multiplySingle512(t)
	case single:
		multiplySingle256(t)
	case multiplied.vector == mostVector:
		multiplyDouble512(t)
	default:
		multiplyDouble256(t)
	}
}

// Transpose writes rows of n numbers, stride apart, as n rows, ld apart: dst[j*ld+i] = src[i*stride+j].
func Transpose[T Float](dst []T, ld int, src []T, stride, rows, n int) {
	if rows == 0 || n == 0 {
		return
	}
	_, _ = dst[(n-1)*ld+rows-1], src[(rows-1)*stride+n-1]
	side := 0
	if Multiplies() {
		side = 32 / int(unsafe.Sizeof(dst[0]))
	}
	i := 0
	for ; side > 0 && n >= side && i+side <= rows; i += side {
		whole := n - n%side
		switch dst := any(dst).(type) {
		case []float32:
			transposeEight(&dst[i], 4*ld, &any(src).([]float32)[i*stride], 4*stride, whole)
		case []float64:
			transposeFour(&dst[i], 8*ld, &any(src).([]float64)[i*stride], 8*stride, whole)
		}
		for r := i; r < i+side; r++ {
			for j := whole; j < n; j++ {
				dst[j*ld+r] = src[r*stride+j]
			}
		}
	}
	for ; i < rows; i++ {
		for j, v := range src[i*stride:][:n] {
			dst[j*ld+i] = v
		}
	}
}
