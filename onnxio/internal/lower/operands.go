package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/wire"

	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// valueOf makes a value of a constant, unless making it failed.
func valueOf(t *tensor.Tensor, err error) (*value, error) {
	if err != nil {
		return nil, err
	}
	return &value{con: t}, nil
}

// foldBinary computes the current operator on two constants.
func (o *op) foldBinary(a, b *tensor.Tensor) error {
	return o.givesTensor(o.foldPair(o.node.OpType, a, b))
}

// foldAll computes an operator of two numbers on all operands, one after the other.
func (o *op) foldAll(name string) (*value, error) {
	if len(o.in) == 0 {
		return nil, refusal.New("", "no operands")
	}
	t := o.in[0].con
	for _, v := range o.in[1:] {
		var err error
		if t, err = o.foldPair(name, t, v.con); err != nil {
			return nil, err
		}
	}
	return &value{con: t}, nil
}

// times multiplies a value by a number: a constant in its own type.
func (o *op) times(v *value, x float64) (*value, error) {
	switch {
	case x == 1:
		return v, nil
	case v.constant():
		return valueOf(o.foldPair("Mul", v.con, tensor.NewTensor(v.dataType(), nil, []float64{x})))
	}
	return o.affine(v, affine{coef: x})
}

// permuted permutes the axes of a value; an order that changes nothing leaves a constant as it is.
func (o *op) permuted(v *value, perm []int) (*value, error) {
	switch {
	case !v.constant():
		return o.transpose(v, perm), nil
	case slices.IsSorted(perm):
		return v, nil
	}
	return valueOf(o.transposed(v.con, perm))
}

// inverted is the permutation that brings back what perm moves.
func inverted(perm []int) []int {
	back := make([]int, len(perm))
	for i, k := range perm {
		back[k] = i
	}
	return back
}

// foldUnary computes a function of each number of the first input.
func (o *op) foldUnary(f func(x float64) float64) error {
	t := o.in[0].con
	if err := o.afford(t.Size()); err != nil {
		return err
	}
	v, err := t.Float64s()
	if err != nil {
		return err
	}
	o.giveTensor(tensor.NewTensor(t.DataType(), t.Dims, lists.Map(v, f)))
	return nil
}

// foldPair computes an operator on two constants that broadcast against each other.
func (l *lowering) foldPair(name string, a, b *tensor.Tensor) (*tensor.Tensor, error) {
	if dims, err := tensor.BroadcastDims(a.Dims, b.Dims); err == nil {
		if err := l.afford(dag.Size(dims)); err != nil {
			return nil, err
		}
	}
	return tensor.FoldPair(name, a, b)
}

// foldProduct multiplies two constants.
func (l *lowering) foldProduct(a, b *tensor.Tensor) (*tensor.Tensor, error) {
	if dims, n, err := tensor.ProductCost(a, b); err == nil {
		if err := l.afford(dag.Size(dims)); err != nil {
			return nil, err
		}
		if err := l.affordProducts(n); err != nil {
			return nil, err
		}
	}
	return tensor.FoldProduct(a, b)
}

// foldExpand broadcasts a constant to a shape.
func (l *lowering) foldExpand(t *tensor.Tensor, dims []int) (*tensor.Tensor, error) {
	if err := l.affordIndexed(dag.Size(dims)); err != nil {
		return nil, err
	}
	return tensor.FoldExpand(t, dims)
}

// transposed permutes the axes of a constant.
func (l *lowering) transposed(t *tensor.Tensor, perm []int) (*tensor.Tensor, error) {
	if t.Stored == nil || len(perm) != 2 { // a stored matrix is seen the other way round
		if err := l.affordIndexed(t.Size()); err != nil {
			return nil, err
		}
	}
	return t.Transposed(perm)
}

// affordSpent refuses a list of n elements that would exceed what lowering computes in all.
func (l *lowering) affordSpent(n int) error {
	if l.spent+n > maxSpent {
		return refusal.Exceeds("simplify the model before export", "constants and reindexings of more than %d elements come before it and in it", maxSpent)
	}
	return nil
}

// affordIndexed is afford for n numbers that a list of places picks.
func (l *lowering) affordIndexed(n int) error { return l.afford(n + n/2) }

// afford refuses a computed constant of n numbers that the budget has no room for.
func (l *lowering) afford(n int) error {
	if l.computed+8*int64(n) > l.budget {
		return refusal.Exceeds("simplify the model before export", "the constants that are computed up to it take more than %d MiB", l.budget>>20)
	}
	return nil
}

// affordProducts counts n multiplications of constants, or refuses them where they are more
// than the file may ask for.
func (l *lowering) affordProducts(n int) error {
	if l.multiplied += int64(n); l.multiplied > l.multiplications {
		return refusal.Exceeds("simplify the model before export", "the products of constants up to it take more than %d million multiplications", l.multiplications/1e6)
	}
	return nil
}

// Constants computed by the graph may take baseBudget bytes at a time, and
// budgetPerByte more for each byte that the file stores; their products baseProducts
// multiplications in all, and productsPerByte more, and one of them 2^28 (see
// tensor.FoldProduct).
const (
	baseBudget      = 128 << 20
	budgetPerByte   = 16
	baseProducts    = 1 << 30
	productsPerByte = 512
)

// allow sets what the constants computed by the graph may take: bytes and multiplications.
func (b *budgets) allow(f *wire.File) {
	stored := f.Size()
	for i := range f.Graph.Initializers {
		t := &f.Graph.Initializers[i]
		if n, err := t.Elems(); err == nil && t.Encoding == wire.External {
			stored += int64(min(n, maxSpent)) * 8
		}
	}
	b.budget = min(8*maxSpent, baseBudget+budgetPerByte*stored)
	b.multiplications = baseProducts + productsPerByte*stored
}
