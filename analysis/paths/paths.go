package paths

import (
	"fmt"
	"math"

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
	drop := droppable(n, opt.Keep)
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		switch nd.Zone {
		case dag.Head:
			continue
		case dag.Preamble:
			// The start is the same for every order.
			h := v.preamble(nd)
			for k := range p {
				v.H[k][i] = h
			}
		case dag.Body:
			if l, ok := nd.Op.(*dag.Linear); ok {
				v.linear(nd, l, opt)
				break
			}
			for k := range p {
				v.H[k][i] = v.step(nd, k, opt.Threads)
			}
		}
		for _, j := range drop[i] {
			for k := range p {
				v.H[k][j] = nil
			}
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

// droppable lists, for each node, the nodes whose last reader it is and that
// need not be kept.
func droppable(n *dag.Network, keep []int) [][]int {
	out := make([][]int, len(n.Nodes))
	if keep == nil {
		return out
	}
	last := make([]int, len(n.Nodes))
	for i := range n.Nodes {
		last[i] = i
		if n.Nodes[i].Zone == dag.Head {
			continue
		}
		for _, j := range n.Nodes[i].In {
			last[j] = i
		}
	}
	for _, list := range [][]int{keep, n.Boundary()} {
		for _, j := range list {
			last[j] = -1
		}
	}
	for j, i := range last {
		if i >= 0 {
			out[i] = append(out[i], j)
		}
	}
	return out
}

// preamble gives 1 to every element but padding, which stays 0 until something
// is added to it.
func (v *Values) preamble(nd *dag.Node) []scaled.Num {
	in := func(k int) []scaled.Num { return v.H[0][nd.In[k]] }
	if len(v.H) == 0 {
		return nil
	}
	switch op := nd.Op.(type) {
	case *dag.Select:
		if op.Index == nil {
			return in(0)
		}
		return selected(op, in(0))
	case *dag.Concat:
		return concat(nd, in)
	case *dag.Linear:
		if op.Bias() == nil {
			return in(0)
		}
	}
	return ones(nd.Len())
}

func ones(n int) []scaled.Num {
	out := make([]scaled.Num, n)
	for i := range out {
		out[i] = scaled.One
	}
	return out
}

// linear runs one linear layer for all orders with one read of its weights.
func (v *Values) linear(nd *dag.Node, l *dag.Linear, opt Options) {
	q := dag.SumRequest{Powers: opt.Rows, Zeros: opt.Zeros, Threads: opt.Threads}
	for k, p := range v.P {
		path := dag.Path{P: p}
		if l.Map != nil {
			path.H = v.H[k][nd.In[0]]
		}
		q.Forward = append(q.Forward, path)
	}
	if opt.Columns && l.Map != nil {
		q.Columns = []float64{2}
	}
	s := l.Sums(q)
	for k, p := range v.P {
		if opt.Bias == Include {
			addBias(s.Forward[k], l, p)
		}
		v.H[k][nd.ID] = s.Forward[k]
	}
	if q.Columns != nil {
		v.Columns[nd.ID] = s.Columns[0]
	}
	s.Forward, s.Columns = nil, nil
	v.Sums[nd.ID] = s
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

// step returns h of a node without weights, for order k.
func (v *Values) step(nd *dag.Node, k, threads int) []scaled.Num {
	p := v.P[k]
	in := func(j int) []scaled.Num { return v.H[k][nd.In[j]] }
	switch op := nd.Op.(type) {
	case *dag.Activation:
		return gained(op, in(0))
	case *dag.Add:
		return union(nd, in, p, threads)
	case *dag.Concat:
		return concat(nd, in)
	case *dag.Select:
		if op.Index == nil {
			return in(0)
		}
		return selected(op, in(0))
	case *dag.Pool:
		if op.Window == nil {
			return union(nd, in, p, threads)
		}
		return pooled(op, in(0), p, threads)
	}
	panic(fmt.Sprintf("paths: %s in the body", nd.Label()))
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

// union is the p-norm of the operands, element by element.
func union(nd *dag.Node, in func(int) []scaled.Num, p float64, threads int) []scaled.Num {
	if len(nd.In) == 1 {
		return in(0)
	}
	out := append([]scaled.Num(nil), in(0)...)
	kernel.Parallel(len(out), threads, 1<<12, func(lo, hi int) {
		for j := 1; j < len(nd.In); j++ {
			for e, x := range in(j)[lo:hi] {
				out[lo+e] = scaled.Plus(out[lo+e], x, p)
			}
		}
	})
	return out
}

func concat(nd *dag.Node, in func(int) []scaled.Num) []scaled.Num {
	out := make([]scaled.Num, 0, nd.Len())
	for j := range nd.In {
		out = append(out, in(j)...)
	}
	return out
}

func selected(s *dag.Select, h []scaled.Num) []scaled.Num {
	out := make([]scaled.Num, len(s.Index))
	for e, j := range s.Index {
		if j >= 0 {
			out[e] = h[j]
		}
	}
	return out
}

// pooled is the p-norm of each window: that of a sum, so that every path
// counts.
func pooled(op *dag.Pool, h []scaled.Num, p float64, threads int) []scaled.Num {
	ones := make([]float64, dag.Size(op.Window.Out()))
	for i := range ones {
		ones[i] = 1
	}
	sum := &dag.Linear{Map: &dag.Average{Channels: op.Channels, Window: *op.Window, Weights: ones}}
	return sum.Sums(dag.SumRequest{Forward: []dag.Path{{P: p, H: h}}, Threads: threads}).Forward[0]
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
