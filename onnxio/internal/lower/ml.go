package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowerScaler is ai.onnx.ml.Scaler: (x - offset)*scale along the last axis, or
// the same numbers for all.
func lowerScaler(o *op, v *value) error {
	var err error
	if v.constant() {
		return refusal.New("fold constants before export", "it scales a constant")
	}
	if !tensor.IsFloat(v.elem) {
		return refusal.New("cast to float before it", "it scales integers")
	}
	out := v
	for _, part := range []struct {
		name string
		f    func(t *tensor.Tensor) affine
	}{
		{"offset", func(t *tensor.Tensor) affine { return affine{add: t, addAt: -1, coef: 1, addCoef: -1} }},
		{"scale", func(t *tensor.Tensor) affine { return affine{mul: t, mulAt: -1, coef: 1} }},
	} {
		f := o.floats(part.name)
		if len(f) == 0 {
			continue
		}
		if n := len(f); n != 1 && (len(v.shape) == 0 || n != v.shape[len(v.shape)-1]) {
			return refusal.New("", "%s of %s for a value of shape %s", words.Count(n, "value"), part.name, tensor.DimString(v.shape))
		}
		if out, err = o.affine(out, part.f(tensor.NewFloats(dag.Float32, []int{len(f)}, f))); err != nil {
			return err
		}
		out.exclusive = true
	}
	out.elem = wire.Float32
	o.give(0, out)
	return nil
}

// lowerBinarizer is ai.onnx.ml.Binarizer: 1 above the threshold, else 0.
func lowerBinarizer(o *op) error {
	t := o.float("threshold", 0)
	return o.elementwise("it gives 0 or 1", func(x []float64) float64 { return truth(x[0] > t) })
}

// lowerNormalizer is ai.onnx.ml.Normalizer: each row over its norm.
func lowerNormalizer(o *op, v *value) error {
	var norm func(x []float64) float64
	switch kind := o.str("norm", "MAX"); kind {
	case "MAX":
		norm = func(x []float64) float64 { return extremeOf(x, tensor.Larger) }
	case "L1":
		norm = absSumOf
	case "L2":
		norm = func(x []float64) float64 { return math.Sqrt(squareSumOf(x)) }
	default:
		return refusal.New("", "norm %q", kind)
	}
	if v.constant() || len(v.shape) == 0 {
		return refusal.New("fold constants before export", "it normalises a constant")
	}
	k := len(v.shape) - 1
	if v.shape[k] == tensor.BatchDim {
		return refusal.MixesBatch("it normalises along the batch axis")
	}
	n := v.shape[k]
	if n == 0 {
		return refusal.New("", "it normalises empty rows")
	}
	o.give(0, o.function("it divides by a norm of its operand", wire.Float32, v.shape, func(dst []float64, in ...[]float64) {
		for at := 0; at+n <= len(dst); at += n {
			x := in[0][at:][:n]
			s := norm(x)
			for i, z := range x {
				if dst[at+i] = z; s != 0 {
					dst[at+i] = z / s
				}
			}
		}
	}, v))
	return nil
}

// lowerArrayFeatureExtractor is ai.onnx.ml.ArrayFeatureExtractor: entries of
// the last axis by constant indices, or entries of a constant by indices that
// the network computes, as a classifier's labels.
func lowerArrayFeatureExtractor(o *op, v, at *value) error {
	from := v.dims()
	if len(from) == 0 {
		return refusal.New("", "a scalar operand")
	}
	k := len(from) - 1
	if !at.constant() {
		return o.lookup(v, at)
	}
	index, err := at.con.Int64s()
	if err != nil {
		return err
	}
	if from[k] == tensor.BatchDim {
		return refusal.MixesBatch("it picks samples of the batch")
	}
	for _, x := range index {
		if x < 0 || x >= int64(from[k]) {
			return refusal.New("", "index %d is outside %s", x, words.Count(from[k], "entry"))
		}
	}
	size, entry := list(index)
	return o.gives(o.take(v, k, size, entry))
}

// lookup picks entries of a constant row by computed indices.
func (o *op) lookup(v, at *value) error {
	if !v.constant() {
		return refusal.New("", "both the values and the indices are computed by the network")
	}
	if v.con.Stored != nil && v.con.Stored.Wire.DType == wire.String {
		o.give(0, &value{opaque: "it holds strings", node: -1})
		return nil
	}
	row, err := v.con.Float64s()
	if err != nil {
		return err
	}
	if len(row) != v.con.Dims[len(v.con.Dims)-1] {
		return refusal.New("", "labels of shape %v", v.con.Dims)
	}
	count := 1
	for _, d := range at.shape {
		if d == tensor.BatchDim || count == tensor.BatchDim {
			count = tensor.BatchDim
		} else {
			count *= d
		}
	}
	if count == tensor.BatchDim && dag.Size(tensor.SampleShape(at.shape)) != 1 {
		return refusal.MixesBatch("it flattens the batch axis with others")
	}
	shape := []int{1, count}
	o.give(0, o.function("it looks up a label", v.dataType(), shape, func(dst []float64, in ...[]float64) {
		for i, x := range in[0] {
			dst[i] = math.NaN()
			if k := int(x); k >= 0 && k < len(row) {
				dst[i] = row[k]
			}
		}
	}, at))
	return nil
}

// lowerLabelEncoder maps numbers to numbers by a table, or makes strings.
func lowerLabelEncoder(o *op) error {
	keys, values := o.attr("keys_int64s"), o.attr("values_int64s")
	if keys == nil || values == nil || len(keys.Ints) != len(values.Ints) {
		o.give(0, &value{opaque: "it holds labels that are no integers", node: -1})
		return nil
	}
	def := o.int("default_int64", -1)
	v, err := o.need(0)
	if err != nil {
		return err
	}
	return o.gives(o.apply("it maps labels", wire.Int64, func(x []float64) float64 {
		if k := slices.Index(keys.Ints, int64(x[0])); k >= 0 {
			return float64(values.Ints[k])
		}
		return float64(def)
	}, v))
}

// lowerOneHotEncoder is ai.onnx.ml.OneHotEncoder of numbers: 1 at the place of the
// category, and no 1 for others.
func lowerOneHotEncoder(o *op, v *value) error {
	a := o.attr("cats_int64s")
	if a == nil || len(a.Ints) == 0 {
		return refusal.New("encode numbers", "its categories are strings")
	}
	n := len(a.Ints)
	place := map[int64]int{}
	for i, c := range a.Ints {
		place[c] = i
	}
	shape := append(slices.Clone(v.dims()), n)
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	return o.gives(o.functionOf("it gives 0 or 1", wire.Float32, shape, func(dst []float64, in ...[]float64) {
		clear(dst)
		for i, x := range in[0] {
			if k, ok := place[int64(x)]; ok {
				dst[i*n+k] = 1
			}
		}
	}, v))
}

// lowerImputer is ai.onnx.ml.Imputer: a number in the place of missing ones, for all
// columns or for each.
func lowerImputer(o *op, v *value) error {
	fill, missing := o.floats("imputed_value_floats"), o.float("replaced_value_float", 0)
	if fill == nil && o.attr("imputed_value_int64s") != nil {
		fill, missing = lists.Convert[float64](o.ints("imputed_value_int64s")), float64(o.int("replaced_value_int64", 0))
	}
	d := v.dims()
	if len(d) == 0 || len(fill) != 1 && len(fill) != d[len(d)-1] {
		return refusal.New("", "%s for a value of shape %s", words.Count(len(fill), "value"), tensor.DimString(d))
	}
	return o.gives(o.functionOf("it replaces missing numbers", v.dataType(), d, func(dst []float64, in ...[]float64) {
		for i, x := range in[0] {
			if dst[i] = x; x == missing || math.IsNaN(missing) && math.IsNaN(x) {
				dst[i] = fill[i%len(fill)]
			}
		}
	}, v))
}
