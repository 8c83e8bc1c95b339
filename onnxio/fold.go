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

// Constants computed by the graph may take baseBudget bytes at a time, and
// budgetPerByte more for each byte that the file stores.
const (
	baseBudget    = 256 << 20
	budgetPerByte = 16
)

// budget returns what the constants computed by the graph may take, in bytes.
func budget(f *wire.File) int64 {
	stored := f.Size()
	for i := range f.Graph.Initializers {
		t := &f.Graph.Initializers[i]
		if n, err := t.Elems(); err == nil && t.Encoding == wire.External {
			stored += int64(min(n, maxSpent)) * 8
		}
	}
	return min(8*maxSpent, baseBudget+budgetPerByte*stored)
}

// afford refuses a computed constant of n numbers that the budget has no room for.
func (l *lowering) afford(n int) error {
	if l.computed+8*int64(n) > l.budget {
		return exceeds("simplify the model before export", "the constants that are computed up to it take more than %d MiB", l.budget>>20)
	}
	return nil
}

// maxProduct bounds the multiplications of one product of constants.
const maxProduct = 1 << 28

// wrap reduces an integer to a stored type, as its arithmetic does.
func wrap(typ wire.DataType, x int64) int64 {
	switch typ {
	case wire.Bool:
		if x != 0 {
			return 1
		}
		return 0
	case wire.Int4:
		return int64(int8(x<<4) >> 4)
	case wire.Uint4:
		return x & 15
	case wire.Int8:
		return int64(int8(x))
	case wire.Uint8:
		return int64(uint8(x))
	case wire.Int16:
		return int64(int16(x))
	case wire.Uint16:
		return int64(uint16(x))
	case wire.Int32:
		return int64(int32(x))
	case wire.Uint32:
		return int64(uint32(x))
	}
	return x
}

// isFloat reports whether a type holds floating-point numbers that a network
// can compute with.
func isFloat(typ wire.DataType) bool {
	switch typ {
	case wire.Float32, wire.Float64, wire.Float16, wire.BFloat16, wire.Undefined:
		return true
	}
	return false
}

func dtype(typ wire.DataType) dag.DType {
	switch typ {
	case wire.Float64:
		return dag.Float64
	case wire.Float16:
		return dag.Float16
	case wire.BFloat16:
		return dag.BFloat16
	}
	return dag.Float32
}

// rounded returns x as the type stores it: floats to the nearest, integers
// truncated and wrapped.
func rounded(typ wire.DataType, x float64) float64 {
	switch typ {
	case wire.Float64:
		return x
	case wire.Float32, wire.Undefined:
		return float64(float32(x))
	case wire.Float16:
		return float64(dag.Float16ToFloat32(dag.Float32ToFloat16(float32(x))))
	case wire.BFloat16:
		return float64(dag.BFloat16ToFloat32(dag.Float32ToBFloat16(float32(x))))
	case wire.Bool:
		if x != 0 {
			return 1
		}
		return 0
	}
	return float64(wrap(typ, int64(x)))
}

// newTensor returns a computed constant of the given type; v is rounded to it.
func newTensor(typ wire.DataType, dims []int, v []float64) *tensor {
	if isFloat(typ) {
		for i, x := range v {
			v[i] = rounded(typ, x)
		}
		return newFloats(dtype(typ), dims, v)
	}
	ints := make([]int64, len(v))
	for i, x := range v {
		ints[i] = int64(rounded(typ, x))
	}
	return newIntegers(typ, dims, ints)
}

func newIntegers(typ wire.DataType, dims []int, v []int64) *tensor {
	t := newInts(dims, v)
	t.elem = typ
	if typ == wire.Bool {
		t.kind = boolean
	}
	return t
}

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

// foldBinary computes the current operator on two constants.
func (o *op) foldBinary(a, b *tensor) error {
	t, err := foldPair(o.node.OpType, a, b)
	if err != nil {
		return err
	}
	o.giveTensor(0, t)
	return nil
}

// foldAll computes the current operator on all operands, one after the other.
func (o *op) foldAll() (*tensor, error) {
	if len(o.in) == 0 {
		return nil, refuse("", "no operands")
	}
	t := o.in[0].con
	for _, v := range o.in[1:] {
		var err error
		if t, err = foldPair(o.node.OpType, t, v.con); err != nil {
			return nil, err
		}
	}
	return t, nil
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

// foldUnary computes a function of each number of the first input.
func (o *op) foldUnary(f func(x float64) float64) error {
	t := o.in[0].con
	v, err := t.float64s()
	if err != nil {
		return err
	}
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = f(x)
	}
	o.giveTensor(0, newTensor(t.dataType(), t.dims, out))
	return nil
}

// foldConcat joins constants along an axis.
func foldConcat(in []*value, a int) (*tensor, error) {
	dims := slices.Clone(in[0].con.dims)
	dims[a] = 0
	for _, v := range in {
		d := v.con.dims
		if len(d) != len(dims) {
			return nil, refuse("", "constants of rank %d and %d", len(dims), len(d))
		}
		for k := range d {
			if k != a && d[k] != dims[k] {
				return nil, refuse("", "constants of shapes %v and %v", in[0].con.dims, d)
			}
		}
		dims[a] += d[a]
	}
	outer, inner := dag.Size(dims[:a]), dag.Size(dims[a+1:])
	first := in[0].con
	if first.kind != floating {
		parts := make([][]int64, len(in))
		for k, v := range in {
			var err error
			if parts[k], err = v.con.int64s(); err != nil {
				return nil, err
			}
		}
		return newIntegers(first.dataType(), dims, join(parts, outer, inner, in, a)), nil
	}
	parts := make([][]float64, len(in))
	for k, v := range in {
		var err error
		if parts[k], err = v.con.float64s(); err != nil {
			return nil, err
		}
	}
	return newFloats(first.typ, dims, join(parts, outer, inner, in, a)), nil
}

func join[T any](parts [][]T, outer, inner int, in []*value, a int) []T {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := make([]T, 0, n)
	for q := range outer {
		for k, v := range in {
			run := v.con.dims[a] * inner
			out = append(out, parts[k][q*run:(q+1)*run]...)
		}
	}
	return out
}

// indexed returns the constant whose element i is element index[i] of t.
func (t *tensor) indexed(dims []int, index []int32) (*tensor, error) {
	if err := foldable(dims, t); err != nil {
		return nil, err
	}
	if err := t.read(); err != nil {
		return nil, err
	}
	out := &tensor{dims: dims, kind: t.kind, typ: t.typ, elem: t.elem, pinned: t.pinned}
	if t.kind == floating {
		out.floats = make([]float64, len(index))
		for i, j := range index {
			out.floats[i] = t.floats[j]
		}
		return out, nil
	}
	out.ints = make([]int64, len(index))
	for i, j := range index {
		out.ints[i] = t.ints[j]
	}
	return out, nil
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
