package kernel

import (
	"math/rand/v2"
	"testing"
)

// Loops over one row of 4000 weights in the first-level cache.
func BenchmarkLoops(b *testing.B) {
	const n, rows = 4000, 16
	rng := rand.New(rand.NewPCG(1, 1))
	w := weights[float32](rng, n*rows)
	g, wide, sums := positive(rng, n), make([]float64, n), make([]float64, rows)
	floors := make([]float64, n)
	for j := range floors {
		floors[j] = 1e9
	}
	narrow := make([]float32, n)
	var sink float64
	for _, c := range []struct {
		name string
		n    int
		f    func()
	}{
		{"Add", n, func() { var r Row; Add(&r, w[:n]); sink += r.Abs }},
		{"AddPaths", n, func() { var r RowPaths; AddPaths(&r, w[:n], n, g, g, g); sink += r.Abs }},
		{"DotAbs", n, func() { sink += DotAbs(w[:n], g) }},
		{"DotSquares", n, func() { sink += DotSquares(w[:n], g) }},
		{"DotMax", n, func() { sink += DotMax(w[:n], g) }},
		{"ColumnsAbs", n * rows, func() { ColumnsAbs(wide, w, n, g[:rows]) }},
		{"ColumnsSquares", n * rows, func() { ColumnsSquares(wide, w, n, g[:rows]) }},
		{"ColumnsMax", n * rows, func() { ColumnsMax(wide, w, n, g[:rows]) }},
		{"ProductsAbs", n * rows, func() { ProductsAbs(sums, wide, w, g, g[:rows]) }},
		{"ProductsSquares", n * rows, func() { ProductsSquares(sums, wide, w, g, g[:rows]) }},
		{"ProductsMax", n * rows, func() { ProductsMax(sums, wide, w, g, g[:rows]) }},
		{"MaxAbs", n, func() { sink += MaxAbs(w[:n]) }},
		{"Above", n, func() { sink += float64(Above(w[:n], 0, 1, g, 1e9, floors)) }},
		{"Widen", n, func() { Widen(wide, w[:n]) }},
		{"Scale", n, func() { Scale(narrow, 2, g, w[:n]) }},
	} {
		b.Run(c.name+"/"+Vector(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(4 * c.n))
			for b.Loop() {
				c.f()
			}
		})
	}
}

// Loops over 64 MB of weights on two goroutines: what memory allows.
func BenchmarkMemory(b *testing.B) {
	const n = 4000
	rng := rand.New(rand.NewPCG(1, 1))
	w := make([]float32, n*n)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	g := positive(rng, n)
	for _, c := range []struct {
		name string
		f    func(w []float32, y []float64)
	}{
		{"MaxAbs", func(w []float32, _ []float64) { MaxAbs(w) }},
		{"DotSquares", func(w []float32, y []float64) {
			for i := range y {
				DotSquares(w[i*n:(i+1)*n], g)
			}
		}},
		{"ProductsSquares", func(w []float32, y []float64) {
			ProductsSquares(make([]float64, len(y)), make([]float64, n), w, g, y)
		}},
	} {
		b.Run(c.name+"/"+Vector(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(4 * n * n)
			for b.Loop() {
				Parallel(n, 2, 4, func(lo, hi int) { c.f(w[lo*n:hi*n], g[lo:hi]) })
			}
		})
	}
}

// One product of Gram over 64 MB of weights on two goroutines.
func BenchmarkGram(b *testing.B) {
	b.Run("float64", benchGram[float64])
	b.Run("float32", benchGram[float32])
}

func benchGram[V Float](b *testing.B) {
	const n = 4000
	rng := rand.New(rand.NewPCG(1, 1))
	w, v := make([]float32, n*n), make([]V, GramVectors*n)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	for i := range v {
		v[i] = V(rng.NormFloat64())
	}
	b.ReportAllocs()
	b.SetBytes(4 * n * n)
	for b.Loop() {
		Parallel(n, 2, 4, func(lo, hi int) {
			Gram(make([]float64, GramVectors*n), v, w[lo*n:hi*n], n, make([]V, GramScratch(n)))
		})
	}
}
