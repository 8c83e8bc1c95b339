package onnxio

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// Tensor is a stored tensor of two or more axes and what it is in the network.
type Tensor struct {
	// Name is that of the initializer, or of the output of the Constant node.
	Name string
	// Type is the type of its elements as stored, such as float32.
	Type string
	// Shape is its shape as stored.
	Shape []int
	// Uses are the layers that take their numbers from it, in topological order;
	// more than one where weights are shared.
	Uses []TensorUse
	// Computed says that constant operators stand between the tensor and the layers
	// (a transposition of more than two axes, DequantizeLinear).
	Computed bool
	// Reason says why it belongs to no layer; empty where there are Uses.
	Reason string
}

// TensorUse is a node of the network and what it does with the numbers of a tensor.
type TensorUse struct {
	Node int
	Role dag.Role
}

// maxSources bounds how many stored tensors a computed constant remembers, and how many
// readers a tensor.
const maxSources = 64

// reader is an operand of an operator that is not folded.
type reader struct {
	at    site
	label string
	// why is the reason of the function that the operator is; empty for others.
	why string
	// first and past are the range of nodes that the operator made.
	first, past int
	dead        bool
}

// keep records a stored tensor of two or more axes.
func (l *lowering) keep(s *storedTensor) *storedTensor {
	if len(s.wire.Dims) > 1 {
		l.tensors = append(l.tensors, s)
	}
	return s
}

// sources are the stored tensors of two or more axes that a constant comes from.
func (t *tensor) sources() []*storedTensor {
	if t.stored == nil {
		return t.from
	}
	if len(t.stored.wire.Dims) > 1 {
		return []*storedTensor{t.stored}
	}
	return nil
}

// trace records where the constants that the operator reads go: into constants
// that it computes, or into the nodes that it made, which are those from first on.
func (o *op) trace(first int) {
	var from []*storedTensor
	var places []int
	for k, v := range o.in {
		if v == nil || !v.constant() || readsForm(o.node, k) {
			continue
		}
		for _, s := range v.con.sources() {
			switch {
			case slices.Contains(from, s):
			case len(from) == maxSources:
				s.lost = true
			default:
				from, places = append(from, s), append(places, k)
			}
		}
	}
	if len(from) == 0 {
		return
	}
	folded := true
	for _, name := range o.node.Outputs {
		v := o.values[name]
		switch {
		case name == "" || v == nil:
		case !v.constant():
			folded = false
		case v.con.stored == nil && v.con.from == nil:
			v.con.from = from
		}
	}
	if folded {
		return
	}
	why := ""
	for i := first; i < len(o.nodes) && why == ""; i++ {
		if f, ok := o.nodes[i].Op.(*dag.Func); ok {
			why = f.Why
		}
	}
	for i, s := range from {
		if len(s.readers) < maxSources {
			s.readers = append(s.readers, reader{
				at: o.operandSite(places[i]), label: nodeLabel(o.node, o.index) + " (" + opLabel(o.node) + ")",
				why: why, first: first, past: len(o.nodes),
			})
		}
	}
}

// settle marks the readers whose nodes are not in the network.
func (l *lowering) settle(needed []bool) {
	for _, s := range l.tensors {
		for i := range s.readers {
			r := &s.readers[i]
			r.dead = r.first < r.past && !slices.Contains(needed[r.first:r.past], true)
		}
	}
}

// Tensors lists the stored tensors of two or more axes, initializers and Constant
// nodes in the order of the file, those of subgraphs and local functions included as
// far as they were read: each belongs to the layers in Uses or to none for a Reason.
func (m *Model) Tensors() []Tensor {
	direct, sites := map[*dag.Param][]TensorUse{}, map[int][]placedUse{}
	for i := range m.Net.Nodes {
		for role, u := range m.Net.Nodes[i].Uses() {
			direct[u.Param] = append(direct[u.Param], TensorUse{i, role})
			if at, ok := u.Site.(*site); ok && at.node >= 0 {
				sites[at.node] = append(sites[at.node], placedUse{at.input, TensorUse{i, role}})
			}
		}
	}
	out := make([]Tensor, 0, len(m.tensors))
	for _, s := range m.tensors {
		t := Tensor{Name: s.name, Type: s.wire.DType.String()}
		for _, d := range s.wire.Dims {
			t.Shape = append(t.Shape, int(d))
		}
		if s.param != nil {
			t.Uses = slices.Clone(direct[s.param])
		}
		if len(t.Uses) == 0 {
			for _, r := range s.readers {
				for _, u := range sites[r.at.node] {
					if (u.input == r.at.input || u.input < 0) && !slices.Contains(t.Uses, u.TensorUse) {
						t.Uses, t.Computed = append(t.Uses, u.TensorUse), true
					}
				}
			}
		}
		if len(t.Uses) == 0 {
			t.Reason = s.unused()
		}
		out = append(out, t)
	}
	return out
}

// placedUse is a use by an operator's input.
type placedUse struct {
	input int
	TensorUse
}

// unused says why no layer takes its numbers from a tensor.
func (s *storedTensor) unused() string {
	switch {
	case len(s.readers) > 0:
	case s.lost:
		return fmt.Sprintf("a constant is computed from it and more than %d other tensors", maxSources)
	default:
		return "no output depends on its numbers"
	}
	r := s.readers[0]
	for _, other := range s.readers {
		if r.dead && !other.dead {
			r = other
		}
	}
	switch {
	case r.dead:
		return fmt.Sprintf("%s reads it, which no output needs", r.label)
	case r.why != "":
		return fmt.Sprintf("an operand of %s, a function: %s", r.label, r.why)
	}
	return fmt.Sprintf("a parameter of %s, which has no weights of its own", r.label)
}
