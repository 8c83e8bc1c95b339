package topology

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gonum.org/v1/gonum/graph"
	"gonum.org/v1/gonum/graph/topo"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// parsed writes a graph as a file and reads it back.
func parsed(t testing.TB, g wire.Graph) *wire.File {
	t.Helper()
	var b bytes.Buffer
	if _, err := wire.Build(&b, &wire.Model{IRVersion: 8}, &g); err != nil {
		t.Fatal(err)
	}
	f, err := wire.Parse(b.Bytes(), wire.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// node describes a node as "Op: inputs -> outputs", where _ is an absent name.
func node(s string) wire.Node {
	op, rest, _ := strings.Cut(s, ":")
	in, out, _ := strings.Cut(rest, "->")
	names := func(s string) []string {
		v := strings.Fields(s)
		for i := range v {
			if v[i] == "_" {
				v[i] = ""
			}
		}
		return v
	}
	return wire.Node{OpType: op, Inputs: names(in), Outputs: names(out)}
}

// graphOf has input x, initializer w and output y.
func graphOf(nodes ...string) wire.Graph {
	g := wire.Graph{
		Inputs:       []wire.ValueInfo{{Name: "x"}},
		Initializers: []wire.Tensor{wire.NewTensor("w", wire.Float32, []int64{0}, wire.RawBytes(nil))},
		Outputs:      []wire.ValueInfo{{Name: "y"}},
	}
	for _, n := range nodes {
		g.Nodes = append(g.Nodes, node(n))
	}
	return g
}

var unexported = cmp.Options{cmpopts.IgnoreUnexported(Graph{}), cmpopts.EquateEmpty()}

func TestDecode(t *testing.T) {
	g := graphOf("Mul: x x -> a", "Constant: -> c", "Clip: a _ c -> b _ d", "Add: b w -> y", "Print: d ->")
	g.Outputs = append(g.Outputs, wire.ValueInfo{Name: "x"}, wire.ValueInfo{Name: "y"})
	got, err := Decode(parsed(t, g))
	if err != nil {
		t.Fatal(err)
	}
	want := &Graph{
		Nodes: []Node{
			{Inputs: []int{0, 0}, Outputs: []int{2}},
			{Outputs: []int{3}},
			{Inputs: []int{2, Absent, 3}, Outputs: []int{4, Absent, 5}},
			{Inputs: []int{4, 1}, Outputs: []int{6}},
			{Inputs: []int{5}},
		},
		Values: []Value{
			{Name: "x", Initializer: Absent, Consumers: []Port{{0, 0}, {0, 1}}, Outputs: []int{1}},
			{Name: "w", Input: Absent, Consumers: []Port{{3, 1}}},
			{Name: "a", Producer: &Port{0, 0}, Initializer: Absent, Input: Absent, Consumers: []Port{{2, 0}}},
			{Name: "c", Producer: &Port{1, 0}, Initializer: Absent, Input: Absent, Consumers: []Port{{2, 2}}},
			{Name: "b", Producer: &Port{2, 0}, Initializer: Absent, Input: Absent, Consumers: []Port{{3, 0}}},
			{Name: "d", Producer: &Port{2, 2}, Initializer: Absent, Input: Absent, Consumers: []Port{{4, 0}}},
			{Name: "y", Producer: &Port{3, 0}, Initializer: Absent, Input: Absent, Outputs: []int{0, 2}},
		},
		Inputs:  []int{0},
		Outputs: []int{6, 0, 6},
		Order:   []int{0, 1, 2, 3, 4},
	}
	if d := cmp.Diff(want, got, unexported); d != "" {
		t.Errorf("graph (-want +got):\n%s", d)
	}
	if id := got.ids["b"]; id != 4 {
		t.Errorf(`"b" is value %d, want 4`, id)
	}
}

func TestDecodeInitializerAsInput(t *testing.T) {
	g := graphOf("Add: x w -> y")
	g.Inputs = append(g.Inputs, wire.ValueInfo{Name: "w"})
	got, err := Decode(parsed(t, g))
	if err != nil {
		t.Fatal(err)
	}
	want := Value{Name: "w", Initializer: 0, Input: 1, Consumers: []Port{{0, 1}}}
	if d := cmp.Diff(want, got.Values[1], unexported); d != "" {
		t.Errorf("value (-want +got):\n%s", d)
	}
}

func TestOrder(t *testing.T) {
	for name, c := range map[string]struct {
		nodes []string
		want  []int
	}{
		"sorted":   {[]string{"A: x -> a", "B: x -> b", "C: a b -> y"}, []int{0, 1, 2}},
		"reversed": {[]string{"C: b -> y", "B: a -> b", "A: x -> a"}, []int{2, 1, 0}},
		"stable":   {[]string{"D: b c -> y", "A: x -> a", "C: a -> c", "B: a -> b"}, []int{1, 2, 3, 0}},
		"parallel": {[]string{"B: a a -> y", "A: x x -> a"}, []int{1, 0}},
	} {
		got, err := Decode(parsed(t, graphOf(c.nodes...)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(c.want, got.Order); d != "" {
			t.Errorf("%s: order (-want +got):\n%s", name, d)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	many := strings.Repeat(" x", 1000)
	for name, c := range map[string]struct {
		edit  func(*wire.Graph)
		nodes []string
		want  string
	}{
		"empty":             {nil, nil, "the graph is empty"},
		"no outputs":        {func(g *wire.Graph) { g.Outputs = nil }, []string{"A: x -> y"}, "no outputs"},
		"no op_type":        {nil, []string{": x -> y"}, "node #0 (): it has no op_type"},
		"nobody's input":    {nil, []string{"A: x -> a", "B: a z -> y"}, `node #1 (B): input "z" is produced by no node`},
		"nobody's output":   {nil, []string{"A: x -> a"}, `graph output "y" is produced by no node`},
		"twice":             {nil, []string{"A: x -> y", "B: x -> y"}, `node #1 (B): output "y" is produced by node #0 already`},
		"over an input":     {nil, []string{"A: w -> x", "B: x -> y"}, `output "x" is a graph input already`},
		"over a weight":     {nil, []string{"A: x -> w", "B: w -> y"}, `output "w" is an initializer already`},
		"weight twice":      {func(g *wire.Graph) { g.Initializers = append(g.Initializers, g.Initializers[0]) }, []string{"A: x -> y"}, `initializer "w" occurs twice`},
		"unnamed weight":    {func(g *wire.Graph) { g.Initializers[0].Name = "" }, []string{"A: x -> y"}, "initializer 0 has no name"},
		"unnamed input":     {func(g *wire.Graph) { g.Inputs[0].Name = "" }, []string{"A: w -> y"}, "graph input 0 has no name"},
		"input twice":       {func(g *wire.Graph) { g.Inputs = append(g.Inputs, g.Inputs[0]) }, []string{"A: x -> y"}, `graph input "x" occurs twice`},
		"reads itself":      {nil, []string{"A: x y -> y"}, "it depends on itself: node #0 (A)"},
		"cycle":             {nil, []string{"In: x -> i", "A: i c -> a", "B: a -> b", "C: b -> c", "Out: c -> y"}, "node #2 (B) -> node #3 (C) -> node #1 (A) -> node #2 (B)"},
		"too many edges":    {nil, []string{"A:" + many + " -> y" + strings.Repeat(" _", 1000)}, "more than"},
		"name and domain":   {func(g *wire.Graph) { g.Nodes[0].Name, g.Nodes[0].Domain = "n", "com.x" }, []string{"A: z -> y"}, `node "n" (com.x.A): input "z"`},
		"name is not UTF-8": {func(g *wire.Graph) { g.Nodes[0].Outputs[0] = "\xff" }, []string{"A: x -> a", "B: x -> y"}, "UTF-8"},
	} {
		g := graphOf(c.nodes...)
		if c.edit != nil {
			c.edit(&g)
		}
		if _, err := Decode(parsed(t, g)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one with %q", name, err, c.want)
		}
	}
}

func TestCapturesCount(t *testing.T) {
	f := parsed(t, graphOf("If: x -> y", "A: x -> a"))
	f.Graph.Nodes[0].Attributes = []wire.Attribute{{Name: "then", Type: wire.AttrGraph, Graphs: 1, Captures: []string{"a", "w"}}}
	got, err := Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int{1, 0}, got.Order); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	a := got.ids["a"]
	if d := cmp.Diff([]Port{{0, Absent}}, got.Values[a].Consumers); d != "" {
		t.Errorf("consumers (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]int{a, 1}, got.Nodes[0].Captures); d != "" {
		t.Errorf("captures (-want +got):\n%s", d)
	}
	f.Graph.Nodes[0].Attributes[0].Captures = []string{"z"}
	if _, err := Decode(f); err == nil || !strings.Contains(err.Error(), `input "z" is produced by no node`) {
		t.Errorf("a capture of nothing gives %v", err)
	}
}

// What onnx-go says is compared with the file: each lie must be noticed.
func TestCompare(t *testing.T) {
	f := parsed(t, graphOf("Sub: x w -> a", "Split: a -> b c", "Add: b c -> y"))
	for name, lie := range map[string]func(g *multigraph){
		"operator":     func(g *multigraph) { g.calls[0].op = "Add" },
		"no output":    func(g *multigraph) { g.calls[1].outputs = g.calls[1].outputs[:1] },
		"other output": func(g *multigraph) { g.calls[1].outputs[0] = g.calls[2].outputs[0] },
		"no edge":      func(g *multigraph) { g.calls[0].edges = g.calls[0].edges[:1] },
		"swapped":      func(g *multigraph) { e := g.calls[0].edges; e[0], e[1] = e[1], e[0] },
		"weight":       func(g *multigraph) { e := g.calls[0].edges[1].(edge); e.weight = 7; g.calls[0].edges[1] = e },
		"source":       func(g *multigraph) { e := g.calls[0].edges[1].(edge); e.from = g.values[0]; g.calls[0].edges[1] = e },
		"target":       func(g *multigraph) { e := g.calls[2].edges[1].(edge); e.to = g.values[0]; g.calls[2].edges[1] = e },
		"another b": func(g *multigraph) {
			e := g.calls[2].edges[0].(edge)
			e.to = &vertex{id: 99, name: "b"}
			g.calls[2].edges[0] = e
		},
	} {
		var g multigraph
		if err := decode(&g, wire.Skeleton(f)); err != nil {
			t.Fatal(err)
		}
		if err := compareAll(&g, f); err != nil {
			t.Fatal(err)
		}
		lie(&g)
		if err := compareAll(&g, f); err == nil || !strings.Contains(err.Error(), "onnx-go and the file disagree") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	var short multigraph
	if err := compareAll(&short, f); err == nil {
		t.Error("missing operations were not noticed")
	}
}

// A panic in the decoder is an error.
func TestRecover(t *testing.T) {
	err := decode(nil, wire.Skeleton(parsed(t, graphOf("A: x -> y"))))
	if err == nil {
		t.Error("decoding into nothing gave no error")
	}
}

// The program starts at all: onnx-go's dependencies panic when they do not know
// the version of Go, unless go4.org/unsafe/assume-no-moving-gc is recent.
func TestSmoke(t *testing.T) {
	var g multigraph
	if err := decode(&g, wire.Skeleton(parsed(t, graphOf("Relu: x -> y")))); err != nil || len(g.calls) != 1 {
		t.Errorf("%d operations, error %v", len(g.calls), err)
	}
}

func TestMultigraph(t *testing.T) {
	var g multigraph
	for range 3 {
		g.AddNode(g.NewNode())
	}
	set := func(from, to int64, weight float64) {
		g.SetWeightedEdge(g.NewWeightedEdge(g.Node(from), g.Node(to), weight))
	}
	set(0, 1, 0)
	set(0, 1, 1)
	set(1, 2, 0)
	set(1, 1, 1)
	ids := func(n graph.Nodes) (out []int64) {
		for _, v := range graph.NodesOf(n) {
			out = append(out, v.ID())
		}
		return out
	}
	for _, c := range []struct {
		what      string
		got, want []int64
	}{
		{"all nodes", ids(g.Nodes()), []int64{0, 1, 2}},
		{"from 0", ids(g.From(0)), []int64{1}},
		{"from 1", ids(g.From(1)), []int64{2, 1}},
		{"from 9", ids(g.From(9)), nil},
		{"to 1", ids(g.To(1)), []int64{0, 1}},
		{"to 0", ids(g.To(0)), nil},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, d)
		}
	}
	if len(g.values[0].edges) != 2 {
		t.Errorf("%d edges from node 0, want both parallel ones", len(g.values[0].edges))
	}
	if !g.HasEdgeFromTo(0, 1) || g.HasEdgeFromTo(1, 0) || !g.HasEdgeBetween(1, 0) || g.HasEdgeBetween(0, 2) || g.HasEdgeFromTo(9, 0) {
		t.Error("edges are not where they were set")
	}
	if r := g.Edge(0, 1).ReversedEdge(); r.From().ID() != 1 || r.To().ID() != 0 {
		t.Errorf("reversed edge leads from %d to %d", r.From().ID(), r.To().ID())
	}
	if g.Node(3) != nil || g.Node(-1) != nil {
		t.Error("nodes that do not exist are not nil")
	}
	defer func() {
		if recover() == nil {
			t.Error("AddNode took a node twice")
		}
	}()
	g.AddNode(g.Node(0))
}

// On random graphs the order is a topological one, and exists just when gonum
// finds one.
func TestOrderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "nodes")
		file := &wire.File{}
		g := &Graph{Nodes: make([]Node, n)}
		var peer multigraph
		for k := range n {
			peer.AddNode(peer.NewNode())
			g.Values = append(g.Values, Value{Producer: &Port{k, 0}})
			g.Nodes[k].Outputs = []int{k}
			file.Graph.Nodes = append(file.Graph.Nodes, wire.Node{OpType: "Op"})
		}
		for k := range n {
			for i := range rapid.IntRange(0, 3).Draw(t, "inputs") {
				from := rapid.IntRange(0, n-1).Draw(t, "from")
				if rapid.Bool().Draw(t, "forward") {
					from = (from + k) % n
				}
				g.Nodes[k].Inputs = append(g.Nodes[k].Inputs, from)
				g.Values[from].Consumers = append(g.Values[from].Consumers, Port{k, i})
				peer.SetWeightedEdge(peer.NewWeightedEdge(peer.Node(int64(from)), peer.Node(int64(k)), float64(i)))
			}
		}
		err := g.sort(file)
		if _, cyclic := topo.Sort(&peer); (cyclic != nil || selfEdge(g)) != (err != nil) {
			t.Fatalf("gonum says %v, sort says %v", cyclic, err)
		}
		if err != nil {
			return
		}
		place := make([]int, n)
		for i, k := range g.Order {
			place[k] = i
		}
		for k := range g.Nodes {
			for _, from := range g.Nodes[k].Inputs {
				if place[from] >= place[k] {
					t.Fatalf("node %d comes before its input from %d in %v", k, from, g.Order)
				}
			}
		}
	})
}

// selfEdge says whether a node reads its own output, which gonum's sort lets
// pass.
func selfEdge(g *Graph) bool {
	for k := range g.Nodes {
		if slices.Contains(g.Nodes[k].Inputs, k) {
			return true
		}
	}
	return false
}
