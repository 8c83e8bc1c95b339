package spectral

import (
	"context"
	"sync/atomic"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// product multiplies blocks of vectors by A^T A: A is read once, and each of
// its tiles is used for both factors.
type product struct {
	m       Matrix
	blas    *blas.Engine
	threads int
	parts   []part
	// v has the vectors of a product in float32; nil when there are none.
	v []float32
}

// part is what a share of the rows needs: its share of the result, the products
// of a tile's rows with the vectors (narrow for those in float32), and the tile.
type part struct {
	z, y, tile []float64
	narrow     []float32
}

// mostParts bounds the parts of a matrix: each has its own sums along the columns.
const mostParts = 32

// basisRows is the least number of vectors of the basis in a part.
const basisRows = 16

func newProduct(m Matrix, threads int, e *blas.Engine) *product {
	p := &product{m: m, blas: e, threads: max(threads, 1)}
	if !vectors() {
		p.threads = 1 // the library's products have goroutines of their own
	}
	// The matrix alone says how many parts there are, and with them the order of all
	// sums. A goroutine that is held up leaves its parts to the others.
	rows := tileRows(m)
	parts := mostParts
	if m.Gram != nil {
		parts = 2 // only the basis is split, and a map's vectors are long
	}
	p.parts = make([]part, max(1, min(parts, m.Rows/rows)))
	for i := range p.parts {
		w := &p.parts[i]
		w.z = make([]float64, block*m.Cols)
		w.y = make([]float64, max(block*rows, kernel.GramScratch(m.Cols)))
		switch {
		case m.Gram != nil:
		case p.inPlace():
			w.narrow = make([]float32, kernel.GramScratch(m.Cols))
		default:
			w.tile = make([]float64, rows*m.Cols)
		}
	}
	if p.inPlace() {
		p.v = make([]float32, block*m.Cols)
	}
	return p
}

// vectors says that package kernel has vector loops. OpenBLAS takes several times
// as long as they do for so few vectors, but less than loops in Go.
func vectors() bool { return kernel.Vector() != "Go" }

// inPlace says that the matrix is float32 and multiplied where it lies.
func (p *product) inPlace() bool { return p.m.Single != nil && vectors() }

// tileRows is the number of rows that are multiplied at a time, from the
// second-level cache the second time; a multiple of the rows that the vector
// loops take.
func tileRows(m Matrix) int { return min(m.Rows, max(12, (1<<16)/max(m.Cols, 1)/12*12)) }

// apply sets the first width rows of z to A^T A times those of v. Both are
// block x columns; what the other rows hold is of no use. narrow asks for
// products in float32 of a matrix inPlace.
func (p *product) apply(ctx context.Context, z, v []float64, width int, narrow bool) error {
	if p.m.Gram != nil {
		n := width * p.m.Cols
		return p.m.Gram(ctx, z[:n], v[:n], width)
	}
	if narrow {
		for i, x := range v {
			p.v[i] = float32(x)
		}
	}
	p.sum(p.parts, z, width, p.m.Rows, func(w *part, from, to int) { p.share(w, v, width, from, to, narrow) })
	return nil
}

// sum splits rows into parts, calls f to add each one's share to its z, and sets
// the first width rows of z to the sum of these, which depends on the parts alone.
func (p *product) sum(parts []part, z []float64, width, rows int, f func(w *part, from, to int)) {
	var next atomic.Int32
	kernel.Parallel(p.threads, p.threads, 1, func(_, _ int) {
		for i := int(next.Add(1)) - 1; i < len(parts); i = int(next.Add(1)) - 1 {
			clear(parts[i].z)
			f(&parts[i], i*rows/len(parts), (i+1)*rows/len(parts))
		}
	})
	n := width * p.m.Cols
	copy(z[:n], parts[0].z)
	for _, w := range parts[1:] {
		floats.Add(z[:n], w.z[:n])
	}
}

// share is apply for rows [from, to).
func (p *product) share(w *part, v []float64, width, from, to int, narrow bool) {
	n := p.m.Cols
	switch {
	case narrow:
		kernel.Gram(w.z, p.v, p.m.Single[from*n:to*n], n, w.narrow)
		return
	case p.inPlace():
		kernel.Gram(w.z, v, p.m.Single[from*n:to*n], n, w.y)
		return
	}
	rows := tileRows(p.m)
	for lo := from; lo < to; lo += rows {
		hi := min(lo+rows, to)
		t := w.tile[:(hi-lo)*n]
		p.m.Read(t, lo, hi)
		p.gram(w, v, t, width)
	}
}

// gram adds T^T T v to w.z. Of at most kernel.GramRows rows of T, w.y has T v
// then, rows x block.
func (p *product) gram(w *part, v, t []float64, width int) {
	n := p.m.Cols
	if vectors() {
		kernel.Gram(w.z, v, t, n, w.y)
		return
	}
	rows := len(t) / n
	p.blas.Dgemm(false, true, rows, width, n, 1, t, n, v, n, 0, w.y, block)
	p.blas.Dgemm(true, false, width, n, rows, 1, w.y, block, t, n, 1, w.z, n)
}

// project subtracts from the first width rows of z their projections onto the
// rows of an orthonormal basis, and sets c, basis x block, to the coefficients.
// scratch is as long as z.
func (p *product) project(z, basis []float64, width int, c, scratch []float64) {
	n := p.m.Cols
	step := min(kernel.GramRows(n), tileRows(p.m))
	// A part takes some rows at least: to clear and to add its sums costs as much as a row.
	parts := p.parts[:max(1, min(len(p.parts), len(basis)/n/basisRows))]
	p.sum(parts, scratch, width, len(basis)/n, func(w *part, from, to int) {
		for lo := from; lo < to; lo += step {
			hi := min(lo+step, to)
			p.gram(w, z, basis[lo*n:hi*n], width)
			copy(c[lo*block:hi*block], w.y)
		}
	})
	floats.Sub(z[:width*n], scratch[:width*n])
}
