package lower

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowering turns one graph into dag nodes.
type lowering struct {
	file  *wire.File
	graph *wire.Graph
	opt   Options
	// batchless lowers the graph with its batch axis as part of a sample.
	batchless bool
	// cuts makes opaque what mixes the samples of a batch; mixed says what that is first,
	// and severed that there are weights behind.
	cuts    bool
	mixed   string
	severed bool
	// plain refuses merged axes, see merge.
	plain bool
	// open lists the inputs of a batchless graph whose first axis has no known
	// extent.
	open []*wire.ValueInfo
	// unknown lists the inputs that a shape must be given for.
	unknown []unknownShape
	// examples are shapes of those with which the model can be read.
	examples []map[string][]int
	// declared is the batch size that the file fixes, 0 where it leaves it open.
	declared int

	// forks says that both branches of an If are lowered, where its condition depends on
	// the input; unforked that of one this cannot be done.
	forks, unforked bool

	scope
	functions map[function]*wire.Function
	// inlined counts the operators of local functions.
	inlined int
	tensors []*source.Tensor // of two or more axes
	nodes   []dag.Node
	// indexes are those of the Selects among them, by a hash.
	indexes map[uint64][][]int32
	inputs  []dag.Port
	outputs []dag.Port
	// unbatched are the outputs without an axis of samples.
	unbatched []string
	// unitAxes holds the ONNX axes that a Linear's units lie along.
	unitAxes map[int][]int
	// facts is what is known of the values of nodes.
	facts map[int]fact
	// owners has the stored tensor of each Param of one number.
	owners map[*dag.Param]*source.Tensor
	// fixed says of each node that constants alone determine its value.
	fixed []bool
	// origin is the ONNX node that made each dag node.
	origin    []int
	current   *op
	obstacles []placed
	// limited says that one of them is that a limit for any file is exceeded; there may be others that are not told.
	limited  bool
	warnings []string
	batch    *refusal.Batch
	// named has the nodes of the network by the names of the graph's values.
	named map[string]int
	// roots are nodes that belong to the network though no output needs them, unseen
	// the operators that are not evaluated.
	roots  []int
	unseen []hidden
	behind int // operators that read the values of those
	budgets
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
	// expanded says that other operators stand in its place.
	expanded bool
	// layers are those inside it, where it is opaque and its stored operands are not.
	layers []*value
	// mixes says that its value is of several samples.
	mixes bool
	// lines says that the rows of a matrix product are on several axes of its operand.
	lines bool
}

// lowerer lowers one operator.
type lowerer func(o *op) error

// What takes operands of the operator too becomes a lowerer: of its first input, of that as an
// activation, of the first two or three, of two that broadcast, of the operand of a pooling.

func ofFirst(lower func(o *op, v *value) error) lowerer {
	return func(o *op) error {
		v, err := o.need(0)
		if err != nil {
			return err
		}
		return lower(o, v)
	}
}

func ofActivation(lower func(o *op, v *value) error) lowerer {
	return ofFirst(func(o *op, v *value) error {
		v, err := o.materialize(v)
		if err != nil {
			return err
		}
		return lower(o, v)
	})
}

func ofTwo(lower func(o *op, a, b *value) error) lowerer { return of((*op).two, lower) }

func ofPair(lower func(o *op, a, b *value) error) lowerer { return of((*op).binary, lower) }

func ofPooled(lower func(o *op, v *value, channels int) error) lowerer {
	return of((*op).pooled, lower)
}

func of[A, B any](operands func(o *op) (A, B, error), lower func(o *op, a A, b B) error) lowerer {
	return func(o *op) error {
		a, b, err := operands(o)
		if err != nil {
			return err
		}
		return lower(o, a, b)
	}
}

func ofThree(lower func(o *op, a, b, c *value) error) lowerer {
	return ofTwo(func(o *op, a, b *value) error {
		c, err := o.need(2)
		if err != nil {
			return err
		}
		return lower(o, a, b, c)
	})
}

func nodeLabel(n *wire.Node, index int) string {
	if n.Name != "" {
		return n.Name
	}
	return fmt.Sprintf("#%d", index)
}

func opLabel(n *wire.Node) string {
	if wire.Domain(n.Domain) == "" {
		return n.OpType
	}
	return n.Domain + "." + n.OpType
}

// run lowers the nodes in the given order.
func (l *lowering) run(order []int) {
	l.values = map[string]*value{}
	l.unitAxes = map[int][]int{}
	l.facts = map[int]fact{}
	l.owners = map[*dag.Param]*source.Tensor{}
	l.reads = map[string]int{}
	l.opsets = versions(l.file.Model.OpsetImports)
	l.functions = localFunctions(&l.file.Model)
	for _, k := range order {
		countReads(l.reads, &l.graph.Nodes[k])
	}
	for _, o := range l.graph.Outputs {
		l.reads[o.Name]++
	}
	l.expect(order)
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

func (l *lowering) initializers() {
	for i := range l.graph.SparseInitializers {
		l.obstacle(Obstacle{
			Node: l.graph.SparseInitializers[i].Values.Name, Op: "initializer",
			Reason: "it is stored as a sparse tensor", Remedy: "store it as a dense tensor",
		})
	}
	for i := range l.graph.Initializers {
		t := &l.graph.Initializers[i]
		con, err := tensor.Of(l.keep(&source.Tensor{Wire: t, Initializer: i, Name: t.Name}))
		if err != nil {
			l.obstacle(Obstacle{Node: t.Name, Op: "initializer", Reason: err.Error()})
			continue
		}
		l.values[t.Name] = &value{con: con}
	}
	for name, t := range l.opt.Bind {
		con, err := tensor.Of(&source.Tensor{Wire: t, Initializer: -1, Name: name})
		if err != nil {
			l.obstacle(Obstacle{Node: name, Op: "graph input", Reason: err.Error()})
			continue
		}
		l.values[name] = &value{con: con}
	}
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
	if l.spent == math.MaxInt { // reported already
		return
	}
	reason := ""
	switch {
	case l.exhausted():
		reason = fmt.Sprintf("constants and reindexings of more than %d elements come before it", maxSpent)
	case l.computed > l.budget:
		reason = fmt.Sprintf("the constants that are computed before it take more than %d MiB", l.budget>>20)
	}
	if reason != "" {
		l.spent = math.MaxInt
		l.obstacle(Obstacle{Node: nodeLabel(n, k), Op: opLabel(n), Reason: reason, Remedy: "simplify the model before export"})
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
	first := len(l.nodes)
	err := o.dispatch()
	if reason, ok := opaqueFrom(err); ok {
		o.opaque(reason)
		err = nil
	}
	if err == nil {
		if !o.expanded {
			o.trace(first)
		}
		o.release(first)
		return
	}
	if b, ok := errors.AsType[*refusal.Batch](err); ok {
		at := fmt.Sprintf("node %q (%s)", nodeLabel(n, k), opLabel(n))
		if l.cuts {
			if l.mixed == "" {
				l.mixed = at + ": " + b.Reason
			}
			o.mixes = true
			o.opaque("it mixes the samples of a batch: " + b.Reason)
			return
		}
		if !l.batchless {
			b.At = at
			l.batch = b
			return
		}
		err = refusal.New("", "%s", b.Reason)
	}
	ob := Obstacle{Node: nodeLabel(n, k), Op: opLabel(n), Reason: err.Error()}
	if r, ok := errors.AsType[*refusal.Node](err); ok {
		ob.Reason, ob.Remedy = r.Reason, r.Remedy
		if r.Limit && l.limited {
			return // what asks for more behind it says no more
		}
		l.limited = l.limited || r.Limit
	}
	l.obstacle(ob)
}

func (o *op) dispatch() error {
	d := wire.Domain(o.node.Domain)
	v, ok := o.opsets[d]
	if !ok && d == "" {
		v = 1
	}
	o.opset = v
	if f := o.functions[function{d, o.node.OpType, o.node.Overload}]; f != nil {
		return o.expandCall(f)
	}
	known := operators()[d][o.node.OpType]
	if known == nil {
		return refusal.New("export the model without it, or replace it by operators that are supported",
			"the operator is not supported (opset %d)", v)
	}
	for _, a := range o.node.Attributes {
		if a.RefAttrName != "" {
			return refusal.New("", "attribute %q refers to a function's parameter, outside a function", a.Name)
		}
	}
	if len(o.node.Outputs) == 0 {
		return refusal.New("remove the node", "it has no output")
	}
	if why := o.readsOpaque(); why != "" {
		o.opaque("it reads a value that is not evaluated: " + why)
		return nil
	}
	if err := o.carriesBatch(); err != nil {
		return err
	}
	if m, ok := o.mergedOperand(); ok && known.lower != nil {
		return o.lowerMerged(m, known.lower)
	}
	if d == "" && v >= 7 && broadcasting[o.node.OpType] {
		if err := o.perSample(); err != nil {
			return err
		}
	}
	if known.lower == nil { // If, whose nodes are in the table themselves
		return ofFirst(lowerIf)(o)
	}
	return known.lower(o)
}

// emit adds a dag node that computes op from activations and returns its value
// with the given full shape.
func (l *lowering) emit(op dag.Op, shape []int, in ...*value) *value {
	nd := dag.Node{Shape: tensor.SampleShape(shape), Op: op}
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
	fixed := op != dag.Op(dag.Input{}) && !slices.ContainsFunc(in, func(v *value) bool { return !l.fixed[v.node] })
	l.fixed = append(l.fixed, fixed)
	if fixed {
		l.computed += 8 * int64(nd.Len())
	}
	if s, ok := op.(*dag.Select); ok {
		l.spent += len(s.Index)
		if s.Index = l.shared(s.Index); fixed {
			l.computed += 4 * int64(len(s.Index))
		}
	}
	l.origin = append(l.origin, k)
	out := &value{node: len(l.nodes) - 1, shape: shape, exclusive: true}
	if len(in) > 0 {
		out.elem = in[0].elem
	}
	return out
}

// shared returns the index of the nodes before that is the same as the given one, if there
// is one: the blocks of a transformer all turn their values in the same ways.
func (l *lowering) shared(index []int32) []int32 {
	if len(index) == 0 {
		return index
	}
	key := uint64(len(index))
	for _, j := range index {
		key = (key ^ uint64(uint32(j))) * 0x100000001b3 // FNV-1a, by numbers
	}
	for _, known := range l.indexes[key] {
		if slices.Equal(known, index) {
			return known
		}
	}
	if l.indexes == nil {
		l.indexes = map[uint64][][]int32{}
	}
	l.indexes[key] = append(l.indexes[key], index)
	return index
}

// give makes v the operator's k-th output.
func (o *op) give(k int, v *value) {
	if k >= len(o.node.Outputs) || o.node.Outputs[k] == "" {
		return
	}
	name := o.node.Outputs[k]
	if v.constant() {
		o.hold(v.con, name)
	}
	w := *v
	w.exclusive = (v.exclusive || v.constant()) && o.reads[name] == 1
	o.values[name] = &w
}

// gives makes v the operator's first output, unless making it failed.
func (o *op) gives(v *value, err error) error {
	if err == nil {
		o.give(0, v)
	}
	return err
}

func (o *op) giveTensor(t *tensor.Tensor) { o.give(0, &value{con: t}) }

// givesTensor is gives for a constant.
func (o *op) givesTensor(t *tensor.Tensor, err error) error { return o.gives(&value{con: t}, err) }

// arg returns input k, nil when it is absent or k negative.
func (o *op) arg(k int) *value {
	if k >= 0 && k < len(o.in) {
		return o.in[k]
	}
	return nil
}

// need returns input k or an error.
func (o *op) need(k int) (*value, error) {
	if v := o.arg(k); v != nil {
		return v, nil
	}
	return nil, refusal.New("", "input %d is missing", k)
}

// two returns the first two inputs.
func (o *op) two() (a, b *value, err error) {
	if a, err = o.need(0); err == nil {
		b, err = o.need(1)
	}
	return
}

// constant returns input k, which must be a constant.
func (o *op) constant(k int, what string) (*tensor.Tensor, error) {
	v, err := o.need(k)
	if err != nil {
		return nil, err
	}
	if v.constant() {
		return v.con, nil
	}
	if name := o.inputOf(v.node); name != "" {
		return nil, refusal.New("cut the model behind this node and make its output an input", "%s is the graph input %q", what, name)
	}
	return nil, refusal.New("make it a constant", "%s is computed by the network", what)
}

// floatsAt returns the numbers of input k, which must be a constant.
func (o *op) floatsAt(k int, what string) ([]float64, error) {
	t, err := o.constant(k, what)
	if err != nil {
		return nil, err
	}
	return t.Float64s()
}

// intsAt returns the integers of input k, which must be a constant.
func (o *op) intsAt(k int, what string) ([]int64, error) {
	t, err := o.constant(k, what)
	if err != nil {
		return nil, err
	}
	return t.Int64s()
}

// numberAt returns the number of input k, which must be a constant of one element; otherwise
// where it is absent.
func (o *op) numberAt(k int, what string, otherwise float64) (float64, error) {
	if o.arg(k) == nil {
		return otherwise, nil
	}
	t, err := o.constant(k, what)
	if err != nil {
		return 0, err
	}
	return t.Value()
}

// one returns the integer of input k, which must be a constant of one element.
func (o *op) one(k int, what string) (int64, error) {
	x, err := o.intsAt(k, what)
	if err != nil {
		return 0, err
	}
	if len(x) != 1 {
		return 0, refusal.New("", "%s has %s", what, words.Count(len(x), "element"))
	}
	return x[0], nil
}

// inputOf names the graph input that a node only rearranges, if it is such a node.
func (l *lowering) inputOf(node int) string {
	nd := &l.nodes[node]
	for nd.Moves() && len(nd.In) == 1 {
		nd = &l.nodes[nd.In[0]]
	}
	if nd.Op != (dag.Input{}) {
		return ""
	}
	return nd.Name
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

// floats returns an attribute's list of float32s.
func (o *op) floats(name string) []float64 {
	if a := o.attr(name); a != nil {
		return lists.Convert[float64](a.Floats)
	}
	return nil
}

// float returns an attribute, which like its default is a float32.
func (o *op) float(name string, def float32) float64 {
	if a := o.attr(name); a != nil {
		return float64(a.F)
	}
	return float64(def)
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
	v, err = o.intsAt(k, name)
	return v, err == nil, err
}
