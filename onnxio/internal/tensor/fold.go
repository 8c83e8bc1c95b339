package tensor

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// MaxFolded bounds a constant that is larger than those that it is computed from.
const MaxFolded = 1 << 25

// Foldable says that a constant of a shape is not too large to be computed from
// others.
func Foldable(dims []int, from ...*Tensor) error {
	limit := MaxFolded
	for _, t := range from {
		limit = max(limit, t.Size())
	}
	if dag.Size(dims) > limit {
		return refusal.New("", "a constant of shape %v is too large", dims)
	}
	return nil
}

// maxProduct bounds the multiplications of one product of constants.
const maxProduct = 1 << 28

// FoldPair computes an operator on two constants, broadcast against each other,
// in their type.
func FoldPair(name string, a, b *Tensor) (*Tensor, error) {
	p, ok := Pairs[name]
	if !ok {
		return nil, refusal.New("fold constants before export", "both operands are constants")
	}
	dims, err := BroadcastDims(a.Dims, b.Dims)
	if err != nil {
		return nil, refusal.New("", "%v", err)
	}
	if err := Foldable(dims, a, b); err != nil {
		return nil, err
	}
	if a.Kind == Floating || b.Kind == Floating {
		return foldFloats(name, p, dims, a, b)
	}
	x, y, err := both(a, b, (*Tensor).Int64s)
	if err != nil {
		return nil, err
	}
	typ := a.DataType()
	out := make([]int64, 0, dag.Size(dims))
	lines := BroadcastLines(a.Dims, b.Dims, dims)
	for i, j := range lines.Starts() {
		for range lines.N {
			v, err := p.integers(name, x[i], y[j], typ)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			i, j = i+lines.StepA, j+lines.StepB
		}
	}
	if p.Test {
		typ = wire.Bool
	}
	return NewIntegers(typ, dims, out), nil
}

// both reads the numbers of two constants.
func both[T any](a, b *Tensor, numbers func(*Tensor) ([]T, error)) (x, y []T, err error) {
	if x, err = numbers(a); err == nil {
		y, err = numbers(b)
	}
	return x, y, err
}

func foldFloats(name string, p Pair, dims []int, a, b *Tensor) (*Tensor, error) {
	if p.Float == nil {
		return nil, refusal.New("", "%s of floating-point numbers", name)
	}
	x, y, err := both(a, b, (*Tensor).Float64s)
	if err != nil {
		return nil, err
	}
	out := make([]float64, 0, dag.Size(dims))
	lines := BroadcastLines(a.Dims, b.Dims, dims)
	for i, j := range lines.Starts() {
		for range lines.N {
			out = append(out, p.Float(x[i], y[j]))
			i, j = i+lines.StepA, j+lines.StepB
		}
	}
	typ := a.DataType()
	switch {
	case p.Test:
		typ = wire.Bool
	case a.Kind != Floating && name != "Pow":
		typ = b.DataType()
	}
	return NewTensor(typ, dims, out), nil
}

// AllZero reports whether every number is 0.
func AllZero(t *Tensor) (bool, error) {
	v, err := t.Float64s()
	return err == nil && !slices.ContainsFunc(v, func(x float64) bool { return x != 0 }), err
}

// FoldConcat joins constants along an axis.
func FoldConcat(in []*Tensor, a int) (*Tensor, error) {
	dims := slices.Clone(in[0].Dims)
	dims[a] = 0
	for _, t := range in {
		d := t.Dims
		if len(d) != len(dims) {
			return nil, refusal.New("", "constants of rank %d and %d", len(dims), len(d))
		}
		for k := range d {
			if k != a && d[k] != dims[k] {
				return nil, refusal.New("", "constants of shapes %v and %v", in[0].Dims, d)
			}
		}
		dims[a] += d[a]
	}
	outer, inner := dag.Size(dims[:a]), dag.Size(dims[a+1:])
	first := in[0]
	if first.Kind != Floating {
		v, err := join(in, a, outer, inner, (*Tensor).Int64s)
		if err != nil {
			return nil, err
		}
		return NewIntegers(first.DataType(), dims, v), nil
	}
	v, err := join(in, a, outer, inner, (*Tensor).Float64s)
	if err != nil {
		return nil, err
	}
	return NewFloats(first.Typ, dims, v), nil
}

func join[T any](in []*Tensor, a, outer, inner int, numbers func(*Tensor) ([]T, error)) ([]T, error) {
	parts, n := make([][]T, len(in)), 0
	for k, t := range in {
		var err error
		if parts[k], err = numbers(t); err != nil {
			return nil, err
		}
		n += len(parts[k])
	}
	out := make([]T, 0, n)
	for q := range outer {
		for k, t := range in {
			run := t.Dims[a] * inner
			out = append(out, parts[k][q*run:(q+1)*run]...)
		}
	}
	return out, nil
}

// FoldExpand broadcasts a constant to a shape.
func FoldExpand(t *Tensor, dims []int) (*Tensor, error) {
	if err := Foldable(dims, t); err != nil {
		return nil, err
	}
	return t.Indexed(dims, BroadcastIndex(t.Dims, dims))
}

// product is how two constants multiply: stacks of m x k and k x n matrices.
type product struct {
	a, b, stack, dims []int // the operands as stacks, the axes before the matrices, the result
	m, n, k           int
}

// productOf says how constants multiply, or why they do not.
func productOf(a, b *Tensor) (product, error) {
	if len(a.Dims) == 0 || len(b.Dims) == 0 {
		return product{}, refusal.New("", "a scalar operand")
	}
	p := product{a: slices.Clone(a.Dims), b: slices.Clone(b.Dims)}
	if len(p.a) == 1 {
		p.a = append([]int{1}, p.a...)
	}
	if len(p.b) == 1 {
		p.b = append(p.b, 1)
	}
	ra, rb := len(p.a), len(p.b)
	p.m, p.n, p.k = p.a[ra-2], p.b[rb-1], p.a[ra-1]
	if p.b[rb-2] != p.k {
		return product{}, refusal.New("", "shapes %v and %v do not multiply", a.Dims, b.Dims)
	}
	var err error
	if p.stack, err = BroadcastDims(p.a[:ra-2], p.b[:rb-2]); err != nil {
		return product{}, refusal.New("", "%v", err)
	}
	p.dims = slices.Clone(p.stack)
	if len(a.Dims) > 1 {
		p.dims = append(p.dims, p.m)
	}
	if len(b.Dims) > 1 {
		p.dims = append(p.dims, p.n)
	}
	if size := dag.Size(p.dims); size > maxProduct || size*max(p.k, 1) > maxProduct || Foldable(p.dims, a, b) != nil {
		return product{}, refusal.New("fold constants before export", "a product of constants of shapes %v and %v is too large", a.Dims, b.Dims)
	}
	return p, nil
}

// ProductCost is the shape of what FoldProduct makes and how many multiplications it
// takes, or why it makes nothing.
func ProductCost(a, b *Tensor) (dims []int, multiplications int, err error) {
	p, err := productOf(a, b)
	return p.dims, dag.Size(p.dims) * p.k, err
}

// FoldProduct multiplies two constants as MatMul does: matrices in the last two
// axes, the others broadcast; sums in float64, rounded once.
func FoldProduct(a, b *Tensor) (*Tensor, error) {
	p, err := productOf(a, b)
	if err != nil {
		return nil, err
	}
	m, n, k := p.m, p.n, p.k
	x, y, err := both(a, b, (*Tensor).Float64s)
	if err != nil {
		return nil, err
	}
	out := make([]float64, dag.Size(p.dims))
	ia, ib := BroadcastIndex(p.a[:len(p.a)-2], p.stack), BroadcastIndex(p.b[:len(p.b)-2], p.stack)
	for s := range ia {
		w, q, r := x[int(ia[s])*m*k:], y[int(ib[s])*k*n:], out[s*m*n:]
		for i := range m {
			for t := range k {
				f := w[i*k+t]
				for j := range n {
					r[i*n+j] += f * q[t*n+j]
				}
			}
		}
	}
	return NewTensor(a.DataType(), p.dims, out), nil
}

// Lengths returns a constant's integers as lengths, or an error.
func Lengths(t *Tensor, what string) ([]int, error) {
	v, err := t.Int64s()
	if err != nil {
		return nil, err
	}
	out := make([]int, len(v))
	n := 1
	for i, d := range v {
		switch {
		case BatchFactor(d) > 0:
			return nil, refusal.MixesBatch("%s depends on the batch size", what)
		case d < 0 || d > MaxElements:
			return nil, refusal.New("", "%s %v", what, v)
		}
		out[i] = int(d)
		if n *= max(int(d), 1); n > MaxElements {
			return nil, refusal.New("", "%s %v is too large", what, v)
		}
	}
	return out, nil
}
