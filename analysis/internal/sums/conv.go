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
	m := &convMatrix[T]{c: c, w: w, threads: q.Threads}
	m.outer, m.inner, m.taps = c.Matrix()
	m.rows, m.cols = c.Groups*m.outer, m.inner*m.taps
	s.Weights = len(w)
	s.Columns = lists(len(q.Columns), c.In().N)
	m.norms(columnPaths(l, q), q, s)
	if q.Zeros {
		s.Zeros += zeroed(l, len(w)/max(l.Rows(), 1), func(i, j int) float64 { return float64(w[m.stored(i, j, c.Transposed)]) })
	} else {
		s.Zeros = 0
	}
	// The channels of the operand or the value that a programme starts from.
	start := func(lay *grid.Layout, a dag.Axis, paths []Path) (*grid.Layout, []Path) {
		lay, _, from := lay.Units(a.Outer, a.N, a.Inner)
		return lay, gather(paths, from)
	}
	if len(q.Forward) > 0 {
		lay, paths := start(q.From, c.In(), q.Forward)
		s.Value, s.Forward = m.programmes(lay, paths, c.Transposed)
	}
	if len(q.Backward) > 0 {
		lay, paths := scaledPaths(l, q.To, q.Backward)
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
func (m *convMatrix[T]) programmes(l *grid.Layout, paths []Path, back bool) (*grid.Layout, [][]scaled.Num) {
	from, to := m.c.Groups*m.inner, m.rows
	if back {
		from, to = to, from
	}
	win := l.Window(&m.c.Window, from, back)
	lay := win.Layout.Replace(0, to)
	out := make([][]scaled.Num, len(paths))
	for k, p := range gather(paths, win.From) {
		r := newProgramme(m, win, p)
		if back {
			out[k] = r.toColumns()
		} else {
			out[k] = r.toRows()
		}
	}
	return lay, out
}

// programme is one path programme through a convolution: the products of |w|^p
// with h^p, for p = Inf with the maximum for the sum.
type programme[T kernel.Float] struct {
	*convMatrix[T]
	win *grid.Windowed
	p   float64
	hs  []scaled.Num
	h   []float64 // (hs 2^-he)^p
	he  int64
	ok  bool // h holds all of hs
	// The weights times f = 2^-we are raised to p.
	f  float64
	we int64

	mu    sync.Mutex
	least float64 // of h times that of the weights met, raised, but for zeros
	lost  float64
}

func newProgramme[T kernel.Float](m *convMatrix[T], win *grid.Windowed, p Path) *programme[T] {
	r := &programme[T]{convMatrix: m, win: win, p: p.P, hs: p.H, f: 1, lost: math.Inf(1)}
	r.h, r.he, r.ok = scaled.Common(r.hs)
	r.least = raise(r.h, r.h, 1, r.p)
	// |w|^p of finite float32 numbers is within float64 by far for these p.
	if _, single := any(m.w).([]float32); !single || r.p > 2 && !math.IsInf(r.p, 1) {
		_, e := math.Frexp(m.c.W.Param.MaxAbs(m.threads))
		e = max(-1000, min(e, 1000)) // so that 2^-e is a normal number
		r.we, r.f = int64(e), math.Ldexp(1, -e)
	}
	return r
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
				y = power(y, p)
			}
			dst[i] = y
			if y < least && v != 0 {
				least = y
			}
		}
	}
	return least
}

// lose notes the least raised weight of a tile.
func (r *programme[T]) lose(least float64) {
	r.mu.Lock()
	r.lost = min(r.lost, least)
	r.mu.Unlock()
}

// finish takes the roots of sums; a number that may have lost terms to underflow
// is computed again by slow.
func (r *programme[T]) finish(sum []float64, slow func(cell int) scaled.Num) []scaled.Num {
	exact := r.ok && r.least*r.lost > 1e-290
	out := make([]scaled.Num, len(sum))
	kernel.Parallel(len(sum), r.threads, 1<<12, func(lo, hi int) {
		for e, x := range sum[lo:hi] {
			switch {
			case !exact && !(r.ok && safeSum(x)):
				out[lo+e] = slow(lo + e)
			case r.p == 2:
				out[lo+e] = scaled.New(math.Sqrt(x)).Scale(r.we + r.he)
			default:
				out[lo+e] = scaled.New(x).Root(rootOf(r.p)).Scale(r.we + r.he)
			}
		}
	})
	return out
}

// small is the largest product that is not worth a call of the library.
const small = 1 << 12

// tileRows is how many stored rows are raised at a time: a megabyte.
func (r *programme[T]) tileRows() int { return max(16, min(256, 1<<17/r.cols)) }

// toRows gathers what each tap reads into a matrix of stored columns x places and
// multiplies.
func (r *programme[T]) toRows() []scaled.Num {
	places, sources := r.win.Places, r.win.Sources
	sum := make([]float64, r.rows*places)
	step := min(r.tileRows(), r.outer)
	perGroup := (r.outer + step - 1) / step
	// A goroutine takes whole tiles of one group at a time.
	kernel.Parallel(r.c.Groups*perGroup, r.threads, max(1, 1<<14/(step*r.cols*places+1)), func(lo, hi int) {
		tile, cols := make([]float64, step*r.cols), make([]float64, r.cols*places)
		group := -1
		for t := lo; t < hi; t++ {
			g := t / perGroup
			if g != group {
				group = g
				r.unfold(cols, r.h[g*r.inner*sources:], math.IsInf(r.p, 1))
			}
			a := t % perGroup * step
			n := min(step, r.outer-a)
			row := g*r.outer + a
			w := r.w[row*r.cols:][:n*r.cols]
			r.multiply(sum[row*places:], w, tile[:len(w)], cols, n)
		}
	})
	return r.finish(sum, func(cell int) scaled.Num {
		row, place := cell/places, cell%places
		var acc scaled.Accumulator
		acc.Reset(r.p)
		for j, w := range r.w[row*r.cols:][:r.cols] {
			if src := r.win.Source[j%r.taps][place]; src >= 0 {
				acc.Add(r.hs[(row/r.outer*r.inner+j/r.taps)*sources+int(src)].MulFloat(float64(w)))
			}
		}
		return acc.Norm()
	})
}

// unfold writes the matrix of stored columns x places of one group, or for maxima
// its transpose.
func (r *programme[T]) unfold(dst, h []float64, turned bool) {
	places, sources := r.win.Places, r.win.Sources
	for b := range r.inner {
		for t, source := range r.win.Source {
			j := b*r.taps + t
			for p, src := range source {
				x := 0.0
				if src >= 0 {
					x = h[b*sources+int(src)]
				}
				if turned {
					dst[p*r.cols+j] = x
				} else {
					dst[j*places+p] = x
				}
			}
		}
	}
}

// multiply gives n rows of weights their products with the columns.
func (r *programme[T]) multiply(dst []float64, w []T, tile, cols []float64, n int) {
	places := r.win.Places
	if math.IsInf(r.p, 1) {
		r.lose(raise(tile, w, r.f, r.p))
		for i := range n {
			for p := range places {
				dst[i*places+p] = kernel.DotMax(tile[i*r.cols:][:r.cols], cols[p*r.cols:][:r.cols])
			}
		}
		return
	}
	r.lose(raise(tile, w, r.f, r.p))
	if len(tile)*places > small {
		blas.Find().Dgemm(false, false, n, places, r.cols, 1, tile, r.cols, cols, places, 0, dst, places)
		return
	}
	for i := range n {
		d := dst[i*places:][:places]
		for j, x := range tile[i*r.cols:][:r.cols] {
			for p, y := range cols[j*places:][:places] {
				d[p] += x * y
			}
		}
	}
}

// toColumns multiplies by the transposed weights and then adds up what each tap
// gives to each place.
func (r *programme[T]) toColumns() []scaled.Num {
	places, sources := r.win.Places, r.win.Sources
	inf := math.IsInf(r.p, 1)
	// Stored columns x sources of each group; a goroutine takes some columns, and
	// all rows of them.
	prod := make([]float64, r.c.Groups*r.cols*sources)
	step := min(max(64, min(1024, 1<<17/r.outer)), r.cols)
	perGroup := (r.cols + step - 1) / step
	kernel.Parallel(r.c.Groups*perGroup, r.threads, max(1, 1<<14/(step*r.outer*sources+1)), func(lo, hi int) {
		tile := make([]float64, r.outer*step)
		for t := lo; t < hi; t++ {
			g, j := t/perGroup, t%perGroup*step
			n := min(step, r.cols-j)
			for a := range r.outer {
				r.lose(raise(tile[a*n:][:n], r.w[(g*r.outer+a)*r.cols+j:][:n], r.f, r.p))
			}
			h := r.h[g*r.outer*sources:][:r.outer*sources]
			dst := prod[(g*r.cols+j)*sources:]
			switch {
			case !inf && r.outer*n*sources > small:
				blas.Find().Dgemm(true, false, n, sources, r.outer, 1, tile, n, h, sources, 0, dst, sources)
			default:
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
		}
	})
	channels := r.c.Groups * r.inner
	sum := make([]float64, channels*places)
	kernel.Parallel(channels, r.threads, max(1, 1<<12/(r.taps*places)), func(lo, hi int) {
		for b := lo; b < hi; b++ {
			d := sum[b*places:][:places]
			for t, source := range r.win.Source {
				x := prod[(b*r.taps+t)*sources:]
				for p, src := range source {
					switch {
					case src < 0:
					case !inf:
						d[p] += x[src]
					case !(x[src] <= d[p]):
						d[p] = x[src]
					}
				}
			}
		}
	})
	return r.finish(sum, func(cell int) scaled.Num {
		b, place := cell/places, cell%places
		var acc scaled.Accumulator
		acc.Reset(r.p)
		for t, source := range r.win.Source {
			src := source[place]
			for a := 0; src >= 0 && a < r.outer; a++ {
				row := b/r.inner*r.outer + a
				acc.Add(r.hs[row*sources+int(src)].MulFloat(float64(r.w[row*r.cols+b%r.inner*r.taps+t])))
			}
		}
		return acc.Norm()
	})
}
