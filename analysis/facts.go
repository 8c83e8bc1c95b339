package analysis

import (
	"iter"

	"github.com/relupath/relupath/analysis/dag"
)

// body yields the nodes of the body, of its parts with weights.
func body[O dag.Op](n *dag.Network) iter.Seq2[*dag.Node, O] {
	weighted := n.Weighted()
	return func(yield func(*dag.Node, O) bool) {
		for nd, op := range dag.Each[O](n) {
			if weighted[nd.ID] && !yield(nd, op) {
				return
			}
		}
	}
}

// learned returns the stored tensors of the body in order, each once. The
// running mean and variance of a BatchNormalization are not learned and left
// out, and so are numbers that are made of shapes.
func learned(n *dag.Network) []*dag.Param {
	var out []*dag.Param
	seen := map[*dag.Param]bool{}
	for nd := range body[dag.Op](n) {
		for role, u := range nd.Uses() {
			if role.Learned() && !u.Param.Made && !seen[u.Param] {
				seen[u.Param] = true
				out = append(out, u.Param)
			}
		}
	}
	return out
}

// Parameters counts the stored scalars of the body: a shared tensor once, biases,
// BatchNormalization's scale and shift and PReLU slopes included, its running mean
// and variance not. Of a tensor that the graph takes elements from, such as a table of
// positions, those count that it takes, each once where it takes all.
func Parameters(n *dag.Network) int { return parameters(n, false) }

// WholeParameters is Parameters with all of each tensor that the graph takes elements from: the
// number of the file where the shape of an input decides which it takes.
func WholeParameters(n *dag.Network) int { return parameters(n, true) }

func parameters(n *dag.Network, whole bool) int {
	total, taken := 0, map[any]int{}
	for _, p := range learned(n) {
		tensor, most, own := p.Of, p.OfLen, p.Len()
		switch {
		case tensor == nil && p.Ref != nil:
			tensor, most = p.Ref, own
		case tensor == nil:
			tensor, most = p, own
		case whole:
			own = most
		}
		now := min(taken[tensor]+own, most)
		total += now - taken[tensor]
		taken[tensor] = now
	}
	return total
}

// effective counts the numbers of the network in its normal form: the weights and
// biases of each layer, a tensor once for each layer that uses it, and PReLU
// slopes; not what is made of shapes.
func effective(n *dag.Network) int {
	total := 0
	for nd := range body[dag.Op](n) {
		for role, u := range nd.Uses() {
			if (role == dag.Weight || role == dag.Slope) && !u.Param.Made {
				total += u.Param.Len()
			}
		}
	}
	for _, l := range body[*dag.Linear](n) {
		if l.Map != nil && !l.Learned() && l.Free() {
			total += l.Rows()
		}
		if !l.MadeBias() {
			total += len(l.Bias())
		}
	}
	return total
}

// depth is the largest number of layers on a path; a constant is none.
func depth(n *dag.Network) int {
	return longest(n, func(op dag.Op) bool {
		l, ok := op.(*dag.Linear)
		return ok && l.Map != nil && l.Free()
	})
}

// longest is the largest number of nodes of a kind on a path through the body.
func longest(n *dag.Network, counts func(dag.Op) bool) int {
	deep := make([]int, len(n.Nodes))
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		for _, j := range nd.Operands() {
			deep[nd.ID] = max(deep[nd.ID], deep[j])
		}
		if nd.Zone == dag.Body && counts(nd.Op) {
			deep[nd.ID]++
		}
	}
	d := 0
	for _, i := range n.Ends() {
		d = max(d, deep[i])
	}
	return d
}
