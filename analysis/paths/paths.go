package paths

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Bias says whether biases are edges of paths, from a constant unit of value 1.
type Bias uint8

// The bias policies.
const (
	// Include counts a bias as one more incoming weight of its unit.
	Include Bias = iota
	// Exclude leaves biases out.
	Exclude
)

// String returns include or exclude.
func (b Bias) String() string { return [...]string{"include", "exclude"}[b] }

// Options says how to run path programmes. The zero value works.
type Options struct {
	// Bias is the policy for biases. Default: Include.
	Bias Bias
	// Threads is the number of goroutines. Default: 1.
	Threads int
	// Rows lists orders p of row norms to take in the same read of each weight
	// tensor: see Norms. Forward only. Default: none.
	Rows []float64
	// Zeros asks for the numbers of zeros in the same read: see Norms.
	// Forward only.
	Zeros bool
	// Columns asks for the columns' norms of order 2 in the same read: see
	// Norms. Forward only.
	Columns bool
	// Keep lists the nodes whose values are kept, besides the body's outputs;
	// the others are dropped as soon as they were used. Default (nil): all.
	Keep []int
	// Progress is called when a layer is done, with the number of layers until then and
	// of all. Forward only. Default: nothing.
	Progress func(done, all int)
	// Largest makes Lipschitz take the largest number of a maximum's operands. Default: the
	// sum.
	Largest bool
	// Carries makes paths go through products of two values, along the operands that it
	// lists: see dag.Groups.Carries. The other operand is 1 for a path; where both go
	// through, paths end at the product, and what leaves a unit are the paths to the units
	// that it meets. In this way h_in grows as a unit's factor, and h_out shrinks, at every
	// unit that rescaling may change. Default: segments end at products.
	Carries [][]int
}

// Values holds the result of path programmes, one for each order.
type Values struct {
	// P lists the orders.
	P []float64
	// Layers has, after Forward, the norms of each *dag.Linear of the body; nil
	// for other nodes.
	Layers []*Norms

	net *dag.Network
	of  []*value
}

// Norms are sums over the effective weights diag(Scale) W of a layer, biases left
// out. Shared weights of a convolution count once.
type Norms struct {
	// Rows has, for each of Options.Rows, the norm of each row (unit).
	Rows [][]scaled.Num
	// Columns has, with Options.Columns, the 2-norm of each column (input unit or
	// channel); nil for a constant.
	Columns []scaled.Num
	// Zeros counts the weights that are zero with Options.Zeros, Weights all of
	// them; fixed weights do not count.
	Zeros, Weights int
}

// RowNorms returns (sum_j |w_ij|^p)^(1/p) of each row i of a layer's effective
// weights, biases left out; shared weights of a convolution count once.
func RowNorms(l *dag.Linear, p float64, threads int) []scaled.Num {
	return sums.Of(l, sums.Request{Powers: []float64{p}, Threads: threads}).Rows[0]
}

// value is h of a node's elements for each order, one number a cell.
type value struct {
	grid *grid.Layout
	h    []sums.Path
}

// constant is a value whose elements are all x, of the orders p.
func constant(shape []int, p []float64, x scaled.Num) *value {
	v := &value{grid: grid.Uniform(shape...)}
	for _, order := range p {
		v.h = append(v.h, sums.Constant(order, v.grid.Cells(), x))
	}
	return v
}

// at is x over the cells of another layout, which come from its own.
func (x *value) at(l *grid.Layout, from []int32) *value { return x.lent(l, from, nil) }

// lent is at with numbers of some memory.
func (x *value) lent(l *grid.Layout, from []int32, mem *sums.Memory) *value {
	out := &value{l, make([]sums.Path, len(x.h))}
	for k, h := range x.h {
		out.h[k] = h.Gather(from, mem)
	}
	return out
}

// elements is h of order k, one number an element; nil for no value.
func (x *value) elements(k int) []scaled.Num {
	if x == nil {
		return nil
	}
	return grid.Expand(x.grid, x.h[k].Nums())
}

// plus is the p-norm of two values, element by element.
func plus(x, y *value, threads int, mem *sums.Memory) *value {
	l, from := grid.Join(x.grid, y.grid)
	x, y = x.lent(l, from[0], mem), y.lent(l, from[1], mem)
	out := &value{l, make([]sums.Path, len(x.h))}
	sums.Each(len(x.h), l.Cells(), threads, func(k, threads int) { out.h[k] = sums.Plus(x.h[k], y.h[k], threads, mem) })
	return out
}

// gained multiplies by max(1, |slope|); a ReLU changes nothing and shares.
func gained(nd *dag.Node, op dag.Unary, x *value, mem *sums.Memory) *value {
	gains := op.Gains()
	switch len(gains) {
	case 0:
		return x
	case 1:
		gains = slices.Repeat(gains, nd.Len())
	}
	by, w := sums.Elements(gains, nd.Shape)
	l, h := sums.Times(x.grid, x.h, by, w, mem)
	return &value{l, h}
}

// checkOrders panics on an order outside [1, Inf].
func checkOrders(p []float64) {
	for _, x := range p {
		if !(x >= 1) {
			panic(fmt.Sprintf("paths: order p = %v, want a number from 1 to Inf", x))
		}
	}
}

// Forward returns h_in(v) = g_in(v)^(1/p) for every element v of every node and
// every order of p, each in [1, Inf]. NaN and infinite weights give NaN or
// infinite h wherever they can be reached. It panics on an order outside [1, Inf].
//
// Cost: of a fully connected layer one pass over the weights for all orders (a
// power a weight for each p other than 1, 2 and Inf). Of a convolution one product
// for each order, of the weights with the positions that differ: those whose
// windows meet a border in another way, some nine of an image's thousands.
func Forward(n *dag.Network, p []float64, opt Options) *Values {
	if opt.Keep != nil {
		opt.Keep = append(n.Ends(), opt.Keep...)
	}
	return forwards(n, p, opt)
}

// forwards is Forward; Keep lists all that is kept.
func forwards(n *dag.Network, p []float64, opt Options) *Values {
	checkOrders(p)
	v := &Values{P: p, Layers: make([]*Norms, len(n.Nodes)), net: n}
	skip := n.Unmeasured()
	if opt.Carries != nil {
		skip = n.SkipThrough(opt.Carries)
	}
	f := &forward{Values: v, opt: opt}
	for i := range n.Nodes {
		if f.measured(&n.Nodes[i]) && !skip(&n.Nodes[i]) {
			f.all++
		}
	}
	if opt.Keep != nil {
		f.mem = sums.NewMemory()
	}
	v.of = dag.Forward(n, f, skip, opt.Keep)
	for i, x := range v.of {
		if x != nil && f.mem != nil {
			v.of[i] = &value{x.grid, f.mem.Own(x.h)}
		}
	}
	return v
}

// H returns h of each element of a node's value, of order k: h_in after Forward,
// h_out after Backward. It is nil for nodes of the head, for those that
// Options.Keep left out, and after Backward also inside the preamble. It must not
// be written to.
func (v *Values) H(k, node int) []scaled.Num { return v.of[node].elements(k) }

// forward is the reading of a network in which a value is h_in of its elements.
type forward struct {
	*Values
	opt Options
	// done and all are numbers of layers.
	done, all int
	// mem is where numbers lie until their values are dropped; nil where all are kept.
	mem *sums.Memory
}

// Hold implements dag.Holder.
func (f *forward) Hold(x *value) {
	f.mem.Hold(x.h)
	f.mem.Settle()
}

// Drop implements dag.Holder.
func (f *forward) Drop(x *value) { f.mem.Drop(x.h) }

// measured reports whether a node is a layer behind the preamble.
func (*forward) measured(nd *dag.Node) bool {
	_, ok := nd.Op.(*dag.Linear)
	return ok && nd.Zone != dag.Preamble
}

// Input implements dag.Meaning.
func (f *forward) Input(nd *dag.Node) *value { return constant(nd.Shape, f.P, scaled.One) }

// Linear implements dag.Meaning: all orders, and the norms. Every element of the
// preamble is 1, but for padding, which is 0 until something is added to it.
func (f *forward) Linear(nd *dag.Node, l *dag.Linear, x *value) *value {
	if nd.Zone == dag.Preamble {
		if l.Bias() == nil {
			return x
		}
		return f.Input(nd)
	}
	q := sums.Request{Powers: f.opt.Rows, Zeros: f.opt.Zeros, Threads: f.opt.Threads, Memory: f.mem}
	if x == nil {
		x = constant(nd.Shape, f.P, scaled.Num{})
	}
	q.From, q.Forward = x.grid, x.h
	if f.opt.Bias != Exclude {
		q.Bias = l.Bias()
	}
	if f.opt.Columns && l.Map != nil {
		q.Columns = []float64{2}
	}
	s := sums.Of(l, q)
	norms := &Norms{Rows: s.Rows, Zeros: s.Zeros, Weights: s.Weights}
	if q.Columns != nil {
		norms.Columns = s.Columns[0]
	}
	f.Layers[nd.ID] = norms
	if f.done++; f.opt.Progress != nil {
		f.opt.Progress(f.done, f.all)
	}
	out := &value{s.Value, s.Forward}
	if len(f.P) == 0 {
		out.grid = grid.Uniform(nd.Shape...)
	}
	return out
}

// Unary implements dag.Meaning.
func (f *forward) Unary(nd *dag.Node, op dag.Unary, x *value) *value { return gained(nd, op, x, f.mem) }

// Join implements dag.Meaning: the p-norm of the operands, element by element.
func (f *forward) Join(_ *dag.Node, xs []*value) *value {
	out := xs[0]
	for _, x := range xs[1:] {
		out = plus(out, x, f.opt.Threads, f.mem)
	}
	return out
}

// Concat implements dag.Meaning.
func (f *forward) Concat(_ *dag.Node, xs []*value) *value {
	ls := lists.Map(xs, func(x *value) *grid.Layout { return x.grid })
	l, from := grid.Concat(ls...)
	out := &value{l, make([]sums.Path, len(f.P))}
	sums.Each(len(f.P), l.Cells(), f.opt.Threads, func(k, _ int) {
		hs := lists.Map(xs, func(x *value) sums.Path { return x.h[k] })
		out.h[k] = sums.Concat(hs, from, f.mem)
	})
	return out
}

// Select implements dag.Meaning.
func (f *forward) Select(nd, operand *dag.Node, index []int32, x *value) *value {
	l, from := x.grid.Select(operand.Shape, nd.Shape, index)
	return x.lent(l, from, f.mem)
}

// Pool implements dag.Meaning: the p-norm of each window, that of a sum, so that
// every path counts.
func (f *forward) Pool(_ *dag.Node, op *dag.Pool, x *value) *value {
	l, h := sums.Windows(op.Window, op.Channels, false, x.grid, x.h, f.opt.Threads, f.mem)
	return &value{l, h}
}

// Func implements dag.Meaning: segments begin with ones, as inputs do.
func (f *forward) Func(nd *dag.Node, op *dag.Func, xs []*value) *value {
	if f.opt.Carries == nil || len(f.opt.Carries[nd.ID]) != 1 {
		return f.Input(nd)
	}
	k := f.opt.Carries[nd.ID][0]
	if xs[k] == nil {
		return f.Input(nd)
	}
	if m, ok := op.Form.(*dag.Matrices); ok {
		return product(m, k, nd.Shape, xs[k], f.P)
	}
	return xs[k]
}

// PerOutput returns phi_j = g_in(out_j)^(1/p) for each element of the body's outputs in order, order k,
// after Forward: the p-norm of the path vector over paths that end in it.
func (v *Values) PerOutput(k int) []scaled.Num {
	var out []scaled.Num
	for _, i := range v.net.Boundary() {
		out = append(out, v.H(k, i)...)
	}
	return out
}

// SegmentNorm is PathNorm over the paths of one segment of the network, from its
// starts to its ends.
func (v *Values) SegmentNorm(k int, s *dag.Segment) scaled.Num {
	return v.norm(k, s.Ends)
}

// norm is over the paths that end in some nodes.
func (v *Values) norm(k int, ends []int) scaled.Num {
	p := v.P[k]
	var h []scaled.Num
	for _, i := range ends {
		x := v.of[i]
		if x == nil {
			continue
		}
		nums := x.h[k].Nums()
		for c, n := range x.grid.Counts() {
			y := nums[c] // of n elements
			if n > 1 && !math.IsInf(p, 1) {
				y = y.Mul(scaled.New(float64(n)).Root(p))
			}
			h = append(h, y)
		}
	}
	return scaled.Norm(h, p)
}

// PathNorm returns ||pi||_p = (sum_j phi_j^p)^(1/p) of order k, after Forward;
// for p = Inf, the largest product of weights of a path. It is invariant under
// rescaling. Source: Neyshabur, Tomioka, Srebro, COLT 2015, section 3.
func (v *Values) PathNorm(k int) scaled.Num { return v.norm(k, v.net.Boundary()) }

// MaxOutput returns the largest phi_j of order k, after Forward; zero without
// outputs.
func (v *Values) MaxOutput(k int) scaled.Num {
	var most []scaled.Num
	for _, i := range v.net.Boundary() {
		if x := v.of[i]; x != nil {
			most = append(most, scaled.Norm(x.h[k].Nums(), math.Inf(1)))
		}
	}
	return scaled.Norm(most, math.Inf(1))
}
