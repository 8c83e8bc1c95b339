package dag

import (
	"slices"

	"github.com/relupath/relupath/internal/lists"
)

// Meaning says what a value is in one reading of the network, at each kind of
// node: the path norms of its elements, the number of paths that reach them, the
// groups of units that they belong to, their numbers on a batch. Forward is the
// pass that all of these share. A new kind of node that is no Unary has one more method here.
type Meaning[T any] interface {
	// Input is the value of a network input.
	Input(nd *Node) T
	// Linear is the value of a layer with operand x; the zero T for a constant.
	Linear(nd *Node, l *Linear, x T) T
	// Unary changes each element by itself.
	Unary(nd *Node, op Unary, x T) T
	// Join joins operands of one size element by element: a sum with signs where
	// nd.Op is *Add, else a maximum.
	Join(nd *Node, xs []T) T
	// Concat strings operands together.
	Concat(nd *Node, xs []T) T
	// Select moves elements of the operand; index is never nil, a change of shape
	// alone keeps T.
	Select(nd, operand *Node, index []int32, x T) T
	// Pool joins the elements of each window, channel by channel.
	Pool(nd *Node, p *Pool, x T) T
	// Func applies a function; the values of layers inside are the last of xs.
	Func(nd *Node, f *Func, xs []T) T
}

// Holder is a Meaning that uses again what values consist of.
type Holder[T any] interface {
	// Hold is told the value of each node when it is known.
	Hold(x T)
	// Drop is told it before its last reader is asked for, or after Hold where it has none. Nodes may
	// share a value: each has its Hold and its Drop.
	Drop(x T)
}

// Forward computes a T for every node in topological order and returns them by
// node. Nodes that skip names (nil: those of the head) are left out; so are, as
// soon as their last reader has run, the values of nodes outside keep (nil keeps
// all).
func Forward[T any](n *Network, m Meaning[T], skip func(*Node) bool, keep []int) []T {
	if skip == nil {
		skip = func(nd *Node) bool { return nd.Zone == Head }
	}
	var last []int
	if keep != nil {
		last = make([]int, len(n.Nodes))
		for i := range n.Nodes {
			last[i] = i
			if !skip(&n.Nodes[i]) {
				for _, j := range n.Nodes[i].In {
					last[j] = i
				}
			}
		}
		for _, j := range keep {
			last[j] = -1
		}
	}
	vals := make([]T, len(n.Nodes))
	has := make([]bool, len(n.Nodes))
	holder, _ := m.(Holder[T])
	drop := func(i int) {
		if has[i] && holder != nil {
			holder.Drop(vals[i])
		}
		var none T
		vals[i], has[i] = none, false
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if skip(nd) {
			continue
		}
		in := lists.Map(nd.In, func(j int) T { return vals[j] })
		for _, j := range nd.In {
			if last != nil && last[j] == i {
				drop(j)
			}
		}
		vals[i], has[i] = Apply(n, m, nd, in), true
		if holder != nil {
			holder.Hold(vals[i])
		}
		if last != nil && last[i] == i {
			drop(i)
		}
	}
	return vals
}

// Apply is what a reading makes of one node, of the Ts of its operands.
func Apply[T any](n *Network, m Meaning[T], nd *Node, in []T) T {
	switch op := nd.Op.(type) {
	case *Linear:
		var x T
		if op.Map != nil {
			x = in[0]
		}
		return m.Linear(nd, op, x)
	case Unary:
		return m.Unary(nd, op, in[0])
	case *Concat:
		return m.Concat(nd, in)
	case *Select:
		if op.Index == nil {
			return in[0]
		}
		return m.Select(nd, &n.Nodes[nd.In[0]], op.Index, in[0])
	case *Pool:
		if op.Window != nil {
			return m.Pool(nd, op, in[0])
		}
		return m.Join(nd, in)
	case *Add:
		return m.Join(nd, in)
	case *Func:
		return m.Func(nd, op, in)
	}
	return m.Input(nd)
}

// Reverse says what a value is in a reading of the network from its outputs to
// its inputs, such as the path norms of what leaves its elements. Each method
// takes the T of a node's value and returns that of its operand.
type Reverse[T any] interface {
	// Output is the T of a value at the end of a segment.
	Output(nd *Node) T
	// Merge joins what two readers of a node ask of it.
	Merge(nd *Node, a, b T) T
	Linear(nd *Node, l *Linear, h T) T
	Unary(nd *Node, op Unary, h T) T
	// Part is the T of elements [lo, hi): of one operand of a concatenation, or of
	// all where a node only joins operands or changes their shape.
	Part(h T, lo, hi int) T
	// Select is the T of an operand whose elements go to each of taken, one at least.
	Select(operand *Node, taken []Taken[T]) T
	Pool(nd *Node, p *Pool, h T) T
}

// Through is a Reverse of paths that go through products of two values.
type Through[T any] interface {
	// Carries is Groups.Carries; nil where paths end at every function.
	Carries() [][]int
	// Product is the T of operand k of a product; that of its value, h, plays no part
	// where both operands go through.
	Product(nd *Node, k int, h T) T
}

// SkipThrough returns what a pass over paths through products leaves out, as Unmeasured
// does for paths that end there: see Groups.Carries.
func (n *Network) SkipThrough(carries [][]int) func(*Node) bool {
	_, skip := n.through(carries)
	return skip
}

// Taken is the T of the value of a Select with an index.
type Taken[T any] struct {
	// By is the node.
	By *Node
	// Index is its index.
	Index []int32
	// H is its T.
	H T
}

// Backward computes a T for every node of the body that reaches the end of a
// segment, and for the preamble's values that such nodes read, in reverse order.
// After visits each node as soon as all its readers have run; ok says whether it
// has a T.
//
// Of a reading that is a Through too, functions are nodes like others along the operands
// that go through.
func Backward[T any](n *Network, m Reverse[T], after func(nd *Node, h T, ok bool)) {
	vals, ok := make([]T, len(n.Nodes)), make([]bool, len(n.Nodes))
	give := func(j int, h T) {
		if ok[j] {
			h = m.Merge(&n.Nodes[j], vals[j], h)
		}
		vals[j], ok[j] = h, true
	}
	// What reads parts of a value is kept until all have run, so that thousands of
	// readers of an element each cost no pass over the value each.
	taken := make([][]Taken[T], len(n.Nodes))
	ends, skip := n.Ends(), n.Unmeasured()
	var carries [][]int
	t, through := m.(Through[T])
	if through {
		if carries = t.Carries(); carries != nil {
			ends, skip = n.through(carries)
		}
	}
	for _, i := range ends {
		if !skip(&n.Nodes[i]) {
			give(i, m.Output(&n.Nodes[i]))
		}
	}
	var none T
	for i := range slices.Backward(n.Nodes) {
		nd := &n.Nodes[i]
		if taken[i] != nil {
			give(i, m.Select(nd, taken[i]))
			taken[i] = nil
		}
		if nd.Zone == Body && ok[i] {
			if op, is := nd.Op.(*Select); is && op.Index != nil {
				taken[nd.In[0]] = append(taken[nd.In[0]], Taken[T]{nd, op.Index, vals[i]})
			} else {
				reverse(n, m, nd, vals[i], give)
			}
		}
		if carries != nil && (ok[i] || len(carries[i]) > 1) {
			for _, k := range carries[i] {
				give(nd.In[k], t.Product(nd, k, vals[i]))
			}
		}
		if nd.Zone != Head {
			after(nd, vals[i], ok[i])
		}
		vals[i] = none
	}
}

func reverse[T any](n *Network, m Reverse[T], nd *Node, h T, give func(int, T)) {
	switch op := nd.Op.(type) {
	case *Linear:
		if op.Map != nil {
			give(nd.In[0], m.Linear(nd, op, h))
		}
		return
	case Unary:
		give(nd.In[0], m.Unary(nd, op, h))
		return
	case *Concat:
		at := 0
		for _, j := range nd.In {
			size := n.Nodes[j].Len()
			give(j, m.Part(h, at, at+size))
			at += size
		}
		return
	case *Pool:
		if op.Window != nil {
			give(nd.In[0], m.Pool(nd, op, h))
			return
		}
	}
	for _, j := range nd.In {
		give(j, m.Part(h, 0, nd.Len()))
	}
}

// Edges calls f for each edge of a node that has no stored weight: from an element
// of an operand to one of its own. A layer with stored weights and an input have
// none.
func (n *Network) Edges(nd *Node, f func(operand, from, to int)) {
	if op, ok := nd.Op.(interface {
		edges(n *Network, nd *Node, f func(operand, from, to int))
	}); ok {
		op.edges(n, nd, f)
		return
	}
	straight(nd, f)
}

// straight calls f for each element of operands that lie element by element on the value.
func straight(nd *Node, f func(operand, from, to int)) {
	for k := range nd.In {
		for e := range nd.Len() {
			f(k, e, e)
		}
	}
}
