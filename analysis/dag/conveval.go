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

// eval computes the convolution as one product a group, whose columns are the output
// positions of all samples: they are unfolded a tile at a time.
func (c *Conv) eval(ev *evaluator, dst, src []float64, fin *finish) {
	outer, inner, k := c.Matrix()
	if c.Transposed {
		c.transposed(ev, dst, src)
		ev.finish(fin, dst)
		return
	}
	if c.Groups == 1 && c.once() {
		(&Dense{W: c.W, Rows: outer, Cols: inner * k}).eval(ev, dst, src, fin)
		return
	}
	if p, ok := c.phases(); ok && inner == 1 && c.Groups > 1 {
		c.depthwise(ev, p, dst, src, fin)
		return
	}
	double, single := c.W.Param.Float64s(), c.W.Param.Float32s()
	u := newUnfolding(c, src)
	p := &packed{
		groups: c.Groups, rows: outer, cols: ev.batch * u.positions, k: inner * k,
		line: u.positions, skip: c.Out().Len(),
		left: func(p *pack, g, row, n int) {
			if row += g * outer; double != nil {
				rowPanels(p, double, inner*k, row, n)
			} else {
				rowPanels(p, single, inner*k, row, n)
			}
		},
		right: func() func(p *pack, g, col, n int) {
			own := *u
			return own.pack
		},
		ends:   u.ends,
		finish: func(dst []float64, row, _ int) { fin.unit(dst, row) },
	}
	p.eval(ev, dst)
}

// once reports whether the kernel covers the operand and has one position: it is then a
// full matrix.
func (c *Conv) once() bool {
	w := &c.Window
	return slices.Equal(w.Kernel, w.In) && Size(w.Out()) == 1 && !slices.ContainsFunc(w.Before, func(b int) bool { return b != 0 })
}

// pointwise reports whether the operand is its own unfolding: each output position reads
// the one input position.
func (c *Conv) pointwise() bool {
	w := &c.Window
	if Size(w.Kernel) != 1 || !slices.Equal(w.In, w.Out()) {
		return false
	}
	for d := range w.Stride {
		if w.Stride[d] != 1 || w.Before[d] != 0 {
			return false
		}
	}
	return true
}

// transposed adds up what each group and band gives, sample by sample.
func (c *Conv) transposed(ev *evaluator, dst, src []float64) {
	clear(dst)
	outer, inner, k := c.Matrix()
	rows := inner * k
	if outer*rows == 0 {
		return
	}
	nx, ny, nOut, nIn := c.In().Len(), c.Out().Len(), Size(c.Window.Out()), Size(c.Window.In)
	buf := make([]float64, outer*rows)
	bands := c.bands(rows, unfoldLimit)
	for g := range c.Groups {
		m := c.group(g, buf, ev.threads)
		kernel.Parallel(ev.batch, ev.threads, 1, func(lo, hi int) {
			cols := make([]float64, rows*bands[0].n)
			for s := lo; s < hi; s++ {
				x, y := src[s*nx+g*outer*nOut:], dst[s*ny+g*inner*nIn:]
				for _, b := range bands {
					cols := cols[:rows*b.n]
					ev.blas.Dgemm(true, false, rows, b.n, outer, 1, m, rows, x[b.at:], nOut, 0, cols, b.n)
					c.fold(y, cols, b)
				}
			}
		})
	}
}
