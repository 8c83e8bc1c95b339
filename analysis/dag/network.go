package dag

import (
	"fmt"
	"iter"
	"math"
)

// Zone says which part of the network a node belongs to.
type Zone uint8

// The zones. Path norms, factors and training concern the Body; the evaluator
// runs all of them.
const (
	// Body is what is positively homogeneous.
	Body Zone = iota
	// Preamble is what only rearranges the input, maps it by constants, element by
	// element, or is a function of such values: its values count as inputs of the
	// body.
	Preamble
	// Between is a function or a product with weights behind it: the body has
	// another segment there, see Network.Segments.
	Between
	// Head is a function of the body's outputs without weights behind it, and
	// whatever follows it.
	Head
)

// String returns body, preamble, function or head.
func (z Zone) String() string { return [...]string{"body", "preamble", "function", "head"}[z] }

// Node is one layer of units and the value it computes.
type Node struct {
	// ID is the node's index in Network.Nodes.
	ID int
	// Name and Source (the operators it was read from, such as "MatMul+Add")
	// are for messages only.
	Name, Source string
	// Zone is set by Builder.Build.
	Zone Zone
	// In lists the nodes whose values it takes, in order.
	In []int
	// Shape is the value's shape for one sample, without the batch.
	Shape []int
	// Op is one of Input, *Linear, *Activation, *Cap, *Add, *Concat, *Select,
	// *Pool or *Func.
	Op Op
}

// Len returns the number of elements of the node's value for one sample.
func (n *Node) Len() int { return Size(n.Shape) }

// Ref is the node's name in reports and options: the source's name, else its
// place, "node 3".
func (n *Node) Ref() string {
	if n.Name != "" {
		return n.Name
	}
	return fmt.Sprintf("node %d", n.ID)
}

// Label returns Ref with the source's operator, for messages: `"fc" (Gemm)` or
// "node 3 (Gemm)".
func (n *Node) Label() string {
	if n.Name != "" {
		return fmt.Sprintf("%q (%s)", n.Name, n.Source)
	}
	return fmt.Sprintf("%s (%s)", n.Ref(), n.Source)
}

// Find returns the nodes that a name stands for, in order: those of this name; else
// the node that Ref or Label calls so, or that the table of nodes shows as its place
// with or without the operator, "3 Gemm" or "3"; else the node of the graph output of
// this name. It returns nil where there is none.
func (n *Network) Find(name string) []int {
	var out []int
	for i := range n.Nodes {
		if n.Nodes[i].Name == name && name != "" {
			out = append(out, i)
		}
	}
	if out != nil {
		return out
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		place := fmt.Sprintf("node %d", i)
		switch name {
		case place, place[len("node "):], place + " (" + nd.Source + ")", fmt.Sprintf("%d %s", i, nd.Source),
			nd.Label(), nd.Name + " (" + nd.Source + ")":
			return []int{i}
		}
	}
	for _, p := range n.Outputs {
		if p.Name == name {
			return []int{p.Node}
		}
	}
	return nil
}

// Joins reports whether the node joins operands of one size element by element, in any
// order: a sum with signs, or a maximum.
func (n *Node) Joins() bool {
	op, ok := n.Op.(interface{ joins() bool })
	return ok && op.joins()
}

// Moves reports whether every element of the node's value is one of an operand's, or zero.
func (n *Node) Moves() bool {
	op, ok := n.Op.(interface{ moves() bool })
	return ok && op.moves()
}

// From returns which element of which operand element e of the node is, where it only moves elements
// (Moves); ok is false of others, and of padding. nodes are those of the network.
func (n *Node) From(nodes []Node, e int) (operand, element int, ok bool) {
	if op, ok := n.Op.(interface {
		from(nodes []Node, nd *Node, e int) (operand, element int, ok bool)
	}); ok {
		return op.from(nodes, n, e)
	}
	return 0, 0, false
}

// constant reports whether the node moves elements, or maps them one by one with
// constants.
func (n *Node) constant() bool {
	op, ok := n.Op.(interface{ constant() bool })
	return ok && op.constant()
}

// Steep is empty where the node has a Lipschitz constant that is known or follows from its
// weights; else it says why not, to stand behind "no Lipschitz constant": ": it jumps".
func (n *Node) Steep() string {
	if op, ok := n.Op.(interface{ steep() string }); ok {
		return op.steep()
	}
	return ""
}

// Port names a graph input or output and the node it is.
type Port struct {
	Name string
	Node int
}

// Network is a ReLU network as a topologically ordered list of layers. It is
// immutable: edits return another Network that shares what did not change.
// Build one with a Builder.
type Network struct {
	Nodes   []Node
	Inputs  []Port
	Outputs []Port
}

// maxElements bounds the elements of a value and of a weight, since indices are int32, and the
// pairs of output and kernel positions of a window: they are what a file can ask for in a few
// bytes.
const maxElements = math.MaxInt32

// Validate checks every invariant: order, operands, shapes, weights' lengths,
// zones. The error names the node.
func (n *Network) Validate() error {
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if nd.ID != i {
			return fmt.Errorf("dag: node %d has ID %d", i, nd.ID)
		}
		in := make([]*Node, len(nd.In))
		for k, j := range nd.In {
			if j < 0 || j >= i {
				return fmt.Errorf("dag: %s: operand %d is node %d, not an earlier one", nd.Label(), k, j)
			}
			in[k] = &n.Nodes[j]
		}
		if _, ok := product(nd.Shape...); !ok {
			return fmt.Errorf("dag: %s: shape %v is negative or has more than 2^31 elements", nd.Label(), nd.Shape)
		}
		if nd.Op == nil {
			return fmt.Errorf("dag: %s: no op", nd.Label())
		}
		if err := nd.Op.check(nd, in); err != nil {
			return fmt.Errorf("dag: %s: %w", nd.Label(), err)
		}
		for _, m := range in {
			if f, ok := m.Op.(*Func); ok && f.Kind == OneHot && !nd.looksUp(f) {
				return fmt.Errorf("dag: %s reads the one-hot vectors of %s and is no table", nd.Label(), m.Label())
			}
		}
	}
	for i, want := range zones(n.Nodes) {
		if nd := &n.Nodes[i]; nd.Zone != want {
			return fmt.Errorf("dag: %s: in the %s, want %s", nd.Label(), nd.Zone, want)
		}
	}
	for _, ports := range [][]Port{n.Inputs, n.Outputs} {
		for _, p := range ports {
			if p.Node < 0 || p.Node >= len(n.Nodes) {
				return fmt.Errorf("dag: port %q: node %d of %d", p.Name, p.Node, len(n.Nodes))
			}
			if f, ok := n.Nodes[p.Node].Op.(*Func); ok && f.Kind == OneHot {
				return fmt.Errorf("dag: port %q: one-hot vectors, which are never made", p.Name)
			}
		}
	}
	named := make([]bool, len(n.Nodes))
	for _, p := range n.Inputs {
		nd := &n.Nodes[p.Node]
		if _, ok := nd.Op.(Input); !ok {
			return fmt.Errorf("dag: input %q is %s", p.Name, nd.Label())
		}
		if named[p.Node] {
			return fmt.Errorf("dag: input %q: %s is named twice", p.Name, nd.Label())
		}
		named[p.Node] = true
	}
	for i := range n.Nodes {
		if _, ok := n.Nodes[i].Op.(Input); ok && !named[i] {
			return fmt.Errorf("dag: %s is not among the network's inputs", n.Nodes[i].Label())
		}
	}
	return nil
}

// Params returns every stored tensor once, in the order of first use.
func (n *Network) Params() []*Param {
	var out []*Param
	seen := map[*Param]bool{}
	for u := range n.Uses() {
		if !seen[u.Param] {
			seen[u.Param] = true
			out = append(out, u.Param)
		}
	}
	return out
}

// Uses yields every use of a Param by a node, node by node.
func (n *Network) Uses() iter.Seq[*Use] {
	return func(yield func(*Use) bool) {
		for i := range n.Nodes {
			for _, u := range n.Nodes[i].Uses() {
				if !yield(u) {
					return
				}
			}
		}
	}
}

// Uses yields every use of a Param by the node, with what it is for.
func (n *Node) Uses() iter.Seq2[Role, *Use] {
	return func(yield func(Role, *Use) bool) {
		if op, ok := n.Op.(interface {
			uses(yield func(Role, *Use) bool) bool
		}); ok {
			op.uses(yield)
		}
	}
}

// Vectors calls f for every use of a Param that has one number for each unit of a layer,
// or for each element of another node: of how many of these, and which number each reads.
func (n *Node) Vectors(f func(u *Use, size int, element func(i int) int)) {
	if op, ok := n.Op.(interface {
		vectors(n *Node, f func(u *Use, size int, element func(i int) int))
	}); ok {
		op.vectors(n, f)
	}
}

// Ancestors reports of each node whether the values of the given ones need it; they need themselves.
func (n *Network) Ancestors(of []int) []bool {
	need := make([]bool, len(n.Nodes))
	for _, j := range of {
		need[j] = true
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if need[i] {
			for _, j := range n.Nodes[i].Operands() {
				need[j] = true
			}
		}
	}
	return need
}

// Feeds returns the body's outputs among a node and its ancestors: the values
// that a function in the head is a function of.
func (n *Network) Feeds(node int) []int {
	need := make([]bool, node+1)
	need[node] = true
	for i := node; i >= 0; i-- {
		if need[i] && n.Nodes[i].Zone == Head {
			for _, j := range n.Nodes[i].In {
				need[j] = true
			}
		}
	}
	var out []int
	for i, needed := range need {
		if needed && n.Nodes[i].Zone != Head {
			out = append(out, i)
		}
	}
	return out
}

// Layers returns the body's linear layers in order: every *Linear with stored
// weights or a constant value. A bias alone, on no map, is no layer.
func (n *Network) Layers() []int {
	var out []int
	for nd, l := range Each[*Linear](n) {
		if nd.Zone == Body && l.Free() {
			out = append(out, nd.ID)
		}
	}
	return out
}

// Consumers returns, for each node, the nodes that take its value, in order
// and once for each operand.
func (n *Network) Consumers() [][]int {
	out := make([][]int, len(n.Nodes))
	for i := range n.Nodes {
		for _, j := range n.Nodes[i].In {
			out[j] = append(out[j], i)
		}
	}
	return out
}

// Each yields the nodes of one kind in order, with what they compute:
//
//	for nd, l := range dag.Each[*dag.Linear](net)
func Each[O Op](n *Network) iter.Seq2[*Node, O] {
	return func(yield func(*Node, O) bool) {
		for i := range n.Nodes {
			if op, ok := n.Nodes[i].Op.(O); ok && !yield(&n.Nodes[i], op) {
				return
			}
		}
	}
}
