// Package grid describes values of which most elements agree.
//
// Path vectors start from ones, and a window treats all positions alike but those
// near a border. So a channel's elements are equal along most of its lines and
// columns, in every layer of a convolutional network. A Layout says which: each
// axis of a value's shape has classes of coordinates, and elements agree whose
// coordinates have the same classes. Programmes carry one number for each
// combination of classes, a cell, through every operator; nothing is compared to
// find out that it is equal.
package grid

import (
	"hash/maphash"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
)

// Layout says which elements of a value agree.
type Layout struct {
	// Dims is the value's shape for one sample; its axes need not be those of
	// the node, only their product.
	Dims []int

	axes []axis
}

// axis has the class of each coordinate; a nil list has one a coordinate, and zeros is that of one
// class.
type axis struct {
	class []int32
	n     int
}

// zeros stands for a list of zeros, which may be of millions.
var zeros = []int32{}

func (a axis) at(i int) int {
	switch {
	case a.class == nil:
		return i
	case a.n == 1:
		return 0
	}
	return int(a.class[i])
}

func identity(n int) axis { return axis{nil, n} }

func single(n int) axis {
	if n == 1 {
		return identity(1)
	}
	return axis{zeros, min(n, 1)}
}

// numbered is the axis of classes that are numbered as they come.
func numbered(class []int32, n int) axis {
	switch {
	case n == len(class):
		return identity(n)
	case n == 1:
		return single(len(class))
	}
	return axis{class, n}
}

// Uniform returns the layout of a value whose elements all agree.
func Uniform(dims ...int) *Layout {
	l := &Layout{Dims: dims}
	for _, d := range dims {
		l.axes = append(l.axes, single(d))
	}
	return l
}

// Cells returns the number of cells.
func (l *Layout) Cells() int {
	n := 1
	for _, a := range l.axes {
		n *= a.n
	}
	return n
}

// Classes returns the number of classes of an axis.
func (l *Layout) Classes(axis int) int { return l.axes[axis].n }

// Class returns the class of a coordinate of an axis.
func (l *Layout) Class(axis, i int) int { return l.axes[axis].at(i) }

// Len returns the number of elements.
func (l *Layout) Len() int { return dag.Size(l.Dims) }

// Cell returns the cell of element e.
func (l *Layout) Cell(e int) int {
	cell, stride := 0, 1
	for a := len(l.Dims) - 1; a >= 0; a-- {
		cell += stride * l.axes[a].at(e%l.Dims[a])
		stride *= l.axes[a].n
		e /= l.Dims[a]
	}
	return cell
}

// Counts returns the number of elements of each cell.
func (l *Layout) Counts() []int64 {
	out := []int64{1}
	for k, a := range l.axes {
		by := l.Sizes(k)
		next := make([]int64, 0, len(out)*a.n)
		for _, x := range out {
			for _, y := range by {
				next = append(next, x*y)
			}
		}
		out = next
	}
	return out
}

// Expand returns one number an element from one a cell. It may return v itself.
func Expand[T any](l *Layout, v []T) []T {
	if l.full() {
		return v
	}
	out := make([]T, 0, l.Len())
	var walk func(k, cell int)
	walk = func(k, cell int) {
		if k == len(l.axes) {
			out = append(out, v[cell])
			return
		}
		a := l.axes[k]
		for i := range l.Dims[k] {
			walk(k+1, cell*a.n+a.at(i))
		}
	}
	walk(0, 0)
	return out
}

// full reports whether every element is a cell of its own, in order.
func (l *Layout) full() bool {
	return !slices.ContainsFunc(l.axes, func(a axis) bool { return a.class != nil })
}

// Gather returns the numbers of cells after a step, from those before: from is
// what the step returned, nil where every cell kept its place; -1 gives the zero
// T.
func Gather[T any](v []T, from []int32) []T {
	if from == nil {
		return v
	}
	out := make([]T, len(from))
	for i, j := range from {
		if j >= 0 {
			out[i] = v[j]
		}
	}
	return out
}

// Replace returns the layout with an axis of n coordinates, each a class, in place
// of axis k.
func (l *Layout) Replace(k, n int) *Layout {
	out := &Layout{Dims: slices.Clone(l.Dims), axes: slices.Clone(l.axes)}
	out.Dims[k], out.axes[k] = n, identity(n)
	return out
}

// Lead returns the layout with n coordinates that agree before its own.
func (l *Layout) Lead(n int) *Layout { return l.Repeat(0, make([]int32, n), 1) }

// Spread gives every coordinate of an axis a class of its own.
func (l *Layout) Spread(k int) (*Layout, []int32) {
	if l.axes[k].class == nil {
		return l, nil
	}
	out := &Layout{Dims: l.Dims, axes: slices.Clone(l.axes)}
	out.axes[k] = identity(l.Dims[k])
	strides := l.strides()
	parts := make([][]int32, len(l.axes))
	for q, a := range out.axes {
		parts[q] = make([]int32, a.n)
		for c := range parts[q] {
			class := c
			if q == k {
				class = l.axes[k].at(c)
			}
			parts[q][c] = int32(strides[q] * class)
		}
	}
	return out, sumsOf(parts)
}

// strides are the distances of neighbouring classes among the cells, by axis.
func (l *Layout) strides() []int {
	out := make([]int, len(l.axes))
	n := 1
	for k := len(out) - 1; k >= 0; k-- {
		out[k] = n
		n *= l.axes[k].n
	}
	return out
}

// sumsOf lists the sums of one number of each part, the last part's fastest; -1
// where one is negative.
func sumsOf(parts [][]int32) []int32 {
	out := []int32{0}
	for _, p := range parts {
		next := make([]int32, 0, len(out)*len(p))
		for _, x := range out {
			for _, y := range p {
				if x < 0 || y < 0 {
					next = append(next, -1)
				} else {
					next = append(next, x+y)
				}
			}
		}
		out = next
	}
	return out
}

// cell is the number of the cell with the given class of each axis.
func (l *Layout) cell(class func(axis int) int) int {
	c := 0
	for k, a := range l.axes {
		c = c*a.n + class(k)
	}
	return c
}

// cells calls f with the classes of every cell in order, for what it came from.
func (l *Layout) cells(f func(class []int) int) []int32 {
	out := make([]int32, 0, l.Cells())
	class := make([]int, len(l.axes))
	for range l.Cells() {
		out = append(out, int32(f(class)))
		for k := len(class) - 1; k >= 0; k-- {
			if class[k]++; class[k] < l.axes[k].n {
				break
			}
			class[k] = 0
		}
	}
	return out
}

// As returns the same value under another shape with as many elements.
func (l *Layout) As(dims ...int) (*Layout, []int32) {
	if slices.Equal(l.Dims, dims) {
		return l, nil
	}
	if l.Len() == 0 {
		return Uniform(dims...), []int32{}
	}
	out := &Layout{Dims: slices.Clone(dims)}
	var parts []part
	same := true
	for i, k := 0, 0; i < len(l.Dims) || k < len(dims); {
		// The fewest axes of both that span the same elements.
		i0, k0, before, after := i, k, 1, 1
		for first := true; first || before != after; first = false {
			if before <= after && i < len(l.Dims) {
				before *= l.Dims[i]
				i++
			}
			if after < before && k < len(dims) {
				after *= dims[k]
				k++
			}
			if before == after && (i < len(l.Dims) && l.Dims[i] == 1 || k < len(dims) && dims[k] == 1) {
				for ; i < len(l.Dims) && l.Dims[i] == 1; i++ {
				}
				for ; k < len(dims) && dims[k] == 1; k++ {
				}
			}
		}
		p := recast(&Layout{Dims: l.Dims[i0:i], axes: l.axes[i0:i]}, dims[k0:k])
		out.axes = append(out.axes, p.axes...)
		same = same && p.from == nil
		parts = append(parts, p)
	}
	if same {
		return out, nil
	}
	return out, combine(parts)
}

// part is what became of some neighbouring axes: the new ones, and for each of
// their cells the one it came from, of cells.
type part struct {
	axes  []axis
	from  []int32
	cells int
}

// recast gives some axes another shape.
func recast(l *Layout, dims []int) part {
	p := part{cells: l.Cells()}
	if len(dims) == len(l.Dims) && slices.Equal(dims, l.Dims) {
		p.axes = l.axes
		return p
	}
	if p.cells == 1 {
		p.axes = Uniform(dims...).axes
		return p
	}
	ids := lists.Count[int32](0, l.Cells())
	flat := Expand(l, ids)
	if len(dims) == 1 {
		p.axes = []axis{{flat, p.cells}}
		if l.full() {
			p.axes[0] = identity(dims[0])
		}
		return p
	}
	q, from := Compress(flat, dims)
	p.axes, p.from = q.axes, from
	return p
}

// combine joins the origins of parts that lie side by side.
func combine(parts []part) []int32 {
	out := []int32{0}
	for _, p := range parts {
		from := p.from
		if from == nil {
			from = lists.Count[int32](0, p.cells)
		}
		next := make([]int32, 0, len(out)*len(from))
		for _, x := range out {
			for _, y := range from {
				if x < 0 || y < 0 {
					next = append(next, -1)
				} else {
					next = append(next, x*int32(p.cells)+y)
				}
			}
		}
		out = next
	}
	return out
}

// Compress finds the classes of each axis of a value that has a number an element:
// coordinates with equal slices are one class. It returns the numbers of the cells.
func Compress(flat []int32, dims []int) (*Layout, []int32) {
	l := &Layout{Dims: slices.Clone(dims)}
	rep := make([][]int32, len(dims)) // the first coordinate of each class
	inner := len(flat)
	for k, d := range dims {
		inner /= d
		var a axis
		switch {
		case d == 1:
			a, rep[k] = identity(1), []int32{0}
		case d == len(flat):
			a, rep[k] = byNumber(flat)
		default:
			a, rep[k] = bySlice(flat, len(flat)/(inner*d), d, inner)
		}
		l.axes = append(l.axes, a)
	}
	return l, l.cells(func(class []int) int {
		e := 0
		for k, d := range dims {
			e = e*d + int(rep[k][class[k]])
		}
		return int(flat[e])
	})
}

// byNumber is the axis of coordinates with a number each, -1 or more, and the first of each class.
func byNumber(flat []int32) (axis, []int32) {
	var rep []int32
	class := make([]int32, len(flat))
	number := newNumbers(int(slices.Max(flat))+1, len(flat))
	for i, x := range flat {
		id, seen := number.of(int(x))
		if !seen {
			rep = append(rep, int32(i))
		}
		class[i] = id
	}
	return numbered(class, len(rep)), rep
}

// bySlice is the middle axis of outer x d x inner numbers, and the first coordinate of each class.
func bySlice(flat []int32, outer, d, inner int) (axis, []int32) {
	var rep []int32
	class := make([]int32, d)
	seen := map[uint64]int32{} // the last class with a hash, from 1 on
	var before []int32         // the one before it, by class
	var h maphash.Hash
	h.SetSeed(maphash.MakeSeed())
coordinates:
	for i := range d {
		h.Reset()
		for o := range outer {
			maphash.WriteComparable(&h, digest(flat[(o*d+i)*inner:][:inner]))
		}
		sum := h.Sum64()
		for c := seen[sum]; c > 0; c = before[c-1] {
			if equal(flat, int(rep[c-1]), i, outer, d, inner) {
				class[i] = c - 1
				continue coordinates
			}
		}
		class[i] = int32(len(rep))
		rep, before = append(rep, int32(i)), append(before, seen[sum])
		seen[sum] = int32(len(rep))
	}
	return numbered(class, len(rep)), rep
}

// digest mixes the numbers of a slice (FNV-1a).
func digest(s []int32) uint64 {
	h := uint64(14695981039346656037)
	for _, x := range s {
		h = (h ^ uint64(uint32(x))) * 1099511628211
	}
	return h
}

func equal(flat []int32, i, j, outer, d, inner int) bool {
	for o := range outer {
		if !slices.Equal(flat[(o*d+i)*inner:][:inner], flat[(o*d+j)*inner:][:inner]) {
			return false
		}
	}
	return true
}

// Axis returns the value with the units of an axis (outer x n x inner elements) as
// an axis of its own, numbered k.
func (l *Layout) Axis(outer, n, inner int) (out *Layout, k int, from []int32) {
	before := 1
	for k, d := range l.Dims {
		if before == outer && d == n {
			return l, k, nil
		}
		before *= d
	}
	out, from = l.As(outer, n, inner)
	return out, 1, from
}

// Units is Axis with a class for each unit.
func (l *Layout) Units(outer, n, inner int) (out *Layout, k int, from []int32) {
	out, k, from = l.Axis(outer, n, inner)
	out, again := out.Spread(k)
	return out, k, Then(from, again)
}

// Fold returns the layout without axis k, and for each of its cells those that
// had the same other classes, one for each class of k.
func (l *Layout) Fold(k int) (out *Layout, of [][]int32) {
	out = &Layout{Dims: slices.Delete(slices.Clone(l.Dims), k, k+1), axes: slices.Delete(slices.Clone(l.axes), k, k+1)}
	out.cells(func(class []int) int {
		list := make([]int32, 0, l.axes[k].n)
		for c := range l.axes[k].n {
			list = append(list, int32(l.cell(func(q int) int {
				switch {
				case q < k:
					return class[q]
				case q == k:
					return c
				}
				return class[q-1]
			})))
		}
		of = append(of, list)
		return 0
	})
	return out, of
}

// Sizes returns the number of coordinates of each class of an axis.
func (l *Layout) Sizes(k int) []int64 {
	out := make([]int64, l.axes[k].n)
	for i := range l.Dims[k] {
		out[l.axes[k].at(i)]++
	}
	return out
}

// Repeat returns the layout with an axis of n coordinates before its own axis k,
// whose classes are given.
func (l *Layout) Repeat(k int, class []int32, classes int) *Layout {
	a := axis{class, classes}
	if classes == 1 {
		a = single(len(class))
	}
	return &Layout{Dims: slices.Insert(slices.Clone(l.Dims), k, len(class)), axes: slices.Insert(slices.Clone(l.axes), k, a)}
}

// Then returns the origin of cells after two steps.
func Then(first, second []int32) []int32 {
	if second == nil {
		return first
	}
	if first == nil {
		return second
	}
	out := make([]int32, len(second))
	for i, j := range second {
		if out[i] = -1; j >= 0 {
			out[i] = first[j]
		}
	}
	return out
}
