package dag

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// EvalOptions tells how to evaluate.
type EvalOptions struct {
	// BLAS does the matrix products; nil uses blas.Find.
	BLAS *blas.Engine
	// Threads is the number of goroutines for everything else; 0 is one.
	Threads int
	// Values lists the nodes whose values are wanted; nil is the outputs.
	Values []int
}

// Eval computes the network on a batch in float64. inputs has one row-major
// (batch x elements) slice for each of n.Inputs; the result has one for each
// of opt.Values, or for each of n.Outputs. It is the reference that proofs and
// training are checked against: weights are widened exactly, and each layer is
// computed as Scale*(W x) + Bias. Errors: a wrong number or length of inputs, a
// function that is not evaluated, a cancelled context.
func (n *Network) Eval(ctx context.Context, inputs [][]float64, batch int, opt EvalOptions) ([][]float64, error) {
	if len(inputs) != len(n.Inputs) {
		return nil, fmt.Errorf("dag: %d inputs given, the network has %d", len(inputs), len(n.Inputs))
	}
	want := opt.Values
	if want == nil {
		for _, p := range n.Outputs {
			want = append(want, p.Node)
		}
	}
	ev := &evaluator{net: n, blas: opt.BLAS, threads: max(1, opt.Threads), batch: batch, inputs: map[int][]float64{}, held: map[*float64]int{}}
	if ev.blas == nil {
		ev.blas = blas.Find()
	}
	for k, p := range n.Inputs {
		if got, w := len(inputs[k]), batch*n.Nodes[p.Node].Len(); got != w {
			return nil, fmt.Errorf("dag: input %q: %d values for a batch of %d, want %d: give rows of shape %v",
				p.Name, got, batch, w, n.Nodes[p.Node].Shape)
		}
		ev.inputs[p.Node] = inputs[k]
		ev.hold(inputs[k]) // by the caller
	}
	if i, ok := n.Unevaluated(want); ok {
		return nil, fmt.Errorf("dag: %s is not evaluated: %s", n.Nodes[i].Label(), n.Nodes[i].Op.(*Func).Why)
	}
	needed := n.ancestors(want)
	vals := Forward(n, ev, func(nd *Node) bool { return !needed[nd.ID] || ctx.Err() != nil }, want)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([][]float64, len(want))
	for k, j := range want {
		out[k] = vals[j]
	}
	return out, nil
}

func (n *Network) ancestors(of []int) []bool {
	need := make([]bool, len(n.Nodes))
	for _, j := range of {
		need[j] = true
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if need[i] {
			for _, j := range n.Nodes[i].Operands() {
				need[j] = true
			}
		}
	}
	return need
}

// evaluator is the reading of a network in which a value is its numbers on a
// batch.
type evaluator struct {
	net     *Network
	blas    *blas.Engine
	threads int
	batch   int
	inputs  map[int][]float64
	// held counts the nodes that have a buffer as their value, free are buffers that
	// none has any more.
	held map[*float64]int
	free [][]float64
}

// hold implements holder.
func (ev *evaluator) hold(v []float64) {
	if len(v) > 0 {
		ev.held[&v[0]]++
	}
}

// drop implements holder.
func (ev *evaluator) drop(v []float64) {
	if len(v) == 0 {
		return
	}
	if ev.held[&v[0]]--; ev.held[&v[0]] == 0 {
		delete(ev.held, &v[0])
		ev.free = append(ev.free, v)
	}
}

// buffer returns n numbers of any value: memory that was used before, where there is
// some of about that size, is not cleared and not asked for anew.
func (ev *evaluator) buffer(n int) []float64 {
	for i, v := range ev.free {
		if cap(v) >= n && cap(v) <= 2*n {
			ev.free[i] = ev.free[len(ev.free)-1]
			ev.free = ev.free[:len(ev.free)-1]
			return v[:n]
		}
	}
	return make([]float64, n)
}

// zeros returns n zeros.
func (ev *evaluator) zeros(n int) []float64 {
	v := ev.buffer(n)
	clear(v)
	return v
}

func (ev *evaluator) Input(nd *Node) []float64 { return ev.inputs[nd.ID] }

func (ev *evaluator) Linear(nd *Node, l *Linear, x []float64) []float64 {
	dst := ev.buffer(ev.batch * nd.Len())
	if d, ok := l.Map.(*Dense); ok {
		if f, ok := ev.net.Nodes[nd.In[0]].Op.(*Func); ok && f.Kind == OneHot {
			ev.lookup(d, dst, x)
			ev.affine(l, dst)
			return dst
		}
	}
	ev.linear(l, dst, x)
	return dst
}

func (ev *evaluator) Activation(nd *Node, a *Activation, x []float64) []float64 {
	size := nd.Len()
	dst := ev.buffer(len(x))
	if len(a.Slope) == 1 {
		slope := a.Slope[0]
		ev.rows(len(x), 1, func(lo, hi int) {
			d := dst[lo:hi]
			for i, v := range x[lo:hi] {
				if slope == 0 {
					d[i] = max(0, v) // without a branch, which chance would decide
					continue
				}
				if v < 0 {
					v *= slope
				}
				d[i] = v
			}
		})
		return dst
	}
	ev.rows(ev.batch, size, func(lo, hi int) {
		for b := lo; b < hi; b++ {
			d := dst[b*size:][:size]
			for i, v := range x[b*size:][:size] {
				if v < 0 {
					// A ReLU's zero is +0, as everywhere.
					if s := a.At(i); s == 0 {
						v = 0
					} else {
						v *= s
					}
				}
				d[i] = v
			}
		}
	})
	return dst
}

func (ev *evaluator) Join(nd *Node, xs [][]float64) []float64 {
	dst := ev.zeros(len(xs[0]))
	add, sum := nd.Op.(*Add)
	ev.rows(len(dst), len(xs), func(lo, hi int) {
		d := dst[lo:hi]
		for k, x := range xs {
			switch {
			case sum:
				w := add.Weight(k)
				for i, v := range x[lo:hi] {
					d[i] += w * v
				}
			case k == 0:
				copy(d, x[lo:hi])
			default:
				for i, v := range x[lo:hi] {
					d[i] = max(d[i], v)
				}
			}
		}
	})
	return dst
}

func (ev *evaluator) Concat(nd *Node, xs [][]float64) []float64 {
	dst := ev.buffer(ev.batch * nd.Len())[:0]
	for b := range ev.batch {
		for _, x := range xs {
			m := len(x) / ev.batch
			dst = append(dst, x[b*m:(b+1)*m]...)
		}
	}
	return dst
}

func (ev *evaluator) Select(nd, _ *Node, index []int32, x []float64) []float64 {
	size, m := nd.Len(), len(x)/max(ev.batch, 1)
	dst := ev.zeros(ev.batch * size)
	for b := range ev.batch {
		d, from := dst[b*size:][:size], x[b*m:][:m]
		for i, j := range index {
			if j >= 0 {
				d[i] = from[j]
			}
		}
	}
	return dst
}

func (ev *evaluator) Pool(nd *Node, p *Pool, x []float64) []float64 {
	dst := ev.buffer(ev.batch * nd.Len())
	nOut, nIn := Size(p.Window.Out()), Size(p.Window.In)
	ev.rows(ev.batch*p.Channels, nOut, func(lo, hi int) {
		for i := lo * nOut; i < hi*nOut; i++ {
			dst[i] = math.Inf(-1)
		}
		step := p.Window.step()
		p.Window.Runs(func(out, at, _, n int) {
			for c := lo; c < hi; c++ {
				d, x := dst[c*nOut+out:][:n], x[c*nIn+at:]
				for i := range d {
					d[i] = max(d[i], x[i*step])
				}
			}
		})
	})
	return dst
}

func (ev *evaluator) Cap(nd *Node, c *Cap, x []float64) []float64 {
	size := nd.Len()
	dst := ev.buffer(len(x))
	if len(c.Lo) == 1 && len(c.Hi) == 1 && !c.Jump {
		least, most := c.Lo[0], c.Hi[0]
		ev.rows(len(x), 1, func(lo, hi int) {
			d := dst[lo:hi]
			for i, v := range x[lo:hi] {
				d[i] = max(least, min(most, v)) // without a branch, which chance would decide
			}
		})
		return dst
	}
	ev.rows(ev.batch, size, func(lo, hi int) {
		for i := lo * size; i < hi*size; i++ {
			dst[i] = c.At(i%size, x[i])
		}
	})
	return dst
}

// Func keeps the places of a OneHot instead of its vectors.
func (ev *evaluator) Func(nd *Node, f *Func, xs [][]float64) []float64 {
	if f.Kind == OneHot {
		return xs[0]
	}
	xs = xs[:len(xs)-f.Inside]
	size := nd.Len()
	dst := ev.zeros(ev.batch * size)
	ev.rows(ev.batch, max(size, 1<<10), func(lo, hi int) {
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
func (ev *evaluator) lookup(d *Dense, dst, places []float64) {
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

func (ev *evaluator) linear(l *Linear, dst, x []float64) {
	if l.Map != nil {
		l.Map.eval(ev, dst, x, ev.batch)
	} else {
		clear(dst)
	}
	ev.affine(l, dst)
}

// affine applies a layer's scale and bias.
func (ev *evaluator) affine(l *Linear, dst []float64) {
	out := l.Out()
	if l.Scale() == nil && l.Bias() == nil {
		return
	}
	ev.rows(ev.batch*out.Outer, out.N*out.Inner, func(lo, hi int) {
		for a := lo; a < hi; a++ {
			for i := range out.N {
				d := dst[(a*out.N+i)*out.Inner:][:out.Inner]
				s, b := 1.0, 0.0
				if l.Scale() != nil {
					s = l.Scale()[i]
				}
				if l.Bias() != nil {
					b = l.Bias()[i]
				}
				for e := range d {
					d[e] = s*d[e] + b
				}
			}
		}
	})
}

func (d *Dense) eval(ev *evaluator, dst, src []float64, batch int) {
	if d.InOut {
		d.evalInOut(ev, dst, src, batch)
		return
	}
	if d.Rows == 0 || d.Cols == 0 {
		clear(dst)
		return
	}
	// Every block of rows gives its own part of the value: goroutines widen and
	// multiply one at a time. The matrix alone says how many rows that are: products
	// of other blocks would differ in their last bits.
	m, n := batch*d.outer(), d.inner()
	step := min(d.tileRows(), max(16, (d.Rows+7)/8))
	kernel.Parallel((d.Rows+step-1)/step, ev.threads, 1, func(first, end int) {
		tile := make([]float64, step*d.Cols)
		for lo := first * step; lo < min(end*step, d.Rows); lo += step {
			rows := min(step, d.Rows-lo)
			w := tile[:rows*d.Cols]
			d.widen(w, lo*d.Cols)
			if n == 1 { // dst (m x Rows) = src (m x Cols) W^T
				ev.blas.Dgemm(false, true, m, rows, d.Cols, 1, src, d.Cols, w, d.Cols, 0, dst[lo:], d.Rows)
				continue
			}
			// Positions to the right: (Rows x n) = W (Cols x n), one a sample.
			for b := range m {
				ev.blas.Dgemm(false, false, rows, n, d.Cols, 1, w, d.Cols, src[b*d.Cols*n:], n, 0, dst[(b*d.Rows+lo)*n:], n)
			}
		}
	})
}

// evalInOut adds up what each block of inputs gives to all units.
func (d *Dense) evalInOut(ev *evaluator, dst, src []float64, batch int) {
	if d.Rows == 0 || d.Cols == 0 {
		clear(dst)
		return
	}
	m, n := batch*d.outer(), d.inner()
	step := min(d.tileRows(), d.Cols)
	tile := make([]float64, step*d.Rows)
	beta := 0.0
	for lo := 0; lo < d.Cols; lo += step {
		cols := min(step, d.Cols-lo)
		w := tile[:cols*d.Rows]
		kernel.Parallel(len(w), ev.threads, 1<<15, func(a, b int) { d.widen(w[a:b], lo*d.Rows+a) })
		if n == 1 {
			ev.blas.Dgemm(false, false, m, d.Rows, cols, 1, src[lo:], d.Cols, w, d.Rows, beta, dst, d.Rows)
		} else {
			for b := range m {
				ev.blas.Dgemm(true, false, d.Rows, n, cols, 1, w, d.Rows, src[(b*d.Cols+lo)*n:], n, beta, dst[b*d.Rows*n:], n)
			}
		}
		beta = 1
	}
}

// tileRows returns the number of stored rows of weights to widen at a time: 64
// rows of 4000 are two megabytes, small enough for a cache and
// large enough for the product to be worth its packing.
func (d *Dense) tileRows() int {
	cols := d.Cols
	if d.InOut {
		cols = d.Rows
	}
	return max(64, 1<<16/cols)
}

// widen writes the stored weights from the given one on to dst, in float64. They
// are copied for float64 weights too: where a mapped file was cut off, Go
// survives the fault of reading it (see onnxio.Model.Guard) and a library outside
// Go does not.
func (d *Dense) widen(dst []float64, at int) {
	if double := d.W.Param.Float64s(); double != nil {
		copy(dst, double[at:])
		return
	}
	kernel.Widen(dst, d.W.Param.Float32s()[at:at+len(dst)])
}
