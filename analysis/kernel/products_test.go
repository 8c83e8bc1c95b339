package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Products along rows and columns are what the loops over one of them give, for
// every remainder of four rows and of the vectors' step, and add to what is there.
func TestProducts(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testProducts[float32])
		t.Run("float64", testProducts[float64])
	})
}

func testProducts[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for m := range 10 {
		for _, n := range lengths {
			w, x, y := weights[T](rng, m*n), positive(rng, n), positive(rng, m)
			for _, c := range []struct {
				name    string
				f       func(ax, aty []float64, w []T, x, y []float64)
				product func(w []T, g []float64, old float64) float64
				// exact says that there is no rounding.
				exact bool
			}{
				{"ProductsAbs", ProductsAbs[T], func(w []T, g []float64, old float64) float64 { return old + exact(w, g, 1) }, false},
				{"ProductsSquares", ProductsSquares[T], func(w []T, g []float64, old float64) float64 { return old + exact(w, g, 2) }, false},
				{"ProductsMax", ProductsMax[T], func(w []T, g []float64, old float64) float64 {
					for j, v := range w {
						old = max(old, math.Abs(float64(v))*g[j])
					}
					return old
				}, true},
			} {
				ax, aty := positive(rng, m), positive(rng, n)
				wantX, wantY := make([]float64, m), make([]float64, n)
				for i := range m {
					wantX[i] = c.product(w[i*n:(i+1)*n], x, ax[i])
				}
				for j := range n {
					col := make([]T, m)
					for i := range col {
						col[i] = w[i*n+j]
					}
					wantY[j] = c.product(col, y, aty[j])
				}
				c.f(ax, aty, w, x, y)
				for i := range ax {
					check(t, c.exact, c.name+" along a row", ax[i], wantX[i], n+2)
				}
				for j := range aty {
					check(t, c.exact, c.name+" along a column", aty[j], wantY[j], m+2)
				}
			}
		}
	}
}

func check(t *testing.T, exact bool, what string, got, want float64, n int) {
	t.Helper()
	if exact {
		n = -3 // no rounding at all
	}
	closeTo(t, what, got, want, n)
}

// Sums show a NaN and an infinity among the weights; a maximum leaves out what is
// no number, such as zero times infinity.
func TestProductsNotFinite(t *testing.T) {
	engines(t, func(t *testing.T) {
		const m, n = 6, 37
		for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
			for at := range m * n {
				w, x, y := make([]float32, m*n), make([]float64, n), make([]float64, m)
				for j := range x {
					x[j] = 1
				}
				for i := range y {
					y[i] = 1
				}
				w[at] = float32(bad)
				for _, f := range []func(ax, aty []float64, w []float32, x, y []float64){ProductsAbs[float32], ProductsSquares[float32]} {
					ax, aty := make([]float64, m), make([]float64, n)
					f(ax, aty, w, x, y)
					for k, got := range []float64{ax[at/n], aty[at%n]} {
						if want := math.Abs(bad); !(got == want || got != got && want != want) {
							t.Fatalf("%v at %d, product %d: %v", bad, at, k, got)
						}
					}
				}
			}
		}
		for at := range m * n {
			x, y := make([]float64, n), make([]float64, m)
			x[at%n], y[at/n] = math.Inf(1), math.Inf(1)
			ax, aty := make([]float64, m), make([]float64, n)
			ProductsMax(ax, aty, make([]float32, m*n), x, y)
			w := make([]float32, m*n)
			w[at] = float32(math.NaN())
			ProductsMax(ax, aty, w, make([]float64, n), make([]float64, m))
			for _, got := range append(ax, aty...) {
				if got != 0 {
					t.Fatalf("largest of no numbers with one at %d: %v", at, got)
				}
			}
		}
	})
}

// The largest magnitude stands anywhere; a NaN outdoes an infinity.
func TestMaxAbs(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testMaxAbs[float32])
		t.Run("float64", testMaxAbs[float64])
	})
}

func testMaxAbs[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, n := range lengths {
		if got := MaxAbs(make([]T, n)); got != 0 {
			t.Errorf("of %d zeros: %v", n, got)
		}
		for at := range n {
			w := weights[T](rng, n)
			for _, top := range []float64{9, -9, math.Inf(-1), math.NaN()} {
				w[at] = T(top)
				if got, want := MaxAbs(w), math.Abs(top); !(got == want || got != got && want != want) {
					t.Fatalf("%v at %d of %d: %v", top, at, n, got)
				}
			}
			w[(at+1)%n] = T(math.Inf(1)) // beside a NaN, unless alone
			if got := MaxAbs(w); n > 1 && got == got {
				t.Fatalf("NaN at %d of %d: %v", at, n, got)
			}
		}
	}
}

// Above finds every weight that reaches a floor, from any place on.
func TestAbove(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testAbove[float32])
		t.Run("float64", testAbove[float64])
	})
}

func testAbove[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	for _, n := range lengths {
		for round := range 40 {
			w, c, floors := weights[T](rng, n), positive(rng, n), positive(rng, n)
			floor, r := 6*rng.Float64(), 0.3+rng.Float64()
			for j := range floors {
				if floors[j] *= 6; round%4 == 0 {
					floors[j] = math.Inf(1)
				}
			}
			if n > 0 { // one that just reaches
				j := rng.IntN(n)
				w[j] = 1
				if floors[j] = r * c[j]; round%2 == 0 {
					floor = r * c[j]
				}
			}
			var want, got []int
			for j, v := range w {
				if x := math.Abs(float64(v)) * r * c[j]; x >= floor || x >= floors[j] {
					want = append(want, j)
				}
			}
			for j := Above(w, 0, r, c, floor, floors); j < n; j = Above(w, j+1, r, c, floor, floors) {
				got = append(got, j)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%d weights: %v, want %v", n, got, want)
			}
		}
	}
}

// Dots of several rows are those of each, whatever lies between the rows.
func TestDots(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testDots[float32])
		t.Run("float64", testDots[float64])
	})
}

func testDots[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	for m := range 10 {
		for _, n := range lengths {
			stride := n + rng.IntN(3)
			w, x := weights[T](rng, m*stride), positive(rng, n)
			abs, squares := positive(rng, m), positive(rng, m)
			wantAbs, wantSquares := make([]float64, m), make([]float64, m)
			for i := range m {
				row := w[i*stride : i*stride+n]
				wantAbs[i], wantSquares[i] = abs[i]+exact(row, x, 1), squares[i]+exact(row, x, 2)
			}
			DotsAbs(abs, w, stride, x)
			DotsSquares(squares, w, stride, x)
			for i := range m {
				closeTo(t, "DotsAbs", abs[i], wantAbs[i], n+2)
				closeTo(t, "DotsSquares", squares[i], wantSquares[i], n+2)
			}
		}
	}
}

// The largest products of rows and vectors are those of each pair, to the last bit,
// and what lies between the results is left alone.
func TestPairsMax(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(17, 18))
		for _, cols := range append([]int{255, 256, 259, 600}, lengths...) {
			for rows := range 10 {
				for vectors := range 6 {
					stride := vectors + rng.IntN(3)
					a, x := positive(rng, rows*cols), positive(rng, vectors*cols)
					got := positive(rng, rows*stride)
					want := slices.Clone(got)
					for i := range rows {
						for v := range vectors {
							for j := range cols {
								want[i*stride+v] = max(want[i*stride+v], a[i*cols+j]*x[v*cols+j])
							}
						}
					}
					PairsMax(got, stride, a, x, cols)
					if !slices.Equal(got, want) {
						t.Fatalf("%d rows, %d vectors, %d columns: %v, want %v", rows, vectors, cols, got, want)
					}
				}
			}
		}
	})
}
