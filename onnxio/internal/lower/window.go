package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// geometry holds the window attributes of a convolution or a pooling, one
// entry a spatial axis.
type geometry struct {
	kernel, stride, dilation []int
	// pads holds all begins, then all ends; nil with automatic padding.
	pads []int
	auto string
}

// geometry reads the window attributes for spatial axes of the given number;
// kernel is used where the attribute kernel_shape is absent.
func (o *op) geometry(spatial int, kernel []int) (geometry, error) {
	g := geometry{auto: o.str("auto_pad", "NOTSET")}
	read := func(name string, n, def, least int) ([]int, error) {
		a := o.attr(name)
		if a == nil || len(a.Ints) == 0 {
			return slices.Repeat([]int{def}, n), nil
		}
		if len(a.Ints) != n {
			return nil, refusal.New("", "%s has %s, want %d", name, words.Count(len(a.Ints), "entry"), n)
		}
		out := make([]int, n)
		for i, v := range a.Ints {
			if v < int64(least) || v > tensor.MaxElements {
				return nil, refusal.New("", "%s is %v", name, a.Ints)
			}
			out[i] = int(v)
		}
		return out, nil
	}
	var err error
	if g.stride, err = read("strides", spatial, 1, 1); err != nil {
		return g, err
	}
	if g.dilation, err = read("dilations", spatial, 1, 1); err != nil {
		return g, err
	}
	g.kernel = kernel
	if kernel == nil || o.attr("kernel_shape") != nil {
		if g.kernel, err = read("kernel_shape", spatial, 0, 1); err != nil {
			return g, err
		}
	}
	switch {
	case kernel != nil && !slices.Equal(g.kernel, kernel):
		return g, refusal.New("", "kernel_shape %v and a weight with kernel %v", g.kernel, kernel)
	case slices.Contains(g.kernel, 0):
		return g, refusal.New("", "kernel_shape is missing")
	}
	switch g.auto {
	case "NOTSET", "":
		g.auto = "NOTSET"
		g.pads, err = read("pads", 2*spatial, 0, -tensor.MaxElements)
	case "VALID", "SAME_UPPER", "SAME_LOWER":
	default:
		err = refusal.New("", "auto_pad is %q", g.auto)
	}
	return g, err
}

// extent returns the elements that the kernel spans along axis i.
func (g *geometry) extent(i int) int { return (g.kernel[i]-1)*g.dilation[i] + 1 }

// window places the kernel over an operand of the given spatial shape. ceil
// rounds the number of positions up where the last one begins inside the
// operand or the padding before it.
func (g *geometry) window(in []int, ceil bool) (dag.Window, error) {
	n := len(in)
	w := dag.Window{
		In: in, Kernel: g.kernel, Stride: g.stride, Dilation: g.dilation,
		Before: make([]int, n), After: make([]int, n),
	}
	for i, size := range in {
		ext, stride := g.extent(i), g.stride[i]
		switch g.auto {
		case "NOTSET":
			w.Before[i], w.After[i] = g.pads[i], g.pads[n+i]
		case "SAME_UPPER", "SAME_LOWER":
			out := (size + stride - 1) / stride
			total := max(0, (out-1)*stride+ext-size)
			w.Before[i], w.After[i] = total/2, total-total/2
			if g.auto == "SAME_LOWER" {
				w.Before[i], w.After[i] = w.After[i], w.Before[i]
			}
		}
		room := size + w.Before[i] + w.After[i] - ext
		if size < 1 || room < 0 {
			return w, refusal.New("", "a kernel of %v (dilation %v) exceeds an operand of %v padded by %v and %v",
				g.kernel, g.dilation, in, w.Before, w.After)
		}
		if ceil && room%stride != 0 && (room/stride+1)*stride < size+w.Before[i] {
			if w.Extra == nil {
				w.Extra = make([]int, n)
			}
			w.Extra[i] = 1
		}
	}
	out := 1
	for _, d := range w.Out() {
		if out *= d; out > tensor.MaxElements {
			return w, tooLarge()
		}
	}
	for _, k := range g.kernel {
		if out *= k; out > maxTaps {
			return w, refusal.New("", "a kernel of %v at %v positions: more than %d products", g.kernel, w.Out(), maxTaps)
		}
	}
	for i, k := range g.kernel {
		if n := w.Out()[i]; k*n > maxSteps {
			return w, refusal.New("", "a kernel of %d elements at %d positions along one axis: more than %d products", k, n, maxSteps)
		}
	}
	return w, nil
}

// maxSteps bounds the pairs of window and kernel positions along one axis, of which several bytes
// are held where no two positions agree: a second of sound at 48 kHz under a kernel of 699.
const maxSteps = 1 << 25

// maxTaps bounds the pairs of window and kernel positions, which are visited
// one by one: a few bytes of a file could ask for hours.
const maxTaps = 1 << 30
