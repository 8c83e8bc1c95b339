package lower

import (
	"maps"

	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Bounds of inlining, so that a small file cannot ask for any amount of work:
// functions that call each other double the nodes at each level.
const (
	maxCallDepth = 32
	maxInlined   = 1 << 15
)

// function names a model-local function.
type function struct{ domain, name, overload string }

// scope is what a name means while the nodes of the graph, or of one call of a
// model-local function, are lowered.
type scope struct {
	opsets map[string]int64
	// reads counts the readers of each value's numbers.
	reads  map[string]int
	values map[string]*value
	// call is the node of the graph that is being expanded, nil in the graph.
	call *call
}

// call is one call of a model-local function.
type call struct {
	caller *op
	depth  int
	// path prefixes the names of the nodes inside.
	path string
	// formal holds, for the function's inputs that one node reads, the input of
	// the graph's node that stands for them.
	formal map[string]source.Site
}

// localFunctions indexes the functions of a model. Of two of one name the first
// holds.
func localFunctions(m *wire.Model) map[function]*wire.Function {
	out := map[function]*wire.Function{}
	for i := range m.Functions {
		f := &m.Functions[i]
		key := function{wire.Domain(f.Domain), f.Name, f.Overload}
		if out[key] == nil {
			out[key] = f
		}
	}
	return out
}

// expandCall lowers the body of a model-local function in the place of a call. An
// obstacle inside is reported with the path of calls to it.
func (o *op) expandCall(f *wire.Function) error {
	c := &call{caller: o, depth: 1, path: nodeLabel(o.node, o.index) + "/", formal: map[string]source.Site{}}
	if outer := o.call; outer != nil {
		c.depth = outer.depth + 1
	}
	if c.depth > maxCallDepth {
		return refusal.Exceeds("export the model without local functions", "local functions call each other more than %d deep", maxCallDepth)
	}
	if o.inlined += len(f.Nodes); o.inlined > maxInlined {
		return refusal.Exceeds("export the model without local functions", "local functions expand to more than %d operators", maxInlined)
	}
	if len(o.in) > len(f.Inputs) || len(o.node.Outputs) > len(f.Outputs) {
		return refusal.New("", "%s and %s of a local function with %d and %d",
			words.Count(len(o.in), "input"), words.Count(len(o.node.Outputs), "output"), len(f.Inputs), len(f.Outputs))
	}
	outer, caller, obstacles := o.scope, o.current, len(o.obstacles)
	o.scope = o.bind(f, c)
	for k := range f.Nodes {
		o.lowerNode(o.substituted(&f.Nodes[k], k, f, c), o.index)
		if o.batch != nil {
			break
		}
	}
	inner := o.values
	o.scope, o.current, o.expanded = outer, caller, true
	for k := range o.node.Outputs {
		v := inner[f.Outputs[k]]
		switch {
		case v != nil:
			o.give(k, v)
		case o.node.Outputs[k] != "" && o.batch == nil && len(o.obstacles) == obstacles && !o.limited:
			return refusal.New("", "output %q of the local function is made by no node whose inputs are made before it", f.Outputs[k])
		}
	}
	return nil
}

// bind makes the scope of a call.
func (o *op) bind(f *wire.Function, c *call) scope {
	s := scope{opsets: map[string]int64{}, reads: map[string]int{}, values: map[string]*value{}, call: c}
	maps.Copy(s.opsets, o.opsets)
	for _, i := range f.OpsetImports {
		s.opsets[wire.Domain(i.Domain)] = i.Version
	}
	for k := range f.Nodes {
		countReads(s.reads, &f.Nodes[k])
	}
	for _, name := range f.Outputs {
		s.reads[name]++
	}
	for i, name := range f.Inputs {
		if i >= len(o.in) || o.in[i] == nil {
			continue
		}
		v := *o.in[i]
		v.exclusive = v.exclusive && s.reads[name] == 1
		s.values[name] = &v
		if s.reads[name] != 1 {
			continue
		}
		if o.call == nil {
			c.formal[name] = source.Site{Node: o.index, Input: i}
		} else if at, ok := o.call.formal[o.node.Inputs[i]]; ok {
			c.formal[name] = at
		}
	}
	return s
}

// substituted returns node k of a function with the call's attributes in the
// places that refer to them; the attribute is left out where neither the call
// nor the function gives one. Optional inputs that the call leaves out are
// absent.
func (o *op) substituted(n *wire.Node, k int, f *wire.Function, c *call) *wire.Node {
	out := *n
	out.Name = c.path + nodeLabel(n, k)
	out.Attributes = nil
	for _, a := range n.Attributes {
		if a.RefAttrName == "" {
			out.Attributes = append(out.Attributes, a)
			continue
		}
		given := c.caller.attr(a.RefAttrName)
		for i := range f.Attributes {
			if given == nil && f.Attributes[i].Name == a.RefAttrName {
				given = &f.Attributes[i]
			}
		}
		if given != nil {
			b := *given
			b.Name = a.Name
			out.Attributes = append(out.Attributes, b)
		}
	}
	absent := map[string]bool{}
	for i, name := range f.Inputs {
		absent[name] = i >= len(c.caller.in) || c.caller.in[i] == nil
	}
	out.Inputs = make([]string, len(n.Inputs))
	for i, name := range n.Inputs {
		if !absent[name] || o.values[name] != nil {
			out.Inputs[i] = name
		}
	}
	return &out
}

// operandSite returns where input k of the current operator is in the file: an
// input of a node of the graph, or none inside a function, except for what its
// call passes on.
func (l *lowering) operandSite(k int) source.Site {
	switch at := (source.Site{Node: l.current.index, Input: k}); {
	case k < 0 || k >= len(l.current.node.Inputs):
		at.Input = -1
		return at
	case l.call == nil:
		return at
	default:
		if f, ok := l.call.formal[l.current.node.Inputs[k]]; ok {
			return f
		}
		at.Input = -1
		return at
	}
}
