package analysis

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// PathMetric is paths.Metric of two networks in the form in which they are measured, with
// constants and normalisers folded into the layers: a bound on ||pi(a) - pi(b)||_1, biases
// included, and with max(1, max_i |x_i|) one on the sum of the differences of the values at
// which the networks end. Errors: those of paths.Metric. Cost: its, and a copy of the weights of
// both in float64.
func PathMetric(a, b *dag.Network, threads int) (scaled.Num, error) {
	return paths.Metric(effectiveWeights(a), effectiveWeights(b), threads)
}

// effectiveWeights is the network in its normal form with weights and biases that nothing is
// applied to any more.
func effectiveWeights(n *dag.Network) *dag.Network {
	return (&run{net: normal(n)}).perturbed(0, func(w, _ float64) float64 { return w })
}
