package lower

import (
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// labelled is an operand of Einsum with the label of each of its axes.
type labelled struct {
	v    *value
	axes []rune
}

// lowerEinsum contracts its operands from left to right, two at a time, each as one
// matrix product over the labels that they share.
func lowerEinsum(o *op) error {
	terms, out, err := o.equation()
	if err != nil {
		return err
	}
	acc := terms[0]
	if len(terms) == 1 {
		if acc, err = o.summedOut(acc, out); err != nil {
			return err
		}
	}
	for k := 1; k < len(terms); k++ {
		keep := slices.Clone(out)
		for _, t := range terms[k+1:] {
			keep = append(keep, t.axes...)
		}
		if acc, err = o.contract(acc, terms[k], keep); err != nil {
			return err
		}
	}
	if acc, err = o.ordered(acc, out); err != nil {
		return err
	}
	o.give(0, acc.v)
	return nil
}

// equation reads the attribute of that name. Axes of an ellipsis get labels beyond
// the letters, the last axis the first.
func (o *op) equation() (terms []labelled, out []rune, err error) {
	text := strings.ReplaceAll(o.str("equation", ""), " ", "")
	left, right, explicit := strings.Cut(text, "->")
	parts := strings.Split(left, ",")
	if len(parts) != len(o.in) {
		return nil, nil, refusal.New("", "%s in %q for %s", words.Count(len(parts), "term"), text, words.Count(len(o.in), "operand"))
	}
	const beyond = 0x10000
	label := func(s string, rank int) ([]rune, error) {
		before, after, dots := strings.Cut(s, "...")
		n := rank - len(before) - len(after)
		if n < 0 || !dots && n != 0 {
			return nil, refusal.New("", "the term %q of %q for rank %d", s, text, rank)
		}
		axes := []rune(before)
		for i := range n {
			axes = append(axes, rune(beyond+n-1-i))
		}
		return append(axes, []rune(after)...), nil
	}
	widest := 0
	count := map[rune]int{}
	for k, s := range parts {
		v, err := o.need(k)
		if err != nil {
			return nil, nil, err
		}
		axes, err := label(s, rank(v))
		if err != nil {
			return nil, nil, err
		}
		for _, r := range axes {
			if r >= beyond {
				widest = max(widest, int(r)-beyond+1)
			}
			count[r]++
		}
		t, err := o.diagonals(labelled{v, axes})
		if err != nil {
			return nil, nil, err
		}
		terms = append(terms, t)
	}
	if explicit {
		rank := len(strings.ReplaceAll(right, "...", ""))
		if strings.Contains(right, "...") {
			rank += widest
		}
		out, err = label(right, rank)
		return terms, out, err
	}
	for i := widest - 1; i >= 0; i-- {
		out = append(out, rune(beyond+i))
	}
	var letters []rune
	for r, n := range count {
		if n == 1 && r < beyond {
			letters = append(letters, r)
		}
	}
	slices.Sort(letters)
	return terms, append(out, letters...), nil
}

// diagonals picks the elements at which axes of one label agree, and leaves one of those axes.
func (o *op) diagonals(t labelled) (labelled, error) {
	for k := 0; k < len(t.axes); k++ {
		first := slices.Index(t.axes, t.axes[k])
		if first == k {
			continue
		}
		dims := t.v.dims()
		if dims[k] == tensor.BatchDim || dims[first] == tensor.BatchDim {
			return t, refusal.MixesBatch("it takes a diagonal of the batch axis")
		}
		if dims[k] != dims[first] {
			return t, refusal.New("", "a label has the extents %s", tensor.DimString([]int{dims[first], dims[k]}))
		}
		singles := tensor.Singles(dims) // the batch as an axis of one
		step := tensor.Strides(singles)
		step[first] += step[k]
		shape := slices.Delete(slices.Clone(dims), k, k+1)
		if err := o.affordIndexed(dag.Size(singles) / max(singles[k], 1)); err != nil {
			return t, err
		}
		index := tensor.Offsets(slices.Delete(singles, k, k+1), slices.Delete(step, k, k+1))
		if t.v.constant() {
			con, err := t.v.con.Indexed(shape, index)
			if err != nil {
				return t, err
			}
			t.v = &value{con: con}
		} else {
			t.v = o.pick(t.v, shape, index)
		}
		t.axes = slices.Delete(slices.Clone(t.axes), k, k+1)
		k--
	}
	return t, nil
}

// summedOut sums an operand over the axes whose labels are not kept.
func (o *op) summedOut(t labelled, keep []rune) (labelled, error) {
	var order, last []int
	var axes []rune
	n := 1
	for k, r := range t.axes {
		if slices.Contains(keep, r) {
			order, axes = append(order, k), append(axes, r)
			continue
		}
		if t.v.dims()[k] == tensor.BatchDim {
			return t, refusal.MixesBatch("it sums over the batch axis")
		}
		last = append(last, k)
		n *= t.v.dims()[k]
	}
	if last == nil {
		return t, nil
	}
	v, err := o.materialize(t.v)
	if err != nil {
		return t, err
	}
	v = o.transpose(v, slices.Concat(order, last))
	shape := v.shape[:len(order)]
	if n == 0 {
		return t, refusal.New("", "it sums over an empty axis")
	}
	w := dag.NewWindow([]int{n}, []int{n})
	kept := dag.Size(tensor.SampleShape(shape))
	out := o.emit(&dag.Linear{Map: &dag.Average{Channels: kept, Window: w, Weights: []float64{1}}}, slices.Clone(shape), v)
	return labelled{out, axes}, nil
}

// ordered puts the axes into the order of the labels; all are there.
func (o *op) ordered(t labelled, out []rune) (labelled, error) {
	perm := make([]int, len(out))
	for i, r := range out {
		if perm[i] = slices.Index(t.axes, r); perm[i] < 0 {
			return t, refusal.New("", "a label of the result is in no term")
		}
	}
	v, err := o.permuted(t.v, perm)
	return labelled{v, out}, err
}

func (o *op) reshapedValue(v *value, shape []int) *value {
	if v.constant() {
		if slices.Equal(shape, v.con.Dims) {
			return v
		}
		return &value{con: v.con.Reshaped(shape)}
	}
	return o.relabel(v, shape)
}

// contract multiplies two operands and sums over the labels that both have and that
// are not kept. Both become stacks of matrices: over the labels that stay and that
// both have, and the batch, of rows and columns that one has.
func (o *op) contract(a, b labelled, keep []rune) (labelled, error) {
	a, err := o.summedOut(a, slices.Concat(keep, b.axes))
	if err != nil {
		return a, err
	}
	if b, err = o.summedOut(b, slices.Concat(keep, a.axes)); err != nil {
		return a, err
	}
	extent := map[rune]int{}
	batch := rune(-1)
	for _, t := range []labelled{a, b} {
		for k, r := range t.axes {
			d := t.v.dims()[k]
			if d == tensor.BatchDim {
				batch = r
			}
			if old, ok := extent[r]; !ok || old == 1 {
				extent[r] = d
			} else if d != old && d != 1 {
				return a, refusal.New("", "a label has the extents %s", tensor.DimString([]int{old, d}))
			}
		}
	}
	var lead, rows, cols, sum []rune
	for _, r := range a.axes {
		both, kept := slices.Contains(b.axes, r), slices.Contains(keep, r)
		switch {
		case both && !kept:
			sum = append(sum, r)
		case both || r == batch:
			lead = append(lead, r)
		default:
			rows = append(rows, r)
		}
	}
	for _, r := range b.axes {
		switch {
		case slices.Contains(a.axes, r):
		case r == batch:
			lead = append([]rune{r}, lead...)
		default:
			cols = append(cols, r)
		}
	}
	if i := slices.Index(lead, batch); i > 0 {
		lead = slices.Concat([]rune{batch}, lead[:i], lead[i+1:])
	}
	if slices.Contains(sum, batch) {
		return a, refusal.MixesBatch("the product runs over the batch axis")
	}
	size := func(labels []rune) int {
		n := 1
		for _, r := range labels {
			n *= extent[r]
		}
		return n
	}
	stack := func(t labelled, first, second []rune) (*value, error) {
		var perm []int
		var shape []int
		for _, r := range lead {
			k := slices.Index(t.axes, r)
			if k < 0 {
				shape = append(shape, 1)
				continue
			}
			perm = append(perm, k)
			shape = append(shape, t.v.dims()[k])
		}
		for _, r := range slices.Concat(first, second) {
			perm = append(perm, slices.Index(t.axes, r))
		}
		v, err := o.permuted(t.v, perm)
		if err != nil {
			return nil, err
		}
		return o.reshapedValue(v, append(shape, size(first), size(second))), nil
	}
	x, err := stack(a, rows, sum)
	if err != nil {
		return a, err
	}
	y, err := stack(b, sum, cols)
	if err != nil {
		return a, err
	}
	p, err := o.matMul(x, y)
	if err != nil {
		return a, err
	}
	shape := make([]int, 0, len(lead)+len(rows)+len(cols))
	axes := slices.Concat(lead, rows, cols)
	for _, r := range axes {
		shape = append(shape, extent[r])
	}
	return labelled{o.reshapedValue(p, shape), axes}, nil
}
