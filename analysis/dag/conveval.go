package dag

import "github.com/relupath/relupath/analysis/kernel"

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
func (c *Conv) eval(ev *evaluator, dst, src []float64, batch int) {
	outer, inner, k := c.Matrix()
	rows := inner * k
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
			w := &convWorker{c: c, ev: ev, m: m, g: g, bands: bs, threads: inside}
			for b := lo; b < hi; b++ {
				w.sample(dst[b*ny:][:ny], src[b*nx:][:nx])
			}
		})
	}
}

// smallProduct is the largest product (multiplications) that package blas does not
// split over threads.
const smallProduct = 1 << 20

// convWorker evaluates one group on samples.
type convWorker struct {
	c       *Conv
	ev      *evaluator
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
	if need := rows * w.bands[0].n; w.cols == nil {
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
	x, y := src[w.g*inner*nIn:], dst[w.g*outer*nOut:]
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
