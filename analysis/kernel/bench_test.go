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
	g, wide := positive(rng, n), make([]float64, n)
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
