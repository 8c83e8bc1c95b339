package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// lowerTile repeats a value along its axes.
func lowerTile(o *op, v *value) error {
	if o.opset < 6 {
		return refusal.New("export with opset 6 or newer", "Tile of opset %d", o.opset)
	}
	t, err := o.constant(1, "the list of repeats")
	if err != nil {
		return err
	}
	from := v.dims()
	if list, err := t.Int64s(); err == nil && len(list) == len(from) && !slices.Contains(from, tensor.BatchDim) {
		if k := slices.Index(list, tensor.BatchDim); k >= 0 && from[k] == 1 {
			return o.tileOverBatch(v, k, list)
		}
	}
	repeats, err := tensor.Lengths(t, "the list of repeats")
	if err != nil {
		return err
	}
	if len(repeats) != len(from) {
		return refusal.New("", "%s for rank %d", words.Count(len(repeats), "repeat"), len(from))
	}
	for k, r := range repeats {
		if r == 1 {
			continue
		}
		if from[k] == tensor.BatchDim {
			return refusal.MixesBatch("it repeats the batch")
		}
		size := from[k] * r
		if size > tensor.MaxElements {
			return tooLarge()
		}
		if v, err = o.take(v, k, size, func(i int) int { return i % from[k] }); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
}

// tileOverBatch repeats what no sample determines for each sample, along axis k.
func (o *op) tileOverBatch(v *value, k int, repeats []int64) error {
	shape := slices.Clone(v.dims())
	shape[k] = tensor.BatchDim
	for i, r := range repeats {
		if i != k && r != 1 {
			return refusal.MixesBatch("it repeats along other axes than that of the batch")
		}
	}
	if !v.constant() {
		o.give(0, o.emit(&dag.Select{}, shape, v))
		return nil
	}
	return o.gives(o.spread(v.con, shape))
}

// lowerDepthToSpace moves blocks of channels into the two spatial axes.
func lowerDepthToSpace(o *op) error {
	v, b, columns, err := o.blocks()
	if err != nil {
		return err
	}
	n, c, h, w := v.shape[0], v.shape[1], v.shape[2], v.shape[3]
	if c%(b*b) != 0 {
		return refusal.New("", "blocks of %d x %d in %s", b, b, words.Count(c, "channel"))
	}
	parts, perm := []int{n, b, b, c / (b * b), h, w}, []int{0, 3, 4, 1, 5, 2}
	if columns {
		parts, perm = []int{n, c / (b * b), b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	}
	out := o.transpose(o.relabel(v, parts), perm)
	o.give(0, o.relabel(out, []int{n, c / (b * b), h * b, w * b}))
	return nil
}

// lowerSpaceToDepth moves blocks of the two spatial axes into channels.
func lowerSpaceToDepth(o *op) error {
	v, b, columns, err := o.blocks()
	if err != nil {
		return err
	}
	n, c, h, w := v.shape[0], v.shape[1], v.shape[2], v.shape[3]
	if h%b != 0 || w%b != 0 {
		return refusal.New("", "blocks of %d x %d in %d x %d", b, b, h, w)
	}
	perm := []int{0, 3, 5, 1, 2, 4}
	if columns {
		perm = []int{0, 1, 3, 5, 2, 4}
	}
	out := o.transpose(o.relabel(v, []int{n, c, h / b, b, w / b, b}), perm)
	o.give(0, o.relabel(out, []int{n, c * b * b, h / b, w / b}))
	return nil
}

// blocks returns the operand and the extent of the blocks; columns says that the channels of one place
// stand apart (CRD), not those of one channel.
func (o *op) blocks() (v *value, size int, columns bool, err error) {
	if v, err = o.need(0); err != nil {
		return nil, 0, false, err
	}
	b, mode := o.int("blocksize", 0), o.str("mode", "DCR")
	switch {
	case v.constant() || len(v.shape) != 4:
		err = refusal.New("", "an operand that is no activation of rank 4")
	case v.batchAxis() > 0:
		err = refusal.MixesBatch("it moves the batch axis")
	case b < 1 || b > 1<<15:
		err = refusal.New("", "blocksize %d", b)
	case mode != "DCR" && mode != "CRD":
		err = refusal.New("", "mode %q", mode)
	}
	return v, int(b), mode == "CRD", err
}

// lowerResize repeats or drops elements (mode nearest), or interpolates axis by axis,
// which is a linear map of fixed weights.
func lowerResize(o *op, v *value) error {
	mode := o.str("mode", "nearest")
	if o.int("antialias", 0) != 0 && mode == "nearest" {
		return refusal.New("export without antialiasing", "it smooths (antialias) and takes the nearest element")
	}
	if a := o.str("keep_aspect_ratio_policy", "stretch"); a != "stretch" {
		return refusal.New("export with sizes that keep the ratio", "keep_aspect_ratio_policy is %q, of which ONNX and ONNX Runtime make different sizes", a)
	}
	scales, sizes, err := o.resizing(v.shape)
	if err != nil {
		return err
	}
	switch mode {
	case "nearest":
	case "linear", "bilinear", "cubic":
		return o.interpolate(v, mode == "cubic", scales, sizes)
	default:
		return refusal.New("", "mode %q", mode)
	}
	place, err := o.nearest()
	if err != nil {
		return err
	}
	for k := range v.shape {
		n, size := v.shape[k], sizes[k]
		if n == tensor.BatchDim || size == n && scales[k] == 1 {
			continue
		}
		if v, err = o.take(v, k, size, func(i int) int {
			return max(0, min(place(i, n, size, scales[k]), n-1))
		}); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
}

// resizing returns the scale and the resulting size of each axis.
func (o *op) resizing(shape []int) (scales []float64, sizes []int, err error) {
	r := len(shape)
	scales, sizes = slices.Repeat([]float64{1}, r), slices.Clone(shape)
	axes := lists.Count(0, r)
	if given := o.ints("axes"); given != nil {
		axes = axes[:0]
		for _, a := range given {
			k, err := tensor.AxisOf(a, r)
			if err != nil {
				return nil, nil, err
			}
			axes = append(axes, k)
		}
	}
	f, to, err := o.resizeArgs()
	if err != nil {
		return nil, nil, err
	}
	if n := max(len(f), len(to)); n != len(axes) {
		return nil, nil, refusal.New("", "%s or sizes for %s", words.Count(n, "scale"), words.Count(len(axes), "axis"))
	}
	for i, k := range axes {
		if shape[k] == tensor.BatchDim {
			if len(f) > 0 && f[i] != 1 || len(to) > 0 && to[i] != tensor.BatchDim && to[i] != int64(max(o.declared, 1)) {
				return nil, nil, refusal.MixesBatch("it resizes the batch axis")
			}
			continue
		}
		if len(to) > 0 {
			if to[i] < 1 || to[i] > tensor.MaxElements || shape[k] == 0 {
				return nil, nil, refusal.New("", "it resizes %s to %v", tensor.DimString(shape), to)
			}
			sizes[k], scales[k] = int(to[i]), float64(to[i])/float64(shape[k])
			continue
		}
		size := math.Floor(float64(shape[k]) * f[i])
		if !(f[i] > 0) || !(size >= 1 && size <= tensor.MaxElements) {
			return nil, nil, refusal.New("", "it resizes %s by %v", tensor.DimString(shape), f)
		}
		sizes[k], scales[k] = int(size), f[i]
	}
	return scales, sizes, nil
}

// resizeArgs reads the scales or the sizes, wherever the opset has them.
func (o *op) resizeArgs() (scales []float64, sizes []int64, err error) {
	at := 1 // Upsample 9, Resize 10
	switch {
	case o.node.OpType == "Upsample" && o.opset < 9:
		if scales = o.floats("scales"); scales == nil {
			return nil, nil, refusal.New("export with opset 7 or newer", "the scales are missing")
		}
		return scales, nil, nil
	case o.node.OpType == "Resize" && o.opset >= 11:
		at = 2
	}
	if s := o.arg(at); s != nil && !(s.constant() && s.con.Size() == 0) {
		scales, err = o.floatsAt(at, "the list of scales")
		return scales, nil, err
	}
	sizes, err = o.intsAt(3, "the list of sizes")
	return nil, sizes, err
}

// coordinate maps element i of a resized axis, of the given size, to a place on the
// axis of n elements that it was.
type coordinate func(i, n, size int, scale float64) float64

func (o *op) coordinates() (coordinate, error) {
	mode := "asymmetric" // before opset 11
	if o.node.OpType == "Resize" && o.opset >= 11 {
		mode = o.str("coordinate_transformation_mode", "half_pixel")
	}
	switch mode {
	case "asymmetric":
		return func(i, _, _ int, scale float64) float64 { return float64(i) / scale }, nil
	case "half_pixel":
		return func(i, _, _ int, scale float64) float64 { return (float64(i)+0.5)/scale - 0.5 }, nil
	case "half_pixel_symmetric":
		return func(i, n, size int, scale float64) float64 {
			return float64(n)/2*(1-float64(size)/(scale*float64(n))) + (float64(i)+0.5)/scale - 0.5
		}, nil
	case "pytorch_half_pixel":
		return func(i, _, size int, scale float64) float64 {
			if size == 1 {
				return 0
			}
			return (float64(i)+0.5)/scale - 0.5
		}, nil
	case "align_corners":
		return func(i, n, size int, _ float64) float64 {
			if size == 1 {
				return 0
			}
			return float64(i) * float64(n-1) / float64(size-1)
		}, nil
	case "tf_crop_and_resize":
		return nil, refusal.New("export without cropping", "it crops (tf_crop_and_resize)")
	}
	return nil, refusal.New("", "coordinate_transformation_mode %q", mode)
}

// tap is an element of an axis and its weight.
type tap struct {
	at     int
	weight float64
}

// keys is the kernel of Keys' cubic convolution. Source: Keys, IEEE Transactions on Acoustics,
// Speech, and Signal Processing 29, 1981.
func keys(x, a float64) float64 {
	switch x = math.Abs(x); {
	case x <= 1:
		return ((a+2)*x-(a+3))*x*x + 1
	case x < 2:
		return ((a*x-5*a)*x+8*a)*x - 4*a
	}
	return 0
}

// cubicTaps are the four weights of keys at a distance t in [0, 1) behind the second of four
// neighbours.
func cubicTaps(t, a float64) [4]float64 {
	return [4]float64{keys(1+t, a), keys(t, a), keys(1-t, a), keys(2-t, a)}
}

// maxSmoothed bounds the elements that antialiasing makes one of along an axis.
const maxSmoothed = 1 << 10

// smoothed are the weights of the elements about place x on an axis of n, by a filter of the given
// reach that is wider by as much as the axis shrinks; outside says that elements beyond the axis
// have none. There are as many at each place.
func smoothed(filter func(x float64) float64, reach, x, scale float64, n int, outside bool) []tap {
	wide := math.Max(1, 1/scale)
	reach *= wide
	from, sum := int(math.Floor(x-reach+1)), 0.0
	out := make([]tap, 2*int(math.Ceil(reach))+1)
	for q := range out {
		j := from + q
		at := max(0, min(j, n-1))
		w := filter((float64(j) - x) / wide)
		if outside && at != j {
			w = 0
		}
		out[q] = tap{at, w}
		sum += w
	}
	for q := range out {
		out[q].weight /= sum
	}
	return out
}

// interpolate resizes each axis in turn by the weights of its neighbours.
func (o *op) interpolate(v *value, cubic bool, scales []float64, sizes []int) error {
	to, err := o.coordinates()
	if err != nil {
		return err
	}
	outside, a, antialias := o.int("exclude_outside", 0) != 0, o.float("cubic_coeff_a", -0.75), o.int("antialias", 0) != 0
	filter, reach := func(x float64) float64 { return math.Max(0, 1-math.Abs(x)) }, 1.0
	if cubic {
		filter, reach = func(x float64) float64 { return keys(x, a) }, 2
	}
	for k := range v.shape {
		n, size := v.shape[k], sizes[k]
		if n == tensor.BatchDim || size == n && scales[k] == 1 {
			continue
		}
		if antialias && 1/scales[k] > maxSmoothed {
			return refusal.New("shrink in steps", "it makes one of more than %d elements", maxSmoothed)
		}
		taps := make([][]tap, size)
		for i := range taps {
			x := to(i, n, size, scales[k])
			if antialias {
				taps[i] = smoothed(filter, reach, x, scales[k], n, outside)
				continue
			}
			if !cubic {
				x = math.Max(0, math.Min(x, float64(n-1)))
				j := min(int(x), n-1)
				taps[i] = []tap{{j, 1 - (x - float64(j))}, {min(j+1, n-1), x - float64(j)}}
				continue
			}
			j := int(math.Floor(x))
			sum := 0.0
			for q, w := range cubicTaps(x-float64(j), a) {
				at := j - 1 + q
				if outside && (at < 0 || at >= n) {
					w = 0
				}
				sum += w
				taps[i] = append(taps[i], tap{max(0, min(at, n-1)), w})
			}
			for q := range taps[i] {
				if outside {
					taps[i][q].weight /= sum
				}
			}
		}
		if v, err = o.weighted(v, k, taps); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
}

// weighted replaces axis k by sums of its elements, each of taps in number alike:
// for every tap, elements are picked, then multiplied by fixed weights.
func (o *op) weighted(v *value, k int, taps [][]tap) (*value, error) {
	var terms []*value
	var signs []float64
	for q := range taps[0] {
		picked, err := o.take(v, k, len(taps), func(i int) int { return taps[i][q].at })
		if err != nil {
			return nil, err
		}
		a := tensor.Around(picked.shape, k)
		for _, sign := range []float64{1, -1} {
			if err := o.affordSpent(2 * a.N * a.Inner); err != nil { // of eight bytes, those of an index are of four
				return nil, err
			}
			weights, any := make([]float64, a.N*a.Inner), false
			for e := range weights {
				weights[e] = math.Max(0, sign*taps[e/a.Inner][q].weight)
				any = any || weights[e] != 0
			}
			if !any {
				continue
			}
			n := a.N * a.Inner
			o.spent += 2 * n
			w := dag.NewWindow([]int{n}, []int{1})
			m := &dag.Average{Channels: a.Outer, Window: w, Weights: weights}
			terms = append(terms, o.emit(&dag.Linear{Map: m}, picked.shape, picked))
			signs = append(signs, sign)
		}
	}
	if len(terms) == 1 && signs[0] == 1 {
		return terms[0], nil
	}
	return o.emit(&dag.Add{Sign: signs}, terms[0].shape, terms...), nil
}

// nearest returns the element of an axis of n that element i of the resized
// axis, of the given size, takes.
func (o *op) nearest() (func(i, n, size int, scale float64) int, error) {
	round := "floor" // before opset 11
	if o.node.OpType == "Resize" && o.opset >= 11 {
		round = o.str("nearest_mode", "round_prefer_floor")
	}
	to, err := o.coordinates()
	if err != nil {
		return nil, err
	}
	var nearest func(x float64) float64
	switch round {
	case "floor":
		nearest = math.Floor
	case "ceil":
		nearest = math.Ceil
	case "round_prefer_floor":
		nearest = func(x float64) float64 { return math.Ceil(x - 0.5) }
	case "round_prefer_ceil":
		nearest = func(x float64) float64 { return math.Floor(x + 0.5) }
	default:
		return nil, refusal.New("", "nearest_mode %q", round)
	}
	return func(i, n, size int, scale float64) int { return int(nearest(to(i, n, size, scale))) }, nil
}
