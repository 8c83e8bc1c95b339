package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

const writes = "it writes at computed places"

// combinations combine what is written with what is there.
var combinations = map[string]func(old, x float64) float64{
	"none": func(_, x float64) float64 { return x },
	"add":  func(old, x float64) float64 { return old + x },
	"mul":  func(old, x float64) float64 { return old * x },
	"max":  tensor.Larger,
	"min":  tensor.Smaller,
}

// combining is the operator's reduction.
func (o *op) combining() (func(old, x float64) float64, error) {
	r := o.str("reduction", "none")
	f := combinations[r]
	if f == nil {
		return nil, refusal.New("", "reduction %q", r)
	}
	return f, nil
}

// abreast reports whether values stand beside each other sample by sample: all have
// the batch at the same axis, or none has one.
func abreast(in ...*value) bool {
	at := func(v *value) int { return slices.Index(v.dims(), tensor.BatchDim) }
	return !slices.ContainsFunc(in, func(v *value) bool { return at(v) != at(in[0]) })
}

// undefined fills a value that has no numbers: an index was out of range.
func undefined(dst []float64) {
	for i := range dst {
		dst[i] = math.NaN()
	}
}

// scatterElements writes updates along one axis, at computed places or combined with
// what is there.
func (o *op) scatterElements(data, index, updates *value) error {
	combine, err := o.combining()
	if err != nil {
		return err
	}
	dims := data.dims()
	axis, err := tensor.AxisOf(o.int("axis", 0), len(dims))
	if err != nil {
		return err
	}
	if len(index.dims()) != len(dims) || len(updates.dims()) != len(dims) {
		return refusal.New("", "indices and updates of shapes %s and %s for a value of shape %s",
			tensor.DimString(index.dims()), tensor.DimString(updates.dims()), tensor.DimString(dims))
	}
	if dims[axis] == tensor.BatchDim || !abreast(data, index, updates) {
		return refusal.MixesBatch("it writes into samples of the batch")
	}
	to, from := tensor.SampleShape(dims), tensor.SampleShape(index.dims())
	a := tensor.SampleAxis(dims, axis)
	if !slices.Equal(from, tensor.SampleShape(updates.dims())) {
		return refusal.New("", "updates of shape %s for indices of shape %s", tensor.DimString(updates.dims()), tensor.DimString(index.dims()))
	}
	for k := range to {
		if k != a && from[k] > to[k] {
			return refusal.New("", "indices of shape %s for a value of shape %s", tensor.DimString(index.dims()), tensor.DimString(dims))
		}
	}
	step, own := tensor.Strides(to), tensor.Strides(from)
	return o.gives(o.functionOf(writes, data.dataType(), dims, func(dst []float64, in ...[]float64) {
		copy(dst, in[0])
		for e, x := range in[1] {
			at, ok := 0, true
			for k := range to {
				j := e / own[k] % from[k]
				if k == a {
					j, ok = place(x, to[k])
				}
				at += j * step[k]
			}
			if !ok {
				undefined(dst)
				return
			}
			dst[at] = combine(dst[at], in[2][e])
		}
	}, data, index, updates))
}

// scatterTuples writes updates at computed tuples of indices, or combined with what is
// there. No operand has a batch axis.
func (o *op) scatterTuples(data, index, updates *value) error {
	combine, err := o.combining()
	if err != nil {
		return err
	}
	dims, list := data.dims(), index.dims()
	n := list[len(list)-1]
	if slices.Contains(list, tensor.BatchDim) {
		return refusal.MixesBatch("it writes into samples of the batch")
	}
	if n > len(dims) || dag.Size(updates.dims()) != dag.Size(list[:len(list)-1])*dag.Size(dims[n:]) {
		return refusal.New("", "updates of shape %s for indices of shape %s and a value of shape %s",
			tensor.DimString(updates.dims()), tensor.DimString(list), tensor.DimString(dims))
	}
	run := dag.Size(dims[n:])
	return o.gives(o.functionOf(writes, data.dataType(), dims, func(dst []float64, in ...[]float64) {
		copy(dst, in[0])
		for k := range len(in[2]) / max(run, 1) {
			at, ok := entry(in[1][k*n:][:n], dims)
			if !ok {
				undefined(dst)
				return
			}
			for e := range run {
				dst[at*run+e] = combine(dst[at*run+e], in[2][k*run+e])
			}
		}
	}, data, index, updates))
}

// entry is the place that a tuple of indices names in the first axes of dims.
func entry(tuple []float64, dims []int) (at int, ok bool) {
	for k, x := range tuple {
		j, ok := place(x, dims[k])
		if !ok {
			return 0, false
		}
		at = at*dims[k] + j
	}
	return at, true
}

// lowerGatherND picks entries by tuples of indices, behind batch_dims shared axes.
func lowerGatherND(o *op, data, index *value) error {
	dims, list := data.dims(), index.dims()
	shared, n := int(o.int("batch_dims", 0)), 0
	if len(list) > 0 {
		n = list[len(list)-1]
	}
	if shared < 0 || shared >= len(list) || n < 1 || n > len(dims)-shared {
		return refusal.New("", "tuples of %s behind %s for rank %d", words.Count(n, "index"), words.Count(shared, "axis"), len(dims))
	}
	named := dims[shared : shared+n]
	at, to := slices.Index(dims, tensor.BatchDim), slices.Index(list, tensor.BatchDim)
	switch {
	case slices.Contains(named, tensor.BatchDim), to == len(list)-1, at >= 0 && at < shared && to != at, at >= 0 && at >= shared && to >= 0,
		to >= 0 && to < shared && at != to:
		return refusal.MixesBatch("it picks elements of samples of the batch")
	case !slices.Equal(dims[:shared], list[:shared]):
		return refusal.New("", "indices of shape %s for a value of shape %s, which share %s", tensor.DimString(list), tensor.DimString(dims), words.Count(shared, "axis"))
	}
	shape := slices.Concat(list[:len(list)-1], dims[shared+n:])
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	outer, run := dag.Size(tensor.SampleShape(dims[:shared])), dag.Size(tensor.SampleShape(dims[shared+n:]))
	each, entries := dag.Size(tensor.SampleShape(list[shared:len(list)-1])), dag.Size(named)
	if index.constant() {
		x, err := index.con.Float64s()
		if err != nil {
			return err
		}
		if err := o.affordIndexed(outer * each * run); err != nil {
			return err
		}
		from := make([]int32, 0, outer*each*run)
		for k := range outer * each {
			j, ok := entry(x[k*n:][:n], named)
			if !ok {
				return refusal.New("", "indices %v are outside %v", x[k*n:][:n], named)
			}
			for e := range run {
				from = append(from, int32((k/each*entries+j)*run+e))
			}
		}
		return o.moved(shape, from, data)
	}
	return o.gives(o.functionOf("it picks entries by computed indices", data.dataType(), shape, func(dst []float64, in ...[]float64) {
		for k := range outer * each {
			to := dst[k*run:][:run]
			if j, ok := entry(in[1][k*n:][:n], named); ok {
				copy(to, in[0][(k/each*entries+j)*run:])
			} else {
				undefined(to)
			}
		}
	}, data, index))
}
