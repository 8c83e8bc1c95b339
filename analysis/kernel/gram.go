package kernel

import "unsafe"

// GramVectors is the number of vectors that Gram multiplies at a time.
const GramVectors = 4

const (
	// gramRows is the number of rows that the loop of dot products takes at a
	// time, gramColumns the number of columns, so that the vectors' share stays
	// in the first-level cache.
	gramRows, gramColumns = 3, 512
	// gramTile is the number of weights that are multiplied by the vectors and
	// then, from the second-level cache, by the products. More rows than
	// gramMost are of no use.
	gramTile, gramMost = 48 << 10, 96
)

// Gram adds W^T W v_k to z_k for k < GramVectors; it reads W from memory once.
// w holds rows of cols weights, one after the other; v and z hold the vectors
// one after the other, cols elements each. y is scratch of GramScratch(cols)
// elements. NaN or infinite weights make all that they reach NaN or infinite.
// Cost: 16 operations a weight.
//
// With vectors of float64, products and sums are float64. With vectors of float32,
// products are float32, and so are their sums over the columns and over the rows of
// a tile; only float32 weights have a fast loop for that. It takes half the time and
// is off by at most (cols + 96 + 8) 2^-24 |W|^T |W| |v_k|, where no product leaves
// the range of float32. Rounding that cancels, as it mostly does, leaves some 1e-7 of
// the length of W^T W v_k.
func Gram[T, V Float](z []float64, v []V, w []T, cols int, y []V) {
	if cols == 0 {
		return
	}
	z, v = z[:GramVectors*cols], v[:GramVectors*cols]
	step := gramStep(cols) * cols
	for len(w) >= cols {
		n := min(step, len(w)/cols*cols)
		rows := n / cols
		clear(y[:rows*GramVectors])
		next := 0
		if len(w) > n {
			next = rows
		}
		gramDots(y, w[:n], v, rows, cols, next)
		gramAdd(z, w[:n], y, rows, cols, next)
		w = w[n:]
	}
}

// GramScratch is the length of Gram's scratch: the products of a tile's rows
// and vectors, and of one set of rows more.
func GramScratch(cols int) int { return (gramStep(cols) + gramRows) * GramVectors }

// gramOps are Gram's loops in assembly, for n a multiple of lanes; nil where there are none.
type gramOps struct {
	dots func(y, w unsafe.Pointer, wstride, n int, v unsafe.Pointer, vstride, ahead int)
	add  func(z *float64, zstride int, w unsafe.Pointer, wstride, n int, y unsafe.Pointer, rows, ahead int)
}

// gramLoops returns the loops for weights T and vectors V.
func gramLoops[T, V Float]() *gramOps {
	var v V
	if unsafe.Sizeof(v) == 4 {
		return &vector[T]().gramNarrow
	}
	return &vector[T]().gram
}

// GramRows is the number of rows that Gram takes at a time: of at most so many y
// holds the products with the vectors, rows x GramVectors, when Gram returns.
func GramRows(cols int) int { return gramStep(cols) }

// gramStep is the number of rows in a tile.
func gramStep(cols int) int {
	return max(gramRows, min(gramTile/max(cols, 1), gramMost)/gramRows*gramRows)
}

// gramDots adds the products of rows and vectors to y, rows x GramVectors. The
// rows next below are fetched meanwhile: half of each, the other half by gramAdd.
func gramDots[T, V Float](y []V, w []T, v []V, rows, cols, next int) {
	vec := 0
	if ops := gramLoops[T, V](); ops.dots != nil {
		vec = cols &^ (lanes - 1)
		gramDotsVector(ops, y, w, v, rows, cols, vec, next)
	}
	for i := 0; i < rows && vec < cols; i++ {
		row := w[i*cols+vec : (i+1)*cols]
		for k := range GramVectors {
			x := v[k*cols+vec:][:len(row)]
			var s V
			for j, a := range row {
				s += V(a) * x[j]
			}
			y[i*GramVectors+k] += s
		}
	}
}

// gramDotsVector is gramDots over the first vec columns, in assembly.
func gramDotsVector[T, V Float](ops *gramOps, y []V, w []T, v []V, rows, cols, vec, next int) {
	stride, vstride := cols*int(unsafe.Sizeof(w[0])), cols*int(unsafe.Sizeof(v[0]))
	spare := y[rows*GramVectors:][:gramRows*GramVectors]
	for lo := 0; lo < vec; lo += gramColumns {
		n, x := min(gramColumns, vec-lo), data(v[lo:])
		ahead := 0
		if 2*lo < vec {
			ahead = next * stride
		}
		i := 0
		for ; i+gramRows <= rows; i += gramRows {
			ops.dots(data(y[i*GramVectors:]), data(w[i*cols+lo:]), stride, n, x, vstride, ahead)
		}
		for ; i < rows; i++ {
			// A row that is left over takes the place of three.
			clear(spare)
			ops.dots(data(spare), data(w[i*cols+lo:]), 0, n, x, vstride, 0)
			for k := range GramVectors {
				y[i*GramVectors+k] += spare[k]
			}
		}
	}
}

// gramAdd adds to z_k the sum of the rows times column k of y.
func gramAdd[T, V Float](z []float64, w []T, y []V, rows, cols, next int) {
	vec := 0
	if ops := gramLoops[T, V](); ops.add != nil && cols >= lanes {
		vec = cols &^ (lanes - 1)
		stride := cols * int(unsafe.Sizeof(w[0]))
		// What the dot products have fetched ends after a run of gramColumns.
		half := min(vec, (vec/2+gramColumns-1)/gramColumns*gramColumns)
		ops.add(&z[0], cols*8, data(w), stride, half, data(y), rows, 0)
		if half < vec {
			ops.add(&z[half], cols*8, data(w[half:]), stride, vec-half, data(y), rows, next*stride)
		}
	}
	for i := 0; i < rows && vec < cols; i++ {
		row := w[i*cols+vec : (i+1)*cols]
		for k := range GramVectors {
			x, c := z[k*cols+vec:][:len(row)], y[i*GramVectors+k]
			for j, a := range row {
				x[j] += float64(V(a) * c)
			}
		}
	}
}
