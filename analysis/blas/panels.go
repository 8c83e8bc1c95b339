package blas

import (
	"sync"

	"github.com/relupath/relupath/analysis/kernel"
)

// Products by package kernel, where it has them in assembly: training's batches are a
// hundred rows high, and much of a library's time goes into its layout of both operands. Here A is read
// where it lies and B is packed in parts that stay in the cache.
const (
	// panelTerms and packedSize bound the packed part of B: its terms, and its numbers (half of a
	// second-level cache, or all of it in float64).
	panelTerms, packedSize = 384, 1 << 17
	// panelRows is how many rows of A meet a panel in turn, few enough for the pages of as many rows of C.
	panelRows = 64
	// fewRows are so few that packing would take longer than it saves.
	fewRows = 8
)

var packs32, packs64 sync.Pool

// packs is where memory for the packed part of B is kept.
func packs[T float32 | float64]() *sync.Pool {
	if _, single := any(T(0)).(float32); single {
		return &packs32
	}
	return &packs64
}

// panels is a gemm.
func panels[T float32 | float64](transA, transB bool, m, n, k int, alpha T, a []T, lda int, b []T, ldb int, beta T, c []T, ldc int) {
	mode := kernel.Accumulate
	switch beta {
	case 0:
		mode = kernel.Overwrite
	case 1:
	default:
		scale(m, n, beta, c, ldc)
	}
	o := kernel.Operands[T]{Step: 1}
	row := lda
	if transA {
		o.Step, row = lda, 1
	}
	var rows [panelRows]int
	for i := range rows[:min(m, panelRows)] {
		rows[i] = i * row
	}
	if !transB && m <= fewRows {
		o.A, o.Rows, o.B, o.Stride, o.K = a, rows[:m], b, ldb, k
		kernel.Multiply(c, ldc, n, &o, alpha, mode)
		return
	}
	panelCols := kernel.PanelCols[T]()
	pack, ok := packs[T]().Get().(*[packedSize]T)
	if !ok {
		pack = new([packedSize]T)
	}
	defer packs[T]().Put(pack)
	terms := share(k, panelTerms, 1)
	cols := packedSize / terms / panelCols * panelCols
	height := share(m, panelRows, 8)
	for j := 0; j < n; j += cols {
		wide := min(cols, n-j)
		for l := 0; l < k; l += terms {
			o.K = min(terms, k-l)
			for q := 0; q < wide; q += panelCols {
				to, w := pack[q*o.K:], min(panelCols, wide-q)
				if transB {
					kernel.Transpose(to, panelCols, b[(j+q)*ldb+l:], ldb, w, o.K)
					continue
				}
				for t := range o.K {
					copy(to[t*panelCols:][:w], b[(l+t)*ldb+j+q:])
				}
			}
			for i := 0; i < m; i += height {
				o.A, o.Rows, o.Stride = a[i*row+l*o.Step:], rows[:min(height, m-i)], panelCols
				for q := 0; q < wide; q += panelCols {
					o.B = pack[q*o.K:][:panelCols*o.K]
					kernel.Multiply(c[i*ldc+j+q:], ldc, min(panelCols, wide-q), &o, alpha, mode)
				}
			}
			mode = kernel.Accumulate
		}
		if beta == 0 {
			mode = kernel.Overwrite
		}
	}
}

// share splits n into equal parts of at most so many, a multiple of some.
func share(n, most, of int) int {
	parts := (n + most - 1) / most
	return up((n+parts-1)/parts, of)
}
