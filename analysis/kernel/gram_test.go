package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestGram(t *testing.T) {
	engines(t, func(t *testing.T) {
		// Twice the unit of rounding: the reference rounds, too.
		t.Run("float32", func(t *testing.T) { testGram[float32, float64](t, 0x1p-52) })
		t.Run("float64", func(t *testing.T) { testGram[float64, float64](t, 0x1p-52) })
		t.Run("float32 in float32", func(t *testing.T) { testGram[float32, float32](t, 0x1p-24) })
		t.Run("float64 in float32", func(t *testing.T) { testGram[float64, float32](t, 0x1p-24) })
	})
}

func testGram[T, V Float](t *testing.T, rounding float64) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, d := range [][2]int{{0, 5}, {1, 1}, {2, 15}, {3, 16}, {4, 17}, {5, 100}, {101, 33}, {7, 1100}, {2, 60000}} {
		rows, cols := d[0], d[1]
		w, v, z := weights[T](rng, rows*cols), make([]V, GramVectors*cols), make([]float64, GramVectors*cols)
		for i := range v {
			v[i], z[i] = V(rng.NormFloat64()), rng.NormFloat64()
		}
		want, size := make([]float64, len(z)), make([]float64, len(z))
		for k := range GramVectors {
			for j := range cols {
				want[k*cols+j], size[k*cols+j] = z[k*cols+j], math.Abs(z[k*cols+j])
			}
			for i := range rows {
				var y, a float64
				for j, x := range w[i*cols : (i+1)*cols] {
					y += float64(x) * float64(v[k*cols+j])
					a += math.Abs(float64(x) * float64(v[k*cols+j]))
				}
				for j, x := range w[i*cols : (i+1)*cols] {
					want[k*cols+j] += float64(x) * y
					size[k*cols+j] += math.Abs(float64(x)) * a
				}
			}
		}
		Gram(z, v, w, cols, make([]V, GramScratch(cols)))
		for i := range z {
			// Sums of rows and of columns, here and above, round each term so
			// often at most. Products of float32 can lose all below its range.
			smallest := 0.0
			if unsafe.Sizeof(v[0]) == 4 {
				smallest = float64(rows+cols) * 0x1p-148
			}
			if !(math.Abs(z[i]-want[i]) <= float64(rows+cols+3)*rounding*size[i]+smallest) {
				t.Fatalf("%d x %d, vector %d, column %d: got %v, want %v", rows, cols, i/cols, i%cols, z[i], want[i])
			}
		}
	}
	for at := range 37 {
		w := make([]T, 4*37)
		w[37+at] = T(math.NaN())
		v, z := make([]V, GramVectors*37), make([]float64, GramVectors*37)
		Gram(z, v, w, 37, make([]V, GramScratch(37)))
		for i, x := range z {
			if x == x {
				t.Fatalf("NaN in column %d: element %d is %v", at, i, x)
			}
		}
	}
}
