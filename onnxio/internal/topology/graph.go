package topology

import (
	"fmt"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Absent stands for an optional input or output that is left out.
const Absent = -1

// Graph is the wiring of a model's main graph. Values have small integer IDs;
// nodes are numbered as in the file.
type Graph struct {
	Nodes  []Node
	Values []Value
	// Inputs and Outputs are the values of the graph inputs, initializers that
	// are repeated there included, and of the graph outputs, in file order.
	Inputs, Outputs []int
	// Order lists the nodes so that each comes after the producers of what it
	// reads: the order of the file as far as that is possible.
	Order []int

	ids map[string]int
}

// Node is the wiring of one node.
type Node struct {
	// Inputs and Outputs are value IDs, or Absent.
	Inputs, Outputs []int
	// Captures are the values that the node's subgraphs read.
	Captures []int
}

// Value is one named value.
type Value struct {
	Name string
	// Producer is the node output that makes the value, nil for a graph input or
	// an initializer.
	Producer *Port
	// Consumers are the node inputs that read the value, in file order. A
	// capture by a subgraph has the Index Absent.
	Consumers []Port
	// Initializer is its index among the file's initializers, or Absent.
	Initializer int
	// Sparse says that the value is a sparse initializer.
	Sparse bool
	// Input is its index among the graph inputs, or Absent.
	Input int
	// Outputs are its indices among the graph outputs.
	Outputs []int
}

// Port is input or output Index of node Node.
type Port struct{ Node, Index int }

// maxEdges bounds what onnx-go is fed: it makes an edge from each output of a
// node to each of its inputs, so that a small file could ask for any number.
const maxEdges = 1 << 19

// Decode decodes the wiring of a file. An error names the node or value: a name
// without a producer, two producers of a name, a cycle, an unnamed or twice
// defined initializer, a graph without nodes or outputs, or onnx-go and the
// index of the file disagreeing.
func Decode(f *wire.File) (*Graph, error) {
	edges, values := 0, len(f.Graph.Inputs)+len(f.Graph.Initializers)
	for i := range f.Graph.Nodes {
		n := &f.Graph.Nodes[i]
		values += len(n.Outputs)
		if edges += len(n.Inputs) * len(n.Outputs); edges > maxEdges {
			return nil, nodeError(n, i, "the graph has more than %d edges", maxEdges)
		}
	}
	g := &Graph{ids: make(map[string]int, values), Values: make([]Value, 0, values)}
	if err := g.declare(f); err != nil {
		return nil, err
	}
	if err := g.resolve(f); err != nil {
		return nil, err
	}
	if err := feed(f); err != nil {
		return nil, err
	}
	return g, g.sort(f)
}

func nodeError(n *wire.Node, k int, format string, args ...any) error {
	return fmt.Errorf("topology: %s: %s", label(n, k), fmt.Sprintf(format, args...))
}

// label names a node in messages.
func label(n *wire.Node, k int) string {
	op := n.OpType
	if n.Domain != "" && n.Domain != "ai.onnx" {
		op = n.Domain + "." + op
	}
	if n.Name == "" {
		return fmt.Sprintf("node #%d (%s)", k, op)
	}
	return fmt.Sprintf("node %q (%s)", n.Name, op)
}

// value returns the ID of a name, new or known.
func (g *Graph) value(name string) int {
	id, ok := g.ids[name]
	if !ok {
		id = len(g.Values)
		g.ids[name] = id
		g.Values = append(g.Values, Value{Name: name, Initializer: Absent, Input: Absent})
	}
	return id
}

// declare notes every value that the file defines.
func (g *Graph) declare(f *wire.File) error {
	if len(f.Graph.Nodes) == 0 {
		return fmt.Errorf("topology: the graph is empty: it has no nodes")
	}
	if len(f.Graph.Outputs) == 0 {
		return fmt.Errorf("topology: the graph has no outputs")
	}
	for i := range f.Graph.Inputs {
		name := f.Graph.Inputs[i].Name
		if name == "" {
			return fmt.Errorf("topology: graph input %d has no name", i)
		}
		id := g.value(name)
		if g.Values[id].Input != Absent {
			return fmt.Errorf("topology: graph input %q occurs twice", name)
		}
		g.Values[id].Input = i
		g.Inputs = append(g.Inputs, id)
	}
	for i := range f.Graph.Initializers {
		v, err := g.initializer(f.Graph.Initializers[i].Name, i)
		if err != nil {
			return err
		}
		v.Initializer = i
	}
	for i := range f.Graph.SparseInitializers {
		v, err := g.initializer(f.Graph.SparseInitializers[i].Values.Name, i)
		if err != nil {
			return err
		}
		v.Sparse = true
	}
	g.Nodes = make([]Node, len(f.Graph.Nodes))
	for k := range f.Graph.Nodes {
		if err := g.produce(&f.Graph.Nodes[k], k); err != nil {
			return err
		}
	}
	return nil
}

func (g *Graph) initializer(name string, i int) (*Value, error) {
	if name == "" {
		return nil, fmt.Errorf("topology: initializer %d has no name", i)
	}
	v := &g.Values[g.value(name)]
	if v.Initializer != Absent || v.Sparse {
		return nil, fmt.Errorf("topology: initializer %q occurs twice", name)
	}
	return v, nil
}

// produce notes the outputs of node k.
func (g *Graph) produce(n *wire.Node, k int) error {
	if n.OpType == "" {
		return nodeError(n, k, "it has no op_type")
	}
	for j, name := range n.Outputs {
		if name == "" {
			g.Nodes[k].Outputs = append(g.Nodes[k].Outputs, Absent)
			continue
		}
		id := g.value(name)
		v := &g.Values[id]
		switch {
		case v.Producer != nil:
			return nodeError(n, k, "output %q is produced by node #%d already", name, v.Producer.Node)
		case v.Initializer != Absent || v.Sparse:
			return nodeError(n, k, "output %q is an initializer already", name)
		case v.Input != Absent:
			return nodeError(n, k, "output %q is a graph input already", name)
		}
		v.Producer = &Port{k, j}
		g.Nodes[k].Outputs = append(g.Nodes[k].Outputs, id)
	}
	return nil
}

// resolve notes every use of a value.
func (g *Graph) resolve(f *wire.File) error {
	for k := range f.Graph.Nodes {
		n := &f.Graph.Nodes[k]
		use := func(name string, port int) (int, error) {
			id, ok := g.ids[name]
			if !ok {
				return 0, nodeError(n, k, "input %q is produced by no node and is no graph input or initializer", name)
			}
			g.Values[id].Consumers = append(g.Values[id].Consumers, Port{k, port})
			return id, nil
		}
		for i, name := range n.Inputs {
			id := Absent
			if name != "" {
				var err error
				if id, err = use(name, i); err != nil {
					return err
				}
			}
			g.Nodes[k].Inputs = append(g.Nodes[k].Inputs, id)
		}
		for i := range n.Attributes {
			for _, name := range n.Attributes[i].Captures {
				id, err := use(name, Absent)
				if err != nil {
					return err
				}
				g.Nodes[k].Captures = append(g.Nodes[k].Captures, id)
			}
		}
	}
	for i := range f.Graph.Outputs {
		name := f.Graph.Outputs[i].Name
		id, ok := g.ids[name]
		if !ok {
			return fmt.Errorf("topology: graph output %q is produced by no node", name)
		}
		g.Values[id].Outputs = append(g.Values[id].Outputs, i)
		g.Outputs = append(g.Outputs, id)
	}
	return nil
}
