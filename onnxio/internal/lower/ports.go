package lower

import (
	"errors"
	"fmt"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// graphInputs makes input nodes of the inputs that are no initializers.
func (l *lowering) graphInputs() {
	l.current = nil
	for i := range l.graph.Inputs {
		in := &l.graph.Inputs[i]
		if l.values[in.Name] != nil {
			continue
		}
		shape, err := l.inputShape(in)
		if err != nil {
			if errors.Is(err, errOpen) {
				l.unknown = append(l.unknown, unknownShape{in, len(l.obstacles)})
			}
			l.obstacle(Obstacle{Node: in.Name, Op: "graph input", Reason: err.Error()})
			continue
		}
		if !l.batchless && !l.takeBatch(in, shape) {
			return
		}
		v := l.emit(dag.Input{}, shape)
		l.nodes[v.node].Name, l.nodes[v.node].Source = in.Name, "Input"
		v.exclusive = l.reads[in.Name] == 1
		v.elem = in.ElemType
		l.values[in.Name] = v
		l.inputs = append(l.inputs, dag.Port{Name: in.Name, Node: v.node})
	}
}

// takeBatch makes axis 0 of an input the batch axis; false sets l.batch.
func (l *lowering) takeBatch(in *wire.ValueInfo, shape []int) bool {
	switch {
	case len(shape) == 0, len(shape) == 1 && shape[0] != tensor.BatchDim:
		l.batch = &refusal.Batch{Reason: fmt.Sprintf("input %q has no batch axis", in.Name)}
		return false
	case shape[0] == tensor.BatchDim:
		return true
	case l.declared != 0 && l.declared != shape[0]:
		l.batch = &refusal.Batch{Reason: fmt.Sprintf("the first axes of the inputs are %d and %d", l.declared, shape[0])}
		return false
	}
	l.declared = shape[0]
	shape[0] = tensor.BatchDim
	return true
}

// errOpen says that an extent is given by nobody.
var errOpen = errors.New("left open")

// inputShape returns the full shape of a graph input, an open axis 0 as
// BatchDim.
func (l *lowering) inputShape(in *wire.ValueInfo) ([]int, error) {
	given, ok := l.opt.InputShape[in.Name]
	if !in.Tensor {
		return nil, fmt.Errorf("it is not a tensor")
	}
	if !in.HasShape && !ok {
		return nil, fmt.Errorf("its shape is %w", errOpen)
	}
	if ok && in.HasShape && len(given) != len(in.Dims) {
		return nil, fmt.Errorf("shape %v was given for an input of rank %d", given, len(in.Dims))
	}
	if ok && !in.HasShape {
		shape := slices.Clone(given)
		return shape, nil
	}
	shape := make([]int, len(in.Dims))
	for k, d := range in.Dims {
		switch {
		case d.Known && d.Value > 0 && ok && given[k] != int(d.Value):
			return nil, fmt.Errorf("axis %d is %d in the file, %d was given", k, d.Value, given[k])
		case d.Known && d.Value > 0:
			shape[k] = int(d.Value)
		case ok && given[k] > 0:
			shape[k] = given[k]
		case k == 0 && !l.batchless:
			shape[k] = tensor.BatchDim
		case k == 0:
			// An obstacle; others are looked for with 1.
			shape[k] = 1
			l.open = append(l.open, in)
		default:
			return nil, fmt.Errorf("axis %d is %w", k, errOpen)
		}
	}
	if !tensor.Fits(shape) {
		return nil, fmt.Errorf("shape %s has too many elements", tensor.DimString(shape))
	}
	return shape, nil
}

// maxSpent bounds what lowering computes in all: a gigabyte or so.
const maxSpent = 1 << 27

func (l *lowering) graphOutputs() {
	l.current = nil
	for _, out := range l.graph.Outputs {
		v := l.values[out.Name]
		switch {
		case v == nil:
			l.obstacle(Obstacle{Node: out.Name, Op: "graph output", Reason: "no operator computes it"})
		case v.opaque != "":
			l.warnings = append(l.warnings, fmt.Sprintf("output %q is not evaluated: %s", out.Name, v.opaque))
		case v.constant():
			m, err := l.materialize(v)
			if err != nil {
				l.obstacle(Obstacle{Node: out.Name, Op: "graph output", Reason: err.Error()})
				continue
			}
			l.outputs = append(l.outputs, dag.Port{Name: out.Name, Node: m.node})
			l.alone(out.Name)
		case (v.batchAxis() > 0 || v.merged.count > 0) && !l.batchless:
			// A network's values have the batch first.
			if l.cuts && v.merged.count == 0 {
				l.warnings = append(l.warnings, fmt.Sprintf("output %q is not evaluated: it has the batch at axis %d", out.Name, v.batchAxis()))
				continue
			}
			l.batch = &refusal.Batch{Reason: fmt.Sprintf("output %q has the batch at axis %d", out.Name, v.batchAxis())}
			return
		default:
			l.outputs = append(l.outputs, dag.Port{Name: out.Name, Node: v.node})
			if v.batchAxis() < 0 {
				l.alone(out.Name)
			}
		}
	}
}

// alone notes an output that has one value for all samples.
func (l *lowering) alone(output string) {
	if !l.batchless {
		l.unbatched = append(l.unbatched, output)
	}
}
