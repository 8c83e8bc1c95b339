package engine

import (
	"math"
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// unfold is the geometry of a convolution: how the products of its weights by
// its operand become matrix products.
//
// The operand is padded first, in phases. The row of a tap, a channel and a
// kernel position, is then a piece of padded memory, and the matrix of all rows is never
// written where kernel.Multiply takes rows that begin anywhere. The positions that
// are no outputs are computed too, and dropped.
type unfold struct {
	groups, out, in int
	inLen, outLen   int // positions of one channel
	*dag.Phases
	length int // of positions, from the first output to the last
	// taps are the rows of the padded operand.
	taps   []int
	places kernel.Places
	// rows are where the weights of an output begin.
	rows []int
	// step is how many positions are worked on at a time.
	step int
}

const (
	// tileSize is the number of elements of the result worked on at a time where they
	// are not written in place: they stay in the second-level cache.
	tileSize = 1 << 15
	// terms is the most taps that are summed at a time: as many rows of the operand,
	// of some columns, stay in that cache while all outputs are computed.
	terms = 1 << 9
	// leastStep is the least number of positions worked on at a time, where there are so many.
	leastStep = 64
)

func newUnfold(groups, out, in int, w *dag.Window) *unfold {
	f := &unfold{groups: groups, out: out, in: in, inLen: dag.Size(w.In), outLen: dag.Size(w.Out()), Phases: w.Phases(math.MaxInt)}
	f.length = f.Rows[len(f.Rows)-1] + f.Width
	for o := range out {
		f.rows = append(f.rows, o*in*len(f.Taps))
	}
	for c := range f.in {
		for _, off := range f.Taps {
			f.taps = append(f.taps, c*f.Len+off)
		}
	}
	f.places = kernel.NewPlaces(f.taps)
	f.step = min(f.length, max(leastStep, tileSize/max(f.out, f.in)))
	return f
}

// depthwise tells whether a group has one channel on either side. Its products are sums of shifted copies.
func (f *unfold) depthwise() bool { return f.in == 1 && f.out == 1 }

// back is the geometry of the derivative by the operand, itself a convolution of
// the derivatives by the outputs with the kernel turned round; nil where strides
// or more padding than the kernel reaches forbid it.
func (f *unfold) back(w *dag.Window) *unfold {
	for d := range w.In {
		reach := w.Extent(d) - 1
		if w.Stride[d] != 1 || w.Before[d] < 0 || w.After[d] < 0 || w.Before[d] > reach || w.After[d] > reach {
			return nil
		}
	}
	b := w.Adjoint()
	return newUnfold(f.groups, f.in, f.out, &b)
}

// convMemory is what the convolutions of an engine share.
type convMemory[T program.Float] struct {
	free chan *workspace[T] // one for each goroutine
	// sums is for the derivatives by the weights of parts of a batch.
	sums []T
	// cols and tile are for joined products.
	cols, tile []T
}

// workspace is the memory of one goroutine.
type workspace[T program.Float] struct {
	pad, cols, tile []T
	padded          []T // the operand in work
	// owner is the geometry whose padding pad holds zeros in.
	owner *unfold
}

// reserve makes the memory long enough; a device has its own.
func (e *Engine[T]) reserve(f *unfold) {
	m := &e.conv
	if e.far != nil {
		return
	}
	if m.free == nil {
		m.free = make(chan *workspace[T], e.opt.Pool.Threads())
		for range cap(m.free) {
			m.free <- new(workspace[T])
		}
	}
	wide := kernel.Columns[T](f.step)
	for range cap(m.free) {
		w := <-m.free
		// The last row of padded memory is read so far that all columns are computed at once: a vector more.
		w.pad = lists.Longer(w.pad, f.in*f.Len+kernel.Columns[T](1))
		w.cols, w.tile = lists.Longer(w.cols, len(f.taps)*wide), lists.Longer(w.tile, max(f.out*wide, f.step*kernel.Columns[T](f.out)))
		if f.depthwise() {
			w.tile = lists.Longer(w.tile, f.outLen)
		}
		w.owner = nil
		m.free <- w
	}
}

// prepare pads one group's operand, of the example x.
func (m *workspace[T]) prepare(f *unfold, x []T, g int) {
	x = x[g*f.in*f.inLen:]
	// Tiles are read beyond their last column.
	tiled := !f.depthwise() && !f.inPlace(kernel.Columns[T])
	if f.Plain && !tiled && kernel.Columns[T](f.inLen) == f.inLen {
		m.padded = x[:f.in*f.inLen]
		return
	}
	m.padded = m.pad
	if m.owner != f {
		clear(m.pad)
		m.owner = f
	}
	for c := range f.in {
		src, dst := x[c*f.inLen:][:f.inLen], m.pad[c*f.Len:][:f.Len]
		for _, l := range f.Lines {
			if f.Step == 1 {
				copy(dst[l.To:][:l.N], src[l.From:])
				continue
			}
			to, at := dst[l.To:][:l.N], l.From
			for i := range to {
				to[i] = src[at]
				at += f.Step
			}
		}
	}
}

// columns writes what n positions from p on read: a matrix of a row for each tap.
func (m *workspace[T]) columns(f *unfold, p, n int) []T {
	for t, at := range f.taps {
		copy(m.cols[t*n:][:n], m.padded[at+p:])
	}
	return m.cols
}

// multiply computes the products of one group's weights w at n positions of the padded operand
// from p on: rows of y, ld apart.
func (e *Engine[T]) multiply(f *unfold, m *workspace[T], y []T, ld int, w []T, p, n int, add bool) {
	depth := len(f.taps)
	if !kernel.Multiplies() {
		e.serial(false, false, f.out, n, depth, 1, w, depth, m.columns(f, p, n), n, weight[T](add), y, ld)
		return
	}
	for l := 0; l < depth; l += terms {
		mode := kernel.Overwrite
		if add || l > 0 {
			mode = kernel.Accumulate
		}
		k := min(terms, depth-l)
		o := kernel.Operands[T]{A: w[l:], Rows: f.rows, Step: 1, B: m.padded[p:], At: f.places.Part(l, l+k), K: k}
		kernel.Multiply(y, ld, n, &o, 1, mode)
	}
}

// outputs calls do for each run of outputs of one channel among n positions from
// p on: so many outputs from o on lie at positions at, counted from p, and on.
func (f *unfold) outputs(p, n int, do func(o, at, many int)) {
	run, _ := slices.BinarySearch(f.Rows, p-f.Width+1)
	for ; run < len(f.Rows); run++ {
		at := f.Rows[run]
		lo, hi := max(at, p), min(at+f.Width, p+n)
		if lo >= hi {
			return
		}
		do(run*f.Width+lo-at, lo-p, hi-lo)
	}
}

// each calls do for each group g of the examples lo to hi.
func (f *unfold) each(lo, hi int, do func(i, g int)) {
	for i := lo; i < hi; i++ {
		for g := range f.groups {
			do(i, g)
		}
	}
}

// tiles calls do for the positions of an example, n of them at a time from p on.
func (f *unfold) tiles(do func(p, n int)) {
	for p := 0; p < f.length; p += f.step {
		do(p, min(f.step, f.length-p))
	}
}

// inPlace tells whether runs of outputs are computed where they belong: in whole vectors.
func (f *unfold) inPlace(columns func(n int) int) bool {
	return len(f.Rows) == 1 || columns(f.Width) == f.Width
}

// correlate computes the examples lo to hi.
func (e *Engine[T]) correlate(f *unfold, y, x, w []T, m *workspace[T], lo, hi int, add bool) {
	depth, nx, ny := len(f.taps), f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	inPlace := f.inPlace(kernel.Columns[T])
	f.each(lo, hi, func(i, g int) {
		m.prepare(f, x[i*nx:], g)
		w, y := w[g*f.out*depth:], y[i*ny+g*f.out*f.outLen:]
		if f.depthwise() {
			dst := y[:f.outLen]
			if add {
				dst = m.tile[:f.outLen]
			}
			kernel.Taps(dst, f.Width, m.padded, f.Rows, f.taps, w[:depth], 1, 0, -infinity[T](), infinity[T]())
			if add {
				kernel.Sum(y[:f.outLen], 1, y, 1, dst)
			}
			return
		}
		if inPlace {
			most := f.Width
			if !kernel.Multiplies() {
				most = f.step // for which there is memory
			}
			for run, at := range f.Rows {
				for p := 0; p < f.Width; p += most {
					e.multiply(f, m, y[run*f.Width+p:], f.outLen, w, at+p, min(most, f.Width-p), add)
				}
			}
			return
		}
		f.tiles(func(p, n int) {
			ld := kernel.Columns[T](n)
			// What is computed behind the n-th column is not read.
			e.multiply(f, m, m.tile, ld, w, p, ld, false)
			for c := range f.out {
				src := m.tile[c*ld:][:n]
				f.outputs(p, n, func(o, at, many int) {
					dst := y[c*f.outLen+o:][:many]
					if !add {
						copy(dst, src[at:])
						return
					}
					kernel.Sum(dst, 1, dst, 1, src[at:])
				})
			}
		})
	})
}

// spread returns one group's derivatives by the outputs at n positions from p on: a row of
// each output, zero where positions are no outputs.
func (m *workspace[T]) spread(f *unfold, dy []T, p, n int) []T {
	tile := m.tile[:f.out*n]
	clear(tile)
	for c := range f.out {
		f.outputs(p, n, func(o, at, many int) { copy(tile[c*n+at:][:many], dy[c*f.outLen+o:]) })
	}
	return tile
}

// weights adds the derivative by the weights of the examples lo to hi to dw, for each group a matrix of a
// row for each tap, of columns of outputs.
func (e *Engine[T]) weights(f *unfold, dw, dy, x []T, m *workspace[T], lo, hi int) {
	depth, nx, ny := len(f.taps), f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	columns := kernel.Columns[T](f.out)
	f.each(lo, hi, func(i, g int) {
		m.prepare(f, x[i*nx:], g)
		dy, dw := dy[i*ny+g*f.out*f.outLen:], dw[g*depth*columns:]
		f.tiles(func(p, n int) {
			if f.depthwise() {
				tile := m.spread(f, dy, p, n)
				for t, at := range f.taps {
					dw[t*columns] += kernel.Dot(tile, m.padded[at+p:])
				}
				return
			}
			tile := m.tile[:n*columns]
			clear(tile)
			f.outputs(p, n, func(o, at, many int) {
				kernel.Transpose(tile[at*columns:], columns, dy[o:], f.outLen, f.out, many)
			})
			if !kernel.Multiplies() {
				e.serial(false, false, depth, columns, n, 1, m.columns(f, p, n), n, tile, columns, 1, dw, columns)
				return
			}
			o := kernel.Operands[T]{A: m.padded[p:], Rows: f.taps, Step: 1, B: tile, Stride: columns, K: n}
			kernel.Multiply(dw, columns, columns, &o, 1, kernel.Accumulate)
		})
	})
}

// input computes the derivative by the operand of the examples lo to hi where
// the convolution has no back: products by the weights, added up where they were
// read.
func (e *Engine[T]) input(f *unfold, dx, dy, w []T, m *workspace[T], lo, hi int, add bool) {
	depth, nx, ny := len(f.taps), f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	m.owner = nil
	f.each(lo, hi, func(i, g int) {
		dy, pad := dy[i*ny+g*f.out*f.outLen:], m.pad[:f.in*f.Len]
		clear(pad)
		f.tiles(func(p, n int) {
			tile, w := m.spread(f, dy, p, n), w[g*f.out*depth:]
			if f.depthwise() {
				for t, at := range f.taps {
					dst := pad[at+p:][:n]
					kernel.Sum(dst, 1, dst, w[t], tile)
				}
				return
			}
			e.serial(true, false, depth, n, f.out, 1, w, depth, tile, n, 0, m.cols, n)
			for t, at := range f.taps {
				dst := pad[at+p:][:n]
				kernel.Sum(dst, 1, dst, 1, m.cols[t*n:])
			}
		})
		for c := range f.in {
			unpad(f, dx[i*nx+(g*f.in+c)*f.inLen:], pad[c*f.Len:], add)
		}
	})
}

// unpad writes what padding keeps of one channel, or adds it.
func unpad[T program.Float](f *unfold, dx, pad []T, add bool) {
	dst := dx[:f.inLen]
	if !add {
		clear(dst)
	}
	for _, l := range f.Lines {
		at := l.From
		for _, v := range pad[l.To:][:l.N] {
			dst[at] += v
			at += f.Step
		}
	}
}

// examples is an operation on the examples of a batch, with a workspace for each range.
func (b *builder[T]) examples(name string, shape tensor.Shape, do func(c *call[T], m *workspace[T], lo, hi int)) op[T] {
	return op[T]{
		name: name, shape: shape, over: -1, grain: 1,
		run: func(c *call[T], lo, hi int) {
			m := <-b.Engine.conv.free
			do(c, m, lo, hi)
			b.Engine.conv.free <- m
		},
	}
}

// convolution adds a convolution.
func (b *builder[T]) convolution(o *program.Conv) *G.Node {
	f := newUnfold(o.Groups, o.Out, o.In, o.Window)
	e, there := b.Engine, b.farConv(o)
	if e.far == nil && f.few() {
		return b.joined(o, e.join(f, o.Window))
	}
	b.reserve(f)
	y := b.examples("conv", b.rows(f.groups*f.out*f.outLen), func(c *call[T], m *workspace[T], lo, hi int) {
		e.correlate(f, c.dst, c.in[0], c.in[1], m, lo, hi, false)
	})
	y.far = there.forward
	y.diff = func(x G.Nodes, _, dy *G.Node) G.Nodes {
		return G.Nodes{b.convInput(o, f, there, dy, x[1]), b.convWeights(f, there, dy, x[0])}
	}
	return b.apply(y, b.nodes[o.X], b.tensor(o.W))
}

// convInput adds the derivative by the input of a convolution.
func (b *builder[T]) convInput(o *program.Conv, f *unfold, there *farConv[T], dy, w *G.Node) *G.Node {
	e := b.Engine
	do := func(c *call[T], m *workspace[T], lo, hi int) { e.input(f, c.dst, c.in[0], c.in[1], m, lo, hi, c.add) }
	var before func(c *call[T])
	if back := f.back(o.Window); back != nil {
		b.reserve(back)
		turned := make([]T, w.Shape()[1])
		before = func(c *call[T]) { turn(f, turned, c.in[1]) }
		do = func(c *call[T], m *workspace[T], lo, hi int) {
			e.correlate(back, c.dst, c.in[0], turned, m, lo, hi, c.add)
		}
	}
	dx := b.examples("conv dx", b.rows(f.groups*f.in*f.inLen), do)
	dx.adds, dx.far, dx.before = true, there.byInput, before
	return b.apply(dx, dy, w)
}

// turn writes the weights as the convolution of back has them: inputs and
// outputs exchanged, kernels turned round.
func turn[T program.Float](f *unfold, dst, w []T) {
	n := len(f.Taps)
	for g := range f.groups {
		for i := range f.out {
			for j := range f.in {
				src, to := w[((g*f.out+i)*f.in+j)*n:][:n], dst[((g*f.in+j)*f.out+i)*n:][:n]
				for k, v := range src {
					to[n-1-k] = v
				}
			}
		}
	}
}

// convWeights adds the derivative by the weights of a convolution. The batch is
// cut into parts, whose number does not depend on that of the threads, and the
// parts' derivatives are added up in order.
func (b *builder[T]) convWeights(f *unfold, there *farConv[T], dy, x *G.Node) *G.Node {
	e := b.Engine
	depth, columns := len(f.taps), kernel.Columns[T](f.out)
	size := f.groups * depth * columns
	parts := max(2, min(8, b.opt.Batch, 1<<22/size))
	if e.far == nil {
		e.conv.sums = lists.Longer(e.conv.sums, parts*size)
	}
	dw := op[T]{name: "conv dw", shape: b.row(f.groups * f.out * depth), over: -1, grain: 1, span: parts, adds: true, far: there.byWeights}
	dw.run = func(c *call[T], lo, hi int) {
		m := <-e.conv.free
		for k := lo; k < hi; k++ {
			sum := e.conv.sums[k*size:][:size]
			clear(sum)
			e.weights(f, sum, c.in[0], c.in[1], m, k*c.n/parts, (k+1)*c.n/parts)
		}
		e.conv.free <- m
	}
	dw.after = func(c *call[T]) {
		// The first part becomes the sum, and the second, of which there is one at least, room for it turned.
		sum, turned := e.conv.sums[:size], e.conv.sums[size:]
		for k := 1; k < parts; k++ {
			kernel.Sum(sum, 1, sum, 1, e.conv.sums[k*size:])
		}
		for g := range f.groups {
			dst := c.dst[g*f.out*depth:][:f.out*depth]
			if !c.add {
				turned = dst
			}
			kernel.Transpose(turned, depth, sum[g*depth*columns:], columns, depth, f.out)
			if c.add {
				kernel.Sum(dst, 1, dst, 1, turned)
			}
		}
	}
	return b.apply(dw, dy, x)
}
