package rescale

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/internal/lists"
)

// trials is the number of inputs on which functions are compared, noises how
// often a is changed by as much as the tolerance allows, and beyond how many times
// further b must be to be another function.
const (
	trials = 16
	noises = 4
	beyond = 32
)

// functionsDiffer returns a sentence if a and b certainly compute different
// functions, or nothing. Their values are compared with those of copies of a
// whose numbers have relative errors of the size of the tolerance: as many
// differ as rounding, folding and rescaling of stored weights can explain.
func functionsDiffer(ctx context.Context, a, b *dag.Network, opt EquivalentOptions) (string, error) {
	in := samples(a, trials)
	ya, err := eval.Run(ctx, a, in, trials, eval.Options{Threads: opt.Threads})
	if err != nil {
		return "", fmt.Errorf("rescale: %w", err)
	}
	yb, err := eval.Run(ctx, b, in, trials, eval.Options{Threads: opt.Threads})
	if err != nil {
		return "", fmt.Errorf("rescale: %w", err)
	}
	spread := make([][]float64, len(ya))
	for round := range uint64(noises) {
		rng := rand.New(rand.NewPCG(3, round))
		n, err := disturbed(a, opt.Tolerance, rng)
		if err != nil {
			return "", err
		}
		y, err := eval.Run(ctx, n, in, trials, eval.Options{Threads: opt.Threads})
		if err != nil {
			return "", fmt.Errorf("rescale: %w", err)
		}
		for k := range y {
			spread[k] = append(spread[k], distances(ya[k], y[k])...)
		}
	}
	for k := range ya {
		limit := 0.0
		for _, d := range spread[k] {
			limit = math.Max(limit, d)
		}
		if math.IsNaN(limit) || math.IsInf(limit, 0) {
			continue
		}
		far := 0
		worst := 0.0
		for _, d := range distances(ya[k], yb[k]) {
			if d > beyond*(limit+opt.Tolerance) && !math.IsInf(d, 0) {
				far++
				worst = math.Max(worst, d)
			}
		}
		// One alone may be a jump of a head, such as an argmax of equal scores.
		if far >= 3 {
			return fmt.Sprintf("the functions differ: output %q by %.2g of its largest value on random inputs", a.Outputs[k].Name, worst), nil
		}
	}
	return "", nil
}

// distances has the largest difference of each sample relative to the sample's
// largest value.
func distances(x, y []float64) []float64 {
	out := make([]float64, trials)
	size := len(x) / trials
	for t := range out {
		top, d := 0.0, 0.0
		for e := t * size; e < (t+1)*size; e++ {
			top = math.Max(top, math.Max(math.Abs(x[e]), math.Abs(y[e])))
			d = math.Max(d, math.Abs(x[e]-y[e]))
		}
		if top > 0 {
			out[t] = d / top
		}
	}
	return out
}

// looksUp reports whether a layer's operand is one-hot vectors, which are exact.
func looksUp(n *dag.Network, node int) bool {
	f, ok := n.Nodes[n.Nodes[node].In[0]].Op.(*dag.Func)
	return ok && f.Kind == dag.OneHot
}

// disturbed returns n with a random relative error, of the size of tol, in every
// input of every layer, and in every number between its stages.
func disturbed(n *dag.Network, tol float64, rng *rand.Rand) (*dag.Network, error) {
	noise := func(count int) *dag.Vector {
		v := make([]float64, count)
		for i := range v {
			v[i] = 1 + tol*(2*rng.Float64()-1)
		}
		return vector(v)
	}
	var b dag.Builder
	id := make([]int, len(n.Nodes))
	for i := range n.Nodes {
		nd := n.Nodes[i]
		nd.In = lists.Map(n.Nodes[i].In, func(j int) int { return id[j] })
		if l, ok := nd.Op.(*dag.Linear); ok {
			c := &dag.Linear{Map: l.Map, Units: l.Units}
			if l.Map != nil && !looksUp(n, i) {
				size := n.Nodes[n.Nodes[i].In[0]].Len()
				nd.In[0] = b.Node(dag.Node{Name: "noise", Source: "Mul", In: []int{nd.In[0]}, Shape: []int{size}, Op: &dag.Linear{
					Map:    &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: size, Inner: 1}},
					Stages: []dag.Stage{{Mul: noise(size)}},
				}})
			}
			for _, s := range l.Stages {
				c.Stages = append(c.Stages, dag.Stage{Mul: noise(l.Rows())}, s)
			}
			c.Stages = append(c.Stages, dag.Stage{Mul: noise(l.Rows())})
			nd.Op = c
		}
		id[i] = b.Node(nd)
	}
	for _, p := range n.Outputs {
		b.Output(p.Name, id[p.Node])
	}
	net, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("rescale: %w", err)
	}
	return net, nil
}
