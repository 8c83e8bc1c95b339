package grid

import (
	"encoding/binary"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
)

// Pooled is a window whose taps are alike, as those of a mean, a maximum or a sum: which cells of
// the operand each cell of the result joins, and how often.
type Pooled struct {
	// Layout is the result's: the operand's leading axes, then positions.
	Layout *Layout
	// From is the origin of the operand's cells, under its trailing axes as positions.
	From []int32
	// Places and Sources are the numbers of classes of positions, of the result
	// and of the operand: cells are channels x these.
	Places, Sources int
	// Reads has what each place joins.
	Reads [][]Read
}

// Read is a source, and the number of its positions that are joined.
type Read struct{ Source, Times int32 }

// Pool returns the layout of a window over a value of channels x positions. Backward goes from the
// window's outputs to its inputs.
func (l *Layout) Pool(w *dag.Window, channels int, backward bool) *Pooled {
	in, out := w.In, w.Out()
	if backward {
		in, out = out, in
	}
	operand, from := l.As(append([]int{channels}, in...)...)
	r := &Pooled{Layout: &Layout{Dims: append([]int{channels}, out...), axes: []axis{operand.axes[0]}}, From: from}
	r.Places, r.Sources, r.Reads = 1, 1, [][]Read{{{0, 1}}}
	for k := range in {
		of := operand.axes[k+1]
		a, reads := pooledLine(w, k, of, out[k], backward)
		r.Layout.axes = append(r.Layout.axes, a)
		r.Places *= a.n
		r.Sources *= of.n
		next := make([][]Read, 0, r.Places)
		for _, before := range r.Reads {
			for _, line := range reads {
				both := make([]Read, 0, len(before)*len(line))
				for _, x := range before {
					for _, y := range line {
						both = append(both, Read{x.Source*int32(of.n) + y.Source, x.Times * y.Times})
					}
				}
				next = append(next, both)
			}
		}
		r.Reads = next
	}
	return r
}

// Most returns the largest number of positions that a place joins.
func (r *Pooled) Most() int {
	most := 0
	for _, reads := range r.Reads {
		n := 0
		for _, x := range reads {
			n += int(x.Times)
		}
		most = max(most, n)
	}
	return most
}

// pooledLine returns the classes of one axis of the result, and what each joins of the operand's.
// It takes as many steps as taps read anything, or one for each coordinate of a window over the whole axis.
func pooledLine(w *dag.Window, k int, operand axis, out int, backward bool) (axis, [][]Read) {
	if whole := w.Out()[k] == 1 && w.Kernel[k] == w.In[k] && w.At(k, 0, 0) == 0 && w.Dilation[k] == 1; whole && backward {
		return single(out), [][]Read{{{Source: 0, Times: 1}}}
	} else if whole {
		times := make([]int32, operand.n)
		for i := range w.In[k] {
			times[operand.at(i)]++
		}
		line := make([]Read, operand.n)
		for c, n := range times {
			line[c] = Read{int32(c), n}
		}
		return identity(1), [][]Read{line}
	}
	class := make([]int32, out)
	number := map[string]int32{}
	times := make([]int32, operand.n)
	var lines [][]Read
	var read []int32
	var key []byte
	for o := range out {
		read = read[:0]
		lo, hi := reading(w, k, o, backward)
		for t := lo; t < hi; t++ {
			if i, ok := tap(w, k, o, t, backward); ok {
				c := operand.at(i)
				if times[c]++; times[c] == 1 {
					read = append(read, int32(c))
				}
			}
		}
		slices.Sort(read)
		key = key[:0]
		for _, c := range read {
			key = binary.LittleEndian.AppendUint64(key, uint64(c)<<32|uint64(times[c]))
		}
		id, ok := number[string(key)]
		if !ok {
			id = int32(len(lines))
			number[string(key)] = id
			line := lists.Map(read, func(c int32) Read { return Read{c, times[c]} })
			lines = append(lines, line)
		}
		for _, c := range read {
			times[c] = 0
		}
		class[o] = id
	}
	return numbered(class, len(lines)), lines
}
