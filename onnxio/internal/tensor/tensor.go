package tensor

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// kind is what the numbers of a constant are.
type kind uint8

// Numbers are floating-point ones, integers or truth values.
const (
	Floating kind = iota
	Integer
	boolean
)

// Tensor is a constant value of the graph: an initializer, a Constant node, or
// computed from such. Its numbers are decoded when first needed.
type Tensor struct {
	Dims []int
	Kind kind
	// Typ is the type to store floating numbers in.
	Typ dag.DType
	// Elem is the type of integers in the file; undefined is int64.
	Elem wire.DataType
	// Stored is the tensor in the file whose values these are, in stored order;
	// nil when they were computed. swapped says that these are the transpose of
	// a stored matrix.
	Stored  *source.Tensor
	Swapped bool
	// Pinned says why no other numbers can be written in their place.
	Pinned string
	// Made says that shapes determine the numbers, or how often they repeat the one of Part.
	Made bool
	// Turns are the permutations of axes by which the numbers came of other constants, the last of
	// which are those by which an operator turns its own operand.
	Turns []source.Turn
	// Part is the stored tensor of which these numbers are elements, in any order and number;
	// nil when they were computed otherwise.
	Part *source.Tensor
	// From are the stored tensors that a computed constant comes from.
	From []*source.Tensor

	Floats []float64
	Ints   []int64
}

// Size counts the numbers.
func (t *Tensor) Size() int { return dag.Size(t.Dims) }

// Scalar reports whether there is one number.
func (t *Tensor) Scalar() bool { return t.Size() == 1 }

// DataType returns the type of the numbers as ONNX names it.
func (t *Tensor) DataType() wire.DataType {
	switch {
	case t.Kind == Floating:
		return [...]wire.DataType{
			dag.Float32: wire.Float32, dag.Float64: wire.Float64,
			dag.Float16: wire.Float16, dag.BFloat16: wire.BFloat16,
		}[t.Typ]
	case t.Kind == boolean:
		return wire.Bool
	case t.Elem == wire.Undefined:
		return wire.Int64
	}
	return t.Elem
}

// NewFloats returns a computed constant, whose numbers typ can hold.
func NewFloats(typ dag.DType, dims []int, v []float64) *Tensor {
	return &Tensor{Dims: dims, Typ: typ, Floats: v}
}

// NewInts returns a computed constant of 64-bit integers.
func NewInts(dims []int, v []int64) *Tensor { return &Tensor{Dims: dims, Kind: Integer, Ints: v} }

// Read decodes the numbers and marks the stored tensor as read for them.
func (t *Tensor) Read() error {
	if t.Stored != nil {
		t.Stored.Fixed = true
	}
	return t.Load()
}

// Load decodes the numbers.
func (t *Tensor) Load() error {
	if t.Floats != nil || t.Ints != nil || t.Size() == 0 {
		return nil
	}
	if t.Kind != Floating {
		v, err := t.Stored.Wire.Int64s()
		if err != nil {
			return err
		}
		t.Ints = v
		return nil
	}
	p, err := t.Stored.AsParam()
	if err != nil {
		return err
	}
	t.Floats = p.Values()
	if t.Swapped {
		rows, cols := t.Dims[0], t.Dims[1]
		t.Floats = Permuted(t.Floats, []int{cols, rows}, []int{1, 0})
	}
	return nil
}

// Float64s returns the numbers as float64, whatever the kind.
func (t *Tensor) Float64s() ([]float64, error) {
	if err := t.Read(); err != nil {
		return nil, err
	}
	if t.Kind == Floating {
		return t.Floats, nil
	}
	out := make([]float64, len(t.Ints))
	for i, v := range t.Ints {
		if BatchFactor(v) > 0 {
			return nil, refusal.MixesBatch("a constant depends on the batch size")
		}
		out[i] = float64(v)
	}
	return out, nil
}

// Int64s returns the numbers of an integer constant; BatchDim may be among
// them.
func (t *Tensor) Int64s() ([]int64, error) {
	if err := t.Read(); err != nil {
		return nil, err
	}
	if t.Kind != Floating {
		return t.Ints, nil
	}
	out := make([]int64, len(t.Floats))
	for i, v := range t.Floats {
		if v != math.Trunc(v) || math.Abs(v) > 1<<53 {
			return nil, fmt.Errorf("%v is not an integer", v)
		}
		out[i] = int64(v)
	}
	return out, nil
}

// Value returns the only number.
func (t *Tensor) Value() (float64, error) {
	v, err := t.Float64s()
	if err != nil {
		return 0, err
	}
	if len(v) != 1 {
		return 0, fmt.Errorf("%s, want 1", words.Count(len(v), "value"))
	}
	return v[0], nil
}

// Reshaped returns the same numbers in the same order under other dims.
func (t *Tensor) Reshaped(dims []int) *Tensor {
	if t.Swapped {
		// A swapped matrix has no stored order of its own any more.
		_ = t.Load()
		c := t.elements(dims)
		c.Turns, c.Floats, c.Ints = t.Turns, t.Floats, t.Ints
		return c
	}
	c := *t
	c.Dims = dims
	return &c
}

// Single is the one stored number of which the constant is repetitions, as a scalar, and else t.
func (t *Tensor) Single() *Tensor {
	if t == nil || t.Part == nil || len(t.Floats) < 2 {
		return t
	}
	if n, err := t.Part.Wire.Elems(); n != 1 || err != nil {
		return t
	}
	return &Tensor{Kind: t.Kind, Typ: t.Typ, Part: t.Part, Floats: t.Floats[:1]}
}

// elements is a constant of the dims for numbers of t, in any order and number.
func (t *Tensor) elements(dims []int) *Tensor {
	return &Tensor{Dims: dims, Kind: t.Kind, Typ: t.Typ, Elem: t.Elem, Pinned: t.Pinned, Made: t.Made, Part: t.part()}
}

// part is the stored tensor of which the numbers are elements.
func (t *Tensor) part() *source.Tensor {
	if t.Stored != nil {
		return t.Stored
	}
	return t.Part
}

// Transposed permutes the axes; a stored matrix stays a view.
func (t *Tensor) Transposed(perm []int) (*Tensor, error) {
	dims := make([]int, len(perm))
	moved := 0
	last := -1
	for i, p := range perm {
		dims[i] = t.Dims[p]
		if dims[i] != 1 {
			if p < last {
				moved++
			}
			last = p
		}
	}
	if moved == 0 {
		return t.Reshaped(dims), nil
	}
	turns := append(slices.Clip(t.Turns), source.Turn{Dims: t.Dims, Perm: slices.Clone(perm)})
	if t.Stored != nil && len(perm) == 2 && t.Kind == Floating {
		return &Tensor{Dims: dims, Kind: t.Kind, Typ: t.Typ, Stored: t.Stored, Swapped: !t.Swapped, Turns: turns}, nil
	}
	if err := t.Read(); err != nil {
		return nil, err
	}
	out := t.elements(dims)
	out.Turns = turns
	out.pick(t, Permutation(t.Dims, perm))
	return out, nil
}

// Param returns a Param for use as a weight: a view of the stored tensor where
// these numbers are the stored ones in stored order or, for a swapped matrix,
// its transpose (see tensor.swapped); else a Param of computed numbers.
func (t *Tensor) Param(name string) (*dag.Param, error) {
	if t.Stored != nil {
		return t.Stored.AsParam()
	}
	if t.Kind != Floating {
		return nil, refusal.New("store it as float32", "constant %q holds integers where weights are wanted", name)
	}
	var p *dag.Param
	if t.Typ == dag.Float64 {
		p = dag.NewParam64(name, slices.Clone(t.Dims), t.Floats)
	} else {
		p = dag.NewParam32(name, t.Typ, slices.Clone(t.Dims), lists.Convert[float32](t.Floats))
	}
	p.Storage = dag.NewInitializer
	if t.Part != nil {
		n, err := t.Part.Wire.Elems()
		if err != nil {
			return nil, err
		}
		p.Of, p.OfLen = t.Part, n
	}
	// What a shape repeats is one stored number.
	p.Made = t.Made && t.Part == nil
	if t.Pinned != "" {
		p.Storage, p.Reason = dag.Unwritable, t.Pinned
	}
	return p, nil
}

// Indexed returns the constant whose element i is element index[i] of t.
func (t *Tensor) Indexed(dims []int, index []int32) (*Tensor, error) {
	if err := Foldable(dims, t); err != nil {
		return nil, err
	}
	if err := t.Read(); err != nil {
		return nil, err
	}
	out := t.elements(dims)
	out.pick(t, index)
	return out, nil
}

// pick takes numbers of another constant, which are decoded.
func (t *Tensor) pick(from *Tensor, index []int32) {
	if t.Kind == Floating {
		t.Floats = picked(from.Floats, index)
	} else {
		t.Ints = picked(from.Ints, index)
	}
}

func picked[T any](v []T, index []int32) []T {
	out := make([]T, len(index))
	for i, j := range index {
		out[i] = v[j]
	}
	return out
}

// Place is what tells the numbers of a constant from others; nil for none, and for those
// that are stored.
func (t *Tensor) Place() any {
	switch {
	case t.Stored != nil:
		return nil
	case len(t.Floats) > 0:
		return &t.Floats[0]
	case len(t.Ints) > 0:
		return &t.Ints[0]
	}
	return nil
}

// Sources are the stored tensors of two or more axes that a constant comes from.
func (t *Tensor) Sources() []*source.Tensor {
	if t.Stored == nil {
		return t.From
	}
	if len(t.Stored.Wire.Dims) > 1 {
		return []*source.Tensor{t.Stored}
	}
	return nil
}

// Of returns a stored tensor as a constant of the graph.
func Of(s *source.Tensor) (*Tensor, error) {
	t := &Tensor{Stored: s, Dims: lists.Convert[int](s.Wire.Dims)}
	if _, err := s.Wire.Elems(); err != nil {
		return nil, err
	}
	switch s.Wire.DType {
	case wire.Float32:
		t.Typ = dag.Float32
	case wire.Float64:
		t.Typ = dag.Float64
	case wire.Float16:
		t.Typ = dag.Float16
	case wire.BFloat16:
		t.Typ = dag.BFloat16
	case wire.Bool:
		t.Kind = boolean
	default:
		t.Kind, t.Elem = Integer, s.Wire.DType
	}
	return t, nil
}

// NewTensor returns a computed constant of the given type; v is rounded to it.
func NewTensor(typ wire.DataType, dims []int, v []float64) *Tensor {
	if IsFloat(typ) {
		for i, x := range v {
			v[i] = Rounded(typ, x)
		}
		return NewFloats(Dtype(typ), dims, v)
	}
	ints := make([]int64, len(v))
	for i, x := range v {
		ints[i] = int64(Rounded(typ, x))
	}
	return NewIntegers(typ, dims, ints)
}

// NewIntegers returns a computed constant of a type of integers or of truth values.
func NewIntegers(typ wire.DataType, dims []int, v []int64) *Tensor {
	t := NewInts(dims, v)
	t.Elem = typ
	if typ == wire.Bool {
		t.Kind = boolean
	}
	return t
}
