package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestRough(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, d := range [][2]int{{1, 1}, {2, 15}, {5, 64}, {16, 65}, {33, 200}, {700, 130}, {300, 1111}} {
		rows, cols := d[0], d[1]
		w, v := make([]float32, rows*cols), make([]float64, GramVectors*cols)
		for i := range w {
			w[i] = float32(rng.NormFloat64())
		}
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		var z [3][]float64
		loops := roughLoops
		for i := range z {
			z[i] = make([]float64, len(v))
			if i == 2 {
				roughLoops = nil
			}
			r, _ := NewRough(w, rows, cols, 1+i, 7)
			r.Gram(z[i], v, 2-i%2, 3)
		}
		roughLoops = loops
		if !slices.Equal(z[0], z[1]) {
			t.Errorf("%v: other bits on other threads", d)
		}
		if !slices.Equal(z[0], z[2]) {
			t.Errorf("%v: other bits without loops", d)
		}
		// Against the product, over all elements: errors of weights, vectors and products are some
		// percent of each and independent.
		want := make([]float64, len(v))
		Gram(want, v, w, cols, make([]float64, GramScratch(cols)))
		var off, size float64
		for i, x := range want {
			off, size = math.Hypot(off, z[0][i]-x), math.Hypot(size, x)
		}
		t.Logf("%v: off by %.2g", d, off/size)
		if !(off <= 0.05*size) {
			t.Errorf("%v: off by %.2g", d, off/size)
		}
	}
}
