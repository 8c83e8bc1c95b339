package paths

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// Backward returns h_out(u) = g_out(u)^(1/p) for every element u of every node
// of the body and of every preamble value that the body reads, for every order
// of p: the p-norm of the products along all paths from u to an output, 1 at
// an output itself. It reads each weight tensor once for all orders, in reverse
// order of the nodes. Biases play no part. Errors and cost are Forward's.
func Backward(n *dag.Network, p []float64, opt Options) *Values {
	opt.Carries = nil // units that meet need what Forward gives them: see Kappa
	return reversed(n, p, opt, nil)
}

// reversed is Backward, in is what Forward gave where paths go through products.
func reversed(n *dag.Network, p []float64, opt Options, in []*value) *Values {
	checkOrders(p)
	v := &Values{P: p, net: n, of: make([]*value, len(n.Nodes))}
	kept := make([]bool, len(n.Nodes))
	for _, i := range append(n.Ends(), opt.Keep...) {
		kept[i] = true
	}
	dag.Backward(n, &backward{p, opt, n.Nodes, in}, func(nd *dag.Node, h *value, ok bool) {
		switch {
		case opt.Keep != nil && !kept[nd.ID]:
		case ok:
			v.of[nd.ID] = h
		case nd.Zone == dag.Body:
			v.of[nd.ID] = constant(nd.Shape, p, scaled.Num{})
		}
	})
	return v
}

// backward is the reading of a network in which a value is h_out of its elements.
type backward struct {
	p     []float64
	opt   Options
	nodes []dag.Node
	in    []*value // what Forward gave where paths go through products
}

// Output implements dag.Reverse.
func (b *backward) Output(nd *dag.Node) *value { return constant(nd.Shape, b.p, scaled.One) }

// Merge implements dag.Reverse.
func (b *backward) Merge(_ *dag.Node, x, y *value) *value { return plus(x, y, b.opt.Threads, nil) }

// Linear implements dag.Reverse.
func (b *backward) Linear(_ *dag.Node, l *dag.Linear, h *value) *value {
	if len(h.h) > 0 && h.h[0].Zero() {
		// Nothing leaves a layer that reaches no output, whatever its weights.
		return constant([]int{l.Map.In().Len()}, b.p, scaled.Num{})
	}
	s := sums.Of(l, sums.Request{To: h.grid, Backward: h.h, Threads: b.opt.Threads})
	if len(b.p) == 0 {
		s.Operand = grid.Uniform(l.Map.In().Len())
	}
	return &value{s.Operand, s.Backward}
}

// Unary implements dag.Reverse.
func (b *backward) Unary(nd *dag.Node, op dag.Unary, h *value) *value { return gained(nd, op, h, nil) }

// Part implements dag.Reverse.
func (b *backward) Part(h *value, lo, hi int) *value { return h.at(h.grid.Part(lo, hi)) }

// Select implements dag.Reverse.
func (b *backward) Select(operand *dag.Node, taken []dag.Taken[*value]) *value {
	if len(taken) > maxCopies {
		return b.scattered(operand, taken)
	}
	out := b.selected(operand, taken[0])
	for _, t := range taken[1:] {
		out = plus(out, b.selected(operand, t), b.opt.Threads, nil)
	}
	return out
}

// selected is what one Select asks of its operand. An element that was taken several
// times sums what leaves each copy: the first copies of all elements are one Select,
// and so on.
func (b *backward) selected(operand *dag.Node, t dag.Taken[*value]) *value {
	var copies [][]int32
	taken := make([]int, operand.Len())
	for e, j := range t.Index {
		if j < 0 {
			continue
		}
		k := taken[j]
		taken[j]++
		if k == len(copies) {
			if k == maxCopies {
				return b.scattered(operand, []dag.Taken[*value]{t})
			}
			list := slices.Repeat([]int32{-1}, len(taken))
			copies = append(copies, list)
		}
		copies[k][j] = int32(e)
	}
	if copies == nil {
		return constant(operand.Shape, b.p, scaled.Num{})
	}
	out := t.H.at(t.H.grid.Select(t.By.Shape, operand.Shape, copies[0]))
	for _, list := range copies[1:] {
		out = plus(out, t.H.at(t.H.grid.Select(t.By.Shape, operand.Shape, list)), b.opt.Threads, nil)
	}
	return out
}

// maxCopies is the number of readers of a value, and of copies of one element, beyond
// which they are added up element by element.
const maxCopies = 8

// scattered adds what each element of the readers asks to the operand's.
func (b *backward) scattered(operand *dag.Node, taken []dag.Taken[*value]) *value {
	l, _ := grid.Uniform(operand.Len()).Spread(0)
	out := &value{grid: l}
	for k, p := range b.p {
		sum := make([]scaled.Num, operand.Len())
		for _, t := range taken {
			x := t.H.elements(k)
			for e, j := range t.Index {
				if j >= 0 {
					sum[j] = scaled.Plus(sum[j], x[e], p)
				}
			}
		}
		out.h = append(out.h, sums.Pack(p, sum))
	}
	return out
}

// Pool implements dag.Reverse.
func (b *backward) Pool(_ *dag.Node, op *dag.Pool, h *value) *value {
	l, g := sums.Windows(op.Window, op.Channels, true, h.grid, h.h, b.opt.Threads, nil)
	return &value{l, g}
}
