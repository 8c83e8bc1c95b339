package kernel

import "math"

// tileOps is Tiles for one size of tiles: of a panel with panels of so many rows, so many columns wide.
type tileOps struct {
	rows, cols int
	fast, max  func(p tiles) // Tiles and TilesMax; nil for Go
	narrow     []narrow      // by rising width
}

// narrow is one tile of sums with so many columns, in rows as long as those of whole ones.
type narrow struct {
	cols int
	fast func(p tiles)
}

// tile are the tiles in use: the first of tilesFast, those in assembly that this machine has, else
// tilesGo.
var (
	tile      = tilesGo
	tilesFast []tileOps
	tilesGo   = tileOps{rows: 4, cols: 12}
)

// The largest tiles of any machine.
const (
	MaxTileRows = 8
	MaxTileCols = 24
)

// TileSize returns the rows and columns of the products that Tiles computes on this machine: 8 and 24
// with AVX-512, 4 and 12 without. An element's sum is the same on both.
func TileSize() (rows, cols int) { return tile.rows, tile.cols }

// Tiled reports whether Tiles is in assembly: otherwise a library's products are faster.
func Tiled() bool { return tile.fast != nil }

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

// Tiles writes the products of n packed panels with another, or adds them: with the rows and cols of
// TileSize,
//
//	c[(q*rows+i)*stride+j] = sum over l < k of a[q*step+l*rows+i] * b[l*cols+j].
//
// Terms are added in the order of l, and the sum to c at the end; then it is finished, where
// fin is not nil.
func Tiles(c []float64, stride int, a []float64, step, n int, b []float64, k int, mode Store, fin *Finish) {
	rows, cols := tile.rows, tile.cols
	if fin != nil && n > 0 {
		_, _ = fin.Scale[n*rows-1], fin.Bias[n*rows-1]
	}
	if tile.fast != nil {
		t := tiles{stride: 8 * stride, step: 8 * step, n: n, k: k, add: int(mode)}
		if fin != nil && n > 0 {
			t.scale, t.bias, t.lo, t.hi = &fin.Scale[0], &fin.Bias[0], fin.Lo, fin.Hi
		}
		t.run(tile.fast, c, stride, a, step, b)
		return
	}
	tilesSlow(c, stride, a, step, n, b, k, func(sum, p float64) float64 { return sum + p }, func(i int, row, sums []float64) {
		for j, s := range sums {
			if mode == Accumulate {
				s += row[j]
			}
			row[j] = s
		}
		if fin != nil {
			Affine(row[:cols], row[:cols], fin.Scale[i], fin.Bias[i], fin.Lo, fin.Hi)
		}
	})
}

// TilesMax is Tiles with the largest product, and at least zero, in place of the sum, and with the larger
// number for what is accumulated. No number is negative, NaN or infinite.
func TilesMax(c []float64, stride int, a []float64, step, n int, b []float64, k int, mode Store) {
	if tile.max != nil {
		t := tiles{stride: 8 * stride, step: 8 * step, n: n, k: k, add: int(mode)}
		t.run(tile.max, c, stride, a, step, b)
		return
	}
	tilesSlow(c, stride, a, step, n, b, k, func(sum, p float64) float64 { return max(sum, p) }, func(_ int, row, sums []float64) {
		for j, s := range sums {
			if mode == Accumulate {
				s = max(s, row[j])
			}
			row[j] = s
		}
	})
}

// Part says which of the products of panels TilesOf writes: those of Rows rows, the first Cols of each;
// the sums of Tiles, or those of TilesMax.
type Part struct {
	Rows, Cols int
	Largest    bool
	Mode       Store
}

// TilesOf is Tiles or TilesMax of as many panels as the part has rows, of which only the part is written: nothing is
// behind it in c. Room has a tile.
func TilesOf(p Part, c []float64, stride int, a []float64, step int, b []float64, k int, room []float64) {
	rows, cols := tile.rows, tile.cols
	whole := 0
	if p.Cols == cols {
		whole = p.Rows / rows
		p.tiles(c, stride, a, step, whole, b, k, p.Mode)
	}
	t, narrow := tiles{n: 1, k: k}, p.narrowest()
	for i := whole * rows; i < p.Rows; i += rows {
		if narrow != nil {
			t.run(narrow, room, cols, a[i/rows*step:], step, b)
		} else {
			p.tiles(room, cols, a[i/rows*step:], step, 1, b, k, Overwrite)
		}
		for r := i; r < min(i+rows, p.Rows); r++ {
			to, from := c[r*stride:][:p.Cols], room[(r-i)*cols:]
			switch {
			case p.Mode == Overwrite:
				copy(to, from)
			case p.Largest:
				for j, x := range to {
					to[j] = max(x, from[j])
				}
			default:
				for j := range to {
					to[j] += from[j]
				}
			}
		}
	}
}

// narrowest returns what computes the fewest columns that are enough, nil where that is a whole tile.
func (p *Part) narrowest() func(p tiles) {
	for _, n := range tile.narrow {
		if p.Cols <= n.cols && !p.Largest {
			return n.fast
		}
	}
	return nil
}

// tiles is Tiles or TilesMax.
func (p *Part) tiles(c []float64, stride int, a []float64, step, n int, b []float64, k int, mode Store) {
	if p.Largest {
		TilesMax(c, stride, a, step, n, b, k, mode)
	} else {
		Tiles(c, stride, a, step, n, b, k, mode, nil)
	}
}

// run calls f with operands that are long enough.
func (t tiles) run(f func(p tiles), c []float64, stride int, a []float64, step int, b []float64) {
	if t.n == 0 {
		return
	}
	_ = c[(t.n*tile.rows-1)*stride+tile.cols-1]
	t.c = &c[0]
	if t.k > 0 {
		_ = a[(t.n-1)*step:][:t.k*tile.rows]
		_ = b[:t.k*tile.cols]
		t.a, t.b = &a[0], &b[0]
	}
	f(t)
}

// tilesSlow calls store with each row of the result, what the terms made of zeros.
func tilesSlow(c []float64, stride int, a []float64, step, n int, b []float64, k int, add func(sum, p float64) float64, store func(i int, row, sums []float64)) {
	rows, cols := tile.rows, tile.cols
	for q := range n {
		var sums [MaxTileRows][MaxTileCols]float64
		for l := range k {
			for i, x := range a[q*step+l*rows:][:rows] {
				for j, y := range b[l*cols:][:cols] {
					sums[i][j] = add(sums[i][j], x*y)
				}
			}
		}
		for i := range rows {
			store(q*rows+i, c[(q*rows+i)*stride:][:cols], sums[i][:cols])
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

// Power is what becomes of numbers on their way into panels.
type Power int

// The numbers as they are, their magnitudes, or their squares.
const (
	Same Power = iota
	Magnitude
	Square
)

// of returns x, |x| or x^2.
func (p Power) of(x float64) float64 {
	switch p {
	case Magnitude:
		return math.Abs(x)
	case Square:
		return x * x
	default:
		return x
	}
}

// PanelRows writes rows of k numbers, stride apart, to panels of height rows each, raised: term l of
// row i goes to dst[(i/height*step + l)*height + i%height].
func PanelRows[T Float](dst []float64, height, step int, src []T, stride, rows, k int, power Power) {
	if k == 0 {
		return
	}
	if double, ok := any(src).([]float64); ok && power == Same {
		for i := 0; i < rows; i += height {
			Transpose(dst[i*step:], height, double[i*stride:], stride, min(height, rows-i), k)
		}
		return
	}
	for i := 0; i < rows; {
		to := dst[i/height*step*height+i%height:]
		if single, ok := any(src).([]float32); ok && rows32 != nil && i+4 <= rows && i%height+4 <= height {
			whole := k &^ 3
			if whole > 0 {
				_, _ = single[i*stride:][3*stride+whole-1], to[(whole-1)*height+3]
				rows32(&to[0], 8*height, &single[i*stride], 4*stride, whole, power)
			}
			for r := range 4 {
				for l := whole; l < k; l++ {
					to[l*height+r] = power.of(float64(single[(i+r)*stride+l]))
				}
			}
			i += 4
			continue
		}
		for l, v := range src[i*stride:][:k] {
			to[l*height] = power.of(float64(v))
		}
		i++
	}
}

// rows32 is PanelRows of four rows in assembly, n of each, a multiple of four; step and stride are in
// bytes. It is nil when there is none.
var rows32 func(dst *float64, step int, src *float32, stride, n int, power Power)

// Gather writes src[at[i]] to each dst[i], and zero where that is outside of src.
func Gather(dst, src []float64, at []int32) {
	for i, j := range at[:len(dst)] {
		x := 0.0
		if uint(j) < uint(len(src)) {
			x = src[j]
		}
		dst[i] = x
	}
}

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
