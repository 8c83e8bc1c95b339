package rescale

import (
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
		switch n.Nodes[i].Zone {
		case dag.Head:
			continue
		case dag.Between:
			fill(l.in[i])
			continue
		}
		if !l.forward(&n.Nodes[i], bias) {
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
	switch op := nd.Op.(type) {
	case dag.Input, *dag.Func:
		fill(to)
	case *dag.Linear:
		switch m := op.Map.(type) {
		case nil:
		case *dag.Diagonal:
			s := op.Scale()
			for e, x := range l.in[nd.In[0]] {
				to[e] = x && (nd.Zone == dag.Preamble || s == nil || s[m.Axis.At(e)] != 0)
			}
		case *dag.Dense:
			if m.Out().Outer*m.Out().Inner != 1 {
				return false
			}
			rows, cols := indices(m.Rows, func(i int) bool { return op.Scale() == nil || op.Scale()[i] != 0 }),
				indices(m.Cols, func(j int) bool { return l.in[nd.In[0]][j] })
			for _, i := range rows {
				for _, j := range cols {
					if m.At(i, j) != 0 {
						to[i] = true
						break
					}
				}
			}
		default:
			return false
		}
		if b := op.Bias(); b != nil && bias == paths.Include {
			for e := range to {
				to[e] = to[e] || b[op.Out().At(e)] != 0
			}
		}
	default:
		l.net.Edges(nd, func(k, from, e int) { to[e] = to[e] || l.in[nd.In[k]][from] })
	}
	return true
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
	switch m := op.Map.(type) {
	case *dag.Diagonal:
		s := op.Scale()
		for e, x := range of {
			if x && (s == nil || s[m.Axis.At(e)] != 0) {
				l.out[nd.In[0]][e] = true
			}
		}
	case *dag.Dense:
		rows := indices(m.Rows, func(i int) bool { return of[i] && (op.Scale() == nil || op.Scale()[i] != 0) })
		to := l.out[nd.In[0]]
		for j := range to {
			for _, i := range rows {
				if to[j] {
					break
				}
				to[j] = m.At(i, j) != 0
			}
		}
	}
}
