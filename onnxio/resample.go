package onnxio

import (
	"math"
	"slices"
)

// lowerTile repeats a value along its axes.
func lowerTile(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	if o.opset < 6 {
		return refuse("export with opset 6 or newer", "Tile of opset %d", o.opset)
	}
	t, err := o.constant(1, "the list of repeats")
	if err != nil {
		return err
	}
	repeats, err := lengths(t, "the list of repeats")
	if err != nil {
		return err
	}
	from := v.dims()
	if len(repeats) != len(from) {
		return refuse("", "%d repeats for rank %d", len(repeats), len(from))
	}
	for k, r := range repeats {
		if r == 1 {
			continue
		}
		if from[k] == batchDim {
			return mixesBatch("it repeats the batch")
		}
		size := from[k] * r
		if size > maxElements {
			return refuse("", "the result has too many elements")
		}
		if v, err = o.take(v, k, size, func(i int) int { return i % from[k] }); err != nil {
			return err
		}
	}
	o.give(0, v)
	return nil
}

// lowerDepthToSpace moves blocks of channels into the two spatial axes.
func lowerDepthToSpace(o *op) error {
	v, b, err := o.blocks()
	if err != nil {
		return err
	}
	n, c, h, w := v.shape[0], v.shape[1], v.shape[2], v.shape[3]
	if c%(b*b) != 0 {
		return refuse("", "blocks of %d x %d in %d channels", b, b, c)
	}
	parts, perm := []int{n, b, b, c / (b * b), h, w}, []int{0, 3, 4, 1, 5, 2}
	switch mode := o.str("mode", "DCR"); mode {
	case "DCR":
	case "CRD":
		parts, perm = []int{n, c / (b * b), b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	default:
		return refuse("", "mode %q", mode)
	}
	out := o.transpose(o.relabel(v, parts), perm)
	o.give(0, o.relabel(out, []int{n, c / (b * b), h * b, w * b}))
	return nil
}

// lowerSpaceToDepth moves blocks of the two spatial axes into channels.
func lowerSpaceToDepth(o *op) error {
	v, b, err := o.blocks()
	if err != nil {
		return err
	}
	n, c, h, w := v.shape[0], v.shape[1], v.shape[2], v.shape[3]
	if h%b != 0 || w%b != 0 {
		return refuse("", "blocks of %d x %d in %d x %d", b, b, h, w)
	}
	out := o.transpose(o.relabel(v, []int{n, c, h / b, b, w / b, b}), []int{0, 3, 5, 1, 2, 4})
	o.give(0, o.relabel(out, []int{n, c * b * b, h / b, w / b}))
	return nil
}

func (o *op) blocks() (*value, int, error) {
	v, err := o.need(0)
	if err != nil {
		return nil, 0, err
	}
	if v.constant() || len(v.shape) != 4 {
		return nil, 0, refuse("", "an operand that is no activation of rank 4")
	}
	if v.batchAxis() > 0 {
		return nil, 0, mixesBatch("it moves the batch axis")
	}
	b := o.int("blocksize", 0)
	if b < 1 || b > 1<<15 {
		return nil, 0, refuse("", "blocksize %d", b)
	}
	return v, int(b), nil
}

// lowerResize repeats or drops elements (mode nearest). Interpolation is
// refused.
func lowerResize(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	if v.constant() {
		return refuse("fold constants before export", "it resizes a constant")
	}
	if mode := o.str("mode", "nearest"); mode != "nearest" {
		return refuse("use nearest neighbours or a transposed convolution", "interpolation (mode %q)", mode)
	}
	if a := o.str("keep_aspect_ratio_policy", "stretch"); a != "stretch" {
		return refuse("", "keep_aspect_ratio_policy %q", a)
	}
	scales, sizes, err := o.resizing(v.shape)
	if err != nil {
		return err
	}
	place, err := o.nearest()
	if err != nil {
		return err
	}
	for k := range v.shape {
		n, size := v.shape[k], sizes[k]
		if n == batchDim || size == n && scales[k] == 1 {
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
	axes := make([]int, r)
	for k := range axes {
		axes[k] = k
	}
	if given := o.ints("axes"); given != nil {
		axes = axes[:0]
		for _, a := range given {
			k, err := axisOf(a, r)
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
		return nil, nil, refuse("", "%d scales or sizes for %d axes", n, len(axes))
	}
	for i, k := range axes {
		if shape[k] == batchDim {
			if len(f) > 0 && f[i] != 1 || len(to) > 0 && to[i] != batchDim && to[i] != int64(max(o.declared, 1)) {
				return nil, nil, mixesBatch("it resizes the batch axis")
			}
			continue
		}
		if len(to) > 0 {
			if to[i] < 1 || to[i] > maxElements || shape[k] == 0 {
				return nil, nil, refuse("", "it resizes %s to %v", dimString(shape), to)
			}
			sizes[k], scales[k] = int(to[i]), float64(to[i])/float64(shape[k])
			continue
		}
		size := math.Floor(float64(shape[k]) * f[i])
		if !(f[i] > 0) || !(size >= 1 && size <= maxElements) {
			return nil, nil, refuse("", "it resizes %s by %v", dimString(shape), f)
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
		a := o.attr("scales")
		if a == nil {
			return nil, nil, refuse("export with opset 7 or newer", "the scales are missing")
		}
		for _, x := range a.Floats {
			scales = append(scales, float64(x))
		}
		return scales, nil, nil
	case o.node.OpType == "Resize" && o.opset >= 11:
		at = 2
	}
	if s := o.arg(at); s != nil && !(s.constant() && s.con.size() == 0) {
		t, err := o.constant(at, "the list of scales")
		if err != nil {
			return nil, nil, err
		}
		scales, err = t.float64s()
		return scales, nil, err
	}
	t, err := o.constant(3, "the list of sizes")
	if err != nil {
		return nil, nil, err
	}
	sizes, err = t.int64s()
	return nil, sizes, err
}

// nearest returns the element of an axis of n that element i of the resized
// axis, of the given size, takes.
func (o *op) nearest() (func(i, n, size int, scale float64) int, error) {
	coordinate, round := "asymmetric", "floor" // before opset 11
	if o.node.OpType == "Resize" && o.opset >= 11 {
		coordinate = o.str("coordinate_transformation_mode", "half_pixel")
		round = o.str("nearest_mode", "round_prefer_floor")
	}
	var to func(i, n, size int, scale float64) float64
	switch coordinate {
	case "asymmetric":
		to = func(i, _, _ int, scale float64) float64 { return float64(i) / scale }
	case "half_pixel":
		to = func(i, _, _ int, scale float64) float64 { return (float64(i)+0.5)/scale - 0.5 }
	case "pytorch_half_pixel":
		to = func(i, _, size int, scale float64) float64 {
			if size == 1 {
				return 0
			}
			return (float64(i)+0.5)/scale - 0.5
		}
	case "align_corners":
		to = func(i, n, size int, _ float64) float64 {
			if size == 1 {
				return 0
			}
			return float64(i) * float64(n-1) / float64(size-1)
		}
	default:
		return nil, refuse("", "coordinate_transformation_mode %q", coordinate)
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
		return nil, refuse("", "nearest_mode %q", round)
	}
	return func(i, n, size int, scale float64) int { return int(nearest(to(i, n, size, scale))) }, nil
}
