package onnxio

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/source"
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

// Tensors lists the stored tensors of two or more axes, initializers and Constant
// nodes in the order of the file, those of subgraphs and local functions included as
// far as they were read: each belongs to the layers in Uses or to none for a Reason.
func (m *Model) Tensors() []Tensor {
	direct, sites := map[*dag.Param][]TensorUse{}, map[int][]placedUse{}
	for i := range m.Net.Nodes {
		for role, u := range m.Net.Nodes[i].Uses() {
			direct[u.Param] = append(direct[u.Param], TensorUse{i, role})
			if at, ok := u.Site.(*source.Site); ok && at.Node >= 0 {
				sites[at.Node] = append(sites[at.Node], placedUse{at.Input, TensorUse{i, role}})
			}
		}
	}
	out := make([]Tensor, 0, len(m.tensors))
	for _, s := range m.tensors {
		t := Tensor{Name: s.Name, Type: s.Wire.DType.String(), Shape: lists.Convert[int](s.Wire.Dims)}
		if s.Param != nil {
			t.Uses = slices.Clone(direct[s.Param])
		}
		if len(t.Uses) == 0 {
			for _, r := range s.Readers {
				for _, u := range sites[r.At.Node] {
					if (u.input == r.At.Input || u.input < 0) && !slices.Contains(t.Uses, u.TensorUse) {
						t.Uses, t.Computed = append(t.Uses, u.TensorUse), true
					}
				}
			}
		}
		if len(t.Uses) == 0 {
			t.Reason = s.Unused()
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
