package onnxio

import (
	"github.com/relupath/relupath/analysis/dag"
)

// jumping says whether a cap is a threshold, below which its value is 0.
type jumping bool

const (
	noJump jumping = false
	jump   jumping = true
)

// cap bounds the elements of v, lo and hi one number or one an element. What bounds
// the other side of v just before, a ReLU or a cap, becomes part of it: the file may
// have one node for each bound.
func (o *op) cap(v *value, lo, hi []float64, at *capSite, jumps jumping) *value {
	at.shape = v.shape
	c := &dag.Cap{Lo: lo, Hi: hi, Jump: bool(jumps), Site: at, Type: dtype(v.elem)}
	switch {
	case o.call != nil:
		c.Storage, c.Reason = dag.BoundsFixed, "they are inside a local function or a subgraph"
	case o.node.OpType == "ThresholdedRelu" || o.node.OpType == "Clip" && o.opset < 8:
		c.Storage = dag.BoundsInCommon // what has one bound an element does not broadcast, or is no operator
	}
	if c.Jump || !v.exclusive {
		return o.emit(c, v.shape, v)
	}
	before := &o.nodes[v.node]
	if len(before.In) == 1 {
		whole := &value{node: before.In[0], shape: v.shape, elem: v.elem}
		if b, ok := before.Op.(*dag.Cap); ok {
			if !b.Jump && joinCaps(c, at, b) {
				return o.emit(c, v.shape, whole)
			}
		} else if lo, _, relu := before.Bounds(); relu && none(c.Lo) {
			c.Lo, at.lo = []float64{lo}, nowhere
			return o.emit(c, v.shape, whole)
		}
	}
	return o.emit(c, v.shape, v)
}

// joinCaps takes the bounds of b, which acts just before c, into c where they are on the
// other side.
func joinCaps(c *dag.Cap, at *capSite, b *dag.Cap) bool {
	from := b.Site.(*capSite)
	switch {
	case none(c.Lo) && none(b.Hi):
		c.Lo, at.lo = b.Lo, from.lo
	case none(c.Hi) && none(b.Lo):
		c.Hi, at.hi = b.Hi, from.hi
	default:
		return false
	}
	if b.Storage > c.Storage {
		c.Storage, c.Reason = b.Storage, b.Reason
	}
	return true
}
