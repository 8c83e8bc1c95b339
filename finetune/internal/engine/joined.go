package engine

import (
	"slices"

	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
)

// joined are the products of a convolution whose examples have few positions: those of many examples are one
// product, of which each goroutine has some rows. The weights, and their derivative, are then read and written once for
// all of these examples. What each output reads is copied, so that no position of the products is padding.
type joined[T program.Float] struct {
	e                   *Engine[T]
	groups, out, in     int
	inLen, outLen, taps int // of one channel
	// reads has for each kernel position and each output which element of a channel is read, -1 for none;
	// taken has the same for each output and each kernel position.
	reads, taken []int
	examples     int // at a time
	// rows are where the rows of the weights begin, across where their columns do, of a panel of channels, and slopes where
	// the rows of the outputs' derivatives do, spaced numbers apart.
	rows, across, slopes []int
	spaced               int

	// Of the call in progress: the examples, n from first on, and the loops over parts of the work.
	call                                                        *call[T]
	first, n                                                    int
	byChannels, byExamples, bySlopes, outputs, inputs, gradient func(lo, hi int)
}

const (
	// joinedPositions is about how many positions are worked on at a time: so many columns of some hundred rows stay in
	// the second-level cache. joinedNumbers is the most numbers of a copy.
	joinedPositions, joinedNumbers = 384, 1 << 22
	// joinedRows are the most rows of a product at a time, and panel a number of rows that kernel.Multiply takes as
	// they are, on any machine.
	joinedRows, panel = 64, 8
	// fewPositions of an example are so few that weights are read for a handful of columns, and somePositions so few that this
	// matters where there are manyWeights.
	fewPositions, somePositions, manyWeights = 48, 128, 1 << 18
	// gatherCost is about how many multiplications take as long as the copy of an element.
	gatherCost = 48
)

// few tells whether examples have so few positions that products of single ones are slower than joined ones.
func (f *unfold) few() bool {
	padding := (f.length - f.outLen) * f.out
	return !f.depthwise() && f.outLen <= somePositions && (f.length <= fewPositions || padding > gatherCost*f.outLen ||
		f.out*len(f.taps) >= manyWeights)
}

// join returns the joined products of a convolution.
func (e *Engine[T]) join(f *unfold, w *dag.Window) *joined[T] {
	j := &joined[T]{e: e, groups: f.groups, out: f.out, in: f.in, inLen: f.inLen, outLen: f.outLen, taps: len(f.Taps), rows: f.rows}
	j.reads, j.taken = slices.Repeat([]int{-1}, j.taps*j.outLen), slices.Repeat([]int{-1}, j.taps*j.outLen)
	w.Taps(func(out, in, k int) { j.reads[k*j.outLen+out], j.taken[out*j.taps+k] = in, in })
	all := j.groups * j.in * j.taps
	most := max(1, min(joinedPositions, joinedNumbers/max(j.groups*j.out, all))/j.outLen)
	turns := (e.opt.Batch + most - 1) / most
	j.examples = (e.opt.Batch + turns - 1) / turns
	width := kernel.Columns[T](j.examples * j.outLen)
	m := &e.conv
	// Rows are read in whole vectors, the last one too.
	m.cols = lists.Longer(m.cols, max(j.groups*j.out, all)*width+width)
	m.tile = lists.Longer(m.tile, max(j.groups*j.out, all)*width)
	j.across, j.slopes = lists.Count(0, panel*j.taps), make([]int, joinedRows)
	j.byChannels, j.byExamples, j.bySlopes = j.copyColumns, j.copyRows, j.copySlopes
	j.outputs, j.inputs, j.gradient = j.multiply, j.multiplyBack, j.multiplySlopes
	return j
}

// joined adds a convolution by joined products.
func (b *builder[T]) joined(o *program.Conv, j *joined[T]) *G.Node {
	nx, ny := j.groups*j.in*j.inLen, j.groups*j.out*j.outLen
	y := op[T]{name: "conv", shape: b.rows(ny), over: -1, run: j.forward}
	y.diff = func(x G.Nodes, _, dy *G.Node) G.Nodes {
		dx := op[T]{name: "conv dx", shape: b.rows(nx), over: -1, adds: true, run: j.byInput}
		dw := op[T]{name: "conv dw", shape: b.row(j.groups * j.out * j.in * j.taps), over: -1, adds: true, run: j.byWeights}
		return G.Nodes{b.apply(dx, dy, x[1]), b.apply(dw, dy, x[0])}
	}
	return b.apply(y, b.nodes[o.X], b.tensor(o.W))
}

// forward computes the convolution of an operand by weights.
func (j *joined[T]) forward(c *call[T], _, _ int) {
	j.turns(c, func() {
		j.e.opt.Pool.Do(j.groups*j.in, grain(j.taps*j.n*j.outLen), j.byChannels)
		j.do(j.out, j.outputs)
	})
}

// byInput computes the derivative by the operand, of that by the outputs and the weights.
func (j *joined[T]) byInput(c *call[T], _, _ int) {
	j.turns(c, func() {
		j.e.opt.Pool.Do(j.groups*j.out, grain(j.n*j.outLen), j.bySlopes)
		j.do(j.in, j.inputs)
	})
}

// byWeights computes the derivative by the weights, of that by the outputs and the operand.
func (j *joined[T]) byWeights(c *call[T], _, _ int) {
	j.turns(c, func() {
		j.e.opt.Pool.Do(j.n, grain(j.groups*j.in*j.taps*j.outLen), j.byExamples)
		if n := j.n * j.outLen; n != j.spaced {
			j.spaced = n
			for i := range j.slopes {
				j.slopes[i] = i * n
			}
		}
		j.do(j.out, j.gradient)
	})
}

// turns calls do for the examples of a call, so many at a time.
func (j *joined[T]) turns(c *call[T], do func()) {
	j.call = c
	for j.first = 0; j.first < c.n; j.first += j.examples {
		j.n = min(j.examples, c.n-j.first)
		do()
	}
}

// do splits n rows of each group, in panels.
func (j *joined[T]) do(n int, part func(lo, hi int)) {
	j.e.opt.Pool.Do(j.groups*((n+panel-1)/panel), grain(j.out*j.in*j.taps*j.n*j.outLen*panel/n), part)
}

// blocks calls do for the panels lo to hi of n rows in each group, some at a time: rows a to b of group g.
func (j *joined[T]) blocks(lo, hi, n int, do func(g, a, b int)) {
	each := (n + panel - 1) / panel
	for lo < hi {
		g := lo / each
		end := min(hi, (g+1)*each, lo+joinedRows/panel)
		do(g, (lo-g*each)*panel, min(n, (end-g*each)*panel))
		lo = end
	}
}

// width is how far rows of all positions are apart.
func (j *joined[T]) width() int { return kernel.Columns[T](j.n * j.outLen) }

// product is kernel.Multiply, and a library's product where that is faster.
func (j *joined[T]) product(c []T, ldc, n int, o *kernel.Operands[T], mode kernel.Store) {
	if kernel.Multiplies() {
		kernel.Multiply(c, ldc, n, o, 1, mode)
		return
	}
	across, lda := o.Step > 1, o.Step
	if !across {
		lda = max(o.K, o.Rows[len(o.Rows)-1]/max(1, len(o.Rows)-1))
	}
	j.e.serial(across, false, len(o.Rows), n, o.K, 1, o.A, lda, o.B, o.Stride, weight[T](mode == kernel.Accumulate), c, ldc)
}

// copyColumns writes what channels lo to hi give: a row for each tap, of all positions.
func (j *joined[T]) copyColumns(lo, hi int) {
	nx, width := j.groups*j.in*j.inLen, j.width()
	x := j.call.in[0][j.first*nx:]
	for ch := lo; ch < hi; ch++ {
		for e := range j.n {
			src := x[e*nx+ch*j.inLen:][:j.inLen]
			for k := range j.taps {
				pick(j.e.conv.cols[(ch*j.taps+k)*width+e*j.outLen:], src, j.reads[k*j.outLen:][:j.outLen])
			}
		}
	}
}

// pick copies elements, zero for those that are none.
func pick[T program.Float](dst, src []T, at []int) {
	dst = dst[:len(at)]
	for i, k := range at {
		v := T(0)
		if uint(k) < uint(len(src)) {
			v = src[k]
		}
		dst[i] = v
	}
}

// copyRows writes what positions of examples lo to hi read, a row each, and the derivatives by their outputs, a column
// each.
func (j *joined[T]) copyRows(lo, hi int) {
	m, all, n := &j.e.conv, j.groups*j.in*j.taps, j.n*j.outLen
	for e := lo; e < hi; e++ {
		dy, x := j.example(j.call.in[0], e, j.groups*j.out*j.outLen), j.example(j.call.in[1], e, j.groups*j.in*j.inLen)
		for r := range j.groups * j.out {
			copy(m.tile[r*n+e*j.outLen:][:j.outLen], dy[r*j.outLen:])
		}
		for o := range j.outLen {
			row := m.cols[(e*j.outLen+o)*all:]
			for ch := range j.groups * j.in {
				pick(row[ch*j.taps:], x[ch*j.inLen:][:j.inLen], j.taken[o*j.taps:][:j.taps])
			}
		}
	}
}

// example is one of those that are worked on, of so many numbers.
func (j *joined[T]) example(x []T, e, numbers int) []T { return x[(j.first+e)*numbers:][:numbers] }

// copySlopes writes rows lo to hi of the derivatives by the outputs, of all positions.
func (j *joined[T]) copySlopes(lo, hi int) {
	width := j.width()
	for e := range j.n {
		dy := j.example(j.call.in[0], e, j.groups*j.out*j.outLen)
		for r := lo; r < hi; r++ {
			copy(j.e.conv.cols[r*width+e*j.outLen:][:j.outLen], dy[r*j.outLen:])
		}
	}
}

// multiply computes panels of outputs.
func (j *joined[T]) multiply(lo, hi int) {
	c, m, depth, width := j.call, &j.e.conv, j.in*j.taps, j.width()
	for l := 0; l < depth; l += terms {
		j.blocks(lo, hi, j.out, func(g, a, b int) {
			r := g*j.out + a
			j.product(m.tile[r*width:], width, width, &kernel.Operands[T]{
				A: c.in[1][r*depth+l:], Rows: j.rows[:b-a], Step: 1, B: m.cols[(g*depth+l)*width:], Stride: width, K: min(terms, depth-l),
			}, later(l > 0))
		})
	}
	j.blocks(lo, hi, j.out, func(g, a, b int) {
		for e := range j.n {
			y := j.example(c.dst, e, j.groups*j.out*j.outLen)
			for r := g*j.out + a; r < g*j.out+b; r++ {
				copy(y[r*j.outLen:][:j.outLen], m.tile[r*width+e*j.outLen:])
			}
		}
	})
}

// later tells whether a product is added to what is there.
func later(yes bool) kernel.Store {
	if yes {
		return kernel.Accumulate
	}
	return kernel.Overwrite
}

// multiplyBack computes what taps of panels of channels read, and adds that up.
func (j *joined[T]) multiplyBack(lo, hi int) {
	c, m, depth, width := j.call, &j.e.conv, j.in*j.taps, j.width()
	j.blocks(lo, hi, j.in, func(g, a, b int) {
		for ch := a; ch < b; ch += panel {
			rows := j.across[:min(panel, b-ch)*j.taps]
			for l := 0; l < j.out; l += terms {
				j.product(m.tile[(g*j.in+ch)*j.taps*width:], width, width, &kernel.Operands[T]{
					A: c.in[1][(g*j.out+l)*depth+ch*j.taps:], Rows: rows, Step: depth, B: m.cols[(g*j.out+l)*width:], Stride: width, K: min(terms, j.out-l),
				}, later(l > 0))
			}
		}
		for e := range j.n {
			dx := j.example(c.dst, e, j.groups*j.in*j.inLen)
			for ch := g*j.in + a; ch < g*j.in+b; ch++ {
				dst := dx[ch*j.inLen:][:j.inLen]
				if !c.add {
					clear(dst)
				}
				for k := range j.taps {
					src := m.tile[(ch*j.taps+k)*width+e*j.outLen:][:j.outLen]
					for o, at := range j.reads[k*j.outLen:][:j.outLen] {
						if uint(at) < uint(len(dst)) {
							dst[at] += src[o]
						}
					}
				}
			}
		}
	})
}

// multiplySlopes computes the derivative by panels of the weights.
func (j *joined[T]) multiplySlopes(lo, hi int) {
	c, m, depth, n := j.call, &j.e.conv, j.in*j.taps, j.n*j.outLen
	j.blocks(lo, hi, j.out, func(g, a, b int) {
		r := g*j.out + a
		j.product(c.dst[r*depth:], depth, depth, &kernel.Operands[T]{
			A: m.tile[r*n:], Rows: j.slopes[:b-a], Step: 1, B: m.cols[g*depth:], Stride: j.groups * depth, K: n,
		}, later(c.add || j.first > 0))
	})
}
