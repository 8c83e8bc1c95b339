package dag

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/internal/lists"
)

// UnitMap says which group each element of a node's value belongs to. IDs is made of
// lines of Line groups, each of which is there Times times: with k = e/Inner, element e is in
// group IDs[k/(Line Times) Line + k mod Line]. That is how units lie in a value and in its
// transposes, as of the heads of an attention. Where Times is 0 there is one line, for
// all elements: IDs[k mod len(IDs)]. NoGroup marks elements that are zero by construction
// (padding) and follow any factor.
type UnitMap struct {
	IDs         []int32
	Inner       int
	Line, Times int
}

// NoGroup is the group of an element that is always zero.
const NoGroup = int32(-1)

// At returns the group of element e.
func (m *UnitMap) At(e int) int32 {
	k := e / m.Inner
	if m.Times == 0 {
		return m.IDs[k%len(m.IDs)]
	}
	return m.IDs[k/(m.Line*m.Times)*m.Line+k%m.Line]
}

// each calls do with the groups of the elements 0 to n-1 of a value, in order and some at a time, from element e on:
// without the divisions of At. do must not keep them.
func (m *UnitMap) each(n int, do func(e int, ids []int32)) {
	line, times := m.Line, m.Times
	if times == 0 {
		line, times = len(m.IDs), n
	}
	var room [256]int32
	e, held := 0, room[:0] // groups of the elements before e that do does not have
	for at := 0; e < n; at += line {
		for t := 0; t < times && e < n; t++ {
			ids := m.IDs[at:][:line]
			if m.Inner == 1 {
				ids = ids[:min(line, n-e)]
				do(e, ids)
				e += len(ids)
				continue
			}
			for _, id := range ids {
				for left := min(m.Inner, n-e); left > 0; {
					some := min(left, len(room)-len(held))
					for range some {
						held = append(held, id)
					}
					e, left = e+some, left-some
					if len(held) == len(room) {
						do(e-len(held), held)
						held = held[:0]
					}
				}
			}
		}
	}
	if len(held) > 0 {
		do(e-len(held), held)
	}
}

// lies reports whether the groups are those of an axis, one an index.
func (m *UnitMap) lies(a Axis) bool { return m.Times == 0 && len(m.IDs) == a.N && m.Inner == a.Inner }

// alike reports whether the same elements share a place in IDs.
func (m *UnitMap) alike(o *UnitMap) bool {
	return len(m.IDs) == len(o.IDs) && m.Inner == o.Inner && m.Line == o.Line && m.Times == o.Times
}

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

// walk calls do with the index and the group of each element of an axis, in order; of neighbours that are alike in both
// with the first alone.
func (a Axis) walk(m *UnitMap, do func(i int, id int32)) {
	i, left, old := 0, a.Inner, NoGroup-1
	m.each(a.Len(), func(_ int, ids []int32) {
		for _, id := range ids {
			if id != old {
				do(i, id)
			}
			old = id
			if left--; left == 0 {
				left, old = a.Inner, NoGroup-1
				if i++; i == a.N {
					i = 0
				}
			}
		}
	})
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

// compress is the map of a list of groups, one an element: it finds the longest run length
// that the list is made of, and lines that repeat.
func compress(ids []int32) UnitMap {
	if len(ids) == 0 {
		return UnitMap{IDs: []int32{NoGroup}, Inner: 1}
	}
	inner, start := 0, 0
	for e := 1; e <= len(ids) && inner != 1; e++ {
		if e == len(ids) || ids[e] != ids[start] {
			inner = gcd(inner, e-start)
			start = e
		}
	}
	n := len(ids) / inner
	at := func(k int) int32 { return ids[k*inner] }
	line, times := lines(n, at)
	if inner == 1 && times == 1 {
		return UnitMap{IDs: ids, Inner: 1}
	}
	out := UnitMap{IDs: make([]int32, 0, n/times), Inner: inner}
	if times > 1 && line*times < n {
		out.Line, out.Times = line, times
	}
	for k := 0; k < n; k += line * times {
		for i := range line {
			out.IDs = append(out.IDs, at(k+i))
		}
	}
	return out
}

// lines finds the line that a list of n numbers begins with and repeats: the list is made
// of lines of that length, each of which is there so many times.
func lines(n int, at func(int) int32) (line, times int) {
	for line, tries := 1, 16; line <= n/2 && tries > 0; line++ {
		if n%line != 0 || at(line) != at(0) {
			continue
		}
		tries--
		same := 0 // numbers that are there again a line further
		for same+line < n && at(same) == at(same+line) {
			same++
		}
		times = same/line + 1
		if times == 1 || n%(line*times) != 0 {
			continue
		}
		k := line * times
		for k < n && (k%(line*times) < line || at(k) == at(k-line)) {
			k++
		}
		if k == n {
			return line, times
		}
	}
	return n, 1
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
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
