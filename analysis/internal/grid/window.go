package grid

import (
	"encoding/binary"

	"github.com/relupath/relupath/analysis/dag"
)

// Windowed is a window over the trailing axes of a value: which cells of the
// operand each cell of the result joins.
type Windowed struct {
	// Layout is the result's: the operand's leading axes, then positions.
	Layout *Layout
	// Operand is the value read, its trailing axes being positions, and From the
	// origin of its cells.
	Operand *Layout
	From    []int32
	// Places and Sources are the numbers of classes of positions, of the result
	// and of the operand: cells are channels x these.
	Places, Sources int
	// Source has, for each tap (kernel position) and each place, the source that
	// the tap reads there, -1 for none.
	Source [][]int32
}

// Window returns the layout of a window over a value of channels x positions.
// Backward goes from the window's outputs to its inputs: the transposed
// convolution, and every programme that runs from outputs to inputs.
func (l *Layout) Window(w *dag.Window, channels int, backward bool) *Windowed {
	in, out := w.In, w.Out()
	if backward {
		in, out = out, in
	}
	r := &Windowed{}
	r.Operand, r.From = l.As(append([]int{channels}, in...)...)
	r.Layout = &Layout{Dims: append([]int{channels}, out...), axes: []axis{r.Operand.axes[0]}}
	r.Places, r.Sources = 1, 1
	tables := make([][][]int32, len(in)) // by axis, tap and class: the source class
	for k := range in {
		var a axis
		a, tables[k] = line(w, k, r.Operand.axes[k+1], out[k], backward)
		r.Layout.axes = append(r.Layout.axes, a)
		r.Places *= a.n
		r.Sources *= r.Operand.axes[k+1].n
	}
	r.Source = [][]int32{make([]int32, r.Places)}
	for k := range in {
		// Append the axis: every tap by every tap of it.
		a, n := r.Layout.axes[k+1], r.Operand.axes[k+1].n
		after := 1
		for _, x := range r.Layout.axes[k+2:] {
			after *= x.n
		}
		var next [][]int32
		for _, src := range r.Source {
			for _, table := range tables[k] {
				row := make([]int32, r.Places)
				for p := range row {
					c := table[p/after%a.n]
					if row[p] = -1; src[p] >= 0 && c >= 0 {
						row[p] = src[p]*int32(n) + c
					}
				}
				next = append(next, row)
			}
		}
		r.Source = next
	}
	return r
}

// Direct reports whether each place reads the source of its own number, by one tap.
func (r *Windowed) Direct() bool {
	if len(r.Source) != 1 || r.Places != r.Sources {
		return false
	}
	for p, src := range r.Source[0] {
		if int(src) != p {
			return false
		}
	}
	return true
}

// line returns the classes of one axis of a window's result, and for each tap and
// class the class of the operand that is read, -1 for none. Coordinates agree
// that read the same classes with the same taps.
func line(w *dag.Window, k int, operand axis, out int, backward bool) (axis, [][]int32) {
	a := axis{make([]int32, out), 0}
	number := map[string]int32{}
	table := make([][]int32, w.Kernel[k])
	reads, key := make([]int32, w.Kernel[k]), make([]byte, 0, 4*w.Kernel[k])
	for o := range out {
		key = key[:0]
		for t := range reads {
			reads[t] = -1
			if i, ok := tap(w, k, o, t, backward); ok {
				reads[t] = int32(operand.at(i))
			}
			key = binary.LittleEndian.AppendUint32(key, uint32(reads[t]))
		}
		c, ok := number[string(key)]
		if !ok {
			c = int32(a.n)
			number[string(key)] = c
			for t, x := range reads {
				table[t] = append(table[t], x)
			}
			a.n++
		}
		a.class[o] = c
	}
	if a.n == out {
		a = identity(out)
	}
	return a, table
}

// tap returns the coordinate that tap t of axis k joins with coordinate o.
func tap(w *dag.Window, k, o, t int, backward bool) (int, bool) {
	shift := t*w.Dilation[k] - w.Before[k]
	if !backward {
		i := o*w.Stride[k] + shift
		return i, i >= 0 && i < w.In[k]
	}
	i := o - shift
	return i / w.Stride[k], i >= 0 && i%w.Stride[k] == 0 && i/w.Stride[k] < w.Out()[k]
}

// Pairs returns, for each tap of a window, how many pairs of positions it joins of
// each pair of classes: n[tap][out*inClasses + in]. out lies over the window's
// outputs and in over its inputs, the positions being trailing axes.
func Pairs(w *dag.Window, out, in *Layout) (n [][]float64, outClasses, inClasses int) {
	n, outClasses, inClasses = [][]float64{{1}}, 1, 1
	lead := len(in.Dims) - len(w.In)
	for k := range w.In {
		ao, ai := out.axes[lead+k], in.axes[lead+k]
		var next [][]float64
		for _, m := range n {
			for t := range w.Kernel[k] {
				one := make([]float64, ao.n*ai.n)
				for o := range w.Out()[k] {
					if i, ok := tap(w, k, o, t, false); ok {
						one[ao.at(o)*ai.n+ai.at(i)]++
					}
				}
				joint := make([]float64, outClasses*ao.n*inClasses*ai.n)
				for x := range outClasses {
					for y := range inClasses {
						f := m[x*inClasses+y]
						if f == 0 {
							continue
						}
						for o := range ao.n {
							for i := range ai.n {
								joint[((x*ao.n+o)*inClasses+y)*ai.n+i] = f * one[o*ai.n+i]
							}
						}
					}
				}
				next = append(next, joint)
			}
		}
		n = next
		outClasses *= ao.n
		inClasses *= ai.n
	}
	return n, outClasses, inClasses
}
