package onnxio

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// kind is what the numbers of a constant are.
type kind uint8

// Numbers are floating-point ones, integers or truth values.
const (
	floating kind = iota
	integer
	boolean
)

// tensor is a constant value of the graph: an initializer, a Constant node, or
// computed from such. Its numbers are decoded when first needed.
type tensor struct {
	dims []int
	kind kind
	// typ is the type to store floating numbers in.
	typ dag.DType
	// elem is the type of integers in the file; undefined is int64.
	elem wire.DataType
	// stored is the tensor in the file whose values these are, in stored order;
	// nil when they were computed. swapped says that these are the transpose of
	// a stored matrix.
	stored  *storedTensor
	swapped bool
	// pinned says why no other numbers can be written in their place.
	pinned string
	// from are the stored tensors that a computed constant comes from.
	from []*storedTensor

	floats []float64
	ints   []int64
}

// size counts the numbers.
func (t *tensor) size() int { return dag.Size(t.dims) }

// scalar reports whether there is one number.
func (t *tensor) scalar() bool { return t.size() == 1 }

// dataType returns the type of the numbers as ONNX names it.
func (t *tensor) dataType() wire.DataType {
	switch {
	case t.kind == floating:
		return [...]wire.DataType{
			dag.Float32: wire.Float32, dag.Float64: wire.Float64,
			dag.Float16: wire.Float16, dag.BFloat16: wire.BFloat16,
		}[t.typ]
	case t.kind == boolean:
		return wire.Bool
	case t.elem == wire.Undefined:
		return wire.Int64
	}
	return t.elem
}

// newFloats returns a computed constant, whose numbers typ can hold.
func newFloats(typ dag.DType, dims []int, v []float64) *tensor {
	return &tensor{dims: dims, typ: typ, floats: v}
}

// newInts returns a computed constant of 64-bit integers.
func newInts(dims []int, v []int64) *tensor { return &tensor{dims: dims, kind: integer, ints: v} }

// read decodes the numbers and marks the stored tensor as read for them.
func (t *tensor) read() error {
	if t.stored != nil {
		t.stored.fixed = true
	}
	return t.load()
}

// load decodes the numbers.
func (t *tensor) load() error {
	if t.floats != nil || t.ints != nil || t.size() == 0 {
		return nil
	}
	if t.kind != floating {
		v, err := t.stored.wire.Int64s()
		if err != nil {
			return err
		}
		t.ints = v
		return nil
	}
	p, err := t.stored.asParam()
	if err != nil {
		return err
	}
	t.floats = p.Values()
	if t.swapped {
		rows, cols := t.dims[0], t.dims[1]
		t.floats = permuted(t.floats, []int{cols, rows}, []int{1, 0})
	}
	return nil
}

// float64s returns the numbers as float64, whatever the kind.
func (t *tensor) float64s() ([]float64, error) {
	if err := t.read(); err != nil {
		return nil, err
	}
	if t.kind == floating {
		return t.floats, nil
	}
	out := make([]float64, len(t.ints))
	for i, v := range t.ints {
		if batchFactor(v) > 0 {
			return nil, mixesBatch("a constant depends on the batch size")
		}
		out[i] = float64(v)
	}
	return out, nil
}

// int64s returns the numbers of an integer constant; batchDim may be among
// them.
func (t *tensor) int64s() ([]int64, error) {
	if err := t.read(); err != nil {
		return nil, err
	}
	if t.kind != floating {
		return t.ints, nil
	}
	out := make([]int64, len(t.floats))
	for i, v := range t.floats {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, fmt.Errorf("%v is not an integer", v)
		}
		out[i] = int64(v)
	}
	return out, nil
}

// value returns the only number.
func (t *tensor) value() (float64, error) {
	v, err := t.float64s()
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("%d values, want 1", len(v))
	}
	return v[0], nil
}

// reshaped returns the same numbers in the same order under other dims.
func (t *tensor) reshaped(dims []int) *tensor {
	if t.swapped {
		// A swapped matrix has no stored order of its own any more.
		_ = t.load()
		return &tensor{dims: dims, kind: t.kind, typ: t.typ, elem: t.elem, pinned: t.pinned, floats: t.floats, ints: t.ints}
	}
	c := *t
	c.dims = dims
	return &c
}

// transposed permutes the axes; a stored matrix stays a view.
func (t *tensor) transposed(perm []int) (*tensor, error) {
	dims := make([]int, len(perm))
	moved := 0
	last := -1
	for i, p := range perm {
		dims[i] = t.dims[p]
		if dims[i] != 1 {
			if p < last {
				moved++
			}
			last = p
		}
	}
	if moved == 0 {
		return t.reshaped(dims), nil
	}
	if t.stored != nil && len(perm) == 2 && t.kind == floating {
		return &tensor{dims: dims, kind: t.kind, typ: t.typ, stored: t.stored, swapped: !t.swapped}, nil
	}
	if err := t.read(); err != nil {
		return nil, err
	}
	out := &tensor{dims: dims, kind: t.kind, typ: t.typ, elem: t.elem, pinned: t.pinned}
	if t.kind == floating {
		out.floats = permuted(t.floats, t.dims, perm)
	} else {
		out.ints = permuted(t.ints, t.dims, perm)
	}
	return out, nil
}

// param returns a Param for use as a weight: a view of the stored tensor where
// these numbers are the stored ones in stored order or, for a swapped matrix,
// its transpose (see tensor.swapped); else a Param of computed numbers.
func (t *tensor) param(name string) (*dag.Param, error) {
	if t.stored != nil {
		return t.stored.asParam()
	}
	if t.kind != floating {
		return nil, refuse("store it as float32", "constant %q holds integers where weights are wanted", name)
	}
	var p *dag.Param
	if t.typ == dag.Float64 {
		p = dag.NewParam64(name, slices.Clone(t.dims), t.floats)
	} else {
		v := make([]float32, len(t.floats))
		for i, x := range t.floats {
			v[i] = float32(x)
		}
		p = dag.NewParam32(name, t.typ, slices.Clone(t.dims), v)
	}
	p.Storage = dag.NewInitializer
	if t.pinned != "" {
		p.Storage, p.Reason = dag.Unwritable, t.pinned
	}
	return p, nil
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

// place is what tells the numbers of a constant from others; nil for none, and for those
// that are stored.
func (t *tensor) place() any {
	switch {
	case t.stored != nil:
		return nil
	case len(t.floats) > 0:
		return &t.floats[0]
	case len(t.ints) > 0:
		return &t.ints[0]
	}
	return nil
}

// sources are the stored tensors of two or more axes that a constant comes from.
func (t *tensor) sources() []*storedTensor {
	if t.stored == nil {
		return t.from
	}
	if len(t.stored.wire.Dims) > 1 {
		return []*storedTensor{t.stored}
	}
	return nil
}

// fromStored returns a stored tensor as a constant of the graph.
func fromStored(s *storedTensor) (*tensor, error) {
	t := &tensor{stored: s}
	for _, d := range s.wire.Dims {
		t.dims = append(t.dims, int(d))
	}
	if _, err := s.wire.Elems(); err != nil {
		return nil, err
	}
	switch s.wire.DType {
	case wire.Float32:
		t.typ = dag.Float32
	case wire.Float64:
		t.typ = dag.Float64
	case wire.Float16:
		t.typ = dag.Float16
	case wire.BFloat16:
		t.typ = dag.BFloat16
	case wire.Bool:
		t.kind = boolean
	default:
		t.kind, t.elem = integer, s.wire.DType
	}
	return t, nil
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

// newIntegers returns a computed constant of a type of integers or of truth values.
func newIntegers(typ wire.DataType, dims []int, v []int64) *tensor {
	t := newInts(dims, v)
	t.elem = typ
	if typ == wire.Bool {
		t.kind = boolean
	}
	return t
}
