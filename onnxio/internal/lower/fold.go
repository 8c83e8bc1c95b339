package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// lowerCol2Im puts blocks of columns back into an image, and adds where they overlap: the
// operand is (N, C*block, blocks). Each element of the image is a sum of picked elements.
func lowerCol2Im(o *op, v *value) error {
	image, err := o.lengthsAt(1, "the shape of the image")
	if err != nil {
		return err
	}
	block, err := o.lengthsAt(2, "the shape of a block")
	if err != nil {
		return err
	}
	g, err := o.geometry(len(image), block)
	if err != nil {
		return err
	}
	if len(block) != len(image) {
		return refusal.New("", "blocks of %v for an image of %v", block, image)
	}
	w, err := g.window(image, false)
	if err != nil {
		return err
	}
	if v.batchAxis() > 0 {
		return refusal.MixesBatch("it folds the batch axis")
	}
	size, blocks := dag.Size(block), dag.Size(w.Out())
	if len(v.shape) != 3 || v.shape[1]%size != 0 || v.shape[2] != blocks {
		return refusal.New("", "an operand of shape %s for blocks of %v at %v places", tensor.DimString(v.shape), block, w.Out())
	}
	planes, places := tensor.Single(v.shape[0])*v.shape[1]/size, dag.Size(image)
	shape := append([]int{v.shape[0], v.shape[1] / size}, image...)
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	// Term k picks the k-th element that falls on each place.
	count := make([]int, places)
	w.Taps(func(_, at, _ int) { count[at]++ })
	most := max(1, slices.Max(count))
	if err := o.affordSpent(most * planes * places); err != nil {
		return err
	}
	index := make([][]int32, most)
	for k := range index {
		index[k] = slices.Repeat([]int32{-1}, planes*places)
	}
	clear(count)
	w.Taps(func(out, at, tap int) {
		for p := range planes {
			index[count[at]][p*places+at] = int32((p*size+tap)*blocks + out)
		}
		count[at]++
	})
	terms := lists.Map(index, func(i []int32) *value { return o.pick(v, shape, i) })
	if most == 1 {
		o.give(0, terms[0])
		return nil
	}
	o.give(0, o.emit(&dag.Add{Sign: slices.Repeat([]float64{1}, most)}, shape, terms...))
	return nil
}

// tooLarge refuses a result of more than tensor.MaxElements elements.
func tooLarge() error { return refusal.New("", "the result has too many elements") }

// lengthsAt returns the extents that input k lists, which must be a constant.
func (o *op) lengthsAt(k int, what string) ([]int, error) {
	t, err := o.constant(k, what)
	if err != nil {
		return nil, err
	}
	list, err := tensor.Lengths(t, what)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || slices.ContainsFunc(list, func(n int) bool { return n < 1 }) {
		return nil, refusal.New("", "%s is %v", what, list)
	}
	return list, nil
}

// lowerCenterCropPad cuts the middle out of axes, or puts as many zeros before as behind;
// one left over is before the middle where it cuts, and behind it where it pads.
func lowerCenterCropPad(o *op, v *value) error {
	t, err := o.constant(1, "the list of extents")
	if err != nil {
		return err
	}
	to, err := tensor.Lengths(t, "the list of extents")
	if err != nil {
		return err
	}
	axes := o.ints("axes")
	if o.attr("axes") == nil {
		axes = lists.Count[int64](0, len(v.shape))
	}
	if len(axes) != len(to) {
		return refusal.New("", "%s for %s", words.Count(len(to), "extent"), words.Count(len(axes), "axis"))
	}
	for i, a := range axes {
		k, err := tensor.AxisOf(a, len(v.shape))
		if err != nil {
			return err
		}
		n := v.shape[k]
		if n == to[i] {
			continue
		}
		if n == tensor.BatchDim {
			return refusal.MixesBatch("it cuts or pads the batch axis")
		}
		from := (n - to[i]) / 2 // towards 0
		if v, err = o.take(v, k, to[i], func(i int) int {
			if i += from; i >= 0 && i < n {
				return i
			}
			return -1
		}); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
}

// lowerMaxUnpool puts elements where a maximum pooling found them, and zeros elsewhere. Where
// the shape of the result is given, places are within it: so they are in ONNX Runtime and PyTorch.
func lowerMaxUnpool(o *op, v, at *value) error {
	if slices.Contains(slices.Concat(v.dims(), at.dims()), tensor.BatchDim) {
		return refusal.MixesBatch("its places are within the whole batch")
	}
	if len(v.dims()) < 3 || !slices.Equal(v.dims(), at.dims()) {
		return refusal.New("", "places of shape %s for a value of shape %s", tensor.DimString(at.dims()), tensor.DimString(v.dims()))
	}
	n := len(v.dims()) - 2
	g, err := o.geometry(n, nil)
	if err != nil {
		return err
	}
	if g.pads == nil {
		return refusal.New("", "auto_pad is %q", g.auto)
	}
	shape := slices.Clone(v.dims())
	for i := range n {
		if shape[i+2] = (shape[i+2]-1)*g.stride[i] + g.kernel[i] - g.pads[i] - g.pads[n+i]; shape[i+2] < 1 {
			return refusal.New("", "pads %v for a kernel of %v", g.pads, g.kernel)
		}
	}
	if o.arg(2) != nil {
		if shape, err = o.lengthsAt(2, "the shape of the result"); err != nil {
			return err
		}
		if len(shape) != n+2 {
			return refusal.New("", "the shape %v for a value of shape %s", shape, tensor.DimString(v.dims()))
		}
	}
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	return o.gives(o.functionOf(writes, v.dataType(), shape, func(dst []float64, in ...[]float64) {
		clear(dst)
		for k, x := range in[1] {
			j, ok := place(x, len(dst))
			if !ok {
				undefined(dst)
				return
			}
			dst[j] = in[0][k]
		}
	}, v, at))
}
