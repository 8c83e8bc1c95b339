package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// lowerGroupQueryAttention is com.microsoft.GroupQueryAttention: causal attention whose
// keys and values have fewer heads than its queries, with a cache, and rotary embeddings on
// demand. Sequences are of one length: others give NaN.
func lowerGroupQueryAttention(o *op) error {
	for k := 12; k < len(o.in); k++ {
		if o.in[k] != nil {
			return refusal.New("export plain attention with a plain cache", "it has a quantised cache, norms or padded queries (input %d)", k)
		}
	}
	if o.int("sliding_window_cache", 0) != 0 || o.int("qk_output", 0) != 0 {
		return refusal.New("export plain attention with a plain cache", "it has a sliding cache, or gives its scores")
	}
	heads, own := int(min(o.int("num_heads", 0), tensor.MaxElements)), int(min(o.int("kv_num_heads", 0), tensor.MaxElements))
	a := &attention{scale: o.float("scale", 0), softcap: o.float("softcap", 0), causal: o.int("causal", 1) != 0, left: -1, right: -1}
	if w := o.int("local_window_size", -1); w > 0 {
		a.left = int(min(w-1, tensor.MaxElements))
	}
	if heads < 1 || own < 1 {
		return refusal.New("", "%s of queries and %d of keys", words.Count(heads, "head"), own)
	}
	parts, err := o.grouped(heads, own)
	if err != nil {
		return err
	}
	for k, to := range []**value{&a.q, &a.k, &a.v} {
		n := own
		if k == 0 {
			n = heads
		}
		if *to, err = o.byHeads(parts[k], n); err != nil {
			return err
		}
	}
	past := 0
	if p := o.arg(3); p != nil && len(p.dims()) == 4 {
		past = p.dims()[2]
	}
	if o.int("do_rotary", 0) != 0 {
		for _, v := range []**value{&a.q, &a.k} {
			if *v, err = o.turned(*v, past); err != nil {
				return err
			}
		}
	}
	if err := o.caches(a, 3); err != nil {
		return err
	}
	if err := o.oneLength(a); err != nil {
		return err
	}
	if err := o.scoreBias(a, 10); err != nil {
		return err
	}
	if a.sinks, err = o.sinks(11, heads); err != nil {
		return err
	}
	y, err := o.attend(a)
	if err != nil {
		return err
	}
	o.give(0, o.merged(y.out))
	o.give(1, a.k)
	o.give(2, a.v)
	return nil
}

// sinks returns the score of each head's sink, input k; those of a smooth softmax are 0.
func (o *op) sinks(k, heads int) ([]float64, error) {
	if o.arg(k) == nil {
		if o.int("smooth_softmax", 0) > 0 {
			return make([]float64, heads), nil
		}
		return nil, nil
	}
	t, err := o.constant(k, "the sinks")
	if err != nil {
		return nil, err
	}
	if len(t.Dims) != 1 || t.Dims[0] != heads {
		return nil, refusal.New("", "sinks of shape %v for %s", t.Dims, words.Count(heads, "head"))
	}
	return t.Float64s()
}

// grouped returns queries, keys and values, which can be one value.
func (o *op) grouped(heads, own int) (parts [3]*value, err error) {
	if parts[0], err = o.activationOperand(0); err != nil {
		return parts, err
	}
	if o.arg(1) != nil && o.arg(2) != nil {
		for k := 1; k < 3; k++ {
			if parts[k], err = o.activationOperand(k); err != nil {
				return parts, err
			}
		}
		return parts, nil
	}
	v := parts[0]
	all := heads + 2*own
	if o.arg(1) != nil || o.arg(2) != nil || len(v.shape) != 3 || v.shape[2] == tensor.BatchDim || v.shape[2]%all != 0 {
		return parts, refusal.New("", "packed queries, keys and values of shape %s for %s", tensor.DimString(v.shape), words.Count(all, "head"))
	}
	size, from := v.shape[2]/all, 0
	for k, n := range []int{heads, own, own} {
		at := from
		if parts[k], err = o.take(v, 2, n*size, func(i int) int { return at + i }); err != nil {
			return parts, err
		}
		from += n * size
	}
	return parts, nil
}

// turned applies the rotary embedding of inputs 7 and 8, from the first position behind the
// cache on or at the positions of input 9.
func (o *op) turned(v *value, past int) (*value, error) {
	positions := o.arg(9)
	if positions == nil {
		positions = &value{con: tensor.NewInts([]int{1}, []int64{int64(past)})}
	}
	cosines, sines := o.arg(7), o.arg(8)
	if cosines == nil || sines == nil {
		return nil, refusal.New("", "it turns without cosines and sines")
	}
	dim := 0
	if d := cosines.dims(); len(d) == 2 {
		dim = 2 * d[1]
	}
	attributes := []wire.Attribute{{Name: "interleaved", I: o.int("rotary_interleaved", 0)}, {Name: "rotary_embedding_dim", I: int64(dim)}}
	return o.innerWith(attributes, rotary(2, 3, 1), "RotaryEmbedding", []*value{v, positions, cosines, sines}, []int{-1, -1, 7, 8})
}

// oneLength makes the scores of a sequence NaN whose length, input 5 and one more, is not
// that of all keys: where it is shorter, the cache would be read in another way.
func (o *op) oneLength(a *attention) error {
	l, err := o.activationOperand(5)
	if err != nil {
		return err
	}
	samples, keys := a.q.shape[0], a.k.shape[2]
	if dag.Size(tensor.SampleShape(l.shape)) != tensor.Single(samples) && l.batchAxis() < 0 || l.batchAxis() >= 0 && dag.Size(tensor.SampleShape(l.shape)) != 1 {
		return sumShapes(refusal.New("", "lengths of shape %s", tensor.DimString(l.shape)), []*value{a.q, l})
	}
	shape := []int{samples, 1, 1, 1}
	if l.batchAxis() < 0 {
		shape[0] = tensor.Single(samples)
	}
	a.bias = append(a.bias, o.function("it hides keys", a.q.elem, shape, func(dst []float64, in ...[]float64) {
		for i, n := range in[0] {
			if dst[i] = 0; int(n)+1 != keys {
				dst[i] = math.NaN()
			}
		}
	}, l))
	return nil
}

// lowerQAttention is com.microsoft.QAttention: Attention of a quantised value and weight.
func lowerQAttention(o *op) error {
	if o.arg(8) != nil || o.int("do_rotary", 0) != 0 || len(o.node.Outputs) > 1 && o.node.Outputs[1] != "" {
		return refusal.New("export without a cache", "it has a cache of keys and values")
	}
	var parts [2]*value
	for k := range parts {
		v, err := o.need(k)
		if err != nil {
			return err
		}
		scale, err := o.need(3 + k)
		if err != nil {
			return err
		}
		q := quantum{scale: scale, zero: o.arg(6 + k), axis: rank(v) - 1}
		if parts[k], err = o.dequantise(v, q, wire.Float32); err != nil {
			return err
		}
	}
	return o.projectedAttention(parts[0], parts[1], 5, -1)
}

// lowerEmbedLayerNormalization is com.microsoft.EmbedLayerNormalization: the sum of the
// entries of up to three tables, normalised; the second output counts the entries of the mask,
// the third is the sum.
func lowerEmbedLayerNormalization(o *op, ids *value) error {
	if len(ids.shape) != 2 || ids.shape[1] == tensor.BatchDim {
		return refusal.New("", "words of shape %s", tensor.DimString(ids.shape))
	}
	length := ids.shape[1]
	var sum []*value
	for _, t := range []struct {
		table, index int
		what         string
	}{{2, 0, "the table of words"}, {3, 8, "the table of positions"}, {4, 1, "the table of segments"}} {
		if o.arg(t.table) == nil && t.table == 4 {
			continue
		}
		table, err := o.constant(t.table, t.what)
		if err != nil {
			return err
		}
		if len(table.Dims) != 2 || table.Kind != tensor.Floating {
			return refusal.New("", "%s has the shape %v", t.what, table.Dims)
		}
		var part *value
		switch {
		case o.arg(t.index) != nil:
			index, err := o.activationOperand(t.index)
			if err != nil {
				return err
			}
			if part, err = o.embedding(table, index); err != nil {
				return err
			}
		case length > table.Dims[0]:
			return refusal.New("", "%s of %d", words.Count(length, "position"), table.Dims[0])
		default:
			if part, err = o.take(&value{con: table}, 0, length, func(i int) int { return i }); err != nil {
				return err
			}
			if part, err = o.materialize(part); err != nil {
				return err
			}
		}
		sum = append(sum, part)
	}
	v, err := o.combine(nil, sum...)
	if err != nil {
		return err
	}
	v.exclusive = false
	n := v.shape[len(v.shape)-1]
	out, err := o.rescaled(o.standardise(v, n, meanVariance(o.float("epsilon", 1e-12))), 5, 6, nil)
	if err != nil {
		return err
	}
	o.give(0, out)
	o.give(2, v)
	if len(o.node.Outputs) < 2 || o.node.Outputs[1] == "" {
		return nil
	}
	mask := ids
	if o.arg(7) != nil {
		if mask, err = o.activationOperand(7); err != nil {
			return err
		}
		if !slices.Equal(mask.shape, ids.shape) {
			return sumShapes(refusal.New("", "a mask of shape %s", tensor.DimString(mask.shape)), []*value{ids})
		}
	}
	given := o.arg(7) != nil
	o.give(1, o.function("it counts entries", wire.Int32, ids.shape[:1], func(dst []float64, in ...[]float64) {
		for i := range dst {
			dst[i] = 0
			for _, m := range in[0][i*length : (i+1)*length] {
				dst[i] += truth(given && m == 1)
			}
		}
	}, mask))
	return nil
}

// lowerGatherBlockQuantized is com.microsoft.GatherBlockQuantized: rows of a table of a few
// bits a number, which along an axis have a scale and a zero point a block.
func lowerGatherBlockQuantized(o *op) error {
	data, err := o.constant(0, "the table")
	if err != nil {
		return err
	}
	index, err := o.activationOperand(1)
	if err != nil {
		return err
	}
	scales, err := o.constant(2, "the scales")
	if err != nil {
		return err
	}
	axis, err := tensor.AxisOf(o.int("quantize_axis", 1), len(data.Dims))
	if err != nil {
		return err
	}
	width, block := int(min(o.int("bits", 4), 8)), int(min(o.int("block_size", 128), tensor.MaxElements))
	if len(data.Dims) != 2 || axis != 1 || o.int("gather_axis", 0) != 0 || block < 1 || width != 2 && width != 4 && width != 8 {
		return refusal.New("quantise tables of two axes along the second", "a table of shape %v in blocks of %d along axis %d", data.Dims, block, axis)
	}
	rows, cols := data.Dims[0], data.Dims[1]
	packed := data.DataType() == wire.Uint8
	if packed {
		cols = cols * 8 / width
	}
	if rows > 0 && cols > tensor.MaxElements/rows {
		return refusal.New("", "a table of %d x %s", rows, words.Count(cols, "number"))
	}
	if err := o.afford(rows * cols); err != nil {
		return err
	}
	raw, err := data.Int64s()
	if err != nil {
		return err
	}
	scale, err := scales.Float64s()
	if err != nil {
		return err
	}
	blocks := (cols + block - 1) / block
	if len(scale) != rows*blocks {
		return refusal.New("", "%s for %d x %s", words.Count(len(scale), "scale"), rows, words.Count(blocks, "block"))
	}
	zero := func(int) float64 { return 0 }
	switch {
	case packed:
		if zero, err = o.zeroPoints(rows, blocks, width); err != nil {
			return err
		}
	case o.arg(3) != nil:
		z, err := o.floatsAt(3, "the zero points")
		if err != nil {
			return err
		}
		if len(z) != rows*blocks {
			return refusal.New("", "%d zero points for %d x %s", len(z), rows, words.Count(blocks, "block"))
		}
		zero = func(b int) float64 { return z[b] }
	}
	w := make([]float64, rows*cols)
	for r := range rows {
		for c := range cols {
			b, x := r*blocks+c/block, 0.0
			if packed {
				x = bits(raw, width, cols, r*cols+c)
			} else {
				x = float64(raw[r*cols+c])
			}
			w[r*cols+c] = (x - zero(b)) * scale[b]
		}
	}
	t := tensor.NewTensor(floatType(o.in[2]), []int{rows, cols}, w)
	t.Pinned = dequantised
	return o.gives(o.embedding(t, index))
}
