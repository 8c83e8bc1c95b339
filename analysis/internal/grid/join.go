package grid

import (
	"encoding/binary"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
)

// Join returns a layout in which each cell lies in one cell of every operand, and
// the origins of its cells in each.
func Join(ls ...*Layout) (*Layout, [][]int32) {
	from := make([][]int32, len(ls))
	cast := make([]*Layout, len(ls))
	for i, l := range ls {
		cast[i], from[i] = l.As(ls[0].Dims...)
	}
	out := &Layout{Dims: ls[0].Dims}
	parts := make([][][]int32, len(ls)) // by operand and axis: where each class lies
	for k, d := range out.Dims {
		a, of := meet(cast, k, d)
		out.axes = append(out.axes, a)
		for i, l := range cast {
			parts[i] = append(parts[i], l.offsets(k, of[i]))
		}
	}
	for i, l := range cast {
		if !sameAxes(l.axes, out.axes) {
			from[i] = Then(from[i], sumsOf(parts[i]))
		}
	}
	return out, from
}

// offsets are how far classes of axis k lie from the first cell.
func (l *Layout) offsets(k int, classes []int32) []int32 {
	stride := int32(l.strides()[k])
	return lists.Map(classes, func(class int32) int32 { return stride * class })
}

func sameAxes(a, b []axis) bool {
	for k := range a {
		if a[k].n != b[k].n || !slices.Equal(a[k].class, b[k].class) {
			return false
		}
	}
	return true
}

// meet returns the classes of an axis in which coordinates agree that agree in all
// layouts, and for each layout the class there of each.
func meet(ls []*Layout, k, d int) (axis, [][]int32) {
	of := make([][]int32, len(ls))
	// Mostly one layout is as fine as all others.
	finest := ls[0].axes[k]
	for _, l := range ls {
		if l.axes[k].n > finest.n {
			finest = l.axes[k]
		}
	}
	fits := true
	for i, l := range ls {
		of[i] = make([]int32, finest.n)
		switch a := l.axes[k]; {
		case a.n == 1:
		case a.n == finest.n && slices.Equal(a.class, finest.class) || finest.class == nil:
			for c := range of[i] {
				if of[i][c] = int32(c); finest.class == nil {
					of[i][c] = int32(a.at(c))
				}
			}
		default:
			fits = false
		}
	}
	if fits {
		return finest, of
	}
	number := map[string]int32{}
	a := axis{make([]int32, d), 0}
	clear(of)
	key := make([]byte, 0, 4*len(ls))
	for i := range d {
		key = key[:0]
		for _, l := range ls {
			key = binary.LittleEndian.AppendUint32(key, uint32(l.axes[k].at(i)))
		}
		c, ok := number[string(key)]
		if !ok {
			c = int32(a.n)
			number[string(key)] = c
			for q, l := range ls {
				of[q] = append(of[q], int32(l.axes[k].at(i)))
			}
			a.n++
		}
		a.class[i] = c
	}
	return numbered(a.class, a.n), of
}

// Run says where some neighbouring cells come from: n blocks, one of Of[0],
// Of[1] ... each, a stride further on in every block. The zero Of is n cells in
// order.
type Run struct {
	Of        []int32
	N, Stride int
}

// Len returns the number of cells.
func (r Run) Len() int {
	if r.Of == nil {
		return r.N
	}
	return r.N * len(r.Of)
}

// Append appends the numbers of the cells of r, which come from v.
func Append[T any](dst, v []T, r Run) []T {
	if r.Of == nil {
		return append(dst, v[:r.N]...)
	}
	for k := range r.N {
		block := v[k*r.Stride:]
		for _, i := range r.Of {
			dst = append(dst, block[i])
		}
	}
	return dst
}

// alike returns layouts whose axes but the first are the same: those of one of them
// where they divide all, else none.
func alike(ls []*Layout) (out []*Layout, origin [][]int32) {
	var rest []int
	for _, l := range ls {
		if len(l.Dims) > len(rest)+1 {
			rest = l.Dims[1:]
		}
	}
	if n := dag.Size(rest); slices.ContainsFunc(ls, func(l *Layout) bool { return n == 0 || l.Len()%n != 0 }) {
		rest = nil
	}
	out, origin = make([]*Layout, len(ls)), make([][]int32, len(ls))
	for i, l := range ls {
		out[i], origin[i] = l.As(append([]int{l.Len() / dag.Size(rest)}, rest...)...)
	}
	return out, origin
}

// Concat strings values together, one after the other. The cells are those of each
// operand in turn, by its Run.
func Concat(ls ...*Layout) (out *Layout, from []Run) {
	ls, origin := alike(ls)
	out = &Layout{Dims: slices.Clone(ls[0].Dims)}
	rest := make([][][]int32, len(ls))           // by operand and axis but the first
	same := slices.Repeat([]bool{true}, len(ls)) // no axis but the first has other classes
	for k := 1; k < len(out.Dims); k++ {
		a, of := meet(ls, k, out.Dims[k])
		out.axes = append(out.axes, a)
		for q, l := range ls {
			rest[q] = append(rest[q], l.offsets(k, of[q]))
			same[q] = same[q] && a.n == l.axes[k].n && slices.Equal(a.class, l.axes[k].class)
		}
	}
	first := axis{}
	own := true // every coordinate is a class of its own
	out.Dims[0] = 0
	for q, l := range ls {
		for i := range l.Dims[0] {
			first.class = append(first.class, int32(first.n+l.axes[0].at(i)))
		}
		switch {
		case origin[q] != nil:
			every := lists.Count[int32](0, l.Cells())
			cells := Append(nil, every, Run{Of: sumsOf(rest[q]), N: l.axes[0].n, Stride: l.strides()[0]})
			from = append(from, Run{Of: Then(origin[q], cells), N: 1})
		case same[q]:
			from = append(from, Run{N: l.Cells()})
		default:
			from = append(from, Run{Of: sumsOf(rest[q]), N: l.axes[0].n, Stride: l.strides()[0]})
		}
		own = own && l.axes[0].class == nil
		first.n += l.axes[0].n
		out.Dims[0] += l.Dims[0]
	}
	if own {
		first = identity(out.Dims[0])
	}
	out.axes = append([]axis{first}, out.axes...)
	return out, from
}

// Part returns the layout of elements [lo, hi).
func (l *Layout) Part(lo, hi int) (*Layout, []int32) {
	if lo == 0 && hi == l.Len() {
		return l, nil
	}
	if len(l.Dims) > 0 && hi > lo {
		if block := dag.Size(l.Dims[1:]); lo%block == 0 && hi%block == 0 {
			lo, hi = lo/block, hi/block
			out := &Layout{Dims: append([]int{hi - lo}, l.Dims[1:]...)}
			number := map[int]int32{}
			a := axis{make([]int32, hi-lo), 0}
			var of []int
			for i := lo; i < hi; i++ {
				c := l.axes[0].at(i)
				id, ok := number[c]
				if !ok {
					id = int32(a.n)
					number[c] = id
					of = append(of, c)
					a.n++
				}
				a.class[i-lo] = id
			}
			a = numbered(a.class, a.n)
			out.axes = append([]axis{a}, l.axes[1:]...)
			rest := out.Cells() / a.n
			from := make([]int32, 0, out.Cells())
			for _, c := range of {
				for i := range rest {
					from = append(from, int32(c*rest+i))
				}
			}
			return out, from
		}
	}
	index := lists.Count(int32(lo), hi-lo)
	return l.Select(l.Dims, []int{hi - lo}, index)
}
