package rescale

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// Compose returns the factors of a rescaling by a followed by one by b, a_g b_g of
// each group. It panics when the lengths differ.
func Compose(a, b []float64) []float64 {
	if len(a) != len(b) {
		panic(fmt.Sprintf("rescale: factors of %d groups and of %d", len(a), len(b)))
	}
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] * b[i]
	}
	return out
}

// Invert returns the factors that undo c, 1/c_g of each group.
func Invert(c []float64) []float64 {
	out := make([]float64, len(c))
	for i := range c {
		out[i] = 1 / c[i]
	}
	return out
}

// Quantity says how numbers kept beside stored weights change when the weights
// are rescaled. With w' = f w for a stored number, the loss is the same function
// of the network, so that its derivative is g' = g/f.
type Quantity uint8

// The quantities.
const (
	// Weight changes as the weights do, f: running means of weights, a step, the
	// momentum of Path-SGD (a mean of g/kappa).
	Weight Quantity = iota
	// Gradient changes as 1/f: gradients, the momentum of SGD, Adam's first
	// moment.
	Gradient
	// SquaredGradient changes as 1/f^2: the accumulators of AdaGrad, RMSProp and
	// Adam's second moment, and kappa.
	SquaredGradient
	// PathGradient does not change: (g/sqrt kappa)^2, the accumulator of
	// path-adagrad.
	PathGradient
)

var exponents = [...]float64{1, -1, -2, 0}

// StoredFactors returns, for each use of a stored tensor in the order of
// n.Uses, the factor f by which rescaling by c multiplies each of its stored
// numbers, in storage order. It is nil for a vector that is broadcast or read by
// an index and must become one number a unit, since its units need different
// factors. A tensor whose uses need different factors has them with each use.
// BatchNormalization's variance has 1. Errors are Network.Rescale's.
func StoredFactors(n *dag.Network, g *dag.Groups, c []float64) ([][]float64, error) {
	// Rescaling a network of ones gives the factors.
	ones := map[*dag.Param]*dag.Param{}
	probe := n.Replace(func(u *dag.Use) *dag.Param {
		if ones[u.Param] == nil {
			v := make([]float64, u.Param.Len())
			for i := range v {
				v[i] = 1
			}
			p := dag.NewParam64(u.Param.Name, u.Param.Shape, v)
			p.Storage, p.Reason = u.Param.Storage, u.Param.Reason
			ones[u.Param] = p
		}
		return ones[u.Param]
	})
	scaled, err := probe.Rescale(g, c)
	if err != nil {
		return nil, err
	}
	var out [][]float64
	for u := range scaled.Uses() {
		out = append(out, u.Param.Values())
	}
	k := 0
	for i := range n.Nodes {
		k = reordered(n.Nodes[i].Op, scaled.Nodes[i].Op, out, k)
	}
	return out, nil
}

// reordered sets nil for the uses of an op, from number k on, that hold one
// number a unit only after rescaling, and returns the number after the last.
func reordered(before, after dag.Op, out [][]float64, k int) int {
	switch a := before.(type) {
	case *dag.Activation:
		if a.Param != nil {
			k++
		}
	case *dag.Linear:
		b := after.(*dag.Linear)
		if a.Map != nil && a.Map.Weight() != nil {
			k++
		}
		for s := range a.Stages {
			if a.Stages[s].Norm != nil {
				k += 4
			}
			x, y := []*dag.Vector{a.Stages[s].Mul, a.Stages[s].Add}, []*dag.Vector{b.Stages[s].Mul, b.Stages[s].Add}
			for q, v := range x {
				if v == nil || v.Param == nil {
					continue
				}
				if v.Param.Len() != y[q].Param.Len() || v.Index != nil && y[q].Index == nil {
					out[k] = nil
				}
				k++
			}
		}
	}
	return k
}

// Apply rescales by c what is kept beside the stored numbers of n: values has one
// slice for each use of a tensor, in the order of n.Uses and in storage order
// (nil is passed over), and a new slice is returned for each. A gradient or state
// of a shared tensor must be given use by use where the uses' factors differ,
// since their sum cannot be taken apart. Errors: Network.Rescale's, a slice of a
// wrong length, numbers of a broadcast tensor that becomes one a unit.
func Apply(n *dag.Network, g *dag.Groups, c []float64, q Quantity, values [][]float64) ([][]float64, error) {
	f, err := StoredFactors(n, g, c)
	if err != nil {
		return nil, err
	}
	if len(values) != len(f) {
		return nil, fmt.Errorf("rescale: values of %d uses of tensors, the network has %d", len(values), len(f))
	}
	out := make([][]float64, len(values))
	k := 0
	for u := range n.Uses() {
		v := values[k]
		switch {
		case v == nil:
		case len(v) != u.Param.Len():
			return nil, fmt.Errorf("rescale: %d values for %q of %d", len(v), u.Param.Name, u.Param.Len())
		case f[k] == nil:
			return nil, fmt.Errorf("rescale: %q becomes one number a unit: give its values so", u.Param.Name)
		default:
			out[k] = make([]float64, len(v))
			for i := range v {
				out[k][i] = v[i] * math.Pow(f[k][i], exponents[q])
			}
		}
		k++
	}
	return out, nil
}
