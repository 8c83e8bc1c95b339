package onnxio

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// maxFolded bounds a constant that is larger than those that it is computed from.
const maxFolded = 1 << 25

// foldable says that a constant of a shape is not too large to be computed from
// others.
func foldable(dims []int, from ...*tensor) error {
	limit := maxFolded
	for _, t := range from {
		limit = max(limit, t.size())
	}
	if dag.Size(dims) > limit {
		return refuse("", "a constant of shape %v is too large", dims)
	}
	return nil
}

// maxProduct bounds the multiplications of one product of constants.
const maxProduct = 1 << 28

// foldPair computes an operator on two constants, broadcast against each other,
// in their type.
func foldPair(name string, a, b *tensor) (*tensor, error) {
	p, ok := pairs[name]
	if !ok {
		return nil, refuse("fold constants before export", "both operands are constants")
	}
	dims, err := broadcastDims(a.dims, b.dims)
	if err != nil {
		return nil, refuse("", "%v", err)
	}
	if err := foldable(dims, a, b); err != nil {
		return nil, err
	}
	ia, ib := broadcastIndex(a.dims, dims), broadcastIndex(b.dims, dims)
	if a.kind == floating || b.kind == floating {
		return foldFloats(name, p, dims, ia, ib, a, b)
	}
	x, err := a.int64s()
	if err != nil {
		return nil, err
	}
	y, err := b.int64s()
	if err != nil {
		return nil, err
	}
	typ := a.dataType()
	out := make([]int64, len(ia))
	for i := range out {
		if out[i], err = p.integers(name, x[ia[i]], y[ib[i]], typ); err != nil {
			return nil, err
		}
	}
	if p.test {
		typ = wire.Bool
	}
	return newIntegers(typ, dims, out), nil
}

func foldFloats(name string, p pair, dims []int, ia, ib []int32, a, b *tensor) (*tensor, error) {
	if p.float == nil {
		return nil, refuse("", "%s of floating-point numbers", name)
	}
	x, err := a.float64s()
	if err != nil {
		return nil, err
	}
	y, err := b.float64s()
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(ia))
	for i := range out {
		out[i] = p.float(x[ia[i]], y[ib[i]])
	}
	typ := a.dataType()
	switch {
	case p.test:
		typ = wire.Bool
	case a.kind != floating && name != "Pow":
		typ = b.dataType()
	}
	return newTensor(typ, dims, out), nil
}

// allZero reports whether every number is 0.
func allZero(t *tensor) (bool, error) {
	v, err := t.float64s()
	if err != nil {
		return false, err
	}
	for _, x := range v {
		if x != 0 {
			return false, nil
		}
	}
	return true, nil
}

// foldConcat joins constants along an axis.
func foldConcat(in []*tensor, a int) (*tensor, error) {
	dims := slices.Clone(in[0].dims)
	dims[a] = 0
	for _, t := range in {
		d := t.dims
		if len(d) != len(dims) {
			return nil, refuse("", "constants of rank %d and %d", len(dims), len(d))
		}
		for k := range d {
			if k != a && d[k] != dims[k] {
				return nil, refuse("", "constants of shapes %v and %v", in[0].dims, d)
			}
		}
		dims[a] += d[a]
	}
	outer, inner := dag.Size(dims[:a]), dag.Size(dims[a+1:])
	first := in[0]
	if first.kind != floating {
		parts := make([][]int64, len(in))
		for k, t := range in {
			var err error
			if parts[k], err = t.int64s(); err != nil {
				return nil, err
			}
		}
		return newIntegers(first.dataType(), dims, join(parts, outer, inner, in, a)), nil
	}
	parts := make([][]float64, len(in))
	for k, t := range in {
		var err error
		if parts[k], err = t.float64s(); err != nil {
			return nil, err
		}
	}
	return newFloats(first.typ, dims, join(parts, outer, inner, in, a)), nil
}

func join[T any](parts [][]T, outer, inner int, in []*tensor, a int) []T {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]T, 0, n)
	for q := range outer {
		for k, t := range in {
			run := t.dims[a] * inner
			out = append(out, parts[k][q*run:(q+1)*run]...)
		}
	}
	return out
}

// foldExpand broadcasts a constant to a shape.
func foldExpand(t *tensor, dims []int) (*tensor, error) {
	if err := foldable(dims, t); err != nil {
		return nil, err
	}
	return t.indexed(dims, broadcastIndex(t.dims, dims))
}

// foldProduct multiplies two constants as MatMul does: matrices in the last two
// axes, the others broadcast; sums in float64, rounded once.
func foldProduct(a, b *tensor) (*tensor, error) {
	if len(a.dims) == 0 || len(b.dims) == 0 {
		return nil, refuse("", "a scalar operand")
	}
	da, db := slices.Clone(a.dims), slices.Clone(b.dims)
	if len(da) == 1 {
		da = append([]int{1}, da...)
	}
	if len(db) == 1 {
		db = append(db, 1)
	}
	ra, rb := len(da), len(db)
	m, n, k := da[ra-2], db[rb-1], da[ra-1]
	if db[rb-2] != k {
		return nil, refuse("", "shapes %v and %v do not multiply", a.dims, b.dims)
	}
	stack, err := broadcastDims(da[:ra-2], db[:rb-2])
	if err != nil {
		return nil, refuse("", "%v", err)
	}
	dims := slices.Clone(stack)
	if len(a.dims) > 1 {
		dims = append(dims, m)
	}
	if len(b.dims) > 1 {
		dims = append(dims, n)
	}
	if size := dag.Size(dims); size > maxProduct || size*max(k, 1) > maxProduct || foldable(dims, a, b) != nil {
		return nil, refuse("fold constants before export", "a product of constants of shapes %v and %v is too large", a.dims, b.dims)
	}
	x, err := a.float64s()
	if err != nil {
		return nil, err
	}
	y, err := b.float64s()
	if err != nil {
		return nil, err
	}
	out := make([]float64, dag.Size(dims))
	ia, ib := broadcastIndex(da[:ra-2], stack), broadcastIndex(db[:rb-2], stack)
	for s := range ia {
		p, q, r := x[int(ia[s])*m*k:], y[int(ib[s])*k*n:], out[s*m*n:]
		for i := range m {
			for t := range k {
				f := p[i*k+t]
				for j := range n {
					r[i*n+j] += f * q[t*n+j]
				}
			}
		}
	}
	return newTensor(a.dataType(), dims, out), nil
}

// lengths returns a constant's integers as lengths, or an error.
func lengths(t *tensor, what string) ([]int, error) {
	v, err := t.int64s()
	if err != nil {
		return nil, err
	}
	out := make([]int, len(v))
	n := 1
	for i, d := range v {
		switch {
		case batchFactor(d) > 0:
			return nil, mixesBatch("%s depends on the batch size", what)
		case d < 0 || d > maxElements:
			return nil, refuse("", "%s %v", what, v)
		}
		out[i] = int(d)
		if n *= max(int(d), 1); n > maxElements {
			return nil, refuse("", "%s %v is too large", what, v)
		}
	}
	return out, nil
}
