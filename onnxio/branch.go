package onnxio

import (
	"fmt"
	"maps"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowerIf takes the branch of a condition that is known.
func lowerIf(o *op) error {
	cond, err := o.need(0)
	if err != nil {
		return err
	}
	if !cond.constant() {
		return refuse("export a traced model without control flow", "its condition depends on the input")
	}
	x, err := cond.con.int64s()
	if err != nil {
		return err
	}
	if len(x) != 1 {
		return refuse("", "its condition has %d elements", len(x))
	}
	name := "else_branch"
	if x[0] != 0 {
		name = "then_branch"
	}
	a := o.attr(name)
	if a == nil || a.Graphs != 1 {
		return refuse("", "it has no %s", name)
	}
	graphs, err := o.file.Subgraphs(a)
	if err != nil {
		return err
	}
	return o.expandGraph(graphs[0], name)
}

// expandGraph lowers the nodes of a subgraph without inputs in the place of the
// current operator; names of the graph around it are visible.
func (o *op) expandGraph(g *wire.Graph, name string) error {
	c := &call{caller: o, depth: 1, path: nodeLabel(o.node, o.index) + "/" + name + "/", formal: map[string]site{}}
	if outer := o.call; outer != nil {
		c.depth = outer.depth + 1
	}
	if c.depth > maxCallDepth {
		return refuse("export the model without control flow", "subgraphs are nested more than %d deep", maxCallDepth)
	}
	if o.inlined += len(g.Nodes) + len(g.Initializers); o.inlined > maxInlined {
		return refuse("export the model without control flow", "subgraphs expand to more than %d operators", maxInlined)
	}
	if len(g.Outputs) != len(o.node.Outputs) || len(g.SparseInitializers) > 0 {
		return refuse("", "its %s has %d outputs, it has %d", name, len(g.Outputs), len(o.node.Outputs))
	}
	outer, caller, obstacles := o.scope, o.current, len(o.obstacles)
	s := scope{opsets: o.opsets, reads: map[string]int{}, values: maps.Clone(o.values), call: c}
	for k, v := range s.values {
		w := *v
		w.exclusive = false
		s.values[k] = &w
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
		return refuse("", "in its %s: %v", name, err)
	}
	for k, out := range g.Outputs {
		v := inner[out.Name]
		switch {
		case v != nil:
			o.give(k, v)
		case o.node.Outputs[k] != "" && o.batch == nil && len(o.obstacles) == obstacles:
			return refuse("", "output %q of its %s is made by no node whose inputs are made before it", out.Name, name)
		}
	}
	return nil
}

// innerInitializers makes constants of a subgraph's initializers.
func (o *op) innerInitializers(g *wire.Graph) error {
	for i := range g.Initializers {
		t := &g.Initializers[i]
		con, err := o.keep(&storedTensor{wire: t, initializer: -1, node: -1, name: t.Name, hidden: true}).constant()
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
		con, err := o.keep(&storedTensor{wire: t, initializer: -1, node: -1, name: name, hidden: true}).constant()
		if err == nil {
			*out = append(*out, &value{con: con})
		}
	}
	for _, g := range graphs {
		if o.inlined += len(g.Nodes) + len(g.Initializers); o.inlined > maxInlined {
			return refuse("", "subgraphs expand to more than %d operators", maxInlined)
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
