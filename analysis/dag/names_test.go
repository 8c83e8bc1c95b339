package dag_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
)

// TestFind: every form of a name that a report or a message shows finds the node.
func TestFind(t *testing.T) {
	var b dag.Builder
	h := b.Node(dag.Node{Source: "Gemm", In: []int{b.Input("x", 1)}, Shape: []int{1}, Op: &dag.Select{}})
	f := b.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{h}, Shape: []int{1}, Op: &dag.Select{}})
	g := b.Node(dag.Node{Name: "pair", Source: "Pad", In: []int{f}, Shape: []int{1}, Op: &dag.Select{}})
	g = b.Node(dag.Node{Name: "pair", Source: "Conv", In: []int{g}, Shape: []int{1}, Op: &dag.Select{}})
	b.Output("y", g)
	b.Output("fc", h) // a layer of the same name comes first
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]int{
		"node 1": {1}, "node 1 (Gemm)": {1}, "1 Gemm": {1}, "1": {1}, "fc": {2}, `"fc" (Gemm)`: {2}, "fc (Gemm)": {2}, "node 2": {2},
		"pair": {3, 4}, `"pair" (Conv)`: {4}, "y": {4}, "x": {0}, "": nil, "node 9": nil, "2 Conv": nil, "node": nil,
	} {
		if d := cmp.Diff(want, n.Find(name)); d != "" {
			t.Errorf("%q (-want +got):\n%s", name, d)
		}
	}
	for i := range n.Nodes {
		for _, name := range []string{n.Nodes[i].Ref(), n.Nodes[i].Label()} {
			if got := n.Find(name); len(got) == 0 || got[len(got)-1] < i {
				t.Errorf("%q finds %v, want %d", name, got, i)
			}
		}
	}
}

// TestFeeds: a function of a function goes back to the body's values.
func TestFeeds(t *testing.T) {
	var b dag.Builder
	id := &dag.Func{Apply: func(dst []float64, in ...[]float64) { copy(dst, in[0]) }}
	x := b.Input("x", 1)
	h, k := b.Activation("h", x, 0), b.Activation("k", x, 0)
	p := b.Node(dag.Node{Source: "Tanh", In: []int{h}, Shape: []int{1}, Op: id})
	q := b.Node(dag.Node{Source: "Exp", In: []int{p}, Shape: []int{1}, Op: id})
	s := b.Node(dag.Node{Source: "Sum", In: []int{q, k}, Shape: []int{1}, Op: &dag.Add{}})
	b.Output("y", s)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[int][]int{h: {h}, p: {h}, q: {h}, s: {h, k}} {
		if d := cmp.Diff(want, n.Feeds(node)); d != "" {
			t.Errorf("node %d (-want +got):\n%s", node, d)
		}
	}
}
