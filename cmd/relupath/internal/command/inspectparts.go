package command

import (
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
)

// inspectedSegment is a part of the body between functions, by the ids of nodes.
type inspectedSegment struct {
	Starts []int `json:"starts"`
	Nodes  []int `json:"nodes"`
	Ends   []int `json:"ends"`
	Layers []int `json:"layers"`
}

// inspectedFunction is a node that is not positively homogeneous.
type inspectedFunction struct {
	ID     int    `json:"id"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	// Layers are those inside the function, such as the matrices of an LSTM.
	Layers []int `json:"layers,omitempty"`
	// Lipschitz is the Lipschitz constant of a curve that has one.
	Lipschitz float64 `json:"lipschitz,omitempty"`
}

// inspectedTensor is a stored tensor of two or more axes.
type inspectedTensor struct {
	Name   string      `json:"name"`
	Type   string      `json:"type"`
	Shape  []int       `json:"shape"`
	Layers []tensorUse `json:"layers"`
	// Computed says that constant operators stand between the tensor and its layers.
	Computed bool   `json:"computed,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

type tensorUse struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
}

// parts fills what inspect tells of segments, functions and stored tensors.
func (r *inspectJSON) parts(m *modelFile) {
	n := m.Net
	r.Segments, r.Functions, r.Tensors = []inspectedSegment{}, []inspectedFunction{}, []inspectedTensor{}
	for _, s := range n.Segments() {
		r.Segments = append(r.Segments, inspectedSegment{filled(s.Starts), filled(s.Nodes), filled(s.Ends), filled(s.Layers)})
	}
	for i := range n.Nodes {
		f, ok := n.Nodes[i].Op.(*dag.Func)
		in := n.Nodes[i].In
		if !ok || f.Kind == dag.OneHot || len(in) == 0 {
			continue // an embedding is a layer of one-hot vectors; a layer inside stands on nothing
		}
		r.Functions = append(r.Functions, inspectedFunction{i, f.Kind.String(), f.Why, in[len(in)-f.Inside:], f.Lipschitz})
	}
	for _, t := range m.Tensors() {
		v := inspectedTensor{Name: t.Name, Type: t.Type, Shape: t.Shape, Layers: []tensorUse{}, Computed: t.Computed, Reason: t.Reason}
		for _, u := range t.Uses {
			v.Layers = append(v.Layers, tensorUse{u.Node, n.Nodes[u.Node].Ref(), u.Role.String()})
		}
		r.Tensors = append(r.Tensors, v)
	}
}

// partTables are the tables of functions, where they stand between layers, of segments,
// where there are several, and of the tensors that belong to no layer.
func (r *inspectJSON) partTables() []render.Table {
	var out []render.Table
	if len(r.Segments) > 1 {
		t := render.Table{Title: "segments", Columns: []string{"segment", "from", "to", "layers"}}
		names := func(ids []int) []string {
			return lists.Map(ids, func(i int) string { return r.Nodes[i].Name })
		}
		for k, s := range r.Segments {
			t.Add(render.Int(k+1), render.Code(named(names(s.Starts))), render.Code(named(names(s.Ends))), render.Code(named(names(s.Layers))))
		}
		out = append(out, t)
	}
	if t := r.functionTable(); len(t.Rows) > 0 {
		out = append(out, t)
	}
	lost := render.Table{Title: "tensors of no layer", Columns: []string{"tensor", "type", "shape", "why"}}
	for _, t := range r.Tensors {
		if t.Reason != "" {
			lost.Add(render.Code(t.Name), render.Code(t.Type), render.Code(render.Dims(t.Shape)), render.Text(t.Reason))
		}
	}
	if len(lost.Rows) > 0 {
		out = append(out, lost)
	}
	return out
}

// functionTable has a row for each operator and reason.
func (r *inspectJSON) functionTable() render.Table {
	t := render.Table{Title: "functions", Columns: []string{"operator", "kind", "nodes", "first", "why"}}
	type kind struct{ source, kind, why string }
	var order []kind
	count, first := map[kind]int{}, map[kind]string{}
	for _, f := range r.Functions {
		k := kind{r.Nodes[f.ID].Source, f.Kind, f.Reason}
		if count[k]++; count[k] == 1 {
			order, first[k] = append(order, k), r.Nodes[f.ID].Name
		}
	}
	for _, k := range order {
		t.Add(render.Code(k.source), render.Text(k.kind), render.Int(count[k]), render.Code(named([]string{first[k]})), render.Text(k.why))
	}
	return t
}

// parted says how many segments and functions there are, in words.
func (r *inspectJSON) parted() string {
	inside := 0
	for _, t := range r.Tensors {
		if t.Reason == "" {
			inside++
		}
	}
	return fmt.Sprintf("segments: %d, functions: %d, tensors of two or more axes: %d, of which in layers: %d", len(r.Segments), len(r.Functions), len(r.Tensors), inside)
}
