package rescale

import (
	"context"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/topo"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// crossLayer makes in_g = out_g for every active group, in_g and out_g the
// largest |weight| into and out of its units. In logarithms l_e + z_row - z_col
// of the rescaled weights these are piecewise linear equations. Each round reads
// the weights once and collects the edges near the largest of their unit; the
// equations over the edges collected so far, a few for each unit, are solved by
// Gauss-Seidel sweeps, which cost next to nothing. It ends when the edges that
// were not collected change nothing.
//
// Where a round would raise the largest |weight|, the step
//
//	z_g += (ln out_g - ln in_g)/4
//
// of all groups at once is taken instead: since in_v and out_u are both at least
// |w_e| of an edge u->v, it leaves every |w_e| at most the mean of |w_e| twice, an
// outgoing and an incoming maximum (in logarithms), and so no larger than the
// largest.
//
// Without tied groups the fixed point is unique. With them, a cycle of edges that
// closes through groups, each the largest of both its ends, can shift against the
// rest. Such groups are joined to one, whose largest edges into and out of all of
// it are then made equal, until none is left: the result is max-balanced, equal
// over every cut, which is unique and the limit of EqualNorm as p grows
// (Schneider and Schneider, Max-balancing weighted directed graphs and matrix
// scaling, Mathematics of Operations Research 16, 1991). Edges within a group
// play no part.
//
// A cycle may be joined too early: what is joined moves as one, and the cycles
// with larger weights, which only then find their place, may pull at its groups
// by different amounts. So the whole is done again from the factors found, all
// groups apart at first, until a pass moves nothing. That is enough: suppose an
// edge that leaves a set of groups is larger than all that enter it. Following
// the largest edges from its end leads to a cycle of equal ones outside the set,
// or backwards from its start to one inside, whichever holds no pinned unit; such
// cycles are joined, until there is none to lead to. Each pass settles at least
// the largest weights that the one before left open.
func (r *search) crossLayer(ctx context.Context) error {
	opt := r.opt
	opt.Bias = paths.Exclude
	v, err := newView(r.net, r.Groups, 2, opt)
	if err != nil {
		return err
	}
	r.view = v
	r.Objective.Before = v.mu(math.Inf(1), r.Groups.Ones(), r.opt.Threads)
	r.Sweeps = 3
	b := newRanges(v, r.opt.Threads)
	if err := b.balance(ctx, r); err != nil {
		return err
	}
	r.Objective.After = scaled.New(b.largest)
	if len(v.active) == 0 {
		r.Objective.After = r.Objective.Before
	}
	return nil
}

// ranges holds groups joined to vertices, the edges collected, and the largest
// weights of the last read.
type ranges struct {
	v       *view
	threads int
	// tied says that groups have several units, so that edges within a vertex
	// are met, which the vector loops cannot leave out.
	tied bool
	// vertex is each active group's vertex, offset its logarithm less the
	// vertex's; n is the number of vertices.
	vertex []int32
	offset []float64
	n      int

	edges []edge
	known map[edgeKey]int
	// into and from list the collected edges of each vertex.
	into, from [][]end
	// in and out are the logarithms of the largest |weight| of each vertex at z,
	// largest that of all.
	in, out []float64
	largest float64
}

// edge runs between active groups, -1 for pinned ones; ln is ln |weight|, sign -1 where
// the row's factor is 1 over that of its active group.
type edge struct {
	row, col int32
	sign     float64
	ln       float64
}

type edgeKey struct {
	row, col int32
	sign     float64
}

// end is an edge as one of its vertices sees it: of weight ln + sign y, y that of the
// other end.
type end struct {
	other int32
	sign  float64
	ln    float64
}

func newRanges(v *view, threads int) *ranges {
	n := len(v.active)
	b := &ranges{
		v: v, threads: threads, tied: !v.alone(), vertex: make([]int32, n), offset: make([]float64, n), n: n,
		known: map[edgeKey]int{},
	}
	for g := range b.vertex {
		b.vertex[g] = int32(g)
	}
	return b
}

// near is how far below the largest of its unit, as a ratio, an edge is
// collected.
const near = 0.97

// tight is how far logarithms that are equal may lie apart: far more than their
// rounding.
const tight = 1e-9

// patience is after how many rounds without progress the iteration ends: what is
// left then is rounding, or weights that span more than float64 holds.
const patience = 30

// balance runs rounds from the view's start.
func (b *ranges) balance(ctx context.Context, r *search) error {
	y := b.v.logs()
	start := y // the logarithms of the factors at the beginning of a pass
	b.read(y)
	residual := b.residual()
	r.Trace = append(r.Trace, scaled.New(b.largest))
	stalled := 0
	for {
		r.Sweeps++
		if err := ctx.Err(); err != nil {
			return err
		}
		rounding := stalled >= 3 && residual < 1e-9 || stalled >= patience
		if residual <= r.opt.Tolerance || rounding || r.Sweeps >= r.opt.MaxSweeps {
			joined := b.join(y)
			if joined == nil {
				z := b.logs(y)
				if b.n == len(z) || floats.Distance(z, start, math.Inf(1)) <= tight || r.Sweeps >= r.opt.MaxSweeps {
					break
				}
				b.part()
				start, joined = z, slices.Clone(z)
			}
			y, stalled = joined, 0
			b.read(y)
			residual = b.residual()
			continue
		}
		next := append([]float64(nil), y...)
		b.solve(next, r.opt.Tolerance/4)
		largest, in, out := b.largest, b.in, b.out
		b.read(next)
		if b.largest > largest*(1+1e-14) {
			for g := range next {
				next[g] = y[g] + (out[g]-in[g])/4
			}
			b.read(next)
		}
		y = next
		last := residual
		residual = b.residual()
		r.Trace = append(r.Trace, scaled.New(b.largest))
		if stalled = stalled + 1; residual < last {
			stalled = 0
		}

	}
	r.Residual = residual
	r.Factors = b.v.factors(b.logs(y))
	return nil
}

// part makes each group its own vertex again.
func (b *ranges) part() {
	b.n = len(b.vertex)
	for g := range b.vertex {
		b.vertex[g], b.offset[g] = int32(g), 0
	}
}

// logs returns the logarithms of the groups' factors.
func (b *ranges) logs(y []float64) []float64 {
	z := make([]float64, len(b.vertex))
	for g, v := range b.vertex {
		z[g] = y[v] + b.offset[g]
	}
	return z
}

func (b *ranges) residual() float64 {
	var m float64
	for g := range b.in {
		m = math.Max(m, math.Abs(b.in[g]-b.out[g]))
	}
	return m
}

// read finds the largest weights at y and collects edges near them.
func (b *ranges) read(y []float64) {
	z := b.logs(y)
	b.in, b.out, b.largest = make([]float64, b.n), make([]float64, b.n), 0
	for v := range b.in {
		b.in[v], b.out[v] = math.Inf(-1), math.Inf(-1)
	}
	of := make([]*links, len(b.v.layers))
	for k, y := range b.v.layers {
		if y.parts == nil {
			continue
		}
		blk := b.v.newLinks(y, 0)
		for i, s := range y.scale {
			blk.row[i] += math.Log(s)
		}
		blk.fill(1, z)
		of[k] = blk
		b.maxima(y, blk)
	}
	for k, y := range b.v.layers {
		if y.parts != nil {
			b.gather(y, of[k])
		}
	}
	b.list()
}

// vertexOf is the vertex of a group, -1 for a pinned one.
func (b *ranges) vertexOf(g int32) int32 {
	if g < 0 {
		return -1
	}
	return b.vertex[g]
}

// inside reports whether an edge joins a vertex to itself.
func (b *ranges) inside(row, col int32) bool {
	v := b.vertexOf(row)
	return v >= 0 && v == b.vertexOf(col)
}

// maxima takes a layer's largest weights into in, out and largest.
func (b *ranges) maxima(y *layer, k *links) {
	for i := range y.parts {
		if !b.tied {
			y.parts[i].products(maxAbs, k.c, k.r, k.rowSum, k.colSum, b.threads)
			continue
		}
		y.parts[i].each(func(_, row, col int, w float64) {
			w = math.Abs(w)
			if b.inside(k.rows[row], k.cols[col]) {
				b.largest = math.Max(b.largest, w*k.r[row]*k.c[col])
				return
			}
			k.rowSum[row] = math.Max(k.rowSum[row], w*k.c[col])
			k.colSum[col] = math.Max(k.colSum[col], w*k.r[row])
		})
	}
	for i, g := range k.rows {
		x := k.rowSum[i] * k.r[i]
		b.largest = math.Max(b.largest, x)
		if v := b.vertexOf(g); v >= 0 {
			side := b.in
			if k.rowSign[i] < 0 {
				side = b.out
			}
			side[v] = math.Max(side[v], math.Log(x))
		}
	}
	for j, g := range k.cols {
		if v := b.vertexOf(g); v >= 0 {
			b.out[v] = math.Max(b.out[v], math.Log(k.colSum[j]*k.c[j]))
		}
	}
}

// gather collects a layer's edges near the largest of a vertex of theirs.
func (b *ranges) gather(y *layer, k *links) {
	floor := func(groups []int32, ln func(i int) []float64) []float64 {
		out := make([]float64, len(groups))
		for i, g := range groups {
			out[i] = math.Inf(1)
			if v := b.vertexOf(g); v >= 0 {
				// Zero weights reach no floor.
				out[i] = math.Max(math.Exp(ln(i)[v])*near, math.SmallestNonzeroFloat64)
			}
		}
		return out
	}
	rowFloor := floor(k.rows, func(i int) []float64 {
		if k.rowSign[i] < 0 {
			return b.out
		}
		return b.in
	})
	colFloor := floor(k.cols, func(int) []float64 { return b.out })
	for i := range y.parts {
		y.parts[i].above(k.r, k.c, rowFloor, colFloor, b.threads, func(row, col int, w float64) {
			e := edge{k.rows[row], k.cols[col], k.rowSign[row], math.Log(w)}
			if b.inside(e.row, e.col) {
				return
			}
			if y.scale != nil {
				e.ln += math.Log(y.scale[row])
			}
			key := edgeKey{e.row, e.col, e.sign}
			at, ok := b.known[key]
			if !ok {
				b.known[key] = len(b.edges)
				b.edges = append(b.edges, e)
			} else if b.edges[at].ln < e.ln {
				b.edges[at].ln = e.ln
			}
		})
	}
}

// list sorts the collected edges by vertex.
func (b *ranges) list() {
	b.into, b.from = make([][]end, b.n), make([][]end, b.n)
	for _, e := range b.edges {
		if b.inside(e.row, e.col) {
			continue
		}
		row, col, ln := b.vertexOf(e.row), b.vertexOf(e.col), b.shifted(e)
		if row >= 0 {
			to := b.into
			if e.sign < 0 {
				to = b.from
			}
			to[row] = append(to[row], end{col, -1, ln})
		}
		if col >= 0 {
			b.from[col] = append(b.from[col], end{row, e.sign, ln})
		}
	}
}

// shifted is ln |weight| of an edge with the offsets of its groups.
func (b *ranges) shifted(e edge) float64 {
	ln := e.ln
	if e.row >= 0 {
		ln += e.sign * b.offset[e.row]
	}
	if e.col >= 0 {
		ln -= b.offset[e.col]
	}
	return ln
}

// join joins vertices that a cycle of edges runs through which are the largest
// of both their ends, and returns y of the vertices that are left; nil when
// there are none, or only ones that a pinned unit holds.
func (b *ranges) join(y []float64) []float64 {
	if !b.tied {
		return nil
	}
	g := simple.NewDirectedGraph()
	pinned := int64(b.n)
	for v := range int64(b.n + 1) {
		g.AddNode(simple.Node(v))
	}
	for v := range b.n {
		for _, e := range b.into[v] {
			from, ln, held := pinned, e.ln+y[v], true
			if e.other >= 0 {
				from = int64(e.other)
				ln -= y[e.other]
				held = ln >= b.out[e.other]-tight
			}
			if held && ln >= b.in[v]-tight {
				g.SetEdge(simple.Edge{F: simple.Node(from), T: simple.Node(v)})
			}
		}
		for _, e := range b.from[v] {
			if e.other < 0 && e.ln-y[v] >= b.out[v]-tight {
				g.SetEdge(simple.Edge{F: simple.Node(v), T: simple.Node(pinned)})
			}
		}
	}
	number := make([]int32, b.n)
	for v := range number {
		number[v] = -1
	}
	for _, c := range topo.TarjanSCC(g) {
		if len(c) < 2 || slices.ContainsFunc(c, func(x graph.Node) bool { return x.ID() == pinned }) {
			continue
		}
		first := c[0].ID()
		for _, x := range c {
			first = min(first, x.ID())
		}
		for _, x := range c {
			number[x.ID()] = int32(first)
		}
	}
	return b.renumber(y, number)
}

// renumber joins each vertex v to number[v], where that is not -1.
func (b *ranges) renumber(y []float64, number []int32) []float64 {
	to := make([]int32, b.n)
	var left []float64
	for v, f := range number {
		if f < 0 || int(f) == v {
			to[v] = int32(len(left))
			left = append(left, y[v])
		}
	}
	if len(left) == b.n {
		return nil
	}
	for g, v := range b.vertex {
		if f := number[v]; f >= 0 {
			b.offset[g] += y[v] - y[f]
			v = f
		}
		b.vertex[g] = to[v]
	}
	b.n = len(left)
	return left
}

// above calls f for every number |w| with |w| r c at least its row's or column's
// floor, one call at a time.
func (s *matrix) above(r, c, rowFloor, colFloor []float64, threads int, f func(row, col int, w float64)) {
	for i, w := range s.diag {
		if x := w * r[i] * c[i]; x >= rowFloor[i] || x >= colFloor[i] {
			f(i, i, w)
		}
	}
	if s.Turned {
		r, c, rowFloor, colFloor = c, r, colFloor, rowFloor
	}
	if s.F64 != nil {
		above(s, s.F64, r, c, rowFloor, colFloor, threads, f)
	} else {
		above(s, s.F32, r, c, rowFloor, colFloor, threads, f)
	}
}

func above[T kernel.Float](s *matrix, w []T, r, c, rowFloor, colFloor []float64, threads int, f func(row, col int, w float64)) {
	if len(w) == 0 {
		return
	}
	rows, cols := s.sides()
	m, n := rows.n, cols.n
	cs, floors := along(cols, c), along(cols, colFloor)
	parts := max(1, min(threads, m*n/(1<<16)))
	chunk := (m + parts - 1) / parts
	found := make([][]int, parts)
	kernel.Parallel(parts, parts, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			for i := t * chunk; i < min(m, (t+1)*chunk); i++ {
				at := rows.at(i)
				ri := r[at]
				if ri == 0 {
					continue
				}
				row, rf := w[i*n:][:n], rowFloor[at]
				for j := kernel.Above(row, 0, ri, cs, rf, floors); j < n; j = kernel.Above(row, j+1, ri, cs, rf, floors) {
					found[t] = append(found[t], i*n+j)
				}
			}
		}
	})
	for _, list := range found {
		for _, e := range list {
			row, col := s.Place(e)
			f(row, col, math.Abs(s.At(e)))
		}
	}
}
