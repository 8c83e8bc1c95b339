package kernel

// TileRows and TileCols are the sizes of the product that Tile computes.
const (
	TileRows = 4
	TileCols = 12
)

// Tiled reports whether Tiles is in assembly: otherwise a library's products are faster.
func Tiled() bool { return tilesFast != nil }

// Finish is what becomes of sums: those of row i are bounded, max(Lo, min(Hi, Scale[i]*v + Bias[i])),
// and a NaN stays.
type Finish struct {
	Scale, Bias []float64
	Lo, Hi      float64
}

// tiles are the arguments of Tiles in assembly, stride and step in bytes; scale and bias are nil where
// there is no Finish.
type tiles struct {
	a, b, c         *float64
	k, stride, step int
	n, add          int
	scale, bias     *float64
	lo, hi          float64
}

// Tiles writes the products of n packed panels with another, or adds them:
//
//	c[(q*TileRows+i)*stride+j] = sum over l < k of a[q*step+l*TileRows+i] * b[l*TileCols+j].
//
// Terms are added in the order of l, and the sum to c at the end; then it is finished, where
// fin is not nil.
func Tiles(c []float64, stride int, a []float64, step, n int, b []float64, k int, mode Store, fin *Finish) {
	if n == 0 {
		return
	}
	_ = c[(n*TileRows-1)*stride+TileCols-1]
	if fin != nil {
		_, _ = fin.Scale[n*TileRows-1], fin.Bias[n*TileRows-1]
	}
	if tilesFast != nil {
		t := tiles{c: &c[0], k: k, stride: 8 * stride, step: 8 * step, n: n, add: int(mode)}
		if k > 0 {
			_ = a[(n-1)*step:][:k*TileRows]
			_ = b[:k*TileCols]
			t.a, t.b = &a[0], &b[0]
		}
		if fin != nil {
			t.scale, t.bias, t.lo, t.hi = &fin.Scale[0], &fin.Bias[0], fin.Lo, fin.Hi
		}
		tilesFast(&t)
		return
	}
	for q := range n {
		var sums [TileRows][TileCols]float64
		for l := range k {
			for i, x := range a[q*step+l*TileRows:][:TileRows] {
				for j, y := range b[l*TileCols:][:TileCols] {
					sums[i][j] += x * y
				}
			}
		}
		for i := range sums {
			row := c[(q*TileRows+i)*stride:][:TileCols]
			for j, s := range sums[i] {
				if mode == Accumulate {
					s += row[j]
				}
				row[j] = s
			}
			if fin != nil {
				Affine(row, row, fin.Scale[q*TileRows+i], fin.Bias[q*TileRows+i], fin.Lo, fin.Hi)
			}
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

// tilesFast is Tiles in assembly; nil when there is none.
var tilesFast func(p *tiles)

// Move is N elements that go from one place to another.
type Move struct{ To, From, N int }

// Moves copies pieces of src to dst, of which each step-th element goes: many short ones, for
// each of which a call would take longer than the copy. What lies ahead elements behind a piece is
// fetched, since it is read next, where the step is 1.
func Moves(dst, src []float64, moves []Move, step, ahead int) {
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
		moves64(&dst[0], &src[0], &moves[0], len(moves), 8*ahead)
	} else {
		every64(&dst[0], &src[0], &moves[0], len(moves))
	}
}

// These are Moves in assembly, for steps of 1 (ahead in bytes) and 2; nil when there is none.
var (
	moves64 func(dst, src *float64, m *Move, n, ahead int)
	every64 func(dst, src *float64, m *Move, n int)
)
