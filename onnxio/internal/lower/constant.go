package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowerConstant is a constant in any of the attributes that can hold it.
func lowerConstant(o *op) error {
	for i := range o.node.Attributes {
		a := &o.node.Attributes[i]
		switch a.Name {
		case "value":
			if a.T == nil {
				return refusal.New("", "its value is no tensor")
			}
			if a.T.DType == wire.String {
				o.give(0, &value{opaque: "it holds strings", node: -1})
				return nil
			}
			s := o.keep(&source.Tensor{Wire: a.T, Initializer: -1, Node: o.index, Attribute: i, Name: o.node.Outputs[0], Hidden: o.call != nil})
			return o.givesTensor(tensor.Of(s))
		case "value_float":
			o.giveTensor(tensor.NewFloats(dag.Float32, nil, []float64{float64(a.F)}))
			return nil
		case "value_floats":
			v := o.floats(a.Name)
			o.giveTensor(tensor.NewFloats(dag.Float32, []int{len(v)}, v))
			return nil
		case "value_int":
			o.giveTensor(tensor.NewInts(nil, []int64{a.I}))
			return nil
		case "value_ints":
			o.giveTensor(tensor.NewInts([]int{len(a.Ints)}, a.Ints))
			return nil
		case "value_string", "value_strings":
			o.give(0, &value{opaque: "it holds strings", node: -1})
			return nil
		case "sparse_value":
			return refusal.New("store it as a dense tensor", "its value is a sparse tensor")
		}
	}
	return refusal.New("", "it has no value")
}

// lowerConstantOfShape repeats a number; by default 0 in float32.
func lowerConstantOfShape(o *op) error {
	t, err := o.constant(0, "the shape")
	if err != nil {
		return err
	}
	v, err := t.Int64s()
	if err != nil {
		return err
	}
	sizes := slices.Clone(v)
	batch := slices.Index(sizes, tensor.BatchDim)
	if batch >= 0 {
		sizes[batch] = 1
	}
	dims, err := tensor.Lengths(tensor.NewInts(t.Dims, sizes), "the shape")
	if err != nil {
		return err
	}
	fill := tensor.NewFloats(dag.Float32, []int{1}, []float64{0})
	if a := o.attr("value"); a != nil && a.T != nil {
		if fill, err = tensor.Of(&source.Tensor{Wire: a.T, Initializer: -1}); err != nil {
			return err
		}
	}
	if !fill.Scalar() {
		return refusal.New("", "its value has %s, want 1", words.Count(fill.Size(), "element"))
	}
	if t.Made {
		// It says what to make of the shape, as the step of a grid, and is no stored tensor.
		if err := fill.Read(); err != nil {
			return err
		}
		fill.Stored = nil
	}
	if batch >= 0 {
		shape := slices.Clone(dims)
		shape[batch] = tensor.BatchDim
		return o.gives(o.spread(fill.Reshaped(nil), shape))
	}
	return o.givesTensor(o.foldExpand(fill.Reshaped(nil), dims))
}

// lowerRange counts from start to limit, which it does not reach.
func lowerRange(o *op) error {
	var t [3]*tensor.Tensor
	var v [3]float64
	for k, what := range []string{"the start", "the limit", "the step"} {
		var err error
		if t[k], err = o.constant(k, what); err != nil {
			return err
		}
		if v[k], err = t[k].Value(); err != nil {
			return err
		}
	}
	if v[2] == 0 {
		return refusal.New("", "its step is 0")
	}
	n := (v[1] - v[0]) / v[2]
	if !(n <= tensor.MaxFolded) {
		return refusal.New("", "it counts to %v in steps of %v", v[1], v[2])
	}
	if err := o.afford(int(max(n, 0)) + 1); err != nil {
		return err
	}
	out := make([]float64, 0, int(max(n, 0))+1)
	for i := 0; float64(i) < n; i++ {
		out = append(out, v[0]+float64(i)*v[2])
	}
	o.giveTensor(tensor.NewTensor(t[0].DataType(), []int{len(out)}, out))
	return nil
}

// lowerNonZero lists the places of a constant's numbers that are not 0.
func lowerNonZero(o *op) error {
	t, err := o.constant(0, "its operand")
	if err != nil {
		return err
	}
	x, err := t.Float64s()
	if err != nil {
		return err
	}
	places := 0
	for _, z := range x {
		if z != 0 {
			places++
		}
	}
	if err := o.afford(len(t.Dims) * places); err != nil {
		return err
	}
	step := tensor.Strides(t.Dims)
	out := make([]int64, 0, len(t.Dims)*places)
	for k, d := range t.Dims {
		for i, z := range x {
			if z != 0 {
				out = append(out, int64(i/step[k]%d))
			}
		}
	}
	o.giveTensor(tensor.NewInts([]int{len(t.Dims), places}, out))
	return nil
}
