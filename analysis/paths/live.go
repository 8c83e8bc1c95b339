package paths

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// Live tells which elements are reached from an input or a bias, and which reach an end of
// their segment, by weights that are not zero; where paths go through products, so do
// these.
type Live struct {
	net     *dag.Network
	bias    Bias
	carries [][]int
	in, out []*set // by node; nil is no element
}

// FindLive finds the live elements of a network; Bias and Carries of the options play a part.
// A layer is read only as far as the first weight that answers for a unit, and values all of
// whose elements are live are not listed: with none that are dead it costs next to nothing.
func FindLive(n *dag.Network, opt Options) *Live {
	l := &Live{net: n, bias: opt.Bias, carries: opt.Carries, out: make([]*set, len(n.Nodes))}
	skip := n.Unmeasured()
	if opt.Carries != nil {
		skip = n.SkipThrough(opt.Carries)
	}
	l.in = dag.Forward(n, fromStarts{l}, skip, nil)
	dag.Backward(n, fromEnds{l}, func(nd *dag.Node, s *set, _ bool) { l.out[nd.ID] = s })
	return l
}

// Units reports which units of an axis of a node's value have a live element: paths of
// non-zero product pass through it, g_in > 0 and g_out > 0. Only edges between live ends have
// a kappa that matters; elsewhere it is 0.
func (l *Live) Units(node int, a dag.Axis) []bool {
	live := make([]bool, a.N)
	in, out := l.in[node], l.out[node]
	if in == nil || out == nil {
		return live
	}
	if in.has == nil && out.has == nil && a.Len() > 0 {
		return slices.Repeat([]bool{true}, a.N)
	}
	for e := range a.Len() {
		if in.at(e) && out.at(e) {
			live[a.At(e)] = true
		}
	}
	return live
}

// Element reports whether an element of a node's value is reached from an input, or a bias where
// these count, and whether it reaches an end.
func (l *Live) Element(node, e int) (reached, reaches bool) {
	in, out := l.in[node], l.out[node]
	return in != nil && in.at(e), out != nil && out.at(e)
}

// set is a set of elements: all where has is nil.
type set struct {
	n   int
	has []bool
}

func whole(n int) *set { return &set{n: n} }

func none(n int) *set { return &set{n, make([]bool, n)} }

func (s *set) at(e int) bool { return s.has == nil || s.has[e] }

// packed is the set, which must not change any more, in few bytes if it is all.
func (s *set) packed() *set {
	if s.has != nil && !slices.Contains(s.has, false) {
		s.has = nil
	}
	return s
}

// fromStarts is the reading of what inputs and biases reach.
type fromStarts struct{ *Live }

// Input implements dag.Meaning.
func (l fromStarts) Input(nd *dag.Node) *set { return whole(nd.Len()) }

// Linear implements dag.Meaning.
func (l fromStarts) Linear(nd *dag.Node, op *dag.Linear, x *set) *set {
	b := op.Bias()
	if nd.Zone == dag.Preamble {
		if b == nil {
			return x
		}
		return l.Input(nd)
	}
	to := none(nd.Len())
	if op.Map != nil && x != nil {
		to = reach(op, x, op.Map.In(), op.Out(), false)
	}
	if b != nil && l.bias == Include && to.has != nil {
		to = &set{to.n, slices.Clone(to.has)} // it may be the operand's
		for e := range to.has {
			to.has[e] = to.has[e] || b[op.Out().At(e)] != 0
		}
	}
	return to.packed()
}

// Unary implements dag.Meaning.
func (l fromStarts) Unary(_ *dag.Node, _ dag.Unary, x *set) *set { return x }

// Join implements dag.Meaning.
func (l fromStarts) Join(_ *dag.Node, xs []*set) *set {
	out := xs[0]
	for _, x := range xs[1:] {
		out = either(out, x)
	}
	return out
}

func either(x, y *set) *set {
	switch {
	case x == nil || y != nil && y.has == nil:
		return y
	case y == nil || x.has == nil || x == y:
		return x
	}
	out := none(x.n)
	for e := range out.has {
		out.has[e] = x.has[e] || y.has[e]
	}
	return out.packed()
}

// Concat implements dag.Meaning.
func (l fromStarts) Concat(nd *dag.Node, xs []*set) *set {
	if !slices.ContainsFunc(xs, func(x *set) bool { return x == nil || x.has != nil }) {
		return whole(nd.Len())
	}
	out, at := none(nd.Len()), 0
	for k, x := range xs {
		size := l.net.Nodes[nd.In[k]].Len()
		for e := range size {
			out.has[at+e] = x != nil && x.at(e)
		}
		at += size
	}
	return out.packed()
}

// Select implements dag.Meaning.
func (l fromStarts) Select(nd, _ *dag.Node, index []int32, x *set) *set {
	if x == nil {
		return nil
	}
	if x.has == nil && !slices.Contains(index, -1) {
		return whole(nd.Len())
	}
	out := none(nd.Len())
	for e, j := range index {
		out.has[e] = j >= 0 && x.at(int(j))
	}
	return out.packed()
}

// Pool implements dag.Meaning.
func (l fromStarts) Pool(_ *dag.Node, p *dag.Pool, x *set) *set {
	return windowed(p.Window, p.Channels, x, false)
}

// Func implements dag.Meaning.
func (l fromStarts) Func(nd *dag.Node, op *dag.Func, xs []*set) *set {
	if l.carries == nil || len(l.carries[nd.ID]) != 1 {
		return l.Input(nd)
	}
	k := l.carries[nd.ID][0]
	m, ok := op.Form.(*dag.Matrices)
	switch {
	case xs[k] == nil:
		return l.Input(nd)
	case !ok:
		return xs[k]
	case xs[k].has == nil && m.K > 0:
		return whole(nd.Len())
	}
	out := none(nd.Len())
	for s, w := range [][]int32{m.Left, m.Right}[k] {
		lines := joint(m, k, xs[k], w, 1-k)
		for e := range m.M * m.N {
			out.has[s*m.M*m.N+e] = lines[[]int{e / m.N, e % m.N}[k]]
		}
	}
	return out.packed()
}

// joint tells which rows (axis 1) or columns (axis 0) of a matrix of operand k have an
// element.
func joint(m *dag.Matrices, k int, x *set, matrix int32, axis int) []bool {
	rows, cols := operand(m, k)
	return across(x, int(matrix)*rows*cols, rows, cols, axis)
}

// operand is the size of the matrices of operand k.
func operand(m *dag.Matrices, k int) (rows, cols int) {
	if k == 0 {
		return m.M, m.K
	}
	return m.K, m.N
}

func across(x *set, first, rows, cols, axis int) []bool {
	out := make([]bool, []int{cols, rows}[axis])
	for i := range rows {
		for j := range cols {
			if x.at(first + i*cols + j) {
				out[[]int{j, i}[axis]] = true
			}
		}
	}
	return out
}

// fromEnds is the reading of what reaches an end.
type fromEnds struct{ *Live }

// Output implements dag.Reverse.
func (l fromEnds) Output(nd *dag.Node) *set { return whole(nd.Len()) }

// Merge implements dag.Reverse.
func (l fromEnds) Merge(_ *dag.Node, x, y *set) *set { return either(x, y) }

// Linear implements dag.Reverse.
func (l fromEnds) Linear(_ *dag.Node, op *dag.Linear, h *set) *set {
	return reach(op, h, op.Out(), op.Map.In(), true).packed()
}

// Unary implements dag.Reverse.
func (l fromEnds) Unary(_ *dag.Node, _ dag.Unary, h *set) *set { return h }

// Part implements dag.Reverse.
func (l fromEnds) Part(h *set, lo, hi int) *set {
	if h.has == nil {
		return whole(hi - lo)
	}
	return &set{hi - lo, h.has[lo:hi]}
}

// Select implements dag.Reverse.
func (l fromEnds) Select(operand *dag.Node, taken []dag.Taken[*set]) *set {
	out := none(operand.Len())
	for _, t := range taken {
		for e, j := range t.Index {
			if j >= 0 && t.H.at(e) {
				out.has[j] = true
			}
		}
	}
	return out.packed()
}

// Pool implements dag.Reverse.
func (l fromEnds) Pool(_ *dag.Node, p *dag.Pool, h *set) *set {
	return windowed(p.Window, p.Channels, h, true)
}

// Carries implements dag.Through.
func (l fromEnds) Carries() [][]int { return l.carries }

// Product implements dag.Through.
func (l fromEnds) Product(nd *dag.Node, k int, h *set) *set {
	m, ok := nd.Op.(*dag.Func).Form.(*dag.Matrices)
	if !ok {
		return h
	}
	out := none(l.net.Nodes[nd.In[k]].Len())
	met := l.in[nd.In[1-k]]
	both := len(l.carries[nd.ID]) > 1
	if both && met == nil {
		return whole(out.n)
	}
	which, other := m.Left, m.Right
	if k == 1 {
		which, other = other, which
	}
	rows, cols := operand(m, k)
	for s, w := range which {
		var leaves []bool
		axis := k
		if both { // to the units that it meets along the sum
			leaves, axis = joint(m, 1-k, met, other[s], 1-k), 1-k
		} else {
			leaves = across(h, s*m.M*m.N, m.M, m.N, 1-k)
		}
		for i := range rows {
			for j := range cols {
				if leaves[[]int{i, j}[axis]] {
					out.has[(int(w)*rows+i)*cols+j] = true
				}
			}
		}
	}
	return out.packed()
}

// windowed passes a set through windows, channel by channel, from their elements to their
// values or back.
func windowed(w *dag.Window, channels int, x *set, back bool) *set {
	nTo, nFrom := dag.Size(w.Out()), dag.Size(w.In)
	if back {
		nTo, nFrom = nFrom, nTo
	}
	if x == nil {
		return none(channels * nTo)
	}
	many := channels
	if x.has == nil {
		many = 1 // all channels alike
	}
	to := none(many * nTo)
	w.Taps(func(o, p, _ int) {
		if back {
			o, p = p, o
		}
		for c := range many {
			if x.at(c*nFrom + p) {
				to.has[c*nTo+o] = true
			}
		}
	})
	if to.packed(); many < channels {
		if to.n *= channels; to.has != nil {
			to.has = slices.Repeat(to.has, channels)
		}
	}
	return to
}

// reach passes a set through a layer, from its operand (axis from) to its value (axis to), or
// back.
func reach(op *dag.Linear, x *set, from, to dag.Axis, back bool) *set {
	scale := op.Scale()
	dead := func(row int) bool { return scale != nil && scale[row] == 0 }
	if !slices.Contains(scale, 0) {
		dead = nil
	}
	rows := to
	if back {
		rows = from
	}
	if op.Map.Mixes() == 0 {
		if back {
			x = without(x, rows, dead)
		}
		if w, _ := op.Map.Slides(); w != nil {
			x = windowed(w, rows.N, x, back)
		}
		if !back {
			x = without(x, rows, dead)
		}
		return x
	}
	if dead == nil {
		dead = func(int) bool { return false }
	}
	r := &reading{op: op, back: back, dead: dead, x: x, from: from, to: to, out: &set{n: to.Len()}}
	r.geometry()
	for _, m := range op.Matrices() {
		r.block(&m)
	}
	if !slices.Contains(r.reached, false) {
		r.full = append(r.full, r.every...)
		r.every = nil
	}
	if len(r.full) == to.N {
		return whole(to.Len())
	}
	out := r.elements()
	for _, unit := range r.every {
		for p, reached := range r.reached {
			if reached {
				out.has[element(to, p, unit)] = true
			}
		}
	}
	for _, unit := range r.full {
		for p := range to.Outer * to.Inner {
			out.has[element(to, p, unit)] = true
		}
	}
	return out
}

// without is a set less the elements of some rows; dead is nil for none.
func without(x *set, rows dag.Axis, dead func(row int) bool) *set {
	if dead == nil {
		return x
	}
	out := none(rows.Len())
	for e := range out.has {
		out.has[e] = x.at(e) && !dead(rows.At(e))
	}
	return out
}

// reading reads a layer's matrices for reach.
type reading struct {
	op        *dag.Linear
	back      bool
	dead      func(row int) bool
	x, out    *set
	from, to  dag.Axis
	positions func(f func(to, from, tap int))
	// whole lists the taps that join every position of the result to one of the operand.
	whole []int
	// full lists the units all of whose elements are reached.
	full []int
	// Where all of the operand is there, taps lists those that join any positions, reached tells the positions of the
	// result that any of them joins, and every lists the units that have a weight at each of the taps.
	taps    []int
	reached []bool
	every   []int
}

// elements are those of the result, made when they are first asked for.
func (r *reading) elements() *set {
	if r.out.has == nil {
		r.out.has = make([]bool, r.out.n)
	}
	return r.out
}

// geometry says which positions the taps join: of a fully connected layer each with itself.
func (r *reading) geometry() {
	conv, ok := r.op.Map.(*dag.Conv)
	n := r.to.Outer * r.to.Inner
	if !ok {
		r.positions = func(f func(to, from, tap int)) {
			for p := range n {
				f(p, p, 0)
			}
		}
		r.whole = []int{0}
		return
	}
	r.positions = func(f func(to, from, tap int)) {
		conv.Window.Taps(func(o, p, tap int) {
			if r.back != conv.Transposed {
				o, p = p, o
			}
			f(o, p, tap)
		})
	}
	if r.x.has != nil {
		return
	}
	// Counts and reach are products of those of the axes.
	w := &conv.Window
	counts := []int{1}
	r.reached = []bool{true}
	for d, out := range w.Out() {
		size := out
		if r.back != conv.Transposed {
			size = w.In[d]
		}
		line, pairs := make([]bool, size), make([]int, w.Kernel[d])
		for t := range pairs {
			for o := range out {
				p := w.At(d, o, t)
				if p < 0 || p >= w.In[d] {
					continue
				}
				pairs[t]++
				if r.back != conv.Transposed {
					line[p] = true
				} else {
					line[o] = true
				}
			}
		}
		counts = products(counts, pairs, func(a, b int) int { return a * b })
		r.reached = products(r.reached, line, func(a, b bool) bool { return a && b })
	}
	for tap, k := range counts {
		if k == n {
			r.whole = append(r.whole, tap)
		}
		if k > 0 {
			r.taps = append(r.taps, tap)
		}
	}
}

// products has f of each of a with each of b, those of one of a together.
func products[T any](a, b []T, f func(x, y T) T) []T {
	out := make([]T, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, f(x, y))
		}
	}
	return out
}

// block reads one matrix: see dag.Matrix.
func (r *reading) block(m *dag.Matrix) {
	_, n := m.Stored()
	toFirst, toCount, toStep, fromFirst, fromCount, fromStep := m.Row, m.Rows, n, m.Col, m.Cols/m.Kernel, m.Kernel
	if m.Turned {
		toStep, fromStep = m.Kernel, n
	}
	if r.back {
		toFirst, toCount, toStep, fromFirst, fromCount, fromStep = fromFirst, fromCount, fromStep, toFirst, toCount, toStep
	}
	everyone := make([]int, 0, fromCount)
	for j := range fromCount {
		if !r.back || !r.dead(fromFirst+j) {
			everyone = append(everyone, j)
		}
	}
	joined := func(i, tap int, js []int) bool {
		if !r.back && r.dead(toFirst+i) {
			return false
		}
		for _, j := range js {
			if m.At(i*toStep+j*fromStep+tap) != 0 {
				return true
			}
		}
		return false
	}
	done := make([]bool, toCount)
	if r.x.has == nil {
		for i := range done {
			for _, tap := range r.whole {
				if done[i] = joined(i, tap, everyone); done[i] {
					r.full = append(r.full, toFirst+i)
					break
				}
			}
		}
	}
	if r.reached != nil {
		for i, d := range done {
			if !d && !slices.ContainsFunc(r.taps, func(tap int) bool { return !joined(i, tap, everyone) }) {
				done[i], r.every = true, append(r.every, toFirst+i)
			}
		}
	}
	if !slices.Contains(done, false) {
		return
	}
	js := make([]int, 0, fromCount)
	out := r.elements()
	r.positions(func(to, from, tap int) {
		live := everyone
		if r.x.has != nil {
			live = js[:0]
			for _, j := range everyone {
				if r.x.has[element(r.from, from, fromFirst+j)] {
					live = append(live, j)
				}
			}
		}
		if len(live) == 0 {
			return
		}
		for i, d := range done {
			if d {
				continue
			}
			if e := element(r.to, to, toFirst+i); !out.has[e] {
				out.has[e] = joined(i, tap, live)
			}
		}
	})
}

// element is the element of a unit at a position.
func element(a dag.Axis, position, unit int) int {
	return (position/a.Inner*a.N+unit)*a.Inner + position%a.Inner
}
