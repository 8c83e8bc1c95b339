package analysis

import (
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/internal/lists"
)

// hiddenUnits counts the units (channels of a convolution) whose value enters an
// activation, a curve between layers included. What enters it may be the sum of several layers' units, as behind a
// skip connection: that is one unit, and one that enters two activations is one.
func hiddenUnits(n *dag.Network) int {
	h := &hidden{rand.New(rand.NewPCG(0, 0)), map[uint64]bool{}}
	dag.Forward(n, h, n.Unmeasured(), []int{})
	return len(h.entered)
}

// hidden is the reading of a network in which each element has the sum of random
// names of the rows that it is made of; 0 is none. Two sums of 64 bits are equal
// by chance in 2^64.
type hidden struct {
	rng     *rand.Rand
	entered map[uint64]bool
}

type names struct {
	grid *grid.Layout
	of   []uint64
}

func (x names) at(l *grid.Layout, from []int32) names { return names{l, grid.Gather(x.of, from)} }

// Input implements dag.Meaning.
func (h *hidden) Input(nd *dag.Node) names {
	l := grid.Uniform(nd.Shape...)
	return names{l, make([]uint64, l.Cells())}
}

// Linear implements dag.Meaning.
func (h *hidden) Linear(nd *dag.Node, l *dag.Linear, x names) names {
	if nd.Zone == dag.Body && l.Renews() {
		a := l.Out()
		lay, _ := grid.Uniform(a.Outer, a.N, a.Inner).Spread(1)
		of := make([]uint64, lay.Cells())
		for i := range of {
			of[i] = h.rng.Uint64()
		}
		// Under the shape that readers ask for, once for all of them.
		shaped, from := lay.As(nd.Shape...)
		return names{lay, of}.at(shaped, from)
	}
	if v, ok := l.Map.(*dag.Average); ok {
		return windowed(&v.Window, v.Channels, x)
	}
	return x
}

// Unary implements dag.Meaning.
func (h *hidden) Unary(nd *dag.Node, op dag.Unary, x names) names {
	if op.Identity() {
		return x
	}
	return h.enter(nd, x)
}

// enter counts the units whose value enters an activation.
func (h *hidden) enter(nd *dag.Node, x names) names {
	for _, name := range x.of {
		if name != 0 {
			h.entered[name] = true
		}
	}
	return h.Input(nd)
}

// Join implements dag.Meaning.
func (h *hidden) Join(_ *dag.Node, xs []names) names {
	out := xs[0]
	for _, x := range xs[1:] {
		l, from := grid.Join(out.grid, x.grid)
		sum := append([]uint64(nil), grid.Gather(out.of, from[0])...)
		for c, name := range grid.Gather(x.of, from[1]) {
			sum[c] += name
		}
		out = names{l, sum}
	}
	return out
}

// Concat implements dag.Meaning.
func (h *hidden) Concat(_ *dag.Node, xs []names) names {
	ls := lists.Map(xs, func(x names) *grid.Layout { return x.grid })
	l, from := grid.Concat(ls...)
	of := make([]uint64, 0, l.Cells())
	for k, x := range xs {
		of = grid.Append(of, x.of, from[k])
	}
	return names{l, of}
}

// Select implements dag.Meaning.
func (h *hidden) Select(nd, operand *dag.Node, index []int32, x names) names {
	return x.at(x.grid.Select(operand.Shape, nd.Shape, index))
}

// Pool implements dag.Meaning.
func (h *hidden) Pool(_ *dag.Node, p *dag.Pool, x names) names {
	return windowed(p.Window, p.Channels, x)
}

// Func implements dag.Meaning.
func (h *hidden) Func(nd *dag.Node, f *dag.Func, xs []names) names {
	if f.Kind == dag.Curve && nd.Zone == dag.Between {
		return h.enter(nd, xs[0])
	}
	return h.Input(nd)
}

// windowed has for each window one of its elements' names: mostly all are of one
// unit.
func windowed(w *dag.Window, channels int, x names) names {
	r := x.grid.Pool(w, channels, false)
	from := grid.Gather(x.of, r.From)
	of := make([]uint64, r.Layout.Cells())
	for c := range of {
		for _, read := range r.Reads[c%r.Places] {
			of[c] = max(of[c], from[c/r.Places*r.Sources+int(read.Source)])
		}
	}
	return names{r.Layout, of}
}
