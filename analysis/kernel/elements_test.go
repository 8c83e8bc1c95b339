package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// extremes puts in what comparisons treat in ways of their own.
func extremes(rng *rand.Rand, n int) []float64 {
	x := weights[float64](rng, n)
	for i := range x {
		switch rng.IntN(12) {
		case 0:
			x[i] = math.Inf(1 - 2*rng.IntN(2))
		case 1:
			x[i] = math.NaN()
		case 2:
			x[i] = math.Copysign(0, -1)
		}
	}
	return x
}

// same compares bits, but for those of a NaN.
func same(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || math.IsNaN(a) && math.IsNaN(b)
}

func TestAffine(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		for _, n := range lengths {
			for _, c := range [][4]float64{
				{1, 0, 0, math.Inf(1)}, {1.5, -0.25, 0, 6}, {-2, 1, math.Inf(-1), math.Inf(1)}, {1, math.Copysign(0, -1), -1, 0.5},
			} {
				x := extremes(rng, n)
				want := make([]float64, n)
				for i, v := range x {
					v = c[0]*v + c[1] + 0
					switch {
					case v < c[2] || v == 0 && c[2] == 0:
						v = c[2]
					case v > c[3]:
						v = c[3]
					}
					want[i] = v
				}
				got := make([]float64, n)
				Affine(got, x, c[0], c[1], c[2], c[3])
				Affine(x, x, c[0], c[1], c[2], c[3])
				for i := range want {
					if !same(got[i], want[i]) || !same(x[i], want[i]) {
						t.Fatalf("n %d, %v, element %d: %v and %v in place, want %v", n, c, i, got[i], x[i], want[i])
					}
				}
			}
		}
	})
}

func TestSum(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(3, 4))
		for _, n := range lengths {
			x, y := extremes(rng, n), extremes(rng, n)
			got := make([]float64, n)
			Sum(got, -1, x, 0.5, y)
			for i := range got {
				if want := -1*x[i] + 0.5*y[i]; !same(got[i], want) {
					t.Fatalf("n %d, element %d: %v, want %v", n, i, got[i], want)
				}
			}
		}
	})
}

// Lines of every length up to three blocks, with bounds; each of k products and sums rounds
// once.
func TestTaps(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(5, 6))
		for width := range 49 {
			for _, k := range []int{0, 1, 2, 9, 25} {
				x, w, at, rows := weights[float64](rng, width+80), weights[float64](rng, k), make([]int, k), make([]int, 3)
				for i := range at {
					at[i] = rng.IntN(41)
				}
				for r := range rows {
					rows[r] = rng.IntN(41)
				}
				const scale, bias, lo, hi = -1.5, 0.25, -1, 2
				got := extremes(rng, 3*width+1)
				end := got[3*width]
				Taps(got, width, x, rows, at, w, scale, bias, lo, hi)
				for i := range 3 * width {
					want, size := bias, math.Abs(bias)
					for j, a := range at {
						p := scale * w[j] * x[rows[i/width]+a+i%width]
						want += p
						size += math.Abs(p)
					}
					want = max(lo, min(hi, want))
					if !(math.Abs(got[i]-want) <= size*float64(k+2)*0x1p-52) {
						t.Fatalf("width %d, %d taps, element %d: %v, want %v", width, k, i, got[i], want)
					}
				}
				if !same(got[3*width], end) {
					t.Fatalf("width %d: what is behind the lines was written to", width)
				}
			}
		}
		got := []float64{1, 2, 3, 4, 5}
		if Taps(got, 5, []float64{0, math.NaN(), 2, -3, 7}, []int{0}, []int{0}, []float64{1}, 1, 0, 0, 6); !math.IsNaN(got[1]) || got[3] != 0 || got[4] != 6 {
			t.Fatalf("bounds: %v", got)
		}
		defer func() {
			if recover() == nil {
				t.Error("a line outside was read")
			}
		}()
		Taps(got, 5, make([]float64, 9), []int{3}, []int{2}, []float64{1}, 1, 0, 0, 6)
	})
}
