package lower

import (
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// use makes a Use of a constant as input k of the current operator. swapped
// says that the operator sees the transpose of the Param.
func (l *lowering) use(t *tensor.Tensor, k int) (dag.Use, error) {
	name := ""
	at := &source.Site{Node: -1, Input: -1}
	if l.current != nil {
		*at = l.operandSite(k)
	}
	at.Swapped, at.Dims = t.Swapped, t.Dims
	switch {
	case l.current == nil:
	case k >= 0 && k < len(l.current.in):
		name = l.current.node.Inputs[k]
		if v := l.current.in[k]; v.constant() {
			at.Dims, at.Swapped = v.con.Dims, v.con.Swapped && t.Stored != nil
			if n := len(v.con.Turns); t.Stored == nil && len(t.Turns) > n {
				at.Turns = t.Turns[n:]
			}
		}
	default:
		name = nodeLabel(l.current.node, l.current.index) // a number that it makes itself
	}
	p, err := t.Param(name)
	if err != nil {
		return dag.Use{}, err
	}
	if t.Stored != nil && t.Scalar() {
		l.owners[p] = t.Stored
	}
	return dag.Use{Param: p, Site: at}, nil
}

// vectorOf makes a stage vector of a constant: index maps each of rows units
// to an element, nil the same one.
func (l *lowering) vectorOf(t *tensor.Tensor, index []int32, rows int) (*dag.Vector, error) {
	return l.vectorAt(t, index, rows, -1)
}

func (l *lowering) vectorAt(t *tensor.Tensor, index []int32, rows, k int) (*dag.Vector, error) {
	if t.Swapped {
		// Vectors are small: a computed copy serves.
		if err := t.Read(); err != nil {
			return nil, err
		}
		t = tensor.NewFloats(t.Typ, t.Dims, t.Floats)
	}
	u, err := l.use(t, k)
	if err != nil {
		return nil, err
	}
	plain := len(index) == t.Size() && len(index) == rows
	for i := 0; plain && i < len(index); i++ {
		plain = int(index[i]) == i
	}
	if plain || t.Scalar() {
		index = nil
	}
	return &dag.Vector{Use: u, Coef: 1, Index: index}, nil
}

// unitIndex maps each unit of an axis to the element of a constant that
// broadcasting to shape pairs it with; ok is false when the elements of one
// unit differ.
func unitIndex(dims, sample []int, a dag.Axis) (index []int32, ok bool) {
	index = make([]int32, a.N)
	if dag.Size(dims) == 1 {
		return index, true
	}
	if lo, hi, whole := axesOf(a, sample); whole && a.Len() > 0 {
		// The axes of the units, where they are whole ones, say it without a list of all elements.
		step := tensor.BroadcastSteps(dims, sample)
		for d, s := range step {
			if (d < lo || d >= hi) && s != 0 && sample[d] > 1 {
				return nil, false
			}
		}
		return tensor.Offsets(sample[lo:hi], step[lo:hi]), true
	}
	elem := tensor.BroadcastIndex(dims, sample)
	for i := range index {
		index[i] = -1
	}
	for e, j := range elem {
		i := a.At(e)
		if index[i] >= 0 && index[i] != j {
			return nil, false
		}
		index[i] = j
	}
	return index, true
}

// axesOf returns the axes [lo, hi) of a shape that an axis of units is; whole is false
// where it is not one of several of them.
func axesOf(a dag.Axis, shape []int) (lo, hi int, whole bool) {
	n := 1
	for ; lo < len(shape) && n < a.Outer; lo++ {
		n *= shape[lo]
	}
	if n != a.Outer {
		return 0, 0, false
	}
	n = 1
	for hi = lo; hi < len(shape) && n < a.N; hi++ {
		n *= shape[hi]
	}
	return lo, hi, n == a.N && dag.Size(shape[hi:]) == a.Inner
}

// foldable returns the linear layer that a stage can be added to, if v is its
// value and nothing else reads it.
func (l *lowering) foldable(v *value) *dag.Linear {
	if !v.exclusive {
		return nil
	}
	lin, ok := l.nodes[v.node].Op.(*dag.Linear)
	if !ok || lin.Map == nil {
		return nil
	}
	if _, avg := lin.Map.(*dag.Average); avg {
		return nil
	}
	return lin
}

// affine applies z -> coef*z (mul nil) or z -> mul*z, then z -> z + add, with
// constants that broadcast against v: as stages of the preceding linear layer
// where they fit its units, else as a layer of its own.
type affine struct {
	mul, add     *tensor.Tensor
	mulAt, addAt int
	inverse      bool
	coef         float64
	addCoef      float64
}

func (o *op) affine(v *value, f affine) (*value, error) {
	shape := v.shape
	for _, t := range []*tensor.Tensor{f.mul, f.add} {
		if t == nil {
			continue
		}
		s, err := tensor.BroadcastDims(shape, tensor.AlignBatch(t, shape))
		if err != nil {
			return nil, sumShapes(err, []*value{v})
		}
		shape = s
	}
	if slices.Equal(shape, v.shape) {
		f.mul, f.add = f.mul.Single(), f.add.Single()
	}
	v = o.expand(v, shape)
	if lin := o.foldable(v); lin != nil {
		axes := o.unitAxes[v.node]
		st, ok, err := o.stage(f, shape, lin.Out(), axes)
		if err != nil {
			return nil, err
		}
		if ok {
			lin.Stages = append(lin.Stages, st)
			delete(o.facts, v.node)
			nd := &o.nodes[v.node]
			if s := "+" + opLabel(o.node); len(nd.Source)+len(s) < maxSource {
				nd.Source += s
			} else if !strings.HasSuffix(nd.Source, "+...") {
				nd.Source += "+..."
			}
			return v, nil
		}
	}
	axis, axes := f.axis(shape)
	if f.uniform() {
		if axis, axes = o.unitsOf(v, axis, axes); axis.N > maxUniform {
			axis, axes = channelsOf(shape)
		}
	}
	st, _, err := o.stage(f, shape, axis, axes)
	if err != nil {
		return nil, err
	}
	out := o.emit(&dag.Linear{Map: &dag.Diagonal{Axis: axis}, Stages: []dag.Stage{st}}, shape, v)
	o.unitAxes[out.node] = axes
	return out, nil
}

// maxSource bounds the list of the operators that one layer was made of.
const maxSource = 200

// stage makes the stage; ok is false when a constant differs within a unit.
func (o *op) stage(f affine, shape []int, a dag.Axis, axes []int) (st dag.Stage, ok bool, err error) {
	if f.coef != 1 {
		st.Mul = &dag.Vector{Coef: f.coef}
	}
	sample := tensor.SampleShape(shape)
	vector := func(t *tensor.Tensor, at int) (*dag.Vector, error) {
		dims, err := sampleDims(t, shape)
		if err != nil {
			return nil, err
		}
		index, fits := unitIndex(dims, sample, a)
		if !fits {
			ok = false
			return nil, nil
		}
		w, err := o.vectorAt(t, index, a.N, at)
		if err != nil {
			return nil, err
		}
		w.Full = make([]int, len(shape))
		for d := range w.Full {
			w.Full[d] = 1
			if shape[d] != tensor.BatchDim && slices.Contains(axes, d) {
				w.Full[d] = shape[d]
			}
		}
		if o.opset < 7 && wire.Domain(o.node.Domain) == "" && (w.Index != nil || w.Param.Len() != a.N) {
			o.legacyFull(w, shape, axes)
		}
		return w, nil
	}
	ok = true
	if f.mul != nil {
		if st.Mul, err = vector(f.mul, f.mulAt); err != nil || !ok {
			return st, ok, err
		}
		st.Mul.Coef, st.Mul.Inverse = f.coef, f.inverse
	}
	if f.add != nil {
		if st.Add, err = vector(f.add, f.addAt); err != nil || !ok {
			return st, ok, err
		}
		st.Add.Coef = f.addCoef
	}
	return st, true, nil
}

// axis returns the smallest run of axes that the constants vary along, and those ONNX
// axes. For scalars that is the last one where nothing is stored, else each element is a
// unit of its own.
func (f affine) axis(shape []int) (dag.Axis, []int) {
	lo, hi := len(shape), -1
	for _, t := range []*tensor.Tensor{f.mul, f.add} {
		if t == nil {
			continue
		}
		for i := range shape {
			k := len(t.Dims) - len(shape) + i
			if k >= 0 && t.Dims[k] != 1 {
				lo, hi = min(lo, i), max(hi, i)
			}
		}
	}
	if hi < 0 {
		lo, hi = 0, len(shape)-1
		if f.mul == nil && f.add == nil && hi > 0 && shape[hi] != tensor.BatchDim {
			lo = hi
		}
	}
	var axes []int
	for d := lo; d <= hi; d++ {
		if shape[d] != tensor.BatchDim {
			axes = append(axes, d)
		}
	}
	return unitsAlong(shape, lo, hi), axes
}

// unitsAlong has a unit for each place along the axes lo to hi of a shape.
func unitsAlong(shape []int, lo, hi int) dag.Axis {
	size := func(s []int) int { return dag.Size(tensor.SampleShape(s)) }
	hi = min(hi+1, len(shape))
	return dag.Axis{Outer: size(shape[:lo]), N: size(shape[lo:hi]), Inner: size(shape[hi:])}
}

// uniform reports whether the constants are the same for all elements.
func (f affine) uniform() bool {
	return (f.mul == nil || f.mul.Scalar()) && (f.add == nil || f.add.Scalar())
}

// unitsOf returns the units of a value that elementwise operators made of a layer's: a
// number for each element of an image would be a hundred thousand for each channel. It
// is the given axis where no layer of that shape is near.
func (o *op) unitsOf(v *value, axis dag.Axis, axes []int) (dag.Axis, []int) {
	const near = 8
	shape := tensor.SampleShape(v.shape)
	at := v.node
	for range near {
		nd := &o.nodes[at]
		if !slices.Equal(nd.Shape, shape) {
			break
		}
		if l, ok := nd.Op.(*dag.Linear); ok {
			known := o.unitAxes[at]
			if l.Map == nil || len(known) == 0 {
				return axis, axes
			}
			a := unitsAlong(v.shape, known[0], known[len(known)-1])
			if a != l.Out() {
				return axis, axes
			}
			return a, known
		}
		if nd.Moves() || len(nd.In) == 0 {
			break
		}
		at = nd.In[0]
	}
	return axis, axes
}

// maxUniform is the most units that one number is repeated for where no layer says what the
// units are: a value of more elements has its channels for units, and one of elements alone is
// a single unit, which costs freedom to rescale but no memory.
const maxUniform = 1 << 20

// channelsOf has a unit for each place along the first axis of several of a sample.
func channelsOf(shape []int) (dag.Axis, []int) {
	var axes []int
	for d, n := range shape {
		if n != tensor.BatchDim && n != 1 {
			axes = append(axes, d)
		}
	}
	if len(axes) < 2 {
		return unitsAlong(shape, 0, -1), nil
	}
	return unitsAlong(shape, axes[0], axes[0]), axes[:1]
}

// multiply scales v by a constant: a scalar is a fixed coefficient, a vector
// a layer of weights.
func (o *op) multiply(v *value, t *tensor.Tensor, at int, inverse bool) (*value, error) {
	if !t.Scalar() {
		return o.affine(v, affine{mul: t, mulAt: at, inverse: inverse, coef: 1})
	}
	c, err := t.Value()
	if err != nil {
		return nil, err
	}
	if inverse {
		c = 1 / c
	}
	shape, err := tensor.BroadcastDims(v.shape, tensor.AlignBatch(t, v.shape))
	if err != nil {
		return nil, sumShapes(err, []*value{v})
	}
	v = o.expand(v, shape)
	if c == 1 {
		return v, nil
	}
	return o.affine(v, affine{coef: c})
}
