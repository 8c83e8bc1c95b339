package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestReciprocals: every quotient has the bits of Go's; what is not finite becomes zero.
func TestReciprocals(t *testing.T) {
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		special := []float64{0, math.Inf(1), math.NaN(), -math.NaN(), 0x1p-1074, 0x1p-1023, math.MaxFloat64, 0x1p-1022}
		for _, n := range lengths {
			x, want, most := make([]float64, n), make([]float64, n), 0.0
			for i := range x {
				x[i] = math.Ldexp(1+rng.Float64(), rng.IntN(1800)-900)
				if rng.IntN(4) == 0 {
					x[i] = special[rng.IntN(len(special))]
				}
				if q := 1 / x[i]; q-q == 0 {
					want[i] = q
				}
				most = math.Max(most, want[i])
			}
			given := append([]float64(nil), x...)
			if got := Reciprocals(x); got != most {
				t.Fatalf("%d: the largest is %v, not %v", n, got, most)
			}
			for i, q := range x {
				if q != want[i] {
					t.Fatalf("%d: 1/%v is %v, not %v", n, given[i], q, want[i])
				}
			}
		}
	})
}

// TestDescend: every element has the bits that Go gives it, in float64 and rounded at the end.
func TestDescend(t *testing.T) { ofBoth(t, testDescend[float32], testDescend[float64]) }

func testDescend[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range lengths {
		w, g, q, want := make([]T, n), make([]T, n), make([]float64, n), make([]T, n)
		keep, step := 1-rng.Float64()/8, rng.NormFloat64()
		for i := range w {
			w[i], g[i], q[i] = T(rng.NormFloat64()), T(rng.NormFloat64()), rng.ExpFloat64()
			d := float64(g[i]) * q[i]
			d *= step
			kept := keep * float64(w[i])
			want[i] = T(kept - d)
		}
		Descend(w, g, q, keep, step)
		for i, v := range w {
			if v != want[i] {
				t.Fatalf("%d: element %d is %v, not %v", n, i, v, want[i])
			}
		}
	}
}
