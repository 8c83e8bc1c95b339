package grid

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
)

// Select returns the layout of a value of the given shape whose element e is
// element index[e] of l, seen under the shape from, or zero where that is -1; the
// origin of a cell of zeros is -1.
//
// Where each axis of the result moves along axes of the operand of its own, as in
// a transpose, a slice, a permutation of channels, or padding, its classes follow
// from the operand's. Any other index is compared element by element.
func (l *Layout) Select(from, shape []int, index []int32) (*Layout, []int32) {
	if dag.Size(shape) != len(index) {
		shape = []int{len(index)}
	}
	if len(index) == 0 {
		return Uniform(shape...), []int32{}
	}
	if l.Cells() == 1 && slices.Min(index) >= 0 {
		return Uniform(shape...), []int32{0}
	}
	if dag.Size(from) == l.Len() && !slices.Equal(from, l.Dims) {
		seen, again := l.As(from...)
		out, origin := seen.Select(from, shape, index)
		if origin == nil {
			return out, again
		}
		return out, Then(again, origin)
	}
	if out, from := l.separable(shape, index); out != nil {
		return out, from
	}
	ids := lists.Count[int32](0, l.Cells())
	flat := make([]int32, len(index))
	all := Expand(l, ids)
	for e, j := range index {
		if flat[e] = -1; j >= 0 {
			flat[e] = all[j]
		}
	}
	return Compress(flat, shape)
}

// separable is Select where index[e] is a sum of one number for each axis; nil
// elsewhere.
func (l *Layout) separable(shape []int, index []int32) (*Layout, []int32) {
	ref := slices.IndexFunc(index, func(j int32) bool { return j >= 0 })
	if ref < 0 {
		return Uniform(shape...), []int32{-1}
	}
	at := make([]int, len(shape)) // the coordinates of ref
	for k, e := len(shape)-1, ref; k >= 0; k-- {
		at[k] = e % shape[k]
		e /= shape[k]
	}
	// lines[k][i] is the index that coordinate i of axis k has in the line of ref.
	lines := make([][]int32, len(shape))
	for k, stride := len(shape)-1, 1; k >= 0; k-- {
		if shape[k] == len(index) {
			lines[k] = index
		} else {
			lines[k] = make([]int32, shape[k])
			for i := range lines[k] {
				lines[k][i] = index[ref+(i-at[k])*stride]
			}
		}
		stride *= shape[k]
	}
	if !sums(index, shape, lines, index[ref]) {
		return nil, nil
	}
	origin, c := make([]int, len(l.Dims)), make([]int, len(l.Dims))
	l.coordinates(origin, int(index[ref]))
	owner := slices.Repeat([]int{-1}, len(l.Dims)) // the axis of the result that moves along it
	for k, line := range lines {
		for _, j := range line {
			if j < 0 {
				continue
			}
			l.coordinates(c, int(j))
			for q := range c {
				if c[q] == origin[q] {
					continue
				}
				if owner[q] >= 0 && owner[q] != k {
					return nil, nil
				}
				owner[q] = k
			}
		}
	}
	out := &Layout{Dims: slices.Clone(shape)}
	first := make([][]int32, len(shape)) // by axis and class: an index of it; -1 is padding
	number := newNumbers(l.Cells(), len(index))
	for k, line := range lines {
		if len(line) == 1 {
			first[k] = line
			out.axes = append(out.axes, identity(1))
			continue
		}
		class := make([]int32, shape[k])
		number.reset()
		for i, j := range line {
			cell := -1
			if j >= 0 {
				cell = l.Cell(int(j))
			}
			id, seen := number.of(cell)
			if !seen {
				first[k] = append(first[k], j)
			}
			class[i] = id
		}
		out.axes = append(out.axes, numbered(class, len(first[k])))
	}
	strides := l.strides()
	base := int32(0) // of the axes that nothing moves along
	for q, k := range owner {
		if k < 0 {
			base += int32(strides[q] * l.axes[q].at(origin[q]))
		}
	}
	parts := [][]int32{{base}}
	for k, list := range first {
		part := make([]int32, len(list))
		for class, j := range list {
			if j < 0 {
				part[class] = -1
				continue
			}
			l.coordinates(c, int(j))
			for q, o := range owner {
				if o == k {
					part[class] += int32(strides[q] * l.axes[q].at(c[q]))
				}
			}
		}
		parts = append(parts, part)
	}
	return out, sumsOf(parts)
}

// numbers numbers cells, and padding, which is -1, as they come: in a list where that takes no more
// than what asks for them.
type numbers struct {
	n    int32
	list []int32 // from 1 on; 0 for none
	rest map[int]int32
}

func newNumbers(cells, asked int) *numbers {
	if cells <= asked {
		return &numbers{list: make([]int32, 1+cells)}
	}
	return &numbers{rest: map[int]int32{}}
}

func (n *numbers) reset() {
	n.n = 0
	clear(n.list)
	clear(n.rest)
}

func (n *numbers) of(cell int) (id int32, seen bool) {
	if n.list != nil {
		id = n.list[1+cell]
	} else {
		id = n.rest[cell]
	}
	if id > 0 {
		return id - 1, true
	}
	if n.n++; n.list != nil {
		n.list[1+cell] = n.n
	} else {
		n.rest[cell] = n.n
	}
	return n.n - 1, false
}

// coordinates writes those of element e to c.
func (l *Layout) coordinates(c []int, e int) {
	for k := len(c) - 1; k >= 0; k-- {
		c[k] = e % l.Dims[k]
		e /= l.Dims[k]
	}
}

// sums reports whether index[e] = ref + sum_k (lines[k][e_k] - ref), and -1 exactly
// where one of the lines has it.
func sums(index []int32, shape []int, lines [][]int32, ref int32) bool {
	var walk func(k, e int, sum int32, padded bool) bool
	last := len(shape) - 1
	if last < 0 {
		return index[0] == ref
	}
	walk = func(k, e int, sum int32, padded bool) bool {
		if k == last {
			for i, x := range lines[k] {
				want := sum + x - ref
				if padded || x < 0 {
					want = -1
				}
				if index[e+i] != want {
					return false
				}
			}
			return true
		}
		stride := dag.Size(shape[k+1:])
		for i, x := range lines[k] {
			if !walk(k+1, e+i*stride, sum+x-ref, padded || x < 0) {
				return false
			}
		}
		return true
	}
	return walk(0, 0, ref, false)
}
