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

// Op is what a node computes. The set is closed: Input, *Linear, *Activation,
// *Cap, *Add, *Concat, *Select, *Pool, *Func.
type Op interface {
	kind() string
	check(n *Node, in []*Node) error
}

// Input is a value given by the caller.
type Input struct{}

func (Input) kind() string { return "Input" }
func (Input) check(n *Node, in []*Node) error {
	if len(in) != 0 {
		return fmt.Errorf("an input with %d operands", len(in))
	}
	return nil
}

// Activation is a positively homogeneous function of each element: z for
// z >= 0 and Slope*z below. Slope 0 is ReLU, a small one LeakyReLU, -1 the
// absolute value, 1 the identity.
type Activation struct {
	// Slope has one value, or one per element.
	Slope []float64
	// Param is the stored slope of a PReLU, nil otherwise; Index maps each
	// element to its stored slope (nil: the same index, or 0 for a scalar).
	Param *Use
	Index []int32
}

// At returns the slope of element i.
func (a *Activation) At(i int) float64 {
	if len(a.Slope) == 1 {
		return a.Slope[0]
	}
	return a.Slope[i]
}

// Gain returns max(1, |slope|) of element i, by which the activation can
// multiply a path.
func (a *Activation) Gain(i int) float64 { return math.Max(1, math.Abs(a.At(i))) }

// Identity reports whether every slope is 1.
func (a *Activation) Identity() bool {
	for _, s := range a.Slope {
		if s != 1 {
			return false
		}
	}
	return true
}

func (a *Activation) uses(yield func(Role, *Use) bool) bool {
	return a.Param == nil || yield(Slope, a.Param)
}

func (a *Activation) kind() string { return "Activation" }
func (a *Activation) check(n *Node, in []*Node) error {
	if err := operands(in, 1, n.Len()); err != nil {
		return err
	}
	if len(a.Slope) != 1 && len(a.Slope) != n.Len() {
		return fmt.Errorf("%d slopes for %d elements", len(a.Slope), n.Len())
	}
	for i, s := range a.Slope {
		if s-s != 0 {
			return fmt.Errorf("slope %d is %v", i, s)
		}
	}
	if a.Param == nil {
		return nil
	}
	switch stored := a.Param.Param; {
	case stored == nil:
		return fmt.Errorf("a PReLU without slopes")
	case a.Index == nil && stored.Len() != 1 && stored.Len() != n.Len():
		return fmt.Errorf("%d stored slopes for %d elements", stored.Len(), n.Len())
	case a.Index != nil && len(a.Index) != n.Len():
		return fmt.Errorf("index of %d for %d elements", len(a.Index), n.Len())
	default:
		for i, j := range a.Index {
			if j < 0 || int(j) >= stored.Len() {
				return fmt.Errorf("index[%d] = %d is outside %d slopes", i, j, stored.Len())
			}
		}
	}
	return nil
}

// Add sums its operands element by element, each with weight +1 or -1: skip
// connections. Its edges are identity edges: they carry no weight of their own
// and tie the units at their ends to one factor.
type Add struct {
	// Sign is nil for all +1, else +1 or -1 for each operand.
	Sign []float64
}

// Weight returns the weight of operand k, +1 or -1.
func (a *Add) Weight(k int) float64 {
	if a.Sign == nil {
		return 1
	}
	return a.Sign[k]
}

func (a *Add) kind() string { return "Add" }
func (a *Add) check(n *Node, in []*Node) error {
	if len(in) == 0 {
		return fmt.Errorf("no operands")
	}
	if a.Sign != nil && len(a.Sign) != len(in) {
		return fmt.Errorf("%d signs for %d operands", len(a.Sign), len(in))
	}
	for _, s := range a.Sign {
		if s != 1 && s != -1 {
			return fmt.Errorf("sign %v is neither 1 nor -1", s)
		}
	}
	return operands(in, len(in), n.Len())
}

// Concat strings its operands' elements together, in order.
type Concat struct{}

func (*Concat) kind() string { return "Concat" }
func (*Concat) check(n *Node, in []*Node) error {
	s := 0
	for _, m := range in {
		s += m.Len()
	}
	if s != n.Len() {
		return fmt.Errorf("operands of %d elements make %d", s, n.Len())
	}
	return nil
}

// Select takes element Index[i] of its operand as element i; -1 gives zero
// (padding). A nil Index only changes the shape. Reshape, transpose, slice,
// split, gather, expand and pad are Selects.
type Select struct {
	Index []int32
}

func (s *Select) kind() string { return "Select" }
func (s *Select) check(n *Node, in []*Node) error {
	if len(in) != 1 {
		return fmt.Errorf("%d operands, want 1", len(in))
	}
	if s.Index == nil {
		return operands(in, 1, n.Len())
	}
	if len(s.Index) != n.Len() {
		return fmt.Errorf("index of %d for %d elements", len(s.Index), n.Len())
	}
	for i, j := range s.Index {
		if j < -1 || int(j) >= in[0].Len() {
			return fmt.Errorf("index[%d] = %d is outside %d elements", i, j, in[0].Len())
		}
	}
	return nil
}

// Pool takes the largest of a window of elements, over one operand or over
// several of equal shape (the maximum of activations). Average pooling is a
// Linear with fixed weights.
type Pool struct {
	// Window describes a sliding window over one operand of shape
	// (channels, spatial...), padding left out (a window of padding alone has
	// the maximum -Inf); nil is the element-wise maximum over all operands.
	Window *Window
	// Channels is the number of leading channels when Window is set.
	Channels int
}

func (p *Pool) kind() string { return "Pool" }
func (p *Pool) check(n *Node, in []*Node) error {
	if p.Window == nil {
		if len(in) == 0 {
			return fmt.Errorf("no operands")
		}
		return operands(in, len(in), n.Len())
	}
	if len(in) != 1 {
		return fmt.Errorf("%d operands, want 1", len(in))
	}
	if err := p.Window.check(); err != nil {
		return err
	}
	if p.Channels < 1 || p.Channels > maxElements {
		return fmt.Errorf("pooling of %d channels", p.Channels)
	}
	if got, want := in[0].Len(), p.Channels*Size(p.Window.In); got != want {
		return fmt.Errorf("operand of %d elements, window wants %d", got, want)
	}
	if got, want := n.Len(), p.Channels*Size(p.Window.Out()); got != want {
		return fmt.Errorf("%d elements, window makes %d", got, want)
	}
	return nil
}

func operands(in []*Node, want, size int) error {
	if len(in) != want {
		return fmt.Errorf("%d operands, want %d", len(in), want)
	}
	for _, m := range in {
		if m.Len() != size {
			return fmt.Errorf("operand %s of %d elements, want %d", m.Label(), m.Len(), size)
		}
	}
	return nil
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

// maxElements bounds the elements of a value and of a weight: indices are int32.
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
		if _, ok := product(maxElements, nd.Shape...); !ok {
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
func (nd *Node) Uses() iter.Seq2[Role, *Use] {
	return func(yield func(Role, *Use) bool) {
		if op, ok := nd.Op.(interface {
			uses(yield func(Role, *Use) bool) bool
		}); ok {
			op.uses(yield)
		}
	}
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
	for i := range n.Nodes {
		if l, ok := n.Nodes[i].Op.(*Linear); ok && n.Nodes[i].Zone == Body && l.Free() {
			out = append(out, i)
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
