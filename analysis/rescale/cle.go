package rescale

import (
	"context"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/paths"
)

// crossLayer makes in_g = out_g for every active group, in_g and out_g the
// largest |weight| into and out of its units. Where tied groups close cycles, that leaves
// factors open: the result is max-balanced, equal over every cut, which is unique and the
// limit of EqualNorm as p grows (Schneider and Schneider, Max-balancing weighted directed
// graphs and matrix scaling, Mathematics of Operations Research 16, 1991). Edges
// within a group play no part. Where units meet others in products, so that a group has
// the factor 1/z beside another's z, the graph is taken twice, once with all factors inverse and
// all edges turned round; its result is unique and therefore the same on both sides.
//
// Few edges of a layer decide anything. Those that do are collected: at first the
// largest of each row and of each column. Each round balances what is collected (maxBalance),
// and reads the weights once for edges that this leaves too large: larger than the
// largest weight such that a cycle of edges no smaller joins their ends. Where there are none all is
// balanced. Of those of a row or a column the largest is added, so that rounds are few.
func (r *search) crossLayer(ctx context.Context) error {
	opt := r.opt
	opt.Bias = paths.Exclude
	v, err := newView(r.net, r.Groups, 2, opt)
	if err != nil {
		return err
	}
	r.view = v
	ones := r.Groups.Ones()
	r.Objective.Before = v.mu(math.Inf(1), ones, r.opt.Threads)
	r.Sweeps = 3
	z, err := newRanges(v, r.opt.Threads).balance(ctx, r)
	if err != nil {
		return err
	}
	r.Factors = v.factors(z)
	r.Sweeps++
	r.Objective.After = v.mu(math.Inf(1), r.Factors, r.opt.Threads)
	return nil
}

// ranges is the graph of the edges collected. Vertex 0 is all that is pinned, 1 + g the active
// group g; behind them are those with inverse factors, if there are any.
type ranges struct {
	v       *view
	threads int
	// cycles says that edges may close cycles that no pinned unit is on; else the largest weights of
	// each vertex decide.
	cycles bool
	// inverse is the number of vertices from a group's to that with the inverse factor, 0 for none.
	inverse int32
	arcs    []arc
	known   map[[2]int32]int32
	// Of the edges that the last read found, in logarithms: largest is the largest, worst by how
	// much one is too large.
	largest, worst float64
}

func newRanges(v *view, threads int) *ranges {
	b := &ranges{v: v, threads: threads, cycles: !v.alone(), known: map[[2]int32]int32{}}
	if slices.Contains(v.sign, -1) {
		b.inverse = int32(len(v.active))
	}
	return b
}

// vertex is that of a variable, -1 for none, with its sign.
func (b *ranges) vertex(g int32, sign float64) int32 {
	if g >= 0 && sign < 0 {
		return 1 + g + b.inverse
	}
	return 1 + g
}

// turned is the vertex with the inverse factor.
func (b *ranges) turned(v int32) int32 {
	switch {
	case v == 0:
		return 0
	case v <= b.inverse:
		return v + b.inverse
	}
	return v - b.inverse
}

// balance runs rounds from the view's start and returns logarithms of factors.
func (b *ranges) balance(ctx context.Context, r *search) ([]float64, error) {
	z := b.v.logs()
	if len(z) == 0 {
		return z, nil
	}
	b.read(z, b.floors(nil, 0))
	r.Sweeps++
	var g *balanced
	for {
		var err error
		if g, err = maxBalance(ctx, b.logs(z), b.arcs, g, b.largest); err != nil {
			return nil, err
		}
		b.even(g.y)
		copy(z, g.y[1:])
		more := b.read(z, b.floors(g, r.opt.Tolerance))
		r.Sweeps++
		if !more || r.Sweeps >= r.opt.MaxSweeps {
			r.Residual = math.Max(b.residual(g.y), b.worst)
			return z, nil
		}
	}
}

// logs are the logarithms of the vertices' factors.
func (b *ranges) logs(z []float64) []float64 {
	y := append([]float64{0}, z...)
	if b.inverse > 0 {
		for _, x := range z {
			y = append(y, -x)
		}
	}
	return y
}

// even makes inverse factors so, which they are but for rounding.
func (b *ranges) even(y []float64) {
	for v := 1; v <= int(b.inverse); v++ {
		w := v + int(b.inverse)
		y[v] = (y[v] - y[w]) / 2
		y[w] = -y[v]
	}
}

// residual is the largest difference of the logarithms of the largest weights into and
// out of a vertex, of the edges collected.
func (b *ranges) residual(y []float64) float64 {
	in, out := make([]float64, len(y)), make([]float64, len(y))
	for v := range y {
		in[v], out[v] = math.Inf(-1), math.Inf(-1)
	}
	for _, e := range b.arcs {
		ln := e.ln + y[e.to] - y[e.from]
		in[e.to], out[e.from] = math.Max(in[e.to], ln), math.Max(out[e.from], ln)
	}
	var m float64
	for v := 1; v < len(y); v++ {
		m = math.Max(m, math.Abs(in[v]-out[v]))
	}
	return m
}

// add collects an edge and reports whether it was not known.
func (b *ranges) add(from, to int32, ln float64) bool {
	if from == to {
		return false
	}
	key := [2]int32{from, to}
	at, ok := b.known[key]
	switch {
	case !ok:
		b.known[key] = int32(len(b.arcs))
		b.arcs = append(b.arcs, arc{from, to, ln})
	case b.arcs[at].ln < ln:
		b.arcs[at].ln = ln
	default:
		return false
	}
	return true
}

// read collects the edges above the floors at the logarithms of factors z, of each row and of
// each column the largest, and reports whether there were new ones.
func (b *ranges) read(z []float64, f *floors) (more bool) {
	b.largest, b.worst = math.Inf(-1), 0
	y := b.logs(z)
	for _, l := range b.v.layers {
		if l.parts == nil {
			continue
		}
		k := b.v.newLinks(l, 0)
		for i, s := range l.scale {
			k.row[i] += math.Log(s)
		}
		k.fill(1, z)
		rows, cols := make([]int32, len(k.rows)), make([]int32, len(k.cols))
		for i, g := range k.rows {
			rows[i] = b.vertex(g, k.rowSign[i])
		}
		for j, g := range k.cols {
			cols[j] = b.vertex(g, 1)
		}
		for i := range l.parts {
			above(&l.parts[i], k, rows, cols, f, b.threads, func(row, col int, w float64) {
				ln := math.Log(w)
				if l.scale != nil {
					ln += math.Log(l.scale[row])
				}
				from, to := cols[col], rows[row]
				if !b.add(from, to, ln) {
					return
				}
				more = true
				x := ln + y[to] - y[from]
				b.largest, b.worst = math.Max(b.largest, x), math.Max(b.worst, x-f.level(from, to))
				if b.inverse > 0 {
					b.add(b.turned(to), b.turned(from), ln)
				}
			})
		}
	}
	return more
}
