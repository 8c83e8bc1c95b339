package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// lowerConv is a convolution in any number of dimensions: operand (N, C,
// spatial...), weight (M, C/group, kernel...), bias (M).
func lowerConv(o *op) error {
	return o.gives(o.convolution(false))
}

// lowerConvTranspose is a transposed convolution: weight (C, M/group,
// kernel...).
func lowerConvTranspose(o *op) error {
	return o.gives(o.convolution(true))
}

// lowerFusedConv is com.microsoft.FusedConv: a convolution, the sum with
// another value, and an activation.
func lowerFusedConv(o *op) error {
	v, err := o.convolution(false)
	if err != nil {
		return err
	}
	if z := o.arg(3); z != nil {
		if z.constant() {
			v, err = o.affine(v, affine{add: z.con, addAt: 3, coef: 1, addCoef: 1})
		} else {
			v, err = o.combine(nil, v, z)
		}
		if err != nil {
			return err
		}
	}
	return o.gives(o.fusedActivation(v))
}

// convolution lowers the first three inputs of a convolution.
func (o *op) convolution(transposed bool) (*value, error) {
	v, w, err := o.convOperands()
	if err != nil {
		return nil, err
	}
	c, err := o.channels(v, w, transposed)
	if err != nil {
		return nil, err
	}
	in, kernel := v.shape[2:], w.dims()[2:]
	g, err := o.geometry(len(in), kernel)
	if err != nil {
		return nil, err
	}
	spatial := in
	if transposed {
		c.Window, err = o.transposedWindow(&g, in)
		spatial = c.Window.In
	} else if c.Window, err = g.window(in, false); err == nil {
		spatial = c.Window.Out()
	}
	if err != nil {
		return nil, err
	}
	if c.OutChannels*dag.Size(spatial) > tensor.MaxElements {
		return nil, tooLarge()
	}
	if !w.constant() {
		return o.convolvedBy(c, v, w, spatial)
	}
	return o.convolved(c, v, w.con, 2, spatial)
}

// channels fits the weight to the channels of the operand.
func (o *op) channels(v, w *value, transposed bool) (*dag.Conv, error) {
	groups, dims := int(o.int("group", 1)), w.dims()
	c := &dag.Conv{InChannels: v.shape[1], Groups: groups, Transposed: transposed}
	if groups < 1 || c.InChannels%groups != 0 {
		return nil, refusal.New("", "%s of %s", words.Count(groups, "group"), words.Count(c.InChannels, "channel"))
	}
	wantIn, gotIn := c.InChannels/groups, dims[1]
	c.OutChannels = dims[0]
	if transposed {
		wantIn, gotIn = c.InChannels, dims[0]
		c.OutChannels = dims[1] * groups
	}
	if gotIn != wantIn || c.OutChannels%groups != 0 {
		return nil, refusal.New("", "a weight of shape %s does not fit %s of an operand of shape %s", tensor.DimString(dims), words.Count(groups, "group"), tensor.DimString(v.shape))
	}
	return c, nil
}

// convolved adds the layer of a convolution by a stored weight, with the bias of an input.
func (o *op) convolved(c *dag.Conv, v *value, w *tensor.Tensor, biasAt int, spatial []int) (*value, error) {
	var err error
	if c.W, err = o.use(w, 1); err != nil {
		return nil, err
	}
	samples := v.shape[0]
	if samples != tensor.BatchDim && samples != 1 {
		// Samples that are part of one are another spatial axis.
		if !tensor.Fits([]int{samples, c.OutChannels, dag.Size(spatial)}) {
			return nil, tooLarge()
		}
		c.Window = along(c.Window, samples)
		v = o.transpose(v, firstTwoSwapped(len(v.shape)))
	}
	lin := &dag.Linear{Map: c}
	if o.arg(biasAt) != nil {
		bias, err := o.constant(biasAt, "the bias")
		if err != nil {
			return nil, err
		}
		if bias.Size() != c.OutChannels {
			return nil, refusal.New("", "a bias of %d for %s", bias.Size(), words.Count(c.OutChannels, "channel"))
		}
		add, err := o.vectorAt(bias, nil, c.OutChannels, biasAt)
		if err != nil {
			return nil, err
		}
		lin.Stages = []dag.Stage{{Add: add}}
	}
	if samples != tensor.BatchDim && samples != 1 {
		out := o.emit(lin, append([]int{c.OutChannels, samples}, spatial...), v)
		o.unitAxes[out.node] = []int{0}
		return o.transpose(out, firstTwoSwapped(len(v.shape))), nil
	}
	shape := append([]int{v.shape[0], c.OutChannels}, spatial...)
	out := o.emit(lin, shape, v)
	o.unitAxes[out.node] = []int{1}
	return out, nil
}

// along adds an axis of n entries, each with a window of its own, before the others.
func along(w dag.Window, n int) dag.Window {
	first := func(x int, rest []int) []int { return append([]int{x}, rest...) }
	return dag.Window{
		In: first(n, w.In), Kernel: first(1, w.Kernel), Stride: first(1, w.Stride), Dilation: first(1, w.Dilation),
		Before: first(0, w.Before), After: first(0, w.After),
	}
}

func firstTwoSwapped(rank int) []int {
	perm := lists.Count(0, rank)
	perm[0], perm[1] = 1, 0
	return perm
}

// convOperands returns the operand and the weight, checked for rank and batch.
func (o *op) convOperands() (v, w *value, err error) {
	if v, w, err = o.two(); err != nil {
		return nil, nil, err
	}
	if v, err = o.materialize(v); err != nil {
		return nil, nil, err
	}
	dims := w.dims()
	if len(v.shape) < 3 || len(dims) != len(v.shape) {
		return nil, nil, refusal.New("", "an operand of rank %d and a weight of rank %d", len(v.shape), len(dims))
	}
	if v.batchAxis() > 0 || w.batchAxis() >= 0 {
		return nil, nil, refusal.MixesBatch("it convolves over the batch axis")
	}
	if slices.Contains(dims, 0) || v.shape[0] == 0 {
		return nil, nil, refusal.New("", "a weight of shape %s", tensor.DimString(dims))
	}
	return v, w, nil
}

// convolvedBy is a convolution by a computed weight: a product of two values.
func (o *op) convolvedBy(c *dag.Conv, v, w *value, spatial []int) (*value, error) {
	shape := append([]int{v.shape[0], c.OutChannels}, spatial...)
	if !tensor.Fits(shape) {
		return nil, tooLarge()
	}
	in := []*value{v, w}
	if b := o.arg(2); b != nil {
		if dag.Size(tensor.SampleShape(b.dims())) != c.OutChannels || slices.Contains(b.dims(), tensor.BatchDim) {
			return nil, refusal.New("", "a bias of shape %s for %s", tensor.DimString(b.dims()), words.Count(c.OutChannels, "channel"))
		}
		in = append(in, b)
	}
	samples, places, taps := tensor.Single(v.shape[0]), dag.Size(spatial), dag.Size(c.Window.Kernel)
	from := dag.Size(v.shape[2:])
	ins, outs := c.InChannels/c.Groups, c.OutChannels/c.Groups
	return o.functionOf("its weight is computed: a product of two values", v.dataType(), shape, func(dst []float64, in ...[]float64) {
		clear(dst)
		for k := range samples * c.OutChannels * ins {
			b, m, i := k/(c.OutChannels*ins), k/ins%c.OutChannels, k%ins
			g := m / outs
			x, y := in[0][((b*c.Groups+g)*ins+i)*from:][:from], dst[(b*c.OutChannels+m)*places:][:places]
			kernel := in[1][(m*ins+i)*taps:]
			if c.Transposed {
				kernel = in[1][((g*ins+i)*outs+m%outs)*taps:]
			}
			c.Window.Taps(func(out, at, tap int) {
				if c.Transposed {
					out, at = at, out
				}
				y[out] += kernel[tap] * x[at]
			})
		}
		if len(in) > 2 {
			for k := range dst {
				dst[k] += in[2][k/places%c.OutChannels]
			}
		}
	}, in...)
}

// transposedWindow returns the window of the convolution whose transpose the
// operator is. The value has
//
//	stride*(in-1) + output_padding + dilation*(kernel-1) + 1 - pads
//
// elements along an axis, or what output_shape says, or stride*in with
// automatic padding; the window's end padding takes up what is left over.
func (o *op) transposedWindow(g *geometry, in []int) (dag.Window, error) {
	n := len(in)
	w := dag.Window{
		In: make([]int, n), Kernel: g.kernel, Stride: g.stride, Dilation: g.dilation,
		Before: make([]int, n), After: make([]int, n),
	}
	extra, given := o.ints("output_padding"), o.ints("output_shape")
	if len(extra) != 0 && len(extra) != n || len(given) != 0 && len(given) < n {
		return w, refusal.New("", "output_padding %v and output_shape %v for %d spatial axes", extra, given, n)
	}
	given = given[max(0, len(given)-n):] // some exporters list N and C too
	size := 1
	for i := range in {
		full := int64(g.stride[i])*int64(in[i]-1) + int64(g.extent(i))
		if len(extra) > 0 {
			if extra[i] < 0 || extra[i] > tensor.MaxElements {
				return w, refusal.New("", "output_padding is %v", extra)
			}
			full += extra[i]
		}
		var out int64
		switch {
		case len(given) > 0:
			out = given[i]
		case g.auto == "SAME_UPPER" || g.auto == "SAME_LOWER":
			out = int64(g.stride[i]) * int64(in[i])
		case g.auto == "VALID":
			out = full
		default:
			out = full - int64(g.pads[i]) - int64(g.pads[n+i])
		}
		if g.auto != "NOTSET" && out > full && len(given) == 0 {
			return w, refusal.New("export explicit pads", "auto_pad=%s with a kernel smaller than the stride: ONNX and ONNX Runtime disagree on the size of the result", g.auto)
		}
		if out < 1 || out > tensor.MaxElements || full > 1<<40 {
			return w, refusal.New("", "the result has %s along axis %d", words.Count(out, "element"), i+2)
		}
		switch {
		case g.pads != nil && len(given) == 0:
			w.Before[i] = g.pads[i]
		case g.auto == "SAME_UPPER":
			w.Before[i] = int(max(0, full-out) / 2)
		default:
			total := int(max(0, full-out))
			w.Before[i] = total - total/2
		}
		w.In[i] = int(out)
		w.After[i] = w.End(i, in[i]) - w.In[i]
		if size *= int(out); size > tensor.MaxElements {
			return w, tooLarge()
		}
	}
	return w, nil
}
