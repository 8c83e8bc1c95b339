package dag

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/internal/lists"
)

// InputGroup is the group of every element of an input, of the preamble and of a
// function's value.
const InputGroup = 0

// Groups partitions the units of a network's body: units of one group share
// one factor under rescaling, since identity edges (skips, pooling, positions
// of a convolution) tie them. A unit that nothing ties is a group of its own.
type Groups struct {
	// Count is the number of groups, InputGroup included.
	Count int
	// Units holds the groups of each node's value; IDs is nil in the head.
	Units []UnitMap
	// Rows and Cols hold the groups of each body Linear's rows (units) and
	// columns; nil for other nodes. A layer that multiplies by constants alone has
	// no factors of its own; where the elements of one of its rows lie in
	// different groups (see Units), the row has NoGroup.
	Rows, Cols [][]int32
	// Size is the number of units (rows of linear layers) in each group.
	Size []int
	// Pin says why a group's factor must be 1; empty where it is free.
	Pin []string
	// Inverse has, for each group, the one whose factor is 1 over its own, since their
	// units meet in a product, as queries meet keys; -1 where there is none. Of the two
	// the first has a factor to choose.
	Inverse []int32
	// Carries lists for each product of two values the operands whose factors go through
	// it: one whose factors the value has, or both where they are inverse to each other,
	// so that the value has none. Nil for other nodes.
	Carries [][]int
}

// Follows reports whether a group's factor is 1 over that of an earlier one.
func (g *Groups) Follows(id int) bool { return g.Inverse[id] >= 0 && int(g.Inverse[id]) < id }

// Invert sets the factors that follow from others.
func (g *Groups) Invert(c []float64) {
	for id := range c {
		if g.Follows(id) {
			c[id] = 1 / c[g.Inverse[id]]
		}
	}
}

// Free returns the number of factors that may be chosen.
func (g *Groups) Free() int {
	n := 0
	for id, p := range g.Pin {
		if p == "" && !g.Follows(id) {
			n++
		}
	}
	return n
}

// Ones returns factors that change nothing.
func (g *Groups) Ones() []float64 { return slices.Repeat([]float64{1}, g.Count) }

// grouper is a union-find over provisional unit numbers.
type grouper struct {
	net    *Network
	parent []int32
	// flip says that a unit's factor is 1 over its parent's.
	flip  []bool
	pin   []string
	units []UnitMap
	rows  [][]int32
	cols  [][]int32
	// carries is Groups.Carries, of operands that have factors.
	carries [][]int
	// groups is room for those of the elements of a value.
	groups []int32
}

// Groups derives the groups of tied units. Cost: near linear in the number of
// units; a value's elements are only listed one by one where a Select mixes
// them.
func (n *Network) Groups() *Groups {
	s := &grouper{
		net: n, units: make([]UnitMap, len(n.Nodes)),
		rows: make([][]int32, len(n.Nodes)), cols: make([][]int32, len(n.Nodes)), carries: make([][]int, len(n.Nodes)),
	}
	units := 1
	for nd, l := range Each[*Linear](n) {
		if nd.Zone == Body && l.Free() {
			units += l.Rows()
		}
	}
	s.parent, s.pin = make([]int32, 0, units), make([]string, 0, units)
	s.fresh(1)
	s.pin[InputGroup] = "an input of the network"
	if len(n.Functions()) > 0 {
		s.pin[InputGroup] += " or the value of a function"
	}
	copy(s.units, Forward(n, s, nil, nil))
	// The value of a product, which may have factors, is Between too.
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if nd.Zone == Body || nd.Zone == Preamble {
			continue
		}
		for k, j := range nd.In {
			if z := n.Nodes[j].Zone; (z == Body || z == Between) && !slices.Contains(s.carries[i], k) {
				s.pinAll(&s.units[j], fmt.Sprintf("enters %s, which is not homogeneous", nd.Label()))
			}
		}
	}
	for _, p := range n.Outputs {
		if z := n.Nodes[p.Node].Zone; z == Body || z == Between {
			s.pinAll(&s.units[p.Node], fmt.Sprintf("graph output %q", p.Name))
		}
	}
	return s.result()
}

func (s *grouper) fresh(n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(len(s.parent))
		s.parent, s.flip = append(s.parent, ids[i]), append(s.flip, false)
		s.pin = append(s.pin, "")
	}
	return ids
}

func (s *grouper) find(a int32) int32 {
	root, _ := s.root(a)
	return root
}

// root returns the representative of a unit, and whether its factor is 1 over that's.
func (s *grouper) root(a int32) (root int32, flip bool) {
	for s.parent[a] != a {
		if p := s.parent[a]; s.parent[p] != p {
			s.parent[a], s.flip[a] = s.parent[p], s.flip[a] != s.flip[p]
		}
		flip = flip != s.flip[a]
		a = s.parent[a]
	}
	return a, flip
}

// union ties two units and returns one of them; NoGroup follows the other.
func (s *grouper) union(a, b int32) int32 {
	if a == NoGroup {
		return b
	}
	if b == NoGroup {
		return a
	}
	s.tie(a, b, false)
	if root, flip := s.root(a); !flip {
		return root
	}
	return a
}

// tie makes the factor of b that of a, or 1 over it.
func (s *grouper) tie(a, b int32, inverse bool) {
	x, p := s.root(a)
	y, q := s.root(b)
	flip := (p != q) != inverse
	if x == y {
		if flip && s.pin[x] == "" {
			s.pin[x] = "it meets itself in a product"
		}
		return
	}
	if y < x {
		x, y = y, x
	}
	s.parent[y], s.flip[y] = x, flip
	if s.pin[x] == "" {
		s.pin[x] = s.pin[y]
	}
}

func (s *grouper) pinAll(m *UnitMap, why string) { s.pinIDs(m.IDs, why) }

func (s *grouper) pinIDs(ids []int32, why string) {
	for _, id := range ids {
		if id == NoGroup {
			continue
		}
		if r := s.find(id); s.pin[r] == "" {
			s.pin[r] = why
		}
	}
}

// Input implements Meaning.
func (s *grouper) Input(nd *Node) UnitMap {
	return UnitMap{IDs: []int32{InputGroup}, Inner: max(nd.Len(), 1)}
}

// Linear implements Meaning.
func (s *grouper) Linear(nd *Node, l *Linear, x UnitMap) UnitMap {
	if nd.Zone == Preamble {
		return s.Input(nd)
	}
	out := l.Out()
	var cols []int32
	if l.Map != nil {
		d, ok := l.Map.(*Diagonal)
		if stored := !l.uses(func(_ Role, u *Use) bool { return u.Param.Made }); ok && !stored {
			return s.constants(nd, l, d, x)
		}
		cols = s.along(&x, l.Map.In())
	}
	rows := cols
	if l.Renews() {
		rows = s.fresh(out.N)
	}
	s.rows[nd.ID], s.cols[nd.ID] = rows, cols
	s.pinStored(nd, l, rows, cols)
	return UnitMap{IDs: rows, Inner: max(out.Inner, 1)}
}

// Unary implements Meaning.
func (s *grouper) Unary(nd *Node, op Unary, x UnitMap) UnitMap {
	op.tie(s, nd, &x)
	return x
}

// Select implements Meaning.
func (s *grouper) Select(nd, from *Node, index []int32, x UnitMap) UnitMap {
	if nd.Zone == Preamble {
		return s.Input(nd) // padding too: it may be shifted before it enters a layer
	}
	ids := slices.Repeat([]int32{NoGroup}, len(index))
	if n := from.Len(); n <= len(index) || n <= min(4*len(index), 1<<22) {
		s.groups = lists.Longer(s.groups, n)
		groups := s.groups[:n]
		x.each(n, func(e int, ids []int32) { copy(groups[e:], ids) })
		for e, j := range index {
			if j >= 0 {
				ids[e] = groups[j]
			}
		}
		return compress(ids)
	}
	for e, j := range index {
		if j >= 0 {
			ids[e] = x.At(int(j))
		}
	}
	return compress(ids)
}

// Pool implements Meaning.
func (s *grouper) Pool(_ *Node, p *Pool, x UnitMap) UnitMap {
	return UnitMap{IDs: s.along(&x, Axis{1, p.Channels, Size(p.Window.In)}), Inner: max(Size(p.Window.Out()), 1)}
}

// constants is a layer that multiplies each element by a number: it ties
// nothing across a unit. What it adds cannot be rescaled.
func (s *grouper) constants(nd *Node, l *Linear, d *Diagonal, m UnitMap) UnitMap {
	ids := m.IDs
	if !m.lies(d.Axis) {
		ids = slices.Repeat([]int32{NoGroup}, d.Axis.N)
		for i := range ids {
			if d.Axis.Len() > 0 {
				ids[i] = m.At(i * d.Axis.Inner)
			}
		}
		d.Axis.walk(&m, func(i int, id int32) {
			if ids[i] != id {
				ids[i] = NoGroup
			}
		})
	}
	s.rows[nd.ID], s.cols[nd.ID] = ids, ids
	for _, st := range l.Stages {
		if st.Add != nil && st.Add.Coef != 0 {
			s.pinAll(&m, nowhere(nd))
		}
	}
	return m
}

func nowhere(nd *Node) string { return nd.Label() + " adds a number that is stored nowhere" }

// pinStored pins the units whose factor would have to be written where it
// cannot: it follows editor.linear use by use, zeros too.
func (s *grouper) pinStored(nd *Node, l *Linear, rows, cols []int32) {
	pin := func(u *Use, ids ...[]int32) {
		var why string
		switch {
		case u.Param.Storage == Unwritable && !u.Param.zero():
			why = fmt.Sprintf("%q cannot be stored: %s", u.Param.Name, u.Param.Reason)
		case l.Map != nil && u == l.Map.Weight() && u.Param.Made:
			why = fmt.Sprintf("%s is a matrix made of shapes", nd.Label())
		default:
			return
		}
		for _, x := range ids {
			s.pinIDs(x, why)
		}
	}
	gain := l.gain()
	// cur holds the groups whose factors the value that enters a stage has.
	cur := rows
	if l.Map != nil {
		u := l.Map.Weight()
		if u != nil {
			pin(u, cols)
		}
		switch {
		case gain < 0 && u != nil:
			pin(u, rows)
		case gain >= 0 && u != nil:
			cur = nil
		case gain >= 0:
			cur = cols
		}
	}
	for k := range l.Stages {
		st := &l.Stages[k]
		if st.Norm != nil {
			pin(&st.Norm.Mean, cur)
			if k == gain {
				pin(&st.Norm.Gamma, rows, cur)
				cur = rows
			}
			pin(&st.Norm.Beta, cur)
		}
		if st.Mul != nil && k == gain && st.Norm == nil {
			pin(&st.Mul.Use, rows, cur)
			cur = rows
		}
		switch {
		case st.Add == nil:
		case st.Add.Param != nil:
			pin(&st.Add.Use, cur)
		case st.Add.Coef != 0:
			s.pinIDs(cur, nowhere(nd))
		}
	}
}

// along ties the elements of every index of the axis and returns one group an
// index.
func (s *grouper) along(m *UnitMap, a Axis) []int32 {
	if m.lies(a) {
		return m.IDs
	}
	ids := slices.Repeat([]int32{NoGroup}, a.N)
	last := slices.Repeat([]int32{NoGroup}, a.N) // of each index, as in m: what came before is united already
	a.walk(m, func(i int, id int32) {
		if last[i] != id {
			ids[i], last[i] = s.union(ids[i], id), id
		}
	})
	return ids
}

// Join implements Meaning: it unites the operands element by element.
func (s *grouper) Join(nd *Node, xs []UnitMap) UnitMap {
	out := xs[0]
	for k := range xs[1:] {
		m := &xs[k+1]
		if m.alike(&out) {
			out.IDs = slices.Clone(out.IDs)
			for i := range out.IDs {
				out.IDs[i] = s.union(out.IDs[i], m.IDs[i])
			}
			continue
		}
		ids := make([]int32, nd.Len())
		out.each(len(ids), func(e int, some []int32) { copy(ids[e:], some) })
		m.each(len(ids), func(e int, some []int32) {
			for i, id := range some {
				ids[e+i] = s.union(ids[e+i], id)
			}
		})
		out = compress(ids)
	}
	return out
}

// Concat implements Meaning.
func (s *grouper) Concat(nd *Node, xs []UnitMap) UnitMap {
	inner, plain := xs[0].Inner, true
	for k := range xs {
		plain = plain && xs[k].Times == 0 && xs[k].Inner == inner && len(xs[k].IDs)*inner == s.net.Nodes[nd.In[k]].Len()
	}
	var ids []int32
	for k := range xs {
		if plain {
			ids = append(ids, xs[k].IDs...)
			continue
		}
		xs[k].each(s.net.Nodes[nd.In[k]].Len(), func(_ int, some []int32) { ids = append(ids, some...) })
	}
	if plain {
		return UnitMap{IDs: ids, Inner: max(inner, 1)}
	}
	return compress(ids)
}

func (s *grouper) result() *Groups {
	g := &Groups{Units: s.units, Rows: s.rows, Cols: s.cols, Carries: s.carries}
	s.pinRead()
	num, inverse := make([]int32, len(s.parent)), map[int32]int32{}
	add := func(pin string, of int32) int32 {
		g.Pin, g.Inverse = append(g.Pin, pin), append(g.Inverse, of)
		g.Count++
		return int32(g.Count - 1)
	}
	for i := range num {
		root, flip := s.root(int32(i))
		if root == int32(i) {
			num[i] = add(s.pin[i], -1)
		} else if _, ok := inverse[root]; flip && !ok && s.pin[root] == "" {
			inverse[root] = add("", num[root])
			g.Inverse[num[root]] = inverse[root]
		}
	}
	number := make([]int32, len(num))
	for i := range number {
		root, flip := s.root(int32(i))
		number[i] = num[root]
		if to, ok := inverse[root]; flip && ok {
			number[i] = to
		}
	}
	// Slices are shared between nodes: renumber each once.
	seen := map[*int32]bool{}
	renumber := func(ids []int32) []int32 {
		if len(ids) == 0 || seen[&ids[0]] {
			return ids
		}
		for i, id := range ids {
			if id != NoGroup {
				ids[i] = number[id]
			}
		}
		seen[&ids[0]] = true
		return ids
	}
	g.Size = make([]int, g.Count)
	for i := range s.units {
		g.Units[i].IDs = renumber(s.units[i].IDs)
		g.Rows[i], g.Cols[i] = renumber(s.rows[i]), renumber(s.cols[i])
		if l, ok := s.net.Nodes[i].Op.(*Linear); ok && s.net.Nodes[i].Zone == Body && l.Free() {
			for _, id := range g.Rows[i] {
				g.Size[id]++
			}
		}
	}
	return g
}
