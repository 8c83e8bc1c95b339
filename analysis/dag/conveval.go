package dag

import (
	"slices"

	"github.com/relupath/relupath/analysis/kernel"
)

// unfoldLimit bounds the elements of an unfolded band: 8 MB.
const unfoldLimit = 1 << 20

// group returns the weights of one group in float64, in buf: a copy for the reason
// that Dense.widen makes one.
func (c *Conv) group(g int, buf []float64, threads int) []float64 {
	outer, inner, k := c.Matrix()
	n := outer * inner * k
	double, single := c.W.Param.Float64s(), c.W.Param.Float32s()
	kernel.Parallel(n, threads, 1<<14, func(lo, hi int) {
		if at := g*n + lo; double != nil {
			copy(buf[lo:hi], double[at:])
		} else {
			kernel.Widen(buf[lo:hi], single[at:at+hi-lo])
		}
	})
	return buf[:n]
}

// eval computes the convolution sample by sample.
func (c *Conv) eval(ev *evaluator, dst, src []float64, fin *finish) {
	batch := ev.batch
	outer, inner, k := c.Matrix()
	if p, ok := c.phases(); ok && inner == 1 && c.Groups > 1 {
		c.depthwise(ev, p, dst, src, fin)
		return
	}
	if c.Transposed { // groups and bands add up
		defer ev.finish(fin, dst)
	}
	rows := inner * k
	if c.Transposed || outer*rows == 0 {
		clear(dst)
	}
	nx, ny := c.In().Len(), c.Out().Len()
	nOut := Size(c.Window.Out())
	// Small samples are split over goroutines. For large ones the matrix product is.
	samples, inside := 1, ev.threads
	if outer*rows*nOut <= smallProduct {
		samples, inside = ev.threads, 1
	}
	buf := make([]float64, outer*rows)
	bs := c.bands(rows, unfoldLimit)
	for g := range c.Groups {
		m := c.group(g, buf, ev.threads)
		kernel.Parallel(batch, samples, 1, func(lo, hi int) {
			w := &convWorker{c: c, ev: ev, fin: fin, m: m, g: g, bands: bs, threads: inside}
			for b := lo; b < hi; b++ {
				w.sample(dst[b*ny:][:ny], src[b*nx:][:nx])
			}
		})
	}
}

// pointwise reports whether the operand is its own unfolding: each output position reads
// the one input position.
func (c *Conv) pointwise() bool {
	w := &c.Window
	if c.Transposed || Size(w.Kernel) != 1 || !slices.Equal(w.In, w.Out()) {
		return false
	}
	for d := range w.Stride {
		if w.Stride[d] != 1 || w.Before[d] != 0 {
			return false
		}
	}
	return true
}

// smallProduct is the largest product (multiplications) that package blas does not
// split over threads.
const smallProduct = 1 << 20

// convWorker evaluates one group on samples.
type convWorker struct {
	c       *Conv
	ev      *evaluator
	fin     *finish
	m       []float64
	g       int
	bands   []band
	threads int
	cols    []float64
}

func (w *convWorker) sample(dst, src []float64) {
	c := w.c
	outer, inner, k := c.Matrix()
	rows, nOut, nIn := inner*k, Size(c.Window.Out()), Size(c.Window.In)
	if need := rows * w.bands[0].n; w.cols == nil && !c.pointwise() {
		w.cols = make([]float64, need)
	}
	if c.Transposed {
		x, y := src[w.g*outer*nOut:], dst[w.g*inner*nIn:]
		for _, b := range w.bands {
			cols := w.cols[:rows*b.n]
			w.ev.blas.Dgemm(true, false, rows, b.n, outer, 1, w.m, rows, x[b.at:], nOut, 0, cols, b.n)
			kernel.Parallel(inner, w.threads, max(1, 1<<14/(k*b.n)), func(lo, hi int) { c.fold(y, cols, b, lo, hi, nil) })
		}
		return
	}
	x, y := src[w.g*inner*nIn:], dst[w.g*outer*nOut:][:outer*nOut]
	defer kernel.Parallel(outer, w.threads, max(1, 1<<15/max(1, nOut)), func(lo, hi int) { w.fin.rows(y[lo*nOut:hi*nOut], w.g*outer+lo) })
	if c.pointwise() {
		w.ev.blas.Dgemm(false, false, outer, nOut, rows, 1, w.m, rows, x, nOut, 0, y, nOut)
		return
	}
	for _, b := range w.bands {
		cols := w.cols[:rows*b.n]
		// One band's padding is the same in every sample.
		if len(w.bands) > 1 {
			clear(cols)
		}
		kernel.Parallel(inner, w.threads, max(1, 1<<14/(k*b.n)), func(lo, hi int) { c.unfold(cols, x, b, lo, hi) })
		w.ev.blas.Dgemm(false, false, outer, b.n, rows, 1, w.m, rows, cols, b.n, 0, y[b.at:], nOut)
	}
}
