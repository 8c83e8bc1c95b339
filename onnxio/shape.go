package onnxio

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// maxElements bounds a value of one sample, so that a few bytes of a file
// cannot ask for any amount of memory.
const maxElements = 1 << 26

// batchDim stands for the batch size in integer constants computed from
// shapes, and in the shapes of values. No ONNX dimension is negative.
const batchDim = math.MinInt64 + 77

// batchFactor returns k where x is k times the batch size, else 0.
func batchFactor(x int64) int {
	if x < batchDim || x >= batchDim+maxBatches {
		return 0
	}
	return int(x-batchDim) + 1
}

// fits reports whether a value of the full shape may be made: see maxElements.
func fits(shape []int) bool {
	n := 1
	for _, d := range shape {
		switch {
		case d == batchDim:
		case d == 0:
			return true
		case d > maxElements/n:
			return false
		default:
			n *= d
		}
	}
	return true
}

// sampleShape returns a full shape without its batch axis.
func sampleShape(shape []int) []int {
	out := make([]int, 0, len(shape))
	for _, d := range shape {
		if d != batchDim {
			out = append(out, d)
		}
	}
	return out
}

// sampleAxis returns the axis of the sample shape that axis a of the full
// shape is.
func sampleAxis(shape []int, a int) int {
	if b := slices.Index(shape, batchDim); b >= 0 && b < a {
		return a - 1
	}
	return a
}

// around returns the elements of the sample before, along and behind axis a of
// the full shape.
func around(shape []int, a int) dag.Axis {
	return dag.Axis{Outer: dag.Size(sampleShape(shape[:a])), N: shape[a], Inner: dag.Size(sampleShape(shape[a+1:]))}
}

// axisOf resolves a possibly negative axis.
func axisOf(a int64, rank int) (int, error) {
	if a < 0 {
		a += int64(rank)
	}
	if a < 0 || a >= int64(rank) {
		return 0, refuse("", "axis %d is outside rank %d", a, rank)
	}
	return int(a), nil
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

// dimString writes a shape; batch stands for the batch axis.
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

// singles is the shape of one sample.
func singles(shape []int) []int {
	out := make([]int, len(shape))
	for i, d := range shape {
		out[i] = single(d)
	}
	return out
}

// single is an extent of one sample.
func single(d int) int {
	if d == batchDim {
		return 1
	}
	return d
}

// padded puts axes of extent 1 in front.
func padded(dims []int, rank int) []int {
	return slices.Concat(slices.Repeat([]int{1}, rank-len(dims)), dims)
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

// alignBatch returns a constant's dims with the batch axis of shape, where it
// has extent 1, marked as such.
func alignBatch(t *tensor, shape []int) []int {
	b := slices.Index(shape, batchDim)
	if b < 0 {
		return t.dims
	}
	k := len(t.dims) - len(shape) + b
	if k < 0 || t.dims[k] != 1 {
		return t.dims
	}
	dims := slices.Clone(t.dims)
	dims[k] = batchDim
	return dims
}

// batches is k times the batch size, as an integer constant that is computed from it;
// k is below maxBatches.
func batches(k int) int64 { return batchDim + int64(k) - 1 }

const maxBatches = maxElements
