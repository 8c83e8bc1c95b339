package blas

// A product in Go for machines without vector instructions, such as WebAssembly: operands are
// packed, so that the innermost loop reads what lies together and keeps a block of sums in
// registers. Gonum's goes along rows of C, which it reads and writes for each term.
const (
	// blockRows and blockCols are the block of sums: there are sixteen registers.
	blockRows, blockCols = 4, 2
	// blockTerms is how many terms a turn of the innermost loop adds.
	blockTerms = 4
	// mostTerms and mostCols are the part of B that is packed at once.
	mostTerms, mostCols = 256, 512
)

// packed is a gemm.
func packed[T float32 | float64](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	if beta != 1 {
		scale(m, n, beta, c, ldc)
	}
	width, terms := min(n, mostCols), up(min(k, mostTerms), blockTerms)
	right, left := make([]T, up(width, blockCols)*terms), make([]T, blockRows*terms)
	for j := 0; j < n; j += mostCols {
		cols := min(mostCols, n-j)
		for l := 0; l < k; l += mostTerms {
			part := min(mostTerms, k-l)
			size := up(part, blockTerms)
			clear(right)
			for q := 0; q < cols; q += line {
				n := min(line, cols-q)
				if transB {
					packRows(right[q*size:], b[(j+q)*ldb+l:], ldb, n, part, blockCols, size)
				} else {
					packCols(right[q*size:], b[l*ldb+j+q:], ldb, n, part, blockCols, size)
				}
			}
			for i := 0; i < m; i += blockRows {
				rows := min(blockRows, m-i)
				clear(left)
				if transA {
					packCols(left, a[l*lda+i:], lda, rows, part, blockRows, size)
				} else {
					packRows(left, a[i*lda+l:], lda, rows, part, blockRows, size)
				}
				for q := 0; q < cols; q += blockCols {
					var sums [blockRows * blockCols]T
					block(&sums, left[:blockRows*size], right[q*size:(q+blockCols)*size])
					for r := range rows {
						to := c[(i+r)*ldc+j+q:]
						for s := range min(blockCols, cols-q) {
							to[s] += alpha * sums[r*blockCols+s]
						}
					}
				}
			}
		}
	}
}

// up is n, rounded up to a multiple.
func up(n, of int) int { return (n + of - 1) / of * of }

// line is how many columns are packed at once: what memory gives at a time.
const line = 8

// packRows writes n rows of x, of terms numbers, in panels of some rows, each term by term; size is
// the length of a row in its panel.
func packRows[T float32 | float64](to, x []T, ld, n, terms, panel, size int) {
	for v := range n {
		at := v/panel*panel*size + v%panel
		for _, y := range x[v*ld:][:terms] {
			to[at] = y
			at += panel
		}
	}
}

// packCols is packRows for columns.
func packCols[T float32 | float64](to, x []T, ld, n, terms, panel, size int) {
	for l := range terms {
		for v, y := range x[l*ld:][:n] {
			to[v/panel*panel*size+l*panel+v%panel] = y
		}
	}
}

// block writes the products of packed rows and columns.
func block[T float32 | float64](sums *[blockRows * blockCols]T, a, b []T) {
	var s00, s01, s10, s11, s20, s21, s30, s31 T
	for len(a) >= blockRows*blockTerms && len(b) >= blockCols*blockTerms {
		x, y := (*[blockRows * blockTerms]T)(a), (*[blockCols * blockTerms]T)(b)
		u, v := y[0], y[1]
		s00, s01, s10, s11 = s00+x[0]*u, s01+x[0]*v, s10+x[1]*u, s11+x[1]*v
		s20, s21, s30, s31 = s20+x[2]*u, s21+x[2]*v, s30+x[3]*u, s31+x[3]*v
		u, v = y[2], y[3]
		s00, s01, s10, s11 = s00+x[4]*u, s01+x[4]*v, s10+x[5]*u, s11+x[5]*v
		s20, s21, s30, s31 = s20+x[6]*u, s21+x[6]*v, s30+x[7]*u, s31+x[7]*v
		u, v = y[4], y[5]
		s00, s01, s10, s11 = s00+x[8]*u, s01+x[8]*v, s10+x[9]*u, s11+x[9]*v
		s20, s21, s30, s31 = s20+x[10]*u, s21+x[10]*v, s30+x[11]*u, s31+x[11]*v
		u, v = y[6], y[7]
		s00, s01, s10, s11 = s00+x[12]*u, s01+x[12]*v, s10+x[13]*u, s11+x[13]*v
		s20, s21, s30, s31 = s20+x[14]*u, s21+x[14]*v, s30+x[15]*u, s31+x[15]*v
		a, b = a[len(x):], b[len(y):]
	}
	*sums = [...]T{s00, s01, s10, s11, s20, s21, s30, s31}
}
