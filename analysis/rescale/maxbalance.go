package rescale

import (
	"context"
	"math"
	"slices"
)

// arc is an edge of a graph, of weight e^ln.
type arc struct {
	from, to int32
	ln       float64
}

// due is the lambda at which an arc makes a path longer.
type due struct {
	lambda float64
	e      int32
}

// root is the first place of a heap, and ways how many are below each: the first of them is a multiple of ways, so that they
// share a line of cache.
const root, ways = 3, 4

// balanced is a graph with balanced weights.
type balanced struct {
	// y are the logarithms of the factors: weights are ln + y[to] - y[from].
	y []float64
	// at is the place of each vertex in an order, and level[k] the largest weight such that
	// a cycle of edges no smaller runs through the vertices at k and k+1; -Inf is none. For
	// any two vertices that weight is the least level between them.
	at    []int32
	level []float64
}

// maxBalance finds factors of vertices for which the largest weight into every set of
// vertices that are strongly connected with the others equals the largest out of it. Where
// no cycle joins two vertices, what the one is to the other is as in y.
//
// The cycle of the largest mean weight lambda has all its weights made lambda, and is one vertex
// from then on; then that of the next mean, until no cycle is left. Cycles come from trees of
// longest paths, edges counted as ln + y[to] - y[from] - lambda, while lambda falls: at first every
// vertex is a root; an edge that makes a path longer replaces the one before, and closes a cycle if
// it comes from behind. The nearer y is to balanced the fewer are replaced. Source:
// Young, Tarjan, Orlin, Faster parametric shortest path and minimum-balance algorithms,
// Networks 21, 1991.
//
// If last is not nil, y is its own, and arcs are those that it was made of and others, none with
// ln + y[to] - y[from] larger than above. Cycles of larger means are then the same as before,
// since a mean is at most its largest edge: what they join is taken from last.
//
// It ends: an edge in place of another makes a path of more edges, and paths have fewer edges
// than vertices; a cycle leaves fewer vertices. At most n m steps, of which networks take a
// small part. Errors: the context's.
func maxBalance(ctx context.Context, y []float64, arcs []arc, last *balanced, above float64) (*balanced, error) {
	c := newCycles(y, arcs, last, above)
	for steps := 0; len(c.heap) > root; steps++ {
		if steps&1023 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		c.step()
	}
	return c.result(y), nil
}

const none = -1

// cycles is the state of maxBalance; logarithms are relative to y. Vertices that are joined to
// another have its number.
type cycles struct {
	arcs []arc
	// up is what a vertex is joined to, itself if nothing; off its logarithm less that of up.
	up  []int32
	off []float64
	// out and in are an arc each of the circles of arcs that leave and enter; nextOut and nextIn go round.
	out, in, nextOut, nextIn []int32
	// parent is the arc to a vertex, none to roots; length and steps are those of the path from its
	// root: steps arcs of the sum length.
	parent []int32
	length []float64
	steps  []int32
	// child is a child of a vertex; after and before its siblings.
	child, after, before []int32
	// heap has the arcs that make a path longer further down, by the lambda from which on, at places
	// from root on; place is that of each arc.
	heap  []due
	place []int32
	// first, final and follow list the vertices that are joined to each; level is that between
	// one and the next.
	first, final, follow []int32
	level                []float64
	// mark tells the parts of what is moved from the rest.
	mark    []int32
	moved   []int32
	touched []int32
}

func newCycles(y []float64, arcs []arc, last *balanced, above float64) *cycles {
	n := len(y)
	of := func(x int32) []int32 { return slices.Repeat([]int32{x}, n) }
	c := &cycles{
		arcs: slices.Clone(arcs), up: of(0), off: make([]float64, n),
		out: of(none), in: of(none), nextOut: make([]int32, len(arcs)), nextIn: make([]int32, len(arcs)),
		parent: of(none), length: make([]float64, n), steps: make([]int32, n),
		child: of(none), after: of(none), before: of(none),
		heap: make([]due, root, root+len(arcs)), place: make([]int32, len(arcs)),
		first: of(0), final: of(0), follow: of(none), level: make([]float64, n), mark: of(0),
	}
	for v := range int32(n) {
		c.up[v], c.first[v], c.final[v] = v, v, v
	}
	for i, e := range arcs {
		c.arcs[i].ln += y[e.to] - y[e.from]
		c.place[i] = none
		insert(c.out, c.nextOut, e.from, int32(i))
		insert(c.in, c.nextIn, e.to, int32(i))
	}
	if last != nil {
		c.keep(last, above)
	}
	for e := range arcs {
		c.key(int32(e))
	}
	return c
}

// keep joins what an earlier result has joined at levels above some weight, and above that of
// arcs between what no cycle has joined, since one may now.
func (c *cycles) keep(last *balanced, above float64) {
	order, part := make([]int32, len(last.at)), make([]int, len(last.at))
	for v, k := range last.at {
		order[k] = int32(v)
	}
	for k, v := range order[1:] {
		part[v] = part[order[k]]
		if math.IsInf(last.level[k], -1) {
			part[v]++
		}
	}
	for _, e := range c.arcs {
		if part[e.from] != part[e.to] {
			above = math.Max(above, e.ln)
		}
	}
	for k, level := range last.level {
		if level > above {
			top, _ := c.find(order[k])
			c.attach(order[k+1], top, 0, level)
		}
	}
}

// attach makes v, joined to nothing, part of top.
func (c *cycles) attach(v, top int32, off, level float64) {
	c.up[v], c.off[v] = top, off
	splice(c.out, c.nextOut, top, v)
	splice(c.in, c.nextIn, top, v)
	c.follow[c.final[top]], c.level[c.final[top]] = c.first[v], level
	c.final[top] = c.final[v]
}

// insert puts arc e into the circle of v.
func insert(of, next []int32, v, e int32) {
	if next[e] = e; of[v] != none {
		next[e], next[of[v]] = next[of[v]], e
	}
	of[v] = e
}

// find returns what v is joined to, and its logarithm less that of this.
func (c *cycles) find(v int32) (int32, float64) {
	r, y := v, 0.0
	for c.up[r] != r {
		y += c.off[r]
		r = c.up[r]
	}
	for rest := y; c.up[v] != r && v != r; {
		next, off := c.up[v], c.off[v]
		c.up[v], c.off[v] = r, rest
		v, rest = next, rest-off
	}
	return r, y
}

// ends returns the vertices of an arc and its weight.
func (c *cycles) ends(e int32) (u, v int32, ln float64) {
	u, a := c.find(c.arcs[e].from)
	v, b := c.find(c.arcs[e].to)
	return u, v, c.arcs[e].ln + b - a
}

// hang makes v a child of u.
func (c *cycles) hang(v, u int32) {
	c.before[v], c.after[v] = none, c.child[u]
	if c.child[u] != none {
		c.before[c.child[u]] = v
	}
	c.child[u] = v
}

// cut takes v from the children of u.
func (c *cycles) cut(v, u int32) {
	if c.before[v] == none {
		c.child[u] = c.after[v]
	} else {
		c.after[c.before[v]] = c.after[v]
	}
	if c.after[v] != none {
		c.before[c.after[v]] = c.before[v]
	}
}

// above is the parent of v.
func (c *cycles) above(v int32) int32 {
	u, _ := c.find(c.arcs[c.parent[v]].from)
	return u
}

// step takes the arc of the largest lambda, or finds that it has another by now.
func (c *cycles) step() {
	e := c.heap[root].e
	if c.key(e); len(c.heap) == root || c.heap[root].e != e {
		return
	}
	lambda := c.heap[root].lambda
	u, v, ln := c.ends(e)
	path := []int32{u}
	for w := u; w != v && c.steps[w] > c.steps[v]; {
		w = c.above(w)
		path = append(path, w)
	}
	if path[len(path)-1] == v {
		c.join(path, lambda)
		return
	}
	if c.parent[v] != none {
		c.cut(v, c.above(v))
	}
	c.hang(v, u)
	c.parent[v] = e
	c.move(v, none, 1, c.length[u]+ln-c.length[v], c.steps[u]+1-c.steps[v])
	// The paths have more steps now: arcs out of them may come sooner, those into them come later.
	for _, x := range c.moved {
		c.circle(c.out, c.nextOut, x, true)
	}
	c.keys()
}

// move lengthens the paths to v and all behind it but for those behind w.
func (c *cycles) move(v, w, mark int32, length float64, steps int32) {
	from := len(c.moved)
	c.moved = append(c.moved, v)
	for k := from; k < len(c.moved); k++ {
		x := c.moved[k]
		c.mark[x] = mark
		c.length[x] += length
		c.steps[x] += steps
		for y := c.child[x]; y != none; y = c.after[y] {
			if y != w {
				c.moved = append(c.moved, y)
			}
		}
	}
}

// join makes one vertex of a cycle of weights lambda: that of path's last, which path
// leads to from child to parent.
func (c *cycles) join(path []int32, lambda float64) {
	n := len(path) - 1
	top := path[n]
	offs := make([]float64, n)
	for k, w := range path[:n] {
		i := c.steps[w] - c.steps[top]
		offs[k] = float64(i)*lambda - (c.length[w] - c.length[top])
	}
	for k, w := range path[:n] {
		next := int32(none)
		if k > 0 {
			next = path[k-1]
		}
		// Of the i-th vertex of the cycle: the arcs behind it lie i arcs of weight lambda nearer.
		i := int32(n - k)
		c.move(w, next, i, -float64(i)*lambda, -i)
	}
	// The paths have fewer steps now: arcs into them may come sooner, those out of them come later.
	for _, x := range c.moved {
		c.circle(c.in, c.nextIn, x, false)
	}
	for k, w := range path[:n] {
		u := top
		if k+1 < n {
			u = path[k+1]
		}
		c.cut(w, u)
	}
	for k, w := range path[:n] {
		for x := c.child[w]; x != none; {
			next := c.after[x]
			c.hang(x, top)
			x = next
		}
		c.attach(w, top, offs[k], lambda)
	}
	c.keys()
}

// splice makes one circle of those of v and w.
func splice(of, next []int32, v, w int32) {
	a, b := of[v], of[w]
	switch {
	case b == none:
	case a == none:
		of[v] = b
	default:
		next[a], next[b] = next[b], next[a]
	}
}

// circle goes round the arcs that leave a vertex, or enter it, lists those whose lambda what is moved changes, and
// drops those within it.
func (c *cycles) circle(of, next []int32, x int32, leave bool) {
	last := of[x]
	if last == none {
		return
	}
	for before, e := last, next[last]; ; e = next[before] {
		v := c.arcs[e].from
		if leave {
			v = c.arcs[e].to
		}
		if c.up[v] != v {
			v, _ = c.find(v)
		}
		done := e == last
		switch {
		case v != x:
			if c.mark[v] != c.mark[x] {
				c.touched = append(c.touched, e)
			}
			before = e
		case next[e] == e: // the only one
			of[x] = none
			c.drop(e)
			return
		default:
			next[before] = next[e]
			if done {
				of[x] = before
			}
			c.drop(e)
		}
		if done {
			return
		}
	}
}

// keys gives the touched arcs their places. Arcs that come later by what was moved keep the
// lambda that they had until it is their turn.
func (c *cycles) keys() {
	for _, x := range c.moved {
		c.mark[x] = 0
	}
	c.moved = c.moved[:0]
	for _, e := range c.touched {
		c.key(e)
	}
	c.touched = c.touched[:0]
}

// key gives an arc its place in the heap.
func (c *cycles) key(e int32) {
	u, v, ln := c.ends(e)
	steps := c.steps[u] + 1 - c.steps[v]
	if u == v || steps <= 0 {
		c.drop(e)
		return
	}
	t := due{(c.length[u] + ln - c.length[v]) / float64(steps), e}
	k := c.place[e]
	if k == none {
		k = int32(len(c.heap))
		c.heap = append(c.heap, t)
	}
	c.sift(k, t)
}

// drop takes an arc from the heap.
func (c *cycles) drop(e int32) {
	k := c.place[e]
	if k == none {
		return
	}
	last := len(c.heap) - 1
	t := c.heap[last]
	c.heap, c.place[e] = c.heap[:last], none
	if e != t.e {
		c.sift(k, t)
	}
}

// after reports whether the due of t comes after that of x.
func (t due) after(x due) bool { return t.lambda < x.lambda || t.lambda == x.lambda && t.e > x.e }

// sift puts an arc where it belongs, from a place of the heap on that is free for it.
func (c *cycles) sift(k int32, t due) {
	for k > root {
		up := k/ways + root - 1
		if !c.heap[up].after(t) {
			break
		}
		c.put(k, c.heap[up])
		k = up
	}
	for {
		best, at := t, k
		first := ways * (k - root + 1)
		for i := first; i < min(first+ways, int32(len(c.heap))); i++ {
			if best.after(c.heap[i]) {
				best, at = c.heap[i], i
			}
		}
		if at == k {
			break
		}
		c.put(k, best)
		k = at
	}
	c.put(k, t)
}

func (c *cycles) put(k int32, t due) { c.heap[k], c.place[t.e] = t, k }

// result has the factors for which, of vertices that are joined, that of the lowest number keeps its own.
func (c *cycles) result(y []float64) *balanced {
	n := len(y)
	b := &balanced{y: make([]float64, n), at: make([]int32, n), level: make([]float64, 0, n)}
	for v := range int32(n) {
		top, keeps := c.find(v)
		if c.first[top] == none {
			continue
		}
		for w := c.first[top]; ; w = c.follow[w] {
			_, off := c.find(w)
			b.y[w] = y[w] + off - keeps
			b.at[w] = int32(len(b.level))
			if w == c.final[top] {
				b.level = append(b.level, math.Inf(-1))
				break
			}
			b.level = append(b.level, c.level[w])
		}
		c.first[top] = none
	}
	return b
}
