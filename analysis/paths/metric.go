package paths

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// Metric returns ||pi(w)||_1 + ||pi(w')||_1 - 2 ||pi(m)||_1 for two networks of one
// architecture that differ in weights and biases; paths from biases are included. m has, for
// each weight, the smaller of both in magnitude where their signs agree, and zero elsewhere.
// With it
//
//	||pi(w) - pi(w')||_1 <= Metric, and equal where one network's weights are the other's
//	with smaller magnitudes, as after pruning;
//	||f(x) - f'(x)||_1 <= max(1, max_i |x_i|) Metric
//
// for the values f at which a network that is homogeneous as a whole ends, x those at which
// it begins. Source: Gonon, Brisebarre, Riccietti, Gribonval, arXiv 2405.15006, theorem 4.1,
// for networks whose signs agree, applied to w, m and m, w'.
//
// Errors: networks of another architecture, functions between the layers, activations or
// normalisers that differ by more than m can hold. Cost: three forward programmes.
func Metric(a, b *dag.Network, threads int) (scaled.Num, error) {
	if len(a.Functions()) > 0 || len(b.Functions()) > 0 {
		return scaled.Num{}, fmt.Errorf("paths: metric of networks with functions between the layers")
	}
	m, err := meet(a, b)
	if err != nil {
		return scaled.Num{}, err
	}
	norm := func(n *dag.Network) scaled.Num {
		return Forward(n, []float64{1}, Options{Threads: threads, Keep: []int{}}).PathNorm(0)
	}
	inner := norm(m)
	return less(norm(a), inner).Add(less(norm(b), inner)), nil
}

// less is a - b, no less than zero.
func less(a, b scaled.Num) scaled.Num {
	if d := a.Add(b.MulFloat(-1)); d.Frac > 0 || !d.IsFinite() {
		return d
	}
	return scaled.Num{}
}

// meet is m of Metric.
func meet(a, b *dag.Network) (*dag.Network, error) {
	if len(a.Nodes) != len(b.Nodes) {
		return nil, fmt.Errorf("paths: metric of networks with %d nodes and %d", len(a.Nodes), len(b.Nodes))
	}
	to, made := map[*dag.Use]*dag.Param{}, map[[2]*dag.Param]*dag.Param{}
	for i := range a.Nodes {
		x, y := &a.Nodes[i], &b.Nodes[i]
		var other []*dag.Use
		for _, u := range y.Uses() {
			other = append(other, u)
		}
		k := 0
		for _, u := range x.Uses() {
			if k == len(other) || other[k].Param.Len() != u.Param.Len() {
				return nil, fmt.Errorf("paths: metric of networks of another architecture: %s", x.Label())
			}
			pair := [2]*dag.Param{u.Param, other[k].Param}
			if made[pair] == nil {
				v, same := u.Param.Values(), true
				for e := range v {
					w := smaller(v[e], pair[1].At(e))
					v[e], same = w, same && w == v[e]
				}
				if made[pair] = pair[0]; !same {
					made[pair] = pair[0].WithValues(nil, v)
				}
			}
			to[u] = made[pair]
			k++
		}
		if k != len(other) || x.Len() != y.Len() {
			return nil, fmt.Errorf("paths: metric of networks of another architecture: %s", x.Label())
		}
	}
	m := a.Replace(func(u *dag.Use) *dag.Param { return to[u] })
	for _, other := range []*dag.Network{a, b} {
		if nd := outside(m, other); nd != nil {
			return nil, fmt.Errorf("paths: metric of networks whose %s differ in slopes or in numbers of a normaliser", nd.Label())
		}
	}
	return m, nil
}

// smaller is the smaller of two numbers of one sign, zero of others.
func smaller(x, y float64) float64 {
	switch {
	case x*y <= 0 && !(x > 0 && y > 0 || x < 0 && y < 0):
		return 0
	case math.Abs(x) <= math.Abs(y):
		return x
	}
	return y
}

// outside returns a node of m whose effective scale or bias is not between zero and that
// of the same node of another network, or whose slopes are others; nil for none.
func outside(m, other *dag.Network) *dag.Node {
	between := func(x, y []float64) bool {
		for i, v := range x {
			if y == nil && v != 0 || y != nil && smaller(v, y[i]) != v {
				return false
			}
		}
		return true
	}
	layers := map[int]*dag.Linear{}
	for nd, l := range dag.Each[*dag.Linear](other) {
		layers[nd.ID] = l
	}
	for nd, x := range dag.Each[*dag.Linear](m) {
		y := layers[nd.ID]
		if y == nil || (x.Scale() == nil) != (y.Scale() == nil) || !between(x.Scale(), y.Scale()) || !between(x.Bias(), y.Bias()) {
			return nd
		}
	}
	slopes := map[int][]float64{}
	for nd, f := range dag.Each[*dag.Activation](other) {
		slopes[nd.ID] = f.Slope
	}
	for nd, f := range dag.Each[*dag.Activation](m) {
		if !slices.Equal(f.Slope, slopes[nd.ID]) {
			return nd
		}
	}
	return nil
}
