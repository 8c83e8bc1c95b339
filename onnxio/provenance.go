package onnxio

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// keep records a stored tensor of two or more axes.
func (l *lowering) keep(s *storedTensor) *storedTensor {
	if len(s.wire.Dims) > 1 {
		l.tensors = append(l.tensors, s)
	}
	return s
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
