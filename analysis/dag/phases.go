package dag

import "github.com/relupath/relupath/analysis/kernel"

// Phases is the layout of a padded operand, one channel of it, with its positions sorted by their
// remainders for the stride: what one kernel position reads at neighbouring outputs then lies together, for
// all outputs at once. Output position i of row r reads, at kernel position t, element
//
//	Rows[r] + i + Taps[t].
type Phases struct {
	// Len is the number of elements, of all phases.
	Len int
	// Lines say where elements of the operand go, every Step-th of a line of it; everything else in the layout is
	// zero. Where Plain is set the layout is the operand as it is.
	Lines []kernel.Move
	Step  int
	Plain bool
	// Taps has, for each kernel position, where what it reads begins. Rows has, for each row of Width outputs, how
	// far behind that the row's part lies. A row is a line of the last axis, or all outputs where the lines follow
	// each other without a gap.
	Taps, Rows []int
	Width      int
}

// Phases returns the layout of the window's operand, nil where it has more elements than that.
func (w *Window) Phases(most int) *Phases {
	dims, out := len(w.In), w.Out()
	if most < 1 {
		return nil
	}
	if dims == 0 {
		return &Phases{Len: 1, Lines: []kernel.Move{{N: 1}}, Step: 1, Plain: true, Taps: []int{0}, Rows: []int{0}, Width: 1}
	}
	p := &Phases{Len: 1, Step: w.Step(), Plain: true, Width: out[dims-1]}
	// A padded coordinate is its quotient by the stride, times apart, and its remainder, times phase, from the
	// beginning.
	apart, phase := make([]int, dims), make([]int, dims)
	for d := dims - 1; d >= 0; d-- {
		s := w.Stride[d]
		apart[d] = p.Len
		p.Len *= ceilDiv(max(w.End(d, out[d]), w.In[d])+w.Before[d], s)
		if p.Len > most {
			return nil
		}
		p.Plain = p.Plain && s == 1 && w.Before[d] == 0
	}
	plane := p.Len
	for d := dims - 1; d >= 0; d-- {
		phase[d] = p.Len
		if p.Len > most/w.Stride[d] {
			return nil
		}
		p.Len *= w.Stride[d]
	}
	at := func(d, x int) int { return x/w.Stride[d]*apart[d] + x%w.Stride[d]*phase[d] }
	last := dims - 1
	p.Taps = places(w.Kernel, func(d, t int) int { return at(d, t*w.Dilation[d]) })
	p.Rows = places(out[:last], func(d, o int) int { return o * apart[d] })
	if n := len(p.Rows); n > 0 && p.Rows[n-1] == (n-1)*p.Width {
		p.Rows, p.Width = p.Rows[:1], n*p.Width
	}
	read := map[int]bool{}
	for _, t := range p.Taps {
		read[t/plane] = true
	}
	p.Plain = p.Plain && p.Len == Size(w.In)
	// Lines that padding crops lie before the beginning.
	outside := -p.Len * dims
	lines := places(w.In[:last], func(d, x int) int {
		if x += w.Before[d]; x < 0 {
			return outside
		}
		return at(d, x)
	})
	for l, row := range lines {
		lo := max(0, -w.Before[last])
		for x := lo; row >= 0 && x < min(w.In[last], lo+p.Step); x++ {
			if to := row + at(last, x+w.Before[last]); read[to/plane] {
				p.Lines = append(p.Lines, kernel.Move{To: to, From: l*w.In[last] + x, N: (w.In[last] - x + p.Step - 1) / p.Step})
			}
		}
	}
	return p
}

// places lists, for each index of a shape, the sum of what its coordinates contribute.
func places(shape []int, of func(d, x int) int) []int {
	out := []int{0}
	for d, n := range shape {
		next := make([]int, 0, n*len(out))
		for _, at := range out {
			for x := range n {
				next = append(next, at+of(d, x))
			}
		}
		out = next
	}
	return out
}
