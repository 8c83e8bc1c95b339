package lower

import (
	"slices"

	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// take makes axis a of a value size long: its entry i is entry(i), -1 for zeros
// in a value that is no constant. Nothing is made of a result that is too large. A constant of which
// all entries are taken in their order stays, so that factors are written where it is stored.
func (o *op) take(v *value, a, size int, entry func(i int) int) (*value, error) {
	shape := slices.Clone(v.dims())
	shape[a] = size
	if !tensor.Fits(shape) {
		return nil, refusal.New("", "the result of shape %s has too many elements", tensor.DimString(shape))
	}
	if v.constant() && size == v.dims()[a] && inOrder(size, entry) {
		return v, nil
	}
	x := tensor.Around(v.dims(), a)
	n := x.Outer * size * x.Inner
	afford := o.affordSpent
	if v.constant() {
		afford = o.affordIndexed
	}
	err := afford(n)
	if err == nil && !v.constant() && o.fixed[v.node] {
		err = o.affordIndexed(n)
	}
	if err != nil {
		return nil, err
	}
	index := make([]int32, 0, n)
	for q := range x.Outer {
		for i := range size {
			j := entry(i)
			for e := range x.Inner {
				at := int32(-1)
				if j >= 0 {
					at = int32((q*x.N+j)*x.Inner + e)
				}
				index = append(index, at)
			}
		}
	}
	if !v.constant() {
		return o.pick(v, shape, index), nil
	}
	return valueOf(v.con.Indexed(shape, index))
}

func inOrder(size int, entry func(i int) int) bool {
	for i := range size {
		if entry(i) != i {
			return false
		}
	}
	return true
}

// list makes the entries of take of a list.
func list[T int | int64](l []T) (int, func(i int) int) {
	return len(l), func(i int) int { return int(l[i]) }
}

func lowerSlice(o *op, v *value) error {
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
	if len(starts) != len(ends) || (ok && len(axes) != len(starts)) || (steps != nil && len(steps) != len(starts)) {
		return refusal.New("", "%s, %s, %s, %s", words.Count(len(starts), "start"), words.Count(len(ends), "end"), words.Count(len(axes), "axis"), words.Count(len(steps), "step"))
	}
	for i := range starts {
		a := int64(i)
		if ok {
			a = axes[i]
		}
		k, err := tensor.AxisOf(a, rank(v))
		if err != nil {
			return err
		}
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 {
			return refusal.New("", "step 0")
		}
		n := int64(v.dims()[k])
		if n == tensor.BatchDim {
			if starts[i] == 0 && step == 1 && ends[i] > 1<<30 {
				continue
			}
			return refusal.MixesBatch("it slices the batch axis")
		}
		size, entry := list(sliceList(n, starts[i], ends[i], step))
		if v, err = o.take(v, k, size, entry); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
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
	if n == 0 {
		return nil
	}
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

func lowerGather(o *op, v, index *value) error {
	if !index.constant() {
		return o.gives(o.gatherValues(v, index))
	}
	t := index.con
	ints, err := t.Int64s()
	if err != nil {
		return err
	}
	a, err := tensor.AxisOf(o.int("axis", 0), rank(v))
	if err != nil {
		return err
	}
	from := v.dims()
	if from[a] == tensor.BatchDim {
		return refusal.MixesBatch("it picks samples of the batch")
	}
	for _, x := range ints {
		if _, err := tensor.AxisOf(x, from[a]); err != nil {
			return refusal.New("", "index %d is outside %s", x, words.Count(from[a], "entry"))
		}
	}
	shape := slices.Concat(from[:a], t.Dims, from[a+1:])
	out, err := o.take(v, a, len(ints), func(i int) int {
		if ints[i] < 0 {
			return int(ints[i]) + from[a]
		}
		return int(ints[i])
	})
	if err != nil {
		return err
	}
	return o.giveShape(out, shape)
}

func lowerExpand(o *op, v *value) error {
	target, err := o.intsAt(1, "the shape")
	if err != nil {
		return err
	}
	dims := make([]int, len(target))
	for i, d := range target {
		if tensor.BatchFactor(d) > 1 {
			return refusal.MixesBatch("its shape has a multiple of the batch size")
		}
		if d != tensor.BatchDim && (d < 0 || d > tensor.MaxElements) {
			return refusal.New("", "shape %v", target)
		}
		dims[i] = int(d)
	}
	from := v.dims()
	shape, err := tensor.BroadcastDims(from, dims)
	if err != nil {
		return refusal.MixesBatch("%v", err)
	}
	if !v.constant() {
		o.give(0, o.expand(v, shape))
		return nil
	}
	if slices.Contains(shape, tensor.BatchDim) {
		return o.gives(o.spread(v.con, shape))
	}
	if !tensor.Fits(shape) {
		return refusal.New("", "the result of shape %s has too many elements", tensor.DimString(shape))
	}
	return o.givesTensor(o.foldExpand(v.con, shape))
}
