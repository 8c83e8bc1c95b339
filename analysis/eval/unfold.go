package eval

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// unfolding is the right matrix of a convolution: a row for each channel and kernel
// position, a column for each output position of each sample. It is written a tile at a
// time and never whole.
type unfolding struct {
	x      []float64
	window dag.Window
	out    []int
	// positions are those of one sample, taps those of the kernel, plane the elements of a
	// channel, channels those of a group, sample the elements of a sample.
	positions, taps, plane, channels, sample int
	step                                     int

	// moves are the elements of a tile that come from neighbours of the operand, each step-th
	// of its first channel, by kernel position: tap t has those from starts[t-t0] on. In the
	// same way zeros are those that are in the padding.
	moves, zeros    []kernel.Move
	starts, noughts []int
	t0              int
	col, n          int // the tile
	segments        []segment
	coords          []int // where segments begin, the last coordinate first
}

// segment is n neighbours of a line of output positions, in one panel; they go to a place
// in the panels. The sample begins at from.
type segment struct{ to, from, n int }

func newUnfolding(c conv, x []float64) *unfolding {
	_, inner, k := c.Matrix()
	u := &unfolding{x: x, window: c.Window, plane: dag.Size(c.Window.In), taps: k, channels: inner, sample: c.In().Len()}
	if c.pointwise() {
		u.window = dag.NewWindow([]int{u.plane}, []int{1})
	}
	u.out, u.step = u.window.Out(), u.window.Step()
	u.positions = dag.Size(u.out)
	return u
}

// ends ends blocks of the depth: they are of about equal size, and where the kernel is
// larger than one they have one channel.
func (u *unfolding) ends(k0 int) int {
	rest := (u.channels * u.taps) - k0
	if u.taps > depth {
		rest = u.taps - k0%u.taps
	}
	return k0 + evenly(rest)
}

// pack writes columns of a group's matrix, n from the given one on, in panels.
func (u *unfolding) pack(p *pack, g, col, n int) {
	t0, t1 := 0, u.taps
	if u.taps > depth {
		t0, t1 = p.k0%u.taps, p.k0%u.taps+p.k1-p.k0
	}
	if u.starts == nil || u.col != col || u.n != n || u.t0 != t0 || len(u.starts) != t1-t0+1 {
		u.col, u.n, u.t0 = col, n, t0
		u.cut(p.width, p.depth)
		u.list(t0, t1)
	}
	for l := p.k0; l < p.k1; l++ {
		channel, tap := l/u.taps, l%u.taps-t0
		x := u.x[(g*u.channels+channel)*u.plane:]
		dst := p.dst[(l-p.k0)*p.width:]
		for _, r := range u.zeros[u.noughts[tap]:u.noughts[tap+1]] {
			clear(dst[r.To:][:r.N])
		}
		ahead := 0
		if tap == 0 {
			ahead = u.plane
		}
		kernel.Moves(dst, x, u.moves[u.starts[tap]:u.starts[tap+1]], u.step, ahead)
	}
}

// cut finds the segments of the tile.
func (u *unfolding) cut(width, depth int) {
	u.segments, u.coords = u.segments[:0], u.coords[:0]
	line := 1
	if d := len(u.out); d > 0 {
		line = u.out[d-1]
	}
	for c := u.col; c < u.col+u.n; {
		in := (c - u.col) % width
		n := min(width-in, u.col+u.n-c, line-c%u.positions%line)
		s := segment{to: (c-u.col)/width*width*depth + in, from: c / u.positions * u.sample, n: n}
		rest := c % u.positions
		for d := len(u.out) - 1; d >= 0; d-- {
			u.coords = append(u.coords, rest%u.out[d])
			rest /= u.out[d]
		}
		u.segments = append(u.segments, s)
		c += n
	}
}

// list finds where the elements of kernel positions [t0, t1) come from.
func (u *unfolding) list(t0, t1 int) {
	w := &u.window
	u.moves, u.starts = u.moves[:0], append(u.starts[:0], 0)
	u.zeros, u.noughts = u.zeros[:0], append(u.noughts[:0], 0)
	last := len(w.In) - 1
	tap := make([]int, len(w.In))
	for t := t0; t < t1; t++ {
		rest := t
		for d := last; d >= 0; d-- {
			tap[d] = rest % w.Kernel[d]
			rest /= w.Kernel[d]
		}
		for i := range u.segments {
			s := &u.segments[i]
			out := u.coords[i*len(w.In):]
			at, inside := 0, true
			for d := range last {
				x := w.At(d, out[last-d], tap[d])
				inside = inside && x >= 0 && x < w.In[d]
				at = at*w.In[d] + x
			}
			if last < 0 {
				u.moves = add(u.moves, s.to, s.from, 1)
				continue
			}
			// The elements [lo, hi) of the segment are inside the operand.
			x := w.At(last, out[0], tap[last])
			lo := min(s.n, ceilDiv(max(0, -x), u.step))
			hi := max(lo, min(s.n, ceilDiv(max(0, w.In[last]-x), u.step)))
			if !inside {
				lo, hi = s.n, s.n
			}
			u.moves = add(u.moves, s.to+lo, s.from+at*w.In[last]+x+lo*u.step, hi-lo)
			u.zeros = add(u.zeros, s.to, 0, lo)
			u.zeros = add(u.zeros, s.to+hi, 0, s.n-hi)
		}
		u.starts, u.noughts = append(u.starts, len(u.moves)), append(u.noughts, len(u.zeros))
	}
}

func add(moves []kernel.Move, to, from, n int) []kernel.Move {
	if n == 0 {
		return moves
	}
	return append(moves, kernel.Move{To: to, From: from, N: n})
}

// ceilDiv returns a/b rounded up, for a >= 0 and b > 0.
func ceilDiv(a, b int) int { return (a + b - 1) / b }
