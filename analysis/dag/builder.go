package dag

import "fmt"

// Builder makes a Network node by node, in topological order. The zero value
// is ready.
type Builder struct {
	net Network
	err error
}

// Input adds a network input and returns its node.
func (b *Builder) Input(name string, shape ...int) int {
	return b.Node(Node{Name: name, Source: "Input", Shape: shape, Op: Input{}})
}

// Node adds a node and returns its ID, which is set here; Zone is set by Build. An Input
// becomes an input of the network under the node's name. A Linear must not be changed
// after.
func (b *Builder) Node(nd Node) int {
	nd.ID = len(b.net.Nodes)
	if nd.Op == (Input{}) {
		b.net.Inputs = append(b.net.Inputs, Port{nd.Name, nd.ID})
	}
	in := make([]*Node, 0, len(nd.In))
	for k, j := range nd.In {
		if j < 0 || j >= nd.ID {
			if b.err == nil {
				b.err = fmt.Errorf("dag: %s: operand %d is node %d, not an earlier one", nd.Label(), k, j)
			}
			b.net.Nodes = append(b.net.Nodes, nd)
			return nd.ID
		}
		in = append(in, &b.net.Nodes[j])
	}
	if l, ok := nd.Op.(*Linear); ok && b.err == nil {
		if err := l.check(&nd, in); err != nil {
			b.err = fmt.Errorf("dag: %s: %w", nd.Label(), err)
		}
	}
	b.net.Nodes = append(b.net.Nodes, nd)
	return nd.ID
}

// Shape returns the shape of a node added before.
func (b *Builder) Shape(id int) []int { return b.net.Nodes[id].Shape }

// Affine adds W x + bias on a node of cols elements: w is out x in, row-major;
// bias nil is none.
func (b *Builder) Affine(name string, in, rows int, w, bias []float64) int {
	cols := Size(b.net.Nodes[in].Shape)
	l := &Linear{Map: &Dense{W: Use{Param: NewParam64(name+".weight", []int{rows, cols}, w)}, Rows: rows, Cols: cols}}
	if bias != nil {
		l.Stages = []Stage{{Add: &Vector{Use: Use{Param: NewParam64(name+".bias", []int{rows}, bias)}, Coef: 1}}}
	}
	return b.Node(Node{Name: name, Source: "Gemm", In: []int{in}, Shape: []int{rows}, Op: l})
}

// Activation adds a LeakyReLU of the given slope (0: ReLU) on a node.
func (b *Builder) Activation(name string, in int, slope float64) int {
	source := "LeakyRelu"
	if slope == 0 {
		source = "Relu"
	}
	return b.Node(Node{Name: name, Source: source, In: []int{in}, Shape: b.Shape(in), Op: &Activation{Slope: []float64{slope}}})
}

// Sum adds a skip connection: the sum of nodes of equal size.
func (b *Builder) Sum(name string, in ...int) int {
	return b.Node(Node{Name: name, Source: "Add", In: in, Shape: b.Shape(in[0]), Op: &Add{}})
}

// Concat strings nodes together.
func (b *Builder) Concat(name string, in ...int) int {
	n := 0
	for _, j := range in {
		n += Size(b.Shape(j))
	}
	return b.Node(Node{Name: name, Source: "Concat", In: in, Shape: []int{n}, Op: &Concat{}})
}

// Output makes a node a network output.
func (b *Builder) Output(name string, node int) {
	b.net.Outputs = append(b.net.Outputs, Port{name, node})
}

// Build returns the network. Errors: any broken invariant, see
// Network.Validate.
func (b *Builder) Build() (*Network, error) {
	if b.err != nil {
		return nil, b.err
	}
	n := b.net
	for i, z := range zones(n.Nodes) {
		n.Nodes[i].Zone = z
	}
	if err := n.Validate(); err != nil {
		return nil, err
	}
	return &n, nil
}
