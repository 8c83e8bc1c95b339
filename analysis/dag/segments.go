package dag

import (
	"slices"

	"github.com/relupath/relupath/analysis/internal/disjoint"
)

// zones derives the zone of each node: see Zone.
func zones(nodes []Node) []Zone {
	out := make([]Zone, len(nodes))
	weights := make([]bool, len(nodes)) // behind the node
	for i := len(nodes) - 1; i >= 0; i-- {
		if weights[i] || weighs(nodes, i) {
			for _, j := range nodes[i].In {
				weights[j] = true
			}
		}
	}
	for i := range nodes {
		nd := &nodes[i]
		pre := true
		for _, j := range nd.In {
			pre = pre && out[j] == Preamble
			if out[j] == Head {
				out[i] = Head
			}
		}
		switch f, function := nd.Op.(*Func); {
		case out[i] == Head:
		case function && !weights[i]:
			out[i] = Head
		case function && (!pre || len(nd.In) == 0 && !f.evaluable() || f.Inside > 0):
			out[i] = Between
		case function || pre && nd.constant():
			out[i] = Preamble
		}
	}
	return out
}

// weighs reports whether a node has weights of a layer: a stored matrix, a
// normalisation, or stored factors, other than those behind a curve, which set
// the range of an output.
func weighs(nodes []Node, i int) bool {
	nd := &nodes[i]
	l, ok := nd.Op.(*Linear)
	if !ok || l.Map == nil || !l.Free() {
		return false
	}
	if !l.constant() {
		return true
	}
	before := &nodes[nd.In[0]]
	for len(before.In) == 1 && before.constant() {
		before = &nodes[before.In[0]]
	}
	f, ok := before.Op.(*Func)
	return !ok || f.Kind == Normalizer
}

// Boundary returns the outputs of the whole in order: the nodes of body (or
// preamble) whose value is a graph output or enters the head.
func (n *Network) Boundary() []int { return n.ends(Head) }

// Ends returns the ends of all segments in order: Boundary, and the nodes of the
// body whose value enters a function.
func (n *Network) Ends() []int { return n.ends(Between) }

// ends lists the values that are outputs or enter functions of the zone or Head.
func (n *Network) ends(zone Zone) []int {
	var out []int
	for _, p := range n.Outputs {
		if z := n.Nodes[p.Node].Zone; z == Body || z == Preamble {
			out = append(out, p.Node)
		}
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if nd.Zone != Head && nd.Zone != zone {
			continue
		}
		for _, j := range nd.Operands() {
			if z := n.Nodes[j].Zone; z == Body || z == Preamble && nd.Zone == Head {
				out = append(out, j)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Operands returns the nodes whose values the node computes with: In, without the
// layers inside a function.
func (n *Node) Operands() []int {
	if f, ok := n.Op.(*Func); ok {
		return n.In[:len(n.In)-f.Inside]
	}
	return n.In
}

// Segment is a maximal part of the body between functions: what is positively
// homogeneous, from the inputs, or the results of functions, to outputs or to the
// operands of functions.
type Segment struct {
	// Starts lists the inputs, preamble values and functions that it reads, Nodes
	// its nodes, Ends those among them that are outputs or that functions read,
	// Layers those with weights; all in order.
	Starts, Nodes, Ends, Layers []int
}

// Segments returns the parts of the body that have weights, in the order of their
// first nodes. A network without functions between weights has one. Layers inside
// a function (see Func.Inside) belong to none.
func (n *Network) Segments() []Segment {
	var out []Segment
	for _, s := range n.parts() {
		if len(s.Layers) > 0 && len(s.Ends) > 0 {
			out = append(out, *s)
		}
	}
	return out
}

// Weighted reports for each node whether it belongs to a part of the body that has
// weights. What stands between two functions without any, such as the mask and the
// scale of an attention, belongs to them. Without functions all of the body counts.
func (n *Network) Weighted() []bool {
	out := make([]bool, len(n.Nodes))
	if len(n.Functions()) == 0 {
		for i := range n.Nodes {
			out[i] = n.Nodes[i].Zone == Body
		}
		return out
	}
	for _, s := range n.parts() {
		for _, i := range s.Nodes {
			out[i] = len(s.Layers) > 0
		}
	}
	return out
}

// Counted returns the stored tensors of Params but those that only functions and the head have,
// see Weighted: they are in no norm, and a mask may be infinite.
func (n *Network) Counted() []*Param {
	weighted := n.Weighted()
	counted := map[*Param]bool{}
	for i := range n.Nodes {
		if n.Nodes[i].Zone == Preamble || weighted[i] {
			for _, u := range n.Nodes[i].Uses() {
				counted[u.Param] = true
			}
		}
	}
	return slices.DeleteFunc(n.Params(), func(p *Param) bool { return !counted[p] })
}

// Unmeasured returns what a pass over path norms or counts leaves out: the head, and
// the parts of the body without weights all of whose ends are operands of functions.
func (n *Network) Unmeasured() func(*Node) bool {
	skip := make([]bool, len(n.Nodes))
	if len(n.Functions()) > 0 {
		boundary := make([]bool, len(n.Nodes))
		for _, i := range n.Boundary() {
			boundary[i] = true
		}
		last := func(i int) bool { return boundary[i] }
		for _, s := range n.parts() {
			if len(s.Layers) == 0 && !slices.ContainsFunc(s.Ends, last) {
				for _, i := range s.Nodes {
					skip[i] = true
				}
			}
		}
	}
	return func(nd *Node) bool { return nd.Zone == Head || skip[nd.ID] }
}

// through is Ends and Unmeasured where paths go through products, along the operands
// that carries lists (see Groups.Carries): such products are no ends, and their values no
// starts.
func (n *Network) through(carries [][]int) (ends []int, skip func(*Node) bool) {
	inner := func(i int) bool { return n.Nodes[i].Zone == Body || len(carries[i]) == 1 }
	last := make([]bool, len(n.Nodes))
	for _, p := range n.Outputs {
		last[p.Node] = inner(p.Node)
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if nd.Zone != Head && nd.Zone != Between {
			continue
		}
		for k, j := range nd.Operands() {
			last[j] = last[j] || inner(j) && !slices.Contains(carries[i], k)
		}
	}
	for _, i := range n.Boundary() {
		last[i] = true
	}
	for i, end := range last {
		if end {
			ends = append(ends, i)
		}
	}
	unmeasured, left := n.Unmeasured(), make([]bool, len(n.Nodes))
	for _, s := range n.parts() {
		reached := slices.ContainsFunc(s.Starts, func(i int) bool { return len(carries[i]) == 1 })
		for _, i := range s.Nodes {
			left[i] = !reached && unmeasured(&n.Nodes[i])
		}
	}
	return ends, func(nd *Node) bool { return nd.Zone == Head || left[nd.ID] }
}

// parts returns the parts of the body that no function separates, in the order of
// their first nodes.
func (n *Network) parts() []*Segment {
	parts := disjoint.New(len(n.Nodes))
	for i := range n.Nodes {
		if n.Nodes[i].Zone != Body {
			continue
		}
		for _, j := range n.Nodes[i].In {
			parts.Join(int32(i), int32(j))
		}
	}
	of := map[int32]*Segment{}
	var order []*Segment
	get := func(i int) *Segment {
		first := parts.Least(int32(i))
		s := of[first]
		if s == nil {
			s = &Segment{}
			of[first] = s
			order = append(order, s)
		}
		return s
	}
	isLayer := map[int]bool{}
	for _, i := range n.Layers() {
		isLayer[i] = n.Nodes[i].Op.(*Linear).Map != nil
	}
	for i := range n.Nodes {
		if n.Nodes[i].Zone != Body {
			continue
		}
		s := get(i)
		s.Nodes = append(s.Nodes, i)
		if isLayer[i] {
			s.Layers = append(s.Layers, i)
		}
		for _, j := range n.Nodes[i].In {
			if n.Nodes[j].Zone != Body {
				s.Starts = append(s.Starts, j)
			}
		}
	}
	for _, i := range n.Ends() {
		if n.Nodes[i].Zone == Body {
			s := get(i)
			s.Ends = append(s.Ends, i)
		}
	}
	for _, s := range order {
		slices.Sort(s.Starts)
		s.Starts = slices.Compact(s.Starts)
	}
	return order
}

// Functions returns the functions and products that have weights before and behind
// them, in order. Where there is none the body is one segment, and the network as
// a whole is positively homogeneous up to its head.
func (n *Network) Functions() []int {
	var out []int
	for i := range n.Nodes {
		if n.Nodes[i].Zone == Between {
			out = append(out, i)
		}
	}
	return out
}
