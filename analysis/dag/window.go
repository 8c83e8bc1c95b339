package dag

import (
	"fmt"
	"math"
	"slices"
)

// Window is a sliding window over spatial positions, of a convolution or a
// pooling. All slices have one entry a spatial dimension.
type Window struct {
	// In is the spatial shape of the operand.
	In []int
	// Kernel, Stride and Dilation are the window's geometry.
	Kernel, Stride, Dilation []int
	// Before and After are the padding at the beginning and the end; negative
	// padding crops.
	Before, After []int
	// Extra widens the output at the end (ceil_mode): positions whose window
	// begins inside the padded operand though it ends beyond it. Nil is none.
	Extra []int
}

// NewWindow is a window of the given kernel at each place, without padding.
func NewWindow(in, kernel []int) Window {
	d := len(in)
	mustLen("kernel", len(kernel), d)
	return Window{
		In: in, Kernel: kernel, Stride: slices.Repeat([]int{1}, d), Dilation: slices.Repeat([]int{1}, d),
		Before: make([]int, d), After: make([]int, d),
	}
}

// Extent is how many places a window spans: dilation*(kernel-1) + 1.
func (w *Window) Extent(i int) int { return w.Dilation[i]*(w.Kernel[i]-1) + 1 }

// At is the coordinate along axis d that output coordinate o reads at kernel coordinate t:
//
//	o stride - before + t dilation,
//
// outside [0, In[d]) where that is padding.
func (w *Window) At(d, o, t int) int { return o*w.Stride[d] - w.Before[d] + t*w.Dilation[d] }

// End is the coordinate along axis d behind all that the first n outputs read.
func (w *Window) End(d, n int) int { return w.At(d, n-1, w.Kernel[d]-1) + 1 }

// Adjoint is the window, over the outputs, of the transpose of a convolution with stride 1:
// a convolution with the kernel turned round.
func (w *Window) Adjoint() Window {
	a := Window{In: w.Out(), Kernel: w.Kernel, Stride: w.Stride, Dilation: w.Dilation}
	for d := range w.In {
		reach := w.Extent(d) - 1
		a.Before, a.After = append(a.Before, reach-w.Before[d]), append(a.After, reach-w.After[d])
	}
	return a
}

// Out returns the spatial shape of the result:
// floor((in + before + after - extent)/stride) + 1 + extra.
func (w *Window) Out() []int {
	out := make([]int, len(w.In))
	for i := range out {
		extra := 0
		if w.Extra != nil {
			extra = w.Extra[i]
		}
		out[i] = (w.In[i]+w.Before[i]+w.After[i]-w.Extent(i))/w.Stride[i] + 1 + extra
	}
	return out
}

func mustLen(what string, got, want int) {
	if got != want {
		panic(fmt.Sprintf("dag: %s of %d elements, want %d", what, got, want))
	}
}

func errLength(what string, got, want int) error {
	return fmt.Errorf("%s: %d values, want %d", what, got, want)
}

func (w *Window) check() error {
	d := len(w.In)
	fields := [][]int{w.In, w.Kernel, w.Stride, w.Dilation, w.Before, w.After}
	if w.Extra != nil {
		fields = append(fields, w.Extra)
	}
	for _, s := range fields {
		if len(s) != d {
			return fmt.Errorf("window of %d dimensions has a field of %d", d, len(s))
		}
		for _, x := range s {
			// Sums and products of two such numbers fit an int64.
			if x > math.MaxInt32 || x < -math.MaxInt32 {
				return fmt.Errorf("window: %d is beyond 2^31", x)
			}
		}
	}
	for i := range d {
		if w.In[i] < 1 {
			return fmt.Errorf("window over an empty operand %v", w.In)
		}
		if w.Kernel[i] < 1 || w.Stride[i] < 1 || w.Dilation[i] < 1 {
			return fmt.Errorf("window kernel %v, stride %v, dilation %v: want at least 1", w.Kernel, w.Stride, w.Dilation)
		}
		if w.Extra != nil && w.Extra[i] < 0 {
			return fmt.Errorf("window: %v extra positions", w.Extra)
		}
		if w.In[i]+w.Before[i]+w.After[i] < w.Extent(i) {
			return fmt.Errorf("window of %v (dilation %v) exceeds the padded operand %v", w.Kernel, w.Dilation, w.In)
		}
	}
	if _, ok := product(w.In...); !ok {
		return fmt.Errorf("window over %v: more than 2^31 positions", w.In)
	}
	if _, ok := product(append(w.Out(), w.Kernel...)...); !ok {
		return fmt.Errorf("window of %v at %v positions: more than 2^31 products", w.Kernel, w.Out())
	}
	return nil
}

// product multiplies dimensions; ok is false when one is negative or the
// product is above maxElements.
func product(dims ...int) (n int, ok bool) {
	n = 1
	for _, d := range dims {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			return 0, true
		}
	}
	for _, d := range dims {
		if n > maxElements/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// Taps calls f for every pair of an output position and an operand position
// inside the operand (padding is skipped), with the kernel position between
// them; all are row-major indices. A kernel position's taps of one line come
// together: see Runs.
func (w *Window) Taps(f func(out, in, kernel int)) {
	step := w.Step()
	w.Runs(func(out, in, kernel, n int) {
		for i := range n {
			f(out+i, in+i*step, kernel)
		}
	})
}

// Step returns by how many operand positions neighbours of a run differ.
func (w *Window) Step() int {
	if d := len(w.Stride); d > 0 {
		return w.Stride[d-1]
	}
	return 1
}

// Runs lists the taps of Taps in runs along the last dimension: run (out, in,
// kernel, n) has the taps (out+i, in+i*stride, kernel) for i < n.
func (w *Window) Runs(f func(out, in, kernel, n int)) {
	if len(w.In) == 0 {
		f(0, 0, 0, 1)
		return
	}
	w.RunsWithin(0, w.Out()[0], f)
}

// RunsWithin is Runs for the output positions whose first coordinate is in [lo, hi); the window
// has one dimension at least.
func (w *Window) RunsWithin(lo, hi int, f func(out, in, kernel, n int)) {
	r := &runner{w, w.Out(), f}
	if len(r.out) > 1 {
		for x := lo; x < hi; x++ {
			r.line(0, x, 0, 0, 0)
		}
		return
	}
	r.last(lo, hi, 0, 0, 0)
}

type runner struct {
	w   *Window
	out []int
	f   func(out, in, kernel, n int)
}

// line visits coordinate x of dimension d below the partial indices o, in, k.
func (r *runner) line(d, x, o, in, k int) {
	w := r.w
	base := w.At(d, x, 0)
	first := ceilDiv(max(0, -base), w.Dilation[d])
	for t := first; t < w.Kernel[d]; t++ {
		at := base + t*w.Dilation[d]
		if at >= w.In[d] {
			break
		}
		o, in, k := o*r.out[d]+x, in*w.In[d]+at, k*w.Kernel[d]+t
		if d+2 == len(r.out) {
			r.last(0, r.out[d+1], o, in, k)
			continue
		}
		for y := range r.out[d+1] {
			r.line(d+1, y, o, in, k)
		}
	}
}

// last lists the runs of the last dimension, over outputs [lo, hi).
func (r *runner) last(lo, hi, o, in, k int) {
	w, d := r.w, len(r.out)-1
	s, n := w.Stride[d], w.In[d]
	for t := range w.Kernel[d] {
		// x*s - base is inside [0, n).
		base := -w.At(d, 0, t)
		if base+n <= lo*s {
			break
		}
		x0 := max(lo, ceilDiv(max(0, base), s))
		x1 := min(hi, ceilDiv(base+n, s))
		if x0 < x1 {
			r.f(o*r.out[d]+x0, in*n+x0*s-base, k*w.Kernel[d]+t, x1-x0)
		}
	}
}

// ceilDiv returns a/b rounded up, for a >= 0 and b > 0.
func ceilDiv(a, b int) int { return (a + b - 1) / b }
