package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// extremes puts in what comparisons treat in ways of their own.
func extremes[T Float](rng *rand.Rand, n int) []T {
	x := weights[T](rng, n)
	for i := range x {
		switch rng.IntN(12) {
		case 0:
			x[i] = T(math.Inf(1 - 2*rng.IntN(2)))
		case 1:
			x[i] = T(math.NaN())
		case 2:
			x[i] = T(math.Copysign(0, -1))
		}
	}
	return x
}

// same compares bits, but for those of a NaN.
func same[T Float](a, b T) bool {
	return a == b && math.Signbit(float64(a)) == math.Signbit(float64(b)) || a != a && b != b
}

// ofBoth runs a test on both types of numbers, in assembly and in Go.
func ofBoth(t *testing.T, single, double func(t *testing.T)) {
	engines(t, func(t *testing.T) {
		t.Run("float32", single)
		t.Run("float64", double)
	})
}

func TestAffine(t *testing.T) { ofBoth(t, testAffine[float32], testAffine[float64]) }

func testAffine[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	inf := T(math.Inf(1))
	for _, n := range lengths {
		for _, c := range [][4]T{{1, 0, 0, inf}, {1.5, -0.25, 0, 6}, {-2, 1, -inf, inf}, {1, T(math.Copysign(0, -1)), -1, 0.5}} {
			x := extremes[T](rng, n)
			want := make([]T, n)
			for i, v := range x {
				// Each of the two operations rounds.
				v = c[0] * v
				v = v + c[1] + 0
				switch {
				case v < c[2] || v == 0 && c[2] == 0:
					v = c[2]
				case v > c[3]:
					v = c[3]
				}
				want[i] = v
			}
			got := make([]T, n)
			Affine(got, x, c[0], c[1], c[2], c[3])
			Affine(x, x, c[0], c[1], c[2], c[3])
			for i := range want {
				if !same(got[i], want[i]) || !same(x[i], want[i]) {
					t.Fatalf("n %d, %v, element %d: %v and %v in place, want %v", n, c, i, got[i], x[i], want[i])
				}
			}
		}
	}
}

func TestSum(t *testing.T) { ofBoth(t, testSum[float32], testSum[float64]) }

func testSum[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range lengths {
		x, y := extremes[T](rng, n), extremes[T](rng, n)
		got := make([]T, n)
		Sum(got, -1, x, 0.5, y)
		for i := range got {
			if want := -1*x[i] + 0.5*y[i]; !same(got[i], want) {
				t.Fatalf("n %d, element %d: %v, want %v", n, i, got[i], want)
			}
		}
		Times(got, x, y)
		for i := range got {
			if want := x[i] * y[i]; !same(got[i], want) {
				t.Fatalf("n %d, element %d of the product: %v, want %v", n, i, got[i], want)
			}
		}
	}
}

func TestGate(t *testing.T) { ofBoth(t, testGate[float32], testGate[float64]) }

func testGate[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	for _, n := range lengths {
		d, y := extremes[T](rng, n), extremes[T](rng, n)
		for i, v := range y {
			y[i] = max(v, 0)
			if rng.IntN(3) == 0 {
				y[i] = 0
			}
		}
		got, inPlace := make([]T, n), append([]T(nil), y...)
		Gate(got, d, y)
		Gate(inPlace, d, inPlace)
		for i := range got {
			want := d[i]
			if y[i] == 0 {
				want = 0
			}
			if !same(got[i], want) || !same(inPlace[i], want) {
				t.Fatalf("n %d, element %d: %v and %v in place, of %v where y is %v", n, i, got[i], inPlace[i], d[i], y[i])
			}
		}
	}
}

func TestTotals(t *testing.T) { ofBoth(t, testTotals[float32], testTotals[float64]) }

func testTotals[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	eps := roundoff[T]()
	for _, n := range append([]int{63, 64, 65, 1000}, lengths...) {
		x, y := weights[T](rng, n), weights[T](rng, n)
		var total, size, dot, dots float64
		for i := range x {
			p := float64(x[i]) * float64(y[i])
			total, size = total+float64(x[i]), size+math.Abs(float64(x[i]))
			dot, dots = dot+p, dots+math.Abs(p)
		}
		// No sum has more roundings than terms, and a product has one.
		if got := float64(Total(x)); math.Abs(got-total) > float64(n+1)*eps*size {
			t.Errorf("%d numbers: total %v, want %v", n, got, total)
		}
		// Products below the least number of float32 are lost.
		if got := float64(Dot(x, y)); math.Abs(got-dot) > float64(n+2)*eps*dots+float64(n)*0x1p-149 {
			t.Errorf("%d numbers: dot %v, want %v", n, got, dot)
		}
	}
}

func TestExtremes(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(13, 14))
		for _, n := range lengths {
			for try := range 40 {
				x := make([]float64, n)
				least, most, finite := math.Inf(1), 0.0, true
				for i := range x {
					x[i] = math.Ldexp(rng.Float64(), rng.IntN(2000)-1060)
					switch {
					case rng.IntN(3) == 0:
						x[i] = 0
					case try%4 == 3 && rng.IntN(20) == 0:
						x[i] = []float64{math.Inf(1), math.NaN(), math.Float64frombits(0xfff8 << 48)}[rng.IntN(3)]
						finite = false
					}
					if x[i] > 0 {
						least = min(least, x[i])
					}
					most = max(most, x[i])
				}
				low, high, ok := Extremes(x)
				if ok != finite || finite && (low != least || high != most) {
					t.Fatalf("%v: %v, %v, %v, want %v, %v, %v", x, low, high, ok, least, most, finite)
				}
			}
		}
		if low, high, ok := Extremes(make([]float64, 40)); !math.IsInf(low, 1) || high != 0 || !ok {
			t.Errorf("zeros: %v, %v, %v", low, high, ok)
		}
	})
}

// Lines of every length up to three blocks, with bounds; each of k products and sums rounds
// once.
func TestTaps(t *testing.T) { ofBoth(t, testTaps[float32], testTaps[float64]) }

func testTaps[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	eps := roundoff[T]()
	for width := range 100 {
		for _, k := range []int{0, 1, 2, 9, 25} {
			x, w, at, rows := weights[T](rng, width+80), weights[T](rng, k), make([]int, k), make([]int, 3)
			for i := range at {
				at[i] = rng.IntN(41)
			}
			for r := range rows {
				rows[r] = rng.IntN(41)
			}
			const scale, bias, lo, hi = -1.5, 0.25, -1, 2
			got := extremes[T](rng, 3*width+1)
			end := got[3*width]
			Taps(got, width, x, rows, at, w, scale, bias, lo, hi)
			for i := range 3 * width {
				want, size := bias, math.Abs(bias)
				for j, a := range at {
					p := scale * float64(w[j]) * float64(x[rows[i/width]+a+i%width])
					want += p
					size += math.Abs(p)
				}
				want = max(lo, min(hi, want))
				if !(math.Abs(float64(got[i])-want) <= size*float64(k+2)*eps) {
					t.Fatalf("width %d, %d taps, element %d: %v, want %v", width, k, i, got[i], want)
				}
			}
			if !same(got[3*width], end) {
				t.Fatalf("width %d: what is behind the lines was written to", width)
			}
		}
	}
	got := []T{1, 2, 3, 4, 5, 6, 7, 8, 9}
	x := []T{0, T(math.NaN()), 2, -3, 7, 0, 0, 0, 0}
	if Taps(got, 9, x, []int{0}, []int{0}, []T{1}, 1, 0, 0, 6); !math.IsNaN(float64(got[1])) || got[3] != 0 || got[4] != 6 {
		t.Fatalf("bounds: %v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a line outside was read")
		}
	}()
	Taps(got, 9, make([]T, 13), []int{3}, []int{2}, []T{1}, 1, 0, 0, 6)
}

// roundoff is the distance of 1 from the next number.
func roundoff[T Float]() float64 {
	if _, double := any(T(0)).(float64); double {
		return 0x1p-52
	}
	return 0x1p-23
}
