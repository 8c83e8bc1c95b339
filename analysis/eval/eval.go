// Package eval computes the values of a dag.Network on batches of inputs, in float64.
//
// It is the reference that proofs and training are checked against. Layers are packed products
// (package kernel, or a BLAS library); values between layers are computed in turns of as many samples as
// the caches hold, in place where nobody reads them any more. The result has the same bits for any
// number of threads and any batch.
package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
)

// Options tells how to evaluate.
type Options struct {
	// BLAS does the matrix products; nil uses blas.Find.
	BLAS *blas.Engine
	// Threads is the number of goroutines for everything else; 0 is one.
	Threads int
	// Values lists the nodes whose values are wanted; nil is the outputs.
	Values []int
	// Buffers, if not nil, lend their memory, and keep it for the next evaluation, of this network
	// or another: of as many samples it then asks for none.
	Buffers *Buffers
}

// Buffers are the memory of values between evaluations that follow each other. The zero value is
// ready; one evaluation at a time may have it.
type Buffers struct{ free [][]float64 }

// Give adds values of a result that is read no more.
func (b *Buffers) Give(values [][]float64) {
	for _, v := range values {
		same := func(u []float64) bool { return &u[:1][0] == &v[:1][0] }
		if cap(v) > 0 && !slices.ContainsFunc(b.free, same) { // nodes may share a value
			b.free = append(b.free, v)
		}
	}
}

// Run computes a network on a batch in float64. inputs has one row-major
// (batch x elements) slice for each of n.Inputs; the result has one for each
// of opt.Values, or for each of n.Outputs. It is the reference that proofs and
// training are checked against: weights are widened exactly, and each layer is
// computed as Scale*(W x) + Bias. Errors: a wrong number or length of inputs, a
// function that is not evaluated, values of one sample for which there is no memory, a
// cancelled context.
func Run(ctx context.Context, n *dag.Network, inputs [][]float64, batch int, opt Options) ([][]float64, error) {
	if len(inputs) != len(n.Inputs) {
		return nil, fmt.Errorf("eval: %d inputs given, the network has %d", len(inputs), len(n.Inputs))
	}
	ev := &evaluator{net: n, blas: opt.BLAS, threads: max(1, opt.Threads), inputs: map[int][]float64{}, held: map[*float64]int{}}
	want := ev.want(opt.Values)
	needed := n.Ancestors(want)
	ev.plan(needed, want)
	if ev.blas == nil {
		ev.blas = blas.Find()
	}
	if b := opt.Buffers; b != nil {
		ev.free = b.free
		defer func() { b.free = ev.free }()
	}
	for k, p := range n.Inputs {
		if got, w := len(inputs[k]), batch*n.Nodes[p.Node].Len(); got != w {
			return nil, fmt.Errorf("eval: input %q: %d values for a batch of %d, want %d: give rows of shape %v",
				p.Name, got, batch, w, n.Nodes[p.Node].Shape)
		}
		ev.inputs[p.Node] = inputs[k]
		ev.hold(inputs[k]) // by the caller
	}
	if i, ok := n.Unevaluated(want); ok {
		return nil, fmt.Errorf("eval: %s is not evaluated: %s", n.Nodes[i].Label(), n.Nodes[i].Op.(*dag.Func).Why)
	}
	if err := ev.room(needed, want); err != nil {
		return nil, err
	}
	return ev.forward(ctx, needed, want, batch)
}

// evaluator is the reading of a network in which a value is its numbers on a
// batch.
type evaluator struct {
	net     *dag.Network
	blas    *blas.Engine
	threads int
	batch   int // samples of a turn
	inputs  map[int][]float64
	// held counts the nodes that have a buffer as their value, free are buffers that
	// none has any more.
	held map[*float64]int
	free [][]float64
	// alone are the nodes whose value one node reads, once, and nobody else wants.
	alone []bool
	// fused are the bounds that the only reader of a layer or a sum puts on its value,
	// by the layer: they are put while the value is at hand.
	fused map[int]bounds
}

// want returns the nodes whose values are wanted.
func (ev *evaluator) want(values []int) []int {
	if values == nil {
		for _, p := range ev.net.Outputs {
			values = append(values, p.Node)
		}
	}
	return values
}

func (ev *evaluator) Input(nd *dag.Node) []float64 { return ev.inputs[nd.ID] }

func (ev *evaluator) Linear(nd *dag.Node, l *dag.Linear, x []float64) []float64 {
	fin := &finish{out: l.Out(), scale: l.Scale(), bias: l.Bias(), bounds: ev.bounds(nd)}
	var dst []float64
	if _, ok := l.Map.(*dag.Diagonal); ok {
		dst = ev.place(nd, x)
	} else {
		dst = ev.buffer(ev.batch * nd.Len())
	}
	switch {
	case l.Map == nil:
		clear(dst)
		ev.finish(fin, dst)
	case oneHot(ev.net, nd.In[0]):
		ev.lookup(l, dst, x)
		ev.finish(fin, dst)
	default:
		ev.layer(l.Map, dst, x, fin)
	}
	return dst
}

// oneHot reports whether a node makes one-hot vectors.
func oneHot(n *dag.Network, node int) bool {
	f, ok := n.Nodes[node].Op.(*dag.Func)
	return ok && f.Kind == dag.OneHot
}

// layer sets all of dst, which may hold any numbers, and finishes it.
func (ev *evaluator) layer(m dag.Map, dst, src []float64, fin *finish) {
	switch m := m.(type) {
	case *dag.Dense:
		dense{m}.eval(ev, dst, src, fin)
	case *dag.Conv:
		conv{m}.eval(ev, dst, src, fin)
	case *dag.Average:
		ev.average(m, dst, src, fin)
	case *dag.Diagonal:
		copy(dst, src)
		ev.finish(fin, dst)
	}
}

func (ev *evaluator) Unary(nd *dag.Node, op dag.Unary, x []float64) []float64 {
	if y, ok := ev.bounded(nd, x); ok {
		return y
	}
	size := nd.Len()
	dst := ev.place(nd, x)
	sample := applied(op, size)
	ev.rows(ev.batch, size, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			sample(dst[b*size:][:size], x[b*size:][:size])
		}
	})
	return dst
}

// applied returns what computes op on one sample of so many elements.
func applied(op dag.Unary, size int) func(y, x []float64) {
	switch c := op.(type) {
	case *dag.Activation:
		return func(y, x []float64) { // without a call an element
			for i, v := range x {
				y[i] = c.Apply(i, v)
			}
		}
	case *dag.Cap:
		if runs := boundRuns(c, size); runs != nil {
			return func(y, x []float64) {
				at := 0
				for _, end := range runs {
					lo, hi := c.Bounds(at)
					kernel.Affine(y[at:end], x[at:end], 1, 0, lo, hi)
					at = end
				}
			}
		}
	}
	return func(y, x []float64) {
		for i, v := range x {
			y[i] = op.Apply(i, v)
		}
	}
}

// bounded is the value of a node that only puts one pair of bounds on all elements: they
// may be there already.
func (ev *evaluator) bounded(nd *dag.Node, x []float64) (y []float64, ok bool) {
	if _, done := ev.fused[nd.In[0]]; done {
		return x, true
	}
	lo, hi, ok := nd.Bounds()
	if !ok {
		return nil, false
	}
	y = ev.place(nd, x)
	ev.rows(len(x), 1, func(from, to int) {
		kernel.Affine(y[from:to], x[from:to], 1, 0, lo, hi)
	})
	return y, true
}

func (ev *evaluator) Join(nd *dag.Node, xs [][]float64) []float64 {
	dst := ev.place(nd, xs[0])
	add, sum := nd.Op.(*dag.Add)
	b := ev.bounds(nd)
	ev.rows(len(dst), len(xs), func(lo, hi int) {
		// A block at a time, so that the sum stays at hand.
		for ; lo < hi; lo += joined {
			end := min(hi, lo+joined)
			d := dst[lo:end]
			if w := 1.0; !sum || len(xs) == 1 {
				if sum {
					w = add.Weight(0)
				}
				kernel.Affine(d, xs[0][lo:end], w, 0, unbounded.lo, unbounded.hi)
			} else {
				kernel.Sum(d, add.Weight(0), xs[0][lo:end], add.Weight(1), xs[1][lo:end])
			}
			for k := 1; k < len(xs); k++ {
				x := xs[k][lo:end]
				switch {
				case !sum:
					for i, v := range x {
						d[i] = max(d[i], v)
					}
				case k > 1:
					kernel.Sum(d, 1, d, add.Weight(k), x)
				}
			}
			if b != unbounded {
				kernel.Affine(d, d, 1, 0, b.lo, b.hi)
			}
		}
	})
	return dst
}

// joined is the number of elements that are added up at a time.
const joined = 1 << 11

func (ev *evaluator) Concat(nd *dag.Node, xs [][]float64) []float64 {
	size := nd.Len()
	dst := ev.buffer(ev.batch * size)
	ev.rows(ev.batch, size, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			d := dst[b*size:][:size]
			for _, x := range xs {
				m := len(x) / ev.batch
				d = d[copy(d, x[b*m:(b+1)*m]):]
			}
		}
	})
	return dst
}

func (ev *evaluator) Select(nd, _ *dag.Node, index []int32, x []float64) []float64 {
	size, m := nd.Len(), len(x)/max(ev.batch, 1)
	dst := ev.buffer(ev.batch * size)
	// take fills elements [at, end) of samples [lo, hi).
	take := func(at, end, lo, hi int) {
		var list [64]kernel.Move
		for at < end {
			moves, next := movesOf(index[:end], at, list[:0])
			for b := lo; b < hi; b++ {
				d, from := dst[b*size:][:size], x[b*m:][:m]
				if moves != nil {
					kernel.Moves(d, from, moves, 1, 0)
					continue
				}
				for i, j := range index[at:next] {
					if j >= 0 {
						d[at+i] = from[j]
					} else {
						d[at+i] = 0
					}
				}
			}
			at = next
		}
	}
	if size < 4*selected {
		ev.rows(ev.batch, size, func(lo, hi int) { take(0, size, lo, hi) })
		return dst
	}
	ev.rows((size+selected-1)/selected, selected*ev.batch, func(lo, hi int) {
		take(lo*selected, min(hi*selected, size), 0, ev.batch)
	})
	return dst
}

const (
	// selected is how many elements of a large Select one goroutine takes at least.
	selected = 1 << 12
	// piece is how many elements of a Select lie together, on average, where they are copied by pieces.
	piece = 8
)

// movesOf appends pieces of a Select that lie together, as the heads of an attention do, from element
// at on, as many as the list has room for, and says where they end: nil for elements that are taken one
// by one, since they lie apart or some are padding.
func movesOf(index []int32, at int, list []kernel.Move) (moves []kernel.Move, end int) {
	padded := false
	for end = at; end < len(index) && len(list) < cap(list); {
		first, step := index[end], int32(1)
		if first < 0 {
			step, padded = 0, true
		}
		n := 1
		for end+n < len(index) && index[end+n] == first+int32(n)*step {
			n++
		}
		list = append(list, kernel.Move{To: end, From: int(first), N: n})
		end += n
	}
	if padded || end-at < piece*len(list) {
		list = nil
	}
	return list, end
}

func (ev *evaluator) Pool(nd *dag.Node, p *dag.Pool, x []float64) []float64 {
	dst := ev.buffer(ev.batch * nd.Len())
	nOut, nIn := dag.Size(p.Window.Out()), dag.Size(p.Window.In)
	ev.rows(ev.batch*p.Channels, nOut, func(lo, hi int) {
		for i := lo * nOut; i < hi*nOut; i++ {
			dst[i] = math.Inf(-1)
		}
		step := p.Window.Step()
		atHand(lo, hi, nIn+nOut, func(lo, hi int) {
			p.Window.Runs(func(out, at, _, n int) {
				for c := lo; c < hi; c++ {
					d, x := dst[c*nOut+out:][:n], x[c*nIn+at:]
					for i := range d {
						d[i] = max(d[i], x[i*step])
					}
				}
			})
		})
	})
	return dst
}

// atHand calls f for channels [lo, hi), as many at a time as the caches hold with so many
// elements each.
func atHand(lo, hi, elements int, f func(lo, hi int)) {
	for step := max(1, 1<<14/max(1, elements)); lo < hi; lo += step {
		f(lo, min(lo+step, hi))
	}
}

// boundRuns returns where runs of elements with the same bounds end; nil for a cap that jumps, or whose runs are
// short.
func boundRuns(c *dag.Cap, size int) (runs []int) {
	if c.Jump {
		return nil
	}
	for at := 0; at < size; {
		lo, hi := c.Bounds(at)
		end := at + 1
		for end < size {
			if l, h := c.Bounds(end); l != lo || h != hi {
				break
			}
			end++
		}
		if runs = append(runs, end); len(runs)*8 > size {
			return nil
		}
		at = end
	}
	return runs
}

// Func keeps the places of a OneHot instead of its vectors.
func (ev *evaluator) Func(nd *dag.Node, f *dag.Func, xs [][]float64) []float64 {
	if f.Kind == dag.OneHot {
		return xs[0]
	}
	xs = xs[:len(xs)-f.Inside]
	size := nd.Len()
	dst := ev.buffer(ev.batch * size)
	ev.rows(ev.batch, max(size, 1<<10), func(lo, hi int) {
		clear(dst[lo*size : hi*size])
		args := make([][]float64, len(xs))
		for b := lo; b < hi; b++ {
			for k, x := range xs {
				m := len(x) / ev.batch
				args[k] = x[b*m : (b+1)*m]
			}
			f.Apply(dst[b*size:][:size], args...)
		}
	})
	return dst
}

// lookup writes the columns of a table that places name; a negative one counts from
// the end, and one outside gives NaN.
func (ev *evaluator) lookup(l *dag.Linear, dst, places []float64) {
	d := l.Map.(*dag.Dense)
	for k, at := range places {
		row := dst[k*d.Rows:][:d.Rows]
		j := int(at)
		if j < 0 {
			j += d.Cols
		}
		for i := range row {
			if row[i] = math.NaN(); j >= 0 && j < d.Cols {
				row[i] = d.At(i, j)
			}
		}
	}
}

func (ev *evaluator) rows(batch, size int, f func(lo, hi int)) {
	kernel.Parallel(batch, ev.threads, max(1, 1<<15/max(size, 1)), f)
}

// mean adds up the elements, each times w: their total may be beyond float64.
func mean(x []float64, w float64) float64 {
	var s [4]float64
	for ; len(x) >= 4; x = x[4:] {
		s[0] += w * x[0]
		s[1] += w * x[1]
		s[2] += w * x[2]
		s[3] += w * x[3]
	}
	for i, v := range x {
		s[i] += w * v
	}
	return s[0] + s[1] + (s[2] + s[3])
}

func (ev *evaluator) average(v *dag.Average, dst, src []float64, fin *finish) {
	nOut, nIn := v.Out().Inner, v.In().Inner
	step := v.Window.Step()
	whole := nOut == 1 && slices.Equal(v.Window.Kernel, v.Window.In) && !slices.ContainsFunc(v.Window.Before, func(b int) bool { return b != 0 })
	clear(dst)
	kernel.Parallel(ev.batch*v.Channels, ev.threads, 1+1<<14/max(1, nIn), func(lo, hi int) {
		if whole {
			for c := lo; c < hi; c++ {
				dst[c] = mean(src[c*nIn:][:nIn], v.Weights[0])
			}
			fin.rows(dst[lo:hi], lo)
			return
		}
		atHand(lo, hi, nIn+nOut, func(lo, hi int) {
			v.Window.Runs(func(out, in, _, n int) {
				for c := lo; c < hi; c++ {
					d, x := dst[c*nOut+out:][:n], src[c*nIn+in:]
					for i, w := range v.Weights[out:][:n] {
						d[i] += w * x[i*step]
					}
				}
			})
			fin.rows(dst[lo*nOut:hi*nOut], lo)
		})
	})
}
