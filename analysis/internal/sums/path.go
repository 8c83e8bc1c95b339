package sums

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Path is one path programme at a layer: the p-norms h = g^(1/p) of the path
// vectors that reach the cells of its operand (forward) or that leave those of
// its value (backward), p in [1, Inf].
//
// A programme adds and multiplies g, so for p = 1, 2 and Inf what runs through a
// network is g in float64 over one power of two, and numbers with an exponent each
// only where the range demands it.
type Path struct {
	P float64
	// H has the norms where they are given one by one, as by a caller; a step may
	// leave it nil: see Nums.
	H []scaled.Num

	// g has (h 2^-exp)^P, and h 2^-exp for P = Inf. Each is zero or in [least, most];
	// most is at most 2^wide and least at least 2^-(wide+spread).
	g           []float64
	exp         int64
	least, most float64
}

// The range of g: the largest is brought to within 2^wide of 1, and none is below
// 2^-spread of it, so that products with a power of a float32 weight, and sums of
// those, stay far from the ends of float64.
const (
	wide   = 100
	spread = 400
)

// Len returns the number of cells.
func (p Path) Len() int { return max(len(p.H), len(p.g)) }

// Nums returns h of each cell. It must not be written to.
func (p Path) Nums() []scaled.Num {
	if p.H != nil || p.g == nil {
		return p.H
	}
	out := make([]scaled.Num, len(p.g))
	for c, x := range p.g {
		if p.P == 2 {
			x = math.Sqrt(x)
		}
		out[c] = scaled.New(x).Scale(p.exp)
	}
	return out
}

// Zero reports whether all of h is zero.
func (p Path) Zero() bool {
	return !slices.ContainsFunc(p.H, func(x scaled.Num) bool { return !x.IsZero() }) &&
		!slices.ContainsFunc(p.g, func(x float64) bool { return x != 0 })
}

// Constant is a programme whose n cells all have x.
func Constant(p float64, n int, x scaled.Num) Path {
	return Pack(p, slices.Repeat([]scaled.Num{x}, n))
}

// factor is what multiplies g when h is multiplied by 2^k, k <= 0; 0 below the
// range of float64.
func factor(p float64, k int64) float64 {
	if p == 2 {
		k *= 2
	}
	return math.Ldexp(1, int(max(k, -2000)))
}

// Pack returns the programme with the given norms.
func Pack(p float64, h []scaled.Num) Path {
	out := Path{P: p, H: h}
	if p != 1 && p != 2 && !math.IsInf(p, 1) {
		return out
	}
	exp := scaled.MaxExp(h)
	if exp == math.MinInt64 {
		exp = 0
	}
	g := make([]float64, len(h))
	for c, x := range h {
		d := exp - x.Exp
		switch {
		case x.Frac == 0:
			continue
		case !x.IsFinite() || d > spread:
			return out
		}
		g[c] = x.Frac * math.Float64frombits(uint64(1023-d)<<52)
		if p == 2 {
			g[c] *= g[c]
		}
	}
	return packed(p, exp, g, 1)
}

// packed returns the programme with the given g over 2^exp, none of which may have
// lost anything. It takes g over.
func packed(p float64, exp int64, g []float64, threads int) Path {
	least, most := bounds(g, threads)
	if most == 0 {
		return Path{P: p, g: g, least: 1, most: most}
	}
	if !(most < 0x1p1000 && most > 0x1p-1000 && least >= math.Ldexp(most, -spread)) {
		return Path{P: p, H: Path{P: p, g: g, exp: exp}.Nums()}
	}
	if _, e := math.Frexp(most); e > wide || e < -wide {
		e &^= 1 // so that a square's root is a power of two
		f := math.Ldexp(1, -e)
		kernel.Parallel(len(g), threads, 1<<14, func(lo, hi int) {
			for c := lo; c < hi; c++ {
				g[c] *= f
			}
		})
		least, most = least*f, most*f
		if p == 2 {
			e /= 2
		}
		exp += int64(e)
	}
	return Path{P: p, g: g, exp: exp, least: least, most: most}
}

// within is packed of g each of which is zero or in [least, most]: it reads g only
// where these bounds, which get wider with each step, say too little.
func within(p float64, exp int64, g []float64, least, most float64, threads int) Path {
	if least >= 1.0/(1<<wide) && most <= 1<<wide {
		return Path{P: p, g: g, exp: exp, least: least, most: most}
	}
	return packed(p, exp, g, threads)
}

// Each calls f for each of n orders, on several threads where there is work for them,
// with the threads that each has.
func Each(n, cells, threads int, f func(k, threads int)) {
	if cells < 1<<12 {
		threads = 1
	}
	kernel.Parallel(n, threads, 1, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			f(k, max(1, threads/n))
		}
	})
}

// bounds returns the smallest of g that is not zero and the largest; the largest
// is no number where one of them is not finite.
func bounds(g []float64, threads int) (least, most float64) {
	const part = 1 << 14
	n := (len(g) + part - 1) / part
	lows, highs := make([]float64, n), make([]float64, n)
	kernel.Parallel(n, threads, 1, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			low, high, ok := kernel.Extremes(g[k*part : min((k+1)*part, len(g))])
			if !ok {
				high = math.NaN()
			}
			lows[k], highs[k] = low, high
		}
	})
	least = math.Inf(1)
	for k := range lows {
		least, most = min(least, lows[k]), max(most, highs[k])
	}
	return least, most
}

// Gather returns the programme over cells with the given origin: see grid.Gather.
func (p Path) Gather(from []int32, mem *Memory) Path {
	if from == nil {
		return p
	}
	if p.g != nil {
		g := mem.room(len(from))
		for i, j := range from {
			if g[i] = 0; j >= 0 {
				g[i] = p.g[j]
			}
		}
		p.g = g
	} else {
		p.H = grid.Gather(p.H, from)
	}
	return p
}

// gather returns the paths over cells with the given origin.
func gather(paths []Path, from []int32, mem *Memory) []Path {
	return lists.Map(paths, func(p Path) Path { return p.Gather(from, mem) })
}

// Concat strings values together: see grid.Concat.
func Concat(xs []Path, from []grid.Run, mem *Memory) Path {
	out := Path{P: xs[0].P, exp: math.MinInt64, least: math.Inf(1)}
	n, alike := 0, true
	for k, x := range xs {
		n += from[k].Len()
		alike = alike && x.g != nil
		out.exp = max(out.exp, x.exp)
	}
	for _, x := range xs {
		f := factor(x.P, x.exp-out.exp)
		alike = alike && x.least*f > 0x1p-1000
		out.least, out.most = min(out.least, x.least*f), max(out.most, x.most*f)
	}
	if !alike {
		h := make([]scaled.Num, 0, n)
		for k, x := range xs {
			h = grid.Append(h, x.Nums(), from[k])
		}
		return Pack(out.P, h)
	}
	out.g = mem.room(n)[:0]
	for k, x := range xs {
		at := len(out.g)
		out.g = grid.Append(out.g, x.g, from[k])
		if x.exp != out.exp {
			f := factor(x.P, x.exp-out.exp)
			for c := range out.g[at:] {
				out.g[at+c] *= f
			}
		}
	}
	return within(out.P, out.exp, out.g, out.least, out.most, 1)
}

// Plus returns the p-norm of two values, cell by cell.
func Plus(x, y Path, threads int, mem *Memory) Path {
	if x.exp < y.exp {
		x, y = y, x
	}
	f, inf := factor(x.P, y.exp-x.exp), math.IsInf(x.P, 1)
	if x.g == nil || y.g == nil || y.least*f < 0x1p-1000 {
		a, b := x.Nums(), y.Nums()
		h := make([]scaled.Num, len(a))
		for c := range h {
			h[c] = scaled.Plus(a[c], b[c], x.P)
		}
		return Pack(x.P, h)
	}
	g := mem.room(len(x.g))
	least, most := min(x.least, f*y.least), x.most+f*y.most
	kernel.Parallel(len(g), threads, 1<<14, func(lo, hi int) {
		a, b, g := x.g[lo:hi], y.g[lo:hi], g[lo:hi]
		if inf {
			for c := range g {
				g[c] = max(a[c], f*b[c])
			}
			return
		}
		kernel.Sum(g, 1, a, f, b)
	})
	return within(x.P, x.exp, g, least, most, threads)
}

// Affine multiplies the cells of each unit by the magnitude of its factor and adds
// that of its constant as one more path: (|scale h|^p + |shift|^p)^(1/p). Either
// may be nil. It takes over paths that no value holds.
func Affine(l *grid.Layout, ps []Path, a dag.Axis, scale, shift []float64, threads int, mem *Memory) (*grid.Layout, []Path) {
	if scale == nil && shift == nil {
		return l, ps
	}
	var from []int32
	n, inner := 1, l.Cells()
	if alike(scale) && alike(shift) { // units that agree still do
		scale, shift = scale[:min(len(scale), 1)], shift[:min(len(shift), 1)]
	} else {
		var k int
		l, k, from = l.Units(a.Outer, a.N, a.Inner)
		n, inner = a.N, 1
		for q := k + 1; q < len(l.Dims); q++ {
			inner *= l.Classes(q)
		}
	}
	next := make([]Path, len(ps))
	Each(len(ps), l.Cells(), threads, func(k, threads int) {
		p := ps[k]
		next[k] = affine(p.Gather(from, mem), n, inner, magnitudes(p.P, scale), magnitudes(p.P, shift), threads, mem)
	})
	return l, next
}

// alike reports whether numbers have one magnitude.
func alike(x []float64) bool {
	return !slices.ContainsFunc(x, func(v float64) bool { return math.Abs(v) != math.Abs(x[0]) })
}

// magnitudes are |x| as a programme, whose Len is 0 for nil.
func magnitudes(p float64, x []float64) Path {
	if x == nil {
		return Path{P: p}
	}
	return Pack(p, lists.Map(x, func(v float64) scaled.Num { return scaled.New(math.Abs(v)) }))
}

// affine is Affine of one programme, with the cells of n units, inner to each.
func affine(p Path, n, inner int, scale, shift Path, threads int, mem *Memory) Path {
	times, plus := scale.Len() > 0, shift.Len() > 0
	exp := p.exp + scale.exp
	top := exp
	if plus {
		top = max(top, shift.exp)
	}
	// Powers of two that bring both to 2^top.
	fs, fb := factor(p.P, exp-top), 0.0
	least, most := p.least*fs, p.most*fs
	if times {
		least, most = least*scale.least, most*scale.most
	}
	if plus {
		fb = factor(p.P, shift.exp-top)
		least, most = min(least, shift.least*fb), most+shift.most*fb
	}
	if p.g == nil || times && scale.g == nil || plus && shift.g == nil || least < 0x1p-1000 {
		return affineSlow(p, n, inner, scale.Nums(), shift.Nums())
	}
	g, inf := p.g, math.IsInf(p.P, 1)
	if !mem.loose(g) {
		g = mem.room(len(p.g))
	}
	if inner == 1 && times && !plus { // a factor a cell
		factors := slices.Clone(scale.g)
		kernel.Sum(factors, fs, scale.g, 0, scale.g)
		kernel.Parallel(len(g), threads, 1<<14, func(lo, hi int) {
			for lo < hi {
				end := min(hi, (lo/n+1)*n)
				kernel.Times(g[lo:end], p.g[lo:end], factors[lo%n:][:end-lo])
				lo = end
			}
		})
		return within(p.P, top, g, least, most, threads)
	}
	kernel.Parallel(len(g)/max(inner, 1), threads, max(1, 1<<14/max(inner, 1)), func(lo, hi int) {
		for u := lo; u < hi; u++ {
			s, b := fs, 0.0
			if times {
				s *= scale.g[u%n]
			}
			if plus {
				b = fb * shift.g[u%n]
			}
			x, y := p.g[u*inner:][:inner], g[u*inner:][:inner]
			if inf {
				kernel.Affine(y, x, s, 0, b, math.Inf(1))
			} else {
				kernel.Affine(y, x, s, b, math.Inf(-1), math.Inf(1))
			}
		}
	})
	return within(p.P, top, g, least, most, threads)
}

func affineSlow(p Path, n, inner int, scale, shift []scaled.Num) Path {
	h := make([]scaled.Num, p.Len())
	for c, x := range p.Nums() {
		if len(scale) > 0 {
			x = x.Mul(scale[c/inner%n])
		}
		if len(shift) > 0 {
			x = scaled.Plus(x, shift[c/inner%n], p.P)
		}
		h[c] = x
	}
	return Pack(p.P, h)
}

// Elements returns the layout of numbers that are given one an element, and the
// magnitude of each cell.
func Elements(x []float64, shape []int) (*grid.Layout, []scaled.Num) {
	number, list := map[float64]int32{}, []scaled.Num{}
	ids := make([]int32, len(x))
	for e, w := range x {
		id, ok := number[w]
		if !ok {
			id = int32(len(list))
			number[w] = id
			list = append(list, scaled.New(math.Abs(w)))
		}
		ids[e] = id
	}
	l, of := grid.Compress(ids, shape)
	return l, lists.Map(of, func(id int32) scaled.Num { return list[id] })
}

// Times multiplies values by numbers of another layout, element by element. It takes over paths that no value
// holds.
func Times(l *grid.Layout, ps []Path, by *grid.Layout, w []scaled.Num, mem *Memory) (*grid.Layout, []Path) {
	out, from := grid.Join(l, by)
	cells := out.Cells()
	if len(out.Dims) > 0 && slices.Equal(out.Dims, by.Dims) && by.Classes(0) == 1 {
		cells /= out.Classes(0) // the numbers repeat
	}
	f := w
	if from[1] != nil {
		f = grid.Gather(w, from[1][:cells])
	}
	return out, lists.Map(ps, func(p Path) Path {
		return affine(p.Gather(from[0], mem), len(f), 1, Pack(p.P, f), Path{P: p.P}, 1, mem)
	})
}

// Windows returns the p-norm of each window of each channel, or backward what
// reaches each element from all windows that it is in.
func Windows(w *dag.Window, channels int, backward bool, l *grid.Layout, paths []Path, threads int, mem *Memory) (*grid.Layout, []Path) {
	r := l.Pool(w, channels, backward)
	out := make([]Path, len(paths))
	Each(len(paths), r.Layout.Cells(), threads, func(k, threads int) {
		out[k] = windows(r, paths[k].Gather(r.From, mem), threads, mem)
	})
	return r.Layout, out
}

func windows(r *grid.Pooled, p Path, threads int, mem *Memory) Path {
	n := r.Layout.Cells()
	if p.g != nil {
		g, inf := mem.room(n), math.IsInf(p.P, 1)
		kernel.Parallel(n/max(r.Places, 1), threads, max(1, 1<<12/max(1, r.Places)), func(lo, hi int) {
			for c := lo; c < hi; c++ {
				pooled(g[c*r.Places:][:r.Places], p.g[c*r.Sources:], r.Reads, inf)
			}
		})
		most := p.most
		if !inf {
			most *= float64(r.Most())
		}
		return within(p.P, p.exp, g, p.least, most, threads)
	}
	h := make([]scaled.Num, n)
	acc := make([]scaled.Accumulator, r.Places)
	for c := 0; c < n; c += r.Places {
		for k := range acc {
			acc[k].Reset(p.P)
		}
		x := p.H[c/r.Places*r.Sources:]
		for k, reads := range r.Reads {
			for _, read := range reads {
				acc[k].Add(x[read.Source].MulFloat(math.Pow(float64(read.Times), 1/p.P)))
			}
		}
		for k := range acc {
			h[c+k] = acc[k].Norm()
		}
	}
	return Pack(p.P, h)
}

// pooled adds up, or with inf takes the largest of, what each place of one channel reads.
func pooled(dst, x []float64, reads [][]grid.Read, inf bool) {
	for p, list := range reads {
		s := 0.0
		for _, read := range list {
			if v := x[read.Source]; !inf {
				s += float64(read.Times) * v
			} else if !(v <= s) {
				s = v
			}
		}
		dst[p] = s
	}
}

// join adds up, or with inf takes the largest of, what the taps give to one
// channel's places; a tap's numbers lie stride behind those of the one before.
func join(dst, x []float64, taps []grid.Tap, stride int, inf bool) {
	for _, tap := range taps {
		dst := dst[tap.First:]
		for p, src := range tap.Source {
			switch {
			case src < 0:
			case !inf:
				dst[p] += x[src]
			case !(x[src] <= dst[p]):
				dst[p] = x[src]
			}
		}
		x = x[min(stride, len(x)):]
	}
}
