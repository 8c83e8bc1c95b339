package rescale

import (
	"context"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
)

// comparison holds two networks of one architecture.
type comparison struct {
	// ctx ends every loop over rows early; Equivalent asks it after each stage.
	ctx     context.Context
	a, b    *dag.Network
	g       *dag.Groups
	tol     float64
	threads int
	layers  []*pair
	// sigma maps each group of a to its group in b, both numbered by a's groups.
	sigma []int32
	z     []float64
	known []bool
	// lossy says that the keys of match, or weights that a factor was taken from,
	// lost digits, so that units that correspond, or factors that fit, may not have
	// been found.
	lossy bool
	// coarse says that factors are taken from weights of few digits too.
	coarse bool
	// norms are a's path norms once they are needed.
	norms *paths.Values
}

// pair is one linear layer of both networks.
type pair struct {
	node       int
	a, b       *dag.Linear
	rows, cols []int32
	// rowSlots and colSlots list the rows and columns of each group.
	rowSlots, colSlots map[int32][]int32
	taps               int
	// rowOf and colOf map a's rows and columns to b's; straight says that every
	// column is at its own place.
	rowOf, colOf []int32
	straight     bool
	// leastA and leastB are the smallest weights that are stored to the tolerance:
	// subnormal numbers have fewer digits the smaller they are.
	leastA, leastB float64
}

func newComparison(ctx context.Context, a, b *dag.Network, g *dag.Groups, opt EquivalentOptions) *comparison {
	c := &comparison{
		ctx: ctx, a: a, b: b, g: g, tol: opt.Tolerance, threads: opt.Threads, sigma: make([]int32, g.Count), z: make([]float64, g.Count),
		known: make([]bool, g.Count),
	}
	for id := range c.sigma {
		c.sigma[id] = int32(id)
		c.known[id] = g.Pin[id] != ""
	}
	for i := range a.Nodes {
		la, ok := a.Nodes[i].Op.(*dag.Linear)
		if !ok {
			continue
		}
		p := &pair{node: i, a: la, b: b.Nodes[i].Op.(*dag.Linear), rows: g.Rows[i], cols: g.Cols[i]}
		// Outside the body no factor reaches.
		if p.rows == nil {
			p.rows = make([]int32, la.Rows())
		}
		if p.cols == nil && la.Map != nil {
			p.cols = make([]int32, la.Map.In().N)
		}
		p.taps = 1
		if m, ok := la.Map.(*dag.Conv); ok {
			p.taps = dag.Size(m.Window.Kernel)
		}
		p.rowSlots, p.colSlots = slots(p.rows), slots(p.cols)
		quantumA, _ := precision(&a.Nodes[i])
		quantumB, _ := precision(&b.Nodes[i])
		p.leastA, p.leastB = quantumA/opt.Tolerance, quantumB/opt.Tolerance
		c.layers = append(c.layers, p)
	}
	c.place()
	return c
}

func slots(ids []int32) map[int32][]int32 {
	out := map[int32][]int32{}
	for i, id := range ids {
		out[id] = append(out[id], int32(i))
	}
	return out
}

// place derives every layer's row and column maps from sigma.
func (c *comparison) place() {
	for _, p := range c.layers {
		p.rowOf, p.colOf = c.placed(p.rows, p.rowSlots), c.placed(p.cols, p.colSlots)
		p.straight = true
		for j, to := range p.colOf {
			p.straight = p.straight && int(to) == j
		}
	}
}

func (c *comparison) placed(ids []int32, slot map[int32][]int32) []int32 {
	out := make([]int32, len(ids))
	next := map[int32]int{}
	for i, id := range ids {
		to := id
		if id != dag.NoGroup {
			to = c.sigma[id]
		}
		out[i] = -1
		if k := next[id]; k < len(slot[to]) {
			out[i] = slot[to][k]
		}
		next[id]++
	}
	return out
}

// reader reads a layer's effective weights row by row, a convolution's taps
// within a column. Rows of a matrix stored inputs first, read in order, come in
// tiles. Goroutines share blocks and have their own copies of the rest.
type reader struct {
	l      *dag.Linear
	blocks []dag.Matrix
	tile   []float64
	// lo and hi are the rows in the tile, all of one block.
	lo, hi int
}

// tileSize is the most weights in a tile of several rows, tileRows the most rows.
const (
	tileSize = 1 << 17
	tileRows = 64
)

func newReader(l *dag.Linear) reader { return reader{l: l, blocks: l.Matrices()} }

// row returns row i, valid until the next call, and the column of its first
// weight.
func (r *reader) row(i int) (first int, w []float64) {
	if r.l.Map == nil {
		return 0, nil
	}
	if r.blocks == nil {
		// A diagonal, or average pooling: fixed weights times the scale.
		r.tile = append(r.tile[:0], 1)
		if s := r.l.Scale(); s != nil {
			r.tile[0] = s[i]
		}
		return i, r.tile
	}
	b := &r.blocks[i/r.blocks[0].Rows]
	if i < r.lo || i >= r.hi {
		n := 1
		if b.Turned && i == r.hi {
			n = max(1, min(tileRows, tileSize/max(b.Cols, 1), b.Row+b.Rows-i))
		}
		r.lo, r.hi = i, i+n
		r.tile = slices.Grow(r.tile[:0], n*b.Cols)[:n*b.Cols]
		b.ReadRows(r.tile, i-b.Row, i-b.Row+n)
	}
	return b.Col, r.tile[(i-r.lo)*b.Cols:][:b.Cols]
}

// rowReader reads the rows of a pair, those of b in the order of a.
type rowReader struct {
	p     *pair
	a, b  reader
	moved []float64
}

func (p *pair) reader() rowReader { return rowReader{p: p, a: newReader(p.a), b: newReader(p.b)} }

// row returns row i of a, the row of b that corresponds, weight by weight, and
// the index of the first of them among all columns and taps.
func (r *rowReader) row(i int) (first int, wa, wb []float64) {
	p := r.p
	col, wa := r.a.row(i)
	first = col * p.taps
	from, other := 0, []float64(nil)
	if j := p.rowOf[i]; j >= 0 {
		from, other = r.b.row(int(j))
		if p.straight && from == col {
			return first, wa, other
		}
	}
	r.moved = slices.Grow(r.moved[:0], len(wa))[:len(wa)]
	clear(r.moved)
	if p.taps == 1 {
		for k, to := range p.colOf[col : col+len(wa)] {
			if q := int(to) - from; uint(q) < uint(len(other)) {
				r.moved[k] = other[q]
			}
		}
		return first, wa, r.moved
	}
	for k := 0; k < len(wa); k += p.taps {
		if q := (int(p.colOf[col+k/p.taps]) - from) * p.taps; q >= 0 && q < len(other) {
			copy(r.moved[k:k+p.taps], other[q:])
		}
	}
	return first, wa, r.moved
}

// grain is how many rows of a pair are worth a goroutine.
func (p *pair) grain() int { return 1 + (1<<15)/(1+len(p.cols)*p.taps) }

func biasAt(l *dag.Linear, i int) float64 {
	if b := l.Bias(); b != nil && i >= 0 {
		return b[i]
	}
	return 0
}
