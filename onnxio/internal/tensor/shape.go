package tensor

import (
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/refusal"
)

// MaxElements bounds a value of one sample, so that a few bytes of a file
// cannot ask for any amount of memory.
const MaxElements = 1 << 26

// BatchDim stands for the batch size in integer constants computed from
// shapes, and in the shapes of values. No ONNX dimension is negative.
const BatchDim = math.MinInt64 + 77

// BatchFactor returns k where x is k times the batch size, else 0.
func BatchFactor(x int64) int {
	if x < BatchDim || x >= BatchDim+MaxBatches {
		return 0
	}
	return int(x-BatchDim) + 1
}

// Fits reports whether a value of the full shape may be made: see MaxElements.
func Fits(shape []int) bool {
	n := 1
	for _, d := range shape {
		switch {
		case d == BatchDim:
		case d == 0:
			return true
		case d > MaxElements/n:
			return false
		default:
			n *= d
		}
	}
	return true
}

// SampleShape returns a full shape without its batch axis.
func SampleShape(shape []int) []int {
	out := make([]int, 0, len(shape))
	for _, d := range shape {
		if d != BatchDim {
			out = append(out, d)
		}
	}
	return out
}

// SampleAxis returns the axis of the sample shape that axis a of the full
// shape is.
func SampleAxis(shape []int, a int) int {
	if b := slices.Index(shape, BatchDim); b >= 0 && b < a {
		return a - 1
	}
	return a
}

// Around returns the elements of the sample before, along and behind axis a of
// the full shape.
func Around(shape []int, a int) dag.Axis {
	return dag.Axis{Outer: dag.Size(SampleShape(shape[:a])), N: shape[a], Inner: dag.Size(SampleShape(shape[a+1:]))}
}

// AxisOf resolves a possibly negative axis.
func AxisOf(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, refusal.New("", "axis %d is outside rank %d", a, rank)
	}
	return int(a), nil
}

// BroadcastDims returns the shape of an elementwise operation, or an error; the
// shape fits.
func BroadcastDims(a, b []int) ([]int, error) {
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
			return nil, fmt.Errorf("shapes %s and %s do not broadcast", DimString(a), DimString(b))
		}
	}
	if k := slices.Index(out, BatchDim); k >= 0 && slices.Contains(out[k+1:], BatchDim) {
		return nil, fmt.Errorf("shapes %s and %s have the batch at different axes", DimString(a), DimString(b))
	}
	if !Fits(out) {
		return nil, fmt.Errorf("shapes %s and %s make too many elements", DimString(a), DimString(b))
	}
	return out, nil
}

// BroadcastIndex lists, for each element of shape, the element of a tensor of
// dims that broadcasting pairs with it.
func BroadcastIndex(dims, shape []int) []int32 { return Offsets(shape, BroadcastSteps(dims, shape)) }

// Lines are the elements of a shape, line by line along its last axis, as those of two tensors
// that broadcast to it: a line has N, of which the next is StepA and StepB further.
type Lines struct {
	N, StepA, StepB int
	shape           []int // of the lines
	stepA, stepB    []int
}

// BroadcastLines are those of tensors of dims a and b.
func BroadcastLines(a, b, shape []int) Lines {
	l := Lines{1, 0, 0, shape, BroadcastSteps(a, shape), BroadcastSteps(b, shape)}
	for last := len(shape) - 1; last >= 0 && l.N == 1; last-- {
		l.N, l.StepA, l.StepB = shape[last], l.stepA[last], l.stepB[last]
		l.shape = shape[:last]
	}
	return l
}

// Starts yields the places at which the lines begin.
func (l *Lines) Starts() iter.Seq2[int, int] {
	return func(yield func(i, j int) bool) {
		at, i, j := make([]int, len(l.shape)), 0, 0
		for range dag.Size(l.shape) {
			if !yield(i, j) {
				return
			}
			for d := len(l.shape) - 1; d >= 0; d-- {
				at[d]++
				i, j = i+l.stepA[d], j+l.stepB[d]
				if at[d] < l.shape[d] {
					break
				}
				i, j = i-at[d]*l.stepA[d], j-at[d]*l.stepB[d]
				at[d] = 0
			}
		}
	}
}

// BroadcastSteps returns the strides under which a tensor of dims broadcasts to shape.
func BroadcastSteps(dims, shape []int) []int {
	step := make([]int, len(shape))
	stride := Strides(dims)
	for i, d := range dims {
		if d != 1 {
			step[len(shape)-len(dims)+i] = stride[i]
		}
	}
	return step
}

// DimString writes a shape; batch stands for the batch axis.
func DimString(dims []int) string {
	s := make([]string, len(dims))
	for i, d := range dims {
		s[i] = fmt.Sprint(d)
		if d == BatchDim {
			s[i] = "batch"
		}
	}
	return fmt.Sprint(s)
}

// Singles is the shape of one sample.
func Singles(shape []int) []int {
	return lists.Map(shape, Single)
}

// Single is an extent of one sample.
func Single(d int) int {
	if d == BatchDim {
		return 1
	}
	return d
}

// Padded puts axes of extent 1 in front.
func Padded(dims []int, rank int) []int {
	return slices.Concat(slices.Repeat([]int{1}, rank-len(dims)), dims)
}

// Strides returns the row-major strides of a shape.
func Strides(dims []int) []int {
	out := make([]int, len(dims))
	s := 1
	for i := len(dims) - 1; i >= 0; i-- {
		out[i] = s
		s *= dims[i]
	}
	return out
}

// Offsets lists the offsets of a shape's elements, in row-major order, under the given
// strides.
func Offsets(shape, step []int) []int32 {
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

// Permuted returns v, of the given dims, with its axes permuted.
func Permuted[T any](v []T, dims, perm []int) []T {
	return picked(v, Permutation(dims, perm))
}

// Permutation lists, for each element of the permuted value, its place in the
// original.
func Permutation(dims, perm []int) []int32 {
	stride := Strides(dims)
	shape, step := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], step[i] = dims[p], stride[p]
	}
	return Offsets(shape, step)
}

// AlignBatch returns a constant's dims with the batch axis of shape, where it
// has extent 1, marked as such.
func AlignBatch(t *Tensor, shape []int) []int {
	b := slices.Index(shape, BatchDim)
	if b < 0 {
		return t.Dims
	}
	k := len(t.Dims) - len(shape) + b
	if k < 0 || t.Dims[k] != 1 {
		return t.Dims
	}
	dims := slices.Clone(t.Dims)
	dims[k] = BatchDim
	return dims
}

// Batches is k times the batch size, as an integer constant that is computed from it;
// k is below MaxBatches.
func Batches(k int) int64 { return BatchDim + int64(k) - 1 }

// MaxBatches bounds how many times the batch size a constant can be.
const MaxBatches = MaxElements
