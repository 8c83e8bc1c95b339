package dagtest

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// Kind says what an edge of an unrolled network is.
type Kind uint8

// The kinds of edges.
const (
	Weight   Kind = iota // an effective weight of a linear layer
	FromOne              // a bias: an edge from the constant unit
	Identity             // of Add, Concat, Select, Pool: weight 1 or -1
	Slopes               // of an activation: weight max(1, |slope|)
)

// One is the constant unit, from which biases come.
const One = -1

// Edge joins two units of an unrolled network.
type Edge struct {
	Node     int // the node that the edge belongs to
	Kind     Kind
	From, To int // units; From may be One
	W        float64
}

// Unrolled is a network with one vertex an element of every node's value, in
// topological order: the graph of units that the papers reason about, with the
// paths counted as MEASURES counts them (max-pooling: every operand).
type Unrolled struct {
	// Edges are sorted by the node they belong to.
	Edges []Edge
	// Offset is the first unit of each node's value; the last entry is the
	// number of units.
	Offset []int
}

// Unroll lists every edge of the body and the preamble. It is meant for small
// networks.
func Unroll(n *dag.Network) *Unrolled {
	u := &Unrolled{Offset: make([]int, len(n.Nodes)+1)}
	for i := range n.Nodes {
		u.Offset[i+1] = u.Offset[i] + n.Nodes[i].Len()
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if nd.Zone == dag.Head || nd.Zone == dag.Between {
			continue
		}
		to := u.Offset[i]
		edge := func(k Kind, operand, from, e int, w float64) {
			u.Edges = append(u.Edges, Edge{i, k, u.Offset[nd.In[operand]] + from, to + e, w})
		}
		switch op := nd.Op.(type) {
		case *dag.Linear:
			op.Elements(func(_, _, out, in int, w float64) { edge(Weight, 0, in, out, w) })
			if b := op.Bias(); b != nil {
				for e := range nd.Len() {
					u.Edges = append(u.Edges, Edge{i, FromOne, One, to + e, b[op.Out().At(e)]})
				}
			}
		case *dag.Activation:
			for e := range nd.Len() {
				edge(Slopes, 0, e, e, math.Max(1, math.Abs(op.At(e))))
			}
		case *dag.Cap:
			for e := range nd.Len() {
				edge(Identity, 0, e, e, 1)
			}
		case *dag.Add:
			for k := range nd.In {
				for e := range nd.Len() {
					edge(Identity, k, e, e, op.Weight(k))
				}
			}
		case *dag.Concat:
			at := 0
			for k, j := range nd.In {
				for e := range n.Nodes[j].Len() {
					edge(Identity, k, e, at+e, 1)
				}
				at += n.Nodes[j].Len()
			}
		case *dag.Select:
			for e := range nd.Len() {
				if op.Index == nil {
					edge(Identity, 0, e, e, 1)
				} else if j := op.Index[e]; j >= 0 {
					edge(Identity, 0, int(j), e, 1)
				}
			}
		case *dag.Pool:
			each(op, nd, func(operand, from, e int) { edge(Identity, operand, from, e, 1) })
		}
	}
	return u
}

// each calls f for every element that an element e of a pooled value covers.
func each(op *dag.Pool, nd *dag.Node, f func(operand, from, e int)) {
	if op.Window == nil {
		for k := range nd.In {
			for e := range nd.Len() {
				f(k, e, e)
			}
		}
		return
	}
	for c := range op.Channels {
		naiveTaps(op.Window, func(out, in, _ int) {
			f(0, c*dag.Size(op.Window.In)+in, c*dag.Size(op.Window.Out())+out)
		})
	}
}

// naiveTaps tries every pair of an operand position and a kernel position at
// each output position.
func naiveTaps(w *dag.Window, f func(out, in, kernel int)) {
	out := w.Out()
	for o := range dag.Size(out) {
		for k := range dag.Size(w.Kernel) {
			ok, in, oo, kk, stride := true, 0, o, k, 1
			for d := len(out) - 1; d >= 0; d-- {
				x := oo%out[d]*w.Stride[d] - w.Before[d] + kk%w.Kernel[d]*w.Dilation[d]
				oo, kk = oo/out[d], kk/w.Kernel[d]
				ok = ok && x >= 0 && x < w.In[d]
				in += x * stride
				stride *= w.In[d]
			}
			if ok {
				f(o, in, k)
			}
		}
	}
}

// Eval computes every node's value for one sample, edge by edge: the naive
// evaluator.
func Eval(n *dag.Network, inputs [][]float64) [][]float64 {
	vals := make([][]float64, len(n.Nodes))
	for k, p := range n.Inputs {
		vals[p.Node] = inputs[k]
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if _, ok := nd.Op.(dag.Input); ok {
			continue
		}
		v := make([]float64, nd.Len())
		vals[i] = v
		switch op := nd.Op.(type) {
		case *dag.Linear:
			op.Elements(func(_, _, out, in int, w float64) { v[out] += w * vals[nd.In[0]][in] })
			if b := op.Bias(); b != nil {
				for e := range v {
					v[e] += b[op.Out().At(e)]
				}
			}
		case *dag.Activation:
			for e, x := range vals[nd.In[0]] {
				v[e] = math.Max(x, 0) + op.At(e)*math.Min(x, 0)
			}
		case *dag.Cap:
			for e, x := range vals[nd.In[0]] {
				v[e] = op.Apply(e, x)
			}
		case *dag.Add:
			for k, j := range nd.In {
				for e, x := range vals[j] {
					v[e] += op.Weight(k) * x
				}
			}
		case *dag.Concat:
			v = v[:0]
			for _, j := range nd.In {
				v = append(v, vals[j]...)
			}
		case *dag.Select:
			if op.Index == nil {
				copy(v, vals[nd.In[0]])
			}
			for e, j := range op.Index {
				if j >= 0 {
					v[e] = vals[nd.In[0]][j]
				}
			}
		case *dag.Pool:
			for e := range v {
				v[e] = math.Inf(-1)
			}
			each(op, nd, func(operand, from, e int) { v[e] = math.Max(v[e], vals[nd.In[operand]][from]) })
		case *dag.Func:
			var in [][]float64
			for _, j := range nd.Operands() {
				in = append(in, vals[j])
			}
			if op.Kind == dag.OneHot {
				for k, at := range in[0] {
					v[k*op.Extent+int(at)] = 1
				}
				continue
			}
			if op.Apply != nil {
				op.Apply(v, in...)
			}
		}
	}
	return vals
}
