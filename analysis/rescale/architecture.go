package rescale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// sameArchitecture returns why two networks differ in more than their weights,
// or nothing.
func sameArchitecture(a, b *dag.Network, tol float64) string {
	if len(a.Nodes) != len(b.Nodes) {
		return fmt.Sprintf("another architecture: %s and %d", words.Count(len(a.Nodes), "node"), len(b.Nodes))
	}
	for i := range a.Nodes {
		if why := sameNode(&a.Nodes[i], &b.Nodes[i], tol); why != "" {
			return fmt.Sprintf("another architecture: %s: %s", a.Nodes[i].Label(), why)
		}
		if !(isTable(a, i) && isTable(b, i)) && !sameFunction(a, b, i, tol) {
			return fmt.Sprintf("another architecture: %s: the functions give other values for the same operands", a.Nodes[i].Label())
		}
	}
	for k, ports := range [][2][]dag.Port{{a.Inputs, b.Inputs}, {a.Outputs, b.Outputs}} {
		for q, p := range ports[0] {
			if ports[1][q].Node != p.Node {
				return fmt.Sprintf("another architecture: %s %q is another value", [...]string{"input", "output"}[k], p.Name)
			}
		}
	}
	return ""
}

func sameNode(a, b *dag.Node, tol float64) string {
	if x, y := kindOf(a.Op), kindOf(b.Op); x != y {
		return fmt.Sprintf("%s and %s", x, y)
	}
	if !slices.Equal(a.In, b.In) {
		return "other operands"
	}
	if a.Len() != b.Len() {
		return fmt.Sprintf("%s and %d", words.Count(a.Len(), "value"), b.Len())
	}
	of := b.Traits()
	for k, t := range a.Traits() {
		if !reflect.DeepEqual(t.Value, of[k].Value) {
			return "another " + t.Name
		}
	}
	if l, ok := a.Op.(*dag.Linear); ok {
		return sameAverage(l, b.Op.(*dag.Linear), tol)
	}
	return ""
}

// sampled is about how many numbers of each function are compared: a value of more has that many
// in two rounds, one of operands of unit size and one of all sizes.
const sampled = 1 << 16

// sameFunction compares two functions, by their form or, where nothing but their
// values is known, on random operands of every size; true for nodes of another
// kind. Two that are not evaluated are taken for the same: see unseen.
func sameFunction(a, b *dag.Network, node int, tol float64) bool {
	f, ok := a.Nodes[node].Op.(*dag.Func)
	if !ok {
		return true
	}
	g := b.Nodes[node].Op.(*dag.Func)
	if f.Apply == nil || g.Apply == nil {
		return f.Kind == g.Kind && f.Extent == g.Extent
	}
	if f.Form != nil && reflect.DeepEqual(f.Form, g.Form) {
		return true // which their form says, however many elements they make
	}
	r := rand.New(rand.NewPCG(1, uint64(node)))
	in := lists.Map(a.Nodes[node].Operands(), func(j int) []float64 { return make([]float64, a.Nodes[j].Len()) })
	x, y := make([]float64, a.Nodes[node].Len()), make([]float64, a.Nodes[node].Len())
	for round := range max(2, min(32, sampled/max(len(x), 1))) {
		for k := range in {
			for e := range in[k] {
				in[k][e] = r.NormFloat64()
				if round%2 == 1 {
					in[k][e] *= math.Pow(10, 8*r.Float64()-4)
				}
			}
		}
		f.Apply(x, in...)
		g.Apply(y, in...)
		for e := range x {
			same := x[e] == y[e] || math.IsNaN(x[e]) && math.IsNaN(y[e]) ||
				math.Abs(x[e]-y[e]) <= tol*math.Max(math.Abs(x[e]), math.Abs(y[e]))
			if !same {
				return false
			}
		}
	}
	return true
}

func kindOf(op dag.Op) string {
	s := fmt.Sprintf("%T", op)
	if l, ok := op.(*dag.Linear); ok {
		s = fmt.Sprintf("%T", l.Map)
	}
	for k := len(s) - 1; k >= 0; k-- {
		if s[k] == '.' {
			return s[k+1:]
		}
	}
	return "Constant"
}

// sameAverage compares the fixed weights of average pooling.
func sameAverage(a, b *dag.Linear, tol float64) string {
	x, ok := a.Map.(*dag.Average)
	if !ok {
		return ""
	}
	for k, w := range b.Map.(*dag.Average).Weights {
		if math.Abs(w-x.Weights[k]) > tol*math.Abs(x.Weights[k]) {
			return "another average"
		}
	}
	return ""
}

// slopes compares the slopes of activations under the order of units.
func (c *comparison) slopes() (worst float64, where string) {
	for nd, x := range dag.Each[*dag.Activation](c.a) {
		y := c.b.Nodes[nd.ID].Op.(*dag.Activation)
		if len(x.Slope) == 1 && len(y.Slope) == 1 {
			if d := slopeError(x.At(0), y.At(0)); d > worst {
				worst, where = d, nd.Label()+", slope"
			}
			continue
		}
		to := c.elements(nd.ID)
		for e := range nd.Len() {
			if d := slopeError(x.At(e), y.At(to[e])); d > worst {
				worst, where = d, fmt.Sprintf("%s, slope of element %d", nd.Label(), e)
			}
		}
	}
	return worst, where
}

// bounds returns the largest relative difference of the bounds of caps, a's times the
// factors of their units, and where it is.
func (c *comparison) bounds() (worst float64, where string) {
	c.eachBound(func(node, e int, id int32, a, b float64) {
		z := 0.0
		if id != dag.NoGroup {
			z = c.z[id]
		}
		if want := times(a, z); b != want {
			d := math.Abs(b-want) / math.Abs(want)
			if math.IsInf(a, 0) || math.IsInf(b, 0) {
				d = math.Inf(1)
			}
			if d > worst {
				worst, where = d, fmt.Sprintf("%s, bound of element %d", c.a.Nodes[node].Label(), e)
			}
		}
	})
	return worst, where
}

// eachBound calls f for each bound of each element of a cap of a, with its group and
// b's bound.
func (c *comparison) eachBound(f func(node, e int, id int32, a, b float64)) {
	for nd, x := range dag.Each[*dag.Cap](c.a) {
		y := c.b.Nodes[nd.ID].Op.(*dag.Cap)
		m := &c.g.Units[nd.ID]
		for e, to := range c.elements(nd.ID) {
			id := dag.NoGroup
			if m.IDs != nil {
				id = m.At(e)
			}
			lo, hi := x.Bounds(e)
			lob, hib := y.Bounds(to)
			f(nd.ID, e, id, lo, lob)
			f(nd.ID, e, id, hi, hib)
		}
	}
}

// capped takes the factors of units without weights that tell them from the bounds
// of caps.
func (c *comparison) capped() (progress bool) {
	c.eachBound(func(_, _ int, id int32, a, b float64) {
		if c.isOpen(id) && comparable(a, b) {
			c.learn(id, math.Log(b/a))
			progress = true
		}
	})
	return progress
}

func slopeError(a, b float64) float64 {
	if a == b {
		return 0
	}
	return math.Abs(b-a) / math.Abs(a)
}

// elements maps each element of a node's value in a to its element in b.
func (c *comparison) elements(node int) []int {
	n := c.a.Nodes[node].Len()
	out := lists.Count(0, n)
	m := &c.g.Units[node]
	if m.IDs == nil {
		return out
	}
	slot, next := map[int32][]int{}, map[int32]int{}
	for e := range n {
		slot[m.At(e)] = append(slot[m.At(e)], e)
	}
	for e := range n {
		id := m.At(e)
		to := id
		if id != dag.NoGroup {
			to = c.sigma[id]
		}
		if k := next[id]; k < len(slot[to]) {
			out[e] = slot[to][k]
		}
		next[id]++
	}
	return out
}
