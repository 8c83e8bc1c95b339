package dag_test

import (
	"cmp"
	"slices"
	"testing"

	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/simple"
	"gonum.org/v1/gonum/graph/testgraph"
	"gonum.org/v1/gonum/graph/topo"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// network turns any graph into a network: nodes are numbered in the order of
// their IDs, edges lead from the lower to the higher number, and edges from a
// node to itself are left out. Node k sums its operands.
func network(nodes []graph.Node, edges []testgraph.WeightedLine, self, absent float64) (g graph.Graph, n []graph.Node, e []testgraph.Edge, s, a float64, ok bool) {
	ids := map[int64]int{}
	for _, v := range nodes {
		ids[v.ID()] = 0
	}
	for _, x := range edges {
		ids[x.From().ID()], ids[x.To().ID()] = 0, 0
	}
	order := make([]int64, 0, len(ids))
	for id := range ids {
		order = append(order, id)
	}
	slices.Sort(order)
	for k, id := range order {
		ids[id] = k
		n = append(n, simple.Node(k))
	}
	in := make([][]int, len(order))
	for _, x := range edges {
		u, v := ids[x.From().ID()], ids[x.To().ID()]
		if u == v {
			continue
		}
		u, v = min(u, v), max(u, v)
		if !slices.Contains(in[v], u) {
			e = append(e, simple.Edge{F: simple.Node(u), T: simple.Node(v)})
		}
		in[v] = append(in[v], u)
	}
	slices.SortFunc(e, func(x, y testgraph.Edge) int {
		return cmp.Or(cmp.Compare(x.From().ID(), y.From().ID()), cmp.Compare(x.To().ID(), y.To().ID()))
	})
	var b dag.Builder
	for k := range order {
		if len(in[k]) == 0 {
			b.Input("x", 1)
		} else {
			b.Sum("", in[k]...)
		}
	}
	net, err := b.Build()
	if err != nil {
		return nil, nil, nil, self, absent, false
	}
	return net.Graph(), n, e, self, absent, true
}

// gonum's contract of a directed graph.
func TestGraphContract(t *testing.T) {
	t.Run("nodes", func(t *testing.T) { testgraph.ReturnAllNodes(t, network, true) })
	t.Run("node slice", func(t *testing.T) { testgraph.ReturnNodeSlice(t, network, true) })
	t.Run("node existence", func(t *testing.T) { testgraph.NodeExistence(t, network) })
	t.Run("edge existence", func(t *testing.T) { testgraph.EdgeExistence(t, network, false) })
	t.Run("adjacent nodes", func(t *testing.T) { testgraph.ReturnAdjacentNodes(t, network, true, false) })
}

// The nodes' order is a topological one, as gonum sees it too.
func TestGraphOrder(t *testing.T) {
	for seed := range uint64(50) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.All})
		sorted, err := topo.SortStabilized(n.Graph(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(sorted) != len(n.Nodes) {
			t.Fatalf("%d nodes of %d", len(sorted), len(n.Nodes))
		}
		for i, c := range n.Consumers() {
			for _, j := range c {
				if !n.Graph().HasEdgeFromTo(int64(i), int64(j)) {
					t.Errorf("no edge %d -> %d", i, j)
				}
			}
		}
	}
}
