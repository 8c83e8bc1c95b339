package rescale

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
)

// isTable reports whether a node's value is stored numbers, or those at places that its operand
// names, and no layer: the cosines of a rotary embedding. No factor changes it.
func isTable(n *dag.Network, node int) bool {
	f, ok := n.Nodes[node].Op.(*dag.Func)
	return ok && f.Apply != nil && (len(n.Nodes[node].In) == 0 || f.Extent > 0)
}

// tablesDiffer returns a sentence if tables of two networks of one architecture have other
// numbers, and whether it is certain that no factors make up for that: a unit that a table multiplies
// has one factor, which would have to be the ratio of the tables wherever they multiply it.
func tablesDiffer(a, b *dag.Network, g *dag.Groups, tol float64) (why string, certain bool) {
	for i := range a.Nodes {
		if !isTable(a, i) || !isTable(b, i) {
			continue
		}
		x, y := tabled(a, i), tabled(b, i)
		if closest(x, y, tol) {
			continue
		}
		why = fmt.Sprintf("%s has other numbers, which no factors change", a.Nodes[i].Label())
		for j := range a.Nodes {
			nd := &a.Nodes[j]
			if f, ok := nd.Op.(*dag.Func); ok && f.Form == (dag.Times{}) && (nd.In[0] == i || nd.In[1] == i) && !oneRatio(x, y, &g.Units[j], tol) {
				return why, true
			}
		}
	}
	return why, false
}

// tabled returns a table's numbers at random places.
func tabled(n *dag.Network, node int) []float64 {
	nd := &n.Nodes[node]
	f := nd.Op.(*dag.Func)
	r := rand.New(rand.NewPCG(1, uint64(node)))
	in := make([][]float64, len(nd.In))
	for k, j := range nd.In {
		in[k] = make([]float64, n.Nodes[j].Len())
		for e := range in[k] {
			in[k][e] = float64(r.IntN(f.Extent))
		}
	}
	out := make([]float64, nd.Len())
	f.Apply(out, in...)
	return out
}

func closest(x, y []float64, tol float64) bool {
	for e := range x {
		if x[e] != y[e] && !(math.Abs(x[e]-y[e]) <= tol*math.Max(math.Abs(x[e]), math.Abs(y[e]))) {
			return false
		}
	}
	return true
}

// oneRatio reports whether y is x times a positive number for each group of m, 1 for those that
// are as they are, to some roundings of the largest.
func oneRatio(x, y []float64, m *dag.UnitMap, tol float64) bool {
	if m.IDs == nil {
		return true
	}
	largest := map[int32]int{}
	top := 0.0
	for e := range x {
		id := m.At(e)
		if k, ok := largest[id]; !ok || math.Abs(x[e]) > math.Abs(x[k]) {
			largest[id] = e
		}
		top = math.Max(top, math.Max(math.Abs(x[e]), math.Abs(y[e])))
	}
	for e := range x {
		id := m.At(e)
		k := largest[id]
		ratio := math.Max(0, y[k]/x[k])
		if id == dag.InputGroup {
			ratio = 1
		}
		if id != dag.NoGroup && math.Abs(y[e]-ratio*x[e]) > beyond*tol*top {
			return false
		}
	}
	return true
}
