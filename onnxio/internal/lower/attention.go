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

const boundedReason = "it is bounded"

// attention is softmax(f(scale Q K^T) + bias) V over heads, where f is the soft cap
// c tanh(x/c) or nothing. Queries, keys and values are of batch x heads x length x
// size; several heads of queries may share one of keys and values.
type attention struct {
	q, k, v        *value
	scale, softcap float64
	// bias is added to the scores, or as truth values says which keys are seen.
	bias []*value
	// filled is what hides a key where a bias of truth values or integers does; 0:
	// negative infinity.
	filled float64
	// causal hides the keys behind a query, which stands behind past ones.
	causal bool
	past   int
	// left and right bound how far a query sees; negative: any distance.
	left, right int
	// lengths has the number of keys of each sequence; with a causal attention the
	// queries are the last of them.
	lengths *value
	// sinks has for each head a score more, of a key without a value; nil: none.
	sinks []float64
}

// byHeads returns a value of batch x length x (heads*size) as batch x heads x length
// x size; one of rank 4 stays.
func (o *op) byHeads(v *value, heads int) (*value, error) {
	switch {
	case len(v.shape) == 4:
		return v, nil
	case len(v.shape) != 3 || heads < 1 || v.shape[2] == tensor.BatchDim || v.shape[2]%heads != 0:
		return nil, refusal.New("", "%s of a value of shape %s", words.Count(heads, "head"), tensor.DimString(v.shape))
	case v.shape[1] == tensor.BatchDim:
		return nil, refusal.MixesBatch("it attends along the batch axis")
	}
	split := []int{v.shape[0], v.shape[1], heads, v.shape[2] / heads}
	return o.transpose(o.relabel(v, split), []int{0, 2, 1, 3}), nil
}

// merged puts heads back behind the length.
func (o *op) merged(v *value) *value {
	s := v.shape
	return o.relabel(o.transpose(v, []int{0, 2, 1, 3}), []int{s[0], s[2], s[1] * s[3]})
}

// repeated gives each head so many times in turn.
func (o *op) repeated(v *value, times int) *value {
	if times == 1 {
		return v
	}
	s := v.shape
	wide := []int{s[0], s[1], times, s[2], s[3]}
	v = o.expand(o.relabel(v, []int{s[0], s[1], 1, s[2], s[3]}), wide)
	return o.relabel(v, []int{s[0], s[1] * times, s[2], s[3]})
}

// attended is what attend computes: the result, and the scores at each stage.
type attended struct{ out, scores, capped, biased, weights *value }

func (o *op) attend(a *attention) (*attended, error) {
	for _, v := range []*value{a.q, a.k, a.v} {
		if len(v.shape) != 4 || v.batchAxis() > 0 {
			return nil, refusal.New("", "a value of shape %s, want batch, heads, length and size", tensor.DimString(v.shape))
		}
	}
	heads, own := a.q.shape[1], a.k.shape[1]
	if own < 1 || a.q.shape[3] < 1 || heads%own != 0 || a.v.shape[1] != own || a.v.shape[2] != a.k.shape[2] {
		return nil, refusal.New("", "queries, keys and values of shapes %s, %s and %s", tensor.DimString(a.q.shape), tensor.DimString(a.k.shape), tensor.DimString(a.v.shape))
	}
	if !tensor.Fits([]int{heads, a.k.shape[2], a.k.shape[3]}) || !tensor.Fits([]int{heads, a.v.shape[2], a.v.shape[3]}) {
		return nil, refusal.New("", "the keys have too many elements")
	}
	k, v := o.repeated(a.k, heads/own), o.repeated(a.v, heads/own)
	out := &attended{}
	var err error
	if out.scores, err = o.product(a.q, o.transpose(k, []int{0, 1, 3, 2})); err != nil {
		return nil, err
	}
	if a.scale == 0 {
		a.scale = 1 / math.Sqrt(float64(a.q.shape[3]))
	}
	if a.scale != 1 {
		if out.scores, err = o.affine(out.scores, affine{coef: a.scale}); err != nil {
			return nil, err
		}
	}
	out.capped = out.scores
	if c := a.softcap; c > 0 {
		out.capped, err = o.apply(boundedReason, out.scores.elem, func(x []float64) float64 { return c * math.Tanh(x[0]/c) }, out.scores)
		if err != nil {
			return nil, err
		}
	}
	m, err := o.maskOf(a, out.capped)
	if err != nil {
		return nil, err
	}
	in := append([]*value{out.capped}, m.in...)
	out.biased = o.function("it hides keys", out.capped.elem, out.capped.shape, m.apply, in...)
	out.weights = o.as(dag.Normalizer, o.function("it is a ratio of exponentials", out.capped.elem, out.capped.shape, func(dst []float64, in ...[]float64) {
		m.apply(dst, in...)
		bias := make([]float64, len(dst))
		m.apply(bias, append([][]float64{make([]float64, len(dst))}, in[1:]...)...)
		for at := 0; m.keys > 0 && at+m.keys <= len(dst); at += m.keys {
			switch row := dst[at : at+m.keys]; {
			case math.IsInf(extremeOf(bias[at:at+m.keys], tensor.Larger), -1):
				clear(row) // no key is seen
			case a.sinks != nil:
				softmaxBeside(row, a.sinks[at/(m.keys*m.queries)%m.heads])
			default:
				softmax(row)
			}
		}
	}, in...))
	out.out, err = o.product(out.weights, v)
	return out, err
}

// mask adds biases to scores of heads x queries x keys.
type mask struct {
	*attention
	samples, heads, queries, keys int
	fixed                         []float64
	in                            []*value
	// lens says that the last operand has the lengths.
	lens bool
}

func (o *op) maskOf(a *attention, scores *value) (*mask, error) {
	s := scores.shape
	m := &mask{attention: a, samples: tensor.Single(s[0]), heads: s[1], queries: s[2], keys: s[3]}
	for _, b := range a.bias {
		hides := func(x float64) float64 { return x }
		if !tensor.IsFloat(b.dataType()) {
			filled := cmp.Or(a.filled, math.Inf(-1))
			hides = func(x float64) float64 {
				if x != 0 {
					return 0
				}
				return filled
			}
		}
		if len(b.dims()) < 1 || len(b.dims()) > 4 {
			return nil, refusal.New("", "a mask of shape %s", tensor.DimString(b.dims()))
		}
		if b.constant() {
			if err := o.fixedMask(m, b.con, s, hides); err != nil {
				return nil, err
			}
			continue
		}
		full, err := tensor.BroadcastDims(s, b.shape)
		if err != nil || !slices.Equal(full, s) {
			return nil, sumShapes(refusal.New("", "a mask of shape %s for scores of shape %s", tensor.DimString(b.shape), tensor.DimString(s)), []*value{scores})
		}
		if !tensor.IsFloat(b.elem) {
			if b, err = o.apply("it hides keys", scores.elem, func(x []float64) float64 { return hides(x[0]) }, b); err != nil {
				return nil, err
			}
		}
		m.in = append(m.in, o.expand(b, s))
	}
	if l := a.lengths; l != nil {
		if len(l.dims()) != 1 || l.dims()[0] != s[0] && !l.constant() {
			return nil, refusal.New("", "lengths of shape %s", tensor.DimString(l.dims()))
		}
		if l.constant() {
			t := l.con
			var err error
			if s[0] == tensor.BatchDim {
				if t, err = o.oneSample(t, 0); err != nil {
					return nil, err
				}
			}
			if t.Size() != m.samples {
				return nil, refusal.MixesBatch("its sequences have different lengths")
			}
			if l, err = o.materialize(&value{con: t}); err != nil {
				return nil, err
			}
		}
		m.in, m.lens = append(m.in, l), true
	}
	return m, nil
}

// fixedMask adds a constant to the mask's fixed part; keys that it has no entry for
// are hidden.
func (o *op) fixedMask(m *mask, t *tensor.Tensor, s []int, hides func(float64) float64) error {
	if s[0] == tensor.BatchDim {
		var err error
		if t, err = o.oneSample(t, len(t.Dims)-4); err != nil {
			return err
		}
	}
	x, err := t.Float64s()
	if err != nil {
		return err
	}
	r := len(t.Dims)
	dims, last := t.Dims, t.Dims[r-1]
	if last != 1 && last < m.keys {
		dims = slices.Clone(t.Dims)
		dims[r-1] = m.keys
	}
	wide := []int{m.samples, m.heads, m.queries, m.keys}
	if full, err := tensor.BroadcastDims(wide, dims); err != nil || !slices.Equal(full, wide) {
		if len(dims) == 4 && s[0] == tensor.BatchDim && dims[0] != 1 {
			return refusal.MixesBatch("its mask of shape %v has one for each sample", t.Dims)
		}
		return refusal.New("", "a mask of shape %v for scores of shape %s", t.Dims, tensor.DimString(s))
	}
	if m.fixed == nil {
		m.fixed = make([]float64, dag.Size(wide))
	}
	o.spent += len(m.fixed)
	for e, at := range tensor.BroadcastIndex(dims, wide) {
		j := int(at)
		if dims[r-1] != last {
			if j%m.keys >= last {
				m.fixed[e] = math.Inf(-1)
				continue
			}
			j = j/m.keys*last + j%m.keys
		}
		m.fixed[e] += hides(x[j])
	}
	return nil
}

// apply gives the scores, the first operand, with all biases.
func (m *mask) apply(dst []float64, in ...[]float64) {
	copy(dst, in[0])
	for i, b := range m.fixed {
		dst[i] += b
	}
	more := in[1:]
	var lens []float64
	if m.lens {
		lens, more = more[len(more)-1], more[:len(more)-1]
	}
	for _, b := range more {
		for i, x := range b {
			dst[i] += x
		}
	}
	if lens == nil && !m.causal && m.left < 0 && m.right < 0 {
		return
	}
	for e := range dst {
		j, i, b := e%m.keys, e/m.keys%m.queries, e/(m.keys*m.queries*m.heads)
		at := i + m.past // the query's place among the keys
		seen := true
		if lens != nil {
			n := int(lens[b])
			at, seen = i+n-m.queries, j < n
		}
		seen = seen && (!m.causal || j <= at) && (m.left < 0 || at-j <= m.left) && (m.right < 0 || j-at <= m.right)
		if !seen {
			dst[e] = math.Inf(-1)
		}
	}
}

// cached puts a cache before keys or values, along the length.
func (o *op) cached(past, v *value) (*value, int, error) {
	if past == nil {
		return v, 0, nil
	}
	past, err := o.materialize(past)
	if err != nil {
		return nil, 0, err
	}
	if len(past.shape) != 4 || len(v.shape) != 4 || past.shape[2] == tensor.BatchDim {
		return nil, 0, refusal.New("", "a cache of shape %s", tensor.DimString(past.shape))
	}
	shape := slices.Clone(v.shape)
	shape[2] += past.shape[2]
	want := slices.Clone(v.shape)
	want[2] = past.shape[2]
	if !slices.Equal(past.shape, want) {
		return nil, 0, sumShapes(refusal.New("", "a cache of shape %s before %s", tensor.DimString(past.shape), tensor.DimString(v.shape)), []*value{v, past})
	}
	if past.shape[2] == 0 {
		return v, 0, nil
	}
	if !tensor.Fits(shape) {
		return nil, 0, refusal.New("", "the keys have too many elements")
	}
	return o.concat([]*value{past, v}, 2, shape), past.shape[2], nil
}

// caches puts the caches of inputs k and k+1 before keys and values.
func (o *op) caches(a *attention, k int) (err error) {
	if a.k, a.past, err = o.cached(o.arg(k), a.k); err == nil {
		a.v, _, err = o.cached(o.arg(k+1), a.v)
	}
	return err
}

// lowerAttention is Attention of opset 23 and later.
func lowerAttention(o *op) error {
	a := &attention{
		scale: o.float("scale", 0), softcap: o.float("softcap", 0), causal: o.int("is_causal", 0) != 0,
		left: int(o.int("left_window_size", -1)), right: int(o.int("right_window_size", -1)), lengths: o.arg(6),
	}
	rank := 0
	for k, to := range []**value{&a.q, &a.k, &a.v} {
		v, err := o.activationOperand(k)
		if err != nil {
			return err
		}
		heads := o.int("kv_num_heads", 0)
		if k == 0 {
			rank, heads = len(v.shape), o.int("q_num_heads", 0)
		}
		if len(v.shape) != rank {
			return refusal.New("", "operands of rank %d and %d", rank, len(v.shape))
		}
		if *to, err = o.byHeads(v, int(min(heads, tensor.MaxElements))); err != nil {
			return err
		}
	}
	if b := o.arg(3); b != nil {
		a.bias = append(a.bias, b)
	}
	var err error
	if err := o.caches(a, 4); err != nil {
		return err
	}
	y, err := o.attend(a)
	if err != nil {
		return err
	}
	if rank == 3 {
		y.out = o.merged(y.out)
	}
	o.give(0, y.out)
	o.give(1, a.k)
	o.give(2, a.v)
	stages := []*value{y.scores, y.capped, y.biased, y.weights}
	mode := o.int("qk_matmul_output_mode", 0)
	if mode < 0 || mode > 3 {
		return refusal.New("", "qk_matmul_output_mode is %d", mode)
	}
	o.give(3, stages[mode])
	return nil
}

// lowerMultiHeadAttention is com.microsoft.MultiHeadAttention: queries, keys and
// values that are projected already.
func lowerMultiHeadAttention(o *op) error {
	heads := int(min(o.int("num_heads", 0), tensor.MaxElements))
	if o.arg(8) != nil || o.arg(9) != nil {
		return refusal.New("export without a cache that is written in place", "its cache is written in place")
	}
	parts, err := o.unpacked()
	if err != nil {
		return err
	}
	a := &attention{scale: o.float("scale", 0), causal: o.int("unidirectional", 0) != 0, left: -1, right: -1}
	from := 0
	for k, to := range []**value{&a.q, &a.k, &a.v} {
		v := parts[k]
		if len(v.shape) == 3 && o.arg(3) != nil {
			if v, err = o.biased(v, 3, from); err != nil {
				return err
			}
			from += v.shape[2]
		}
		if *to, err = o.byHeads(v, heads); err != nil {
			return err
		}
	}
	if err := o.microsoftMask(a, 4, 5); err != nil {
		return err
	}
	if err := o.caches(a, 6); err != nil {
		return err
	}
	return o.giveAttended(a)
}

// unpacked returns queries, keys and values: one input each, or all three, or keys and
// values, in one of batch x length x heads x (3 or 2) x size.
func (o *op) unpacked() (parts [3]*value, err error) {
	n := 0
	for n < 3 && o.arg(n) != nil {
		n++
	}
	for k := range n {
		if parts[k], err = o.activationOperand(k); err != nil {
			return parts, err
		}
	}
	if n == 3 {
		return parts, nil
	}
	if n == 0 {
		return parts, refusal.New("", "input 0 is missing")
	}
	last := parts[n-1]
	s := last.shape
	packed := 4 - n
	if len(s) != 5 || s[3] != packed || slices.Contains(s[1:], tensor.BatchDim) {
		return parts, refusal.New("", "packed operands of shape %s", tensor.DimString(s))
	}
	for k := range packed {
		v, err := o.take(last, 3, 1, func(int) int { return k })
		if err != nil {
			return parts, err
		}
		parts[n-1+k] = o.relabel(v, []int{s[0], s[1], s[2] * s[4]})
	}
	return parts, nil
}

// biased adds the entries of input k from one on along the last axis.
func (o *op) biased(v *value, k, from int) (*value, error) {
	t, err := o.constant(k, "the bias")
	if err != nil {
		return nil, err
	}
	n := v.shape[len(v.shape)-1]
	if n == tensor.BatchDim || len(t.Dims) != 1 || from+n > t.Dims[0] {
		return nil, refusal.New("", "a bias of shape %v", t.Dims)
	}
	if t, err = t.Indexed([]int{n}, lists.Count(int32(from), n)); err != nil {
		return nil, err
	}
	return o.affine(v, affine{add: t, addAt: -1, coef: 1, addCoef: 1})
}

// microsoftMask reads a mask of batch x keys, and a bias of the scores.
func (o *op) microsoftMask(a *attention, mask, bias int) error {
	a.filled = o.float("mask_filter_value", -10000)
	if m := o.arg(mask); m != nil {
		d := m.dims()
		if len(d) == 1 {
			if err := o.lengthMask(a, m); err != nil {
				return err
			}
			return o.scoreBias(a, bias)
		}
		if len(d) != 2 || tensor.IsFloat(m.dataType()) || d[1] == tensor.BatchDim || d[1] != a.k.shape[2] {
			return refusal.New("export with a mask of one number for each key", "it has a mask of shape %s", tensor.DimString(d))
		}
		if d[0] != a.q.shape[0] && d[0] != 1 {
			if m.constant() && a.q.shape[0] == tensor.BatchDim {
				t, err := o.oneSample(m.con, 0)
				if err != nil {
					return err
				}
				m = &value{con: t}
				d = t.Dims
			}
			if d[0] != 1 {
				return refusal.MixesBatch("its mask has the shape %s", tensor.DimString(d))
			}
		}
		wide := []int{d[0], 1, 1, d[1]}
		if m.constant() {
			m = &value{con: m.con.Reshaped(wide)}
		} else {
			m = o.relabel(m, wide)
		}
		a.bias = append(a.bias, m)
	}
	return o.scoreBias(a, bias)
}

// scoreBias adds a bias of the scores, input k, if there is one.
func (o *op) scoreBias(a *attention, k int) error {
	if b := o.arg(k); b != nil {
		a.bias = append(a.bias, b)
	}
	return nil
}

// lengthMask hides the keys behind the length of each sequence.
func (o *op) lengthMask(a *attention, lengths *value) error {
	l, err := o.materialize(lengths)
	if err != nil {
		return err
	}
	samples, keys := a.q.shape[0], a.k.shape[2]
	if !slices.Equal(l.shape, []int{samples}) || tensor.IsFloat(lengths.dataType()) {
		return refusal.New("export with a mask of one number for each key", "it has a mask of shape %s", tensor.DimString(l.shape))
	}
	a.bias = append(a.bias, o.function("it hides keys", wire.Int32, []int{samples, 1, 1, keys}, func(dst []float64, in ...[]float64) {
		for e := range dst {
			dst[e] = truth(float64(e%keys) < in[0][e/keys])
		}
	}, l))
	return nil
}

// giveAttended gives the result with its heads merged, and the keys and values.
func (o *op) giveAttended(a *attention) error {
	y, err := o.attend(a)
	if err != nil {
		return err
	}
	o.give(0, o.merged(y.out))
	o.give(1, a.k)
	o.give(2, a.v)
	o.give(3, y.scores)
	return nil
}

// lowerMicrosoftAttention is com.microsoft.Attention: one stored matrix projects to
// queries, keys and values.
func lowerMicrosoftAttention(o *op) error {
	if o.arg(4) != nil || o.arg(6) != nil || o.int("do_rotary", 0) != 0 || len(o.node.Outputs) > 1 && o.node.Outputs[1] != "" {
		return refusal.New("export without a cache", "it has a cache of keys and values")
	}
	x, w, err := o.two()
	if err != nil {
		return err
	}
	return o.projectedAttention(x, w, 3, 5)
}

// projectedAttention is the attention of a value times a weight, with a bias as input 2; the
// inputs with a mask and a bias of the scores are mask and bias.
func (o *op) projectedAttention(x, w *value, mask, bias int) error {
	if !w.constant() || len(w.con.Dims) != 2 {
		return refusal.New("make it a constant", "its weight is computed by the network")
	}
	x, err := o.materialize(x)
	if err != nil {
		return err
	}
	if len(x.shape) != 3 {
		return refusal.New("", "an operand of shape %s", tensor.DimString(x.shape))
	}
	all, err := o.matMulBy(x, w.con, false)
	if err != nil {
		return err
	}
	if o.arg(2) != nil {
		if all, err = o.biased(all, 2, 0); err != nil {
			return err
		}
	}
	sizes := o.ints("qkv_hidden_sizes")
	n := w.con.Dims[1]
	if len(sizes) == 0 {
		sizes = []int64{int64(n / 3), int64(n / 3), int64(n - 2*(n/3))}
	}
	if len(sizes) != 3 || sizes[0] < 0 || sizes[1] < 0 || sizes[2] < 0 || sizes[0]+sizes[1]+sizes[2] != int64(n) {
		return refusal.New("", "sizes %v of %d columns", sizes, n)
	}
	a := &attention{scale: o.float("scale", 0), causal: o.int("unidirectional", 0) != 0, left: -1, right: -1}
	from := 0
	for k, to := range []**value{&a.q, &a.k, &a.v} {
		at := from
		part, err := o.take(all, 2, int(sizes[k]), func(i int) int { return at + i })
		if err != nil {
			return err
		}
		from += int(sizes[k])
		if *to, err = o.byHeads(part, int(min(o.int("num_heads", 0), tensor.MaxElements))); err != nil {
			return err
		}
	}
	if err := o.microsoftMask(a, mask, bias); err != nil {
		return err
	}
	return o.giveAttended(a)
}
