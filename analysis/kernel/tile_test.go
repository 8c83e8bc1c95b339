package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTile(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(7, 8))
		for _, k := range []int{0, 1, 2, 3, 64, 257} {
			for _, add := range []Store{Overwrite, Accumulate} {
				a, b := weights[float64](rng, k*TileRows), weights[float64](rng, k*TileCols)
				const stride = TileCols + 3
				c := weights[float64](rng, TileRows*stride)
				before := append([]float64(nil), c...)
				Tile(c, stride, a, b, k, add)
				for i := range TileRows {
					for j := range stride {
						want, size := before[i*stride+j], 0.0
						if j < TileCols {
							if add == Overwrite {
								want = 0
							}
							size = math.Abs(want)
							for l := range k {
								p := a[l*TileRows+i] * b[l*TileCols+j]
								want += p
								size += math.Abs(p)
							}
						}
						// Each of k products and sums rounds once, here and there.
						if got := c[i*stride+j]; !(math.Abs(got-want) <= size*float64(k+1)*0x1p-51) {
							t.Fatalf("k %d, add %v, element (%d, %d): %v, want %v", k, add, i, j, got, want)
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
			for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 13, 31} {
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
				if Moves(got, src, moves, step); !slices.Equal(got, want) {
					t.Fatalf("pieces of %d, step %d: %v, want %v", n, step, got, want)
				}
			}
			Moves(nil, nil, nil, step)
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a piece outside was copied, step %d", step)
					}
				}()
				Moves(make([]float64, 10), make([]float64, 10), []Move{{0, 10 - 2*step, 3}}, step)
			}()
		}
	})
}

func BenchmarkTile(b *testing.B) {
	for _, k := range []int{64, 256, 512} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			x, y, z := make([]float64, k*TileRows), make([]float64, k*TileCols), make([]float64, TileRows*TileCols)
			for b.Loop() {
				Tile(z, TileCols, x, y, k, Accumulate)
			}
			b.ReportMetric(2*TileRows*TileCols*float64(k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
