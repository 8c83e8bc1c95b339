package engine

import (
	"math"
	"slices"
	"strings"

	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// machine runs plans over one graph, in memory that it keeps. It implements
// gorgonia.VM. A run allocates nothing.
//
// The order is that in which the nodes were made: operands come before what
// reads them, and updates, made last, come last.
type machine[T program.Float] struct {
	graph *G.ExprGraph
	// given is memory that is not planned: the batch, stored tensors, derivatives
	// that the caller wants.
	given map[*G.Node]*[]T
	pool  *pool.Pool
	// stop is asked after the operation last and ends the run.
	last *op[T]
	stop func() bool

	arena []T
	// dev is where plans run; nil is here. There, resident has given memory, base
	// the arena of size numbers.
	dev      cuda.Device
	resident map[*[]T]cuda.Ptr
	base     cuda.Ptr
	size     int
	// Of the next run: what, and for how many examples.
	plan *plan[T]
	n    int
}

var _ G.VM = (*machine[float32])(nil)

// plan is a list of instructions and the places of the values that outlive it.
type plan[T program.Float] struct {
	list []*instruction[T]
	at   map[*G.Node]place[T]
}

// place is where a value lies: at given memory, or in the arena.
type place[T program.Float] struct {
	given   *[]T
	there   cuda.Ptr // given memory on the device
	at      int
	width   int
	batched bool
}

type instruction[T program.Float] struct {
	call[T]
	op   *op[T]
	node *G.Node // whose value is made
	from []*G.Node
	to   place[T]
	src  []place[T]
	part func(lo, hi int)
	far  remote // on a device
}

func (m *machine[T]) RunAll() error {
	for _, i := range m.plan.list {
		if m.dev != nil {
			m.remote(i)
		} else {
			i.n, i.dst = m.n, m.slice(&i.to)
			for k := range i.src {
				i.in[k] = m.slice(&i.src[k])
			}
			i.op.do(&i.call, m.pool, i.part)
		}
		if err := m.failure(); err != nil || i.op == m.last && m.stop() {
			return err
		}
	}
	return nil
}

// failure is what went wrong on the device.
func (m *machine[T]) failure() error {
	if m.dev == nil {
		return nil
	}
	return m.dev.Err()
}

// Reset implements gorgonia.VM: there is nothing to forget.
func (m *machine[T]) Reset()       {}
func (m *machine[T]) Close() error { return nil }

func (m *machine[T]) slice(p *place[T]) []T {
	s := m.arena[min(p.at, len(m.arena)):]
	if p.given != nil {
		s = *p.given
	}
	if p.batched {
		return s[:m.n*p.width]
	}
	return s[:min(p.width, len(s))]
}

// operands returns the operands of a node in order.
func (m *machine[T]) operands(n *G.Node) (out []*G.Node) {
	for it := m.graph.From(n.ID()); it.Next(); {
		out = append(out, it.Node().(*G.Node))
	}
	return out
}

// compile plans what the roots need. Values in keep outlive the run; those in
// given are written there.
func (m *machine[T]) compile(batch int, roots, keep []*G.Node, given map[*G.Node]*[]T) *plan[T] {
	list := m.fuse(m.order(roots))
	end := map[*G.Node]int{} // the last instruction that reads a value
	for k, i := range list {
		for _, x := range i.from {
			end[x] = k
		}
		if i.add {
			end[i.node] = k
		}
	}
	for _, n := range append(slices.Clone(roots), keep...) {
		end[n] = math.MaxInt
	}
	p := &plan[T]{list: list, at: map[*G.Node]place[T]{}}
	put := func(n *G.Node) place[T] {
		s := n.Shape()
		at := place[T]{given: m.given[n], width: s[1], batched: s[0] == batch}
		if at.given == nil {
			at.given = given[n]
		}
		at.there = m.resident[at.given]
		p.at[n] = at
		return at
	}
	var a arena
	for k, i := range list {
		for _, x := range i.from {
			if _, ok := p.at[x]; !ok {
				put(x) // an input of the graph
			}
		}
		if _, ok := p.at[i.node]; !ok {
			at := put(i.node)
			if x := i.overwrites(); at.given == nil && x != nil && end[x] == k && p.at[x].given == nil && x.Shape().Eq(i.node.Shape()) {
				at.at = p.at[x].at
				a.pass(x, i.node)
			} else if at.given == nil {
				at.at = a.take(i.node, at.width*i.node.Shape()[0])
			}
			p.at[i.node] = at
		}
		i.to = p.at[i.node]
		for _, x := range i.from {
			i.src = append(i.src, p.at[x])
			if end[x] == k {
				a.free(x)
			}
		}
		if _, read := end[i.node]; !read {
			a.free(i.node)
		}
		i.in, i.far.in = make([][]T, len(i.src)), make([]cuda.Ptr, len(i.src))
		i.part = func(lo, hi int) { i.op.run(&i.call, lo, hi) }
	}
	m.size = max(m.size, a.size)
	if m.dev == nil {
		m.arena = lists.Longer(m.arena, a.size)
	}
	return p
}

// overwrites returns the operand whose memory the result may take.
func (i *instruction[T]) overwrites() *G.Node {
	if i.op.over < 0 {
		return nil
	}
	x, times := i.from[i.op.over], 0
	for _, y := range i.from {
		if x == y {
			times++
		}
	}
	if times > 1 {
		return nil
	}
	return x
}

// order lists the instructions for the roots, one a node.
func (m *machine[T]) order(roots []*G.Node) (list []*instruction[T]) {
	seen := map[*G.Node]bool{}
	stack := slices.Clone(roots)
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[n] || n.Op() == nil {
			continue
		}
		seen[n] = true
		i := &instruction[T]{node: n, from: m.operands(n)}
		i.op, _ = n.Op().(*op[T])
		if i.op == nil {
			// Gorgonia adds up the derivatives of a value that is read in several
			// places; it makes no other nodes.
			if !strings.HasPrefix(n.Op().String(), "+") {
				panic("engine: a node of Gorgonia's: " + n.Op().String())
			}
			i.op = m.plus(n, 2)
		}
		list = append(list, i)
		stack = append(stack, i.from...)
	}
	slices.SortFunc(list, func(a, b *instruction[T]) int { return int(a.node.ID() - b.node.ID()) })
	return list
}

// plus is the sum of two values, or of one: a copy, which needs no work in place.
func (m *machine[T]) plus(n *G.Node, arity int) *op[T] {
	s := n.Shape()
	o, width := &op[T]{name: "plus", arity: arity, shape: s, grain: grain(s[1])}, s[1]
	if s[0] == 1 {
		o.span, o.grain, width = s[1], 1<<14, 1
	}
	o.run = func(c *call[T], lo, hi int) {
		lo, hi = lo*width, hi*width
		if arity > 1 {
			kernel.Sum(c.dst[lo:hi], 1, c.in[0][lo:hi], 1, c.in[1][lo:hi])
		} else {
			copy(c.dst[lo:hi], c.in[0][lo:hi])
		}
	}
	o.far = func(c *remote) {
		n := s[1]
		if s[0] > 1 {
			n *= c.n
		}
		if arity > 1 {
			m.combine(c.dst, c.in[0], c.in[1], 1, 1, n)
		} else {
			m.combine(c.dst, c.in[0], 0, 1, 0, n)
		}
	}
	return o
}

// fuse lets operations that can add to their result do the sums: where b alone
// is read by a + b, b is computed last and added to a, in the memory of a where
// nothing else reads that.
func (m *machine[T]) fuse(list []*instruction[T]) []*instruction[T] {
	readers, maker := map[*G.Node]int{}, map[*G.Node]*instruction[T]{}
	for _, i := range list {
		maker[i.node] = i
		for _, x := range i.from {
			readers[x]++
		}
	}
	gone := map[*instruction[T]]bool{}
	var out []*instruction[T]
	for _, i := range list {
		out = append(out, i)
		if i.op.name != "plus" {
			continue
		}
		for k := 1; k >= 0; k-- {
			b := maker[i.from[k]]
			if b == nil || !b.op.adds || readers[b.node] != 1 {
				continue
			}
			gone[b] = true
			a := i.from[1-k]
			i.from, i.op = []*G.Node{a}, m.plus(i.node, 1)
			out = append(out, &instruction[T]{node: i.node, op: b.op, from: b.from, call: call[T]{add: true}, far: remote{add: true}})
			break
		}
	}
	return slices.DeleteFunc(out, func(i *instruction[T]) bool { return gone[i] })
}

// arena gives values their places: the first gap that is long enough.
type arena struct {
	size int
	live []block // in the order of their places
}

type block struct {
	node  *G.Node
	at, n int
}

// align keeps values on lines of the cache.
const align = 16

func (a *arena) take(n *G.Node, size int) int {
	size = (size + align - 1) / align * align
	at, k := 0, 0
	for ; k < len(a.live) && a.live[k].at-at < size; k++ {
		at = a.live[k].at + a.live[k].n
	}
	a.live = slices.Insert(a.live, k, block{n, at, size})
	a.size = max(a.size, at+size)
	return at
}

func (a *arena) free(n *G.Node) {
	a.live = slices.DeleteFunc(a.live, func(b block) bool { return b.node == n })
}

// pass hands the memory of a value on.
func (a *arena) pass(from, to *G.Node) {
	for k := range a.live {
		if a.live[k].node == from {
			a.live[k].node = to
		}
	}
}
