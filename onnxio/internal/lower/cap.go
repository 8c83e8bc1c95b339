package lower

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
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
func (o *op) cap(v *value, lo, hi []float64, at *source.Cap, jumps jumping) *value {
	at.Shape = v.shape
	c := &dag.Cap{Lo: lo, Hi: hi, Jump: bool(jumps), Site: at, Type: tensor.Dtype(v.elem)}
	switch {
	case o.call != nil:
		c.Storage, c.Reason = dag.BoundsFixed, "they are inside a local function or a subgraph"
	case o.node.OpType == "ThresholdedRelu" || o.node.OpType == "Clip" && o.opset < 8:
		c.Storage = dag.BoundsInCommon // what has one bound an element does not broadcast, or is no operator
		if c.Type == dag.Float64 {
			c.Type = dag.Float32 // attributes are
		}
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
		} else if lo, _, relu := before.Bounds(); relu && source.None(c.Lo) {
			c.Lo, at.Lo = []float64{lo}, source.Nowhere
			return o.emit(c, v.shape, whole)
		}
	}
	return o.emit(c, v.shape, v)
}

// joinCaps takes the bounds of b, which acts just before c, into c where they are on the
// other side and stored in the same type.
func joinCaps(c *dag.Cap, at *source.Cap, b *dag.Cap) bool {
	from := b.Site.(*source.Cap)
	switch {
	case c.Type != b.Type: // an attribute and a tensor of float64
		return false
	case source.None(c.Lo) && source.None(b.Hi):
		c.Lo, at.Lo = b.Lo, from.Lo
	case source.None(c.Hi) && source.None(b.Lo):
		c.Hi, at.Hi = b.Hi, from.Hi
	default:
		return false
	}
	if b.Storage > c.Storage {
		c.Storage, c.Reason = b.Storage, b.Reason
	}
	return true
}
