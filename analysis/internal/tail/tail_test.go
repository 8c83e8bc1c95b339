package tail

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is PowerLaw by its definition, every distance in full.
func naive(x []float64) (alpha, xmin, d float64) {
	x = x[slices.IndexFunc(x, func(v float64) bool { return v > Least }):]
	d = 2
	for i := range len(x) - 1 {
		m := len(x) - i
		if len(x) < 20 && m < 8 && !(len(x) < 8 && i == 0) {
			break
		}
		var s float64
		for _, v := range x[i:] {
			s += math.Log(v / x[i])
		}
		a := 1 + float64(m)/s
		if len(x) < 20 {
			a = 1 + float64(m-1)/s
		}
		var far float64
		for j, v := range x[i:] {
			far = math.Max(far, math.Abs(1-math.Pow(v/x[i], 1-a)-float64(j)/float64(m)))
		}
		if far < d {
			alpha, xmin, d = a, x[i], far
		}
	}
	return alpha, xmin, d
}

// Giving up distances early changes nothing, and a sample of a power law has its exponent.
func TestPowerLaw(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{2, 7, 8, 15, 19, 20, 60, 1000} {
		for _, alpha := range []float64{1.7, 3, 8} {
			x := make([]float64, n)
			for i := range x {
				x[i] = 0.1 * math.Pow(1-rng.Float64(), -1/(alpha-1))
				if n > 100 && i%4 == 0 {
					x[i] = 0.1 * rng.Float64() * float64(i%3) // a bulk below, and zeros
				}
			}
			slices.Sort(x)
			f, ok := PowerLaw(x)
			a, xmin, d := naive(x)
			// Sums of logarithms in another order.
			if !ok || f.XMin != xmin || !(math.Abs(f.Alpha-a) <= 1e-11*a) || !(math.Abs(f.D-d) <= 1e-11) {
				t.Errorf("%d of alpha %v: %+v, %v; by definition %v, %v, %v", n, alpha, f, ok, a, xmin, d)
			}
			// The choice of x_min adds to the standard error, some 0.05 alpha.
			if n == 1000 && !(math.Abs(f.Alpha-alpha) <= 0.2*alpha) {
				t.Errorf("alpha %v of a sample of alpha %v", f.Alpha, alpha)
			}
		}
	}
	for _, x := range [][]float64{nil, {1}, {1, 1, 1}, {0, 0, 1e-6}} {
		if f, ok := PowerLaw(x); ok {
			t.Errorf("%v has %+v", x, f)
		}
	}
}

// Of eigenvalues that follow the law, its edge is found; one far above is a spike.
func TestMarchenkoPastur(t *testing.T) {
	const rows, cols, sigma = 600, 300, 0.05
	a, b := math.Pow(1-math.Sqrt(0.5), 2), math.Pow(1+math.Sqrt(0.5), 2)
	var x []float64
	var mass float64
	const steps = 1 << 16
	for k := range steps { // quantiles of the density
		v := a + (b-a)*(float64(k)+0.5)/steps
		mass += 2 / (2 * math.Pi * v) * math.Sqrt((b-v)*(v-a)) * (b - a) / steps
		for len(x) < int(mass*cols) {
			x = append(x, v*rows*sigma*sigma)
		}
	}
	edge := b * rows * sigma * sigma
	got, ok := MarchenkoPastur(x, rows, cols)
	// A kernel of width 0.1 smooths the density.
	if !ok || got.Spikes != 0 || !(math.Abs(got.Edge-edge) <= 0.03*edge) {
		t.Errorf("%+v, %v, the edge is %v", got, ok, edge)
	}
	x = append(x, 3*edge)
	if got, ok = MarchenkoPastur(x, rows, cols); !ok || got.Spikes != 1 || !(math.Abs(got.SoftRank-got.Edge/(3*edge)) <= 1e-12) {
		t.Errorf("with a spike: %+v, %v", got, ok)
	}
	if got, ok := MarchenkoPastur(make([]float64, 9), 3, 3); ok {
		t.Errorf("zeros have %+v", got)
	}
}
