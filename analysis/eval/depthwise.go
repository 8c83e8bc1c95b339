package eval

import (
	"sync/atomic"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// phases returns the layout of the padded operand; nil where there is none, or its padding is far larger than
// operand and result.
func (c conv) phases() *dag.Phases {
	if c.Transposed {
		return nil
	}
	return c.Window.Phases(4*(dag.Size(c.Window.In)+dag.Size(c.Window.Out())) + 1<<10)
}

// depthwise computes a convolution whose groups have one channel: each output channel is
// a sum of shifted copies of an input channel, for which a matrix product would be a
// copy and a call a channel.
func (c conv) depthwise(ev *evaluator, p *dag.Phases, dst, src []float64, fin *finish) {
	outer, _, k := c.Matrix()
	nIn, nOut := dag.Size(c.Window.In), dag.Size(c.Window.Out())
	weights := ev.buffer(c.Groups * outer * k)
	defer ev.give(weights)
	for g := range c.Groups {
		c.group(g, weights[g*outer*k:], 1)
	}
	planes := ev.batch * c.Groups
	room := ev.buffer(min(ev.threads, planes) * p.Len) // one for each worker
	defer ev.give(room)
	var workers atomic.Int32
	// The value is batch x groups x outer channels.
	ev.rows(planes, (nIn+nOut*k)*outer, func(lo, hi int) {
		x := room[int(workers.Add(1)-1)*p.Len:][:p.Len]
		clear(x)
		for i := lo; i < hi; i++ {
			kernel.Moves(x, src[i*nIn:][:nIn], p.Lines, p.Step, 0)
			for o := range outer {
				line := i*outer + o
				s, b := fin.of(line)
				kernel.Taps(dst[line*nOut:][:nOut], p.Width, x, p.Rows, p.Taps, weights[(i%c.Groups*outer+o)*k:][:k], s, b, fin.bounds.lo, fin.bounds.hi)
			}
		}
	})
}
