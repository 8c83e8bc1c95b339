package dag

import (
	"slices"

	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/iterator"
	"gonum.org/v1/gonum/graph/simple"
)

// Graph returns a view of the network as gonum's graph.Directed: one graph
// node a layer, with the layer's ID, and one edge from operand to consumer.
// Several operands from one node are one edge there; Node.In keeps them apart.
func (n *Network) Graph() graph.Directed { return &directed{n, n.Consumers()} }

type directed struct {
	net *Network
	out [][]int
}

func (d *directed) Node(id int64) graph.Node {
	if id < 0 || id >= int64(len(d.net.Nodes)) {
		return nil
	}
	return simple.Node(id)
}

func (d *directed) Nodes() graph.Nodes {
	all := make([]int, len(d.net.Nodes))
	for i := range all {
		all[i] = i
	}
	return nodes(all)
}

func (d *directed) From(id int64) graph.Nodes { return nodes(d.out[id]) }
func (d *directed) To(id int64) graph.Nodes   { return nodes(d.net.Nodes[id].In) }

func (d *directed) HasEdgeFromTo(u, v int64) bool {
	if d.Node(u) == nil || d.Node(v) == nil {
		return false
	}
	for _, j := range d.net.Nodes[v].In {
		if int64(j) == u {
			return true
		}
	}
	return false
}

func (d *directed) HasEdgeBetween(x, y int64) bool {
	return d.HasEdgeFromTo(x, y) || d.HasEdgeFromTo(y, x)
}

func (d *directed) Edge(u, v int64) graph.Edge {
	if !d.HasEdgeFromTo(u, v) {
		return nil
	}
	return simple.Edge{F: simple.Node(u), T: simple.Node(v)}
}

// nodes lists each of ids once, in order.
func nodes(ids []int) graph.Nodes {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 0 {
		return graph.Empty
	}
	out := make([]graph.Node, len(ids))
	for k, j := range ids {
		out[k] = simple.Node(j)
	}
	return iterator.NewOrderedNodes(out)
}
