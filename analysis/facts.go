package analysis

import (
	"math/rand/v2"

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

// Parameters counts the stored scalars of the body: a shared tensor once, biases,
// BatchNormalization's scale and shift and PReLU slopes included, its running mean
// and variance not.
func Parameters(n *dag.Network) int {
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

// hiddenUnits counts the units (channels of a convolution) whose value enters an
// activation. What enters it may be the sum of several layers' units, as behind a
// skip connection: that is one unit, and one that enters two activations is one.
func hiddenUnits(n *dag.Network) int {
	last := make([]int, len(n.Nodes))
	for nd := range body(n) {
		for _, j := range nd.In {
			last[j] = nd.ID
		}
	}
	// Each element has the sum of random names of the rows that it is made of;
	// 0 is none. Two sums of 64 bits are equal by chance in 2^64.
	names := make([][]uint64, len(n.Nodes))
	rng := rand.New(rand.NewPCG(0, 0))
	entered := map[uint64]bool{}
	for nd := range body(n) {
		l, linear := nd.Op.(*dag.Linear)
		a, active := nd.Op.(*dag.Activation)
		switch {
		case linear && l.Free():
			row := make([]uint64, l.Rows())
			for i := range row {
				row[i] = rng.Uint64()
			}
			names[nd.ID] = make([]uint64, nd.Len())
			for e := range names[nd.ID] {
				names[nd.ID][e] = row[l.Out().At(e)]
			}
		case active && !a.Identity():
			for _, x := range names[nd.In[0]] {
				if x != 0 {
					entered[x] = true
				}
			}
		default:
			to := make([]uint64, nd.Len())
			n.Edges(nd, func(operand, from, e int) {
				switch x := names[nd.In[operand]]; {
				case x == nil:
				case operand == 0: // the elements of a window are mostly of one unit
					to[e] = max(to[e], x[from])
				default:
					to[e] += x[from]
				}
			})
			names[nd.ID] = to
		}
		for _, j := range nd.In {
			if last[j] == nd.ID {
				names[j] = nil
			}
		}
	}
	return len(entered)
}
