package analysis

import (
	"github.com/relupath/relupath/analysis/dag"
)

// body yields the nodes of the body.
func body(n *dag.Network) func(yield func(*dag.Node) bool) {
	return func(yield func(*dag.Node) bool) {
		for i := range n.Nodes {
			if n.Nodes[i].Zone == dag.Body && !yield(&n.Nodes[i]) {
				return
			}
		}
	}
}

// learned returns the stored tensors of the body in order, each once. The
// running mean and variance of a BatchNormalization are not learned and left
// out.
func learned(n *dag.Network) []*dag.Param {
	var out []*dag.Param
	seen := map[*dag.Param]bool{}
	for nd := range body(n) {
		for role, u := range nd.Uses() {
			if role.Learned() && !seen[u.Param] {
				seen[u.Param] = true
				out = append(out, u.Param)
			}
		}
	}
	return out
}

// parameters counts stored scalars.
func parameters(n *dag.Network) int {
	total := 0
	for _, p := range learned(n) {
		total += p.Len()
	}
	return total
}

// depth is the largest number of layers on a path; a constant is none.
func depth(n *dag.Network) int {
	deep := make([]int, len(n.Nodes))
	for nd := range body(n) {
		for _, j := range nd.In {
			deep[nd.ID] = max(deep[nd.ID], deep[j])
		}
		if l, ok := nd.Op.(*dag.Linear); ok && l.Map != nil && l.Free() {
			deep[nd.ID]++
		}
	}
	d := 0
	for _, i := range n.Boundary() {
		d = max(d, deep[i])
	}
	return d
}

// hiddenUnits counts the rows of layers that feed an activation, through
// identity edges at most. A row counts when one of its elements does.
func hiddenUnits(n *dag.Network) int {
	feeds := make([][]bool, len(n.Nodes)) // by element; nil is none
	mark := func(j, e int) {
		if feeds[j] == nil {
			feeds[j] = make([]bool, n.Nodes[j].Len())
		}
		feeds[j][e] = true
	}
	units := 0
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		nd := &n.Nodes[i]
		if nd.Zone != dag.Body {
			continue
		}
		if a, ok := nd.Op.(*dag.Activation); ok && !a.Identity() {
			for e := range nd.Len() {
				mark(nd.In[0], e)
			}
			continue
		}
		if feeds[i] == nil {
			continue
		}
		l, ok := nd.Op.(*dag.Linear)
		if ok && l.Free() {
			rows := make([]bool, l.Rows())
			for e, f := range feeds[i] {
				if row := l.Out().At(e); f && !rows[row] {
					rows[row] = true
					units++
				}
			}
			continue
		}
		n.Edges(nd, func(operand, from, to int) {
			if feeds[i][to] {
				mark(nd.In[operand], from)
			}
		})
	}
	return units
}
