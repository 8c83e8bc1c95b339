package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// value is what one name of the graph stands for while it is lowered: a
// constant, or the value of a node.
type value struct {
	con *tensor.Tensor
	// node is the index in lowering.nodes.
	node int
	// shape is the full ONNX shape; BatchDim marks the batch axis, if any. The
	// node's own shape is the same without it.
	shape []int
	// elem is the type of an activation's numbers.
	elem wire.DataType
	// merged says which axes, the batch among them, are one for the graph.
	merged merge
	// exclusive says that one operator reads the value and nothing else does.
	exclusive bool
	// same is the constant that the value repeats over the batch.
	same *tensor.Tensor
	// opaque says why nothing can be computed from it (strings, a function that is not
	// evaluated, whose node it then has).
	opaque string
	// mixed says that an opaque value is of several samples.
	mixed bool
	// inside says that it is a layer inside an operator.
	inside bool
}

func (v *value) constant() bool { return v.con != nil }

// dims returns the value's dimensions, BatchDim among them.
func (v *value) dims() []int {
	if v.constant() {
		return v.con.Dims
	}
	return v.shape
}

// DataType returns the type of the value's numbers.
func (v *value) dataType() wire.DataType {
	if v.constant() {
		return v.con.DataType()
	}
	return v.elem
}

// batchAxis returns the position of the batch axis, -1 without one.
func (v *value) batchAxis() int { return slices.Index(v.shape, tensor.BatchDim) }

// sampleDims aligns a constant's dims with a full shape and takes out the
// batch axis.
func sampleDims(t *tensor.Tensor, shape []int) ([]int, error) {
	dims := make([]int, 0, len(shape))
	for i, d := range shape {
		k := len(t.Dims) - len(shape) + i
		e := 1
		if k >= 0 {
			e = t.Dims[k]
		}
		if d == tensor.BatchDim {
			if e != 1 {
				return nil, refusal.MixesBatch("a constant of shape %v has one value for each sample of a batch", t.Dims)
			}
			continue
		}
		dims = append(dims, e)
	}
	return dims, nil
}

// expand broadcasts an activation to a larger shape.
func (l *lowering) expand(v *value, shape []int) *value {
	if slices.Equal(v.shape, shape) {
		return v
	}
	from := make([]int, 0, len(shape))
	for i, d := range shape {
		if d == tensor.BatchDim {
			continue
		}
		e := 1
		if k := len(v.shape) - len(shape) + i; k >= 0 {
			e = v.shape[k]
		}
		from = append(from, e)
	}
	to := tensor.SampleShape(shape)
	sel := &dag.Select{}
	if dag.Size(from) != dag.Size(to) {
		sel.Index = tensor.BroadcastIndex(from, to)
	}
	return l.emit(sel, shape, v)
}

// spread makes a constant the value of a node with a batch axis: every sample
// has the same numbers.
func (l *lowering) spread(t *tensor.Tensor, shape []int) (*value, error) {
	if t.Kind != tensor.Floating {
		return nil, refusal.MixesBatch("it repeats integers over the batch")
	}
	dims := slices.Clone(shape)
	dims[slices.Index(shape, tensor.BatchDim)] = 1
	if !slices.Equal(t.Dims, dims) {
		var err error
		if t, err = l.foldExpand(t, dims); err != nil {
			return nil, err
		}
	}
	m, err := l.materialize(&value{con: t})
	if err != nil {
		return nil, err
	}
	out := l.emit(&dag.Select{}, shape, m)
	out.same = t
	return out, nil
}

// besides returns what stands for v beside another operand of an operator that
// broadcasts: for a constant that is repeated over the batch, the constant.
func (v *value) besides(other *value) *value {
	if v.same == nil || other.constant() || other.batchAxis() < 0 ||
		len(v.shape)-v.batchAxis() != len(other.shape)-other.batchAxis() {
		return v
	}
	return &value{con: v.same}
}

// materialize makes a constant the value of a node, for operators that take it
// beside activations. Its shape has no batch axis.
func (l *lowering) materialize(v *value) (*value, error) {
	if !v.constant() {
		return v, nil
	}
	n, elem := v.con.Size(), v.con.DataType()
	if v.con.Kind != tensor.Floating {
		f, err := v.con.Float64s()
		if err != nil {
			return nil, err
		}
		v = &value{con: tensor.NewFloats(dag.Float64, v.con.Dims, f)}
	}
	vec, err := l.vectorOf(v.con, nil, n)
	if err != nil {
		return nil, err
	}
	vec.Full = v.con.Dims
	out := l.emit(&dag.Linear{Units: n, Stages: []dag.Stage{{Add: vec}}}, v.con.Dims)
	out.elem = elem
	return out, nil
}

// broadcasting are the operators whose operands stand beside each other sample
// by sample.
var broadcasting = map[string]bool{
	"Add": true, "Div": true, "Max": true, "Mean": true, "Min": true, "Mul": true, "Sub": true, "Sum": true, "Where": true,
}

// perSample makes one sample of constant operands that stand beside an activation
// and hold the same numbers for each sample of the batch, of the size that the
// file fixes or that is read at run time: exporters write them where a model makes
// a constant of the shape of an activation.
func (o *op) perSample() error {
	var act *value
	for _, v := range o.in {
		if v != nil && !v.constant() && v.same == nil && v.batchAxis() >= 0 {
			act = v
		}
	}
	if act == nil {
		return nil
	}
	for k, v := range o.in {
		if v == nil {
			continue
		}
		v = v.besides(act)
		if v.constant() {
			t, err := o.oneSample(v.con, len(v.con.Dims)-len(act.shape)+act.batchAxis())
			if err != nil {
				return err
			}
			if t != v.con {
				v = &value{con: t}
			}
		}
		o.in[k] = v
	}
	return nil
}

// oneSample returns the constant with extent 1 along axis a, where that has the
// extent of the batch that the file fixes and all samples are the same; else the
// constant itself.
func (l *lowering) oneSample(t *tensor.Tensor, a int) (*tensor.Tensor, error) {
	if l.batchless || l.declared < 2 || a < 0 || t.Dims[a] != l.declared || t.Size() == 0 {
		return t, nil
	}
	x, err := t.Float64s()
	if err != nil {
		return nil, err
	}
	dims := slices.Clone(t.Dims)
	dims[a] = 1
	run := dag.Size(t.Dims[a+1:])
	l.spent += len(x)
	first := make([]int32, 0, dag.Size(dims)) // the elements of the first sample
	for from := 0; from < len(x); from += l.declared * run {
		for i := range l.declared * run {
			if x[from+i] != x[from+i%run] {
				return t, nil
			}
			if i < run {
				first = append(first, int32(from+i))
			}
		}
	}
	return t.Indexed(dims, first)
}
