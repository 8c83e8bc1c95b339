package lower

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowerIf takes the branch of a condition that is known. Of another it takes both, and
// picks their values.
func lowerIf(o *op, cond *value) error {
	if !cond.constant() {
		return o.fork(cond)
	}
	x, err := cond.con.Int64s()
	if err != nil {
		return err
	}
	if len(x) != 1 {
		return refusal.New("", "its condition has %s", words.Count(len(x), "element"))
	}
	name := "else_branch"
	if x[0] != 0 {
		name = "then_branch"
	}
	out, err := o.branch(name)
	if err != nil {
		return err
	}
	for k, v := range out {
		if v != nil {
			o.give(k, v)
		}
	}
	return nil
}

// fork lowers both branches of an If, whose values must be of the same shapes and
// types. Where that fails, the graph is lowered again with all such nodes opaque.
func (o *op) fork(cond *value) error {
	opaque := refusal.New("export a traced model without control flow", "its condition depends on the input")
	if !o.forks {
		return opaque
	}
	if cond.batchAxis() >= 0 {
		return refusal.MixesBatch("its condition is one for all samples")
	}
	obstacles, unseen := len(o.obstacles), len(o.unseen)
	var sides [2][]*value
	for k, name := range []string{"then_branch", "else_branch"} {
		var err error
		if sides[k], err = o.branch(name); err != nil || o.batch != nil {
			o.unforked = err != nil
			return err
		}
	}
	o.unforked = o.unforked || len(o.obstacles) > obstacles || len(o.unseen) > unseen
	if o.unforked || dag.Size(cond.shape) != 1 {
		o.unforked = true
		return opaque
	}
	for k, yes := range sides[0] {
		no := sides[1][k]
		if yes == nil || no == nil || yes.opaque != "" || no.opaque != "" || !slices.Equal(yes.dims(), no.dims()) || yes.dataType() != no.dataType() {
			o.unforked = true
			return opaque
		}
		out, err := o.functionOf("it picks the values of a branch", yes.dataType(), yes.dims(), func(dst []float64, in ...[]float64) {
			if in[0][0] != 0 {
				copy(dst, in[1])
			} else {
				copy(dst, in[2])
			}
		}, cond, yes, no)
		if err != nil {
			return err
		}
		o.give(k, out)
	}
	return nil
}

// branch lowers one of the operator's subgraphs and returns its values.
func (o *op) branch(name string) ([]*value, error) {
	a := o.attr(name)
	if a == nil || a.Graphs != 1 {
		return nil, refusal.New("", "it has no %s", name)
	}
	graphs, err := o.file.Subgraphs(a)
	if err != nil {
		return nil, err
	}
	return o.expandGraph(graphs[0], name, a.Captures)
}

// expandGraph lowers the nodes of a subgraph without inputs in the place of the
// current operator; the names that it captures are of the graph around it.
func (o *op) expandGraph(g *wire.Graph, name string, captures []string) ([]*value, error) {
	c := &call{caller: o, depth: 1, path: nodeLabel(o.node, o.index) + "/" + name + "/", formal: map[string]source.Site{}}
	if outer := o.call; outer != nil {
		c.depth = outer.depth + 1
	}
	if c.depth > maxCallDepth {
		return nil, refusal.New("export the model without control flow", "subgraphs are nested more than %d deep", maxCallDepth)
	}
	if o.inlined += len(g.Nodes) + len(g.Initializers); o.inlined > maxInlined {
		return nil, refusal.New("export the model without control flow", "subgraphs expand to more than %d operators", maxInlined)
	}
	if len(g.Outputs) != len(o.node.Outputs) || len(g.SparseInitializers) > 0 {
		return nil, refusal.New("", "its %s has %s, it has %d", name, words.Count(len(g.Outputs), "output"), len(o.node.Outputs))
	}
	outer, caller, obstacles := o.scope, o.current, len(o.obstacles)
	s := scope{opsets: o.opsets, reads: map[string]int{}, values: map[string]*value{}, call: c}
	for _, k := range captures {
		if v := o.values[k]; v != nil {
			w := *v
			w.exclusive = false
			s.values[k] = &w
		}
	}
	for k := range g.Nodes {
		countReads(s.reads, &g.Nodes[k])
	}
	for _, out := range g.Outputs {
		s.reads[out.Name]++
	}
	o.scope = s
	err := o.innerInitializers(g)
	for k := range g.Nodes {
		if err != nil || o.batch != nil {
			break
		}
		n := g.Nodes[k]
		n.Name = c.path + nodeLabel(&n, k)
		o.lowerNode(&n, o.index)
	}
	inner := o.values
	o.scope, o.current, o.expanded = outer, caller, true
	if err != nil {
		return nil, refusal.New("", "in its %s: %v", name, err)
	}
	values := make([]*value, len(g.Outputs))
	for k, out := range g.Outputs {
		if values[k] = inner[out.Name]; values[k] == nil && o.node.Outputs[k] != "" && o.batch == nil && len(o.obstacles) == obstacles && !o.limited {
			return nil, refusal.New("", "output %q of its %s is made by no node whose inputs are made before it", out.Name, name)
		}
	}
	return values, nil
}

// innerInitializers makes constants of a subgraph's initializers.
func (o *op) innerInitializers(g *wire.Graph) error {
	for i := range g.Initializers {
		t := &g.Initializers[i]
		con, err := tensor.Of(o.keep(&source.Tensor{Wire: t, Initializer: -1, Node: -1, Name: t.Name, Hidden: true}))
		if err != nil {
			return fmt.Errorf("initializer %q: %w", t.Name, err)
		}
		o.values[t.Name] = &value{con: con}
	}
	return nil
}

// countReads counts what a node reads: its inputs' numbers, and twice what its
// subgraphs use, which may read it any number of times.
func countReads(reads map[string]int, n *wire.Node) {
	for i, name := range n.Inputs {
		if !readsForm(n, i) {
			reads[name]++
		}
	}
	for i := range n.Attributes {
		for _, name := range n.Attributes[i].Captures {
			reads[name] += 2
		}
	}
}

// within returns what the current operator's subgraphs read: values of the graph
// around them, and the tensors that they store.
func (o *op) within() ([]*value, error) {
	var out []*value
	for i := range o.node.Attributes {
		a := &o.node.Attributes[i]
		for _, name := range a.Captures {
			if v := o.values[name]; v != nil {
				out = append(out, v)
			}
		}
		if err := o.storedWithin(a, &out, 0); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (o *op) storedWithin(a *wire.Attribute, out *[]*value, depth int) error {
	if a.Graphs == 0 || depth > maxCallDepth {
		return nil
	}
	graphs, err := o.file.Subgraphs(a)
	if err != nil {
		return err
	}
	add := func(t *wire.Tensor, name string) {
		con, err := tensor.Of(o.keep(&source.Tensor{Wire: t, Initializer: -1, Node: -1, Name: name, Hidden: true}))
		if err == nil {
			*out = append(*out, &value{con: con})
		}
	}
	for _, g := range graphs {
		if o.inlined += len(g.Nodes) + len(g.Initializers); o.inlined > maxInlined {
			return refusal.New("", "subgraphs expand to more than %d operators", maxInlined)
		}
		for i := range g.Initializers {
			add(&g.Initializers[i], g.Initializers[i].Name)
		}
		for k := range g.Nodes {
			n := &g.Nodes[k]
			for i := range n.Attributes {
				b := &n.Attributes[i]
				if b.T != nil && n.OpType == "Constant" && len(n.Outputs) == 1 {
					add(b.T, n.Outputs[0])
				}
				if err := o.storedWithin(b, out, depth+1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
