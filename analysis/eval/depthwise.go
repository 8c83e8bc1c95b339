package eval

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// phases is the padded operand of a window, one channel of it, with its positions
// sorted by their remainder for the stride: what one kernel position reads at
// neighbouring outputs then lies together, for all outputs at once.
type phases struct {
	// len is the number of elements, of all phases.
	len int
	// lines copy the operand: each step-th element.
	lines []kernel.Move
	step  int
	// taps are where each kernel position's elements begin, rows where the lines of outputs
	// begin among these; width is their length.
	taps, rows []int
	width      int
}

// phases returns the layout for the window; ok is false where it has none, since its padding
// is far larger than operand and result.
func (c conv) phases() (p *phases, ok bool) {
	w := &c.Window
	dims := len(w.In)
	if c.Transposed || dims == 0 {
		return nil, false
	}
	out := w.Out()
	quot := make([]int, dims) // extents of one phase
	limit := 4*(dag.Size(w.In)+dag.Size(out)) + 1<<10
	size := 1
	for d := range dims {
		padded := max((out[d]-1)*w.Stride[d]+w.Extent(d), w.In[d]+w.Before[d])
		quot[d] = (padded + w.Stride[d] - 1) / w.Stride[d]
		if size > limit/(quot[d]*w.Stride[d]) {
			return nil, false
		}
		size *= quot[d] * w.Stride[d]
	}
	p = &phases{step: w.Step(), len: size, width: out[dims-1]}
	plane := dag.Size(quot)
	last := dims - 1
	// at returns the place of a padded position, one coordinate after the other.
	at := func(d, x, phase, place int) (int, int) {
		return phase*w.Stride[d] + x%w.Stride[d], place*quot[d] + x/w.Stride[d]
	}
	var lines func(d, from, phase, place int)
	lines = func(d, from, phase, place int) {
		if d < last {
			for x := max(0, -w.Before[d]); x < w.In[d]; x++ {
				ph, pl := at(d, x+w.Before[d], phase, place)
				lines(d+1, from*w.In[d]+x, ph, pl)
			}
			return
		}
		s := w.Stride[d]
		for first := max(0, -w.Before[d]); first < min(w.In[d], max(0, -w.Before[d])+s); first++ {
			ph, pl := at(d, first+w.Before[d], phase, place)
			p.lines = append(p.lines, kernel.Move{To: ph*plane + pl, From: from*w.In[d] + first, N: (w.In[d] - first + s - 1) / s})
		}
	}
	lines(0, 0, 0, 0)
	for t := range dag.Size(w.Kernel) {
		phase, place, rest := 0, 0, dag.Size(w.Kernel)
		for d := range dims {
			rest /= w.Kernel[d]
			phase, place = at(d, t/rest%w.Kernel[d]*w.Dilation[d], phase, place)
		}
		p.taps = append(p.taps, phase*plane+place)
	}
	for r := range dag.Size(out[:last]) {
		place, rest := 0, dag.Size(out[:last])
		for d := range last {
			rest /= out[d]
			place = place*quot[d] + r/rest%out[d]
		}
		p.rows = append(p.rows, place*quot[last])
	}
	return p, true
}

// depthwise computes a convolution whose groups have one channel: each output channel is
// a sum of shifted copies of an input channel, for which a matrix product would be a
// copy and a call a channel.
func (c conv) depthwise(ev *evaluator, p *phases, dst, src []float64, fin *finish) {
	outer, _, k := c.Matrix()
	nIn, nOut := dag.Size(c.Window.In), dag.Size(c.Window.Out())
	weights := make([]float64, c.Groups*outer*k)
	for g := range c.Groups {
		c.group(g, weights[g*outer*k:], 1)
	}
	// The value is batch x groups x outer channels.
	ev.rows(ev.batch*c.Groups, (nIn+nOut*k)*outer, func(lo, hi int) {
		x := make([]float64, p.len)
		for i := lo; i < hi; i++ {
			kernel.Moves(x, src[i*nIn:][:nIn], p.lines, p.step, 0)
			for o := range outer {
				line := i*outer + o
				s, b := fin.of(line)
				kernel.Taps(dst[line*nOut:][:nOut], p.width, x, p.rows, p.taps, weights[(i%c.Groups*outer+o)*k:][:k], s, b, fin.bounds.lo, fin.bounds.hi)
			}
		}
	})
}
