package paths

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Kappa holds what kappa of one order is made of:
//
//	kappa(u->v) = (g_in(u) g_out(v))^(2/p) = (In(u) Out(v))^2
//
// the geometry of Path-SGD (Neyshabur, Salakhutdinov, Srebro, NeurIPS 2015,
// section 4) and the diagonal of the path Gram matrix. For p = 2 it is
// d||pi||_2^2 / d(w^2) of every weight. Under rescaling by c of a unit, kappa of
// its incoming weights is divided by c^2 and of its outgoing ones multiplied.
type Kappa struct {
	// P is the order.
	P float64

	net *dag.Network
	// Of one order each.
	in, out []*value
}

// NewKappa runs one forward and one backward programme of order p. Options.Rows,
// Columns and Keep play no part: what is kept are layers and their operands, In of other
// nodes and Out of other nodes are nil. It panics on an order outside [1, Inf].
func NewKappa(n *dag.Network, p float64, opt Options) *Kappa {
	in, out := []int{}, []int{}
	for i, nd := range n.Nodes {
		if _, ok := nd.Op.(*dag.Linear); ok {
			in, out = append(in, nd.In...), append(out, i)
		}
		if opt.Carries != nil && len(opt.Carries[i]) > 1 {
			in = append(in, nd.In...) // what leaves a unit are the paths to those it meets
		}
	}
	o := Options{Bias: opt.Bias, Threads: opt.Threads, Carries: opt.Carries}
	o.Keep = in
	v := forwards(n, []float64{p}, o)
	o.Keep = out
	return v.Kappa(0, o)
}

// Kappa runs the backward programme that goes with order k of v, which Forward
// made with all values kept and the same bias policy. Of opt, Threads, Carries and Keep alone
// play a part; Carries must be that of Forward.
func (v *Values) Kappa(k int, opt Options) *Kappa {
	p := v.P[k]
	in := make([]*value, len(v.of))
	for i, x := range v.of {
		if x != nil {
			in[i] = &value{x.grid, x.h[k : k+1]}
		}
	}
	out := reversed(v.net, []float64{p}, Options{Threads: opt.Threads, Carries: opt.Carries, Keep: opt.Keep}, in)
	return &Kappa{P: p, net: v.net, in: in, out: out.of}
}

// In returns h_in of each element of a node's value, as Forward gives it.
func (k *Kappa) In(node int) []scaled.Num { return k.in[node].elements(0) }

// Out returns h_out of each element of a node's value, as Backward gives it.
func (k *Kappa) Out(node int) []scaled.Num { return k.out[node].elements(0) }

// cells are numbers, one a cell.
type cells struct {
	grid *grid.Layout
	n    []scaled.Num
}

// squared is x with every number squared.
func squared(x *value) cells { return raised(x, 2) }

// raised is x with every number raised to a power.
func raised(x *value, power float64) cells {
	n := make([]scaled.Num, x.h[0].Len())
	for c, y := range x.h[0].Nums() {
		n[c] = y.Pow(power)
	}
	return cells{x.grid, n}
}

// Edges returns kappa of each effective weight of a layer's tensor, in storage
// order: the sum over the positions at which the weight is used, with the
// multiplying stages folded in. Nil for a layer without stored weights.
//
// Cost: the number of weights for a fully connected layer, a product of the
// weights with the positions that differ for a convolution.
func (k *Kappa) Edges(node int) []scaled.Num { return k.list(node, 2) }

// Derivatives returns d||pi||_p^p / d|w|^p of each effective weight of a layer's tensor, as
// Edges does: the sum over the weight's positions of g_in g_out, g = h^p. The order must be
// finite. For p = 2 it is kappa. |w|^p times it is the sum over the paths through w of
// prod |w_e|^p, and the same for equivalent networks.
func (k *Kappa) Derivatives(node int) []scaled.Num { return k.list(node, k.P) }

// EachEdge calls f with each number of Edges and its place there, in any order, and keeps
// none of them. It reports whether there are any.
func (k *Kappa) EachEdge(node int, f func(e int, kappa scaled.Num)) bool {
	s, _ := k.sites(node, 2)
	if s == nil {
		return false
	}
	s.each(f)
	return true
}

// Outer returns kappa of a fully connected layer as a sum of outer products, one for each
// class of positions:
//
//	kappa_ij = sum_k rows[i][k] cols[j][k].
//
// Nil for other layers.
func (k *Kappa) Outer(node int) (rows, cols [][]scaled.Num) {
	s, times := k.sites(node, 2)
	if times == nil {
		return nil, nil
	}
	for _, r := range s.rows {
		for c, n := range times {
			r[c] = r[c].MulFloat(float64(n))
		}
	}
	return s.rows, s.cols
}

func (k *Kappa) list(node int, power float64) []scaled.Num {
	s, _ := k.sites(node, power)
	if s == nil {
		return nil
	}
	out := make([]scaled.Num, s.groups*s.outer*s.inner*s.taps)
	s.each(func(e int, x scaled.Num) { out[e] = x })
	return out
}

// sites are those of (h_in h_out)^power of a layer with stored weights, nil for others. Of
// a fully connected layer times has the number of positions of each class.
func (k *Kappa) sites(node int, power float64) (s *sites, times []int64) {
	l, ok := k.net.Nodes[node].Op.(*dag.Linear)
	if !ok || l.Map == nil || l.Map.Weight() == nil || k.out[node] == nil {
		return nil, nil
	}
	in, out := raised(k.in[k.net.Nodes[node].In[0]], power), raised(k.out[node], power)
	switch m := l.Map.(type) {
	case *dag.Dense:
		// The same position on both sides.
		o, rows := byUnit(out, m.Out())
		i, cols := byUnit(in, m.In())
		l, from := grid.Join(o, i)
		times = l.Counts()
		return &sites{
			outer: m.Rows, inner: m.Cols, groups: 1, taps: 1, turned: m.InOut,
			rows: columns(rows, from[0]), cols: columns(cols, from[1]),
			of: func(int) []grid.Pair { return same(times) },
		}, times
	case *dag.Conv:
		if m.Transposed {
			in, out = out, in
		}
		s := &sites{groups: m.Groups}
		s.outer, s.inner, _ = m.Matrix()
		o, i := over(out, m.Groups*s.outer, m.Window.Out()), over(in, m.Groups*s.inner, m.Window.In)
		p := grid.PairsOf(&m.Window, o.grid, i.grid)
		s.taps, s.of = p.Taps, p.Tap
		s.rows, s.cols = table(o.n, m.Groups*s.outer), table(i.n, m.Groups*s.inner)
		return s, nil
	}
	return nil, nil
}

// byUnit splits a value into its positions' layout and a list a unit of numbers
// by position.
func byUnit(x cells, a dag.Axis) (*grid.Layout, [][]scaled.Num) {
	l, k, from := x.grid.Units(a.Outer, a.N, a.Inner)
	h := grid.Gather(x.n, from)
	rest, cells := l.Fold(k)
	all := make([]scaled.Num, 0, a.N*len(cells))
	for i := range a.N {
		for _, list := range cells {
			all = append(all, h[list[i]])
		}
	}
	return rest, table(all, a.N)
}

func columns(rows [][]scaled.Num, from []int32) [][]scaled.Num {
	return lists.Map(rows, func(r []scaled.Num) []scaled.Num { return grid.Gather(r, from) })
}

// over is a value as channels, each a class, times the positions of a window.
func over(x cells, channels int, spatial []int) cells {
	l, from := x.grid.As(append([]int{channels}, spatial...)...)
	l, again := l.Spread(0)
	return cells{l, grid.Gather(x.n, grid.Then(from, again))}
}

func table(h []scaled.Num, rows int) [][]scaled.Num {
	out := make([][]scaled.Num, rows)
	for i := range out {
		out[i] = h[i*len(h)/rows : (i+1)*len(h)/rows]
	}
	return out
}

// same pairs each class of positions with itself.
func same(counts []int64) []grid.Pair {
	out := make([]grid.Pair, len(counts))
	for k, n := range counts {
		out[k] = grid.Pair{Out: k, In: k, Times: float64(n)}
	}
	return out
}

// sites are the places where the weights of a layer are used: weight (a, b) at a
// tap joins classes of positions of row a with classes of column b, as of says.
type sites struct {
	outer, inner, groups, taps int
	rows, cols                 [][]scaled.Num // by channel over all groups, then by class
	of                         func(tap int) []grid.Pair
	turned                     bool // the weights lie as inner x outer, in one group with one tap
}

// blockRows is the number of rows whose sums are found together.
const blockRows = 64

// each calls f with the sum over pairs of rows[a] cols[b], for each a, b and tap, and the place
// of its weight.
func (s *sites) each(f func(e int, x scaled.Num)) {
	if s.outer == 0 || s.inner == 0 {
		return
	}
	at := func(g, a, b, t int) int {
		if s.turned {
			return b*s.outer + a
		}
		return ((g*s.outer+a)*s.inner+b)*s.taps + t
	}
	fits := make([]bool, s.groups)
	rf, cf, exp := make([][]float64, s.groups), make([][]float64, s.groups), make([]int64, s.groups)
	for g := range s.groups {
		var re, ce int64
		var ok1, ok2 bool
		rf[g], re, ok1 = narrow(s.rows[g*s.outer:][:s.outer])
		cf[g], ce, ok2 = narrow(s.cols[g*s.inner:][:s.inner])
		fits[g], exp[g] = ok1 && ok2, re+ce
	}
	no, ni := len(s.rows[0]), len(s.cols[0])
	joint, prod := make([]float64, s.inner*no), make([]float64, min(s.outer, blockRows)*s.inner)
	for t := range s.taps {
		pairs := s.of(t)
		for g := range s.groups {
			if !fits[g] {
				s.slow(g, pairs, func(a, b int, x scaled.Num) { f(at(g, a, b, t), x) })
				continue
			}
			clear(joint)
			for b := range s.inner {
				to, from := joint[b*no:][:no], cf[g][b*ni:][:ni]
				for _, p := range pairs {
					to[p.Out] += p.Times * from[p.In]
				}
			}
			for a0 := 0; a0 < s.outer; a0 += blockRows {
				n := min(blockRows, s.outer-a0)
				blas.Find().Dgemm(false, true, n, s.inner, no, 1, rf[g][a0*no:], no, joint, no, 0, prod, s.inner)
				for a := range n {
					for b := range s.inner {
						f(at(g, a0+a, b, t), scaled.New(prod[a*s.inner+b]).Scale(exp[g]))
					}
				}
			}
		}
	}
}

// slow works with an exponent a term.
func (s *sites) slow(g int, pairs []grid.Pair, f func(a, b int, x scaled.Num)) {
	for a, row := range s.rows[g*s.outer:][:s.outer] {
		for b, col := range s.cols[g*s.inner:][:s.inner] {
			var k scaled.Num
			for _, p := range pairs {
				k = k.Add(row[p.Out].Mul(col[p.In]).MulFloat(p.Times))
			}
			f(a, b, k)
		}
	}
}

// narrow returns numbers as float64 over 2^exp; ok is false where products of the
// result could underflow or where they are not finite.
func narrow(rows [][]scaled.Num) (v []float64, exp int64, ok bool) {
	const bits = 400
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, r := range rows {
		for _, x := range r {
			if !x.IsFinite() {
				return nil, 0, false
			}
			if !x.IsZero() {
				lo, hi = min(lo, x.Exp), max(hi, x.Exp)
			}
		}
	}
	if lo > hi {
		hi = 0
	} else if hi-lo > bits {
		return nil, 0, false
	}
	for _, r := range rows {
		for _, x := range r {
			v = append(v, x.Scale(-hi).Float64())
		}
	}
	return v, hi, true
}

// Bias returns kappa of a layer's effective bias, one number a unit: the sum
// over the unit's elements of h_out^2, since the constant unit has h_in 1. It
// is the same under both policies.
func (k *Kappa) Bias(node int) []scaled.Num {
	l, ok := k.net.Nodes[node].Op.(*dag.Linear)
	if !ok {
		return nil
	}
	return overUnits(l, squared(k.out[node]))
}

// overUnits sums a value's elements unit by unit.
func overUnits(l *dag.Linear, x cells) []scaled.Num {
	positions, h := byUnit(x, l.Out())
	n := positions.Counts()
	out := make([]scaled.Num, l.Rows())
	for i, row := range h {
		for c, y := range row {
			out[i] = out[i].Add(y.MulFloat(float64(n[c])))
		}
	}
	return out
}

// Scale returns kappa of a layer's effective row factors (BatchNormalization's
// scale, a multiplication by stored values), one number a unit: the edge runs
// from the map's result, before any stage, to the value. Stages that add before
// they multiply are seen as folded, with the sum as bias.
func (k *Kappa) Scale(node int, opt Options) []scaled.Num {
	nd := &k.net.Nodes[node]
	l, ok := nd.Op.(*dag.Linear)
	if !ok || l.Map == nil {
		return nil
	}
	x := k.in[nd.In[0]]
	s := sums.Of(&dag.Linear{Map: l.Map}, sums.Request{Threads: opt.Threads, From: x.grid, Forward: x.h})
	bare, out := squared(&value{s.Value, s.Forward}), squared(k.out[node])
	lay, from := grid.Join(bare.grid, out.grid)
	n := slices.Clone(grid.Gather(bare.n, from[0]))
	for c, y := range grid.Gather(out.n, from[1]) {
		n[c] = n[c].Mul(y)
	}
	return overUnits(l, cells{lay, n})
}
