//go:build !js

package topology

import (
	"fmt"

	"github.com/owulveryck/onnx-go"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// feed has onnx-go decode the skeleton of the file and compares the operations
// that it applies with the index of the file.
func feed(f *wire.File) error {
	var got multigraph
	if err := decode(&got, wire.Skeleton(f)); err != nil {
		return err
	}
	return compareAll(&got, f)
}

// compareAll compares the operations with the nodes of the file, in order.
func compareAll(got *multigraph, f *wire.File) error {
	if len(got.calls) != len(f.Graph.Nodes) {
		return fmt.Errorf("topology: onnx-go found %d nodes, the file has %d", len(got.calls), len(f.Graph.Nodes))
	}
	// A value must be one node of onnx-go's graph throughout.
	vertices := map[string]int64{}
	for k := range got.calls {
		n := &f.Graph.Nodes[k]
		if err := got.calls[k].compare(n, vertices); err != nil {
			return nodeError(n, k, "onnx-go and the file disagree: %v", err)
		}
	}
	return nil
}

// decode runs onnx-go; a panic in it is an error.
func decode(dst *multigraph, skeleton []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("topology: onnx-go failed on the graph: %v", r)
		}
	}()
	if err := onnx.NewModel(dst).UnmarshalBinary(skeleton); err != nil {
		return fmt.Errorf("topology: onnx-go: %w", err)
	}
	return nil
}

// compare checks one operation: its name, its outputs, and an edge of the right
// weight from each output to each input.
func (c *call) compare(n *wire.Node, vertices map[string]int64) error {
	inputs := n.Inputs
	if len(inputs) == 0 {
		// The skeleton gives such a node one absent input.
		inputs = []string{""}
	}
	if c.op != n.OpType {
		return fmt.Errorf("operator %q, want %q", c.op, n.OpType)
	}
	if len(c.outputs) != len(n.Outputs) {
		return fmt.Errorf("%d outputs, want %d", len(c.outputs), len(n.Outputs))
	}
	if want := len(inputs) * len(n.Outputs); len(c.edges) != want {
		return fmt.Errorf("%d edges, want %d", len(c.edges), want)
	}
	same := func(v any, name string) error {
		x, ok := v.(*vertex)
		if !ok || x.name != name {
			return fmt.Errorf("value %v, want %q", v, name)
		}
		if id, ok := vertices[name]; ok && id != x.id {
			return fmt.Errorf("two values are named %q", name)
		}
		vertices[name] = x.id
		return nil
	}
	for j, out := range n.Outputs {
		if err := same(c.outputs[j], out); err != nil {
			return fmt.Errorf("output %d: %w", j, err)
		}
		for i, in := range inputs {
			e := c.edges[j*len(inputs)+i]
			if e.Weight() != float64(i) {
				return fmt.Errorf("input %d has position %v", i, e.Weight())
			}
			if err := same(e.From(), out); err != nil {
				return fmt.Errorf("input %d: %w", i, err)
			}
			if err := same(e.To(), in); err != nil {
				return fmt.Errorf("input %d: %w", i, err)
			}
		}
	}
	return nil
}
