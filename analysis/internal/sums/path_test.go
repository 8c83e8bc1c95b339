package sums_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// What is done to programmes is what is done to their numbers one by one, where
// float64 over one power of two holds them, where it does not, and in between.
func TestPathsOfAnyRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "numbers"), 4))
		p := rapid.SampledFrom([]float64{1, 1.5, 2, math.Inf(1)}).Draw(t, "p")
		const units, inner = 3, 4
		draw := func() []scaled.Num {
			bits := rapid.SampledFrom([]int{0, 30, 99, 190, 210, 400, 3000}).Draw(t, "bits")
			at := int64(rapid.SampledFrom([]int{0, 0, 150, -150, 240, -350, 900, -2000}).Draw(t, "at"))
			h := paths(rng, units*inner, bits)
			for i := range h {
				h[i] = h[i].Scale(at)
			}
			return h
		}
		check := func(what string, got sums.Path, want func(c int) scaled.Num) {
			for c, x := range got.Nums() {
				// A few roundings of p-th powers, and of roots.
				if w := want(c); x != w && !(math.Abs(x.Div(w).Float64()-1) <= 1e-14) {
					t.Fatalf("%s, p=%v, cell %d: %v, want %v", what, p, c, x, w)
				}
			}
		}
		a, b := draw(), draw()
		x, y := sums.Pack(p, a), sums.Pack(p, b)
		check("pack", x, func(c int) scaled.Num { return a[c] })
		check("plus", sums.Plus(x, y, 1, nil), func(c int) scaled.Num { return scaled.Plus(a[c], b[c], p) })
		both := append(append([]scaled.Num(nil), a...), b[4], b[6], b[8], b[10])
		runs := []grid.Run{{N: len(a)}, {Of: []int32{0, 2}, N: 2, Stride: 4}}
		check("concat", sums.Concat([]sums.Path{x, y.Gather([]int32{4, 5, 6, 7, 8, 9, 10, 11}, nil)}, runs, nil), func(c int) scaled.Num { return both[c] })
		scale, shift := make([]float64, units), make([]float64, units)
		for u := range units {
			scale[u] = math.Ldexp(rng.NormFloat64(), rng.IntN(1+2*rapid.SampledFrom([]int{0, 20, 400}).Draw(t, "scale"))-20)
			shift[u] = math.Ldexp(rng.NormFloat64(), -rng.IntN(1+rapid.SampledFrom([]int{0, 20, 900}).Draw(t, "shift")))
		}
		_, out := sums.Affine(full(units, inner), []sums.Path{x}, dag.Axis{Outer: 1, N: units, Inner: inner}, scale, shift, 2, nil)
		check("affine", out[0], func(c int) scaled.Num {
			u := c / inner
			return scaled.Plus(a[c].MulFloat(math.Abs(scale[u])), scaled.New(math.Abs(shift[u])), p)
		})
	})
}

// Units that agree still do when all are multiplied by numbers of one magnitude, as in the scale of
// an attention: a layout that told them apart would have as many cells as elements.
func TestAffineOfEqualNumbers(t *testing.T) {
	for _, x := range []struct {
		scale, shift []float64
		cells        int
	}{
		{[]float64{2, -2, 2}, nil, 1},
		{nil, []float64{3, 3, 3}, 1},
		{[]float64{2, 2, 2}, []float64{3, -3, 3}, 1},
		{[]float64{2, 2, 2}, []float64{3, 1, 3}, 3},
		{[]float64{2, 1, 2}, []float64{3, 3, 3}, 3},
	} {
		l, ps := sums.Affine(grid.Uniform(3), []sums.Path{sums.Constant(1, 1, scaled.One)}, dag.Axis{Outer: 1, N: 3, Inner: 1}, x.scale, x.shift, 1, nil)
		if l.Cells() != x.cells {
			t.Errorf("scale %v, shift %v: %d cells, want %d", x.scale, x.shift, l.Cells(), x.cells)
		}
		for u, h := range grid.Expand(l, ps[0].Nums()) {
			want := 1.0
			if x.scale != nil {
				want *= math.Abs(x.scale[u])
			}
			if x.shift != nil {
				want += math.Abs(x.shift[u])
			}
			if h.Float64() != want {
				t.Errorf("scale %v, shift %v, unit %d: %v, want %v", x.scale, x.shift, u, h, want)
			}
		}
	}
}
