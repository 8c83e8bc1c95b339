package onnxio

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// along takes entries of axis a: entry list[i] becomes entry i; -1 is zero.
func (o *op) along(v *value, a int, list []int) *value {
	x := around(v.shape, a)
	shape := slices.Clone(v.shape)
	shape[a] = len(list)
	index := make([]int32, 0, x.Outer*len(list)*x.Inner)
	for q := range x.Outer {
		for _, j := range list {
			for e := range x.Inner {
				at := int32(-1)
				if j >= 0 {
					at = int32((q*x.N+j)*x.Inner + e)
				}
				index = append(index, at)
			}
		}
	}
	return o.pick(v, shape, index)
}

func lowerSlice(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	starts, _, err := o.intsArg("starts", 10, 1)
	if err != nil {
		return err
	}
	ends, _, err := o.intsArg("ends", 10, 2)
	if err != nil {
		return err
	}
	axes, ok, err := o.intsArg("axes", 10, 3)
	if err != nil {
		return err
	}
	var steps []int64
	if o.opset >= 10 {
		if steps, _, err = o.intsArg("steps", 10, 4); err != nil {
			return err
		}
	}
	if len(starts) != len(ends) || (ok && len(axes) != len(starts)) {
		return refuse("", "%d starts, %d ends, %d axes", len(starts), len(ends), len(axes))
	}
	for i := range starts {
		a := int64(i)
		if ok {
			a = axes[i]
		}
		k, err := axisOf(a, rank(v))
		if err != nil {
			return err
		}
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 {
			return refuse("", "step 0")
		}
		n := int64(0)
		if v.constant() {
			n = int64(v.con.dims[k])
		} else {
			n = int64(v.shape[k])
		}
		if n == batchDim {
			if starts[i] == 0 && step == 1 && ends[i] > 1<<30 {
				continue
			}
			return mixesBatch("it slices the batch axis")
		}
		if v.constant() {
			if v, err = takeConstant(v, k, sliceList(n, starts[i], ends[i], step)); err != nil {
				return err
			}
		} else {
			v = o.along(v, k, sliceList(n, starts[i], ends[i], step))
		}
	}
	o.give(0, v)
	return nil
}

func takeConstant(v *value, a int, list []int) (*value, error) {
	t, err := foldTake(v.con, a, list)
	if err != nil {
		return nil, err
	}
	return &value{con: t}, nil
}

// sliceList lists the entries that start:end:step takes of n.
func sliceList(n, start, end, step int64) []int {
	clamp := func(x, lo, hi int64) int64 {
		if x < 0 {
			x += n
		}
		return max(lo, min(x, hi))
	}
	var out []int
	if step > 0 {
		for i := clamp(start, 0, n); i < clamp(end, 0, n); i += step {
			out = append(out, int(i))
			if step > n {
				break
			}
		}
		return out
	}
	for i := clamp(start, 0, n-1); i > clamp(end, -1, n-1); i += step {
		out = append(out, int(i))
		if -step > n {
			break
		}
	}
	return out
}

func lowerGather(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	t, err := o.constant(1, "the list of indices")
	if err != nil {
		return err
	}
	ints, err := t.int64s()
	if err != nil {
		return err
	}
	a, err := axisOf(o.int("axis", 0), rank(v))
	if err != nil {
		return err
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	if from[a] == batchDim {
		return mixesBatch("it picks samples of the batch")
	}
	list := make([]int, len(ints))
	for i, x := range ints {
		k, err := axisOf(x, from[a])
		if err != nil {
			return refuse("", "index %d is outside %d entries", x, from[a])
		}
		list[i] = k
	}
	shape := slices.Concat(from[:a], t.dims, from[a+1:])
	if v.constant() {
		part, err := foldTake(v.con, a, list)
		if err != nil {
			return err
		}
		o.giveTensor(0, part.reshaped(shape))
		return nil
	}
	o.give(0, o.relabel(o.along(v, a, list), shape))
	return nil
}

func lowerExpand(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	t, err := o.constant(1, "the shape")
	if err != nil {
		return err
	}
	target, err := t.int64s()
	if err != nil {
		return err
	}
	dims := make([]int, len(target))
	for i, d := range target {
		if d != batchDim && (d < 0 || d > maxElements) {
			return refuse("", "shape %v", target)
		}
		dims[i] = int(d)
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	shape, err := broadcastDims(from, dims)
	if err != nil {
		return mixesBatch("%v", err)
	}
	if dag.Size(sampleShape(shape)) > maxElements {
		return refuse("", "shape %v is too large", target)
	}
	if !v.constant() {
		o.give(0, o.expand(v, shape))
		return nil
	}
	if slices.Contains(shape, batchDim) {
		return mixesBatch("it repeats a constant over the batch")
	}
	out, err := foldExpand(v.con, shape)
	if err != nil {
		return err
	}
	o.giveTensor(0, out)
	return nil
}
