//go:build !js

package topology

import (
	"github.com/owulveryck/onnx-go"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/iterator"

	"github.com/relupath/relupath/internal/lists"
)

// multigraph receives a graph from onnx-go. Its nodes are values; an edge leads
// from an output of an operator to one of its inputs and weighs the input's
// position. Unlike gonum's simple graphs it keeps parallel edges, as in
// Mul(x, x), and edges from a node to itself. Its nodes carry no data.
//
// The zero value is ready for use.
type multigraph struct {
	values []*vertex
	calls  []call
	// open holds the edges since the last operation.
	open []graph.WeightedEdge
	// to lists, for each node, the nodes with an edge to it.
	to map[int64][]int64
}

var _ onnx.Backend = (*multigraph)(nil)

// call is one operation with the edges that were set for it.
type call struct {
	op      string
	outputs []graph.Node
	edges   []graph.WeightedEdge
}

// vertex is a value of the model.
type vertex struct {
	id    int64
	name  string
	edges []graph.WeightedEdge
}

// ID returns the position among the nodes of the graph.
func (v *vertex) ID() int64 { return v.id }

// SetName is called by onnx-go with the value's name.
func (v *vertex) SetName(name string) { v.name = name }

// GetName returns the value's name.
func (v *vertex) GetName() string { return v.name }

type edge struct {
	from, to graph.Node
	weight   float64
}

func (e edge) From() graph.Node         { return e.from }
func (e edge) To() graph.Node           { return e.to }
func (e edge) Weight() float64          { return e.weight }
func (e edge) ReversedEdge() graph.Edge { return edge{e.to, e.from, e.weight} }

// ApplyOperation takes the operation that the edges since the last one belong
// to.
func (g *multigraph) ApplyOperation(op onnx.Operation, outputs ...graph.Node) error {
	g.calls = append(g.calls, call{op.Name, outputs, g.open})
	g.open = nil
	return nil
}

// NewNode returns a node with the next free ID.
func (g *multigraph) NewNode() graph.Node { return &vertex{id: int64(len(g.values))} }

// AddNode adds a node made by NewNode. A node from elsewhere, or one already
// added, is a programmer's mistake.
func (g *multigraph) AddNode(n graph.Node) {
	v, ok := n.(*vertex)
	if !ok || v.id != int64(len(g.values)) {
		panic("topology: AddNode of a node that NewNode did not just make")
	}
	g.values = append(g.values, v)
}

// NewWeightedEdge returns an edge between two nodes.
func (g *multigraph) NewWeightedEdge(from, to graph.Node, weight float64) graph.WeightedEdge {
	return edge{from, to, weight}
}

// SetWeightedEdge adds an edge beside those that are there.
func (g *multigraph) SetWeightedEdge(e graph.WeightedEdge) {
	from := g.values[e.From().ID()]
	from.edges = append(from.edges, e)
	if g.to == nil {
		g.to = map[int64][]int64{}
	}
	g.to[e.To().ID()] = append(g.to[e.To().ID()], from.id)
	g.open = append(g.open, e)
}

// Node returns the node with the ID, or nil.
func (g *multigraph) Node(id int64) graph.Node {
	if id < 0 || id >= int64(len(g.values)) {
		return nil
	}
	return g.values[id]
}

// Nodes returns all nodes.
func (g *multigraph) Nodes() graph.Nodes {
	all := lists.Map(g.values, func(v *vertex) graph.Node { return v })
	return iterator.NewOrderedNodes(all)
}

// From returns the nodes that edges from the node lead to, each once.
func (g *multigraph) From(id int64) graph.Nodes {
	var ids []int64
	if g.Node(id) != nil {
		for _, e := range g.values[id].edges {
			ids = append(ids, e.To().ID())
		}
	}
	return g.distinct(ids)
}

// To returns the nodes with edges to the node, each once.
func (g *multigraph) To(id int64) graph.Nodes { return g.distinct(g.to[id]) }

func (g *multigraph) distinct(ids []int64) graph.Nodes {
	seen := map[int64]bool{}
	var out []graph.Node
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, g.values[id])
		}
	}
	return iterator.NewOrderedNodes(out)
}

// Edge returns the first edge from u to v, or nil.
func (g *multigraph) Edge(uid, vid int64) graph.Edge {
	if g.Node(uid) == nil {
		return nil
	}
	for _, e := range g.values[uid].edges {
		if e.To().ID() == vid {
			return e
		}
	}
	return nil
}

// HasEdgeFromTo says whether there is an edge from u to v.
func (g *multigraph) HasEdgeFromTo(uid, vid int64) bool { return g.Edge(uid, vid) != nil }

// HasEdgeBetween says whether there is an edge in either direction.
func (g *multigraph) HasEdgeBetween(xid, yid int64) bool {
	return g.HasEdgeFromTo(xid, yid) || g.HasEdgeFromTo(yid, xid)
}
