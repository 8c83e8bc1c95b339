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
	// Taps has what each tap (kernel position) reads.
	Taps []Tap
}

// Tap is what a tap of a window reads, at the places where it reads anything: of a window
// over a whole image, run backward, each reads at one place alone.
type Tap struct {
	// First is the first of these places, and Source has for it and those behind it the
	// source that is read there, -1 for none.
	First  int
	Source []int32
}

// At returns the source that the tap reads at a place, -1 for none.
func (t Tap) At(place int) int32 {
	if k := place - t.First; k >= 0 && k < len(t.Source) {
		return t.Source[k]
	}
	return -1
}

// Within is the tap at n places from the first on, counted from there.
func (t Tap) Within(first, n int) Tap {
	lo, hi := max(t.First, first), min(t.First+len(t.Source), first+n)
	if lo >= hi {
		return Tap{}
	}
	return Tap{lo - first, t.Source[lo-t.First : hi-t.First]}
}

// times is the tap and one of another axis, of so many classes and classes of the operand,
// that lies behind.
func (t Tap) times(u Tap, classes, of int) Tap {
	if len(t.Source) == 0 || len(u.Source) == 0 {
		return Tap{}
	}
	out := Tap{t.First*classes + u.First, make([]int32, (len(t.Source)-1)*classes+len(u.Source))}
	for i := range out.Source {
		out.Source[i] = -1
	}
	for k, x := range t.Source {
		for i, y := range u.Source {
			if x >= 0 && y >= 0 {
				out.Source[k*classes+i] = x*int32(of) + y
			}
		}
	}
	return out
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
	r.Taps = []Tap{{Source: []int32{0}}}
	for k := range in {
		a, taps := line(w, k, r.Operand.axes[k+1], out[k], backward)
		r.Layout.axes = append(r.Layout.axes, a)
		r.Places *= a.n
		r.Sources *= r.Operand.axes[k+1].n
		next := make([]Tap, 0, len(r.Taps)*len(taps))
		for _, t := range r.Taps {
			for _, u := range taps {
				next = append(next, t.times(u, a.n, r.Operand.axes[k+1].n))
			}
		}
		r.Taps = next
	}
	return r
}

// Direct reports whether each place reads the source of its own number, by one tap.
func (r *Windowed) Direct() bool {
	if len(r.Taps) != 1 || r.Places != r.Sources || len(r.Taps[0].Source) != r.Places {
		return false
	}
	for p, src := range r.Taps[0].Source {
		if int(src) != p {
			return false
		}
	}
	return true
}

// line returns the classes of one axis of a window's result, and for each tap what it
// reads of the operand's classes. Coordinates agree that read the same classes with the
// same taps. It takes as many steps as taps read anything.
func line(w *dag.Window, k int, operand axis, out int, backward bool) (axis, []Tap) {
	taps := make([]Tap, w.Kernel[k])
	if out == 1 { // as of a kernel over the whole axis: one list for all taps
		lo, hi := reading(w, k, 0, backward)
		source := make([]int32, 0, hi-lo)
		for t := lo; t < hi; t++ {
			if i, ok := tap(w, k, 0, t, backward); ok {
				source = append(source, int32(operand.at(i)))
				taps[t].Source = source[len(source)-1 : len(source) : len(source)]
			}
		}
		return identity(1), taps
	}
	a := axis{make([]int32, out), 0}
	number := map[string]int32{}
	var key []byte
	for o := range out {
		lo, hi := reading(w, k, o, backward)
		key = binary.LittleEndian.AppendUint32(key[:0], uint32(lo))
		for t := lo; t < hi; t++ {
			read := int32(-1)
			if i, ok := tap(w, k, o, t, backward); ok {
				read = int32(operand.at(i))
			}
			key = binary.LittleEndian.AppendUint32(key, uint32(read))
		}
		c, ok := number[string(key)]
		if !ok {
			c = int32(a.n)
			number[string(key)] = c
			for t := lo; t < hi; t++ {
				if read := int32(binary.LittleEndian.Uint32(key[4*(t-lo+1):])); read >= 0 {
					taps[t].read(int(c), read)
				}
			}
			a.n++
		}
		a.class[o] = c
	}
	return numbered(a.class, a.n), taps
}

// read appends what the tap reads at a place behind all so far.
func (t *Tap) read(place int, source int32) {
	if len(t.Source) == 0 {
		t.First = place
	}
	for t.First+len(t.Source) < place {
		t.Source = append(t.Source, -1)
	}
	t.Source = append(t.Source, source)
}

// reading returns the taps of axis k, from lo to before hi, among which are all that join
// coordinate o with another, and with the first that does; 0, 0 for none.
func reading(w *dag.Window, k, o int, backward bool) (lo, hi int) {
	d, n := w.Dilation[k], w.Kernel[k]
	if !backward {
		// 0 <= at + t dilation < in
		at := w.At(k, o, 0)
		lo, hi = up(-at, d), up(w.In[k]-at, d)
	} else {
		// 0 <= at - t dilation < (out - 1) stride + 1
		at := o - w.At(k, 0, 0)
		lo, hi = up(at-(w.Out()[k]-1)*w.Stride[k], d), up(at+1, d)
	}
	lo, hi = max(lo, 0), min(hi, n)
	for lo < hi {
		if _, ok := tap(w, k, o, lo, backward); ok {
			return lo, hi
		}
		lo++
	}
	return 0, 0
}

// up is a/b rounded up, b > 0.
func up(a, b int) int {
	q := a / b
	if a%b > 0 {
		q++
	}
	return q
}

// tap returns the coordinate that tap t of axis k joins with coordinate o.
func tap(w *dag.Window, k, o, t int, backward bool) (int, bool) {
	if !backward {
		i := w.At(k, o, t)
		return i, i >= 0 && i < w.In[k]
	}
	i := o - w.At(k, 0, t)
	return i / w.Stride[k], i >= 0 && i%w.Stride[k] == 0 && i/w.Stride[k] < w.Out()[k]
}

// Pairs tells which positions a window joins, by classes: those of out, whose trailing axes
// are the window's outputs, and of in, whose are its inputs.
type Pairs struct {
	// Taps, Out and In are the numbers of taps and classes.
	Taps, Out, In int

	w       *dag.Window
	out, in []axis
	// last has the pairs of each axis, for the tap of it that was asked for last.
	last []axisPairs
}

type axisPairs struct {
	tap   int
	pairs []Pair
}

// Pair is a class of outputs and one of inputs, and how many pairs of positions are of them.
type Pair struct {
	Out, In int
	Times   float64
}

// PairsOf returns the pairs of a window.
func PairsOf(w *dag.Window, out, in *Layout) *Pairs {
	lead := len(in.Dims) - len(w.In)
	p := &Pairs{Taps: 1, Out: 1, In: 1, w: w, out: out.axes[lead:], in: in.axes[lead:], last: make([]axisPairs, len(w.In))}
	for k := range w.In {
		p.Taps *= w.Kernel[k]
		p.Out *= p.out[k].n
		p.In *= p.in[k].n
		p.last[k].tap = -1
	}
	return p
}

// Tap returns the pairs that a tap joins; the same pair of classes may be there several
// times. All taps together may have as many as the window has steps: they are not kept.
func (p *Pairs) Tap(t int) []Pair {
	out := []Pair{{Times: 1}}
	after := p.Taps
	for k := range p.w.In {
		after /= p.w.Kernel[k]
		of := p.axis(k, t/after%p.w.Kernel[k])
		if k == 0 {
			out = of
			continue
		}
		next := make([]Pair, 0, len(out)*len(of))
		for _, x := range out {
			for _, y := range of {
				next = append(next, Pair{x.Out*p.out[k].n + y.Out, x.In*p.in[k].n + y.In, x.Times * y.Times})
			}
		}
		out = next
	}
	return out
}

// axis returns the pairs that tap t of axis k joins.
func (p *Pairs) axis(k, t int) []Pair {
	if p.last[k].tap == t {
		return p.last[k].pairs
	}
	pairs := p.last[k].pairs[:0]
	for o := range p.w.Out()[k] {
		i, ok := tap(p.w, k, o, t, false)
		if !ok {
			continue
		}
		x := Pair{p.out[k].at(o), p.in[k].at(i), 1}
		if n := len(pairs); n > 0 && pairs[n-1].Out == x.Out && pairs[n-1].In == x.In {
			pairs[n-1].Times++
		} else {
			pairs = append(pairs, x)
		}
	}
	p.last[k] = axisPairs{t, pairs}
	return pairs
}
