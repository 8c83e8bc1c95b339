package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

func lowerIdentity(o *op) error {
	return o.gives(o.need(0))
}

// lowerCast gives its operand the type that the attribute to says.
func lowerCast(o *op, v *value) error {
	to := wire.DataType(o.int("to", 1))
	if name := o.str("to", ""); name != "" { // opsets before 6 name the type
		if to = typeNamed[name]; to == wire.Undefined {
			return refusal.New("", "it casts to %q", name)
		}
	}
	return o.cast(v, to)
}

var typeNamed = map[string]wire.DataType{
	"FLOAT": wire.Float32, "DOUBLE": wire.Float64, "FLOAT16": wire.Float16, "INT8": wire.Int8,
	"INT16": wire.Int16, "INT32": wire.Int32, "INT64": wire.Int64, "UINT8": wire.Uint8,
	"UINT16": wire.Uint16, "UINT32": wire.Uint32, "UINT64": wire.Uint64, "BOOL": wire.Bool, "STRING": wire.String,
}

// lowerCastLike gives its operand the type of the second one.
func lowerCastLike(o *op, v, like *value) error {
	return o.cast(v, like.dataType())
}

// plainType reports whether numbers of the type can be computed with here.
func plainType(t wire.DataType) bool {
	switch t {
	case wire.Bool, wire.Int4, wire.Uint4, wire.Int8, wire.Int16, wire.Int32, wire.Int64, wire.Uint8, wire.Uint16, wire.Uint32, wire.Uint64:
		return true
	}
	return t != wire.Undefined && tensor.IsFloat(t)
}

// cast changes the type of a value. A network computes in real numbers, so a
// cast between floating types is the identity, and rounds constants only; a
// cast to integers truncates and is not homogeneous.
func (o *op) cast(v *value, to wire.DataType) error {
	from := v.dataType()
	switch {
	case to == wire.String:
		o.give(0, &value{opaque: "it holds strings", node: -1})
		return nil
	case !plainType(to):
		return refusal.New("", "it casts to %v", to)
	case !plainType(from):
		return refusal.New("", "it casts from %v", from)
	case v.constant():
		return o.castConstant(v.con, to)
	case tensor.IsFloat(to) || from == to || from == wire.Bool:
		w := *v
		w.elem = to
		o.give(0, &w)
		return nil
	}
	return o.gives(o.apply("a cast to integers is not homogeneous", to, func(x []float64) float64 { return x[0] }, v))
}

func (o *op) castConstant(t *tensor.Tensor, to wire.DataType) error {
	if t.DataType() == to {
		o.giveTensor(t)
		return nil
	}
	if err := o.afford(2 * t.Size()); err != nil { // some types pass through another
		return err
	}
	if t.Kind != tensor.Floating && !tensor.IsFloat(to) {
		// Sizes of the batch stay what they are.
		v, err := t.Int64s()
		if err != nil {
			return err
		}
		v = slices.Clone(v)
		for i, x := range v {
			if tensor.BatchFactor(x) == 0 {
				v[i] = tensor.Wrap(to, x)
			} else if to == wire.Bool {
				v[i] = 1
			}
		}
		o.giveTensor(tensor.NewIntegers(to, t.Dims, v))
		return nil
	}
	f, err := t.Float64s()
	if err != nil {
		return err
	}
	if t.Kind == tensor.Floating { // else they are a copy
		f = slices.Clone(f)
	}
	o.giveTensor(tensor.NewTensor(to, t.Dims, f))
	return nil
}

func lowerDropout(o *op, v *value) error {
	if err := o.droppedOut(); err != nil {
		return err
	}
	o.give(0, v)
	if len(o.node.Outputs) < 2 || o.reads[o.node.Outputs[1]] == 0 {
		return nil
	}
	typ := v.dataType()
	if o.opset >= 10 {
		typ = wire.Bool
	}
	mask, err := o.apply("a mask of what is kept", typ, func([]float64) float64 { return 1 }, v)
	if err != nil {
		return err
	}
	o.give(1, mask)
	return nil
}

// droppedOut refuses a Dropout that drops.
func (o *op) droppedOut() error {
	const remedy = "export the model in evaluation mode"
	if o.opset < 7 {
		if o.int("is_test", 0) == 0 && o.float("ratio", 0.5) != 0 {
			return refusal.New(remedy, "it drops units at random (is_test=0)")
		}
		return nil
	}
	if o.opset < 12 {
		return nil
	}
	// Runtimes check the ratio in evaluation mode too: its tensor keeps its value.
	if ratio := o.arg(1); ratio != nil && ratio.constant() {
		if err := ratio.con.Read(); err != nil {
			return err
		}
	}
	if o.arg(2) == nil {
		return nil
	}
	on, err := o.numberAt(2, "training_mode", 0)
	if err != nil || on == 0 {
		return err
	}
	ratio, err := o.numberAt(1, "the ratio", 0.5)
	if err == nil && ratio != 0 {
		err = refusal.New(remedy, "it drops units at random (training_mode is true)")
	}
	return err
}

// lowerEyeLike is the identity matrix in the shape of its operand.
func lowerEyeLike(o *op, v *value) error {
	dims := v.dims()
	if len(dims) != 2 {
		return refusal.New("", "an operand of rank %d, want 2", len(dims))
	}
	if slices.Contains(dims, tensor.BatchDim) {
		return refusal.MixesBatch("it makes a matrix of the size of the batch")
	}
	typ := v.dataType()
	if a := o.attr("dtype"); a != nil {
		typ = wire.DataType(a.I)
	}
	if !plainType(typ) || dag.Size(dims) > tensor.MaxFolded {
		return refusal.New("", "a matrix of %v of type %v", dims, typ)
	}
	if err := o.afford(dag.Size(dims)); err != nil {
		return err
	}
	out := make([]float64, dag.Size(dims))
	k := int(max(-tensor.MaxElements, min(o.int("k", 0), tensor.MaxElements)))
	for i := range dims[0] {
		if j := i + k; j >= 0 && j < dims[1] {
			out[i*dims[1]+j] = 1
		}
	}
	o.giveTensor(tensor.NewTensor(typ, dims, out))
	return nil
}
