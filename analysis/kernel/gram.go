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
// one after the other, cols elements each. Products and sums are float64. y is
// scratch of GramScratch(cols) elements. NaN or infinite weights make all that
// they reach NaN or infinite. Cost: 16 operations a weight.
func Gram[T Float](z, v []float64, w []T, cols int, y []float64) {
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

// gramStep is the number of rows in a tile.
func gramStep(cols int) int {
	return max(gramRows, min(gramTile/max(cols, 1), gramMost)/gramRows*gramRows)
}

// gramDots adds the products of rows and vectors to y, rows x GramVectors. The
// rows next below are fetched meanwhile: half of each, the other half by gramAdd.
func gramDots[T Float](y []float64, w []T, v []float64, rows, cols, next int) {
	vec := 0
	if ops := vector[T](); ops != nil {
		vec = cols &^ (lanes - 1)
		gramDotsVector(ops, y, w, v, rows, cols, vec, next)
	}
	for i := 0; i < rows && vec < cols; i++ {
		row := w[i*cols+vec : (i+1)*cols]
		for k := range GramVectors {
			x := v[k*cols+vec:][:len(row)]
			var s float64
			for j, a := range row {
				s += float64(a) * x[j]
			}
			y[i*GramVectors+k] += s
		}
	}
}

// gramDotsVector is gramDots over the first vec columns, in assembly.
func gramDotsVector[T Float](ops *vectorOps, y []float64, w []T, v []float64, rows, cols, vec, next int) {
	stride := cols * int(unsafe.Sizeof(w[0]))
	spare := y[rows*GramVectors:][:gramRows*GramVectors]
	for lo := 0; lo < vec; lo += gramColumns {
		n, x := min(gramColumns, vec-lo), &v[lo]
		ahead := 0
		if 2*lo < vec {
			ahead = next * stride
		}
		i := 0
		for ; i+gramRows <= rows; i += gramRows {
			ops.gramDots(&y[i*GramVectors], data(w[i*cols+lo:]), stride, n, x, cols*8, ahead)
		}
		for ; i < rows; i++ {
			// A row that is left over takes the place of three.
			clear(spare)
			ops.gramDots(&spare[0], data(w[i*cols+lo:]), 0, n, x, cols*8, 0)
			for k := range GramVectors {
				y[i*GramVectors+k] += spare[k]
			}
		}
	}
}

// gramAdd adds to z_k the sum of the rows times column k of y.
func gramAdd[T Float](z []float64, w []T, y []float64, rows, cols, next int) {
	vec := 0
	if ops := vector[T](); ops != nil && cols >= lanes {
		vec = cols &^ (lanes - 1)
		stride := cols * int(unsafe.Sizeof(w[0]))
		// What the dot products have fetched ends after a run of gramColumns.
		half := min(vec, (vec/2+gramColumns-1)/gramColumns*gramColumns)
		ops.gramAdd(&z[0], cols*8, data(w), stride, half, &y[0], rows, 0)
		if half < vec {
			ops.gramAdd(&z[half], cols*8, data(w[half:]), stride, vec-half, &y[0], rows, next*stride)
		}
	}
	for i := 0; i < rows && vec < cols; i++ {
		row := w[i*cols+vec : (i+1)*cols]
		for k := range GramVectors {
			x, c := z[k*cols+vec:][:len(row)], y[i*GramVectors+k]
			for j, a := range row {
				x[j] += float64(a) * c
			}
		}
	}
}
