package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// keep records a stored tensor of two or more axes.
func (l *lowering) keep(s *source.Tensor) *source.Tensor {
	if len(s.Wire.Dims) > 1 {
		l.tensors = append(l.tensors, s)
	}
	return s
}

// trace records where the constants that the operator reads go: into constants
// that it computes, or into the nodes that it made, which are those from first on.
func (o *op) trace(first int) {
	o.markMade()
	var from []*source.Tensor
	var places []int
	for k, v := range o.in {
		if v == nil || !v.constant() || readsForm(o.node, k) {
			continue
		}
		for _, s := range v.con.Sources() {
			switch {
			case slices.Contains(from, s):
			case len(from) == source.MaxSources:
				s.Lost = true
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
		case v.con.Stored == nil && v.con.From == nil:
			v.con.From = from
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
		if len(s.Readers) < source.MaxSources {
			s.Readers = append(s.Readers, source.Reader{
				At: o.operandSite(places[i]), Label: nodeLabel(o.node, o.index) + " (" + opLabel(o.node) + ")",
				Why: why, First: first, Past: len(o.nodes),
			})
		}
	}
}

// readsForm tells of operators that take an input's shape or type, not its numbers.
func readsForm(n *wire.Node, input int) bool {
	if wire.Domain(n.Domain) != "" {
		return false
	}
	switch n.OpType {
	case "Shape", "Size", "EyeLike":
		return true
	}
	return n.OpType == "CastLike" && input == 1
}

// settle marks the readers whose nodes are not in the network.
func (l *lowering) settle(needed []bool) {
	for _, s := range l.tensors {
		for i := range s.Readers {
			r := &s.Readers[i]
			r.Dead = r.First < r.Past && !slices.Contains(needed[r.First:r.Past], true)
		}
	}
}

// openShapes is why numbers that are made of shapes cannot be stored.
const openShapes = "it is made of shapes that the file leaves open"

// markMade marks the constants that the operator computes of shapes, and of single numbers beside
// them: positions, steps of a grid, masks, matrices of zeros and ones. A part of a table that
// is cut to a shape is still the table's.
func (o *op) markMade() {
	made := wire.Domain(o.node.Domain) == "" && o.measures()
	for k, v := range o.in {
		if v == nil || !v.constant() || readsForm(o.node, k) {
			continue
		}
		if t := v.con; !t.Made && !t.Scalar() && (t.Kind == tensor.Floating || len(t.Dims) > 1) {
			return
		}
		made = made || v.con.Made
	}
	if !made {
		return
	}
	for _, name := range o.node.Outputs {
		if v := o.values[name]; name != "" && v != nil && v.constant() && v.con.Stored == nil {
			v.con.Made = true
			if len(o.opt.InputShape) > 0 && v.con.Pinned == "" {
				v.con.Pinned = openShapes
			}
		}
	}
}

// measures reports whether the operator makes numbers of shapes alone: it reads one, or counts.
func (o *op) measures() bool {
	switch o.node.OpType {
	case "Shape", "Size":
		return !o.in[0].constant()
	case "Range", "EyeLike":
		return true
	}
	return false
}
