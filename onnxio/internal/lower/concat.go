package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

func lowerConcat(o *op) error {
	if len(o.in) == 0 {
		return refusal.New("", "no operands")
	}
	all := true
	for k := range o.in {
		v, err := o.need(k)
		if err != nil {
			return err
		}
		all = all && v.constant()
	}
	def := int64(0)
	if o.opset < 4 {
		def = 1
	}
	a, err := tensor.AxisOf(o.int("axis", def), rank(o.in[0]))
	if err != nil {
		return err
	}
	if all {
		n := 0
		parts := make([]*tensor.Tensor, len(o.in))
		for k, v := range o.in {
			parts[k] = v.con
			n += v.con.Size()
		}
		if err := o.afford(n); err != nil {
			return err
		}
		return o.givesTensor(tensor.FoldConcat(parts, a))
	}
	in := make([]*value, len(o.in))
	var like *value
	for k, v := range o.in {
		if !v.constant() {
			like = v
		}
		in[k] = v
	}
	b := like.batchAxis()
	if a == b {
		return refusal.MixesBatch("it joins samples along the batch axis")
	}
	total := 0
	for k, v := range in {
		if v.constant() {
			if v, err = o.constantLike(v, like.shape, b); err != nil {
				return err
			}
			in[k] = v
		}
		if len(v.shape) != len(like.shape) || a >= len(v.shape) {
			return refusal.New("", "operands of shapes %s and %s", tensor.DimString(like.shape), tensor.DimString(v.shape))
		}
		for d := range like.shape {
			if d != a && v.shape[d] != like.shape[d] {
				return refusal.New("", "operands of shapes %s and %s", tensor.DimString(like.shape), tensor.DimString(v.shape))
			}
		}
		total += v.shape[a]
	}
	shape := slices.Clone(like.shape)
	shape[a] = total
	o.give(0, o.concat(in, a, shape))
	return nil
}

// constantLike makes a constant operand of a concatenation a value with the
// batch axis of the others.
func (o *op) constantLike(v *value, like []int, b int) (*value, error) {
	if len(v.con.Dims) != len(like) {
		return nil, refusal.New("", "an operand of rank %d among rank %d", len(v.con.Dims), len(like))
	}
	t, err := o.oneSample(v.con, b)
	if err != nil {
		return nil, err
	}
	v = &value{con: t}
	dims := slices.Clone(t.Dims)
	if b >= 0 && dims[b] != 1 {
		return nil, refusal.MixesBatch("a constant operand has %s", words.Count(dims[b], "sample"))
	}
	m, err := o.materialize(v)
	if err != nil {
		return nil, err
	}
	if b >= 0 {
		dims[b] = tensor.BatchDim
	}
	return o.relabel(m, dims), nil
}

// concat joins activations along axis a of the full shape.
func (o *op) concat(in []*value, a int, shape []int) *value {
	if len(in) == 1 {
		return in[0]
	}
	axis := tensor.Around(shape, a)
	flat := o.emit(&dag.Concat{}, shape, in...)
	if axis.Outer == 1 {
		return flat
	}
	// flat holds whole operands one behind the other; interleave them.
	index := make([]int32, axis.Len())
	base, at := 0, 0
	for _, v := range in {
		run := v.shape[a] * axis.Inner
		for q := range axis.Outer {
			for e := range run {
				index[q*axis.N*axis.Inner+at+e] = int32(base + q*run + e)
			}
		}
		base += axis.Outer * run
		at += run
	}
	return o.pick(flat, shape, index)
}

func lowerSplit(o *op, v *value) error {
	a, err := tensor.AxisOf(o.int("axis", 0), rank(v))
	if err != nil {
		return err
	}
	sizes, ok, err := o.intsArg("split", 13, 1)
	if err != nil {
		return err
	}
	n := v.dims()[a]
	if n == tensor.BatchDim {
		return refusal.MixesBatch("it splits the batch axis")
	}
	if !ok {
		parts := len(o.node.Outputs)
		chunk := (n + parts - 1) / parts
		for left := n; parts > 0; parts-- {
			sizes = append(sizes, int64(min(chunk, left)))
			left -= min(chunk, left)
		}
	}
	sum := int64(0)
	for _, s := range sizes {
		if s < 0 {
			return refusal.New("", "split sizes %v", sizes)
		}
		sum += s
	}
	if sum != int64(n) || len(sizes) < len(o.node.Outputs) {
		return refusal.New("", "split sizes %v for an axis of %d and %s", sizes, n, words.Count(len(o.node.Outputs), "output"))
	}
	at := 0
	for k := range o.node.Outputs {
		from := at
		part, err := o.take(v, a, int(sizes[k]), func(i int) int { return from + i })
		if err != nil {
			return err
		}
		o.give(k, part)
		at += int(sizes[k])
	}
	return nil
}
