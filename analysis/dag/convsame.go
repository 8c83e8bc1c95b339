package dag

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// repeats are the output positions of a window that have values of their own.
// Path vectors of a network of convolutions are equal but near the borders, where
// padding has cut paths off: the input's are all ones, and each window adds a
// line or two on each side. So most positions have the values of a neighbour.
type repeats struct {
	// of is each output position's number among those that are computed, n how
	// many these are.
	of []int32
	n  int
	// taps has, for each kernel position, the operand position that each of the n
	// reads, -1 for padding.
	taps []int32
}

// repeated finds the repeats of values x, channels x positions of the operand;
// nil where they are not worth it.
func (c *Conv) repeated(x []float64, channels int) *repeats {
	w := &c.Window
	if Size(w.In) < 16 {
		return nil // too small to repeat much
	}
	out := w.Out()
	first := make([][]int, len(out)) // by axis: the coordinates computed
	number := make([][]int32, len(out))
	n := 1
	for a := range out {
		class := lineClasses(x, channels, w.In, a)
		number[a] = make([]int32, out[a])
		var last []int32
		for o := range out[a] {
			reads := make([]int32, w.Kernel[a])
			for t := range reads {
				reads[t] = -1
				if i := w.at(a, o, t); i >= 0 {
					reads[t] = class[i]
				}
			}
			if last == nil || !slices.Equal(last, reads) {
				first[a] = append(first[a], o)
				last = reads
			}
			number[a][o] = int32(len(first[a]) - 1)
		}
		n *= len(first[a])
	}
	if 10*n > 9*Size(out) {
		return nil
	}
	r := &repeats{of: make([]int32, Size(out)), n: n, taps: make([]int32, Size(w.Kernel)*n)}
	for e := range r.of {
		at, rest, f := int32(0), e, int32(1)
		for a := len(out) - 1; a >= 0; a-- {
			at += f * number[a][rest%out[a]]
			f *= int32(len(first[a]))
			rest /= out[a]
		}
		r.of[e] = at
	}
	for k := range Size(w.Kernel) {
		for e := range n {
			at, tap, rest, f := 0, k, e, 1
			for a := len(out) - 1; a >= 0 && at >= 0; a-- {
				i := w.at(a, first[a][rest%len(first[a])], tap%w.Kernel[a])
				at += f * i
				if i < 0 {
					at = -1
				}
				f *= w.In[a]
				tap /= w.Kernel[a]
				rest /= len(first[a])
			}
			r.taps[k*n+e] = int32(at)
		}
	}
	return r
}

// at returns the operand's coordinate on an axis that kernel coordinate t reads
// at output coordinate o; -1 for padding.
func (w *Window) at(axis, o, t int) int {
	i := o*w.Stride[axis] - w.Before[axis] + t*w.Dilation[axis]
	if i < 0 || i >= w.In[axis] {
		return -1
	}
	return i
}

// lineClasses numbers the coordinates of an axis so that those with one number
// have equal values: each is compared with the one before.
func lineClasses(x []float64, channels int, in []int, axis int) []int32 {
	n, before, after := in[axis], channels*Size(in[:axis]), Size(in[axis+1:])
	equal := make([]bool, n)
	for i := 1; i < n; i++ {
		equal[i] = true
		for b := 0; b < before && equal[i]; b++ {
			at := (b*n + i) * after
			equal[i] = slices.Equal(x[at:at+after], x[at-after:at])
		}
	}
	class := make([]int32, n)
	for i := 1; i < n; i++ {
		class[i] = class[i-1]
		if !equal[i] {
			class[i]++
		}
	}
	return class
}

// runRepeated is run for an exact programme towards the outputs, over the
// positions of s alone.
func (r *programme) runRepeated(s *repeats, dst []scaled.Num) {
	outer, inner, k := r.c.dims()
	rows, nIn, nOut := inner*k, Size(r.c.Window.In), len(s.of)
	cols, sum := sized(&r.ws.cols, rows*s.n), sized(&r.ws.sum, outer*s.n)
	kernel.Parallel(inner, r.threads, max(1, 1<<14/(k*s.n)), func(lo, hi int) {
		for j := lo; j < hi; j++ {
			x, d := r.h[j*nIn:][:nIn], cols[j*k*s.n:][:k*s.n]
			for e, at := range s.taps {
				d[e] = 0
				if at >= 0 {
					d[e] = x[at]
				}
			}
		}
	})
	if math.IsInf(r.p, 1) {
		clear(sum)
		kernel.Parallel(outer, r.threads, max(1, 1<<14/(rows*s.n)), func(lo, hi int) {
			for a := lo; a < hi; a++ {
				kernel.ColumnsMax(sum[a*s.n:][:s.n], cols, s.n, r.w[a*rows:][:rows])
			}
		})
	} else {
		blas.Find().Dgemm(false, false, outer, s.n, rows, 1, r.w, rows, cols, s.n, 0, sum, s.n)
	}
	kernel.Parallel(outer, r.threads, max(1, 1<<14/nOut), func(lo, hi int) {
		own := make([]scaled.Num, s.n)
		for a := lo; a < hi; a++ {
			for e, x := range sum[a*s.n:][:s.n] {
				own[e] = r.finish(x)
			}
			d := dst[a*nOut:][:nOut]
			for e, at := range s.of {
				d[e] = own[at]
			}
		}
	})
}
