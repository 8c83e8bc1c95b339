package kernel

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// engines runs f with the loops in assembly, where there are any, and in Go.
func engines(t *testing.T, f func(t *testing.T)) {
	run := func(name string) {
		t.Run(name, f)
	}
	for _, of := range tilesFast {
		tile = of
		run(fmt.Sprintf("%s/tiles=%dx%d", Vector(), of.rows, of.cols))
	}
	tile = tilesGo
	if tilesFast != nil {
		tile = tilesFast[0]
	}
	v32, v64, w, r, p, xt, rc, e32, e64, tl, mv, ev, ex, lo := vector32, vector64, widen32, rows32, pairs, extremes64, reciprocals64, elements32, elements64, tile, moves64, every64, exp64, logistic64
	vector32, vector64, widen32, rows32, pairs, extremes64, reciprocals64, elements32, elements64, tile, moves64, every64, exp64, logistic64 = vectorOps{}, vectorOps{}, nil, nil, nil, nil, nil, elementOps[float32]{}, elementOps[float64]{}, tilesGo, nil, nil, nil, nil
	defer func() {
		vector32, vector64, widen32, rows32, pairs, extremes64, reciprocals64, elements32, elements64, tile, moves64, every64, exp64, logistic64 = v32, v64, w, r, p, xt, rc, e32, e64, tl, mv, ev, ex, lo
	}()
	run("Go")
}

// lengths has every remainder of the vector loops' step, and none at all.
var lengths = []int{0, 1, 7, 15, 16, 17, 31, 32, 33, 100, 257}

func weights[T Float](rng *rand.Rand, n int) []T {
	w := make([]T, n)
	for i := range w {
		switch rng.IntN(8) {
		case 0:
		case 1:
			w[i] = T(rng.NormFloat64() * 1e-30)
		default:
			w[i] = T(rng.NormFloat64())
		}
	}
	return w
}

func positive(rng *rand.Rand, n int) []float64 {
	g := make([]float64, n)
	for i := range g {
		g[i] = math.Abs(rng.NormFloat64())
	}
	return g
}

// exact sums w_j^k g_j in 300 bits.
func exact[T Float](w []T, g []float64, k int) float64 {
	s := new(big.Float).SetPrec(300)
	for j, x := range w {
		t := big.NewFloat(math.Abs(float64(x))).SetPrec(300)
		p := big.NewFloat(1).SetPrec(300)
		for range k {
			p.Mul(p, t)
		}
		if g != nil {
			p.Mul(p, big.NewFloat(g[j]))
		}
		s.Add(s, p)
	}
	f, _ := s.Float64()
	return f
}

// close: n non-negative terms of at most three roundings each, added in any
// order, differ from the exact sum by at most (n+3) 2^-53 of it.
func closeTo(t *testing.T, what string, got, want float64, n int) {
	t.Helper()
	if !(math.Abs(got-want) <= float64(n+3)*0x1p-53*want) {
		t.Errorf("%s of %d: got %v, want %v", what, n, got, want)
	}
}

func TestSums(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testSums[float32])
		t.Run("float64", testSums[float64])
	})
}

func testSums[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range lengths {
		w, g := weights[T](rng, n), positive(rng, n)
		var r Row
		Add(&r, w)
		closeTo(t, "Abs", r.Abs, exact(w, nil, 1), n)
		closeTo(t, "Squares", r.Squares, exact(w, nil, 2), n)
		closeTo(t, "Cubes", r.Cubes, exact(w, nil, 3), n)
		zeros, top, topg := 0, 0.0, 0.0
		for j, x := range w {
			if x == 0 {
				zeros++
			}
			top = max(top, math.Abs(float64(x)))
			topg = max(topg, math.Abs(float64(x))*g[j])
		}
		if r.Zeros != zeros || r.Max != top {
			t.Errorf("%d weights: zeros %d max %v, want %d and %v", n, r.Zeros, r.Max, zeros, top)
		}
		closeTo(t, "DotAbs", DotAbs(w, g), exact(w, g, 1), n)
		closeTo(t, "DotSquares", DotSquares(w, g), exact(w, g, 2), n)
		if got := DotMax(w, g); got != topg {
			t.Errorf("DotMax of %d: got %v, want %v", n, got, topg)
		}
		var all RowPaths
		AddPaths(&all, w, 7, g, g, g)
		closeTo(t, "AddPaths Abs", all.Abs, r.Abs, n)
		closeTo(t, "AddPaths Squares", all.Squares, r.Squares, n)
		closeTo(t, "AddPaths DotAbs", all.DotAbs, exact(w, g, 1), n)
		closeTo(t, "AddPaths DotSquares", all.DotSquares, exact(w, g, 2), n)
		if all.Max != top || all.Zeros != zeros || all.DotMax != topg {
			t.Errorf("AddPaths of %d: %+v, want %v, %d zeros, %v", n, all, top, zeros, topg)
		}
		// A second run of weights adds to the first.
		before := r
		Add(&r, w)
		closeTo(t, "twice Abs", r.Abs, 2*before.Abs, n)
		if r.Zeros != 2*zeros || r.Max != top {
			t.Errorf("twice: zeros %d max %v", r.Zeros, r.Max)
		}
	}
}

// Each column of the matrix, alone, is a row: the column loops give what the
// row loops give, for every number of rows and columns, and leave the columns
// beyond dst alone.
func TestColumns(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testColumns[float32])
		t.Run("float64", testColumns[float64])
	})
}

func testColumns[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for rows := range 10 {
		for _, n := range lengths {
			stride := n + rng.IntN(3)
			w, g := weights[T](rng, max(rows*stride, n)), positive(rng, rows)
			abs, sq, top := positive(rng, n), positive(rng, n), positive(rng, n)
			wantAbs, wantSq, wantTop := make([]float64, n), make([]float64, n), make([]float64, n)
			for j := range n {
				col := make([]T, rows)
				for i := range col {
					col[i] = w[i*stride+j]
				}
				wantAbs[j] = abs[j] + exact(col, g, 1)
				wantSq[j] = sq[j] + exact(col, g, 2)
				wantTop[j] = max(top[j], DotMax(col, g))
			}
			ColumnsAbs(abs, w, stride, g)
			ColumnsSquares(sq, w, stride, g)
			ColumnsMax(top, w, stride, g)
			for j := range n {
				closeTo(t, "ColumnsAbs", abs[j], wantAbs[j], rows+2)
				closeTo(t, "ColumnsSquares", sq[j], wantSq[j], rows+2)
				if top[j] != wantTop[j] {
					t.Errorf("ColumnsMax: got %v, want %v", top[j], wantTop[j])
				}
			}
		}
	}
}

// A NaN or an infinity at any place comes out as such, wherever a vector loop
// or its remainder meets it, before and after finite weights.
func TestNotFinite(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testNotFinite[float32])
		t.Run("float64", testNotFinite[float64])
	})
}

func testNotFinite[T Float](t *testing.T) {
	same := func(what string, got, want float64) {
		t.Helper()
		if !(got == want || got != got && want != want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	const n, rows = 37, 5
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		want := math.Abs(bad)
		for at := range n {
			w, g := make([]T, n), make([]float64, n)
			for j := range w {
				w[j], g[j] = 1+T(j), 2
			}
			w[at] = T(bad)
			var r Row
			Add(&r, w)
			Add(&r, []T{1, 2, 3})
			what := fmt.Sprintf("%v at %d", bad, at)
			same(what+": Abs", r.Abs, want)
			same(what+": Squares", r.Squares, want)
			same(what+": Cubes", r.Cubes, want)
			same(what+": Max", r.Max, want)
			same(what+": DotAbs", DotAbs(w, g), want)
			same(what+": DotSquares", DotSquares(w, g), want)
			same(what+": DotMax", DotMax(w, g), want)
			var all RowPaths
			AddPaths(&all, []T{5}, 7, g, g, g)
			AddPaths(&all, w, 7, g, g, g)
			AddPaths(&all, make([]T, 20), 7, g, g, g)
			same(what+": AddPaths Abs", all.Abs, want)
			same(what+": AddPaths Max", all.Max, want)
			same(what+": AddPaths DotAbs", all.DotAbs, want)
			same(what+": AddPaths DotSquares", all.DotSquares, want)
			same(what+": AddPaths DotMax", all.DotMax, want)
			for i := range rows {
				m := make([]T, rows*n)
				copy(m[i*n:], w)
				abs, sq, top := make([]float64, n), make([]float64, n), make([]float64, n)
				ColumnsAbs(abs, m, n, g[:rows])
				ColumnsSquares(sq, m, n, g[:rows])
				ColumnsMax(top, m, n, g[:rows])
				same(what+": ColumnsAbs", abs[at], want)
				same(what+": ColumnsSquares", sq[at], want)
				same(what+": ColumnsMax", top[at], want)
				// What was NaN stays so.
				ColumnsMax(top, make([]T, rows*n), n, g[:rows])
				same(what+": ColumnsMax later", top[at], want)
			}
		}
	}
}

// Widening is exact; a scaled weight is T(r*c*w), bit for bit, in both engines.
func TestConvert(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testConvert[float32])
		t.Run("float64", testConvert[float64])
		rng := rand.New(rand.NewPCG(7, 8))
		for _, n := range lengths {
			src := weights[float32](rng, n)
			dst := make([]float64, n)
			Widen(dst, src)
			for i := range src {
				if dst[i] != float64(src[i]) {
					t.Fatalf("Widen %v: %v", src[i], dst[i])
				}
			}
		}
	})
}

func testConvert[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range lengths {
		src, c := weights[T](rng, n), positive(rng, n)
		dst := make([]T, n)
		Scale(dst, 1.0/3, c, src)
		for i := range src {
			f := 1.0 / 3 * c[i]
			if want := T(f * float64(src[i])); dst[i] != want {
				t.Fatalf("Scale %v by %v: %v, want %v", src[i], c[i], dst[i], want)
			}
		}
		Scale(dst, 1.0/3, nil, src)
		for i := range src {
			if want := T(1.0 / 3 * float64(src[i])); dst[i] != want {
				t.Fatalf("Scale %v: %v, want %v", src[i], dst[i], want)
			}
		}
		Scale(src, 1.0/3, nil, src)
		for i := range src {
			if src[i] != dst[i] {
				t.Fatalf("Scale in place: %v, want %v", src[i], dst[i])
			}
		}
	}
}

// Every index is visited once, whatever the split.
func TestParallel(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 2, 10, 1000} {
		for threads := range 6 {
			for _, grain := range []int{0, 1, 3, 64} {
				seen := make([]atomic.Int32, max(n, 0))
				var parts atomic.Int32
				Parallel(n, threads, grain, func(lo, hi int) {
					parts.Add(1)
					for i := lo; i < hi; i++ {
						seen[i].Add(1)
					}
				})
				for i := range seen {
					if k := seen[i].Load(); k != 1 {
						t.Fatalf("n %d, threads %d, grain %d: %d visited %d times", n, threads, grain, i, k)
					}
				}
				if int(parts.Load()) > max(threads, 1) {
					t.Errorf("n %d, threads %d: %d parts", n, threads, parts.Load())
				}
			}
		}
	}
}
