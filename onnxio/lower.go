package onnxio

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// site is where a Use sits in the file: input Input of node Node.
type site struct {
	node, input int
	// swapped says that the operator sees the transpose of the Param.
	swapped bool
	// dims is the shape that the operator sees.
	dims []int
}

// lowering turns one graph into dag nodes.
type lowering struct {
	file  *wire.File
	graph *wire.Graph
	opt   Options
	// batchless lowers the graph with its batch axis as part of a sample.
	batchless bool
	// declared is the batch size that the file fixes, 0 where it leaves it open.
	declared int

	scope
	functions map[function]*wire.Function
	// inlined counts the operators of local functions.
	inlined int
	stored  map[string]*storedTensor
	nodes   []dag.Node
	inputs  []dag.Port
	outputs []dag.Port
	// unitAxes holds the ONNX axes that a Linear's units lie along.
	unitAxes map[int][]int
	// origin is the ONNX node that made each dag node.
	origin    []int
	current   *op
	obstacles []placed
	warnings  []string
	// because says why the function of a Func node is not homogeneous.
	because map[int]string
	batch   *batchError
	// spent counts the elements of computed constants and reindexings, and an
	// eighth of those of values: see maxSpent.
	spent int
}

// placed is an obstacle at a node of the file; -1 stands before all nodes.
type placed struct {
	Obstacle
	at int
}

// op is one operator being lowered.
type op struct {
	*lowering
	index int
	node  *wire.Node
	opset int64
	in    []*value
}

// lowerer lowers one operator.
type lowerer func(o *op) error

func nodeLabel(n *wire.Node, index int) string {
	if n.Name != "" {
		return n.Name
	}
	return fmt.Sprintf("#%d", index)
}

func opLabel(n *wire.Node) string {
	if n.Domain == "" || n.Domain == "ai.onnx" {
		return n.OpType
	}
	return n.Domain + "." + n.OpType
}

// run lowers the nodes in the given order.
func (l *lowering) run(order []int) {
	l.values = map[string]*value{}
	l.stored = map[string]*storedTensor{}
	l.unitAxes = map[int][]int{}
	l.because = map[int]string{}
	l.reads = map[string]int{}
	l.opsets = map[string]int64{}
	l.functions = localFunctions(&l.file.Model)
	for _, s := range l.file.Model.OpsetImports {
		l.opsets[domain(s.Domain)] = s.Version
	}
	for i := range l.graph.Nodes {
		for _, name := range l.graph.Nodes[i].Inputs {
			l.reads[name]++
		}
	}
	for _, o := range l.graph.Outputs {
		l.reads[o.Name]++
	}
	l.initializers()
	l.graphInputs()
	if len(l.obstacles) > 0 || l.batch != nil {
		return
	}
	for _, k := range order {
		l.lowerNode(&l.graph.Nodes[k], k)
		if l.batch != nil {
			return
		}
	}
	if len(l.obstacles) == 0 {
		l.graphOutputs()
	}
}

func domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func (l *lowering) initializers() {
	for i := range l.graph.SparseInitializers {
		l.obstacle(Obstacle{
			Node: l.graph.SparseInitializers[i].Values.Name, Op: "initializer",
			Reason: "it is stored as a sparse tensor", Remedy: "store it as a dense tensor",
		})
	}
	for i := range l.graph.Initializers {
		t := &l.graph.Initializers[i]
		s := &storedTensor{wire: t, initializer: i, name: t.Name}
		l.stored[t.Name] = s
		con, err := s.constant()
		if err != nil {
			l.obstacle(Obstacle{Node: t.Name, Op: "initializer", Reason: err.Error()})
			continue
		}
		l.values[t.Name] = &value{con: con}
	}
	for name, t := range l.opt.bind {
		con, err := (&storedTensor{wire: t, initializer: -1, name: name}).constant()
		if err != nil {
			l.obstacle(Obstacle{Node: name, Op: "graph input", Reason: err.Error()})
			continue
		}
		l.values[name] = &value{con: con}
	}
}

// constant returns the stored tensor as a constant of the graph.
func (s *storedTensor) constant() (*tensor, error) {
	t := &tensor{stored: s}
	for _, d := range s.wire.Dims {
		t.dims = append(t.dims, int(d))
	}
	if _, err := s.wire.Elems(); err != nil {
		return nil, err
	}
	switch s.wire.DType {
	case wire.Float32:
		t.typ = dag.Float32
	case wire.Float64:
		t.typ = dag.Float64
	case wire.Float16:
		t.typ = dag.Float16
	case wire.BFloat16:
		t.typ = dag.BFloat16
	case wire.Bool:
		t.kind = boolean
	default:
		t.kind, t.elem = integer, s.wire.DType
	}
	return t, nil
}

// obstacle records why the node being lowered, or the graph, is refused.
func (l *lowering) obstacle(o Obstacle) {
	at := -1
	if l.current != nil {
		at = l.current.index
	}
	l.obstacles = append(l.obstacles, placed{o, at})
}

// lowerNode lowers a node, or records why it cannot be; k is the node of the
// graph that it is or is expanded from.
func (l *lowering) lowerNode(n *wire.Node, k int) {
	o := &op{lowering: l, index: k, node: n}
	l.current = o
	if l.spent > maxSpent {
		if l.spent != math.MaxInt { // reported once
			l.spent = math.MaxInt
			l.obstacle(Obstacle{
				Node: nodeLabel(n, k), Op: opLabel(n),
				Reason: fmt.Sprintf("constants and reindexings of more than %d elements come before it", maxSpent),
				Remedy: "simplify the model before export",
			})
		}
		return
	}
	for _, name := range n.Inputs {
		if name == "" {
			o.in = append(o.in, nil)
			continue
		}
		v := l.values[name]
		if v == nil {
			// Its producer was refused: that is reported already.
			for _, out := range n.Outputs {
				delete(l.values, out)
			}
			return
		}
		o.in = append(o.in, v)
	}
	err := o.dispatch()
	if err == nil {
		return
	}
	var b *batchError
	if errors.As(err, &b) {
		if !l.batchless {
			l.batch = b
			return
		}
		err = refuse("", "%s", b.reason)
	}
	ob := Obstacle{Node: nodeLabel(n, k), Op: opLabel(n), Reason: err.Error()}
	var r *refusal
	if errors.As(err, &r) {
		ob.Reason, ob.Remedy = r.reason, r.remedy
	}
	l.obstacle(ob)
}

func (o *op) dispatch() error {
	d := domain(o.node.Domain)
	v, known := o.opsets[d]
	if !known && d == "" {
		v = 1
	}
	o.opset = v
	if f := o.functions[function{d, o.node.OpType, o.node.Overload}]; f != nil {
		return o.expandCall(f)
	}
	f := operators[d][o.node.OpType]
	if f == nil {
		return refuse("export the model without it, or replace it by operators that are supported",
			"the operator is not supported (opset %d)", v)
	}
	for _, a := range o.node.Attributes {
		if a.RefAttrName != "" {
			return refuse("", "attribute %q refers to a function's parameter, outside a function", a.Name)
		}
	}
	if len(o.node.Outputs) == 0 {
		return refuse("remove the node", "it has no output")
	}
	for _, x := range o.in {
		if x != nil && x.opaque != "" {
			o.give(0, &value{opaque: x.opaque})
			return nil
		}
	}
	return f(o)
}

// emit adds a dag node that computes op from activations and returns its value
// with the given full shape.
func (l *lowering) emit(op dag.Op, shape []int, in ...*value) *value {
	nd := dag.Node{Shape: sampleShape(shape), Op: op}
	k := 0
	if l.current != nil {
		k = l.current.index
		nd.Name, nd.Source = l.current.node.Name, opLabel(l.current.node)
	}
	for _, v := range in {
		nd.In = append(nd.In, v.node)
	}
	l.nodes = append(l.nodes, nd)
	l.spent += nd.Len() / 8
	if s, ok := op.(*dag.Select); ok {
		l.spent += len(s.Index)
	}
	l.origin = append(l.origin, k)
	out := &value{node: len(l.nodes) - 1, shape: shape, exclusive: true}
	if len(in) > 0 {
		out.elem = in[0].elem
	}
	return out
}

// give makes v the operator's k-th output.
func (o *op) give(k int, v *value) {
	if k >= len(o.node.Outputs) || o.node.Outputs[k] == "" {
		return
	}
	name := o.node.Outputs[k]
	if v.constant() && v.con.stored == nil {
		o.spent += v.con.size()
	}
	w := *v
	w.exclusive = (v.exclusive || v.constant()) && o.reads[name] == 1
	o.values[name] = &w
}

func (o *op) giveTensor(k int, t *tensor) { o.give(k, &value{con: t}) }

// arg returns input k, nil when it is absent.
func (o *op) arg(k int) *value {
	if k < len(o.in) {
		return o.in[k]
	}
	return nil
}

// need returns input k or an error.
func (o *op) need(k int) (*value, error) {
	if v := o.arg(k); v != nil {
		return v, nil
	}
	return nil, refuse("", "input %d is missing", k)
}

// constant returns input k, which must be a constant.
func (o *op) constant(k int, what string) (*tensor, error) {
	v, err := o.need(k)
	if err != nil {
		return nil, err
	}
	if !v.constant() {
		return nil, refuse("make it a constant", "%s is computed by the network", what)
	}
	return v.con, nil
}

func (o *op) attr(name string) *wire.Attribute {
	for i := range o.node.Attributes {
		if o.node.Attributes[i].Name == name {
			return &o.node.Attributes[i]
		}
	}
	return nil
}

func (o *op) int(name string, def int64) int64 {
	if a := o.attr(name); a != nil {
		return a.I
	}
	return def
}

func (o *op) ints(name string) []int64 {
	if a := o.attr(name); a != nil {
		return a.Ints
	}
	return nil
}

func (o *op) float(name string, def float64) float64 {
	if a := o.attr(name); a != nil {
		return float64(a.F)
	}
	return def
}

func (o *op) str(name, def string) string {
	if a := o.attr(name); a != nil {
		return string(a.S)
	}
	return def
}

// intsArg returns an integer list that is an attribute before the given opset
// and input k from then on; ok is false when it is absent.
func (o *op) intsArg(name string, since int64, k int) (v []int64, ok bool, err error) {
	if o.opset < since {
		a := o.attr(name)
		if a == nil {
			return nil, false, nil
		}
		return a.Ints, true, nil
	}
	if o.arg(k) == nil {
		return nil, false, nil
	}
	t, err := o.constant(k, name)
	if err != nil {
		return nil, false, err
	}
	v, err = t.int64s()
	return v, true, err
}

// graphInputs makes input nodes of the inputs that are no initializers.
func (l *lowering) graphInputs() {
	l.current = nil
	for i := range l.graph.Inputs {
		in := &l.graph.Inputs[i]
		if l.values[in.Name] != nil {
			continue
		}
		shape, err := l.inputShape(in)
		if err != nil {
			l.obstacle(Obstacle{Node: in.Name, Op: "graph input", Reason: err.Error()})
			continue
		}
		if !l.batchless && !l.takeBatch(in, shape) {
			return
		}
		v := l.emit(dag.Input{}, shape)
		l.nodes[v.node].Name, l.nodes[v.node].Source = in.Name, "Input"
		v.exclusive = l.reads[in.Name] == 1
		v.elem = in.ElemType
		l.values[in.Name] = v
		l.inputs = append(l.inputs, dag.Port{Name: in.Name, Node: v.node})
	}
}

// takeBatch makes axis 0 of an input the batch axis; false sets l.batch.
func (l *lowering) takeBatch(in *wire.ValueInfo, shape []int) bool {
	switch {
	case len(shape) == 0, len(shape) == 1 && shape[0] != batchDim:
		l.batch = &batchError{fmt.Sprintf("input %q has no batch axis", in.Name)}
		return false
	case shape[0] == batchDim:
		return true
	case l.declared != 0 && l.declared != shape[0]:
		l.batch = &batchError{fmt.Sprintf("the first axes of the inputs are %d and %d", l.declared, shape[0])}
		return false
	}
	l.declared = shape[0]
	shape[0] = batchDim
	return true
}

// inputShape returns the full shape of a graph input, an open axis 0 as
// batchDim.
func (l *lowering) inputShape(in *wire.ValueInfo) ([]int, error) {
	given, ok := l.opt.InputShape[in.Name]
	if !in.Tensor {
		return nil, fmt.Errorf("it is not a tensor")
	}
	if !in.HasShape && !ok {
		return nil, fmt.Errorf("its shape is not stored: give it, for example %s=1x784", in.Name)
	}
	if ok && in.HasShape && len(given) != len(in.Dims) {
		return nil, fmt.Errorf("shape %v was given for an input of rank %d", given, len(in.Dims))
	}
	if ok && !in.HasShape {
		shape := slices.Clone(given)
		return shape, nil
	}
	shape := make([]int, len(in.Dims))
	for k, d := range in.Dims {
		switch {
		case d.Known && ok && given[k] != int(d.Value):
			return nil, fmt.Errorf("axis %d is %d in the file, %d was given", k, d.Value, given[k])
		case d.Known && d.Value > 0:
			shape[k] = int(d.Value)
		case ok && given[k] > 0:
			shape[k] = given[k]
		case k == 0 && !l.batchless:
			shape[k] = batchDim
		case k == 0:
			shape[k] = 1
		default:
			return nil, fmt.Errorf("axis %d is left open: give the shape, for example %s=%s", k, in.Name, exampleShape(in))
		}
	}
	if !fits(shape) {
		return nil, fmt.Errorf("shape %s has too many elements", dimString(shape))
	}
	return shape, nil
}

// maxElements bounds a value of one sample, so that a few bytes of a file
// cannot ask for any amount of memory.
const maxElements = 1 << 26

// maxSpent bounds what lowering computes in all: a gigabyte or so.
const maxSpent = 1 << 27

func exampleShape(in *wire.ValueInfo) string {
	s := ""
	for k, d := range in.Dims {
		if k > 0 {
			s += "x"
		}
		if d.Known && d.Value > 0 {
			s += fmt.Sprint(d.Value)
		} else if k == 0 {
			s += "1"
		} else {
			s += "28"
		}
	}
	return s
}

func (l *lowering) graphOutputs() {
	l.current = nil
	for _, out := range l.graph.Outputs {
		v := l.values[out.Name]
		switch {
		case v == nil:
			l.obstacle(Obstacle{Node: out.Name, Op: "graph output", Reason: "no operator computes it"})
		case v.opaque != "":
			l.warnings = append(l.warnings, fmt.Sprintf("output %q is not evaluated: %s", out.Name, v.opaque))
		case v.constant():
			m, err := l.materialize(v)
			if err != nil {
				l.obstacle(Obstacle{Node: out.Name, Op: "graph output", Reason: err.Error()})
				continue
			}
			l.outputs = append(l.outputs, dag.Port{Name: out.Name, Node: m.node})
		case v.batchAxis() > 0 && !l.batchless:
			// A network's values have the batch first.
			l.batch = &batchError{fmt.Sprintf("output %q has the batch at axis %d", out.Name, v.batchAxis())}
			return
		default:
			l.outputs = append(l.outputs, dag.Port{Name: out.Name, Node: v.node})
		}
	}
}
