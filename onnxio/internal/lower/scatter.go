package lower

import (
	"cmp"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// moved gives elements of the operands strung together, -1 for none, of the shape:
// a constant where all are constants. The operands must have no batch axis, or the
// first axis of all is it and the index is that of one sample.
func (o *op) moved(shape []int, index []int32, in ...*value) error {
	if !slices.ContainsFunc(in, func(v *value) bool { return !v.constant() }) {
		if err := o.afford(len(index) + joined(in)); err != nil {
			return err
		}
		t, err := strung(in)
		if err != nil {
			return err
		}
		if t, err = t.Indexed(shape, index); err != nil {
			return err
		}
		o.giveTensor(t)
		return nil
	}
	n := 0
	for k, v := range in {
		var err error
		if in[k], err = o.materialize(v); err != nil {
			return err
		}
		n += dag.Size(tensor.SampleShape(in[k].shape))
	}
	o.spent += len(index)
	all := in[0]
	if len(in) > 1 {
		all = o.emit(&dag.Concat{}, []int{n}, in...)
		all.shape = slices.Clone(in[0].shape[:0])
		if slices.Contains(shape, tensor.BatchDim) {
			all.shape = append(all.shape, tensor.BatchDim)
		}
		all.shape = append(all.shape, n)
	}
	o.give(0, o.emit(&dag.Select{Index: index}, shape, all))
	return nil
}

// joined counts the numbers that are copied to string constants together.
func joined(in []*value) int {
	n := 0
	for _, v := range in {
		n += v.con.Size()
	}
	if len(in) == 1 {
		return 0
	}
	return n
}

// strung is constants strung together.
func strung(in []*value) (*tensor.Tensor, error) {
	out := in[0].con
	if len(in) == 1 {
		return out, nil
	}
	n := 0
	var floats []float64
	var ints []int64
	for _, v := range in {
		n += v.con.Size()
		if out.Kind == tensor.Floating {
			f, err := v.con.Float64s()
			if err != nil {
				return nil, err
			}
			floats = append(floats, f...)
			continue
		}
		i, err := v.con.Int64s()
		if err != nil {
			return nil, err
		}
		ints = append(ints, i...)
	}
	return &tensor.Tensor{Dims: []int{n}, Kind: out.Kind, Typ: out.Typ, Elem: out.Elem, Floats: floats, Ints: ints}, nil
}

// tuples reads index tuples of the given length into the first axes of dims.
func tuples(t *tensor.Tensor, dims []int) (places []int, err error) {
	x, err := t.Int64s()
	if err != nil {
		return nil, err
	}
	n := t.Dims[len(t.Dims)-1]
	if n > len(dims) {
		return nil, refusal.New("", "tuples of %s for rank %d", words.Count(n, "index"), len(dims))
	}
	step := tensor.Strides(dims)
	for i := 0; n > 0 && i < len(x); i += n {
		at := 0
		for k := range n {
			j, ok := place(float64(x[i+k]), dims[k])
			if !ok {
				return nil, refusal.New("", "index %d is outside %s", x[i+k], words.Count(dims[k], "entry"))
			}
			at += j * step[k]
		}
		places = append(places, at)
	}
	return places, nil
}

// lowerScatterND writes updates into a copy of the data at stated places.
func lowerScatterND(o *op, data, index, updates *value) error {
	dims := data.dims()
	if slices.Contains(dims, tensor.BatchDim) || slices.Contains(updates.dims(), tensor.BatchDim) {
		return refusal.MixesBatch("it writes into samples of the batch")
	}
	if len(index.dims()) == 0 {
		return refusal.New("", "a scalar as list of indices")
	}
	if !index.constant() || o.str("reduction", "none") != "none" {
		return o.scatterTuples(data, index, updates)
	}
	t := index.con
	if err := o.affordIndexed(dag.Size(dims) + t.Size()); err != nil {
		return err
	}
	places, err := tuples(t, dims)
	if err != nil {
		return err
	}
	run := dag.Size(dims[t.Dims[len(t.Dims)-1]:])
	if dag.Size(updates.dims()) != len(places)*run {
		return refusal.New("", "updates of shape %s for %s of %d", tensor.DimString(updates.dims()), words.Count(len(places), "entry"), run)
	}
	n := dag.Size(dims)
	from := lists.Count[int32](0, n)
	for k, at := range places {
		for e := range run {
			from[at+e] = int32(n + k*run + e)
		}
	}
	return o.moved(slices.Clone(dims), from, data, updates)
}

// lowerScatterElements writes updates along one axis.
func lowerScatterElements(o *op, data, index, updates *value) error {
	dims := data.dims()
	if !index.constant() || o.str("reduction", "none") != "none" {
		return o.scatterElements(data, index, updates)
	}
	t := index.con
	if slices.Contains(dims, tensor.BatchDim) || slices.Contains(updates.dims(), tensor.BatchDim) {
		return refusal.MixesBatch("it writes into samples of the batch")
	}
	if !slices.Equal(updates.dims(), t.Dims) {
		return refusal.New("", "updates of shape %s for indices of shape %v", tensor.DimString(updates.dims()), t.Dims)
	}
	places, err := o.elementPlaces(t, dims)
	if err != nil {
		return err
	}
	n := dag.Size(dims)
	if err := o.affordIndexed(n + len(places)); err != nil {
		return err
	}
	from := lists.Count[int32](0, n)
	for k, at := range places {
		from[at] = int32(n + k)
	}
	return o.moved(slices.Clone(dims), from, data, updates)
}

// elementPlaces returns the element of a value of the given dims that each entry of
// an index tensor names along the attribute's axis.
func (o *op) elementPlaces(t *tensor.Tensor, dims []int) ([]int, error) {
	axis, err := tensor.AxisOf(o.int("axis", 0), len(dims))
	if err != nil {
		return nil, err
	}
	x, err := t.Int64s()
	if err != nil {
		return nil, err
	}
	if len(t.Dims) != len(dims) {
		return nil, refusal.New("", "indices of rank %d for rank %d", len(t.Dims), len(dims))
	}
	if err := o.affordIndexed(len(x)); err != nil {
		return nil, err
	}
	from, step := tensor.Strides(t.Dims), tensor.Strides(dims)
	out := make([]int, len(x))
	for e := range x {
		for k := range dims {
			j := e / from[k] % t.Dims[k]
			if k == axis {
				var ok bool
				if j, ok = place(float64(x[e]), dims[k]); !ok {
					return nil, refusal.New("", "index %d is outside %s", x[e], words.Count(dims[k], "entry"))
				}
			} else if j >= dims[k] {
				return nil, refusal.New("", "indices of shape %v for a value of shape %s", t.Dims, tensor.DimString(dims))
			}
			out[e] += j * step[k]
		}
	}
	return out, nil
}

// lowerGatherElements picks elements along one axis.
func lowerGatherElements(o *op, data, index *value) error {
	dims := data.dims()
	if index.constant() {
		if slices.Contains(dims, tensor.BatchDim) {
			return refusal.MixesBatch("it picks elements of samples of the batch")
		}
		places, err := o.elementPlaces(index.con, dims)
		if err != nil {
			return err
		}
		return o.moved(index.con.Dims, lists.Convert[int32](places), data)
	}
	data, err := o.materialize(data)
	if err != nil {
		return err
	}
	axis, err := tensor.AxisOf(o.int("axis", 0), len(dims))
	if err != nil {
		return err
	}
	if len(index.shape) != len(data.shape) || data.batchAxis() != index.batchAxis() || dims[axis] == tensor.BatchDim {
		return refusal.MixesBatch("it picks elements of samples of the batch")
	}
	from, to := tensor.SampleShape(data.shape), tensor.SampleShape(index.shape)
	a := tensor.SampleAxis(data.shape, axis)
	for k := range from {
		if k != a && to[k] > from[k] {
			return refusal.New("", "indices of shape %s for a value of shape %s", tensor.DimString(index.shape), tensor.DimString(data.shape))
		}
	}
	step, own := tensor.Strides(from), tensor.Strides(to)
	o.give(0, o.function("it picks elements by computed indices", data.elem, index.shape, func(dst []float64, in ...[]float64) {
		for e := range dst {
			at, ok := 0, true
			for k := range from {
				j := e / own[k] % to[k]
				if k == a {
					j, ok = place(in[1][e], from[k])
				}
				at += j * step[k]
			}
			if dst[e] = math.NaN(); ok {
				dst[e] = in[0][at]
			}
		}
	}, data, index))
	return nil
}

// lowerTrilu keeps one triangle of the matrices in the last two axes.
func lowerTrilu(o *op, v *value) error {
	var err error
	k := int64(0)
	if o.arg(1) != nil {
		if k, err = o.one(1, "the diagonal"); err != nil {
			return err
		}
	}
	dims := v.dims()
	r := len(dims)
	if r < 2 || dims[r-1] == tensor.BatchDim || dims[r-2] == tensor.BatchDim {
		return refusal.MixesBatch("its matrices run over the batch axis")
	}
	rows, cols := dims[r-2], dims[r-1]
	if n := dag.Size(tensor.SampleShape(dims)); v.constant() {
		if err := o.affordIndexed(n); err != nil {
			return err
		}
	}
	index := make([]int32, dag.Size(tensor.SampleShape(dims)))
	upper := o.int("upper", 1) != 0
	for e := range index {
		i, j := int64(e/cols%rows), int64(e%cols)
		if index[e] = -1; upper && j-i >= k || !upper && j-i <= k {
			index[e] = int32(e)
		}
	}
	if !v.constant() {
		o.give(0, o.pick(v, dims, index))
		return nil
	}
	zero := *v.con
	if err := zero.Load(); err != nil {
		return err
	}
	zero.Stored, zero.Part = nil, nil // zeros are elements of none
	zero.Floats, zero.Ints = slices.Clone(zero.Floats), slices.Clone(zero.Ints)
	for e, j := range index {
		switch {
		case j >= 0:
		case zero.Kind == tensor.Floating:
			zero.Floats[e] = 0
		default:
			zero.Ints[e] = 0
		}
	}
	o.giveTensor(&zero)
	return nil
}

// ranked is a number to sort, and its place.
type ranked struct {
	value float64
	at    int
}

// lowerTopK gives the largest or smallest entries along an axis, and their places.
func lowerTopK(o *op, v *value) error {
	var err error
	k := o.int("k", 0)
	if o.opset >= 10 {
		if k, err = o.one(1, "the number of entries"); err != nil {
			return err
		}
	}
	axis, err := tensor.AxisOf(o.int("axis", -1), len(v.dims()))
	if err != nil {
		return err
	}
	if v.dims()[axis] == tensor.BatchDim {
		return refusal.MixesBatch("it compares the samples of a batch")
	}
	a := tensor.Around(v.dims(), axis)
	if k < 0 || k > int64(a.N) {
		return refusal.New("", "%d of %s", k, words.Count(a.N, "entry"))
	}
	if v.constant() {
		if err := o.afford(2 * a.N); err != nil { // a line with its places
			return err
		}
	}
	shape := slices.Clone(v.dims())
	shape[axis] = int(k)
	largest := o.int("largest", 1) != 0
	for out, typ := range []wire.DataType{v.dataType(), wire.Int64} {
		if o.node.Outputs[out] == "" {
			continue
		}
		y, err := o.functionOf("it picks extreme values", typ, shape, func(dst []float64, in ...[]float64) {
			// Of equal ones the first comes first.
			order := func(x, y ranked) int { return cmp.Or(cmp.Compare(x.value, y.value), cmp.Compare(x.at, y.at)) }
			if largest {
				order = func(x, y ranked) int { return cmp.Or(cmp.Compare(y.value, x.value), cmp.Compare(x.at, y.at)) }
			}
			line := make([]ranked, a.N)
			for q := range a.Outer {
				for e := range a.Inner {
					for i := range line {
						line[i] = ranked{in[0][(q*a.N+i)*a.Inner+e], i}
					}
					slices.SortFunc(line, order)
					for i := range int(k) {
						x := float64(line[i].at)
						if out == 0 {
							x = line[i].value
						}
						dst[(q*int(k)+i)*a.Inner+e] = x
					}
				}
			}
		}, v)
		if err != nil {
			return err
		}
		o.give(out, y)
	}
	return nil
}

// lowerOneHot gives vectors with one value at the place that an index names and
// another elsewhere.
func lowerOneHot(o *op, v *value) error {
	depth, err := o.floatsAt(1, "the depth")
	if err != nil {
		return err
	}
	vals, err := o.constant(2, "the two values")
	if err != nil {
		return err
	}
	two, err := vals.Float64s()
	if err != nil {
		return err
	}
	if len(depth) != 1 || len(two) != 2 || depth[0] < 1 || depth[0] > tensor.MaxElements {
		return refusal.New("", "depth %v and values %v", depth, two)
	}
	n := int(depth[0])
	r := rank(v)
	axis, err := tensor.AxisOf(o.int("axis", -1), r+1)
	if err != nil {
		return err
	}
	shape := slices.Insert(slices.Clone(v.dims()), axis, n)
	if err := o.oneBatch(shape); err != nil {
		return err
	}
	a := tensor.Around(shape, axis)
	compute := func(dst []float64, in ...[]float64) {
		for q := range a.Outer {
			for e := range a.Inner {
				j, ok := place(in[0][q*a.Inner+e], n)
				for i := range n {
					x := two[0]
					if ok && i == j {
						x = two[1]
					}
					dst[(q*n+i)*a.Inner+e] = x
				}
			}
		}
	}
	return o.gives(o.functionOf("it gives 0 or 1", vals.DataType(), shape, compute, v))
}
