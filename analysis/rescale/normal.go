package rescale

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
)

// Normal is the normal form of a network: another network with the same inputs,
// outputs and function, in which what exporters write in several ways is written
// in one.
//
// Reindexing (reshape, transpose, slice, concatenation) moves past activations,
// sums and pooling to where it is read, composed into one Select over one Concat.
// Multiplication and addition of constants, normalisation included, becomes part
// of the layer before or else of the layer behind. A convolution of kernel 1, or
// with one output position, is a Dense map, and Dense maps see (units, positions).
// Means over everything are one Average over a list. Padding belongs to windows.
// Operands of sums and the channels that a layer reads come in an order that
// depends on what they are, not on how the file lists them. Identities and what
// no output needs are gone, and nodes are numbered from the outputs.
type Normal struct {
	Net *dag.Network
	// To has, for each node of the source, the node of Net whose rows are the
	// rows of that layer, -1 where there is none.
	To []int
	// Ambiguous says that operands look the same to everything that orders them:
	// the normal form then still depends on the order in the file.
	Ambiguous bool
}

// Normalize returns the normal form. It shares the weights of n where their order
// and size do not change. Errors: a network that its evaluator refuses. Cost:
// linear in the elements of the values and in the weights that change, and one
// evaluation on a few inputs where operands of a sum look alike.
func Normalize(n *dag.Network) (*Normal, error) {
	z := &normalizer{
		src: n, readers: readers(n), to: make([]int, len(n.Nodes)),
		same: map[uint64][]int{}, layers: map[int][]int{}, averaged: map[int]value{},
	}
	for i := range z.to {
		z.to[i] = -1
	}
	z.views = dag.Forward(n, z, func(nd *dag.Node) bool { return z.readers[nd.ID] == 0 }, nil)
	outs := lists.Map(n.Outputs, func(p dag.Port) int { return z.materialize(z.views[p.Node]) })
	return z.number(outs)
}

// readers counts the places that read each value on the way to an output; an
// input has one at least.
func readers(n *dag.Network) []int {
	out := make([]int, len(n.Nodes))
	for _, ports := range [][]dag.Port{n.Outputs, n.Inputs} {
		for _, p := range ports {
			out[p.Node]++
		}
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if out[i] > 0 {
			for _, j := range n.Nodes[i].In {
				out[j]++
			}
			if s, ok := n.Nodes[i].Op.(*dag.Select); ok && s.Index == nil {
				out[n.Nodes[i].In[0]] += out[i] - 1
			}
		}
	}
	return out
}

// normalizer makes a normal form, node by node of the source.
type normalizer struct {
	src     *dag.Network
	readers []int
	at      int // the node of the source at work
	// nodes are the new nodes in the order they were made, hash numbers that
	// depend on what they compute but not on weights.
	nodes []dag.Node
	hash  []uint64
	same  map[uint64][]int
	views []value
	to    []int
	// layers has, for each new layer, the nodes of the source that it stands for.
	layers map[int][]int
	// averaged has the operand of each mean over a whole list.
	averaged  map[int]value
	ambiguous bool
}

func (z *normalizer) begin(nd *dag.Node) { z.at = nd.ID }

// seen is v as the readers of a node of the source take it.
func (z *normalizer) seen(nd *dag.Node, v value) value {
	v.shared = v.shared || z.readers[nd.ID] > 1
	return v
}

// Input implements dag.Meaning.
func (z *normalizer) Input(nd *dag.Node) value {
	z.nodes = append(z.nodes, dag.Node{Name: nd.Name, Source: nd.Source, Shape: nd.Shape, Op: nd.Op})
	z.hash = append(z.hash, z.digest(&z.nodes[len(z.nodes)-1]))
	return z.seen(nd, one(len(z.nodes)-1, nd.Len()))
}

// Select implements dag.Meaning.
func (z *normalizer) Select(nd, _ *dag.Node, index []int32, x value) value {
	return z.seen(nd, z.tidy(x.pick(index)))
}

// Concat implements dag.Meaning.
func (z *normalizer) Concat(nd *dag.Node, xs []value) value {
	z.begin(nd)
	return z.seen(nd, z.concat(xs, nd.Len()))
}

// Unary implements dag.Meaning.
func (z *normalizer) Unary(nd *dag.Node, op dag.Unary, x value) value {
	z.begin(nd)
	if a, ok := op.(*dag.Activation); ok {
		return z.seen(nd, z.activation(a, x))
	}
	return one(z.add([]int{z.materialize(x)}, nd.Len(), op), nd.Len())
}

// Join implements dag.Meaning.
func (z *normalizer) Join(nd *dag.Node, xs []value) value {
	z.begin(nd)
	if a, ok := nd.Op.(*dag.Add); ok {
		return z.seen(nd, z.sum(a, xs, nd.Len()))
	}
	return z.seen(nd, z.maximum(xs, nd.Len()))
}

// Pool implements dag.Meaning.
func (z *normalizer) Pool(nd *dag.Node, p *dag.Pool, x value) value {
	z.begin(nd)
	return z.seen(nd, z.pool(p, x))
}

// Linear implements dag.Meaning.
func (z *normalizer) Linear(nd *dag.Node, l *dag.Linear, x value) value {
	z.begin(nd)
	if l.Map == nil {
		return constant(nd.Len(), l.Bias())
	}
	return z.seen(nd, z.linear(l, x))
}

// Func implements dag.Meaning. The order of a product's operands is that of what they compute.
func (z *normalizer) Func(nd *dag.Node, f *dag.Func, xs []value) value {
	z.begin(nd)
	ids := lists.Map(xs, func(x value) int { return z.materialize(x) })
	if f.Form == (dag.Times{}) {
		slices.SortStableFunc(ids, z.compare)
		z.ambiguous = z.ambiguous || ids[0] != ids[1] && z.compare(ids[0], ids[1]) == 0
	}
	return one(z.add(ids, nd.Len(), f), nd.Len())
}

// stands notes that a new layer has the rows of a node of the source.
func (z *normalizer) stands(id, source int) {
	z.to[source] = id
	z.layers[id] = append(z.layers[id], source)
}
