package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTiles(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		rows, _ := TileSize()
		for _, k := range []int{0, 1, 2, 3, 64, 257} {
			for n := range 4 {
				for _, mode := range []Store{Overwrite, Accumulate} {
					for _, fin := range []*Finish{nil, {weights[float64](rng, n*rows), weights[float64](rng, n*rows), -0.5, 0.75}} {
						tilesCase(t, rng, k, n, mode, fin)
					}
				}
			}
		}
	})
}

// tilesCase compares Tiles with its formula, and looks that nothing else is written.
func tilesCase(t *testing.T, rng *rand.Rand, k, n int, mode Store, fin *Finish) {
	t.Helper()
	rows, cols := TileSize()
	stride, step := cols+3, k*rows+5
	a, b := weights[float64](rng, n*step), weights[float64](rng, k*cols)
	c := weights[float64](rng, (n*rows+1)*stride)
	before := slices.Clone(c)
	Tiles(c, stride, a, step, n, b, k, mode, fin)
	for at, got := range c {
		i, j := at/stride, at%stride
		want, size := before[at], 0.0
		if i < n*rows && j < cols {
			if mode == Overwrite {
				want = 0
			}
			size = math.Abs(want)
			for l := range k {
				p := a[i/rows*step+l*rows+i%rows] * b[l*cols+j]
				want += p
				size += math.Abs(p)
			}
			if fin != nil {
				size = size*math.Abs(fin.Scale[i]) + math.Abs(fin.Bias[i])
				want = max(fin.Lo, min(fin.Hi, fin.Scale[i]*want+fin.Bias[i]))
			}
		}
		// Each of k products and sums rounds once, here and there, and so do factor and bias.
		if !(math.Abs(got-want) <= size*float64(k+3)*0x1p-51) {
			t.Fatalf("k %d, n %d, mode %v, element (%d, %d): %v, want %v", k, n, mode, i, j, got, want)
		}
	}
}

func TestTilesMax(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(17, 18))
		rows, cols := TileSize()
		for _, k := range []int{0, 1, 2, 65} {
			for n := range 4 {
				for _, mode := range []Store{Overwrite, Accumulate} {
					stride, step := cols+3, k*rows+5
					a, b := positive(rng, n*step), positive(rng, k*cols)
					got := positive(rng, (n*rows+1)*stride)
					want := slices.Clone(got)
					for i := range n * rows {
						for j := range cols {
							best := 0.0
							if mode == Accumulate {
								best = want[i*stride+j]
							}
							for l := range k {
								best = max(best, a[i/rows*step+l*rows+i%rows]*b[l*cols+j])
							}
							want[i*stride+j] = best
						}
					}
					TilesMax(got, stride, a, step, n, b, k, mode)
					if !slices.Equal(got, want) { // a product is rounded once, here and there
						t.Fatalf("k %d, n %d, mode %v: %v, want %v", k, n, mode, got, want)
					}
				}
			}
		}
	})
}

// A NaN stays one behind bounds, and a bound of zero gives +0.
func TestTilesFinish(t *testing.T) {
	engines(t, func(t *testing.T) {
		rows, cols := TileSize()
		a, b, c := make([]float64, rows), make([]float64, cols), make([]float64, rows*cols)
		a[0], b[0], b[1] = 1, math.NaN(), -1
		Tiles(c, cols, a, 0, 1, b, 1, Overwrite, &Finish{Scale: slices.Repeat([]float64{1}, rows), Bias: make([]float64, rows), Lo: 0, Hi: 6})
		if !math.IsNaN(c[0]) || math.Float64bits(c[1]) != 0 {
			t.Errorf("NaN and -1 became %v and %v, want NaN and +0", c[0], c[1])
		}
	})
}

func TestPanelRows(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(12, 13))
		for _, height := range []int{4, 8} {
			for _, rows := range []int{1, 3, 4, 5, 8, 11, 16} {
				for _, k := range []int{0, 1, 3, 4, 5, 64, 67} {
					for power := Same; power <= Square; power++ {
						stride, step := k+3, k+2
						src := weights[float32](rng, rows*stride)
						panels := (rows + height - 1) / height
						got, want := make([]float64, panels*height*step), make([]float64, panels*height*step)
						wide := make([]float64, len(src))
						for i, v := range src {
							wide[i] = float64(v)
						}
						for i := range rows {
							for l := range k {
								x := wide[i*stride+l]
								want[(i/height*step+l)*height+i%height] = [...]float64{x, math.Abs(x), x * x}[power]
							}
						}
						PanelRows(got, height, step, src, stride, rows, k, power)
						if !slices.Equal(got, want) {
							t.Fatalf("float32, height %d, %d rows of %d, power %d: %v, want %v", height, rows, k, power, got, want)
						}
						clear(got)
						if PanelRows(got, height, step, wide, stride, rows, k, power); !slices.Equal(got, want) {
							t.Fatalf("float64, height %d, %d rows of %d, power %d: %v, want %v", height, rows, k, power, got, want)
						}
					}
				}
			}
		}
	})
}

func TestMoves(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(9, 10))
		for _, step := range []int{1, 2, 3} {
			for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 23, 24, 25, 31} {
				src := weights[float64](rng, 100)
				var moves []Move
				got, want := make([]float64, 200), make([]float64, 200)
				for to := 1; to+n < len(got) && len(moves) < 10; to += n + 2 {
					from := rng.IntN(len(src) - max(0, (n-1)*step))
					if len(moves) == 0 { // up to the last element
						from = len(src) - 1 - max(0, (n-1)*step)
					}
					moves = append(moves, Move{to, from, n})
					for i := range n {
						want[to+i] = src[from+i*step]
					}
				}
				if Moves(got, src, moves, step, 7); !slices.Equal(got, want) {
					t.Fatalf("pieces of %d, step %d: %v, want %v", n, step, got, want)
				}
			}
			Moves(nil, nil, nil, step, 0)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a piece outside was copied, step %d", step)
					}
				}()
				Moves(make([]float64, 10), make([]float64, 10), []Move{{0, 10 - 2*step, 3}}, step, 0)
			}()
		}
	})
}

func BenchmarkTiles(b *testing.B) {
	const panels = 8
	for _, of := range tilesFast {
		for _, k := range []int{64, 192, 512} {
			b.Run(fmt.Sprintf("tile=%dx%d/k=%d", of.rows, of.cols, k), func(b *testing.B) {
				before := tile
				tile = of
				defer func() { tile = before }()
				x, y, z := make([]float64, panels*k*of.rows), make([]float64, k*of.cols), make([]float64, panels*of.rows*of.cols)
				for b.Loop() {
					Tiles(z, of.cols, x, k*of.rows, panels, y, k, Accumulate, nil)
				}
				b.ReportMetric(2*float64(panels*of.rows*of.cols)*float64(k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

// Tiles of one size give the bits of another's: the terms of a sum have one order.
func TestTilesBits(t *testing.T) {
	if len(tilesFast) < 2 {
		t.Skip("this machine has one kind of tiles in assembly")
	}
	defer func(before tileOps) { tile = before }(tile)
	rng := rand.New(rand.NewPCG(11, 12))
	const k, edge = 193, MaxTileRows * MaxTileCols
	a, b := weights[float64](rng, k*edge), weights[float64](rng, k*edge) // rows and columns of k terms
	var want []float64
	for _, of := range tilesFast {
		tile = of
		pack := func(x []float64, width int) []float64 {
			out := make([]float64, len(x))
			for v := range edge {
				for l := range k {
					out[v/width*width*k+l*width+v%width] = x[v*k+l]
				}
			}
			return out
		}
		left, right := pack(a, of.rows), pack(b, of.cols)
		got := make([]float64, edge*edge)
		fin := &Finish{Scale: a[:edge], Bias: b[:edge], Lo: -3, Hi: 5}
		for j := 0; j < edge; j += of.cols {
			Tiles(got[j:], edge, left, of.rows*k, edge/of.rows, right[j*k:], k, Overwrite, fin)
		}
		if want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("tiles of %d x %d and of %d x %d differ", of.rows, of.cols, tilesFast[0].rows, tilesFast[0].cols)
		}
	}
}

// A part of the tiles has the bits of whole ones, and nothing else is written.
func TestTilesOf(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(27, 28))
		rows, cols := TileSize()
		room := make([]float64, rows*cols)
		for _, largest := range []bool{false, true} {
			for _, mode := range []Store{Overwrite, Accumulate} {
				for n := range 2*rows + 2 {
					for c := 1; c <= cols; c++ {
						const k = 19
						p := Part{Rows: n, Cols: c, Largest: largest, Mode: mode}
						a, b := positive(rng, (n+rows)*k), positive(rng, k*cols)
						got := positive(rng, (n+rows)*cols)
						want := slices.Clone(got)
						whole := slices.Clone(got)
						p.tiles(whole, cols, a, k*rows, (n+rows-1)/rows, b, k, mode)
						for i := range n {
							copy(want[i*cols:][:c], whole[i*cols:])
						}
						TilesOf(p, got[:max(0, (n-1)*cols+c)], cols, a, k*rows, b, k, room)
						if !slices.Equal(got, want) {
							t.Fatalf("%+v: %v, want %v", p, got, want)
						}
					}
				}
			}
		}
	})
}

func TestGather(t *testing.T) {
	dst := make([]float64, 4)
	Gather(dst, []float64{5, 6, 7}, []int32{2, -1, 0, 3})
	if want := []float64{7, 0, 5, 0}; !slices.Equal(dst, want) {
		t.Errorf("%v, want %v", dst, want)
	}
}
