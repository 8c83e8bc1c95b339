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
func (c *Conv) eval(ev *evaluator, dst, src []float64, batch int) {
	outer, inner, k := c.Matrix()
	if inner == 1 && c.Groups > 1 && !c.Transposed {
		c.depthwise(ev, dst, src, batch)
		return
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
			w := &convWorker{c: c, ev: ev, m: m, g: g, bands: bs, threads: inside}
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

// tapRun is a run of taps: see Window.Runs.
type tapRun struct{ out, at, tap, n int }

// depthwise computes a convolution whose groups have one channel: each output channel is
// a sum of shifted copies of an input channel, for which a matrix product would be a
// copy and a call a channel.
func (c *Conv) depthwise(ev *evaluator, dst, src []float64, batch int) {
	outer, _, k := c.Matrix()
	nIn, nOut, step := Size(c.Window.In), Size(c.Window.Out()), c.Window.step()
	var runs []tapRun
	c.Window.Runs(func(out, at, tap, n int) { runs = append(runs, tapRun{out, at, tap, n}) })
	weights := make([]float64, c.Groups*outer*k)
	for g := range c.Groups {
		c.group(g, weights[g*outer*k:], ev.threads)
	}
	// The value is batch x groups x outer channels.
	ev.rows(batch*c.Groups*outer, nOut*k, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			x, y := src[i/outer*nIn:][:nIn], dst[i*nOut:][:nOut]
			clear(y)
			w := weights[i%(c.Groups*outer)*k:][:k]
			for _, r := range runs {
				a, to := w[r.tap], y[r.out:][:r.n]
				if from := x[r.at:]; step == 1 {
					for e, v := range from[:r.n] {
						to[e] += a * v
					}
				} else {
					for e := range to {
						to[e] += a * from[e*step]
					}
				}
			}
		}
	})
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
	x, y := src[w.g*inner*nIn:], dst[w.g*outer*nOut:]
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
