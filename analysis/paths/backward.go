package paths

import (
	"slices"

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
	keep := kept(n, opt.Keep)
	dag.Backward(n, &backward{p, opt}, func(nd *dag.Node, h *leaving, ok bool) {
		for k := range p {
			switch {
			case !keep[nd.ID]:
			case ok:
				v.H[k][nd.ID] = h.of[k]
			case nd.Zone == dag.Body:
				v.H[k][nd.ID] = make([]scaled.Num, nd.Len())
			}
		}
	})
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

// backward is the reading of a network in which a value is h_out of its elements,
// for each order.
type backward struct {
	p   []float64
	opt Options
}

// leaving is h_out for each order. What several nodes share is not written to:
// own says that this one alone has it.
type leaving struct {
	of  [][]scaled.Num
	own bool
}

// each computes h_out of an operand for every order from h of the value.
func (b *backward) each(h *leaving, f func(h []scaled.Num, p float64) []scaled.Num) *leaving {
	out := &leaving{make([][]scaled.Num, len(b.p)), true}
	for k, p := range b.p {
		out.of[k] = f(h.of[k], p)
	}
	return out
}

// Output implements dag.Reverse.
func (b *backward) Output(nd *dag.Node) *leaving {
	out := &leaving{nil, true}
	for range b.p {
		out.of = append(out.of, ones(nd.Len()))
	}
	return out
}

// Merge implements dag.Reverse.
func (b *backward) Merge(_ *dag.Node, x, y *leaving) *leaving {
	if !x.own {
		x = b.each(x, func(h []scaled.Num, _ float64) []scaled.Num { return slices.Clone(h) })
	}
	for k, p := range b.p {
		for e, h := range y.of[k] {
			x.of[k][e] = scaled.Plus(x.of[k][e], h, p)
		}
	}
	return x
}

// Linear implements dag.Reverse.
func (b *backward) Linear(_ *dag.Node, l *dag.Linear, h *leaving) *leaving {
	q := dag.SumRequest{Threads: b.opt.Threads}
	if left := func(x scaled.Num) bool { return !x.IsZero() }; len(h.of) > 0 && !slices.ContainsFunc(h.of[0], left) {
		// Nothing leaves a layer that reaches no output, whatever its weights.
		return b.each(h, func([]scaled.Num, float64) []scaled.Num { return make([]scaled.Num, l.Map.In().Len()) })
	}
	for k, p := range b.p {
		q.Backward = append(q.Backward, dag.Path{P: p, H: h.of[k]})
	}
	return &leaving{l.Sums(q).Backward, true}
}

// Activation implements dag.Reverse.
func (b *backward) Activation(_ *dag.Node, a *dag.Activation, h *leaving) *leaving {
	out := b.each(h, func(h []scaled.Num, _ float64) []scaled.Num { return gained(a, h) })
	out.own = false
	return out
}

// Part implements dag.Reverse.
func (b *backward) Part(h *leaving, lo, hi int) *leaving {
	out := b.each(h, func(h []scaled.Num, _ float64) []scaled.Num { return h[lo:hi] })
	out.own = false
	return out
}

// Select implements dag.Reverse.
func (b *backward) Select(nd *dag.Node, index []int32, operand int, h *leaving) *leaving {
	return b.each(h, func(h []scaled.Num, p float64) []scaled.Num {
		g := make([]scaled.Num, operand)
		for e, j := range index {
			if j >= 0 {
				g[j] = scaled.Plus(g[j], h[e], p)
			}
		}
		return g
	})
}

// Pool implements dag.Reverse.
func (b *backward) Pool(_ *dag.Node, op *dag.Pool, h *leaving) *leaving {
	nOut, nIn := dag.Size(op.Window.Out()), dag.Size(op.Window.In)
	return b.each(h, func(h []scaled.Num, p float64) []scaled.Num {
		g := make([]scaled.Num, op.Channels*nIn)
		op.Window.Taps(func(o, i, _ int) {
			for c := range op.Channels {
				g[c*nIn+i] = scaled.Plus(g[c*nIn+i], h[c*nOut+o], p)
			}
		})
		return g
	})
}
