package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestGram(t *testing.T) {
	engines(t, func(t *testing.T) {
		t.Run("float32", testGram[float32])
		t.Run("float64", testGram[float64])
	})
}

func testGram[T Float](t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, d := range [][2]int{{0, 5}, {1, 1}, {2, 15}, {3, 16}, {4, 17}, {5, 100}, {101, 33}, {7, 1100}, {2, 60000}} {
		rows, cols := d[0], d[1]
		w, v, z := weights[T](rng, rows*cols), make([]float64, GramVectors*cols), make([]float64, GramVectors*cols)
		for i := range v {
			v[i], z[i] = rng.NormFloat64(), rng.NormFloat64()
		}
		want, size := make([]float64, len(z)), make([]float64, len(z))
		for k := range GramVectors {
			for j := range cols {
				want[k*cols+j], size[k*cols+j] = z[k*cols+j], math.Abs(z[k*cols+j])
			}
			for i := range rows {
				var y, a float64
				for j, x := range w[i*cols : (i+1)*cols] {
					y += float64(x) * v[k*cols+j]
					a += math.Abs(float64(x) * v[k*cols+j])
				}
				for j, x := range w[i*cols : (i+1)*cols] {
					want[k*cols+j] += float64(x) * y
					size[k*cols+j] += math.Abs(float64(x)) * a
				}
			}
		}
		Gram(z, v, w, cols, make([]float64, GramScratch(cols)))
		for i := range z {
			// Sums of rows and of columns, here and above, round each term so
			// often at most.
			if !(math.Abs(z[i]-want[i]) <= float64(rows+cols+3)*0x1p-52*size[i]) {
				t.Fatalf("%d x %d, vector %d, column %d: got %v, want %v", rows, cols, i/cols, i%cols, z[i], want[i])
			}
		}
	}
	for at := range 37 {
		w := make([]T, 4*37)
		w[37+at] = T(math.NaN())
		v, z := make([]float64, GramVectors*37), make([]float64, GramVectors*37)
		Gram(z, v, w, 37, make([]float64, GramScratch(37)))
		for i, x := range z {
			if x == x {
				t.Fatalf("NaN in column %d: element %d is %v", at, i, x)
			}
		}
	}
}
