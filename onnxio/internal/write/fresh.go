package write

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Versions of a fresh file: read by every runtime since 2022, and new enough
// for all operators used.
const (
	freshIR    = 8
	freshOpset = 17
)

// Network is onnxio.WriteNetwork.
func Network(w io.Writer, net *dag.Network) error {
	g := newFresh(net)
	for i := range net.Nodes {
		if err := g.node(&net.Nodes[i]); err != nil {
			return fmt.Errorf("onnxio: %s cannot be written: %w", net.Nodes[i].Label(), err)
		}
	}
	g.outputs()
	m := &wire.Model{
		IRVersion: freshIR, ProducerName: "relupath",
		OpsetImports: []wire.Opset{{Version: freshOpset}},
	}
	_, err := wire.Build(w, m, &g.graph)
	return err
}

// fresh makes the graph of a new model.
type fresh struct {
	net   *dag.Network
	graph wire.Graph
	typ   dag.DType
	taken map[string]bool
	// value names the ONNX value of each node, of shape batch and Node.Shape;
	// of a constant node the initializer, whose first dimension is 1.
	value []string
	// port is the output that a node's value is, empty for none or several.
	port []string
	// constant marks values that are the same for each sample.
	constant []bool
	// initializers holds the name for each tensor and shape written already.
	initializers map[stored]string
	integers     map[string]string
	// current is the node being written.
	current *dag.Node
}

// stored is one way to write a Param.
type stored struct {
	param *dag.Param
	dims  string
}

func newFresh(net *dag.Network) *fresh {
	n := len(net.Nodes)
	g := &fresh{
		net: net, typ: freshType(net), taken: map[string]bool{}, value: make([]string, n),
		port: make([]string, n), constant: make([]bool, n),
		initializers: map[stored]string{}, integers: map[string]string{},
	}
	g.graph.Name = "network"
	uses := make([]int, n)
	for _, p := range net.Outputs {
		uses[p.Node]++
		g.taken[p.Name] = true
	}
	for _, p := range net.Inputs {
		g.taken[p.Name] = true
		g.value[p.Node] = p.Name
		g.graph.Inputs = append(g.graph.Inputs, g.info(p))
	}
	for _, p := range net.Outputs {
		g.graph.Outputs = append(g.graph.Outputs, g.info(p))
		if uses[p.Node] == 1 && g.value[p.Node] == "" {
			g.port[p.Node] = p.Name
		}
	}
	return g
}

// freshType returns the type that all numbers of a new model have.
func freshType(net *dag.Network) dag.DType {
	params := net.Params()
	if len(params) == 0 {
		return dag.Float32
	}
	typ := params[0].Type
	for _, p := range params {
		switch {
		case p.Type == typ:
		case p.Type == dag.Float64 || typ == dag.Float64:
			typ = dag.Float64
		default:
			typ = dag.Float32
		}
	}
	if typ == dag.BFloat16 {
		typ = dag.Float32
	}
	return typ
}

func (g *fresh) info(p dag.Port) wire.ValueInfo {
	v := wire.ValueInfo{
		Name: p.Name, Tensor: true, ElemType: storedType(g.typ), HasShape: true,
		Dims: []wire.Dim{{Param: "batch"}},
	}
	for _, d := range g.net.Nodes[p.Node].Shape {
		v.Dims = append(v.Dims, wire.Dim{Known: true, Value: int64(d)})
	}
	return v
}

// name returns a name not in use, made of the base.
func (g *fresh) name(base string) string {
	name := base
	for i := 1; name == "" || g.taken[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	g.taken[name] = true
	return name
}

// label names the operators of the current node.
func (g *fresh) label() string {
	if g.current.Name != "" {
		return g.current.Name
	}
	return fmt.Sprintf("node_%d", g.current.ID)
}

// emit appends an operator and returns its output.
func (g *fresh) emit(op string, in []string, attr ...wire.Attribute) string {
	name := g.name(g.label() + "/" + op)
	g.graph.Nodes = append(g.graph.Nodes, wire.Node{Name: name, OpType: op, Inputs: in, Outputs: []string{name}, Attributes: attr})
	return name
}

func attrInt(name string, v int) wire.Attribute {
	return wire.Attribute{Name: name, Type: wire.AttrInt, I: int64(v)}
}

func attrInts(name string, v ...int) wire.Attribute {
	return wire.Attribute{Name: name, Type: wire.AttrInts, Ints: lists.Convert[int64](v)}
}

// param returns the initializer that holds a Param in the given shape.
func (g *fresh) param(p *dag.Param, dims []int) string {
	key := stored{p, tensor.DimString(dims)}
	if name, ok := g.initializers[key]; ok {
		return name
	}
	name := g.name(cmp.Or(p.Name, g.label()+"/constant"))
	g.initializers[key] = name
	q := p
	switch {
	case p.Type == g.typ:
	case g.typ == dag.Float64:
		q = dag.NewParam64(p.Name, p.Shape, p.Values())
	default:
		q = dag.NewParam32(p.Name, dag.Float32, p.Shape, p.Float32s())
	}
	g.graph.Initializers = append(g.graph.Initializers, wire.NewTensor(name, storedType(g.typ), lists.Convert[int64](dims), payload(q)))
	return name
}

// numbers returns a new initializer of numbers that are stored nowhere.
func (g *fresh) numbers(dims []int, v ...float64) string {
	// The Param rounds the numbers to the type of the model.
	p := dag.NewParam64("", []int{len(v)}, v)
	if g.typ != dag.Float64 {
		f := make([]float32, len(v))
		p = dag.NewParam32("", g.typ, []int{len(v)}, f).WithValues(nil, v)
	}
	return g.param(p, dims)
}

// ints returns the initializer of a list of integers.
func (g *fresh) ints(v ...int64) string {
	key := fmt.Sprint(v)
	if name, ok := g.integers[key]; ok {
		return name
	}
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		for s := 0; s < 64; s += 8 {
			raw = append(raw, byte(uint64(x)>>s))
		}
	}
	name := g.name(g.label() + "/shape")
	g.integers[key] = name
	g.graph.Initializers = append(g.graph.Initializers, wire.NewTensor(name, wire.Int64, []int64{int64(len(v))}, wire.RawBytes(raw)))
	return name
}

// view returns a value of batch and from as batch and to.
func (g *fresh) view(v string, from, to []int) string {
	if slices.Equal(from, to) {
		return v
	}
	return g.emit("Reshape", []string{v, g.ints(append([]int64{0}, lists.Convert[int64](to)...)...)})
}

// operand returns the k-th operand of a node as batch and shape, with one
// value for each sample.
func (g *fresh) operand(nd *dag.Node, k int, shape ...int) string {
	j := nd.In[k]
	return g.view(g.batched(j), g.net.Nodes[j].Shape, shape)
}

// batched returns a node's value with one value for each sample: a constant is
// expanded to the batch of the first input.
func (g *fresh) batched(j int) string {
	if !g.constant[j] {
		return g.value[j]
	}
	if len(g.net.Inputs) == 0 {
		return g.value[j]
	}
	batch := g.emit("Shape", []string{g.net.Inputs[0].Name}, attrInt("start", 0), attrInt("end", 1))
	shape := g.emit("Concat", []string{batch, g.ints(lists.Convert[int64](g.net.Nodes[j].Shape)...)}, attrInt("axis", 0))
	return g.emit("Expand", []string{g.value[j], shape})
}

// done makes v, of batch and from, the value of the current node.
func (g *fresh) done(v string, from []int) {
	g.value[g.current.ID] = g.view(v, from, g.current.Shape)
}

// outputs gives the values their output names.
func (g *fresh) outputs() {
	for _, p := range g.net.Outputs {
		g.current = &g.net.Nodes[p.Node]
		v := g.batched(p.Node)
		if g.port[p.Node] != "" && !g.constant[p.Node] && g.rename(v, p.Name) {
			continue
		}
		g.graph.Nodes = append(g.graph.Nodes, wire.Node{
			Name: g.name(p.Name + "/Identity"), OpType: "Identity",
			Inputs: []string{v}, Outputs: []string{p.Name},
		})
	}
}

// rename gives the value v of an operator another name; false when v is the
// value of another node too.
func (g *fresh) rename(v, to string) bool {
	owners := 0
	for _, name := range g.value {
		if name == v {
			owners++
		}
	}
	if owners != 1 {
		return false
	}
	for i := range g.graph.Nodes {
		n := &g.graph.Nodes[i]
		for k := range n.Outputs {
			if n.Outputs[k] == v {
				n.Outputs[k] = to
			}
		}
		for k := range n.Inputs {
			if n.Inputs[k] == v {
				n.Inputs = slices.Clone(n.Inputs)
				n.Inputs[k] = to
			}
		}
	}
	return true
}
