package eval

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// unfoldLimit bounds the elements of an unfolded band: 8 MB.
const unfoldLimit = 1 << 20

// conv is a convolution that is evaluated.
type conv struct{ *dag.Conv }

// group returns the weights of one group in float64, in buf: a copy for the reason
// that Dense.widen makes one.
func (c conv) group(g int, buf []float64, threads int) []float64 {
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
func (c conv) eval(ev *evaluator, dst, src []float64, fin *finish) {
	outer, inner, k := c.Matrix()
	if c.Transposed {
		c.transposed(ev, dst, src)
		ev.finish(fin, dst)
		return
	}
	if c.Groups == 1 && c.once() {
		dense{&dag.Dense{W: c.W, Rows: outer, Cols: inner * k}}.eval(ev, dst, src, fin)
		return
	}
	if inner == 1 && c.Groups > 1 {
		if p := c.phases(); p != nil {
			c.depthwise(ev, p, dst, src, fin)
			return
		}
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
		blocks:   u.ends,
		rowUnits: fin,
	}
	p.eval(ev, dst)
}

// once reports whether the kernel covers the operand and has one position: it is then a
// full matrix.
func (c conv) once() bool {
	w := &c.Window
	return slices.Equal(w.Kernel, w.In) && dag.Size(w.Out()) == 1 && !slices.ContainsFunc(w.Before, func(b int) bool { return b != 0 })
}

// pointwise reports whether the operand is its own unfolding: each output position reads
// the one input position.
func (c conv) pointwise() bool {
	w := &c.Window
	if dag.Size(w.Kernel) != 1 || !slices.Equal(w.In, w.Out()) {
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
func (c conv) transposed(ev *evaluator, dst, src []float64) {
	clear(dst)
	outer, inner, k := c.Matrix()
	rows := inner * k
	if outer*rows == 0 {
		return
	}
	nx, ny, nOut, nIn := c.In().Len(), c.Out().Len(), dag.Size(c.Window.Out()), dag.Size(c.Window.In)
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

// band is a range of the window's outputs, lines [lo, hi) of the first
// dimension, n positions from position at.
type band struct{ lo, hi, at, n int }

// bands splits the window's outputs so that an unfolded band of rows rows
// has at most limit elements, as far as one line allows.
func (c conv) bands(rows, limit int) []band {
	out := c.Window.Out()
	if len(out) == 0 {
		return []band{{0, 1, 0, 1}}
	}
	line := dag.Size(out[1:])
	step := max(1, limit/max(1, rows*line))
	var bs []band
	for lo := 0; lo < out[0]; lo += step {
		hi := min(lo+step, out[0])
		bs = append(bs, band{lo, hi, lo * line, (hi - lo) * line})
	}
	return bs
}

// runs lists the taps of a band's outputs, see Window.Runs; out counts from
// the band's begin.
func (c conv) runs(b band, f func(out, in, kernel, n int)) {
	if len(c.Window.In) == 0 {
		f(0, 0, 0, 1)
		return
	}
	c.Window.RunsWithin(b.lo, b.hi, func(out, in, k, n int) { f(out-b.at, in, k, n) })
}

// fold adds a (channels * kernel) x (positions of b) matrix of products to the elements
// of x that each output position reads.
func (c conv) fold(x, src []float64, b band) {
	kernel, nIn, step := dag.Size(c.Window.Kernel), dag.Size(c.Window.In), c.Window.Step()
	_, inner, _ := c.Matrix()
	c.runs(b, func(o, p, k, n int) {
		for j := range inner {
			d := x[j*nIn+p:]
			for i, v := range src[(j*kernel+k)*b.n+o:][:n] {
				d[i*step] += v
			}
		}
	})
}
