package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// An operator may merge the batch with other axes, as attention does that makes one stack
// of matrices of all samples and heads, and swin transformers with their windows. The
// samples stay separate. A value keeps the batch axis for itself; merge says which axes
// are one for the graph.

// merge is a run of count axes of a value's full shape, the batch among them, that are
// one axis of the graph; a count of 0 is none.
type merge struct{ first, count int }

// axis returns the axis of the full shape that an axis of the graph is; ok is false for
// the merged one.
func (m merge) axis(a int) (k int, ok bool) {
	switch {
	case m.count == 0 || a < m.first:
		return a, true
	case a == m.first:
		return a, false
	}
	return a + m.count - 1, true
}

// visible lists the dimensions of a value as the graph sees them.
func (v *value) visible() []int64 {
	var out []int64
	dims := v.dims()
	for k := 0; k < len(dims); k++ {
		if m := v.merged; m.count > 0 && k == m.first {
			out = append(out, tensor.Batches(dag.Size(tensor.SampleShape(dims[k:k+m.count]))))
			k += m.count - 1
			continue
		}
		out = append(out, int64(dims[k]))
	}
	return out
}

// mergedReshape finds the full shape that a target gives a value with a batch axis that
// does not come out as an axis of its own.
func (o *op) mergedReshape(v *value, target []int64, allowZero bool) ([]int, merge, error) {
	fail := refusal.MixesBatch("shape %s does not keep the batch axis of %s", targetString(target), tensor.DimString(v.shape))
	if o.plain {
		return nil, merge{}, fail
	}
	t, seen := slices.Clone(target), v.visible()
	for i, d := range t {
		if d == 0 && !allowZero {
			if i >= len(seen) {
				return nil, merge{}, fail
			}
			t[i] = seen[i]
		}
	}
	b := v.batchAxis()
	before, behind := dag.Size(v.shape[:b]), dag.Size(v.shape[b+1:])
	symbol := slices.IndexFunc(t, func(d int64) bool { return tensor.BatchFactor(d) > 0 })
	for i, d := range t {
		k := tensor.BatchFactor(d)
		switch {
		case k > 0 || d == -1 && symbol < 0:
		case symbol < 0 && o.declared > 1 && d > 0 && d%int64(o.declared) == 0:
			k = int(d / int64(o.declared))
		default:
			continue
		}
		lead, outer, ok1 := side(t[:i], before)
		trail, inner, ok2 := side(t[i+1:], behind)
		if !ok1 || !ok2 {
			continue
		}
		// The merged axis is outer x batch x inner; -1 is what is left.
		switch {
		case outer == 0 && inner == 0:
			continue
		case outer == 0: // -1 before it
			if inner < 1 || k%inner != 0 || before%(k/inner) != 0 {
				continue
			}
			outer = k / inner
			ok1 = fill(lead, before/outer)
		case inner == 0:
			if k%outer != 0 || behind%(k/outer) != 0 {
				continue
			}
			inner = k / outer
			ok2 = fill(trail, behind/inner)
		}
		if !ok1 || !ok2 || k > 0 && k != outer*inner {
			continue
		}
		m, axes := merge{first: i, count: 1}, []int{tensor.BatchDim}
		if outer > 1 {
			m.count++
			axes = []int{outer, tensor.BatchDim}
		}
		if inner > 1 {
			m.count++
			axes = append(axes, inner)
		}
		if m.count == 1 {
			m = merge{}
		}
		return slices.Concat(lead, axes, trail), m, nil
	}
	return nil, merge{}, fail
}

// side returns the dimensions on one side of the batch, and the share of size elements
// that they leave: 0 where one of them is -1.
func side(t []int64, size int) (dims []int, share int, ok bool) {
	n, open := 1, false
	for _, d := range t {
		switch {
		case d == -1 && !open:
			open = true
		case d < 1 || d > tensor.MaxElements || n > tensor.MaxElements/int(d):
			return nil, 0, false
		default:
			n *= int(d)
		}
		dims = append(dims, int(d))
	}
	if size < 1 || size%n != 0 {
		return nil, 0, false
	}
	if open {
		return dims, 0, true
	}
	return dims, size / n, true
}

// fill gives the open dimension what size elements need.
func fill(dims []int, size int) bool {
	n := 1
	for _, d := range dims {
		if d > 0 {
			n *= d
		}
	}
	if size%n != 0 {
		return false
	}
	dims[slices.Index(dims, -1)] = size / n
	return true
}

// carriers are the operators that take multiples of the batch size among their numbers;
// of a Slice, the first operand alone.
var carriers = map[string]bool{
	"Cast": true, "Concat": true, "Div": true, "Equal": true, "Expand": true, "Gather": true, "Identity": true, "Mul": true, "Reshape": true,
	"Slice": true, "Squeeze": true, "Unsqueeze": true, "Where": true,
}

// carriesBatch refuses what would take a multiple of the batch size for a number.
func (o *op) carriesBatch() error {
	for k, v := range o.in {
		if v == nil || !v.constant() || v.con.Kind != tensor.Integer || v.con.Size() > maxRank {
			continue
		}
		list, err := v.con.Int64s()
		if err != nil {
			continue // strings
		}
		if slices.ContainsFunc(list, func(x int64) bool { return tensor.BatchFactor(x) > 1 }) &&
			(wire.Domain(o.node.Domain) != "" || !carriers[o.node.OpType] || o.node.OpType == "Slice" && k > 0) {
			return refusal.MixesBatch("it computes with the batch size")
		}
	}
	return nil
}

// maxRank is above the length of any list of dimensions.
const maxRank = 64

// elementwise are the operators that compute each element of one operand.
var elementwise = map[string]bool{
	"Abs": true, "Cast": true, "Celu": true, "Clip": true, "Dropout": true, "Elu": true, "Erf": true, "Exp": true, "Gelu": true,
	"HardSigmoid": true, "HardSwish": true, "Identity": true, "IsInf": true, "IsNaN": true, "LeakyRelu": true, "Log": true, "Mish": true, "Neg": true,
	"Not": true, "Reciprocal": true, "Relu": true, "Selu": true, "Sigmoid": true, "Softplus": true, "Softsign": true,
	"Sqrt": true, "Swish": true, "Tanh": true,
}

// beside are those that compute each element from elements of operands that broadcast.
var beside = map[string]bool{
	"Add": true, "And": true, "Div": true, "Equal": true, "Max": true, "Mean": true, "Min": true, "Mul": true, "Or": true, "Pow": true,
	"Sub": true, "Sum": true, "Where": true,
}

// mergedOperand returns the merge of the operands; ok is false where none has one.
func (o *op) mergedOperand() (m merge, ok bool) {
	for _, v := range o.in {
		if v != nil && v.merged.count > 0 {
			return v.merged, true
		}
	}
	return merge{}, false
}

// lowerMerged lowers an operator whose operands have the batch in a merged axis: most of them on
// full shapes, once their other operands and axes are those of full shapes too.
func (o *op) lowerMerged(m merge, lower lowerer) error {
	v, to := o.in[0], m
	var err error
	if wire.Domain(o.node.Domain) != "" {
		return o.unmergeable()
	}
	switch name := o.node.OpType; {
	case name == "Shape":
		seen := v.visible()
		list := sliceList(int64(len(seen)), o.int("start", 0), o.int("end", int64(len(seen))), 1)
		o.giveTensor(tensor.NewInts([]int{len(list)}, lists.Map(list, func(k int) int64 { return seen[k] })))
		return nil
	case name == "Reshape" && v.merged == m:
		return lower(o)
	case name == "Squeeze" || name == "Unsqueeze":
		return o.mergedSqueeze(name == "Squeeze")
	case name == "Slice" && o.opset >= 10 && len(o.in) > 2:
		err = o.mergedAxes(m)
	case name == "Transpose" && o.ints("perm") != nil:
		return o.mergedTranspose(m)
	case name == "MatMul":
		return o.mergedProduct(m, lower)
	case name == "Gemm" && o.int("transA", 0) == 0 && v.merged == m && len(o.in) > 1 && o.in[1].constant():
		o.lines = true
	case elementwise[name]:
	case beside[name]:
		err = o.mergedOperands(m)
	case o.opset >= 13 && (name == "Softmax" || name == "LogSoftmax"), name == "LayerNormalization" && o.in[1].constant():
		err = o.mergedAxis(m, -1, len(v.visible()))
	case name == "Gather" && o.in[1].constant():
		r := len(v.visible())
		if a, known := tensor.AxisOf(o.int("axis", 0), r); known == nil && a < m.first {
			to.first += len(o.in[1].con.Dims) - 1
		}
		err = o.mergedAxis(m, 0, r)
	case name == "BatchNormalization" && len(v.visible()) == 2 && m.first == 0:
		return o.mergedNormalization(m, lower)
	case reductions[name].since > 0:
		return o.mergedReduce(m, lower)
	case name == "Expand":
		err = o.mergedExpand(m)
	case name == "Split":
		err = o.mergedAxis(m, 0, len(v.visible()))
	default:
		return o.unmergeable()
	}
	if err != nil {
		return err
	}
	return o.moveMerge(m, to, lower)
}

func (o *op) unmergeable() error {
	return refusal.MixesBatch("an axis of its operand holds the batch and more")
}

// moveMerge lowers the operator on full shapes; its values have the axis merged, at the place to.
func (o *op) moveMerge(m, to merge, lower lowerer) error {
	for k, v := range o.in {
		if v != nil && v.merged.count > 0 {
			if v.merged != m {
				return o.unmergeable()
			}
			w := *v
			w.merged = merge{}
			o.in[k] = &w
		}
	}
	if err := lower(o); err != nil {
		return err
	}
	for _, name := range o.node.Outputs {
		if v := o.values[name]; v != nil && !v.constant() && v.opaque == "" {
			if to.first+to.count > len(v.shape) || !slices.Contains(v.shape[to.first:to.first+to.count], tensor.BatchDim) {
				return o.unmergeable()
			}
			v.merged = to
		}
	}
	return nil
}

// mergedAxis gives the operator the axis of the full shape for that of the graph.
func (o *op) mergedAxis(m merge, def int64, rank int) error {
	a, err := tensor.AxisOf(o.int("axis", def), rank)
	if err != nil {
		return err
	}
	k, ok := m.axis(a)
	if !ok {
		return o.unmergeable()
	}
	o.set(wire.Attribute{Name: "axis", Type: wire.AttrInt, I: int64(k)})
	return nil
}

// set gives the operator an attribute in the place of the file's.
func (o *op) set(a wire.Attribute) {
	n := *o.node
	n.Attributes = append(slices.DeleteFunc(slices.Clone(n.Attributes), func(b wire.Attribute) bool { return b.Name == a.Name }), a)
	o.node = &n
}

// fullAxes are the axes of the full shape of the first operand for those of the graph.
func (o *op) fullAxes(m merge, axes []int64) ([]int64, error) {
	full := make([]int64, len(axes))
	for i, a := range axes {
		k, err := tensor.AxisOf(a, len(o.in[0].visible()))
		if err != nil {
			return nil, err
		}
		at, ok := m.axis(k)
		if !ok {
			return nil, o.unmergeable()
		}
		full[i] = int64(at)
	}
	return full, nil
}

// mergedNormalization normalises the columns of a matrix whose lines are merged: they are
// the channels of each sample.
func (o *op) mergedNormalization(m merge, lower lowerer) error {
	v := *o.in[0]
	b := v.batchAxis()
	perm := []int{b, m.count}
	for k := range m.count {
		if k != b {
			perm = append(perm, k)
		}
	}
	v.merged = merge{}
	o.in[0] = o.transpose(&v, perm)
	if err := lower(o); err != nil {
		return err
	}
	out := o.transpose(o.result(), inverted(perm))
	out.merged = m
	o.give(0, out)
	return nil
}

// mergedReduce reduces axes beside the merged one.
func (o *op) mergedReduce(m merge, lower lowerer) error {
	since := reductions[o.node.OpType].since
	axes, _, err := o.intsArg("axes", since, 1)
	if err != nil {
		return err
	}
	if len(axes) == 0 {
		return o.unmergeable()
	}
	full, err := o.fullAxes(m, axes)
	if err != nil {
		return err
	}
	to := m
	for i, at := range full {
		if slices.Contains(full[:i], at) {
			return o.unmergeable()
		}
		if at < int64(m.first) && o.int("keepdims", 1) == 0 {
			to.first--
		}
	}
	if o.opset >= since {
		o.in = []*value{o.in[0], {con: tensor.NewInts([]int{len(full)}, full)}}
	} else {
		o.set(wire.Attribute{Name: "axes", Type: wire.AttrInts, Ints: full})
	}
	return o.moveMerge(m, to, lower)
}

// mergedExpand gives an Expand the full shape for that of the graph, which has the merged
// axis as it is.
func (o *op) mergedExpand(m merge) error {
	target, err := o.intsAt(1, "the shape")
	if err != nil {
		return err
	}
	v := o.in[0]
	seen := v.visible()
	at := m.first - (len(seen) - len(target))
	if len(target) > len(seen) {
		return o.unmergeable()
	}
	if at >= 0 {
		if target[at] != 1 && target[at] != seen[m.first] {
			return o.unmergeable()
		}
		target = slices.Concat(target[:at], lists.Convert[int64](v.shape[m.first:m.first+m.count]), target[at+1:])
	}
	o.in = []*value{v, {con: tensor.NewInts([]int{len(target)}, target)}}
	return nil
}

// mergedSqueeze takes axes of extent 1 out of what the graph sees, or puts them in.
func (o *op) mergedSqueeze(out bool) error {
	v := o.in[0]
	axes, ok, err := o.intsArg("axes", 13, 1)
	if err != nil {
		return err
	}
	if !ok {
		return o.unmergeable()
	}
	seen := v.visible()
	rank := len(seen)
	if !out {
		rank += len(axes)
	}
	named := make([]bool, rank)
	for _, a := range axes {
		k, err := tensor.AxisOf(a, rank)
		if err != nil {
			return err
		}
		if named[k] || out && seen[k] != 1 {
			return refusal.New("", "axis %d is named twice, or has an extent other than 1", a)
		}
		named[k] = true
	}
	var target []int64
	next := 0
	for k := range rank {
		switch {
		case !named[k]:
			target = append(target, seen[next])
			next++
		case out:
			next++
		default:
			target = append(target, 1)
		}
	}
	return o.reshapeTo(v, target, true)
}

// mergedAxes gives a Slice the axes of the full shape for those of the graph.
func (o *op) mergedAxes(m merge) error {
	starts, err := o.constant(1, "its first positions")
	if err != nil {
		return err
	}
	axes := lists.Count[int64](0, starts.Size())
	if v := o.arg(3); v != nil {
		if axes, err = o.intsAt(3, "its axes"); err != nil {
			return err
		}
	}
	to, err := o.fullAxes(m, axes)
	if err != nil {
		return err
	}
	o.in = append(slices.Clone(o.in[:3]), append([]*value{{con: tensor.NewInts([]int{len(to)}, to)}}, o.in[min(4, len(o.in)):]...)...)
	return nil
}

func (o *op) mergedTranspose(m merge) error {
	v := o.in[0]
	p := o.ints("perm")
	if len(p) != len(v.visible()) || len(slices.Compact(slices.Sorted(slices.Values(p)))) != len(p) {
		return refusal.New("", "perm has %s for rank %d", words.Count(len(p), "entry"), len(v.visible()))
	}
	var perm []int
	to := merge{count: m.count}
	for _, a := range p {
		k, err := tensor.AxisOf(a, len(p))
		if err != nil {
			return err
		}
		if at, ok := m.axis(k); ok {
			perm = append(perm, at)
			continue
		}
		to.first = len(perm)
		for i := range m.count {
			perm = append(perm, m.first+i)
		}
	}
	out := o.transpose(v, perm)
	out.merged = to
	o.give(0, out)
	return nil
}

// mergedProduct multiplies stacks of matrices that all have the merged axis among those
// of the stack, or the rows of one by a constant.
func (o *op) mergedProduct(m merge, lower lowerer) error {
	if len(o.in) != 2 {
		return lower(o)
	}
	a, b := o.in[0], o.in[1]
	switch {
	case a.merged == m && b.constant() && len(b.con.Dims) == 2:
		if m.first+m.count == len(a.shape) {
			return o.unmergeable()
		}
	case a.merged == m && b.merged == m && len(a.shape) == len(b.shape) && m.first+m.count <= len(a.shape)-2 &&
		slices.Equal(a.shape[m.first:m.first+m.count], b.shape[m.first:m.first+m.count]):
	default:
		return o.unmergeable()
	}
	return o.moveMerge(m, m, lower)
}

// mergedOperands brings the other operands of an operator that broadcasts to the full
// shape of those that have the merged axis.
func (o *op) mergedOperands(m merge) error {
	var like *value
	for _, v := range o.in {
		if v != nil && v.merged.count > 0 {
			if like != nil && (v.merged != m || len(v.shape) != len(like.shape) ||
				!slices.Equal(v.shape[m.first:m.first+m.count], like.shape[m.first:m.first+m.count])) {
				return o.unmergeable()
			}
			like = v
		}
	}
	rank := len(like.visible())
	for k, v := range o.in {
		if v == nil || v.merged.count > 0 {
			continue
		}
		if !v.constant() || len(v.con.Dims) > rank {
			return o.unmergeable()
		}
		at := m.first - (rank - len(v.con.Dims))
		if at < 0 {
			continue
		}
		if v.con.Dims[at] != 1 {
			return o.unmergeable()
		}
		dims := slices.Insert(slices.Clone(v.con.Dims), at, slices.Repeat([]int{1}, m.count-1)...)
		o.in[k] = &value{con: v.con.Reshaped(dims)}
	}
	return nil
}
