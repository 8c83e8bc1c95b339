package eval

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// bounds are those of each element: max(lo, min(hi, v)).
type bounds struct{ lo, hi float64 }

var unbounded = bounds{math.Inf(-1), math.Inf(1)}

// plan finds what can be computed in place.
func (ev *evaluator) plan(needed []bool, want []int) {
	nodes := ev.net.Nodes
	readers := make([]int, len(nodes))
	for i := range nodes {
		if needed[i] {
			for _, j := range nodes[i].Operands() {
				readers[j]++
			}
		}
	}
	for _, j := range want {
		readers[j]++
	}
	ev.alone, ev.fused = make([]bool, len(nodes)), map[int]bounds{}
	for j, n := range readers {
		ev.alone[j] = n == 1
	}
	for i := range nodes {
		lo, hi, ok := nodes[i].Bounds()
		if !ok || !needed[i] || !ev.alone[nodes[i].In[0]] {
			continue
		}
		before := &nodes[nodes[i].In[0]]
		if _, layer := before.Op.(*dag.Linear); layer || before.Joins() {
			ev.fused[before.ID] = bounds{lo, hi}
		}
	}
}

// bounds returns the bounds of the only reader of a node.
func (ev *evaluator) bounds(nd *dag.Node) bounds {
	if b, ok := ev.fused[nd.ID]; ok {
		return b
	}
	return unbounded
}

// place returns the buffer of a value with as many elements as the first operand x, whose
// own it is where nothing reads that any more.
func (ev *evaluator) place(nd *dag.Node, x []float64) []float64 {
	if len(x) > 0 && ev.alone[nd.In[0]] && ev.held[&x[0]] == 1 {
		return x
	}
	return ev.buffer(len(x))
}

// hold counts one more node that has a buffer as its value.
func (ev *evaluator) hold(v []float64) {
	if len(v) > 0 {
		ev.held[&v[0]]++
	}
}

// drop counts one less, and keeps a buffer that none has for later values.
func (ev *evaluator) drop(v []float64) {
	if len(v) == 0 {
		return
	}
	if ev.held[&v[0]]--; ev.held[&v[0]] == 0 {
		delete(ev.held, &v[0])
		ev.free = append(ev.free, v)
	}
}

// takeBack is drop for a part of a buffer.
func (ev *evaluator) takeBack(v []float64) {
	if len(v) == 0 {
		return
	}
	if ev.held[&v[0]]--; ev.held[&v[0]] == 0 {
		delete(ev.held, &v[0])
	}
}

// roomy is the number of elements in multiples of which large buffers are made, so that they
// serve again for somewhat larger values: 4 MB.
const roomy = 4 << 20 / 8

// buffer returns n numbers of any value. Memory that was used before, the least that is
// enough, is not cleared and not asked for anew.
func (ev *evaluator) buffer(n int) []float64 {
	if n == 0 {
		return []float64{}
	}
	best := -1
	for i, v := range ev.free {
		if c := cap(v); c >= n && (best < 0 || c < cap(ev.free[best])) {
			best = i
		}
	}
	if best < 0 {
		room := n
		if n > roomy/2 {
			room = ceilDiv(n, roomy) * roomy
		}
		return kernel.LargePages(make([]float64, room))[:n]
	}
	v := ev.free[best]
	ev.free = slices.Delete(ev.free, best, best+1)
	return v[:n]
}

// give returns a buffer that is no value.
func (ev *evaluator) give(v []float64) {
	if len(v) > 0 {
		ev.free = append(ev.free, v)
	}
}

// finish is what a layer does to the products of its weights: scale and bias of each
// unit, then bounds.
type finish struct {
	out         dag.Axis
	scale, bias []float64
	bounds      bounds
}

// finish finishes a whole value.
func (ev *evaluator) finish(f *finish, dst []float64) {
	n := ev.batch * f.out.Outer * f.out.N
	ev.rows(n, f.out.Inner, func(lo, hi int) { f.rows(dst[lo*f.out.Inner:hi*f.out.Inner], lo) })
}

// rows finishes lines of elements that share a unit, of which dst has some from the
// given one on.
func (f *finish) rows(dst []float64, first int) {
	if f.scale == nil && f.bias == nil && f.bounds == unbounded {
		return
	}
	if f.out.Inner == 1 {
		f.units(dst, first)
		return
	}
	for n := f.out.Inner; len(dst) >= max(n, 1); first++ {
		f.unit(dst[:n], first)
		dst = dst[n:]
	}
}

// of returns scale and bias of the unit of a line.
func (f *finish) of(line int) (s, b float64) {
	s = 1
	if f.scale != nil {
		s = f.scale[line%f.out.N]
	}
	if f.bias != nil {
		b = f.bias[line%f.out.N]
	}
	return s, b
}

// unit finishes elements of one unit, of the given line.
func (f *finish) unit(dst []float64, line int) {
	s, b := f.of(line)
	if s != 1 || b != 0 || f.bounds != unbounded {
		kernel.Affine(dst, dst, s, b, f.bounds.lo, f.bounds.hi)
	}
}

// units is rows where each element has a unit of its own.
func (f *finish) units(dst []float64, first int) {
	for len(dst) > 0 {
		at := first % f.out.N
		d := dst[:min(len(dst), f.out.N-at)]
		if f.scale != nil {
			for i, s := range f.scale[at:][:len(d)] {
				d[i] *= s
			}
		}
		if f.bias != nil {
			for i, b := range f.bias[at:][:len(d)] {
				d[i] += b
			}
		}
		if f.bounds != unbounded {
			kernel.Affine(d, d, 1, 0, f.bounds.lo, f.bounds.hi)
		}
		first += len(d)
		dst = dst[len(d):]
	}
}
