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

const (
	floating kind = iota
	integer
	boolean
)

// batchDim stands for the batch size in integer constants computed from
// shapes, and in the shapes of values. No ONNX dimension is negative.
const batchDim = math.MinInt64 + 77

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

// storedTensor is a tensor of the file and what is known of its consumers.
type storedTensor struct {
	wire *wire.Tensor
	// initializer is its index, -1 for a tensor in attribute attribute of node
	// node.
	initializer     int
	node, attribute int
	// hidden says that it is inside a local function or a subgraph.
	hidden bool
	name   string
	param  *dag.Param
	// fixed says that something beside the Uses of param depends on its values,
	// so that they may not change in place.
	fixed bool
	// readers are the operators that read its numbers, or what is computed of them.
	readers []reader
	// lost says that a constant comes from more tensors than it remembers.
	lost bool
}

func (t *tensor) size() int { return dag.Size(t.dims) }

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

func newFloats(typ dag.DType, dims []int, v []float64) *tensor {
	return &tensor{dims: dims, typ: typ, floats: v}
}

func newInts(dims []int, v []int64) *tensor { return &tensor{dims: dims, kind: integer, ints: v} }

// read decodes the numbers and marks the stored tensor as read for them.
func (t *tensor) read() error {
	if t.stored != nil {
		t.stored.fixed = true
	}
	return t.load()
}

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

// permuted returns v, of the given dims, with its axes permuted.
func permuted[T any](v []T, dims, perm []int) []T {
	out := make([]T, len(v))
	for i, j := range permutation(dims, perm) {
		out[i] = v[j]
	}
	return out
}

// permutation lists, for each element of the permuted value, its place in the
// original.
func permutation(dims, perm []int) []int32 {
	stride := strides(dims)
	shape, step := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], step[i] = dims[p], stride[p]
	}
	return offsets(shape, step)
}

// strides returns the row-major strides of a shape.
func strides(dims []int) []int {
	out := make([]int, len(dims))
	s := 1
	for i := len(dims) - 1; i >= 0; i-- {
		out[i] = s
		s *= dims[i]
	}
	return out
}

// offsets lists the offsets of a shape's elements, in row-major order, under the given
// strides.
func offsets(shape, step []int) []int32 {
	out := make([]int32, dag.Size(shape))
	if len(shape) == 0 {
		return out
	}
	last := len(shape) - 1
	at := make([]int, last)
	offset := 0
	for rest := out; len(rest) > 0; {
		line := rest[:shape[last]]
		rest = rest[len(line):]
		for i, j := 0, offset; i < len(line); i, j = i+1, j+step[last] {
			line[i] = int32(j)
		}
		for d := last - 1; d >= 0; d-- {
			at[d]++
			offset += step[d]
			if at[d] < shape[d] {
				break
			}
			offset -= at[d] * step[d]
			at[d] = 0
		}
	}
	return out
}

// broadcastDims returns the shape of an elementwise operation, or an error; the
// shape fits.
func broadcastDims(a, b []int) ([]int, error) {
	n := max(len(a), len(b))
	out := make([]int, n)
	for i := range n {
		x, y := 1, 1
		if k := len(a) - n + i; k >= 0 {
			x = a[k]
		}
		if k := len(b) - n + i; k >= 0 {
			y = b[k]
		}
		switch {
		case x == y || y == 1:
			out[i] = x
		case x == 1:
			out[i] = y
		default:
			return nil, fmt.Errorf("shapes %s and %s do not broadcast", dimString(a), dimString(b))
		}
	}
	if k := slices.Index(out, batchDim); k >= 0 && slices.Contains(out[k+1:], batchDim) {
		return nil, fmt.Errorf("shapes %s and %s have the batch at different axes", dimString(a), dimString(b))
	}
	if !fits(out) {
		return nil, fmt.Errorf("shapes %s and %s make too many elements", dimString(a), dimString(b))
	}
	return out, nil
}

// broadcastIndex lists, for each element of shape, the element of a tensor of
// dims that broadcasting pairs with it.
func broadcastIndex(dims, shape []int) []int32 { return offsets(shape, broadcastSteps(dims, shape)) }

// broadcastSteps returns the strides under which a tensor of dims broadcasts to shape.
func broadcastSteps(dims, shape []int) []int {
	step := make([]int, len(shape))
	stride := strides(dims)
	for i, d := range dims {
		if d != 1 {
			step[len(shape)-len(dims)+i] = stride[i]
		}
	}
	return step
}

func dimString(dims []int) string {
	s := make([]string, len(dims))
	for i, d := range dims {
		s[i] = fmt.Sprint(d)
		if d == batchDim {
			s[i] = "batch"
		}
	}
	return fmt.Sprint(s)
}

// asParam returns the Param over the stored values, the same at every call.
func (s *storedTensor) asParam() (*dag.Param, error) {
	if s.param != nil {
		return s.param, nil
	}
	t := s.wire
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int(d)
	}
	switch t.DType {
	case wire.Float32:
		v, _, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		s.param = dag.NewParam32(s.name, dag.Float32, dims, v)
	case wire.Float64:
		v, _, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		s.param = dag.NewParam64(s.name, dims, v)
	case wire.Float16, wire.BFloat16:
		bits, err := t.Halves()
		if err != nil {
			return nil, err
		}
		v := make([]float32, len(bits))
		typ, widen := dag.Float16, dag.Float16ToFloat32
		if t.DType == wire.BFloat16 {
			typ, widen = dag.BFloat16, dag.BFloat16ToFloat32
		}
		for i, b := range bits {
			v[i] = widen(b)
		}
		s.param = dag.NewParam32(s.name, typ, dims, v)
	default:
		return nil, refuse("store the weights as float32 or float64", "weight %q is %v", s.name, t.DType)
	}
	if s.hidden {
		s.param.Storage, s.param.Reason = dag.Unwritable, "it is a constant inside a local function or a subgraph"
	}
	s.param.Ref = s
	return s.param, nil
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
