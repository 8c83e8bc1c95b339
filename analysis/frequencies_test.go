package analysis

import (
	"context"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
)

// TestTransferLooksEverywhere: the largest singular value over all frequencies is that of every
// frequency one by one, of flat spectra and of steep ones, kernels and grids of all kinds.
func TestTransferLooksEverywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for i := range 60 {
		grid := []int{1 + rng.IntN(40), 1 + rng.IntN(40)}
		w := dag.NewWindow(grid, []int{1 + rng.IntN(4), 1 + rng.IntN(4)})
		w.Dilation = []int{1 + rng.IntN(2), 1 + rng.IntN(2)}
		f := newFrequencies(&w, grid)
		k := dag.Size(w.Kernel)
		weights := make([]float64, 4*k) // of 2 x 2 channels
		for e := range weights {
			weights[e] = rng.NormFloat64()
			if i%2 == 0 {
				weights[e] = math.Abs(weights[e]) // the largest is near frequency 0
			}
		}
		r := &run{ctx: context.Background(), opt: Options{Threads: 2}}
		got := r.transfer(weights, 2, 2, f, 0)
		want := 0.0
		for a := range grid[0] {
			for b := range grid[1] {
				var m [4]complex128
				for t := range k {
					y, x := t/w.Kernel[1]*w.Dilation[0], t%w.Kernel[1]*w.Dilation[1]
					turn := cmplx.Exp(complex(0, 2*math.Pi*(float64(y*a)/float64(grid[0])+float64(x*b)/float64(grid[1]))))
					for e := range m {
						m[e] += complex(weights[t*4+e], 0) * turn
					}
				}
				want = math.Max(want, largestOfTwo(m))
			}
		}
		// Rounding of sums of at most 16 weights, and of their squares.
		if !(math.Abs(got-want) <= 1e-8*want) {
			t.Errorf("kernel %v, dilation %v, grid %v: %v, want %v", w.Kernel, w.Dilation, grid, got, want)
		}
	}
}

// largestOfTwo is sigma_1 of a 2 x 2 matrix: half of the roots of |A|_F^2 +- 2 |det A|.
func largestOfTwo(m [4]complex128) float64 {
	var f float64
	for _, x := range m {
		f += real(x)*real(x) + imag(x)*imag(x)
	}
	d := cmplx.Abs(m[0]*m[3] - m[1]*m[2])
	return (math.Sqrt(f+2*d) + math.Sqrt(math.Max(f-2*d, 0))) / 2
}
