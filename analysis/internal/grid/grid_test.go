package grid

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
)

// drawn is a layout with a number a cell and, beside it, one an element.
type drawn struct {
	l    *Layout
	cell []int
}

func (d drawn) flat() []int { return Expand(d.l, d.cell) }

func draw(t *rapid.T, dims []int) drawn {
	l := &Layout{Dims: dims}
	for _, d := range dims {
		a := axis{make([]int32, d), 0}
		for i := range d {
			c := rapid.IntRange(0, a.n).Draw(t, "class")
			a.class[i] = int32(c)
			a.n = max(a.n, c+1)
		}
		if rapid.Bool().Draw(t, "identity") {
			a = identity(d)
		}
		l.axes = append(l.axes, a)
	}
	out := drawn{l: l}
	for range l.Cells() {
		out.cell = append(out.cell, rapid.IntRange(0, 3).Draw(t, "cell"))
	}
	return out
}

func drawDims(t *rapid.T) []int {
	return rapid.SliceOfN(rapid.IntRange(1, 4), 0, 4).Draw(t, "dims")
}

// check holds a layout after a step to the elements it should have.
func check(t *rapid.T, what string, l *Layout, cells, want []int) {
	t.Helper()
	if l.Cells() != len(cells) {
		t.Fatalf("%s: %d cells, %d numbers", what, l.Cells(), len(cells))
	}
	if got := Expand(l, cells); !slices.Equal(got, want) {
		t.Fatalf("%s of %v: %v, want %v", what, l.Dims, got, want)
	}
	var counts []int64
	for range cells {
		counts = append(counts, 0)
	}
	for e := range l.Len() {
		counts[l.Cell(e)]++
	}
	if got := l.Counts(); !slices.Equal(got, counts) {
		t.Fatalf("%s: counts %v, want %v", what, got, counts)
	}
}

// factor draws a shape of n elements.
func factor(t *rapid.T, n int) []int {
	var dims []int
	for n > 1 {
		var divisors []int
		for d := 1; d <= n; d++ {
			if n%d == 0 {
				divisors = append(divisors, d)
			}
		}
		d := rapid.SampledFrom(divisors).Draw(t, "factor")
		dims = append(dims, d)
		n /= d
		if len(dims) > 5 {
			return append(dims, n)
		}
	}
	return dims
}

func TestAs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, drawDims(t))
		l, from := a.l.As(factor(t, a.l.Len())...)
		check(t, "as", l, Gather(a.cell, from), a.flat())
	})
}

func TestUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, drawDims(t))
		f := append(factor(t, a.l.Len()), 1, 1, 1)
		outer, n := f[0], f[1]
		inner := a.l.Len() / (outer * n)
		l, k, from := a.l.Units(outer, n, inner)
		check(t, "units", l, Gather(a.cell, from), a.flat())
		if l.Dims[k] != n || l.Classes(k) != n || dag.Size(l.Dims[:k]) != outer {
			t.Fatalf("axis %d of %v is not %d units after %d", k, l.Dims, n, outer)
		}
	})
}

func TestJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, drawDims(t))
		b := draw(t, factor(t, a.l.Len()))
		l, from := Join(a.l, b.l)
		check(t, "join", l, Gather(a.cell, from[0]), a.flat())
		check(t, "join", l, Gather(b.cell, from[1]), b.flat())
	})
}

func TestConcat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rest := drawDims(t)
		var parts []drawn
		var ls []*Layout
		var want []int
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			dims := append([]int{rapid.IntRange(1, 3).Draw(t, "first")}, rest...)
			if rapid.IntRange(0, 5).Draw(t, "other") == 0 {
				dims = drawDims(t)
			}
			p := draw(t, dims)
			parts, ls, want = append(parts, p), append(ls, p.l), append(want, p.flat()...)
		}
		l, from := Concat(ls...)
		var cells []int
		for k, p := range parts {
			if n := len(cells) + from[k].Len(); len(Append(cells, p.cell, from[k])) != n {
				t.Fatalf("run %d has not the length that it says", k)
			}
			cells = Append(cells, p.cell, from[k])
		}
		check(t, "concat", l, cells, want)
	})
}

func TestSelect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, drawDims(t))
		flat := a.flat()
		var shape []int
		var index []int32
		if n := len(a.l.Dims); rapid.Bool().Draw(t, "separable") && n > 0 {
			// Axes permuted, each coordinate taken anywhere, or padding.
			order := rapid.Permutation(slices.Collect(seq(n))).Draw(t, "order")
			lines := make([][]int, n)
			for k, q := range order {
				shape = append(shape, rapid.IntRange(1, 4).Draw(t, "extent"))
				for range shape[k] {
					lines[k] = append(lines[k], rapid.IntRange(-1, a.l.Dims[q]-1).Draw(t, "line"))
				}
			}
			for e := range dag.Size(shape) {
				at := make([]int, len(shape))
				(&Layout{Dims: shape}).coordinates(at, e)
				j, c := 0, make([]int, n)
				for k, q := range order {
					c[q] = lines[k][at[k]]
				}
				for q, d := range a.l.Dims {
					if c[q] < 0 {
						j = -1
						break
					}
					j = j*d + c[q]
				}
				index = append(index, int32(j))
			}
		} else {
			shape = drawDims(t)
			for range dag.Size(shape) {
				index = append(index, int32(rapid.IntRange(-1, len(flat)-1).Draw(t, "index")))
			}
		}
		want := make([]int, len(index))
		for e, j := range index {
			if j >= 0 {
				want[e] = flat[j]
			}
		}
		l, from := a.l.Select(a.l.Dims, shape, index)
		check(t, "select", l, Gather(a.cell, from), want)
	})
}

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := draw(t, drawDims(t))
		lo := rapid.IntRange(0, a.l.Len()).Draw(t, "lo")
		hi := rapid.IntRange(lo, a.l.Len()).Draw(t, "hi")
		l, from := a.l.Part(lo, hi)
		check(t, "part", l, Gather(a.cell, from), a.flat()[lo:hi])
	})
}

// TestSeparable sees to it that the cheap way is taken where it should be.
func TestSeparable(t *testing.T) {
	l := Uniform(3, 4, 5)
	var index []int32
	for y := range 6 { // padding, transposed
		for c := range 3 {
			for x := range 5 {
				j := int32((c*4+y-1)*5 + x)
				if y == 0 || y == 5 {
					j = -1
				}
				index = append(index, j)
			}
		}
	}
	got, from := l.separable([]int{6, 3, 5}, index)
	if got == nil {
		t.Fatal("padding and a transpose are not seen to be separable")
	}
	if got.Cells() != 2 || len(from) != 2 {
		t.Errorf("%d cells, want one of padding and one of the rest", got.Cells())
	}
}

func drawWindow(t *rapid.T) *dag.Window {
	w := &dag.Window{}
	for range rapid.IntRange(0, 2).Draw(t, "dimensions") {
		k, d := rapid.IntRange(1, 3).Draw(t, "kernel"), rapid.IntRange(1, 2).Draw(t, "dilation")
		before, after := rapid.IntRange(-1, 2).Draw(t, "before"), rapid.IntRange(-1, 2).Draw(t, "after")
		w.In = append(w.In, max(d*(k-1)+1-before-after, 1)+rapid.IntRange(0, 5).Draw(t, "in"))
		w.Kernel, w.Dilation = append(w.Kernel, k), append(w.Dilation, d)
		w.Stride = append(w.Stride, rapid.IntRange(1, 3).Draw(t, "stride"))
		w.Before, w.After = append(w.Before, before), append(w.After, after)
	}
	return w
}

func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		backward := rapid.Bool().Draw(t, "backward")
		in, out := w.In, w.Out()
		if backward {
			in, out = out, in
		}
		c := rapid.IntRange(1, 2).Draw(t, "channels")
		a := draw(t, append([]int{c}, in...))
		flat := a.flat()
		r := a.l.Window(w, c, backward)
		cells := Gather(a.cell, r.From)
		taps := dag.Size(w.Kernel)
		if len(r.Taps) != taps {
			t.Fatalf("%d taps, want %d", len(r.Taps), taps)
		}
		// A number for each tap, so that taps cannot be mistaken.
		sum := make([]int, r.Layout.Cells())
		for i := range sum {
			for k := range taps {
				if s := r.Taps[k].At(i % r.Places); s >= 0 {
					sum[i] += (k + 1) * cells[i/r.Places*r.Sources+int(s)]
				}
			}
		}
		want := make([]int, c*dag.Size(out))
		w.Taps(func(o, i, k int) {
			if backward {
				o, i = i, o
			}
			for ch := range c {
				want[ch*dag.Size(out)+o] += (k + 1) * flat[ch*dag.Size(in)+i]
			}
		})
		check(t, "window", r.Layout, sum, want)
	})
}

// TestPool: a window whose taps are alike joins what its taps join, and knows of a picture with one class
// what there is to know: a mean over all of it reads one number, and so does each place back from it.
func TestPool(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		if whole := rapid.Bool().Draw(t, "whole"); whole {
			for k, n := range w.In {
				w.Kernel[k], w.Stride[k], w.Dilation[k], w.Before[k], w.After[k] = n, 1, 1, 0, 0
			}
		}
		backward := rapid.Bool().Draw(t, "backward")
		in, out := w.In, w.Out()
		if backward {
			in, out = out, in
		}
		c := rapid.IntRange(1, 2).Draw(t, "channels")
		a := draw(t, append([]int{c}, in...))
		flat := a.flat()
		r := a.l.Pool(w, c, backward)
		cells := Gather(a.cell, r.From)
		// Numbers that cannot be mistaken for others in a sum.
		mark := func(v int) int { return 1 << (6 * v) }
		sum := make([]int, r.Layout.Cells())
		for i := range sum {
			last := int32(-1)
			for _, read := range r.Reads[i%r.Places] {
				if read.Source <= last || read.Times < 1 {
					t.Fatalf("reads %v", r.Reads[i%r.Places])
				}
				last = read.Source
				sum[i] += int(read.Times) * mark(cells[i/r.Places*r.Sources+int(read.Source)])
			}
		}
		want := make([]int, c*dag.Size(out))
		joins := make([]int, dag.Size(out))
		w.Taps(func(o, i, _ int) {
			if backward {
				o, i = i, o
			}
			joins[o]++
			for ch := range c {
				want[ch*dag.Size(out)+o] += mark(flat[ch*dag.Size(in)+i])
			}
		})
		check(t, "pool", r.Layout, sum, want)
		if most := slices.Max(joins); r.Most() != most {
			t.Fatalf("at most %d positions, want %d", r.Most(), most)
		}
	})
	const n = 1 << 10
	ones, none := []int{1, 1}, []int{0, 0}
	w := &dag.Window{In: []int{n, n}, Kernel: []int{n, n}, Stride: ones, Dilation: ones, Before: none, After: none}
	if r := Uniform(3, n, n).Pool(w, 3, false); r.Layout.Cells() != 1 || !slices.Equal(r.Reads[0], []Read{{0, n * n}}) {
		t.Errorf("%d cells, reads %v", r.Layout.Cells(), r.Reads)
	}
	if r := Uniform(3, 1, 1).Pool(w, 3, true); r.Layout.Cells() != 1 || r.Layout.Len() != 3*n*n || !slices.Equal(r.Reads[0], []Read{{0, 1}}) {
		t.Errorf("%d cells of %d elements, reads %v", r.Layout.Cells(), r.Layout.Len(), r.Reads)
	}
}

// TestWindowOfAll: a window over all of an axis, run backward, reads at each place with one tap
// alone, and so many numbers are held, not their square; forward it has one place.
func TestWindowOfAll(t *testing.T) {
	const n = 300
	for _, dims := range [][]int{{n * n}, {n, n}} {
		ones, zeros := make([]int, len(dims)), make([]int, len(dims))
		for k := range ones {
			ones[k] = 1
		}
		w := &dag.Window{In: dims, Kernel: dims, Stride: ones, Dilation: ones, Before: zeros, After: zeros}
		for _, backward := range []bool{false, true} {
			places := 1
			of := Uniform(append([]int{1}, dims...)...)
			if backward {
				of, places = Uniform(append([]int{1}, ones...)...), n*n
			}
			r := of.Window(w, 1, backward)
			held := 0
			for _, tap := range r.Taps {
				held += cap(tap.Source)
			}
			if len(r.Taps) != n*n || r.Places != places || held > 2*n*n {
				t.Errorf("%v, backward %v: %d taps at %d places hold %d numbers", dims, backward, len(r.Taps), r.Places, held)
			}
		}
	}
}

func TestPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWindow(t)
		out, in := draw(t, append([]int{1}, w.Out()...)).l, draw(t, append([]int{1}, w.In...)).l
		p := PairsOf(w, out, in)
		no, ni := p.Out, p.In
		want := make([][]float64, dag.Size(w.Kernel))
		for k := range want {
			want[k] = make([]float64, no*ni)
		}
		co, ci := out.Cells()/no, in.Cells()/ni
		if co != 1 || ci != 1 {
			t.Skip("channels of one class")
		}
		w.Taps(func(o, i, k int) { want[k][out.Cell(o)*ni+in.Cell(i)]++ })
		for k := range want {
			n := make([]float64, no*ni)
			for _, x := range p.Tap(k) {
				n[x.Out*ni+x.In] += x.Times
			}
			if !slices.Equal(n, want[k]) {
				t.Fatalf("tap %d: %v, want %v", k, n, want[k])
			}
		}
	})
}
