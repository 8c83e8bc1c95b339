package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// pooled returns the operand of a pooling, (N, C, spatial...), and its number
// of channels: every axis before the spatial ones, batch apart.
func (o *op) pooled() (v *value, channels int, err error) {
	if v, err = o.need(0); err != nil {
		return nil, 0, err
	}
	if v, err = o.materialize(v); err != nil {
		return nil, 0, err
	}
	if len(v.shape) < 3 {
		return nil, 0, refusal.New("", "an operand of rank %d, want (N, C, spatial...)", len(v.shape))
	}
	if v.batchAxis() > 1 {
		return nil, 0, refusal.MixesBatch("it pools over the batch axis")
	}
	return v, dag.Size(tensor.SampleShape(v.shape[:2])), nil
}

func pooledShape(v *value, spatial []int) []int {
	return append([]int{v.shape[0], v.shape[1]}, spatial...)
}

func (o *op) slidingWindow(v *value) (dag.Window, error) {
	g, err := o.geometry(len(v.shape)-2, nil)
	if err != nil {
		return dag.Window{}, err
	}
	if err := g.unclear(v.shape[2:]); err != nil {
		return dag.Window{}, err
	}
	return g.window(v.shape[2:], o.int("ceil_mode", 0) != 0)
}

// unclear refuses automatic padding of a pooling where ONNX and ONNX Runtime
// disagree: the latter leaves dilations out of account, and gives negative
// padding to a kernel smaller than the stride.
func (g *geometry) unclear(in []int) error {
	if g.auto != "SAME_UPPER" && g.auto != "SAME_LOWER" {
		return nil
	}
	for i, n := range in {
		stride := g.stride[i]
		if g.dilation[i] != 1 || (n+stride-1)/stride*stride-stride+g.kernel[i] < n {
			return refusal.New("export explicit pads",
				"auto_pad=%s with kernel %v, strides %v and dilations %v: ONNX and ONNX Runtime disagree on the padding",
				g.auto, g.kernel, g.stride, g.dilation)
		}
	}
	return nil
}

// lowerMaxPool is the maximum over windows. The second output, the places of
// the maxima, is a function.
func lowerMaxPool(o *op, v *value, channels int) error {
	w, err := o.slidingWindow(v)
	if err != nil {
		return err
	}
	if slices.Contains(taps(&w), 0) {
		return refusal.New("", "a window lies in the padding alone")
	}
	shape := pooledShape(v, w.Out())
	if channels*dag.Size(w.Out()) > tensor.MaxElements {
		return tooLarge()
	}
	if len(o.node.Outputs) > 1 && o.reads[o.node.Outputs[1]] > 0 {
		if v.batchAxis() >= 0 {
			return refusal.MixesBatch("it gives places within the whole batch")
		}
		at := o.function("it gives the places of maxima", wire.Int64, shape,
			placesOf(&w, channels, o.int("storage_order", 0) != 0), v)
		o.give(1, at)
	}
	o.give(0, o.emit(&dag.Pool{Window: &w, Channels: channels}, shape, v))
	return nil
}

// placesOf returns, for each window, the index of its first maximum in the
// whole operand, row-major or with the spatial axes column-major.
func placesOf(w *dag.Window, channels int, columnMajor bool) func(dst []float64, in ...[]float64) {
	nIn, nOut := dag.Size(w.In), dag.Size(w.Out())
	place := make([]int, nIn)
	step := tensor.Strides(w.In)
	if columnMajor {
		s := 1
		for i, d := range w.In {
			step[i] = s
			s *= d
		}
	}
	for i, j := range tensor.Offsets(w.In, step) {
		place[i] = int(j)
	}
	return func(dst []float64, in ...[]float64) {
		for c := range channels {
			x, d := in[0][c*nIn:][:nIn], dst[c*nOut:][:nOut]
			best := slices.Repeat([]int{-1}, nOut)
			w.Taps(func(out, at, _ int) {
				if b := best[out]; b < 0 || x[at] > x[b] || x[at] == x[b] && at < b {
					best[out] = at
					d[out] = float64(c*nIn + place[at])
				}
			})
		}
	}
}

// taps counts the elements of the operand in each window.
func taps(w *dag.Window) []int {
	n := make([]int, dag.Size(w.Out()))
	w.Taps(func(out, _, _ int) { n[out]++ })
	return n
}

// lowerAveragePool is the mean over windows: over their elements inside the
// operand or, with count_include_pad, inside the padded operand.
func lowerAveragePool(o *op, v *value, channels int) error {
	w, err := o.slidingWindow(v)
	if err != nil {
		return err
	}
	count := taps(&w)
	if o.int("count_include_pad", 0) != 0 {
		padded := w
		padded.In = make([]int, len(w.In))
		padded.Before, padded.After = make([]int, len(w.In)), make([]int, len(w.In))
		for i := range w.In {
			padded.In[i] = w.In[i] + w.Before[i] + w.After[i]
		}
		count = taps(&padded)
	}
	weights := make([]float64, len(count))
	for i, n := range count {
		if n == 0 {
			return refusal.New("", "a window lies in the padding alone")
		}
		weights[i] = 1 / float64(n)
	}
	return o.average(v, channels, w, weights, pooledShape(v, w.Out()))
}

// average gives a linear map with fixed weights as the output.
func (o *op) average(v *value, channels int, w dag.Window, weights []float64, shape []int) error {
	if channels*len(weights) > tensor.MaxElements {
		return tooLarge()
	}
	m := &dag.Average{Channels: channels, Window: w, Weights: weights}
	o.give(0, o.emit(&dag.Linear{Map: m}, shape, v))
	return nil
}

func lowerGlobalAveragePool(o *op, v *value, channels int) error {
	w, err := globalWindow(v)
	if err != nil {
		return err
	}
	return o.average(v, channels, w, []float64{1 / float64(dag.Size(w.In))}, pooledShape(v, w.Out()))
}

func lowerGlobalMaxPool(o *op, v *value, channels int) error {
	w, err := globalWindow(v)
	if err != nil {
		return err
	}
	o.give(0, o.emit(&dag.Pool{Window: &w, Channels: channels}, pooledShape(v, w.Out()), v))
	return nil
}

func globalWindow(v *value) (dag.Window, error) {
	spatial := v.shape[2:]
	if dag.Size(spatial) == 0 {
		return dag.Window{}, refusal.New("", "it pools nothing: its operand has shape %s", tensor.DimString(v.shape))
	}
	return dag.NewWindow(spatial, spatial), nil
}

// lowerLpPool is the p-norm over windows, or over all positions.
func lowerLpPool(o *op, v *value, channels int) error {
	p := float64(o.int("p", 2))
	if a := o.attr("p"); a != nil && a.Type == wire.AttrFloat { // opset 1
		p = float64(a.F)
	}
	if !(p >= 1) {
		return refusal.New("", "p is %v", p)
	}
	w := dag.NewWindow(v.shape[2:], v.shape[2:])
	if o.node.OpType == "LpPool" {
		var err error
		if w, err = o.slidingWindow(v); err != nil {
			return err
		}
	}
	if slices.Contains(v.shape[2:], 0) {
		return refusal.New("", "it pools nothing: its operand has shape %s", tensor.DimString(v.shape))
	}
	shape := pooledShape(v, w.Out())
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	nIn, nOut := dag.Size(w.In), dag.Size(w.Out())
	o.give(0, o.function("the norm of a window is not piecewise linear", v.elem, shape, func(dst []float64, in ...[]float64) {
		clear(dst)
		for c := range channels {
			x, y := in[0][c*nIn:][:nIn], dst[c*nOut:][:nOut]
			w.Taps(func(out, at, _ int) { y[out] += math.Pow(math.Abs(x[at]), p) })
			for i, s := range y {
				y[i] = math.Pow(s, 1/p)
			}
		}
	}, v))
	return nil
}
