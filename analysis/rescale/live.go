package rescale

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
)

// liveness tells which elements are reached from an input or a bias, and which
// reach an output, by weights that are not zero. A fully connected layer is read
// only as far as the first weight that answers for a unit, so that all of it
// costs next to nothing; ok is false for networks with windows, for which the
// path programmes answer.
type liveness struct {
	net     *dag.Network
	in, out [][]bool
}

func newLiveness(n *dag.Network, bias paths.Bias) (l *liveness, ok bool) {
	l = &liveness{n, make([][]bool, len(n.Nodes)), make([][]bool, len(n.Nodes))}
	for i := range n.Nodes {
		l.in[i], l.out[i] = make([]bool, n.Nodes[i].Len()), make([]bool, n.Nodes[i].Len())
	}
	given := make([]bool, len(n.Nodes))
	for _, p := range n.Inputs {
		given[p.Node] = true
	}
	for nd := range dag.Each[*dag.Func](n) {
		given[nd.ID] = true
	}
	for i := range n.Nodes {
		switch nd := &n.Nodes[i]; {
		case nd.Zone == dag.Head:
		case given[i]:
			fill(l.in[i])
		case !l.forward(nd, bias):
			return nil, false
		}
	}
	for _, i := range n.Ends() {
		fill(l.out[i])
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if n.Nodes[i].Zone == dag.Body {
			l.backward(&n.Nodes[i])
		}
	}
	return l, true
}

func fill(x []bool) {
	for i := range x {
		x[i] = true
	}
}

// units reports which units of an axis have a live element.
func (l *liveness) units(node int, a dag.Axis) []bool {
	live := make([]bool, a.N)
	for e := range a.Len() {
		if l.in[node][e] && l.out[node][e] {
			live[a.At(e)] = true
		}
	}
	return live
}

func (l *liveness) forward(nd *dag.Node, bias paths.Bias) (ok bool) {
	to := l.in[nd.ID]
	op, layer := nd.Op.(*dag.Linear)
	if !layer {
		l.net.Edges(nd, func(k, from, e int) { to[e] = to[e] || l.in[nd.In[k]][from] })
		return true
	}
	factor := func(i int) bool { return op.Scale() == nil || op.Scale()[i] != 0 }
	if m := full(op); m != nil {
		cols := indices(m.Cols, func(j int) bool { return l.in[nd.In[0]][j] })
		for _, i := range indices(m.Rows, factor) {
			to[i] = slices.ContainsFunc(cols, func(j int) bool { return m.At(i, j) != 0 })
		}
	} else if d, ok := op.Map.(*dag.Diagonal); ok {
		for e, x := range l.in[nd.In[0]] {
			to[e] = x && (nd.Zone == dag.Preamble || factor(d.Axis.At(e)))
		}
	} else if op.Map != nil {
		return false
	}
	if b := op.Bias(); b != nil && bias == paths.Include {
		for e := range to {
			to[e] = to[e] || b[op.Out().At(e)] != 0
		}
	}
	return true
}

// full returns the matrix of a fully connected layer at one position; nil for others.
func full(l *dag.Linear) *dag.Dense {
	if d, ok := l.Map.(*dag.Dense); ok && d.Positions() == 1 {
		return d
	}
	return nil
}

func indices(n int, f func(i int) bool) []int {
	var out []int
	for i := range n {
		if f(i) {
			out = append(out, i)
		}
	}
	return out
}

func (l *liveness) backward(nd *dag.Node) {
	of := l.out[nd.ID]
	op, ok := nd.Op.(*dag.Linear)
	if !ok {
		l.net.Edges(nd, func(k, from, e int) {
			if of[e] {
				l.out[nd.In[k]][from] = true
			}
		})
		return
	}
	if op.Map == nil {
		return
	}
	factor := func(i int) bool { return op.Scale() == nil || op.Scale()[i] != 0 }
	to := l.out[nd.In[0]]
	if m := full(op); m != nil {
		rows := indices(m.Rows, func(i int) bool { return of[i] && factor(i) })
		for j := range to {
			to[j] = to[j] || slices.ContainsFunc(rows, func(i int) bool { return m.At(i, j) != 0 })
		}
		return
	}
	for e, x := range of { // a Diagonal
		to[e] = to[e] || x && factor(op.Out().At(e))
	}
}
