package write

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// caps writes the bounds of caps that net has changed. A node whose bounds are still one
// number each gets these; one with bounds that differ between units becomes Max and Min
// with tensors, and a lower bound of 0 a ReLU.
func (e *exporter) caps(f *wire.File, old, net *dag.Network) error {
	for nd, c := range dag.Each[*dag.Cap](net) {
		if old.Nodes[nd.ID].Op == nd.Op {
			continue
		}
		at, ok := c.Site.(*source.Cap)
		if !ok {
			return fmt.Errorf("onnxio: the bounds of %s are of no file", nd.Label())
		}
		for k, s := range []source.Bound{at.Lo, at.Hi} {
			if s.Node < 0 || k == 1 && s.Node == at.Lo.Node {
				continue
			}
			if err := e.bounds(f, c, at, s.Node); err != nil {
				return err
			}
		}
	}
	return e.dropUnread(f)
}

// bounds writes the bounds of c that node k of the file holds.
func (e *exporter) bounds(f *wire.File, c *dag.Cap, at *source.Cap, k int) error {
	n := &f.Graph.Nodes[k]
	sides := []boundSide{{at.Lo, c.Lo, "min", "Max"}, {at.Hi, c.Hi, "max", "Min"}}
	apart, attributes := false, slices.Clone(n.Attributes)
	for _, s := range sides {
		apart = apart || len(s.b) > 1
		// An attribute is float32; tensors hold the bounds of a network of float64.
		narrow := s.Node == k && s.Input < 0 && c.Storage != dag.BoundsInCommon && float64(float32(s.b[0])) != s.b[0]
		apart = apart || narrow
	}
	changed := false
	if n.OpType == "Clip" && apart {
		return e.unclip(n, k, c, at, sides)
	}
	for _, s := range sides {
		switch {
		case s.Node != k || !moves(s.b):
		case s.Input >= 0:
			name, err := e.bound(n.Inputs[s.Input], c, at, s)
			if err != nil {
				return err
			}
			if err := e.RepointInput(k, s.Input, name); err != nil {
				return err
			}
			e.unread[n.Inputs[s.Input]]++
		default:
			name := s.attribute
			if c.Jump {
				name = "alpha"
			}
			i := slices.IndexFunc(attributes, func(a wire.Attribute) bool { return a.Name == name })
			if i < 0 { // the default of a threshold
				i = len(attributes)
				attributes = append(attributes, wire.Attribute{Name: name, Type: wire.AttrFloat})
			}
			attributes[i].F, changed = float32(s.b[0]), true
		}
	}
	if !changed {
		return nil
	}
	by := *n
	by.Attributes = attributes
	return e.ReplaceNode(k, by)
}

// boundSide is one bound of a cap: where it sits, its numbers, the attribute that has it
// in Clip, and the operator that bounds so.
type boundSide struct {
	source.Bound
	b                   []float64
	attribute, operator string
}

// unclip puts operators with a tensor for each bound in the place of a Clip.
func (e *exporter) unclip(n *wire.Node, k int, c *dag.Cap, at *source.Cap, sides []boundSide) error {
	var by []wire.Node
	x := n.Inputs[0]
	for _, s := range sides {
		if s.Node != k || source.None(s.b) {
			continue
		}
		next := wire.Node{Name: n.Name, OpType: s.operator, Inputs: []string{x}, Outputs: []string{n.Outputs[0]}}
		if s.operator == "Max" && !moves(s.b) {
			next.OpType = "Relu"
		} else {
			name, err := e.bound(n.Outputs[0]+"_"+s.attribute, c, at, s)
			if err != nil {
				return err
			}
			next.Inputs = append(next.Inputs, name)
		}
		by = append(by, next)
		x = n.Outputs[0]
	}
	if len(by) > 1 {
		x = e.FreshName(n.Outputs[0] + "_bounded")
		by[0].Outputs[0], by[1].Inputs[0] = x, x
		if n.Name != "" {
			by[0].Name += "_" + by[0].OpType
		}
	}
	for _, name := range n.Inputs[1:] {
		e.unread[name]++
	}
	return e.ReplaceNode(k, by...)
}

// bound adds a tensor with the bounds of a side, no larger than needed to broadcast.
func (e *exporter) bound(base string, c *dag.Cap, at *source.Cap, s boundSide) (string, error) {
	dims, values := s.Dims, s.b
	if len(s.b) > 1 {
		dims, values = thin(s.b, tensor.Singles(at.Shape), s.Dims)
	}
	p := dag.NewParam64(base, dims, values)
	if c.Type != dag.Float64 {
		p = dag.NewParam32(base, c.Type, dims, make([]float32, len(values))).WithValues(dims, values)
	}
	name := e.FreshName(base)
	return name, e.AddInitializer(name, storedType(p.Type), lists.Convert[int64](dims), payload(p))
}

// thin leaves out the axes of x, of the given shape, along which it does not vary, but
// for what a tensor of shape least spans.
func thin(x []float64, shape, least []int) (dims []int, out []float64) {
	dims = slices.Clone(shape)
	step := 1 // between neighbours along the axis
	for a := len(shape) - 1; a >= 0; a-- {
		same := true
		for e := range x {
			same = same && x[e] == x[e-e/step%shape[a]*step]
		}
		if k := len(least) - len(shape) + a; same {
			dims[a] = 1
			if k >= 0 {
				dims[a] = least[k]
			}
		}
		step *= shape[a]
	}
	for _, j := range tensor.BroadcastIndex(dims, shape) {
		for int(j) >= len(out) {
			out = append(out, 0)
		}
	}
	for e, j := range tensor.BroadcastIndex(dims, shape) {
		out[j] = x[e]
	}
	for len(dims) > len(least) && dims[0] == 1 {
		dims = dims[1:]
	}
	return dims, out
}

// dropUnread takes out constants whose last readers read other tensors now.
func (e *exporter) dropUnread(f *wire.File) error {
	reads := map[string]int{}
	g := &f.Graph
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Inputs {
			reads[name]++
		}
		for k := range g.Nodes[i].Attributes {
			for _, name := range g.Nodes[i].Attributes[k].Captures {
				reads[name]++
			}
		}
	}
	for _, ports := range [][]wire.ValueInfo{g.Inputs, g.Outputs} {
		for i := range ports {
			reads[ports[i].Name]++
		}
	}
	left := func(name string) bool { return name != "" && e.unread[name] > 0 && e.unread[name] == reads[name] }
	for i, n := range slices.Backward(g.Nodes) {
		if (n.OpType != "Constant" && n.OpType != "Identity") || len(n.Outputs) != 1 || !left(n.Outputs[0]) {
			continue
		}
		if err := e.ReplaceNode(i); err != nil {
			return err
		}
		for _, name := range n.Inputs {
			e.unread[name]++
		}
	}
	for i := range g.Initializers {
		if left(g.Initializers[i].Name) {
			if err := e.RemoveInitializer(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// moves reports whether a factor changes one of the bounds.
func moves(b []float64) bool {
	return slices.ContainsFunc(b, func(x float64) bool { return x != 0 && !math.IsInf(x, 0) })
}
