package analysis_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// Both spreads against sums over single edges, with dead units, ties, several
// outputs and stages.
func TestSpreadsAgainstEdges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{
			Features: dagtest.All &^ (dagtest.Conv | dagtest.Pool), Type: dag.Float64, Zeros: 0.3,
		})
		bias := analysis.Bias(rapid.IntRange(0, 1).Draw(t, "bias"))
		r := measure(t, n, analysis.Options{Names: []string{"balance_spread", "kappa_spread"}, Bias: bias})
		balance, kappa := spreads(analysis.Normal(n), bias)
		// Logarithms of sums of some hundred terms.
		if got := r.Measures[0].Value.Float64(); !(math.Abs(got-balance) <= 1e-10*(1+balance)) {
			t.Fatalf("balance spread %v, want %v\n%s", got, balance, n)
		}
		if got := r.Measures[1].Value.Float64(); !(math.Abs(got-kappa) <= 1e-10*(1+kappa)) {
			t.Fatalf("kappa spread %v, want %v\n%s", got, kappa, n)
		}
	})
}

func spreads(n *dag.Network, bias analysis.Bias) (balance, kappa float64) {
	u, g := dagtest.Unroll(n), n.Groups()
	in, out := make([]float64, u.Offset[len(n.Nodes)]), make([]float64, u.Offset[len(n.Nodes)])
	for i := range n.Nodes {
		_, input := n.Nodes[i].Op.(dag.Input)
		for e := range n.Nodes[i].Len() {
			if input {
				in[u.Offset[i]+e] = 1
			}
		}
	}
	for _, o := range dagtest.OutputElements(n) {
		out[u.Offset[o.Node]+o.Element] = 1
	}
	use := func(e *dagtest.Edge) bool { return e.Kind != dagtest.FromOne || bias == analysis.IncludeBias }
	body := func(e *dagtest.Edge) bool { return n.Nodes[e.Node].Zone == dag.Body }
	from := func(e *dagtest.Edge) float64 {
		if e.From == dagtest.One {
			return 1
		}
		return in[e.From]
	}
	for k := range u.Edges {
		e := &u.Edges[k]
		switch {
		case !body(e):
			in[e.To] = math.Max(in[e.To], from(e)) // a preamble value is an input
		case use(e):
			in[e.To] += from(e) * e.W * e.W
		}
	}
	for k := len(u.Edges) - 1; k >= 0; k-- {
		if e := &u.Edges[k]; e.From != dagtest.One && body(e) {
			out[e.From] += out[e.To] * e.W * e.W
		}
	}
	live := func(unit int) bool { return unit == dagtest.One || (in[unit] > 0 && out[unit] > 0) }
	group := func(unit int) int32 {
		i := 0
		for u.Offset[i+1] <= unit {
			i++
		}
		return g.Units[i].At(unit - u.Offset[i])
	}
	gin, gout := make([]float64, g.Count), make([]float64, g.Count)
	lo, hi := math.Inf(1), math.Inf(-1)
	for k := range u.Edges {
		e := &u.Edges[k]
		l, linear := n.Nodes[e.Node].Op.(*dag.Linear)
		if !body(e) || !use(e) || !linear || !live(e.From) || !live(e.To) || (e.Kind == dagtest.Weight && !l.Free()) {
			continue
		}
		if id := group(e.To); id != dag.NoGroup {
			gin[id] += e.W * e.W
		}
		if e.From != dagtest.One {
			if id := group(e.From); id != dag.NoGroup {
				gout[id] += e.W * e.W
			}
		}
		x := math.Log(from(e) * out[e.To])
		lo, hi = math.Min(lo, x), math.Max(hi, x)
	}
	if hi > lo {
		kappa = hi - lo
	}
	lo, hi = math.Inf(1), math.Inf(-1)
	for id := range gin {
		if g.Pin[id] == "" && g.Size[id] > 0 && gin[id] > 0 && gout[id] > 0 {
			x := math.Log(gin[id]/gout[id]) / 2
			lo, hi = math.Min(lo, x), math.Max(hi, x)
		}
	}
	if hi > lo {
		balance = hi - lo
	}
	return balance, kappa
}
