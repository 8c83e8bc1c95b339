package engine

import (
	"slices"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/program"
)

// unfold is the geometry of a convolution: how the products of its weights by
// its operand become matrix products.
//
// The operand is padded first. In padded memory, kernel position k of output
// position o reads base[o] + off[k]. With strides of 1, base runs through the
// padded memory, so that the column of k is one piece of it; the positions that
// are no outputs are computed too, and dropped.
type unfold struct {
	groups, out, in, kernel int
	inLen, outLen           int // positions of one channel
	padLen                  int
	rows                    []piece // the parts of the operand that padding keeps
	base, off               []int32
	// flat says that the strides are 1. A product is over length positions, step
	// at a time: those of the padded memory where it is flat, outputs elsewhere.
	flat         bool
	length, step int
	width        int // outputs that are neighbours
	// group is the number of examples that are one product, more than 1 where one
	// has few positions: else the weights would be read for a handful of columns.
	group int
}

// piece is n numbers at from that lie at to in padded memory.
type piece struct{ from, to, n int }

// tileSize is the number of elements of the unfolded operand worked on at a
// time: they stay in the second-level cache.
const tileSize = 1 << 15

func newUnfold(groups, out, in int, w *dag.Window) *unfold {
	f := &unfold{
		groups: groups, out: out, in: in, kernel: dag.Size(w.Kernel), inLen: dag.Size(w.In), outLen: dag.Size(w.Out()),
		padLen: 1, flat: true,
	}
	dims, shape := len(w.In), w.Out()
	stride := make([]int, dims) // of padded memory
	for d := dims - 1; d >= 0; d-- {
		stride[d] = f.padLen
		f.padLen *= max(w.In[d]+w.Before[d]+w.After[d], (shape[d]-1)*w.Stride[d]+w.Extent(d))
		f.flat = f.flat && w.Stride[d] == 1
	}
	f.base = positions(shape, func(d, i int) int { return i * w.Stride[d] * stride[d] })
	f.off = positions(w.Kernel, func(d, i int) int { return i * w.Dilation[d] * stride[d] })
	f.pieces(w, stride)
	f.width = shape[dims-1]
	f.step = max(128, tileSize/(in*f.kernel))
	f.length = f.outLen
	if f.flat {
		f.length = int(f.base[f.outLen-1]) + 1
		if f.length == f.outLen {
			f.width = f.length
		} else {
			row := f.padLen
			if dims > 1 {
				row = stride[dims-2]
			}
			f.step = max(1, f.step/row) * row
		}
	}
	f.group = 1
	return f
}

// gather makes groups of the examples of a batch, four at least.
func (f *unfold) gather(batch int) *unfold {
	if f.length < 128 && f.length <= f.step {
		f.group = max(1, min(256/f.length, batch/4))
	}
	return f
}

// positions lists, for each index of a shape, the sum of what its coordinates
// contribute.
func positions(shape []int, of func(d, i int) int) []int32 {
	out := []int32{0}
	for d, n := range shape {
		var next []int32
		for _, x := range out {
			for i := range n {
				next = append(next, x+int32(of(d, i)))
			}
		}
		out = next
	}
	return out
}

// pieces lists the rows of the operand that padding, which may crop, keeps.
func (f *unfold) pieces(w *dag.Window, stride []int) {
	last := len(w.In) - 1
	outside := -1 << 30
	starts := positions(w.In[:last], func(d, i int) int {
		if i += w.Before[d]; i < 0 || i >= w.In[d]+w.Before[d]+w.After[d] {
			return outside / (last + 1)
		}
		return i * stride[d]
	})
	lo, hi := max(0, -w.Before[last]), w.In[last]+min(0, w.After[last])
	for r, at := range starts {
		if at >= 0 && hi > lo {
			f.rows = append(f.rows, piece{r*w.In[last] + lo, int(at) + lo + w.Before[last], hi - lo})
		}
	}
}

// back is the geometry of the derivative by the operand, itself a convolution of
// the derivatives by the outputs with the kernel turned round; nil where strides
// or more padding than the kernel reaches forbid it.
func (f *unfold) back(w *dag.Window) *unfold {
	if !f.flat {
		return nil
	}
	b := dag.Window{In: w.Out(), Kernel: w.Kernel, Stride: w.Stride, Dilation: w.Dilation}
	for d := range w.In {
		reach := w.Extent(d) - 1
		if w.Before[d] < 0 || w.After[d] < 0 || w.Before[d] > reach || w.After[d] > reach {
			return nil
		}
		b.Before, b.After = append(b.Before, reach-w.Before[d]), append(b.After, reach-w.After[d])
	}
	return newUnfold(f.groups, f.in, f.out, &b)
}

// convMemory is what the convolutions of an engine share.
type convMemory[T program.Float] struct {
	free chan *workspace[T] // one for each goroutine
	// sums is for the derivatives by the weights of parts of a batch.
	sums []T
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
	step := max(min(f.step, f.length), f.group*f.length)
	for range cap(m.free) {
		w := <-m.free
		w.pad, w.cols, w.tile = longer(w.pad, f.in*f.padLen), longer(w.cols, f.in*f.kernel*step), longer(w.tile, f.out*step)
		m.free <- w
	}
}

// longer is x with at least n elements.
func longer[T program.Float](x []T, n int) []T {
	if len(x) < n {
		return make([]T, n)
	}
	return x
}

// prepare pads one group's operand.
func (m *workspace[T]) prepare(f *unfold, x []T) {
	if f.padLen == f.inLen {
		m.padded = x
		return
	}
	m.padded = m.pad[:f.in*f.padLen]
	if m.owner != f {
		clear(m.padded)
		m.owner = f
	}
	for c := range f.in {
		src, dst := x[c*f.inLen:][:f.inLen], m.padded[c*f.padLen:][:f.padLen]
		for _, r := range f.rows {
			copy(dst[r.to:][:r.n], src[r.from:])
		}
	}
}

// columns returns what n positions from p on read, of group g of some examples,
// the first of which is x: a matrix of a row for each channel and kernel
// position, and its leading dimension.
func (m *workspace[T]) columns(f *unfold, x []T, g, examples, p, n int) ([]T, int) {
	for e := range examples {
		if p == 0 {
			m.prepare(f, x[(e*f.groups+g)*f.in*f.inLen:])
		}
		if f.flat && f.kernel == 1 && examples == 1 {
			return m.padded[p:], f.padLen
		}
		for c := range f.in {
			src := m.padded[c*f.padLen:][:f.padLen]
			for k, off := range f.off {
				row := m.cols[((c*f.kernel+k)*examples+e)*n:][:n]
				if f.flat {
					copy(row, src[int(off)+p:])
					continue
				}
				for j, at := range f.base[p:][:n] {
					row[j] = src[at+off]
				}
			}
		}
	}
	return m.cols, examples * n
}

// gaps tells whether some positions are no outputs.
func (f *unfold) gaps() bool { return f.length != f.outLen }

// outputs calls do for each run of outputs of one channel among n positions from
// p on: so many outputs from o on lie at positions at, counted from p, and on.
func (f *unfold) outputs(p, n int, do func(o, at, many int)) {
	if !f.gaps() {
		do(p, 0, n)
		return
	}
	first, _ := slices.BinarySearch(f.base, int32(p))
	for o := first; o < f.outLen && int(f.base[o]) < p+n; o += f.width {
		do(o, int(f.base[o])-p, f.width)
	}
}

// each calls do for the products of the examples lo to hi: group g of so many
// examples from i on, at n positions from p on.
func (f *unfold) each(lo, hi int, do func(i, examples, g, p, n int)) {
	for i := lo; i < hi; i += f.group {
		for g := range f.groups {
			for p := 0; p < f.length; p += f.step {
				do(i, min(f.group, hi-i), g, p, min(f.step, f.length-p))
			}
		}
	}
}

// correlate computes the examples lo to hi.
func (e *Engine[T]) correlate(f *unfold, y, x, w []T, m *workspace[T], lo, hi int, add bool) {
	depth, nx, ny := f.in*f.kernel, f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	f.each(lo, hi, func(i, examples, g, p, n int) {
		cols, ld := m.columns(f, x[i*nx:], g, examples, p, n)
		w, y := w[g*f.out*depth:], y[i*ny+g*f.out*f.outLen:]
		if examples == 1 && !f.gaps() {
			e.serial(false, false, f.out, n, depth, 1, w, depth, cols, ld, weight[T](add), y[p:], f.outLen)
			return
		}
		all := examples * n
		e.serial(false, false, f.out, all, depth, 1, w, depth, cols, ld, 0, m.tile, all)
		for k := range examples * f.out {
			c, e := k/examples, k%examples
			dst, src := y[e*ny+c*f.outLen:][:f.outLen], m.tile[k*n:][:n]
			f.outputs(p, n, func(o, at, many int) {
				if !add {
					copy(dst[o:][:many], src[at:])
					return
				}
				for j, v := range src[at:][:many] {
					dst[o+j] += v
				}
			})
		}
	})
}

// spread returns one group's derivatives by the outputs at n positions from p
// on, zero where the positions are no outputs, and the leading dimension.
func (m *workspace[T]) spread(f *unfold, dy []T, g, examples, p, n int) ([]T, int) {
	if examples == 1 && !f.gaps() {
		return dy[g*f.out*f.outLen+p:], f.outLen
	}
	tile := m.tile[:f.out*examples*n]
	clear(tile)
	for k := range f.out * examples {
		c, e := k/examples, k%examples
		src, dst := dy[((e*f.groups+g)*f.out+c)*f.outLen:][:f.outLen], tile[k*n:][:n]
		f.outputs(p, n, func(o, at, many int) { copy(dst[at:][:many], src[o:]) })
	}
	return tile, examples * n
}

// weights adds the derivative by the weights of the examples lo to hi to dw.
func (e *Engine[T]) weights(f *unfold, dw, dy, x []T, m *workspace[T], lo, hi int) {
	depth, nx, ny := f.in*f.kernel, f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	f.each(lo, hi, func(i, examples, g, p, n int) {
		cols, ld := m.columns(f, x[i*nx:], g, examples, p, n)
		d, ldd := m.spread(f, dy[i*ny:], g, examples, p, n)
		e.serial(false, true, f.out, depth, examples*n, 1, d, ldd, cols, ld, 1, dw[g*f.out*depth:], depth)
	})
}

// input computes the derivative by the operand of the examples lo to hi where
// the convolution has no back: products by the weights, added up where they were
// read.
func (e *Engine[T]) input(f *unfold, dx, dy, w []T, m *workspace[T], lo, hi int, add bool) {
	depth, nx, ny := f.in*f.kernel, f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	m.owner = nil
	pad := m.pad[:f.in*f.padLen]
	f.each(lo, hi, func(i, examples, g, p, n int) {
		d, ld := m.spread(f, dy[i*ny:], g, examples, p, n)
		all := examples * n
		e.serial(true, false, depth, all, f.out, 1, w[g*f.out*depth:], depth, d, ld, 0, m.cols, all)
		for e := range examples {
			if p == 0 {
				clear(pad)
			}
			for r := range depth {
				dst, row, off := pad[r/f.kernel*f.padLen:][:f.padLen], m.cols[r*all+e*n:][:n], f.off[r%f.kernel]
				if f.flat {
					dst = dst[int(off)+p:]
					for j, v := range row {
						dst[j] += v
					}
					continue
				}
				for j, at := range f.base[p:][:n] {
					dst[at+off] += row[j]
				}
			}
			if p+n == f.length {
				unpad(f, dx[(i+e)*nx+g*f.in*f.inLen:], pad, add)
			}
		}
	})
}

// unpad writes what padding keeps of one group, or adds it.
func unpad[T program.Float](f *unfold, dx, pad []T, add bool) {
	for c := range f.in {
		src, dst := pad[c*f.padLen:][:f.padLen], dx[c*f.inLen:][:f.inLen]
		if !add {
			clear(dst)
		}
		for _, r := range f.rows {
			dst := dst[r.from:][:r.n]
			for j, v := range src[r.to:][:r.n] {
				dst[j] += v
			}
		}
	}
}

// examples is an operation on the examples of a batch, unit of them at a time, with
// a workspace for each range. What is one product does not depend on the number of
// threads, as the bits of the result must not.
func (b *builder[T]) examples(name string, shape tensor.Shape, unit int, do func(c *call[T], m *workspace[T], lo, hi int)) op[T] {
	return op[T]{
		name: name, shape: shape, over: -1, grain: 1, span: (b.opt.Batch + unit - 1) / unit,
		run: func(c *call[T], lo, hi int) {
			m := <-b.Engine.conv.free
			do(c, m, lo*unit, min(hi*unit, c.n))
			b.Engine.conv.free <- m
		},
	}
}

// convolution adds a convolution.
func (b *builder[T]) convolution(o *program.Conv) *G.Node {
	f := newUnfold(o.Groups, o.Out, o.In, o.Window).gather(b.opt.Batch)
	b.reserve(f)
	e, there := b.Engine, b.farConv(o)
	y := b.examples("conv", b.rows(f.groups*f.out*f.outLen), f.group, func(c *call[T], m *workspace[T], lo, hi int) {
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
	e, nx := b.Engine, f.groups*f.in*f.inLen
	back := f.back(o.Window)
	if back == nil {
		dx := b.examples("conv dx", b.rows(nx), f.group, func(c *call[T], m *workspace[T], lo, hi int) {
			e.input(f, c.dst, c.in[0], c.in[1], m, lo, hi, c.add)
		})
		dx.adds, dx.far = true, there.byInput
		return b.apply(dx, dy, w)
	}
	b.reserve(back.gather(b.opt.Batch))
	turned := make([]T, w.Shape()[1])
	dx := b.examples("conv dx", b.rows(nx), back.group, func(c *call[T], m *workspace[T], lo, hi int) {
		e.correlate(back, c.dst, c.in[0], turned, m, lo, hi, c.add)
	})
	dx.adds, dx.far = true, there.byInput
	dx.before = func(c *call[T]) { turn(f, turned, c.in[1]) }
	return b.apply(dx, dy, w)
}

// turn writes the weights as the convolution of back has them: inputs and
// outputs exchanged, kernels turned round.
func turn[T program.Float](f *unfold, dst, w []T) {
	for g := range f.groups {
		for i := range f.out {
			for j := range f.in {
				src, to := w[((g*f.out+i)*f.in+j)*f.kernel:][:f.kernel], dst[((g*f.in+j)*f.out+i)*f.kernel:][:f.kernel]
				for k, v := range src {
					to[f.kernel-1-k] = v
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
	size := f.groups * f.out * f.in * f.kernel
	parts := min(b.opt.Batch, max(2, min(8, 1<<22/size)))
	if e.far == nil {
		e.conv.sums = longer(e.conv.sums, parts*size)
	}
	dw := op[T]{name: "conv dw", shape: b.row(size), over: -1, grain: 1, span: parts, adds: true, far: there.byWeights}
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
		if !c.add {
			clear(c.dst)
		}
		for k := range parts {
			for j, v := range e.conv.sums[k*size:][:size] {
				c.dst[j] += v
			}
		}
	}
	return b.apply(dw, dy, x)
}
