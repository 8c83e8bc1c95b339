package dagtest

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// Output is one element of the body's outputs.
type Output struct {
	// Node is the body's output, Element the index within its value.
	Node, Element int
}

// OutputElements lists the elements of the body's outputs, in order.
func OutputElements(n *dag.Network) []Output { return Elements(n, n.Boundary()) }

// Elements lists the elements of nodes, in order.
func Elements(n *dag.Network, nodes []int) []Output {
	var out []Output
	for _, i := range nodes {
		for e := range n.Nodes[i].Len() {
			out = append(out, Output{i, e})
		}
	}
	return out
}

// Stored returns kappa of each stored number of a layer's weight tensor from that
// of the effective weights: a stored number is multiplied by its row's factor.
func Stored(l *dag.Linear, edges []scaled.Num) []scaled.Num {
	out := append([]scaled.Num(nil), edges...)
	at := 0
	for _, m := range l.Matrices() {
		for e := range m.Len() {
			if s := l.Scale(); s != nil {
				row, _ := m.Place(e)
				out[at] = out[at].MulFloat(s[row]).MulFloat(s[row])
			}
			at++
		}
	}
	return out
}
