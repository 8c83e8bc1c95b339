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
		f.padLen *= max(w.In[d]+w.Before[d]+w.After[d], (shape[d]-1)*w.Stride[d]+(w.Kernel[d]-1)*w.Dilation[d]+1)
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
		reach := (w.Kernel[d] - 1) * w.Dilation[d]
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
	// owner is the geometry whose padding pad holds zeros in.
	owner *unfold
}

// reserve makes the memory long enough.
func (e *Engine[T]) reserve(f *unfold) {
	m := &e.conv
	if m.free == nil {
		m.free = make(chan *workspace[T], e.opt.Pool.Threads())
		for range cap(m.free) {
			m.free <- new(workspace[T])
		}
	}
	step := min(f.step, f.length)
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

// padded returns one group's operand with its padding.
func (m *workspace[T]) padded(f *unfold, x []T) []T {
	if f.padLen == f.inLen {
		return x
	}
	pad := m.pad[:f.in*f.padLen]
	if m.owner != f {
		clear(pad)
		m.owner = f
	}
	for c := range f.in {
		src, dst := x[c*f.inLen:][:f.inLen], pad[c*f.padLen:][:f.padLen]
		for _, r := range f.rows {
			copy(dst[r.to:][:r.n], src[r.from:])
		}
	}
	return pad
}

// columns returns what n positions from p on read: a matrix of a row for each
// channel and kernel position, and its leading dimension.
func (m *workspace[T]) columns(f *unfold, pad []T, p, n int) ([]T, int) {
	if f.flat && f.kernel == 1 {
		return pad[p:], f.padLen
	}
	dst := m.cols[:f.in*f.kernel*n]
	for c := range f.in {
		src := pad[c*f.padLen:][:f.padLen]
		for k, off := range f.off {
			row := dst[(c*f.kernel+k)*n:][:n]
			if f.flat {
				copy(row, src[int(off)+p:])
				continue
			}
			for j, at := range f.base[p:][:n] {
				row[j] = src[at+off]
			}
		}
	}
	return dst, n
}

// outputs calls do for each run of outputs of one channel among n positions from
// p on: n2 outputs from o on lie at positions at, counted from p, and on.
func (f *unfold) outputs(p, n int, do func(o, at int)) {
	first, _ := slices.BinarySearch(f.base, int32(p))
	for o := first; o < f.outLen && int(f.base[o]) < p+n; o += f.width {
		do(o, int(f.base[o])-p)
	}
}

// gaps tells whether some positions are no outputs.
func (f *unfold) gaps() bool { return f.length != f.outLen }

// correlate computes one example.
func (e *Engine[T]) correlate(f *unfold, y, x, w []T, m *workspace[T], add bool) {
	depth := f.in * f.kernel
	for g := range f.groups {
		pad := m.padded(f, x[g*f.in*f.inLen:])
		w, y := w[g*f.out*depth:], y[g*f.out*f.outLen:]
		for p := 0; p < f.length; p += f.step {
			n := min(f.step, f.length-p)
			cols, ld := m.columns(f, pad, p, n)
			if !f.gaps() {
				e.serial(false, false, f.out, n, depth, 1, w, depth, cols, ld, weight[T](add), y[p:], f.outLen)
				continue
			}
			e.serial(false, false, f.out, n, depth, 1, w, depth, cols, ld, 0, m.tile, n)
			for c := range f.out {
				dst, src := y[c*f.outLen:][:f.outLen], m.tile[c*n:][:n]
				f.outputs(p, n, func(o, at int) {
					if !add {
						copy(dst[o:][:f.width], src[at:])
						return
					}
					for j, v := range src[at:][:f.width] {
						dst[o+j] += v
					}
				})
			}
		}
	}
}

// spread returns one group's derivatives by the outputs at n positions from p
// on, zero where the positions are no outputs, and its leading dimension.
func (m *workspace[T]) spread(f *unfold, dy []T, p, n int) ([]T, int) {
	if !f.gaps() {
		return dy[p:], f.outLen
	}
	tile := m.tile[:f.out*n]
	clear(tile)
	for c := range f.out {
		src, dst := dy[c*f.outLen:][:f.outLen], tile[c*n:][:n]
		f.outputs(p, n, func(o, at int) { copy(dst[at:][:f.width], src[o:]) })
	}
	return tile, n
}

// weights adds the derivative by the weights of one example to dw.
func (e *Engine[T]) weights(f *unfold, dw, dy, x []T, m *workspace[T]) {
	depth := f.in * f.kernel
	for g := range f.groups {
		pad := m.padded(f, x[g*f.in*f.inLen:])
		for p := 0; p < f.length; p += f.step {
			n := min(f.step, f.length-p)
			cols, ld := m.columns(f, pad, p, n)
			d, ldd := m.spread(f, dy[g*f.out*f.outLen:], p, n)
			e.serial(false, true, f.out, depth, n, 1, d, ldd, cols, ld, 1, dw[g*f.out*depth:], depth)
		}
	}
}

// input computes the derivative by the operand of one example where the
// convolution has no back: products by the weights, added up where they were
// read.
func (e *Engine[T]) input(f *unfold, dx, dy, w []T, m *workspace[T], add bool) {
	depth := f.in * f.kernel
	for g := range f.groups {
		pad := m.pad[:f.in*f.padLen]
		clear(pad)
		m.owner = nil
		for p := 0; p < f.length; p += f.step {
			n := min(f.step, f.length-p)
			d, ld := m.spread(f, dy[g*f.out*f.outLen:], p, n)
			cols := m.cols[:depth*n]
			e.serial(true, false, depth, n, f.out, 1, w[g*f.out*depth:], depth, d, ld, 0, cols, n)
			for r := range depth {
				dst, row, off := pad[r/f.kernel*f.padLen:][:f.padLen], cols[r*n:][:n], f.off[r%f.kernel]
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
		}
		for c := range f.in {
			src, dst := pad[c*f.padLen:][:f.padLen], dx[(g*f.in+c)*f.inLen:][:f.inLen]
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
}

// examples is an operation on each example of a batch, with a workspace.
func (b *builder[T]) examples(name string, shape tensor.Shape, do func(c *call[T], m *workspace[T], example int)) op[T] {
	return op[T]{
		name: name, shape: shape, over: -1, grain: 1,
		run: func(c *call[T], lo, hi int) {
			m := <-b.Engine.conv.free
			for i := lo; i < hi; i++ {
				do(c, m, i)
			}
			b.Engine.conv.free <- m
		},
	}
}

// convolution adds a convolution.
func (b *builder[T]) convolution(o *program.Conv) *G.Node {
	f := newUnfold(o.Groups, o.Out, o.In, o.Window)
	b.reserve(f)
	e, nx, ny := b.Engine, f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	y := b.examples("conv", b.rows(ny), func(c *call[T], m *workspace[T], i int) {
		e.correlate(f, c.dst[i*ny:], c.in[0][i*nx:], c.in[1], m, false)
	})
	y.diff = func(x G.Nodes, _, dy *G.Node) G.Nodes {
		return G.Nodes{b.convInput(o, f, dy, x[1]), b.convWeights(f, dy, x[0])}
	}
	return b.apply(y, b.nodes[o.X], b.tensor(o.W))
}

// convInput adds the derivative by the input of a convolution.
func (b *builder[T]) convInput(o *program.Conv, f *unfold, dy, w *G.Node) *G.Node {
	e, nx, ny := b.Engine, f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	back := f.back(o.Window)
	if back == nil {
		dx := b.examples("conv dx", b.rows(nx), func(c *call[T], m *workspace[T], i int) {
			e.input(f, c.dst[i*nx:], c.in[0][i*ny:], c.in[1], m, c.add)
		})
		dx.adds = true
		return b.apply(dx, dy, w)
	}
	b.reserve(back)
	turned := make([]T, w.Shape()[1])
	dx := b.examples("conv dx", b.rows(nx), func(c *call[T], m *workspace[T], i int) {
		e.correlate(back, c.dst[i*nx:], c.in[0][i*ny:], turned, m, c.add)
	})
	dx.adds = true
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
func (b *builder[T]) convWeights(f *unfold, dy, x *G.Node) *G.Node {
	e, nx, ny := b.Engine, f.groups*f.in*f.inLen, f.groups*f.out*f.outLen
	size := f.groups * f.out * f.in * f.kernel
	parts := min(b.opt.Batch, max(2, min(8, 1<<22/size)))
	e.conv.sums = longer(e.conv.sums, parts*size)
	dw := b.examples("conv dw", b.row(size), func(c *call[T], m *workspace[T], k int) {
		sum := e.conv.sums[k*size:][:size]
		clear(sum)
		for i := k * c.n / parts; i < (k+1)*c.n/parts; i++ {
			e.weights(f, sum, c.in[0][i*ny:], c.in[1][i*nx:], m)
		}
	})
	dw.adds, dw.span = true, parts
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
