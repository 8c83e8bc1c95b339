package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// regions is how RoiAlign and MaxRoiPool read regions of a value (N, C, height, width).
type regions struct {
	samples, channels, height, width int
	rows, cols                       int // of a region's result
	scale                            float64
	// RoiAlign: points of each bin along an axis, 0 for as many as it spans; the shift of
	// coordinates; whether the largest point counts, not the mean of all.
	points  int
	shift   float64
	maximum bool
}

// maxPoints bounds the points of a bin along an axis that a computed region can ask for.
const maxPoints = 1 << 12

// plane is a channel of a sample that a number names; nil where there is none.
func (r *regions) plane(x []float64, sample float64, c int) []float64 {
	b, ok := place(sample, r.samples)
	if !ok {
		return nil
	}
	return x[(b*r.channels+c)*r.height*r.width:][:r.height*r.width]
}

// corner is an element of a plane and its weight.
type corner struct {
	at     int
	weight float64
}

// bilinear returns the elements around a point and their weights, none outside the plane.
func (r *regions) bilinear(y, x float64) (out [4]corner) {
	if !(y >= -1 && y <= float64(r.height) && x >= -1 && x <= float64(r.width)) {
		return out
	}
	split := func(z float64, n int) (lo, hi int, part float64) {
		z = math.Max(z, 0)
		if lo = int(z); lo >= n-1 {
			return n - 1, n - 1, 0
		}
		return lo, lo + 1, z - float64(lo)
	}
	top, bottom, down := split(y, r.height)
	left, right, along := split(x, r.width)
	return [4]corner{
		{top*r.width + left, (1 - down) * (1 - along)},
		{top*r.width + right, (1 - down) * along},
		{bottom*r.width + left, down * (1 - along)},
		{bottom*r.width + right, down * along},
	}
}

// align is the mean of a bin's points, or the largest part of one: He et al.,
// Mask R-CNN, arXiv:1703.06870.
func (r *regions) align(dst, x, at []float64, sample float64) {
	x1, y1, x2, y2 := at[0]*r.scale-r.shift, at[1]*r.scale-r.shift, at[2]*r.scale-r.shift, at[3]*r.scale-r.shift
	wide, high := x2-x1, y2-y1
	if r.shift == 0 {
		wide, high = math.Max(wide, 1), math.Max(high, 1)
	}
	high, wide = high/float64(r.rows), wide/float64(r.cols) // of a bin
	down, along := r.points, r.points
	if r.points == 0 {
		if !(high <= maxPoints && wide <= maxPoints) {
			undefined(dst)
			return
		}
		down, along = max(0, int(math.Ceil(high))), max(0, int(math.Ceil(wide)))
	}
	for p := range r.rows * r.cols {
		var points [][4]corner
		for i := range down * along {
			y := y1 + high*(float64(p/r.cols)+(float64(i/along)+0.5)/float64(down))
			points = append(points, r.bilinear(y, x1+wide*(float64(p%r.cols)+(float64(i%along)+0.5)/float64(along))))
		}
		for c := range r.channels {
			plane := r.plane(x, sample, c)
			if plane == nil {
				undefined(dst)
				return
			}
			s, largest := 0.0, math.Inf(-1)
			for _, corners := range points {
				for _, k := range corners {
					z := k.weight * plane[k.at]
					s, largest = s+z, tensor.Larger(largest, z)
				}
			}
			if s /= math.Max(1, float64(len(points))); r.maximum && len(points) > 0 {
				s = largest
			}
			dst[c*r.rows*r.cols+p] = s
		}
	}
}

// pool is the largest element of each bin of whole elements: Girshick, Fast R-CNN,
// arXiv:1504.08083.
func (r *regions) pool(dst, x, at []float64, sample float64) {
	var edge [4]float64
	for k := range edge {
		if edge[k] = math.Round(at[k] * r.scale); !(math.Abs(edge[k]) < tensor.MaxElements) {
			undefined(dst)
			return
		}
	}
	// span is the elements of bin i of n along an axis of so many.
	span := func(i, n, size int, lo, hi float64) (from, to int) {
		bin := math.Max(hi-lo+1, 1) / float64(n)
		within := func(z float64) int { return max(0, min(int(z+lo), size)) }
		return within(math.Floor(float64(i) * bin)), within(math.Ceil(float64(i+1) * bin))
	}
	for p := range r.rows * r.cols {
		top, bottom := span(p/r.cols, r.rows, r.height, edge[1], edge[3])
		left, right := span(p%r.cols, r.cols, r.width, edge[0], edge[2])
		for c := range r.channels {
			plane := r.plane(x, sample, c)
			if plane == nil {
				undefined(dst)
				return
			}
			s := math.Inf(-1)
			for y := top; y < bottom; y++ {
				for _, z := range plane[y*r.width+left : y*r.width+max(left, right)] {
					s = tensor.Larger(s, z)
				}
			}
			if top >= bottom || left >= right {
				s = 0
			}
			dst[c*r.rows*r.cols+p] = s
		}
	}
}

// regionsOf reads the value and the places of the regions, of so many numbers each.
func (o *op) regionsOf(rows, cols int64, numbers int) (r *regions, v, places *value, err error) {
	if v, places, err = o.two(); err != nil {
		return nil, nil, nil, err
	}
	dims, list := v.dims(), places.dims()
	if slices.Contains(dims, tensor.BatchDim) || slices.Contains(list, tensor.BatchDim) {
		return nil, nil, nil, refusal.MixesBatch("its regions name samples of the batch")
	}
	if len(dims) != 4 || slices.Contains(dims, 0) || len(list) != 2 || list[1] != numbers {
		return nil, nil, nil, refusal.New("", "regions of shape %s for a value of shape %s", tensor.DimString(list), tensor.DimString(dims))
	}
	if rows < 1 || cols < 1 || rows > tensor.MaxElements || cols > tensor.MaxElements || !tensor.Fits([]int{list[0], dims[1], int(rows), int(cols)}) {
		return nil, nil, nil, refusal.New("", "regions of %d by %d", rows, cols)
	}
	scale := o.float("spatial_scale", 1)
	return &regions{samples: dims[0], channels: dims[1], height: dims[2], width: dims[3], rows: int(rows), cols: int(cols), scale: scale}, v, places, nil
}

// shape is that of the results for n regions.
func (r *regions) shape(n int) []int { return []int{n, r.channels, r.rows, r.cols} }

func lowerRoiAlign(o *op) error {
	r, v, places, err := o.regionsOf(o.int("output_height", 1), o.int("output_width", 1), 4)
	if err != nil {
		return err
	}
	of, err := o.need(2)
	if err != nil {
		return err
	}
	n := places.dims()[0]
	if !slices.Equal(of.dims(), []int{n}) {
		return refusal.New("", "samples of shape %s for %s", tensor.DimString(of.dims()), words.Count(n, "region"))
	}
	points, mode := o.int("sampling_ratio", 0), o.str("mode", "avg")
	if points < 0 || points > maxPoints || mode != "avg" && mode != "max" {
		return refusal.New("", "mode %q with sampling_ratio %d", mode, points)
	}
	r.points, r.maximum = int(points), mode == "max"
	frame := "output_half_pixel"
	if o.opset >= 16 {
		frame = o.str("coordinate_transformation_mode", "half_pixel")
	}
	if frame == "half_pixel" {
		r.shift = 0.5
	}
	size := r.channels * r.rows * r.cols
	return o.gives(o.functionOf("it reads at computed places", v.dataType(), r.shape(n), func(dst []float64, in ...[]float64) {
		for k := range n {
			r.align(dst[k*size:][:size], in[0], in[1][4*k:], in[2][k])
		}
	}, v, places, of))
}

func lowerMaxRoiPool(o *op) error {
	list := o.ints("pooled_shape")
	if len(list) != 2 {
		return refusal.New("", "pooled_shape is %v", list)
	}
	r, v, places, err := o.regionsOf(list[0], list[1], 5)
	if err != nil {
		return err
	}
	n, size := places.dims()[0], r.channels*r.rows*r.cols
	return o.gives(o.functionOf("it reads at computed places", v.dataType(), r.shape(n), func(dst []float64, in ...[]float64) {
		for k := range n {
			r.pool(dst[k*size:][:size], in[0], in[1][5*k+1:], in[1][5*k])
		}
	}, v, places))
}

// lowerDeformConv is a convolution of what stands at computed places: the function that reads
// there gives a column for each position, and the convolution is a layer over those. Dai et al.,
// arXiv:1703.06211; with a mask Zhu et al., arXiv:1811.11168.
func lowerDeformConv(o *op) error {
	v, w, err := o.convOperands()
	if err != nil {
		return err
	}
	if !w.constant() {
		return refusal.New("make it a constant", "its weight is computed by the network")
	}
	c, err := o.channels(v, w, false)
	if err != nil {
		return err
	}
	kernel := w.dims()[2:]
	g, err := o.geometry(len(kernel), kernel)
	if err != nil {
		return err
	}
	window, err := g.window(v.shape[2:], false)
	if err != nil {
		return err
	}
	out, taps, n := window.Out(), dag.Size(kernel), len(kernel)
	parts := o.int("offset_group", 1)
	if parts < 1 || parts > int64(c.InChannels) || c.InChannels%int(parts) != 0 {
		return refusal.New("", "%s of offsets for %s", words.Count(parts, "group"), words.Count(c.InChannels, "channel"))
	}
	offset, err := o.need(2)
	if err != nil {
		return err
	}
	in := []*value{v, offset}
	if mask := o.arg(4); mask != nil {
		in = append(in, mask)
	}
	for k, x := range in[1:] {
		want := slices.Concat([]int{v.shape[0], int(parts) * taps * []int{n, 1}[k]}, out)
		if !abreast(v, x) {
			return refusal.MixesBatch("its places are those of all samples")
		}
		if !slices.Equal(x.dims(), want) {
			return refusal.New("", "offsets or a mask of shape %s, want %s", tensor.DimString(x.dims()), tensor.DimString(want))
		}
	}
	d := &deformed{grid: grid{from: v.shape[2:]}, window: window, taps: taps, places: dag.Size(out), channels: c.InChannels, parts: int(parts)}
	shape := []int{v.shape[0], c.InChannels, taps, d.places}
	if !tensor.Fits(shape) || c.OutChannels*d.places > tensor.MaxElements {
		return refusal.New("", "the columns have too many elements")
	}
	samples := tensor.Single(v.shape[0])
	columns, err := o.functionOf("it reads at computed places", v.dataType(), shape, func(dst []float64, in ...[]float64) {
		for b := range samples {
			d.columns(dst, b, in)
		}
	}, in...)
	if err != nil {
		return err
	}
	if columns, err = o.materialize(columns); err != nil {
		return err
	}
	c.Window = dag.NewWindow([]int{taps, d.places}, []int{taps, 1})
	y, err := o.convolved(c, columns, w.con, 3, []int{1, d.places})
	if err != nil {
		return err
	}
	o.give(0, o.relabel(y, slices.Concat([]int{v.shape[0], c.OutChannels}, out)))
	return nil
}

// deformed is a window whose positions are moved.
type deformed struct {
	grid
	window                        dag.Window
	taps, places, channels, parts int
}

// columns reads sample b of the value in[0] at the window's positions moved by in[1], times the mask in[2].
func (d *deformed) columns(dst []float64, b int, in [][]float64) {
	n, all := len(d.from), dag.Size(d.from)
	kernel, out := tensor.Strides(d.window.Kernel), tensor.Strides(d.window.Out())
	near := make([][]tap, n)
	for k := range d.parts * d.taps * d.places {
		part, t, p := k/(d.taps*d.places), k/d.places%d.taps, k%d.places
		for i := range n {
			x := float64(d.window.At(i, p/out[i]%d.window.Out()[i], t/kernel[i]%d.window.Kernel[i]))
			x += in[1][(((b*d.parts+part)*d.taps+t)*n+i)*d.places+p]
			if !(math.Abs(x) < tensor.MaxElements) {
				x = -tensor.MaxElements
			}
			near[i] = linearTaps(x)
		}
		mask := 1.0
		if len(in) > 2 {
			mask = in[2][((b*d.parts+part)*d.taps+t)*d.places+p]
		}
		each := d.channels / d.parts
		for c := part * each; c < (part+1)*each; c++ {
			dst[((b*d.channels+c)*d.taps+t)*d.places+p] = mask * d.sum(in[0][(b*d.channels+c)*all:][:all], near, 0, 0)
		}
	}
}
