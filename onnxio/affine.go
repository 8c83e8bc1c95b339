package onnxio

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// use makes a Use of a constant as input k of the current operator. swapped
// says that the operator sees the transpose of the Param.
func (l *lowering) use(t *tensor, k int) (dag.Use, error) {
	name := ""
	index := -1
	if l.current != nil {
		index = l.current.index
		if k >= 0 && k < len(l.current.node.Inputs) {
			name = l.current.node.Inputs[k]
		}
	}
	p, err := t.param(name)
	if err != nil {
		return dag.Use{}, err
	}
	return dag.Use{Param: p, Site: &site{node: index, input: k, swapped: t.swapped, dims: t.dims}}, nil
}

// vectorOf makes a stage vector of a constant: index maps each of rows units
// to an element, nil the same one.
func (l *lowering) vectorOf(t *tensor, index []int32, rows int) (*dag.Vector, error) {
	return l.vectorAt(t, index, rows, -1)
}

func (l *lowering) vectorAt(t *tensor, index []int32, rows, k int) (*dag.Vector, error) {
	if t.swapped {
		// Vectors are small: a computed copy serves.
		if err := t.read(); err != nil {
			return nil, err
		}
		t = newFloats(t.typ, t.dims, t.floats)
	}
	u, err := l.use(t, k)
	if err != nil {
		return nil, err
	}
	plain := len(index) == t.size() && len(index) == rows
	for i := 0; plain && i < len(index); i++ {
		plain = int(index[i]) == i
	}
	if plain || t.scalar() {
		index = nil
	}
	return &dag.Vector{Use: u, Coef: 1, Index: index}, nil
}

// unitIndex maps each unit of an axis to the element of a constant that
// broadcasting to shape pairs it with; ok is false when the elements of one
// unit differ.
func unitIndex(dims, sample []int, a dag.Axis) (index []int32, ok bool) {
	elem := broadcastIndex(dims, sample)
	index = make([]int32, a.N)
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
	mul, add     *tensor
	mulAt, addAt int
	inverse      bool
	coef         float64
	addCoef      float64
}

func (o *op) affine(v *value, f affine) (*value, error) {
	shape := v.shape
	for _, t := range []*tensor{f.mul, f.add} {
		if t == nil {
			continue
		}
		s, err := broadcastDims(shape, alignBatch(t, shape))
		if err != nil {
			return nil, refuse("", "%v", err)
		}
		shape = s
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
			nd := &o.nodes[v.node]
			nd.Source += "+" + opLabel(o.node)
			return v, nil
		}
	}
	axis, axes, err := f.axis(shape)
	if err != nil {
		return nil, err
	}
	st, _, err := o.stage(f, shape, axis, axes)
	if err != nil {
		return nil, err
	}
	out := o.emit(&dag.Linear{Map: &dag.Diagonal{Axis: axis}, Stages: []dag.Stage{st}}, shape, v)
	o.unitAxes[out.node] = axes
	return out, nil
}

// alignBatch returns a constant's dims with the batch axis of shape, where it
// has extent 1, marked as such.
func alignBatch(t *tensor, shape []int) []int {
	b := slices.Index(shape, batchDim)
	if b < 0 {
		return t.dims
	}
	k := len(t.dims) - len(shape) + b
	if k < 0 || t.dims[k] != 1 {
		return t.dims
	}
	dims := slices.Clone(t.dims)
	dims[k] = batchDim
	return dims
}

// stage makes the stage; ok is false when a constant differs within a unit.
func (o *op) stage(f affine, shape []int, a dag.Axis, axes []int) (st dag.Stage, ok bool, err error) {
	if f.coef != 1 {
		st.Mul = &dag.Vector{Coef: f.coef}
	}
	sample := sampleShape(shape)
	vector := func(t *tensor, at int) (*dag.Vector, error) {
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
			if shape[d] != batchDim && slices.Contains(axes, d) {
				w.Full[d] = shape[d]
			}
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

// axis returns the smallest run of axes that the constants vary along, or each
// element its own unit for scalars, and those ONNX axes.
func (f affine) axis(shape []int) (dag.Axis, []int, error) {
	lo, hi := len(shape), -1
	for _, t := range []*tensor{f.mul, f.add} {
		if t == nil {
			continue
		}
		for i := range shape {
			k := len(t.dims) - len(shape) + i
			if k >= 0 && t.dims[k] != 1 {
				lo, hi = min(lo, i), max(hi, i)
			}
		}
	}
	if hi < 0 {
		lo, hi = 0, len(shape)-1
	}
	if b := slices.Index(shape, batchDim); b > lo && b < hi {
		return dag.Axis{}, nil, mixesBatch("a constant varies on both sides of the batch axis")
	}
	var axes []int
	n := 1
	for d := lo; d <= hi; d++ {
		if shape[d] != batchDim {
			axes = append(axes, d)
			n *= shape[d]
		}
	}
	return dag.Axis{
		Outer: dag.Size(sampleShape(shape[:lo])), N: n,
		Inner: dag.Size(sampleShape(shape[min(hi+1, len(shape)):])),
	}, axes, nil
}

// multiply scales v by a constant: a scalar is a fixed coefficient, a vector
// a layer of weights.
func (o *op) multiply(v *value, t *tensor, at int, inverse bool) (*value, error) {
	if !t.scalar() {
		return o.affine(v, affine{mul: t, mulAt: at, inverse: inverse, coef: 1})
	}
	c, err := t.value()
	if err != nil {
		return nil, err
	}
	if inverse {
		c = 1 / c
	}
	shape, err := broadcastDims(v.shape, alignBatch(t, v.shape))
	if err != nil {
		return nil, refuse("", "%v", err)
	}
	v = o.expand(v, shape)
	if c == 1 {
		return v, nil
	}
	return o.affine(v, affine{coef: c})
}

// combine sums activations, each with a sign.
func (o *op) combine(sign []float64, in ...*value) (*value, error) {
	shape := in[0].shape
	for _, v := range in[1:] {
		s, err := broadcastDims(shape, v.shape)
		if err != nil {
			return nil, sumShapes(err, in)
		}
		shape = s
	}
	for k := range in {
		in[k] = o.expand(in[k], shape)
	}
	return o.emit(&dag.Add{Sign: sign}, shape, in...), nil
}

func sumShapes(err error, in []*value) error {
	for _, v := range in {
		if v.batchAxis() >= 0 {
			return mixesBatch("%v", err)
		}
	}
	return refuse("", "%v", err)
}

// legacyBroadcast returns the constant or value with the shape that the
// broadcast and axis attributes before opset 7 give its second operand.
func (o *op) legacyBroadcast(shape []int) ([]int, error) {
	a, b := o.in[0], o.in[1]
	ra, rb := rank(a), rank(b)
	if o.opset >= 7 || ra == rb {
		return shape, nil
	}
	if o.int("broadcast", 0) == 0 {
		return nil, refuse("", "the operands have ranks %d and %d without broadcast=1", ra, rb)
	}
	at := o.attr("axis")
	if at == nil {
		return shape, nil
	}
	k, err := axisOf(at.I, ra)
	if err != nil {
		return nil, err
	}
	if k+rb > ra {
		return nil, refuse("", "axis %d puts rank %d beyond rank %d", k, rb, ra)
	}
	out := slices.Clone(shape)
	for len(out) < ra-k {
		out = append(out, 1)
	}
	return out, nil
}

func rank(v *value) int {
	if v.constant() {
		return len(v.con.dims)
	}
	return len(v.shape)
}

func (o *op) binary() (a, b *value, err error) {
	if a, err = o.need(0); err != nil {
		return
	}
	if b, err = o.need(1); err != nil {
		return
	}
	if o.opset < 7 && domain(o.node.Domain) == "" {
		if b.constant() {
			dims, err := o.legacyBroadcast(b.con.dims)
			if err != nil {
				return nil, nil, err
			}
			if !slices.Equal(dims, b.con.dims) {
				b = &value{con: b.con.reshaped(dims)}
			}
		} else if rank(a) != rank(b) {
			shape, err := o.legacyBroadcast(b.shape)
			if err != nil {
				return nil, nil, err
			}
			if !slices.Equal(shape, b.shape) {
				b = o.emit(&dag.Select{}, shape, b)
			}
		}
	}
	return a, b, nil
}

func lowerAdd(o *op) error {
	a, b, err := o.binary()
	if err != nil {
		return err
	}
	var out *value
	switch {
	case a.constant() && b.constant():
		return o.foldBinary(a.con, b.con)
	case b.constant():
		out, err = o.affine(a, affine{add: b.con, addAt: 1, coef: 1, addCoef: 1})
	case a.constant():
		out, err = o.affine(b, affine{add: a.con, addAt: 0, coef: 1, addCoef: 1})
	default:
		out, err = o.combine(nil, a, b)
	}
	if err != nil {
		return err
	}
	o.give(0, out)
	return nil
}

func lowerSub(o *op) error {
	a, b, err := o.binary()
	if err != nil {
		return err
	}
	var out *value
	switch {
	case a.constant() && b.constant():
		return o.foldBinary(a.con, b.con)
	case b.constant():
		out, err = o.affine(a, affine{add: b.con, addAt: 1, coef: 1, addCoef: -1})
	case a.constant():
		out, err = o.affine(b, affine{add: a.con, addAt: 0, coef: -1, addCoef: 1})
	default:
		out, err = o.combine([]float64{1, -1}, a, b)
	}
	if err != nil {
		return err
	}
	o.give(0, out)
	return nil
}

func lowerMul(o *op) error {
	a, b, err := o.binary()
	if err != nil {
		return err
	}
	var out *value
	switch {
	case a.constant() && b.constant():
		return o.foldBinary(a.con, b.con)
	case b.constant():
		out, err = o.multiply(a, b.con, 1, false)
	case a.constant():
		out, err = o.multiply(b, a.con, 0, false)
	default:
		return o.elementwise("the product of two activations is homogeneous of degree 2",
			func(x []float64) float64 { return x[0] * x[1] })
	}
	if err != nil {
		return err
	}
	o.give(0, out)
	return nil
}

func lowerDiv(o *op) error {
	a, b, err := o.binary()
	if err != nil {
		return err
	}
	switch {
	case a.constant() && b.constant():
		return o.foldBinary(a.con, b.con)
	case b.constant() && b.con.kind == floating:
		out, err := o.multiply(a, b.con, 1, true)
		if err != nil {
			return err
		}
		o.give(0, out)
		return nil
	}
	return o.elementwise("a quotient by an activation is not linear",
		func(x []float64) float64 { return x[0] / x[1] })
}

func lowerNeg(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	if v.constant() {
		return o.foldUnary(func(x float64) float64 { return -x })
	}
	out, err := o.affine(v, affine{coef: -1})
	if err != nil {
		return err
	}
	o.give(0, out)
	return nil
}

func lowerSum(o *op) error {
	v, err := o.sum()
	if err != nil {
		return err
	}
	o.give(0, v)
	return nil
}

func lowerMean(o *op) error {
	v, err := o.sum()
	if err != nil {
		return err
	}
	if v.constant() {
		f, err := v.con.float64s()
		if err != nil {
			return err
		}
		f = slices.Clone(f)
		for i := range f {
			f[i] /= float64(len(o.in))
		}
		o.giveTensor(0, newFloats(v.con.typ, v.con.dims, f))
		return nil
	}
	out, err := o.affine(v, affine{coef: 1 / float64(len(o.in))})
	if err != nil {
		return err
	}
	o.give(0, out)
	return nil
}

// sum adds all operands: activations by one Add, then each constant.
func (o *op) sum() (*value, error) {
	var acts []*value
	var cons []int
	for k := range o.in {
		v, err := o.need(k)
		if err != nil {
			return nil, err
		}
		if v.constant() {
			cons = append(cons, k)
		} else {
			acts = append(acts, v)
		}
	}
	if len(o.in) == 0 {
		return nil, refuse("", "no operands")
	}
	if len(acts) == 0 {
		t := o.in[0].con
		for _, v := range o.in[1:] {
			var err error
			if t, err = foldPair("Add", t, v.con); err != nil {
				return nil, err
			}
		}
		return &value{con: t}, nil
	}
	out := acts[0]
	if len(acts) > 1 {
		var err error
		if out, err = o.combine(nil, acts...); err != nil {
			return nil, err
		}
	}
	for _, k := range cons {
		var err error
		out, err = o.affine(out, affine{add: o.in[k].con, addAt: k, coef: 1, addCoef: 1})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// dense multiplies along axis a of v by a constant matrix: with left the
// matrix is rows x cols (out x in), else cols x rows (in x out).
func (o *op) dense(v *value, axis int, t *tensor, at int, left bool) (*value, error) {
	if v.shape[axis] == batchDim {
		return nil, mixesBatch("the product runs over the batch axis")
	}
	rows, cols := t.dims[1], t.dims[0]
	if left {
		rows, cols = cols, rows
	}
	if v.shape[axis] != cols {
		return nil, refuse("", "a weight of %d x %d does not fit a value of shape %s", t.dims[0], t.dims[1], dimString(v.shape))
	}
	u, err := o.use(t, at)
	if err != nil {
		return nil, err
	}
	a := around(v.shape, axis)
	shape := slices.Clone(v.shape)
	shape[axis] = rows
	if dag.Size(sampleShape(shape)) > maxElements {
		return nil, refuse("", "the result has too many elements")
	}
	// The stored matrix is out x in when it is on the left and as stored, or on
	// the right and swapped.
	m := &dag.Dense{W: u, Rows: rows, Cols: cols, InOut: left == t.swapped, Outer: a.Outer, Inner: a.Inner}
	out := o.emit(&dag.Linear{Map: m}, shape, v)
	o.unitAxes[out.node] = []int{axis}
	return out, nil
}

func lowerMatMul(o *op) error {
	a, b, err := o.binary()
	if err != nil {
		return err
	}
	switch {
	case a.constant() && b.constant():
		return o.foldMatMul(a.con, b.con)
	case !a.constant() && !b.constant():
		return refuse("", "it multiplies two activations")
	case b.constant():
		return o.matMulRight(a, b.con)
	}
	return o.matMulLeft(a.con, b)
}

// matrix drops leading axes of extent 1 of a stack of matrices.
func matrix(t *tensor) (*tensor, error) {
	dims := t.dims
	for len(dims) > 2 && dims[0] == 1 {
		dims = dims[1:]
	}
	if len(dims) > 2 {
		return nil, refuse("", "a stack of weight matrices of shape %v", t.dims)
	}
	if len(dims) == len(t.dims) {
		return t, nil
	}
	return t.reshaped(dims), nil
}

func (o *op) matMulRight(v *value, t *tensor) error {
	t, err := matrix(t)
	if err != nil {
		return err
	}
	if len(v.shape) == 0 || len(t.dims) == 0 {
		return refuse("", "a scalar operand")
	}
	vector := len(t.dims) == 1
	if vector {
		t = t.reshaped([]int{t.dims[0], 1})
	}
	out, err := o.dense(v, len(v.shape)-1, t, 1, false)
	if err != nil {
		return err
	}
	if vector {
		out = o.emit(&dag.Select{}, out.shape[:len(out.shape)-1], out)
	}
	o.give(0, out)
	return nil
}

func (o *op) matMulLeft(t *tensor, v *value) error {
	t, err := matrix(t)
	if err != nil {
		return err
	}
	if len(v.shape) == 0 || len(t.dims) == 0 {
		return refuse("", "a scalar operand")
	}
	vector := len(t.dims) == 1
	if vector {
		t = t.reshaped([]int{1, t.dims[0]})
	}
	axis := max(len(v.shape)-2, 0)
	out, err := o.dense(v, axis, t, 0, true)
	if err != nil {
		return err
	}
	if vector {
		out = o.emit(&dag.Select{}, slices.Delete(slices.Clone(out.shape), axis, axis+1), out)
	}
	o.give(0, out)
	return nil
}

func lowerGemm(o *op) error {
	a, b, err := o.binary2()
	if err != nil {
		return err
	}
	alpha, beta := o.float("alpha", 1), o.float("beta", 1)
	transA, transB := o.int("transA", 0) != 0, o.int("transB", 0) != 0
	if a, err = o.gemmOperand(a, transA); err != nil {
		return err
	}
	if b, err = o.gemmOperand(b, transB); err != nil {
		return err
	}
	var out *value
	switch {
	case a.constant() && b.constant():
		return refuse("fold constants before export", "both matrices are constants")
	case !a.constant() && !b.constant():
		return refuse("", "it multiplies two activations")
	case b.constant():
		out, err = o.dense(a, 1, b.con, 1, false)
	default:
		out, err = o.dense(b, 0, a.con, 0, true)
	}
	if err != nil {
		return err
	}
	out.exclusive = true
	if alpha != 1 {
		if out, err = o.affine(out, affine{coef: alpha}); err != nil {
			return err
		}
	}
	c := o.arg(2)
	switch {
	case c == nil || beta == 0:
	case c.constant():
		out, err = o.affine(out, affine{add: c.con, addAt: 2, coef: 1, addCoef: beta})
	default:
		if beta != 1 {
			if c, err = o.affine(c, affine{coef: beta}); err != nil {
				return err
			}
		}
		out, err = o.combine(nil, out, c)
	}
	if err != nil {
		return err
	}
	o.nodes[out.node].Source = opLabel(o.node)
	o.give(0, out)
	return nil
}

func (o *op) binary2() (a, b *value, err error) {
	if a, err = o.need(0); err != nil {
		return
	}
	b, err = o.need(1)
	return
}

// gemmOperand returns a matrix operand, transposed where asked.
func (o *op) gemmOperand(v *value, transpose bool) (*value, error) {
	if rank(v) != 2 {
		return nil, refuse("", "an operand of rank %d, want 2", rank(v))
	}
	if !transpose {
		return v, nil
	}
	if v.constant() {
		t, err := v.con.transposed([]int{1, 0})
		if err != nil {
			return nil, err
		}
		return &value{con: t}, nil
	}
	return o.transpose(v, []int{1, 0}), nil
}

// lowerFusedGemm is com.microsoft.FusedGemm: Gemm and an activation.
func lowerFusedGemm(o *op) error {
	if err := lowerGemm(o); err != nil {
		return err
	}
	return o.fusedActivation()
}

// fusedActivation applies the activation attribute to the output just given.
func (o *op) fusedActivation() error {
	name := o.str("activation", "")
	if name == "" {
		return nil
	}
	v := o.values[o.node.Outputs[0]]
	slope := 0.0
	switch name {
	case "Relu":
	case "LeakyRelu":
		slope = o.float("activation_alpha", 0.01)
		if a := o.attr("activation_params"); a != nil && len(a.Floats) > 0 {
			slope = float64(a.Floats[0])
		}
	default:
		return refuse("export without operator fusion", "its activation %s is not supported", name)
	}
	o.give(0, o.activation(v, slope))
	return nil
}

func lowerBatchNormalization(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	if v.constant() || len(v.shape) < 2 {
		return refuse("", "it normalises a constant or a vector")
	}
	if o.int("training_mode", 0) != 0 || (o.opset < 14 && o.outputsUsed() > 1) {
		return refuse("export the model in evaluation mode", "it computes statistics of the batch (training mode)")
	}
	if o.int("spatial", 1) == 0 && len(v.shape) > 2 {
		return refuse("", "spatial=0 normalises each position on its own")
	}
	if v.shape[1] == batchDim {
		return mixesBatch("it normalises along the batch axis")
	}
	bn := &dag.BatchNorm{Epsilon: o.float("epsilon", 1e-5)}
	for k, u := range []*dag.Use{&bn.Gamma, &bn.Beta, &bn.Mean, &bn.Var} {
		t, err := o.constant(k+1, [...]string{"scale", "B", "mean", "var"}[k])
		if err != nil {
			return err
		}
		if t.size() != v.shape[1] {
			return refuse("", "%d values for %d channels", t.size(), v.shape[1])
		}
		if *u, err = o.use(t, k+1); err != nil {
			return err
		}
	}
	stage := dag.Stage{Norm: bn}
	if lin := o.foldable(v); lin != nil && slices.Equal(o.unitAxes[v.node], []int{1}) {
		lin.Stages = append(lin.Stages, stage)
		o.nodes[v.node].Source += "+" + opLabel(o.node)
		o.give(0, v)
		return nil
	}
	out := o.emit(&dag.Linear{Map: &dag.Diagonal{Axis: around(v.shape, 1)}, Stages: []dag.Stage{stage}}, v.shape, v)
	o.unitAxes[out.node] = []int{1}
	o.give(0, out)
	return nil
}

func (o *op) outputsUsed() int {
	n := 0
	for _, name := range o.node.Outputs {
		if name != "" {
			n++
		}
	}
	return n
}

