package rescale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
)

// unitwise returns a network of the same nodes in which functions that do the same to each element, as
// sigmoids do, pass the order of their operand's units on to their value. Each is a cap whose
// bounds no factor may move: units that it ties have factor 1, as they have before a function, and
// one order. Nothing else is read of these caps. Of the products listed the operands and the value have one order
// too: they are sums. It returns n where there is neither.
func unitwise(n *dag.Network, functions, products map[int]bool) (*dag.Network, error) {
	if len(functions) == 0 && len(products) == 0 {
		return n, nil
	}
	var b dag.Builder
	for i := range n.Nodes {
		nd := n.Nodes[i]
		if functions[i] {
			nd.Op = &dag.Cap{Lo: []float64{-1}, Hi: []float64{1}, Storage: dag.BoundsFixed, Reason: "it stands for a function"}
		}
		if products[i] {
			nd.Op = &dag.Add{}
		}
		b.Node(nd)
	}
	for _, p := range n.Outputs {
		b.Output(p.Name, p.Node)
	}
	out, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("rescale: %w", err)
	}
	return out, nil
}

// uniform has the functions between layers that are evaluated and do the same to each element of their operand.
func uniform(n *dag.Network) map[int]bool {
	out := map[int]bool{}
	for _, i := range n.Functions() {
		if f, ok := n.Nodes[i].Op.(*dag.Func); ok && f.Kind == dag.Curve && f.Apply != nil && alikeAt(f, n.Nodes[i].Len(), uint64(i)) {
			out[i] = true
		}
	}
	return out
}

// alikeAt reports whether a function of each element of one operand is the same function of all n, as one
// with constants of their own for some is not.
func alikeAt(f *dag.Func, n int, seed uint64) bool {
	rng := rand.New(rand.NewPCG(5, seed))
	x, y := make([]float64, n), make([]float64, n)
	for range 4 {
		v := 3 * rng.NormFloat64()
		for e := range x {
			x[e] = v
		}
		f.Apply(y, x)
		for _, got := range y {
			if math.Float64bits(got) != math.Float64bits(y[0]) {
				return false
			}
		}
	}
	return true
}

// twoSided has the elementwise products of which both sides have units, which have one order, and pins these
// units: a sum in the place of the product (unitwise) says nothing of factors.
func twoSided(n *dag.Network, g *dag.Groups) map[int]bool {
	out := map[int]bool{}
	for nd, f := range dag.Each[*dag.Func](n) {
		if (f.Form == dag.Times{} || f.Form == dag.Over{}) && !inStep(g, nd) && hasUnits(g, nd.In[0]) && hasUnits(g, nd.In[1]) {
			out[nd.ID] = true
		}
	}
	return out
}

func hasUnits(g *dag.Groups, node int) bool {
	return slices.ContainsFunc(g.Units[node].IDs, func(id int32) bool { return id != dag.NoGroup && id != dag.InputGroup })
}

// inPlace says of each group of a network whether its units keep their order: inputs and values of
// functions, outputs, and what functions read but products that carry factors. Two operands of an
// elementwise product that have the same units, as x sigmoid(x), have one order.
func inPlace(n *dag.Network, g *dag.Groups) []bool {
	out := make([]bool, g.Count)
	out[dag.InputGroup] = true
	stay := func(node int) {
		for _, id := range g.Units[node].IDs {
			if id != dag.NoGroup && g.Pin[id] != "" {
				out[id] = true
			}
		}
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		if nd.Zone == dag.Body || nd.Zone == dag.Preamble {
			continue
		}
		if inStep(g, nd) {
			continue
		}
		for _, j := range nd.In {
			stay(j)
		}
	}
	for _, p := range n.Outputs {
		stay(p.Node)
	}
	return out
}

// inStep reports whether a node is an elementwise product of operands that have the same units.
func inStep(g *dag.Groups, nd *dag.Node) bool {
	f, ok := nd.Op.(*dag.Func)
	if !ok || f.Form != (dag.Times{}) && f.Form != (dag.Over{}) {
		return false
	}
	x, y := &g.Units[nd.In[0]], &g.Units[nd.In[1]]
	return x.Inner == y.Inner && x.Line == y.Line && x.Times == y.Times && slices.Equal(x.IDs, y.IDs)
}

// keepsOrder reports whether no function between layers lets another order of units through than inPlace
// and the groups say: a softmax does, and so may one that is not evaluated.
func keepsOrder(n *dag.Network, g *dag.Groups) bool {
	return !slices.ContainsFunc(n.Functions(), func(i int) bool { return !inStep(g, &n.Nodes[i]) })
}
