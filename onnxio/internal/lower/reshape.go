package lower

import (
	"errors"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// relabel gives an activation another full shape with the same elements in the
// same order.
func (o *op) relabel(v *value, shape []int) *value {
	if slices.Equal(v.shape, shape) {
		return v
	}
	return o.emit(&dag.Select{}, shape, v)
}

// pick takes element index[i] of v as element i of the sample; an index that
// changes nothing costs nothing.
func (o *op) pick(v *value, shape []int, index []int32) *value {
	if len(index) == dag.Size(tensor.SampleShape(v.shape)) {
		same := true
		for i, j := range index {
			if int(j) != i {
				same = false
				break
			}
		}
		if same {
			return o.relabel(v, shape)
		}
	}
	return o.emit(&dag.Select{Index: index}, shape, v)
}

func (o *op) transpose(v *value, perm []int) *value {
	shape := make([]int, len(perm))
	var sample []int
	for i, p := range perm {
		shape[i] = v.shape[p]
		if v.shape[p] != tensor.BatchDim {
			sample = append(sample, tensor.SampleAxis(v.shape, p))
		}
	}
	return o.pick(v, shape, tensor.Permutation(tensor.SampleShape(v.shape), sample))
}

func lowerTranspose(o *op, v *value) error {
	r := rank(v)
	perm := make([]int, r)
	for i := range perm {
		perm[i] = r - 1 - i
	}
	if p := o.ints("perm"); p != nil {
		if len(p) != r {
			return refusal.New("", "perm has %s for rank %d", words.Count(len(p), "entry"), r)
		}
		seen := make([]bool, r)
		for i, x := range p {
			k, err := tensor.AxisOf(x, r)
			if err != nil {
				return err
			}
			if seen[k] {
				return refusal.New("", "perm %v repeats an axis", p)
			}
			seen[k] = true
			perm[i] = k
		}
	}
	if v.constant() {
		return o.givesTensor(o.transposed(v.con, perm))
	}
	o.give(0, o.transpose(v, perm))
	return nil
}

func lowerFlatten(o *op, v *value) error {
	r := rank(v)
	a := o.int("axis", 1)
	if a < 0 {
		a += int64(r)
	}
	if a < 0 || a > int64(r) {
		return refusal.New("", "axis %d is outside rank %d", o.int("axis", 1), r)
	}
	if v.constant() {
		o.giveTensor(v.con.Reshaped([]int{dag.Size(v.con.Dims[:a]), dag.Size(v.con.Dims[a:])}))
		return nil
	}
	size := []int{dag.Size(tensor.SampleShape(v.shape[:a])), dag.Size(tensor.SampleShape(v.shape[a:]))}
	target := []int64{int64(size[0]), int64(size[1])}
	if b := v.batchAxis(); b >= 0 {
		k := 0
		if b >= int(a) {
			k = 1
		}
		if size[k] < 1 || size[k] >= tensor.MaxBatches {
			return refusal.MixesBatch("it flattens the batch axis with others")
		}
		target[k] = tensor.Batches(size[k])
	}
	return o.reshapeTo(v, target, true)
}

func lowerReshape(o *op, v *value) error {
	target, ok, err := o.intsArg("shape", 5, 1)
	if err != nil {
		return err
	}
	if !ok {
		return refusal.New("", "the target shape is missing")
	}
	return o.reshapeTo(v, target, o.opset >= 14 && o.int("allowzero", 0) != 0)
}

func (o *op) reshapeTo(v *value, target []int64, allowZero bool) error {
	if v.constant() {
		dims, err := resolveShape(target, v.con.Dims, v.con.Size(), allowZero)
		if err != nil {
			return err
		}
		o.giveTensor(v.con.Reshaped(dims))
		return nil
	}
	var shape []int
	var m merge
	err := error(refusal.MixesBatch(""))
	if v.merged.count == 0 {
		shape, err = o.reshapeValue(v.shape, target, allowZero)
	}
	if mixed := new(refusal.Batch); errors.As(err, &mixed) {
		shape, m, err = o.mergedReshape(v, target, allowZero)
	}
	if err != nil {
		return err
	}
	out := *o.relabel(v, shape)
	out.merged = m
	o.give(0, &out)
	return nil
}

// resolveShape replaces 0 and -1 in a target shape.
func resolveShape(target []int64, from []int, size int, allowZero bool) ([]int, error) {
	out := make([]int, len(target))
	free, n := -1, 1
	for i, d := range target {
		switch {
		case d == tensor.BatchDim:
			return nil, refusal.MixesBatch("a constant takes a shape that depends on the batch size")
		case d == -1:
			if free >= 0 {
				return nil, refusal.New("", "target shape %v has two -1", target)
			}
			free = i
			continue
		case d == 0 && !allowZero:
			if i >= len(from) {
				return nil, refusal.New("", "target shape %v copies an axis beyond rank %d", target, len(from))
			}
			out[i] = from[i]
		case d < 0 || d > tensor.MaxElements:
			return nil, refusal.New("", "target shape %v", target)
		default:
			out[i] = int(d)
		}
		n *= out[i]
		if n > tensor.MaxElements {
			return nil, refusal.New("", "target shape %v is too large", target)
		}
	}
	if free >= 0 {
		if n == 0 || size%n != 0 {
			return nil, refusal.New("", "%s do not fit shape %v", words.Count(size, "element"), target)
		}
		out[free] = size / n
		n *= out[free]
	}
	if n != size {
		return nil, refusal.New("", "%s do not fit shape %v", words.Count(size, "element"), target)
	}
	return out, nil
}

// reshapeValue finds the full shape that a target gives an activation. The
// batch axis must come out as an axis of its own with the same elements before
// and behind it.
func (o *op) reshapeValue(from []int, target []int64, allowZero bool) ([]int, error) {
	size := dag.Size(tensor.SampleShape(from))
	b := slices.Index(from, tensor.BatchDim)
	if b < 0 {
		return resolveShape(target, from, size, allowZero)
	}
	before := dag.Size(from[:b])
	for at, d := range target {
		isBatch := d == tensor.BatchDim || d == -1 || (d == 0 && !allowZero && at == b) ||
			(o.declared > 0 && d == int64(o.declared)) || (o.declared == 0 && d == 1)
		if !isBatch || (d != tensor.BatchDim && slices.Contains(target, int64(tensor.BatchDim))) {
			continue
		}
		rest := slices.Delete(slices.Clone(target), at, at+1)
		// 0 copies the axis at the same place, which must be no batch axis.
		bad := false
		for i, e := range target {
			if e == 0 && !allowZero && i != at {
				if i >= len(from) || i == b {
					bad = true
					break
				}
				k := i
				if i > at {
					k--
				}
				rest[k] = int64(from[i])
			}
		}
		if bad {
			continue
		}
		dims, err := resolveShape(rest, nil, size, true)
		if err != nil || dag.Size(dims[:at]) != before {
			continue
		}
		return slices.Insert(dims, at, tensor.BatchDim), nil
	}
	return nil, refusal.MixesBatch("shape %s does not keep the batch axis of %s", targetString(target), tensor.DimString(from))
}

func targetString(t []int64) string { return tensor.DimString(lists.Convert[int](t)) }

func lowerSqueeze(o *op, v *value) error {
	axes, ok, err := o.intsArg("axes", 13, 1)
	if err != nil {
		return err
	}
	from := v.dims()
	if !ok && o.declared == 1 && slices.Contains(from, tensor.BatchDim) {
		return refusal.MixesBatch("it removes every axis of extent 1, a batch of 1 too")
	}
	drop := make([]bool, len(from))
	for _, a := range axes {
		k, err := tensor.AxisOf(a, len(from))
		if err != nil {
			return err
		}
		if from[k] == tensor.BatchDim {
			return refusal.MixesBatch("it removes the batch axis")
		}
		if from[k] != 1 {
			return refusal.New("", "axis %d has extent %d, want 1", a, from[k])
		}
		drop[k] = true
	}
	var shape []int
	for k, d := range from {
		if !drop[k] && (ok || d != 1) {
			shape = append(shape, d)
		}
	}
	return o.giveShape(v, shape)
}

// giveShape outputs v under another shape.
func (o *op) giveShape(v *value, shape []int) error {
	o.give(0, o.reshapedValue(v, shape))
	return nil
}

func lowerUnsqueeze(o *op, v *value) error {
	axes, ok, err := o.intsArg("axes", 13, 1)
	if err != nil {
		return err
	}
	if !ok {
		return refusal.New("", "the axes are missing")
	}
	from := v.dims()
	r := len(from) + len(axes)
	added := make([]bool, r)
	for _, a := range axes {
		k, err := tensor.AxisOf(a, r)
		if err != nil {
			return err
		}
		if added[k] {
			return refusal.New("", "axes %v repeat one", axes)
		}
		added[k] = true
	}
	shape := make([]int, 0, r)
	for k := range r {
		if added[k] {
			shape = append(shape, 1)
		} else {
			shape = append(shape, from[0])
			from = from[1:]
		}
	}
	return o.giveShape(v, shape)
}

func lowerShape(o *op, v *value) error {
	from := v.dims()
	list := sliceList(int64(len(from)), o.int("start", 0), o.int("end", int64(len(from))), 1)
	o.giveTensor(tensor.NewInts([]int{len(list)}, lists.Map(list, func(k int) int64 { return int64(from[k]) })))
	return nil
}

func lowerSize(o *op, v *value) error {
	from := v.dims()
	if slices.Contains(from, tensor.BatchDim) {
		return refusal.MixesBatch("it counts the elements of a batch")
	}
	o.giveTensor(tensor.NewInts(nil, []int64{int64(dag.Size(from))}))
	return nil
}
