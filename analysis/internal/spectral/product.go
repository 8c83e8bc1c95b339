package spectral

import (
	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// product multiplies blocks of vectors by A^T A: A is read once, and each of
// its tiles is used for both factors.
type product struct {
	m     Matrix
	blas  *blas.Engine
	parts []part
}

// part is what a goroutine needs: its share of the result, the products of a
// tile's rows with the vectors, and the tile.
type part struct{ z, y, tile []float64 }

func newProduct(m Matrix, threads int, e *blas.Engine) *product {
	p := &product{m: m, blas: e}
	if !vectors() {
		threads = 1 // the library's own
	}
	rows := tileRows(m)
	p.parts = make([]part, max(1, min(threads, m.Rows/rows)))
	for i := range p.parts {
		w := &p.parts[i]
		if i > 0 {
			w.z = make([]float64, block*m.Cols)
		}
		w.y = make([]float64, max(block*rows, kernel.GramScratch(m.Cols)))
		if m.Single == nil || !vectors() {
			w.tile = make([]float64, rows*m.Cols)
		}
	}
	return p
}

// vectors says that package kernel has vector loops. OpenBLAS takes several times
// as long as they do for so few vectors, but less than loops in Go.
func vectors() bool { return kernel.Vector() != "Go" }

// tileRows is the number of rows that are multiplied at a time, from the
// second-level cache the second time; a multiple of the rows that the vector
// loops take.
func tileRows(m Matrix) int { return min(m.Rows, max(12, (1<<16)/max(m.Cols, 1)/12*12)) }

// apply sets the first width rows of z to A^T A times those of v. Both are
// block x columns; what the other rows hold is of no use.
func (p *product) apply(z, v []float64, width int) {
	p.parts[0].z = z
	kernel.Parallel(len(p.parts), len(p.parts), 1, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			from, to := i*p.m.Rows/len(p.parts), (i+1)*p.m.Rows/len(p.parts)
			p.share(&p.parts[i], v, width, from, to)
		}
	})
	n := width * p.m.Cols
	for _, w := range p.parts[1:] {
		floats.Add(z[:n], w.z[:n])
	}
}

// share is apply for rows [from, to).
func (p *product) share(w *part, v []float64, width, from, to int) {
	n := p.m.Cols
	clear(w.z)
	if p.m.Single != nil && vectors() {
		kernel.Gram(w.z, v, p.m.Single[from*n:to*n], n, w.y)
		return
	}
	rows := tileRows(p.m)
	for lo := from; lo < to; lo += rows {
		hi := min(lo+rows, to)
		t := w.tile[:(hi-lo)*n]
		p.m.Read(t, lo, hi)
		if vectors() {
			kernel.Gram(w.z, v, t, n, w.y)
			continue
		}
		p.blas.Dgemm(false, true, width, hi-lo, n, 1, v, n, t, n, 0, w.y, hi-lo)
		p.blas.Dgemm(false, false, width, n, hi-lo, 1, w.y, hi-lo, t, n, 1, w.z, n)
	}
}
