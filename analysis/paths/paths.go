package paths

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
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
	// tensor: see Values.Sums. Forward only. Default: none.
	Rows []float64
	// Zeros asks for the numbers of zeros in the same read: see Values.Sums.
	// Forward only.
	Zeros bool
	// Columns asks for the columns' norms of order 2 in the same read: see
	// Values.Columns. Forward only.
	Columns bool
	// Keep lists the nodes whose values are kept, besides the body's outputs;
	// the others are dropped as soon as they were used. Default (nil): all.
	Keep []int
}

// Values holds the result of path programmes, one for each order.
type Values struct {
	// P lists the orders.
	P []float64
	// H has, for each order and each node, h of each element of the node's
	// value: h_in after Forward, h_out after Backward. It is nil for nodes of
	// the head, for those that Options.Keep left out, and after Backward also
	// inside the preamble. Elements of different nodes may share memory: do not
	// write to them.
	H [][][]scaled.Num
	// Sums has, after Forward, for each *dag.Linear of the body the row norms
	// of its effective weights for each of Options.Rows, biases left out, its
	// number of weights and, with Options.Zeros, that of zeros. Nil for other
	// nodes.
	Sums []*dag.Sums
	// Columns has, after Forward with Options.Columns, for each *dag.Linear of
	// the body the 2-norm of each column of the effective weights; shared
	// weights of a convolution count once.
	Columns [][]scaled.Num

	net *dag.Network
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
// every order of p, each in [1, Inf]. It reads each weight tensor once for all
// orders. NaN and infinite weights give NaN or infinite h wherever they can be
// reached. It panics on an order outside [1, Inf].
//
// Cost: one pass over the weights (a power a weight for each p other than 1, 2
// and Inf), one for each position of a convolution.
func Forward(n *dag.Network, p []float64, opt Options) *Values {
	checkOrders(p)
	v := newValues(n, p)
	v.Sums = make([]*dag.Sums, len(n.Nodes))
	if opt.Columns {
		v.Columns = make([][]scaled.Num, len(n.Nodes))
	}
	keep := opt.Keep
	if keep != nil {
		keep = append(n.Boundary(), keep...)
	}
	for i, h := range dag.Forward(n, &forward{v, opt}, nil, keep) {
		for k := range h {
			v.H[k][i] = h[k]
		}
	}
	return v
}

func newValues(n *dag.Network, p []float64) *Values {
	v := &Values{P: p, H: make([][][]scaled.Num, len(p)), net: n}
	for k := range v.H {
		v.H[k] = make([][]scaled.Num, len(n.Nodes))
	}
	return v
}

// forward is the reading of a network in which a value is h_in of its elements,
// for each order.
type forward struct {
	*Values
	opt Options
}

// each computes a value for every order. In the preamble the orders agree: there
// every element is 1, but for padding, which is 0 until something is added to it.
func (f *forward) each(nd *dag.Node, h func(k int, p float64) []scaled.Num) [][]scaled.Num {
	out := make([][]scaled.Num, len(f.P))
	for k, p := range f.P {
		if k > 0 && nd.Zone == dag.Preamble {
			out[k] = out[0]
			continue
		}
		out[k] = h(k, p)
	}
	return out
}

// Input implements dag.Meaning.
func (f *forward) Input(nd *dag.Node) [][]scaled.Num {
	return f.each(nd, func(int, float64) []scaled.Num { return ones(nd.Len()) })
}

// Linear implements dag.Meaning: all orders with one read of the weights.
func (f *forward) Linear(nd *dag.Node, l *dag.Linear, x [][]scaled.Num) [][]scaled.Num {
	if nd.Zone == dag.Preamble {
		if l.Bias() == nil {
			return x
		}
		return f.Input(nd)
	}
	q := dag.SumRequest{Powers: f.opt.Rows, Zeros: f.opt.Zeros, Threads: f.opt.Threads}
	for k, p := range f.P {
		path := dag.Path{P: p}
		if l.Map != nil {
			path.H = x[k]
		}
		q.Forward = append(q.Forward, path)
	}
	if f.opt.Columns && l.Map != nil {
		q.Columns = []float64{2}
	}
	s := l.Sums(q)
	h := s.Forward
	for k, p := range f.P {
		if f.opt.Bias == Include {
			addBias(h[k], l, p)
		}
	}
	if q.Columns != nil {
		f.Columns[nd.ID] = s.Columns[0]
	}
	s.Forward, s.Columns = nil, nil
	f.Sums[nd.ID] = s
	return h
}

// addBias adds the edge from the constant unit to each element of a layer.
func addBias(h []scaled.Num, l *dag.Linear, p float64) {
	bias := l.Bias()
	if bias == nil {
		return
	}
	out := l.Out()
	for i := range out.Outer * out.N {
		b := scaled.New(math.Abs(bias[i%out.N]))
		for e, x := range h[i*out.Inner:][:out.Inner] {
			h[i*out.Inner+e] = scaled.Plus(x, b, p)
		}
	}
}

// Activation implements dag.Meaning.
func (f *forward) Activation(nd *dag.Node, a *dag.Activation, x [][]scaled.Num) [][]scaled.Num {
	return f.each(nd, func(k int, _ float64) []scaled.Num { return gained(a, x[k]) })
}

// gained multiplies by max(1, |slope|); a ReLU changes nothing and shares.
func gained(a *dag.Activation, h []scaled.Num) []scaled.Num {
	if len(a.Slope) == 1 && a.Gain(0) == 1 {
		return h
	}
	out := make([]scaled.Num, len(h))
	for e, x := range h {
		out[e] = x.MulFloat(a.Gain(e))
	}
	return out
}

// Join implements dag.Meaning: the p-norm of the operands, element by element.
func (f *forward) Join(nd *dag.Node, xs [][][]scaled.Num) [][]scaled.Num {
	if len(xs) == 1 {
		return xs[0]
	}
	return f.each(nd, func(k int, p float64) []scaled.Num {
		out := slices.Clone(xs[0][k])
		kernel.Parallel(len(out), f.opt.Threads, 1<<12, func(lo, hi int) {
			for _, x := range xs[1:] {
				for e, y := range x[k][lo:hi] {
					out[lo+e] = scaled.Plus(out[lo+e], y, p)
				}
			}
		})
		return out
	})
}

// Concat implements dag.Meaning.
func (f *forward) Concat(nd *dag.Node, xs [][][]scaled.Num) [][]scaled.Num {
	return f.each(nd, func(k int, _ float64) []scaled.Num {
		out := make([]scaled.Num, 0, nd.Len())
		for _, x := range xs {
			out = append(out, x[k]...)
		}
		return out
	})
}

// Select implements dag.Meaning.
func (f *forward) Select(nd *dag.Node, index []int32, x [][]scaled.Num) [][]scaled.Num {
	return f.each(nd, func(k int, _ float64) []scaled.Num {
		out := make([]scaled.Num, len(index))
		for e, j := range index {
			if j >= 0 {
				out[e] = x[k][j]
			}
		}
		return out
	})
}

// Pool implements dag.Meaning: the p-norm of each window, that of a sum, so that
// every path counts.
func (f *forward) Pool(nd *dag.Node, op *dag.Pool, x [][]scaled.Num) [][]scaled.Num {
	ones := make([]float64, dag.Size(op.Window.Out()))
	for i := range ones {
		ones[i] = 1
	}
	sum := &dag.Linear{Map: &dag.Average{Channels: op.Channels, Window: *op.Window, Weights: ones}}
	q := dag.SumRequest{Threads: f.opt.Threads}
	for k, p := range f.P {
		q.Forward = append(q.Forward, dag.Path{P: p, H: x[k]})
	}
	return sum.Sums(q).Forward
}

// Func implements dag.Meaning; functions are in the head.
func (f *forward) Func(*dag.Node, *dag.Func, [][][]scaled.Num) [][]scaled.Num { return nil }

func ones(n int) []scaled.Num {
	out := make([]scaled.Num, n)
	for i := range out {
		out[i] = scaled.One
	}
	return out
}

// Output is one element of the body's outputs.
type Output struct {
	// Node is the body's output, Element the index within its value.
	Node, Element int
}

// Outputs lists the elements of the body's outputs, in order.
func Outputs(n *dag.Network) []Output {
	var out []Output
	for _, i := range n.Boundary() {
		for e := range n.Nodes[i].Len() {
			out = append(out, Output{i, e})
		}
	}
	return out
}

// PerOutput returns phi_j = g_in(out_j)^(1/p) for each of Outputs, order k,
// after Forward: the p-norm of the path vector over paths that end in it.
func (v *Values) PerOutput(k int) []scaled.Num {
	var out []scaled.Num
	for _, i := range v.net.Boundary() {
		out = append(out, v.H[k][i]...)
	}
	return out
}

// PathNorm returns ||pi||_p = (sum_j phi_j^p)^(1/p) of order k, after Forward;
// for p = Inf, the largest product of weights of a path. It is invariant under
// rescaling. Source: Neyshabur, Tomioka, Srebro, COLT 2015, section 3.
func (v *Values) PathNorm(k int) scaled.Num { return scaled.Norm(v.PerOutput(k), v.P[k]) }

// MaxOutput returns the largest phi_j of order k, after Forward; zero without
// outputs.
func (v *Values) MaxOutput(k int) scaled.Num {
	return scaled.Norm(v.PerOutput(k), math.Inf(1))
}
