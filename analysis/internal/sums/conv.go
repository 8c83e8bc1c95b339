package sums

import (
	"math"
	"sync"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

func convolution(l *dag.Linear, c *dag.Conv, q Request, s *Sums) {
	if f := c.W.Param.Float64s(); f != nil {
		convOf(l, c, f, q, s)
	} else {
		convOf(l, c, c.W.Param.Float32s(), q, s)
	}
}

func convOf[T kernel.Float](l *dag.Linear, c *dag.Conv, w []T, q Request, s *Sums) {
	m := &convMatrix[T]{c: c, w: w, threads: q.Threads, mem: q.Memory}
	m.outer, m.inner, m.taps = c.Matrix()
	m.rows, m.cols = c.Groups*m.outer, m.inner*m.taps
	s.Weights = len(w)
	s.Columns = zeros(len(q.Columns), c.In().N)
	m.norms(columnPaths(l, q), q, s)
	if q.Zeros {
		s.Zeros += zeroed(l, len(w)/max(l.Rows(), 1), func(i, j int) float64 { return float64(w[m.stored(i, j, c.Transposed)]) })
	} else {
		s.Zeros = 0
	}
	// The channels of the operand or the value that a programme starts from.
	start := func(lay *grid.Layout, a dag.Axis, paths []Path) (*grid.Layout, []Path) {
		lay, _, from := lay.Units(a.Outer, a.N, a.Inner)
		return lay, gather(paths, from, q.Memory)
	}
	if len(q.Forward) > 0 {
		lay, paths := start(q.From, c.In(), q.Forward)
		s.Value, s.Forward = m.programmes(lay, paths, c.Transposed)
	}
	if len(q.Backward) > 0 {
		lay, paths := scaledPaths(l, q)
		lay, paths = start(lay, c.Out(), paths)
		s.Operand, s.Backward = m.programmes(lay, paths, !c.Transposed)
	}
}

// convMatrix is a convolution's weights as they are stored: a row for each channel
// at the window's outputs, over all groups, and a column for each of a group's
// channels at its inputs and each tap. A convolution goes from columns to rows, a
// transposed one from rows to columns.
type convMatrix[T kernel.Float] struct {
	c                  *dag.Conv
	w                  []T
	outer, inner, taps int
	rows, cols         int
	threads            int
	mem                *Memory
}

// stored returns the place of weight j of unit i.
func (m *convMatrix[T]) stored(i, j int, transposed bool) int {
	if !transposed {
		return i*m.cols + j
	}
	return ((i/m.inner*m.outer+j/m.taps)*m.inner+i%m.inner)*m.taps + j%m.taps
}

// norms takes the norms of rows and columns, each shared weight once.
func (m *convMatrix[T]) norms(columns []Path, q Request, s *Sums) {
	// By stored row, and by stored column in each group.
	var along, down []Path
	var alongDst, downDst [][]scaled.Num
	for k, p := range q.Powers {
		if m.c.Transposed {
			down, downDst = append(down, Path{P: p}), append(downDst, s.Rows[k])
		} else {
			along, alongDst = append(along, Path{P: p}), append(alongDst, s.Rows[k])
		}
	}
	for k, p := range columns {
		if m.c.Transposed {
			along, alongDst = append(along, p), append(alongDst, s.Columns[k])
		} else {
			down, downDst = append(down, p), append(downDst, s.Columns[k])
		}
	}
	if len(along)+len(down) == 0 && !q.Zeros {
		return
	}
	whole := &matrixSums[T]{w: m.w, rows: m.rows, cols: m.cols, zeros: q.Zeros}
	var later []func()
	for k, p := range along {
		if p.H == nil {
			whole.across = append(whole.across, newSeries(p.P, nil, alongDst[k], index))
			continue
		}
		later = append(later, func() { m.along(p, alongDst[k]) })
	}
	for k, p := range down {
		if m.c.Groups > 1 {
			later = append(later, func() { m.down(p, downDst[k]) })
			continue
		}
		taps := make([]scaled.Num, m.cols)
		whole.down = append(whole.down, newSeries(p.P, p.H, taps, index))
		later = append(later, func() {
			for b := range downDst[k] {
				downDst[k][b] = scaled.Norm(taps[b*m.taps:][:m.taps], p.P)
			}
		})
	}
	s.Zeros += whole.run(m.threads)
	for _, f := range later {
		f()
	}
}

// along is the norm of each stored row, its channels times the factors of p.
func (m *convMatrix[T]) along(p Path, dst []scaled.Num) {
	kernel.Parallel(m.rows, m.threads, max(1, 1<<12/m.cols), func(lo, hi int) {
		x := make([]scaled.Num, m.inner)
		for a := lo; a < hi; a++ {
			for b := range x {
				x[b] = rowSlow(m.w[a*m.cols+b*m.taps:][:m.taps], p.P, nil, 0, true, nil).Mul(p.H[a/m.outer*m.inner+b])
			}
			dst[a] = scaled.Norm(x, p.P)
		}
	})
}

// down is the norm of each group's channels over its rows, times the factors of p
// (nil is ones).
func (m *convMatrix[T]) down(p Path, dst []scaled.Num) {
	kernel.Parallel(m.c.Groups, m.threads, max(1, 1<<12/(m.outer*m.cols)), func(lo, hi int) {
		x := make([]scaled.Num, m.outer)
		for g := lo; g < hi; g++ {
			for b := range m.inner {
				for a := range x {
					row := g*m.outer + a
					if x[a] = rowSlow(m.w[row*m.cols+b*m.taps:][:m.taps], p.P, nil, 0, true, nil); p.H != nil {
						x[a] = x[a].Mul(p.H[row])
					}
				}
				dst[g*m.inner+b] = scaled.Norm(x, p.P)
			}
		}
	})
}

// programmes runs path programmes from columns to rows (a window's inputs to its
// outputs), or back.
func (m *convMatrix[T]) programmes(l *grid.Layout, paths []Path, back bool) (*grid.Layout, []Path) {
	from, to := m.c.Groups*m.inner, m.rows
	if back {
		from, to = to, from
	}
	win := l.Window(&m.c.Window, from, back)
	lay := win.Layout.Replace(0, to)
	var ps []*programme[T]
	for _, p := range gather(paths, win.From, m.mem) {
		ps = append(ps, newProgramme(m, win, p))
	}
	if back {
		return lay, m.toColumns(win, ps)
	}
	return lay, m.toRows(win, ps)
}

// programme is one path programme through a convolution: the products of |w|^p
// with h^p, for p = Inf with the maximum for the sum.
type programme[T kernel.Float] struct {
	*convMatrix[T]
	win *grid.Windowed
	Path
	h  []float64 // (h 2^-he)^p
	he int64
	ok bool // h holds all of the path
	// sum is what the products add up to.
	sum []float64
	// The weights times f = 2^-we are raised to p.
	f  float64
	we int64
	// plain says that the weights are far from the ends of float64 as they are.
	plain bool

	mu   sync.Mutex
	lost float64 // the least of the weights met, raised, but for zeros
}

func newProgramme[T kernel.Float](m *convMatrix[T], win *grid.Windowed, p Path) *programme[T] {
	r := &programme[T]{convMatrix: m, win: win, Path: p, f: 1, lost: math.Inf(1)}
	if r.h, r.he, r.ok = p.g, p.exp, p.g != nil; !r.ok {
		r.h, r.he, r.ok = scaled.Common(p.H)
		r.least = raise(r.h, r.h, 1, r.P)
	}
	// |w|^p of finite float32 numbers is within float64 by far for these p.
	if _, single := any(m.w).([]float32); single && (r.P <= 2 || math.IsInf(r.P, 1)) {
		r.plain, r.lost = true, 0x1p-149
		if r.P <= 2 {
			r.lost = math.Pow(r.lost, r.P)
		}
		return r
	}
	_, e := math.Frexp(m.c.W.Param.MaxAbs(m.threads))
	e = max(-1000, min(e, 1000)) // so that 2^-e is a normal number
	r.we, r.f = int64(e), math.Ldexp(1, -e)
	return r
}

// weights writes stored weights raised to p to dst.
func (r *programme[T]) weights(dst []float64, w []T) {
	if !r.plain {
		least := raise(dst, w, r.f, r.P)
		r.mu.Lock()
		r.lost = min(r.lost, least)
		r.mu.Unlock()
		return
	}
	switch r.P {
	case 1:
		for i, x := range w {
			dst[i] = math.Abs(float64(x))
		}
	case 2:
		for i, x := range w {
			y := float64(x)
			dst[i] = y * y
		}
	default:
		raise(dst, w, 1, r.P)
	}
}

// raise writes (f*|x|)^p (f*|x| for p = Inf) to dst and returns the smallest that
// is not the power of zero; zero when one underflowed.
func raise[T kernel.Float](dst []float64, x []T, f, p float64) float64 {
	least := math.Inf(1)
	switch {
	case p == 1 || math.IsInf(p, 1):
		for i, v := range x {
			y := math.Abs(float64(v)) * f
			dst[i] = y
			if y < least && v != 0 {
				least = y
			}
		}
	case p == 2:
		for i, v := range x {
			y := float64(v) * f
			y *= y
			dst[i] = y
			if y < least && v != 0 {
				least = y
			}
		}
	default:
		for i, v := range x {
			y := math.Abs(float64(v)) * f
			if y != 0 {
				y = scaled.Power(y, p)
			}
			dst[i] = y
			if y < least && v != 0 {
				least = y
			}
		}
	}
	return least
}

// finish makes a programme of sums, which it takes over; a number that may have
// lost terms to underflow is computed again by slow.
func (r *programme[T]) finish(sum []float64, slow func(cell int) scaled.Num) Path {
	exact := r.ok && r.least*r.lost > 1e-290
	if exact && r.g != nil {
		return packed(r.P, r.we+r.he, sum, r.threads)
	}
	if r.H = r.Nums(); r.H == nil {
		r.H = []scaled.Num{}
	}
	out := make([]scaled.Num, len(sum))
	kernel.Parallel(len(sum), r.threads, 1<<12, func(lo, hi int) {
		for e, x := range sum[lo:hi] {
			if !exact && !(r.ok && safeSum(x)) {
				out[lo+e] = slow(lo + e)
			} else {
				out[lo+e] = scaled.New(x).Root(rootOf(r.P)).Scale(r.we + r.he)
			}
		}
	})
	return Pack(r.P, out)
}

// small is the largest product that is not worth a call of the library, enough the
// number of blocks that keep all threads busy without splitting one.
const small, enough = 1 << 12, 8

// toRows multiplies the matrix of stored columns x places, of what each tap reads, by the weights: in tiles
// where the machine has them, small and strange ones block by block.
func (m *convMatrix[T]) toRows(win *grid.Windowed, ps []*programme[T]) []Path {
	places := win.Places
	var tiled, rest []*programme[T]
	for _, r := range ps {
		r.sum = m.mem.room(m.rows * places)
		if kernel.Tiled() && m.outer > few && m.outer*m.cols*places > small && r.tileable() {
			tiled = append(tiled, r)
		} else {
			clear(r.sum)
			rest = append(rest, r)
		}
	}
	m.tiled(win, tiled)
	m.blocks(win, rest)
	out := make([]Path, len(ps))
	for k, r := range ps {
		out[k] = r.finish(r.sum, func(cell int) scaled.Num {
			row, place := cell/places, cell%places
			var acc scaled.Accumulator
			acc.Reset(r.P)
			for j, w := range m.w[row*m.cols:][:m.cols] {
				if src := win.Taps[j%m.taps].At(place); src >= 0 {
					acc.Add(r.H[(row/m.outer*m.inner+j/m.taps)*win.Sources+int(src)].MulFloat(float64(w)))
				}
			}
			return acc.Norm()
		})
	}
	return out
}

// tileable reports whether the loops of tiles have what the order needs: for maxima finite numbers.
func (r *programme[T]) tileable() bool {
	if !math.IsInf(r.P, 1) {
		return true
	}
	top := r.c.W.Param.MaxAbs(r.threads)
	return r.g != nil && top-top == 0
}

// blocks multiplies some rows of one group by some places, for one order, at a time.
func (m *convMatrix[T]) blocks(win *grid.Windowed, ps []*programme[T]) {
	if len(ps) == 0 {
		return
	}
	places := win.Places
	step := min(max(16, min(256, 1<<17/m.cols)), m.outer)
	width := max(64, min(512, 1<<18/m.cols))
	width = (places + (places+width-1)/width - 1) / ((places + width - 1) / width)
	perGroup, blocks := (m.outer+step-1)/step, (places+width-1)/width
	n := len(ps) * m.c.Groups * blocks
	// What a block's columns are worth: to all its rows, if there are blocks enough.
	grain := 1 + 1<<14/(step*m.cols*width+1)
	if n >= 4*m.threads {
		grain = max(grain, perGroup)
	}
	engine := blas.Find()
	if n*perGroup >= enough {
		engine = engine.Serial()
	}
	kernel.InTurn(n*perGroup, m.threads, grain, func(take func() (int, int)) {
		tile, cols := scratch.room(step*m.cols), scratch.room(m.cols*width)
		defer scratch.Put(tile)
		defer scratch.Put(cols)
		last := -1
		for lo, hi := take(); lo < hi; lo, hi = take() {
			for t := lo; t < hi; t++ {
				part := t / perGroup
				r, g := ps[part/(m.c.Groups*blocks)], part/blocks%m.c.Groups
				first := part % blocks * width
				b := block{first, min(width, places-first)}
				h := r.h[g*m.inner*win.Sources:]
				a := t % perGroup * step
				rows := min(step, m.outer-a)
				row := g*m.outer + a
				dst, w := r.sum[row*places+first:], m.w[row*m.cols:][:rows*m.cols]
				tile := (*tile)[:len(w)]
				inf := math.IsInf(r.P, 1)
				switch direct := win.Direct(); {
				case direct && !inf && len(w)*b.n > small:
					r.weights(tile, w)
					engine.Dgemm(false, false, rows, b.n, m.cols, 1, tile, m.cols, h[first:], places, 0, dst, places)
				case m.outer <= few:
					r.weights(tile, w)
					r.weighted(dst, tile, h, b, rows)
				default:
					if part != last {
						r.unfold(*cols, h, b)
						last = part
					}
					r.multiply(engine, dst, w, tile, *cols, b, rows)
				}
			}
		}
	})
}

// few is the largest number of rows of a group, as of a depthwise convolution, for
// which gathering what the taps read is not worth its writing.
const few = 4

// block is n places from the first on.
type block struct{ first, n int }

// weighted adds up what each tap reads, times its weight.
func (r *programme[T]) weighted(dst, tile, h []float64, b block, rows int) {
	places, sources, inf := r.win.Places, r.win.Sources, math.IsInf(r.P, 1)
	for i := range rows {
		d := dst[i*places:][:b.n]
		for j, w := range tile[i*r.cols:][:r.cols] {
			x := h[j/r.taps*sources:]
			tap := r.win.Taps[j%r.taps].Within(b.first, b.n)
			d := d[tap.First:]
			for p, src := range tap.Source {
				switch {
				case src < 0:
				case !inf:
					d[p] += w * x[src]
				default:
					if v := w * x[src]; !(v <= d[p]) {
						d[p] = v
					}
				}
			}
		}
	}
}

// unfold writes the matrix of stored columns x places of one group, or for maxima
// its transpose, to dst.
func (r *programme[T]) unfold(dst, h []float64, blk block) {
	sources := r.win.Sources
	stride, across := blk.n, 1
	if math.IsInf(r.P, 1) {
		stride, across = 1, r.cols
	}
	for b := range r.inner {
		x := h[b*sources:][:sources]
		for t := range r.win.Taps {
			at, tap := (b*r.taps+t)*stride, r.win.Taps[t].Within(blk.first, blk.n)
			if across == 1 {
				d := dst[at:][:blk.n]
				clear(d)
				d = d[tap.First:]
				for p, src := range tap.Source {
					if src >= 0 {
						d[p] = x[src]
					}
				}
				continue
			}
			for p := range blk.n {
				dst[at+p*across] = 0
			}
			for p, src := range tap.Source {
				if src >= 0 {
					dst[at+(tap.First+p)*across] = x[src]
				}
			}
		}
	}
}

// multiply gives n rows of weights their products with the columns.
func (r *programme[T]) multiply(engine *blas.Engine, dst []float64, w []T, tile, cols []float64, b block, n int) {
	places := r.win.Places
	if math.IsInf(r.P, 1) {
		if top := kernel.MaxAbs(w); r.g != nil && top-top == 0 {
			r.weights(tile, w)
			kernel.PairsMax(dst, places, tile, cols[:r.cols*b.n], r.cols)
			return
		}
		if r.plain {
			largest(dst, w, cols, n, r.cols, b.n, places)
			return
		}
		r.weights(tile, w)
		largest(dst, tile, cols, n, r.cols, b.n, places)
		return
	}
	r.weights(tile, w)
	if len(tile)*b.n > small {
		engine.Dgemm(false, false, n, b.n, r.cols, 1, tile, r.cols, cols, b.n, 0, dst, places)
		return
	}
	for i := range n {
		d := dst[i*places:][:b.n]
		for j, x := range tile[i*r.cols:][:r.cols] {
			for p, y := range cols[j*b.n:][:b.n] {
				d[p] += x * y
			}
		}
	}
}

// largest writes the largest |w| x of n rows of weights with each of some vectors.
// It goes by parts of vectors that stay in the nearest cache.
func largest[T kernel.Float](dst []float64, w []T, x []float64, n, cols, vectors, stride int) {
	const part = 2048
	for lo := 0; lo < cols; lo += part {
		hi := min(lo+part, cols)
		for p := range vectors {
			v := x[p*cols+lo : p*cols+hi]
			for i := range n {
				if y := kernel.DotMax(w[i*cols+lo:i*cols+hi], v); !(y <= dst[i*stride+p]) {
					dst[i*stride+p] = y
				}
			}
		}
	}
}

// toColumns multiplies by the transposed weights and then adds up what each tap
// gives to each place.
func (m *convMatrix[T]) toColumns(win *grid.Windowed, ps []*programme[T]) []Path {
	places, sources := win.Places, win.Sources
	// Stored columns x sources of each group; a goroutine takes some columns, and
	// all rows of them.
	prod := make([][]float64, len(ps))
	for k := range prod {
		prod[k] = m.mem.zeros(m.c.Groups * m.cols * sources)
	}
	step := min(max(64, min(1024, 1<<17/m.outer)), m.cols)
	perGroup := (m.cols + step - 1) / step
	kernel.Parallel(m.c.Groups*perGroup, m.threads, max(1, 1<<14/(step*m.outer*sources+1)), func(lo, hi int) {
		tile := make([]float64, m.outer*step)
		for t := lo; t < hi; t++ {
			g, j := t/perGroup, t%perGroup*step
			n := min(step, m.cols-j)
			for k, r := range ps {
				for a := range m.outer {
					r.weights(tile[a*n:][:n], m.w[(g*m.outer+a)*m.cols+j:][:n])
				}
				r.multiplyBack(prod[k][(g*m.cols+j)*sources:], tile, r.h[g*m.outer*sources:], n)
			}
		}
	})
	channels := m.c.Groups * m.inner
	out := make([]Path, len(ps))
	for k, r := range ps {
		sum := m.mem.zeros(channels * places)
		kernel.Parallel(channels, m.threads, max(1, 1<<12/(m.taps*places)), func(lo, hi int) {
			for b := lo; b < hi; b++ {
				join(sum[b*places:][:places], prod[k][b*m.taps*sources:], win.Taps, sources, math.IsInf(r.P, 1))
			}
		})
		out[k] = r.finish(sum, func(cell int) scaled.Num {
			b, place := cell/places, cell%places
			var acc scaled.Accumulator
			acc.Reset(r.P)
			for t := range win.Taps {
				src := win.Taps[t].At(place)
				for a := 0; src >= 0 && a < m.outer; a++ {
					row := b/m.inner*m.outer + a
					acc.Add(r.H[row*sources+int(src)].MulFloat(float64(m.w[row*m.cols+b%m.inner*m.taps+t])))
				}
			}
			return acc.Norm()
		})
	}
	return out
}

// multiplyBack multiplies n columns of weights, raised, by what leaves the rows.
func (r *programme[T]) multiplyBack(dst, tile, h []float64, n int) {
	sources, inf := r.win.Sources, math.IsInf(r.P, 1)
	if !inf && r.outer*n*sources > small {
		blas.Find().Dgemm(true, false, n, sources, r.outer, 1, tile, n, h, sources, 0, dst, sources)
		return
	}
	for a := range r.outer {
		for i, x := range tile[a*n:][:n] {
			for q, y := range h[a*sources:][:sources] {
				if d := &dst[i*sources+q]; !inf {
					*d += x * y
				} else if v := x * y; !(v <= *d) {
					*d = v
				}
			}
		}
	}
}
