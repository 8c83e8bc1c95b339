package kernel

// TileRows and TileCols are the sizes of the product that Tile computes.
const (
	TileRows = 4
	TileCols = 12
)

// Tiled reports whether Tile is in assembly: otherwise a library's products are faster.
func Tiled() bool { return tile64 != nil }

// Tile writes the product of two packed panels, or adds it:
//
//	c[i*stride+j] = sum over l < k of a[l*TileRows+i] * b[l*TileCols+j].
//
// Terms are added in the order of l, and the sum to c at the end.
func Tile(c []float64, stride int, a, b []float64, k int, mode Store) {
	if k == 0 {
		for i := range TileRows {
			if mode == Overwrite {
				clear(c[i*stride:][:TileCols])
			}
		}
		return
	}
	a, b = a[:k*TileRows], b[:k*TileCols]
	_ = c[(TileRows-1)*stride+TileCols-1]
	if tile64 != nil {
		tile64(k, &a[0], &b[0], &c[0], 8*stride, int(mode))
		return
	}
	var sums [TileRows][TileCols]float64
	for l := range k {
		for i, x := range a[l*TileRows:][:TileRows] {
			for j, y := range b[l*TileCols:][:TileCols] {
				sums[i][j] += x * y
			}
		}
	}
	for i := range sums {
		for j, s := range sums[i] {
			if mode == Accumulate {
				s += c[i*stride+j]
			}
			c[i*stride+j] = s
		}
	}
}

// Store says what becomes of the numbers where a result is written.
type Store int

// A result replaces what was there, or is added to it.
const (
	Overwrite Store = iota
	Accumulate
)

// tile64 is Tile in assembly, stride in bytes; nil when there is none.
var tile64 func(k int, a, b, c *float64, stride, add int)

// Move is N elements that go from one place to another.
type Move struct{ To, From, N int }

// Moves copies pieces of src to dst, of which each step-th element goes: many short ones, for
// each of which a call would take longer than the copy.
func Moves(dst, src []float64, moves []Move, step int) {
	if len(moves) == 0 {
		return
	}
	if moves64 == nil || step > 2 {
		for _, m := range moves {
			to, from := dst[m.To:][:m.N], src[m.From:]
			if step == 1 {
				copy(to, from[:m.N])
				continue
			}
			for i := range to {
				to[i] = from[i*step]
			}
		}
		return
	}
	for _, m := range moves {
		_, _ = dst[m.To:][:m.N], src[m.From:][:max(0, (m.N-1)*step+1)]
	}
	if step == 1 {
		moves64(&dst[0], &src[0], &moves[0], len(moves))
	} else {
		every64(&dst[0], &src[0], &moves[0], len(moves))
	}
}

// These are Moves in assembly, for steps of 1 and 2; nil when there is none.
var moves64, every64 func(dst, src *float64, m *Move, n int)
