package onnxio

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// relabel gives an activation another full shape with the same elements in the
// same order.
func (o *op) relabel(v *value, shape []int) *value {
	if slices.Equal(v.shape, shape) {
		return v
	}
	return o.emit(&dag.Select{}, shape, v)
}

// pick takes element index[i] of v as element i of the sample; an index that
// changes nothing costs nothing.
func (o *op) pick(v *value, shape []int, index []int32) *value {
	if len(index) == dag.Size(sampleShape(v.shape)) {
		same := true
		for i, j := range index {
			if int(j) != i {
				same = false
				break
			}
		}
		if same {
			return o.relabel(v, shape)
		}
	}
	return o.emit(&dag.Select{Index: index}, shape, v)
}

func (o *op) transpose(v *value, perm []int) *value {
	shape := make([]int, len(perm))
	var sample []int
	for i, p := range perm {
		shape[i] = v.shape[p]
		if v.shape[p] != batchDim {
			sample = append(sample, sampleAxis(v.shape, p))
		}
	}
	return o.pick(v, shape, permutation(sampleShape(v.shape), sample))
}

func lowerIdentity(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	o.give(0, v)
	return nil
}

// lowerCast keeps floating values; to an integer type it truncates, which is
// not homogeneous.
func lowerCast(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	to := o.int("to", 1)
	if s := o.str("to", ""); s != "" { // opset 1 names the type
		to = map[string]int64{"FLOAT": 1, "DOUBLE": 11, "FLOAT16": 10, "INT64": 7, "INT32": 6}[s]
	}
	float := to == 1 || to == 10 || to == 11 || to == 16
	if !v.constant() {
		if to == 8 { // strings
			o.give(0, &value{opaque: "it holds strings"})
			return nil
		}
		if float || o.nodes[v.node].Op == nil {
			o.give(0, v)
			return nil
		}
		return o.elementwise("a cast to integers is not homogeneous", truncate)
	}
	t := v.con
	switch {
	case float && t.kind == floating:
		typ := map[int64]dag.DType{1: dag.Float32, 10: dag.Float16, 11: dag.Float64, 16: dag.BFloat16}[to]
		if typ == t.typ {
			o.give(0, v)
			return nil
		}
		f, err := t.float64s()
		if err != nil {
			return err
		}
		o.giveTensor(0, newFloats(typ, t.dims, f))
	case float:
		f, err := t.float64s()
		if err != nil {
			return err
		}
		o.giveTensor(0, newFloats(dag.Float32, t.dims, f))
	default:
		f, err := t.int64s()
		if err != nil {
			return err
		}
		k := integer
		if to == 9 {
			k = boolean
		}
		o.giveTensor(0, &tensor{dims: t.dims, kind: k, ints: f})
	}
	return nil
}

func lowerDropout(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	const remedy = "export the model in evaluation mode"
	switch {
	case o.opset < 7 && o.attr("is_test") != nil && o.int("is_test", 0) == 0 && o.outputsUsed() > 1:
		return refuse(remedy, "it drops units at random (is_test=0)")
	case o.opset >= 12 && o.arg(2) != nil:
		t, err := o.constant(2, "training_mode")
		if err != nil {
			return err
		}
		on, err := t.value()
		if err != nil {
			return err
		}
		ratio := 0.5
		if r := o.arg(1); r != nil && r.constant() {
			if ratio, err = r.con.value(); err != nil {
				return err
			}
		}
		if on != 0 && ratio != 0 {
			return refuse(remedy, "it drops units at random (training_mode is true)")
		}
	}
	o.give(0, v)
	if o.outputsUsed() > 1 && !v.constant() {
		n := dag.Size(sampleShape(v.shape))
		ones := make([]float64, n)
		for i := range ones {
			ones[i] = 1
		}
		o.giveTensor(1, newFloats(dag.Float32, sampleShape(v.shape), ones))
	}
	return nil
}

func lowerTranspose(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	r := rank(v)
	perm := make([]int, r)
	for i := range perm {
		perm[i] = r - 1 - i
	}
	if p := o.ints("perm"); p != nil {
		if len(p) != r {
			return refuse("", "perm has %d entries for rank %d", len(p), r)
		}
		seen := make([]bool, r)
		for i, x := range p {
			k, err := axisOf(x, r)
			if err != nil {
				return err
			}
			if seen[k] {
				return refuse("", "perm %v repeats an axis", p)
			}
			seen[k] = true
			perm[i] = k
		}
	}
	if v.constant() {
		t, err := v.con.transposed(perm)
		if err != nil {
			return err
		}
		o.giveTensor(0, t)
		return nil
	}
	o.give(0, o.transpose(v, perm))
	return nil
}

func lowerFlatten(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	r := rank(v)
	a := o.int("axis", 1)
	if a < 0 {
		a += int64(r)
	}
	if a < 0 || a > int64(r) {
		return refuse("", "axis %d is outside rank %d", o.int("axis", 1), r)
	}
	if v.constant() {
		o.giveTensor(0, v.con.reshaped([]int{dag.Size(v.con.dims[:a]), dag.Size(v.con.dims[a:])}))
		return nil
	}
	target := []int64{1, 1}
	for i, d := range v.shape {
		k := 0
		if i >= int(a) {
			k = 1
		}
		switch {
		case d == batchDim && target[k] == 1:
			target[k] = batchDim
		case d == batchDim || (target[k] == batchDim && d != 1):
			return mixesBatch("it flattens the batch axis with others")
		case target[k] != batchDim:
			target[k] *= int64(d)
		}
	}
	return o.reshapeTo(v, target, false)
}

func lowerReshape(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	target, ok, err := o.intsArg("shape", 5, 1)
	if err != nil {
		return err
	}
	if !ok {
		return refuse("", "the target shape is missing")
	}
	return o.reshapeTo(v, target, o.opset >= 14 && o.int("allowzero", 0) != 0)
}

func (o *op) reshapeTo(v *value, target []int64, allowZero bool) error {
	if v.constant() {
		dims, err := resolveShape(target, v.con.dims, v.con.size(), allowZero)
		if err != nil {
			return err
		}
		o.giveTensor(0, v.con.reshaped(dims))
		return nil
	}
	shape, err := o.reshapeValue(v.shape, target, allowZero)
	if err != nil {
		return err
	}
	o.give(0, o.relabel(v, shape))
	return nil
}

// resolveShape replaces 0 and -1 in a target shape.
func resolveShape(target []int64, from []int, size int, allowZero bool) ([]int, error) {
	out := make([]int, len(target))
	free, n := -1, 1
	for i, d := range target {
		switch {
		case d == batchDim:
			return nil, mixesBatch("a constant takes a shape that depends on the batch size")
		case d == -1:
			if free >= 0 {
				return nil, refuse("", "target shape %v has two -1", target)
			}
			free = i
			continue
		case d == 0 && !allowZero:
			if i >= len(from) {
				return nil, refuse("", "target shape %v copies an axis beyond rank %d", target, len(from))
			}
			out[i] = from[i]
		case d < 0 || d > maxElements:
			return nil, refuse("", "target shape %v", target)
		default:
			out[i] = int(d)
		}
		n *= out[i]
		if n > maxElements {
			return nil, refuse("", "target shape %v is too large", target)
		}
	}
	if free >= 0 {
		if n == 0 || size%n != 0 {
			return nil, refuse("", "%d elements do not fit shape %v", size, target)
		}
		out[free] = size / n
		n *= out[free]
	}
	if n != size {
		return nil, refuse("", "%d elements do not fit shape %v", size, target)
	}
	return out, nil
}

// reshapeValue finds the full shape that a target gives an activation. The
// batch axis must come out as an axis of its own with the same elements before
// and behind it.
func (o *op) reshapeValue(from []int, target []int64, allowZero bool) ([]int, error) {
	size := dag.Size(sampleShape(from))
	b := slices.Index(from, batchDim)
	if b < 0 {
		return resolveShape(target, from, size, allowZero)
	}
	before := dag.Size(from[:b])
	for at, d := range target {
		isBatch := d == batchDim || d == -1 || (d == 0 && !allowZero && at == b) ||
			(o.declared > 0 && d == int64(o.declared)) || (o.declared == 0 && d == 1)
		if !isBatch || (d != batchDim && slices.Contains(target, int64(batchDim))) {
			continue
		}
		rest := slices.Delete(slices.Clone(target), at, at+1)
		// 0 copies the axis at the same place, which must be no batch axis.
		bad := false
		for i, e := range target {
			if e == 0 && !allowZero && i != at {
				if i >= len(from) || i == b {
					bad = true
					break
				}
				k := i
				if i > at {
					k--
				}
				rest[k] = int64(from[i])
			}
		}
		if bad {
			continue
		}
		dims, err := resolveShape(rest, nil, size, true)
		if err != nil || dag.Size(dims[:at]) != before {
			continue
		}
		return slices.Insert(dims, at, batchDim), nil
	}
	return nil, mixesBatch("shape %s does not keep the batch axis of %s", targetString(target), dimString(from))
}

func targetString(t []int64) string {
	d := make([]int, len(t))
	for i, x := range t {
		d[i] = int(x)
	}
	return dimString(d)
}

func lowerSqueeze(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	axes, ok, err := o.intsArg("axes", 13, 1)
	if err != nil {
		return err
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	drop := make([]bool, len(from))
	for _, a := range axes {
		k, err := axisOf(a, len(from))
		if err != nil {
			return err
		}
		if from[k] == batchDim {
			return mixesBatch("it removes the batch axis")
		}
		if from[k] != 1 {
			return refuse("", "axis %d has extent %d, want 1", a, from[k])
		}
		drop[k] = true
	}
	var shape []int
	for k, d := range from {
		if !drop[k] && (ok || d != 1) {
			shape = append(shape, d)
		}
	}
	return o.giveShape(v, shape)
}

// giveShape outputs v under another shape.
func (o *op) giveShape(v *value, shape []int) error {
	if v.constant() {
		o.giveTensor(0, v.con.reshaped(shape))
	} else {
		o.give(0, o.relabel(v, shape))
	}
	return nil
}

func lowerUnsqueeze(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	axes, ok, err := o.intsArg("axes", 13, 1)
	if err != nil {
		return err
	}
	if !ok {
		return refuse("", "the axes are missing")
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	r := len(from) + len(axes)
	added := make([]bool, r)
	for _, a := range axes {
		k, err := axisOf(a, r)
		if err != nil {
			return err
		}
		if added[k] {
			return refuse("", "axes %v repeat one", axes)
		}
		added[k] = true
	}
	shape := make([]int, 0, r)
	for k := range r {
		if added[k] {
			shape = append(shape, 1)
		} else {
			shape = append(shape, from[0])
			from = from[1:]
		}
	}
	return o.giveShape(v, shape)
}

func lowerConcat(o *op) error {
	if len(o.in) == 0 {
		return refuse("", "no operands")
	}
	all := true
	for k := range o.in {
		v, err := o.need(k)
		if err != nil {
			return err
		}
		all = all && v.constant()
	}
	def := int64(0)
	if o.opset < 4 {
		def = 1
	}
	a, err := axisOf(o.int("axis", def), rank(o.in[0]))
	if err != nil {
		return err
	}
	if all {
		t, err := foldConcat(o.in, a)
		if err != nil {
			return err
		}
		o.giveTensor(0, t)
		return nil
	}
	in := make([]*value, len(o.in))
	var like *value
	for k, v := range o.in {
		if !v.constant() {
			like = v
		}
		in[k] = v
	}
	b := like.batchAxis()
	if a == b {
		return mixesBatch("it joins samples along the batch axis")
	}
	total := 0
	for k, v := range in {
		if v.constant() {
			if v, err = o.constantLike(v, like.shape, a, b); err != nil {
				return err
			}
			in[k] = v
		}
		for d := range like.shape {
			if len(v.shape) != len(like.shape) || (d != a && v.shape[d] != like.shape[d]) {
				return refuse("", "operands of shapes %s and %s", dimString(like.shape), dimString(v.shape))
			}
		}
		total += v.shape[a]
	}
	shape := slices.Clone(like.shape)
	shape[a] = total
	o.give(0, o.concat(in, a, shape))
	return nil
}

// constantLike makes a constant operand of a concatenation a value with the
// batch axis of the others.
func (o *op) constantLike(v *value, like []int, a, b int) (*value, error) {
	dims := slices.Clone(v.con.dims)
	if len(dims) != len(like) {
		return nil, refuse("", "an operand of rank %d among rank %d", len(dims), len(like))
	}
	if b >= 0 && dims[b] != 1 {
		return nil, mixesBatch("a constant operand has %d samples", dims[b])
	}
	m, err := o.materialize(v)
	if err != nil {
		return nil, err
	}
	if b >= 0 {
		dims[b] = batchDim
	}
	return o.relabel(m, dims), nil
}

// concat joins activations along axis a of the full shape.
func (o *op) concat(in []*value, a int, shape []int) *value {
	if len(in) == 1 {
		return in[0]
	}
	axis := around(shape, a)
	flat := o.emit(&dag.Concat{}, shape, in...)
	if axis.Outer == 1 {
		return flat
	}
	// flat holds whole operands one behind the other; interleave them.
	index := make([]int32, axis.Len())
	base, at := 0, 0
	for _, v := range in {
		run := v.shape[a] * axis.Inner
		for q := range axis.Outer {
			for e := range run {
				index[q*axis.N*axis.Inner+at+e] = int32(base + q*run + e)
			}
		}
		base += axis.Outer * run
		at += run
	}
	return o.pick(flat, shape, index)
}

// along takes entries of axis a: entry list[i] becomes entry i; -1 is zero.
func (o *op) along(v *value, a int, list []int) *value {
	x := around(v.shape, a)
	shape := slices.Clone(v.shape)
	shape[a] = len(list)
	index := make([]int32, 0, x.Outer*len(list)*x.Inner)
	for q := range x.Outer {
		for _, j := range list {
			for e := range x.Inner {
				at := int32(-1)
				if j >= 0 {
					at = int32((q*x.N+j)*x.Inner + e)
				}
				index = append(index, at)
			}
		}
	}
	return o.pick(v, shape, index)
}

func lowerSlice(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	starts, _, err := o.intsArg("starts", 10, 1)
	if err != nil {
		return err
	}
	ends, _, err := o.intsArg("ends", 10, 2)
	if err != nil {
		return err
	}
	axes, ok, err := o.intsArg("axes", 10, 3)
	if err != nil {
		return err
	}
	var steps []int64
	if o.opset >= 10 {
		if steps, _, err = o.intsArg("steps", 10, 4); err != nil {
			return err
		}
	}
	if len(starts) != len(ends) || (ok && len(axes) != len(starts)) {
		return refuse("", "%d starts, %d ends, %d axes", len(starts), len(ends), len(axes))
	}
	for i := range starts {
		a := int64(i)
		if ok {
			a = axes[i]
		}
		k, err := axisOf(a, rank(v))
		if err != nil {
			return err
		}
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		if step == 0 {
			return refuse("", "step 0")
		}
		n := int64(0)
		if v.constant() {
			n = int64(v.con.dims[k])
		} else {
			n = int64(v.shape[k])
		}
		if n == batchDim {
			if starts[i] == 0 && step == 1 && ends[i] > 1<<30 {
				continue
			}
			return mixesBatch("it slices the batch axis")
		}
		if v.constant() {
			if v, err = takeConstant(v, k, sliceList(n, starts[i], ends[i], step)); err != nil {
				return err
			}
		} else {
			v = o.along(v, k, sliceList(n, starts[i], ends[i], step))
		}
	}
	o.give(0, v)
	return nil
}

func takeConstant(v *value, a int, list []int) (*value, error) {
	t, err := foldTake(v.con, a, list)
	if err != nil {
		return nil, err
	}
	return &value{con: t}, nil
}

// sliceList lists the entries that start:end:step takes of n.
func sliceList(n, start, end, step int64) []int {
	clamp := func(x, lo, hi int64) int64 {
		if x < 0 {
			x += n
		}
		return max(lo, min(x, hi))
	}
	var out []int
	if step > 0 {
		for i := clamp(start, 0, n); i < clamp(end, 0, n); i += step {
			out = append(out, int(i))
			if step > n {
				break
			}
		}
		return out
	}
	for i := clamp(start, 0, n-1); i > clamp(end, -1, n-1); i += step {
		out = append(out, int(i))
		if -step > n {
			break
		}
	}
	return out
}

func lowerSplit(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	a, err := axisOf(o.int("axis", 0), rank(v))
	if err != nil {
		return err
	}
	sizes, ok, err := o.intsArg("split", 13, 1)
	if err != nil {
		return err
	}
	n := 0
	if v.constant() {
		n = v.con.dims[a]
	} else {
		n = v.shape[a]
	}
	if n == batchDim {
		return mixesBatch("it splits the batch axis")
	}
	if !ok {
		parts := len(o.node.Outputs)
		chunk := (n + parts - 1) / parts
		for left := n; parts > 0; parts-- {
			sizes = append(sizes, int64(min(chunk, left)))
			left -= min(chunk, left)
		}
	}
	sum := int64(0)
	for _, s := range sizes {
		if s < 0 {
			return refuse("", "split sizes %v", sizes)
		}
		sum += s
	}
	if sum != int64(n) || len(sizes) < len(o.node.Outputs) {
		return refuse("", "split sizes %v for an axis of %d and %d outputs", sizes, n, len(o.node.Outputs))
	}
	at := 0
	for k := range o.node.Outputs {
		list := make([]int, sizes[k])
		for i := range list {
			list[i] = at + i
		}
		at += len(list)
		if v.constant() {
			part, err := takeConstant(v, a, list)
			if err != nil {
				return err
			}
			o.give(k, part)
		} else {
			o.give(k, o.along(v, a, list))
		}
	}
	return nil
}

func lowerGather(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	t, err := o.constant(1, "the list of indices")
	if err != nil {
		return err
	}
	ints, err := t.int64s()
	if err != nil {
		return err
	}
	a, err := axisOf(o.int("axis", 0), rank(v))
	if err != nil {
		return err
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	if from[a] == batchDim {
		return mixesBatch("it picks samples of the batch")
	}
	list := make([]int, len(ints))
	for i, x := range ints {
		k, err := axisOf(x, from[a])
		if err != nil {
			return refuse("", "index %d is outside %d entries", x, from[a])
		}
		list[i] = k
	}
	shape := slices.Concat(from[:a], t.dims, from[a+1:])
	if v.constant() {
		part, err := foldTake(v.con, a, list)
		if err != nil {
			return err
		}
		o.giveTensor(0, part.reshaped(shape))
		return nil
	}
	o.give(0, o.relabel(o.along(v, a, list), shape))
	return nil
}

func lowerExpand(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	t, err := o.constant(1, "the shape")
	if err != nil {
		return err
	}
	target, err := t.int64s()
	if err != nil {
		return err
	}
	dims := make([]int, len(target))
	for i, d := range target {
		if d != batchDim && (d < 0 || d > maxElements) {
			return refuse("", "shape %v", target)
		}
		dims[i] = int(d)
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	shape, err := broadcastDims(from, dims)
	if err != nil {
		return mixesBatch("%v", err)
	}
	if dag.Size(sampleShape(shape)) > maxElements {
		return refuse("", "shape %v is too large", target)
	}
	if !v.constant() {
		o.give(0, o.expand(v, shape))
		return nil
	}
	if slices.Contains(shape, batchDim) {
		return mixesBatch("it repeats a constant over the batch")
	}
	out, err := foldExpand(v.con, shape)
	if err != nil {
		return err
	}
	o.giveTensor(0, out)
	return nil
}

func lowerShape(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	list := sliceList(int64(len(from)), o.int("start", 0), o.int("end", int64(len(from))), 1)
	out := make([]int64, len(list))
	for i, k := range list {
		out[i] = int64(from[k])
	}
	o.giveTensor(0, newInts([]int{len(out)}, out))
	return nil
}

func lowerSize(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	from := v.shape
	if v.constant() {
		from = v.con.dims
	}
	if slices.Contains(from, batchDim) {
		return mixesBatch("it counts the elements of a batch")
	}
	o.giveTensor(0, newInts(nil, []int64{int64(dag.Size(from))}))
	return nil
}

func lowerPad(o *op) error {
	v, err := o.need(0)
	if err != nil {
		return err
	}
	if m := o.str("mode", "constant"); m != "constant" {
		return refuse("", "mode %q", m)
	}
	name := "pads"
	if o.opset < 2 {
		name = "paddings"
	}
	pads, ok, err := o.intsArg(name, 11, 1)
	if err != nil {
		return err
	}
	if !ok {
		return refuse("", "the pads are missing")
	}
	fill := o.float("value", 0)
	if o.opset >= 11 && o.arg(2) != nil {
		t, err := o.constant(2, "the padding value")
		if err != nil {
			return err
		}
		if fill, err = t.value(); err != nil {
			return err
		}
	}
	if v.constant() {
		return refuse("fold constants before export", "it pads a constant")
	}
	r := len(v.shape)
	full := make([]int64, 2*r)
	if o.opset >= 18 && o.arg(3) != nil {
		axes, _, err := o.intsArg("axes", 18, 3)
		if err != nil {
			return err
		}
		if len(pads) != 2*len(axes) {
			return refuse("", "%d pads for %d axes", len(pads), len(axes))
		}
		for i, a := range axes {
			k, err := axisOf(a, r)
			if err != nil {
				return err
			}
			full[k], full[r+k] = pads[i], pads[len(axes)+i]
		}
	} else if copy(full, pads) != len(pads) || len(pads) != 2*r {
		return refuse("", "%d pads for rank %d", len(pads), r)
	}
	return o.pad(v, full, fill)
}

func (o *op) pad(v *value, pads []int64, fill float64) error {
	r := len(v.shape)
	zero := false
	for k := range r {
		lo, hi := pads[k], pads[r+k]
		if lo == 0 && hi == 0 {
			continue
		}
		if v.shape[k] == batchDim {
			return mixesBatch("it pads the batch axis")
		}
		n := int64(v.shape[k])
		if lo+hi+n < 0 || lo+hi+n > maxElements || lo < -n || hi < -n {
			return refuse("", "pads %v of axis %d with extent %d", pads, k, n)
		}
		list := make([]int, 0, lo+hi+n)
		for i := -lo; i < n+hi; i++ {
			if i < 0 || i >= n {
				list = append(list, -1)
				zero = true
			} else {
				list = append(list, int(i))
			}
		}
		v = o.along(v, k, list)
	}
	if zero && fill != 0 {
		return refuse("", "it pads with %v, which is no linear map: only zeros are", fill)
	}
	o.give(0, v)
	return nil
}
