package dag

import "github.com/relupath/relupath/analysis/kernel"

func (d *Dense) eval(ev *evaluator, dst, src []float64, fin *finish) {
	defer ev.finish(fin, dst)
	batch := ev.batch
	if d.InOut {
		d.evalInOut(ev, dst, src, batch)
		return
	}
	if d.Rows == 0 || d.Cols == 0 {
		clear(dst)
		return
	}
	// Every block of rows gives its own part of the value: goroutines widen and
	// multiply one at a time. The matrix alone says how many rows that are: products
	// of other blocks would differ in their last bits.
	m, n := batch*d.outer(), d.inner()
	step := min(d.tileRows(), max(16, (d.Rows+7)/8))
	kernel.Parallel((d.Rows+step-1)/step, ev.threads, 1, func(first, end int) {
		tile := make([]float64, step*d.Cols)
		for lo := first * step; lo < min(end*step, d.Rows); lo += step {
			rows := min(step, d.Rows-lo)
			w := tile[:rows*d.Cols]
			d.widen(w, lo*d.Cols)
			if n == 1 { // dst (m x Rows) = src (m x Cols) W^T
				ev.blas.Dgemm(false, true, m, rows, d.Cols, 1, src, d.Cols, w, d.Cols, 0, dst[lo:], d.Rows)
				continue
			}
			// Positions to the right: (Rows x n) = W (Cols x n), one a sample.
			for b := range m {
				ev.blas.Dgemm(false, false, rows, n, d.Cols, 1, w, d.Cols, src[b*d.Cols*n:], n, 0, dst[(b*d.Rows+lo)*n:], n)
			}
		}
	})
}

// evalInOut adds up what each block of inputs gives to all units.
func (d *Dense) evalInOut(ev *evaluator, dst, src []float64, batch int) {
	if d.Rows == 0 || d.Cols == 0 {
		clear(dst)
		return
	}
	m, n := batch*d.outer(), d.inner()
	step := min(d.tileRows(), d.Cols)
	tile := make([]float64, step*d.Rows)
	beta := 0.0
	for lo := 0; lo < d.Cols; lo += step {
		cols := min(step, d.Cols-lo)
		w := tile[:cols*d.Rows]
		kernel.Parallel(len(w), ev.threads, 1<<15, func(a, b int) { d.widen(w[a:b], lo*d.Rows+a) })
		if n == 1 {
			ev.blas.Dgemm(false, false, m, d.Rows, cols, 1, src[lo:], d.Cols, w, d.Rows, beta, dst, d.Rows)
		} else {
			for b := range m {
				ev.blas.Dgemm(true, false, d.Rows, n, cols, 1, w, d.Rows, src[(b*d.Cols+lo)*n:], n, beta, dst[b*d.Rows*n:], n)
			}
		}
		beta = 1
	}
}

// tileRows returns the number of stored rows of weights to widen at a time: 64
// rows of 4000 are two megabytes, small enough for a cache and
// large enough for the product to be worth its packing.
func (d *Dense) tileRows() int {
	cols := d.Cols
	if d.InOut {
		cols = d.Rows
	}
	return max(64, 1<<16/cols)
}

// widen writes the stored weights from the given one on to dst, in float64. They
// are copied for float64 weights too: where a mapped file was cut off, Go
// survives the fault of reading it (see onnxio.Model.Guard) and a library outside
// Go does not.
func (d *Dense) widen(dst []float64, at int) {
	if double := d.W.Param.Float64s(); double != nil {
		copy(dst, double[at:])
		return
	}
	kernel.Widen(dst, d.W.Param.Float32s()[at:at+len(dst)])
}
