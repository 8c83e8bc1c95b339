package dag

import "fmt"

// Window is a sliding window over spatial positions, of a convolution or a
// pooling. All slices have one entry a spatial dimension.
type Window struct {
	// In is the spatial shape of the operand.
	In []int
	// Kernel, Stride and Dilation are the window's geometry.
	Kernel, Stride, Dilation []int
	// Before and After are the padding at the begin and the end.
	Before, After []int
	// Extra widens the output at the end (ceil_mode): positions whose window
	// begins inside the padded operand though it ends beyond it.
	Extra []int
}

// Out returns the spatial shape of the result:
// floor((in + before + after - dilation*(kernel-1) - 1)/stride) + 1 + extra.
func (w *Window) Out() []int {
	out := make([]int, len(w.In))
	for i := range out {
		extra := 0
		if w.Extra != nil {
			extra = w.Extra[i]
		}
		out[i] = (w.In[i]+w.Before[i]+w.After[i]-w.Dilation[i]*(w.Kernel[i]-1)-1)/w.Stride[i] + 1 + extra
	}
	return out
}

func (w *Window) check() error {
	d := len(w.In)
	for _, s := range [][]int{w.Kernel, w.Stride, w.Dilation, w.Before, w.After} {
		if len(s) != d {
			return fmt.Errorf("window of %d dimensions has a field of %d", d, len(s))
		}
	}
	for i := 0; i < d; i++ {
		if w.Kernel[i] < 1 || w.Stride[i] < 1 || w.Dilation[i] < 1 {
			return fmt.Errorf("window kernel %v, stride %v, dilation %v: want at least 1", w.Kernel, w.Stride, w.Dilation)
		}
		if w.In[i]+w.Before[i]+w.After[i] < w.Dilation[i]*(w.Kernel[i]-1)+1 {
			return fmt.Errorf("window of %v (dilation %v) exceeds the padded operand %v", w.Kernel, w.Dilation, w.In)
		}
	}
	return nil
}

// Taps calls f for every pair of an output position and an operand position
// inside the operand (padding is skipped), with the kernel position between
// them; all are row-major indices. Output positions come in order.
func (w *Window) Taps(f func(out, in, kernel int)) {
	d := len(w.In)
	out := w.Out()
	o, k := make([]int, d), make([]int, d)
	nOut, nK := Size(out), Size(w.Kernel)
	for oi := 0; oi < nOut; oi++ {
		unravel(o, oi, out)
		for ki := 0; ki < nK; ki++ {
			unravel(k, ki, w.Kernel)
			in := 0
			for i := 0; i < d; i++ {
				x := o[i]*w.Stride[i] - w.Before[i] + k[i]*w.Dilation[i]
				if x < 0 || x >= w.In[i] {
					in = -1
					break
				}
				in = in*w.In[i] + x
			}
			if in >= 0 {
				f(oi, in, ki)
			}
		}
	}
}

func unravel(dst []int, i int, shape []int) {
	for d := len(shape) - 1; d >= 0; d-- {
		dst[d] = i % shape[d]
		i /= shape[d]
	}
}
