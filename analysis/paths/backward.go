package paths

import (
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// Backward returns h_out(u) = g_out(u)^(1/p) for every element u of every node
// of the body and of every preamble value that the body reads, for every order
// of p: the p-norm of the products along all paths from u to an output, 1 at
// an output itself. It reads each weight tensor once for all orders, in reverse
// order of the nodes. Biases play no part. Errors and cost are Forward's.
func Backward(n *dag.Network, p []float64, opt Options) *Values {
	checkOrders(p)
	v := newValues(n, p)
	b := &backward{Values: v, owned: make([][]bool, len(p))}
	for k := range p {
		b.owned[k] = make([]bool, len(n.Nodes))
	}
	for _, i := range n.Boundary() {
		for k := range p {
			b.give(k, i, ones(n.Nodes[i].Len()))
		}
	}
	keep := kept(n, opt.Keep)
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		nd := &n.Nodes[i]
		if nd.Zone == dag.Head {
			continue
		}
		for k := range p {
			if v.H[k][i] == nil && nd.Zone == dag.Body {
				v.H[k][i] = make([]scaled.Num, nd.Len())
			}
		}
		if nd.Zone == dag.Body {
			if l, ok := nd.Op.(*dag.Linear); ok {
				b.linear(nd, l, opt)
			} else {
				for k := range p {
					b.step(nd, k)
				}
			}
		}
		if !keep[i] {
			for k := range p {
				v.H[k][i] = nil
			}
		}
	}
	return v
}

func kept(n *dag.Network, list []int) []bool {
	keep := make([]bool, len(n.Nodes))
	for i := range keep {
		keep[i] = list == nil
	}
	for _, l := range [][]int{list, n.Boundary()} {
		for _, i := range l {
			keep[i] = true
		}
	}
	return keep
}

type backward struct {
	*Values
	// owned marks values that no other node shares, which may be added to.
	owned [][]bool
}

// give adds one consumer's contribution to a node, which takes h over.
func (b *backward) give(k, node int, h []scaled.Num) {
	if b.H[k][node] == nil {
		b.H[k][node], b.owned[k][node] = h, true
		return
	}
	b.merge(k, node, h)
}

// lend is give for a slice that another node keeps.
func (b *backward) lend(k, node int, h []scaled.Num) {
	if b.H[k][node] == nil {
		b.H[k][node] = h
		return
	}
	b.merge(k, node, h)
}

func (b *backward) merge(k, node int, h []scaled.Num) {
	old := b.H[k][node]
	if !b.owned[k][node] {
		old = append([]scaled.Num(nil), old...)
		b.H[k][node], b.owned[k][node] = old, true
	}
	p := b.P[k]
	for e, x := range h {
		old[e] = scaled.Plus(old[e], x, p)
	}
}

func (b *backward) linear(nd *dag.Node, l *dag.Linear, opt Options) {
	if l.Map == nil {
		return
	}
	q := dag.SumRequest{Threads: opt.Threads}
	var ks []int
	for k, p := range b.P {
		// Nothing leaves a layer that reaches no output.
		if !allZero(b.H[k][nd.ID]) {
			q.Backward = append(q.Backward, dag.Path{P: p, H: b.H[k][nd.ID]})
			ks = append(ks, k)
		}
	}
	if ks == nil {
		return
	}
	for j, h := range l.Sums(q).Backward {
		b.give(ks[j], nd.In[0], h)
	}
}

func allZero(h []scaled.Num) bool {
	for _, x := range h {
		if !x.IsZero() {
			return false
		}
	}
	return true
}

// step hands the values of a node without weights on to its operands.
func (b *backward) step(nd *dag.Node, k int) {
	h, p := b.H[k][nd.ID], b.P[k]
	switch op := nd.Op.(type) {
	case *dag.Activation:
		b.lend(k, nd.In[0], gained(op, h))
	case *dag.Add:
		for _, j := range nd.In {
			b.lend(k, j, h)
		}
	case *dag.Concat:
		at := 0
		for _, j := range nd.In {
			m := b.net.Nodes[j].Len()
			b.lend(k, j, h[at:at+m])
			at += m
		}
	case *dag.Select:
		if op.Index == nil {
			b.lend(k, nd.In[0], h)
			return
		}
		g := make([]scaled.Num, b.net.Nodes[nd.In[0]].Len())
		for e, j := range op.Index {
			if j >= 0 {
				g[j] = scaled.Plus(g[j], h[e], p)
			}
		}
		b.give(k, nd.In[0], g)
	case *dag.Pool:
		if op.Window == nil {
			for _, j := range nd.In {
				b.lend(k, j, h)
			}
			return
		}
		nOut, nIn := dag.Size(op.Window.Out()), dag.Size(op.Window.In)
		g := make([]scaled.Num, op.Channels*nIn)
		op.Window.Taps(func(o, i, _ int) {
			for c := range op.Channels {
				g[c*nIn+i] = scaled.Plus(g[c*nIn+i], h[c*nOut+o], p)
			}
		})
		b.give(k, nd.In[0], g)
	default:
		panic(fmt.Sprintf("paths: %s in the body", nd.Label()))
	}
}
