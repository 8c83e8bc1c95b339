package dag

import (
	"math"
	"sync"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// workspace holds the buffers of a convolution's sums from layer to layer: to
// get so much fresh memory would take as long as the products.
type workspace struct{ m, w, cols, sum []float64 }

var workspaces = sync.Pool{New: func() any { return &workspace{} }}

// sized returns buf with n elements of any value, or a new slice.
func sized(buf *[]float64, n int) []float64 {
	if cap(*buf) < n {
		*buf = make([]float64, n)
	}
	return (*buf)[:n]
}

// unfoldLimit bounds the elements of an unfolded block: 8 MB.
const unfoldLimit = 1 << 20

func (c *Conv) sums(q *SumRequest, s *Sums) {
	outer, inner, k := c.dims()
	n := outer * inner * k
	ws := workspaces.Get().(*workspace)
	defer workspaces.Put(ws)
	// Programmes alone take the weights as they are stored, with one largest
	// magnitude for all groups; other sums, and numbers that are not finite, want
	// them in float64.
	widened, all := len(q.Powers)+len(q.columns) > 0 || q.Zeros, 0.0
	if !widened {
		all = c.W.Param.MaxAbs(q.Threads)
		widened = !(all <= math.MaxFloat64)
	}
	for g := range c.Groups {
		var m []float64
		top := all
		if widened {
			var zeros int
			m, top, zeros = c.scan(g, sized(&ws.m, n), q.Zeros, q.Threads)
			s.Zeros += zeros
			c.channels(m, g, q, s)
		}
		s.Weights += n
		for i, pr := range q.Forward {
			newProgramme(c, ws, m, top, pr, g, !c.Transposed, q.Threads).run(s.Forward[i])
		}
		for i, pr := range q.Backward {
			newProgramme(c, ws, m, top, pr, g, c.Transposed, q.Threads).run(s.Backward[i])
		}
	}
}

// group returns the weights of one group in float64, in buf: a copy for the
// reason that evaluator.tiles has one.
func (c *Conv) group(g int, buf []float64, threads int) []float64 {
	m, _, _ := c.scan(g, buf, false, threads)
	return m
}

// scan is group with the largest finite magnitude and, if count is set, the
// number of zeros, in the same read.
func (c *Conv) scan(g int, buf []float64, count bool, threads int) (m []float64, top float64, zeros int) {
	outer, inner, k := c.dims()
	n := outer * inner * k
	m = buf[:n]
	double, single := c.W.Param.Float64s(), c.W.Param.Float32s()
	var all sync.Mutex
	kernel.Parallel(n, threads, 1<<14, func(lo, hi int) {
		t, z := 0.0, 0
		for ; lo < hi; lo += 1 << 12 { // in the first-level cache
			block := m[lo:min(lo+1<<12, hi)]
			if at := g*n + lo; double != nil {
				copy(block, double[at:])
			} else {
				kernel.Widen(block, single[at:at+len(block)])
			}
			if x := kernel.MaxAbs(block); x <= math.MaxFloat64 {
				t = max(t, x)
			} else {
				for _, v := range block {
					if v = math.Abs(v); v > t && v <= math.MaxFloat64 {
						t = v
					}
				}
			}
			if count {
				for _, v := range block {
					if v == 0 {
						z++
					}
				}
			}
		}
		all.Lock()
		top, zeros = max(top, t), zeros+z
		all.Unlock()
	})
	return m, top, zeros
}

// common is scaled.Common on several goroutines.
func common(x []scaled.Num, threads int) (v []float64, exp int64, ok bool) {
	exp, ok = math.MinInt64, true
	v = make([]float64, len(x))
	var all sync.Mutex
	kernel.Parallel(len(x), threads, 1<<14, func(lo, hi int) {
		e := scaled.MaxExp(x[lo:hi])
		all.Lock()
		exp = max(exp, e)
		all.Unlock()
	})
	if exp == math.MinInt64 {
		exp = 0
	}
	kernel.Parallel(len(x), threads, 1<<14, func(lo, hi int) {
		if !scaled.Shift(v[lo:hi], x[lo:hi], exp) {
			all.Lock()
			ok = false
			all.Unlock()
		}
	})
	return v, exp, ok
}

// channels takes the row and column norms of one group's weights m, each
// shared weight once.
func (c *Conv) channels(m []float64, g int, q *SumRequest, s *Sums) {
	outer, inner, k := c.dims()
	// across joins the outer channel's contiguous weights; down the inner
	// channel's, kernel by kernel.
	across := func(dst []scaled.Num, p float64, scale []scaled.Num) {
		for a := range outer {
			dst[g*outer+a] = rowNorm(m[a*inner*k:][:inner*k], p)
			if scale != nil {
				var acc scaled.Accumulator
				acc.Reset(p)
				for b := range inner {
					acc.Add(rowNorm(m[(a*inner+b)*k:][:k], p).Mul(scale[g*inner+b]))
				}
				dst[g*outer+a] = acc.Norm()
			}
		}
	}
	down := func(dst []scaled.Num, p float64, scale []scaled.Num) {
		for b := range inner {
			var acc scaled.Accumulator
			acc.Reset(p)
			for a := range outer {
				t := rowNorm(m[(a*inner+b)*k:][:k], p)
				if scale != nil {
					t = t.Mul(scale[g*outer+a])
				}
				acc.Add(t)
			}
			dst[g*inner+b] = acc.Norm()
		}
	}
	rows, cols := across, down
	if c.Transposed {
		rows, cols = down, across
	}
	for i, p := range q.Powers {
		rows(s.Rows[i], p, nil)
	}
	for i, pr := range q.columns {
		cols(s.Columns[i], pr.P, pr.H)
	}
}

// programme is one path programme through one group of a convolution: a
// convolution of |w|^p with h^p, as a matrix product over unfolded blocks (for
// p = Inf with the maximum for the sum).
type programme struct {
	c       *Conv
	ws      *workspace
	m       []float64 // weights, outer x (inner*kernel); nil if nobody asked yet
	w       []float64 // (|m| 2^-we)^p
	h       []float64 // (H 2^-he)^p of the group's elements
	hs      []scaled.Num
	p       float64
	we, he  int64
	exact   bool // no product of w and h underflows
	ok      bool
	g       int
	out     bool // towards the window's outputs
	threads int
}

func newProgramme(c *Conv, ws *workspace, m []float64, top float64, pr Path, g int, out bool, threads int) *programme {
	outer, inner, k := c.dims()
	r := &programme{c: c, ws: ws, m: m, p: pr.P, g: g, out: out, threads: threads}
	from := inner * Size(c.Window.In)
	if !out {
		from = outer * Size(c.Window.Out())
	}
	r.hs = pr.H[g*from:][:from]
	r.h, r.he, r.ok = common(r.hs, threads)
	hmin := raise(r.h, r.h, 1, r.p, threads)
	_, e := math.Frexp(top)
	e = max(-1000, min(e, 1000)) // so that 2^-e is a normal number
	r.we = int64(e)
	n := outer * inner * k
	r.w = sized(&ws.w, n)
	var wmin float64
	switch f := math.Ldexp(1, -e); {
	case m != nil:
		wmin = raise(r.w, m, f, r.p, threads)
	case c.W.Param.Float64s() != nil:
		wmin = raise(r.w, c.W.Param.Float64s()[g*n:][:n], f, r.p, threads)
	default:
		wmin = raise(r.w, c.W.Param.Float32s()[g*n:][:n], f, r.p, threads)
	}
	r.exact = r.ok && wmin*hmin > 1e-290
	return r
}

// raise writes (f*|x|)^p (f*|x| for p = Inf) to dst and returns the smallest
// that is not the power of zero; zero when one underflowed.
func raise[T kernel.Float](dst []float64, x []T, f, p float64, threads int) float64 {
	var all sync.Mutex
	least := math.Inf(1)
	kernel.Parallel(len(x), threads, 1<<14, func(lo, hi int) {
		m := math.Inf(1)
		dst := dst[lo:hi]
		switch {
		case p == 1 || math.IsInf(p, 1):
			for i, v := range x[lo:hi] {
				y := math.Abs(float64(v)) * f
				dst[i] = y
				if y < m && v != 0 {
					m = y
				}
			}
		case p == 2:
			for i, v := range x[lo:hi] {
				y := float64(v) * f
				y *= y
				dst[i] = y
				if y < m && v != 0 {
					m = y
				}
			}
		default:
			for i, v := range x[lo:hi] {
				y := math.Abs(float64(v)) * f
				if y != 0 {
					y = power(y, p)
				}
				dst[i] = y
				if y < m && v != 0 {
					m = y
				}
			}
		}
		all.Lock()
		least = min(least, m)
		all.Unlock()
	})
	return least
}

// run writes the group's elements of the programme's result to dst.
func (r *programme) run(dst []scaled.Num) {
	outer, inner, _ := r.c.dims()
	nOut, nIn := Size(r.c.Window.Out()), Size(r.c.Window.In)
	if r.out && r.exact {
		if s := r.c.repeated(r.h, inner); s != nil {
			r.runRepeated(s, dst[r.g*outer*nOut:][:outer*nOut])
			return
		}
	}
	var sum []float64
	if r.out {
		sum = sized(&r.ws.sum, outer*nOut)
		r.toOut(sum)
	} else {
		sum = sized(&r.ws.sum, inner*nIn)
		clear(sum)
		r.toIn(sum)
	}
	dst = dst[r.g*len(sum):][:len(sum)]
	slow := map[int]*scaled.Accumulator{}
	var all sync.Mutex
	kernel.Parallel(len(sum), r.threads, 1<<13, func(lo, hi int) {
		for e := lo; e < hi; e++ {
			x := sum[e]
			switch {
			case !r.exact && !(r.ok && safeSum(x)):
				acc := &scaled.Accumulator{}
				acc.Reset(r.p)
				all.Lock()
				slow[e] = acc
				all.Unlock()
			default:
				dst[e] = r.finish(x)
			}
		}
	})
	if len(slow) > 0 {
		r.slow(slow)
		for e, acc := range slow {
			dst[e] = acc.Norm()
		}
	}
}

// finish takes the root of a sum of which no term underflowed.
func (r *programme) finish(x float64) scaled.Num {
	if r.p == 2 {
		return scaled.New(math.Sqrt(x)).Scale(r.we + r.he)
	}
	return scaled.New(x).Root(rootOf(r.p)).Scale(r.we + r.he)
}

func (r *programme) toOut(sum []float64) {
	c := r.c
	outer, inner, k := c.dims()
	rows, nOut := inner*k, Size(c.Window.Out())
	if math.IsInf(r.p, 1) {
		clear(sum)
	}
	for _, b := range c.blocks(rows, unfoldLimit) {
		cols := sized(&r.ws.cols, rows*b.n)
		kernel.Parallel(inner, r.threads, max(1, 1<<14/(k*b.n)), func(lo, hi int) {
			clear(cols[lo*k*b.n : hi*k*b.n])
			c.unfold(cols, r.h, b, lo, hi)
		})
		if !math.IsInf(r.p, 1) {
			blas.Find().Dgemm(false, false, outer, b.n, rows, 1, r.w, rows, cols, b.n, 0, sum[b.at:], nOut)
			continue
		}
		kernel.Parallel(outer, r.threads, max(1, 1<<14/(rows*b.n)), func(lo, hi int) {
			for a := lo; a < hi; a++ {
				kernel.ColumnsMax(sum[a*nOut+b.at:][:b.n], cols, b.n, r.w[a*rows:][:rows])
			}
		})
	}
}

func (r *programme) toIn(sum []float64) {
	c := r.c
	outer, inner, k := c.dims()
	rows, nOut := inner*k, Size(c.Window.Out())
	var turned []float64
	var join func(*float64, float64)
	if math.IsInf(r.p, 1) {
		join = func(d *float64, v float64) {
			if !(v <= *d) {
				*d = v
			}
		}
		turned = make([]float64, len(r.w))
		for a := range outer {
			for i := range rows {
				turned[i*outer+a] = r.w[a*rows+i]
			}
		}
	}
	for _, b := range c.blocks(rows, unfoldLimit) {
		cols := sized(&r.ws.cols, rows*b.n)
		if join == nil {
			blas.Find().Dgemm(true, false, rows, b.n, outer, 1, r.w, rows, r.h[b.at:], nOut, 0, cols, b.n)
		} else {
			kernel.Parallel(rows, r.threads, max(1, 1<<14/(outer*b.n)), func(lo, hi int) {
				for i := lo; i < hi; i++ {
					d := cols[i*b.n:][:b.n]
					clear(d)
					kernel.ColumnsMax(d, r.h[b.at:], nOut, turned[i*outer:][:outer])
				}
			})
		}
		kernel.Parallel(inner, r.threads, max(1, 1<<14/(k*b.n)), func(lo, hi int) {
			c.fold(sum, cols, b, lo, hi, join)
		})
	}
}

// slow computes the elements in acc term by term, with an exponent each.
func (r *programme) slow(acc map[int]*scaled.Accumulator) {
	outer, inner, kernel := r.c.dims()
	nOut, nIn := Size(r.c.Window.Out()), Size(r.c.Window.In)
	if r.m == nil {
		r.m = r.c.group(r.g, make([]float64, len(r.w)), r.threads)
	}
	r.c.Window.Taps(func(o, p, k int) {
		for a := range outer {
			for b := range inner {
				to, from := a*nOut+o, b*nIn+p
				if !r.out {
					to, from = from, to
				}
				if x := acc[to]; x != nil {
					x.Add(r.hs[from].MulFloat(r.m[(a*inner+b)*kernel+k]))
				}
			}
		}
	})
}

// matrix returns the weights of one group of a transposed convolution as
// (out channels) x (in channels * kernel), in float64.
func (c *Conv) matrix(g int) []float64 {
	outer, inner, k := c.dims()
	m := c.group(g, make([]float64, outer*inner*k), 1)
	t := make([]float64, len(m))
	for a := range outer {
		for b := range inner {
			copy(t[(b*outer+a)*k:][:k], m[(a*inner+b)*k:])
		}
	}
	return t
}
