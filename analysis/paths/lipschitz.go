package paths

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Lipschitz is the path programme of order 1 without biases, from the values of the
// preamble to the body's outputs, in which each curve multiplies by its Lipschitz
// constant: PerOutput bounds the Lipschitz constant of each output element from the
// maximum norm, PathNorm that of all outputs to the 1-norm, MaxOutput to the maximum
// norm. For a network without functions they are Forward's. Where a function without
// a Lipschitz constant is in the way there are no values, and why names the first.
//
// With Options.Largest a maximum of several elements passes on the largest of their numbers, not
// the sum: its derivative is that of one of them. The bound is tighter then, and no path norm.
//
// The slope of a composition is the product of its parts' slopes, and the slopes of
// a sum add up: the derivative of an output by an input is, wherever it exists, at
// most the sum over paths of the products of |w| and the slopes. Source for ReLU
// networks: Neyshabur, Tomioka, Srebro, COLT 2015, section 3.
func Lipschitz(n *dag.Network, opt Options) (v *Values, why string) {
	if why := steep(n); why != "" {
		return nil, why
	}
	v = &Values{P: []float64{1}, Layers: make([]*Norms, len(n.Nodes)), net: n}
	m := &lipschitz{&forward{Values: v, opt: Options{Bias: Exclude, Threads: opt.Threads}}, opt.Largest}
	v.of = dag.Forward(n, m, nil, n.Boundary())
	return v, ""
}

// steep says which node before the body's outputs has no Lipschitz constant; empty
// where all have one.
func steep(n *dag.Network) string {
	need := make([]bool, len(n.Nodes))
	for _, i := range n.Boundary() {
		need[i] = true
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		if need[i] && n.Nodes[i].Zone != dag.Preamble {
			for _, j := range n.Nodes[i].In {
				need[j] = true
			}
		}
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if !need[i] || nd.Zone == dag.Preamble {
			continue
		}
		if why := nd.Steep(); why != "" {
			return fmt.Sprintf("%s has no Lipschitz constant%s", nd.Label(), why)
		}
	}
	return ""
}

// lipschitz is forward with curves.
type lipschitz struct {
	*forward
	largest bool
}

// Pool implements dag.Meaning.
func (f *lipschitz) Pool(nd *dag.Node, op *dag.Pool, x *value) *value {
	if !f.largest {
		return f.forward.Pool(nd, op, x)
	}
	return f.forward.Pool(nd, op, x.ofOrder(math.Inf(1))).ofOrder(1)
}

// Join implements dag.Meaning.
func (f *lipschitz) Join(nd *dag.Node, xs []*value) *value {
	if _, pool := nd.Op.(*dag.Pool); !pool || !f.largest {
		return f.forward.Join(nd, xs)
	}
	of := lists.Map(xs, func(x *value) *value { return x.ofOrder(math.Inf(1)) })
	return f.forward.Join(nd, of).ofOrder(1)
}

// ofOrder has the same numbers for those of another order.
func (x *value) ofOrder(p float64) *value {
	return &value{x.grid, []sums.Path{sums.Pack(p, x.h[0].Nums())}}
}

// Func implements dag.Meaning.
func (f *lipschitz) Func(nd *dag.Node, op *dag.Func, xs []*value) *value {
	if nd.Zone == dag.Preamble || op.Lipschitz == 0 {
		return f.Input(nd) // one without a constant is not before an output
	}
	l, h := sums.Times(xs[0].grid, xs[0].h, grid.Uniform(nd.Shape...), []scaled.Num{scaled.New(op.Lipschitz)}, f.mem)
	return &value{l, h}
}
