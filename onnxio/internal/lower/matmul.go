package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// dense multiplies along axis a of v by a constant matrix: with left the
// matrix is rows x cols (out x in), else cols x rows (in x out).
func (o *op) dense(v *value, axis int, t *tensor.Tensor, at int, left bool) (*value, error) {
	if v.shape[axis] == tensor.BatchDim {
		return nil, refusal.MixesBatch("the product runs over the batch axis")
	}
	rows, cols := t.Dims[1], t.Dims[0]
	if left {
		rows, cols = cols, rows
	}
	if v.shape[axis] != cols {
		return nil, refusal.New("", "a weight of %d x %d does not fit a value of shape %s", t.Dims[0], t.Dims[1], tensor.DimString(v.shape))
	}
	u, err := o.use(t, at)
	if err != nil {
		return nil, err
	}
	a := tensor.Around(v.shape, axis)
	shape := slices.Clone(v.shape)
	shape[axis] = rows
	if !tensor.Fits(shape) {
		return nil, tooLarge()
	}
	// The stored matrix is out x in when it is on the left and as stored, or on
	// the right and swapped.
	m := &dag.Dense{W: u, Rows: rows, Cols: cols, InOut: left == t.Swapped, Outer: a.Outer, Inner: a.Inner}
	out := o.emit(&dag.Linear{Map: m}, shape, v)
	o.unitAxes[out.node] = []int{axis}
	return out, nil
}

func lowerMatMul(o *op, a, b *value) error {
	return o.gives(o.matMul(a, b))
}

func (o *op) matMul(a, b *value) (*value, error) {
	switch {
	case a.constant() && b.constant():
		o.spent += b.con.Size()
		return valueOf(o.foldProduct(a.con, b.con))
	case !a.constant() && !b.constant():
		return o.product(a, b)
	case b.constant():
		return o.matMulBy(a, b.con, false)
	}
	return o.matMulBy(b, a.con, true)
}

// isStack reports whether a constant holds several matrices.
func isStack(t *tensor.Tensor) bool {
	return len(t.Dims) > 2 && dag.Size(t.Dims[:len(t.Dims)-2]) != 1
}

// matrix drops the leading axes, of extent 1, of a constant.
func matrix(t *tensor.Tensor) *tensor.Tensor {
	if len(t.Dims) <= 2 {
		return t
	}
	return t.Reshaped(t.Dims[len(t.Dims)-2:])
}

// matMulBy multiplies v by a constant, which stands on its left or on its right.
func (o *op) matMulBy(v *value, t *tensor.Tensor, left bool) (*value, error) {
	if len(v.shape) == 0 || len(t.Dims) == 0 {
		return nil, refusal.New("", "a scalar operand")
	}
	if isStack(t) {
		return o.stacked(v, t, left)
	}
	lead := len(t.Dims) - 2 // axes of extent 1 that the result has too
	t = matrix(t)
	axis, at, column := len(v.shape)-1, 1, []int{t.Dims[0], 1}
	if left {
		axis, at, column = max(len(v.shape)-2, 0), 0, []int{1, t.Dims[0]}
	}
	vector := len(t.Dims) == 1
	if vector {
		t = t.Reshaped(column)
	}
	out, err := o.dense(v, axis, t, at, left)
	if err != nil {
		return nil, err
	}
	if vector {
		return o.relabel(out, slices.Delete(slices.Clone(out.shape), axis, axis+1)), nil
	}
	return o.leading(out, max(lead, 0)+min(len(v.shape), 2)), nil
}

// leading adds axes of extent 1 in front.
func (o *op) leading(v *value, rank int) *value {
	if len(v.shape) >= rank {
		return v
	}
	return o.relabel(v, slices.Concat(slices.Repeat([]int{1}, rank-len(v.shape)), v.shape))
}

// stacked multiplies by a stack of matrices, one for each entry of the leading
// axes: a convolution with a kernel of 1 whose groups are the stack. Leading
// axes that the stack does not vary along, the batch among them, share its
// matrices.
func (o *op) stacked(v *value, t *tensor.Tensor, left bool) (*value, error) {
	r := max(len(v.shape), len(t.Dims), 2)
	if len(v.shape) < 2 {
		return nil, refusal.New("give the operand a second axis of extent 1",
			"it multiplies a vector by a stack of matrices of shape %v", t.Dims)
	}
	v = o.leading(v, r)
	stack := slices.Concat(slices.Repeat([]int{1}, r-len(t.Dims)), t.Dims[:len(t.Dims)-2])
	rows, cols := t.Dims[len(t.Dims)-1], t.Dims[len(t.Dims)-2]
	if left {
		rows, cols = cols, rows
	}
	from := v.shape
	wide := slices.Clone(v.shape)
	var groups, shared []int // leading axes
	for i, s := range stack {
		switch d := v.shape[i]; {
		case s == d:
			groups = append(groups, i)
		case s == 1 && d == tensor.BatchDim:
		case s == 1:
			shared = append(shared, i)
		case d == 1:
			wide[i] = s
			groups = append(groups, i)
		case d == tensor.BatchDim:
			return nil, refusal.MixesBatch("its stack of matrices of shape %v has one for each sample of a batch", t.Dims)
		default:
			return nil, refusal.New("", "a stack of matrices of shape %v does not broadcast to a value of shape %s", t.Dims, tensor.DimString(from))
		}
	}
	along, beside := r-1, r-2 // the axes that the products run along, and the other
	if left {
		along, beside = beside, along
	}
	if v.shape[along] == tensor.BatchDim {
		return nil, refusal.MixesBatch("the product runs over the batch axis")
	}
	if v.shape[along] != cols {
		return nil, refusal.New("", "a weight of shape %v does not fit a value of shape %s", t.Dims, tensor.DimString(from))
	}
	out := slices.Clone(wide)
	out[along] = rows
	if !tensor.Fits(wide) || !tensor.Fits(out) {
		return nil, tooLarge()
	}
	v = o.expand(v, wide)
	// Batch, groups and channels, positions.
	var perm []int
	if b := v.batchAxis(); b >= 0 {
		perm = append(perm, b)
	}
	first := len(perm)
	perm = slices.Concat(perm, groups, []int{along}, shared)
	if wide[beside] != tensor.BatchDim {
		perm = append(perm, beside)
	}
	v = o.transpose(v, perm)
	at := 1
	if left {
		at = 0
	}
	w, err := o.use(t, at)
	if err != nil {
		return nil, err
	}
	last := first + len(groups) // the axis of the channels
	n, places := dag.Size(v.shape[first:last]), dag.Size(v.shape[last+1:])
	c := &dag.Conv{W: w, InChannels: n * cols, OutChannels: n * rows, Groups: n, Transposed: !left}
	g := geometry{kernel: []int{1}, stride: []int{1}, dilation: []int{1}, pads: []int{0, 0}, auto: "NOTSET"}
	if c.Window, err = g.window([]int{places}, false); err != nil {
		return nil, err
	}
	shape := slices.Clone(v.shape)
	shape[last] = rows
	y := o.emit(&dag.Linear{Map: c}, shape, v)
	o.unitAxes[y.node] = lists.Count(first, last-first+1)
	return o.transpose(y, inverted(perm)), nil
}

func lowerGemm(o *op) error { return o.gives(o.gemm()) }

// gemm is alpha*op(A) op(B) + beta*C with one constant matrix, or all of them.
func (o *op) gemm() (*value, error) {
	a, b, err := o.two()
	if err != nil {
		return nil, err
	}
	alpha, beta := o.float("alpha", 1), o.float("beta", 1)
	// A constant beside an activation stays as the operator sees it, since it
	// may have to be written back; its layout says the same.
	fold := a.constant() && b.constant()
	transA, transB := o.int("transA", 0) != 0, o.int("transB", 0) != 0
	if a, err = o.gemmOperand(a, transA && (fold || !a.constant())); err != nil {
		return nil, err
	}
	if b, err = o.gemmOperand(b, transB && (fold || !b.constant())); err != nil {
		return nil, err
	}
	var out *value
	switch {
	case fold:
		out, err = valueOf(o.foldProduct(a.con, b.con))
	case !a.constant() && !b.constant():
		out, err = o.product(a, b)
	case b.constant():
		out, err = o.dense(a, len(a.shape)-1, b.con, 1, transB)
	default:
		out, err = o.dense(b, 0, a.con, 0, !transA)
	}
	if err != nil {
		return nil, err
	}
	if out, err = o.times(out, alpha); err != nil {
		return nil, err
	}
	if c := o.arg(2); c != nil && beta != 0 {
		if out, err = o.gemmBias(out, c, beta); err != nil {
			return nil, err
		}
	}
	if !fold {
		o.nodes[out.node].Source = opLabel(o.node)
	}
	return out, nil
}

// gemmBias adds beta*C, which broadcasts to the product and never widens it.
func (o *op) gemmBias(v, c *value, beta float64) (*value, error) {
	shape := v.shape
	switch {
	case v.constant() && c.constant():
		scaled, err := o.times(c, beta)
		if err != nil {
			return nil, err
		}
		return valueOf(o.foldPair("Add", v.con, scaled.con))
	case v.constant():
		return o.affine(c, affine{add: v.con, addAt: -1, coef: beta, addCoef: 1})
	case c.constant():
		out, err := o.affine(v, affine{add: c.con, addAt: 2, coef: 1, addCoef: beta})
		if err == nil && !slices.Equal(out.shape, shape) {
			err = refusal.New("", "C of shape %v does not fit a product of shape %s", c.con.Dims, tensor.DimString(shape))
		}
		return out, err
	}
	c, err := o.times(c, beta)
	if err != nil {
		return nil, err
	}
	return o.combine(nil, v, c)
}

// gemmOperand returns a matrix operand, transposed where asked.
func (o *op) gemmOperand(v *value, transpose bool) (*value, error) {
	if rank(v) != 2 && (v.constant() || !o.lines) {
		return nil, refusal.New("", "an operand of rank %d, want 2", rank(v))
	}
	if !transpose {
		return v, nil
	}
	return o.permuted(v, []int{1, 0})
}

// lowerFusedGemm is com.microsoft.FusedGemm: Gemm and an activation.
func lowerFusedGemm(o *op) error {
	v, err := o.gemm()
	if err != nil {
		return err
	}
	return o.gives(o.fusedActivation(v))
}

// lowerFusedMatMul is com.microsoft.FusedMatMul: MatMul of operands whose last
// two axes may be transposed, times alpha.
func lowerFusedMatMul(o *op) error {
	if o.int("transBatchA", 0) != 0 || o.int("transBatchB", 0) != 0 {
		return refusal.New("export without operator fusion", "it moves the first axis of a batch of matrices")
	}
	a, b, err := o.two()
	if err != nil {
		return err
	}
	if a, err = o.lastTransposed(a, o.int("transA", 0) != 0); err != nil {
		return err
	}
	if b, err = o.lastTransposed(b, o.int("transB", 0) != 0); err != nil {
		return err
	}
	out, err := o.matMul(a, b)
	if err != nil {
		return err
	}
	return o.gives(o.times(out, o.float("alpha", 1)))
}

// lastTransposed swaps the last two axes where asked.
func (o *op) lastTransposed(v *value, swap bool) (*value, error) {
	r := rank(v)
	if !swap || r < 2 {
		return v, nil
	}
	perm := lists.Count(0, r)
	perm[r-2], perm[r-1] = r-1, r-2
	return o.permuted(v, perm)
}

// fusedActivations are the activations that may be part of FusedConv and FusedGemm, with
// the names of their parameters, in order.
var fusedActivations = map[string][]string{
	"Relu": nil, "Tanh": nil, "Sigmoid": nil, "Softplus": nil, "Softsign": nil,
	"LeakyRelu": {"alpha"}, "Elu": {"alpha"}, "ThresholdedRelu": {"alpha"}, "HardSigmoid": {"alpha", "beta"}, "Selu": {"alpha", "gamma"},
	"Clip": {"min", "max"},
}

// fusedActivation applies the attribute activation.
func (o *op) fusedActivation(v *value) (*value, error) {
	name := o.str("activation", "")
	if name == "" {
		return v, nil
	}
	if v.constant() {
		return nil, refusal.New("fold constants before export", "all its operands are constants")
	}
	params, ok := fusedActivations[name]
	if !ok {
		return nil, refusal.New("export without operator fusion", "its activation %s is not supported", name)
	}
	var attributes []wire.Attribute
	in := []*value{v}
	for k, param := range params {
		a := o.attr("activation_" + param)
		if list := o.attr("activation_params"); list != nil && k < len(list.Floats) {
			a = &wire.Attribute{F: list.Floats[k]}
		}
		switch {
		case name == "Clip" && a != nil:
			in = append(in, &value{con: tensor.NewFloats(dag.Float32, nil, []float64{float64(a.F)})})
		case name == "Clip":
			in = append(in, nil)
		case a != nil:
			attributes = append(attributes, wire.Attribute{Name: param, F: a.F})
		}
	}
	lower := homogeneousOperators[name]
	if lower == nil {
		lower = functionOperators[name]
	}
	names := slices.Repeat([]int{-1}, len(in))
	return o.innerWith(attributes, lower, name, in, names)
}
