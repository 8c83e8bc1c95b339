// Package study shows how far measures of capacity move over networks that
// compute one function: the experiment that tells which of them mean anything.
package study

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// Options says what to draw. The zero value works.
type Options struct {
	// N is the number of equivalent networks. Default: 10.
	N int
	// Seed makes the draws.
	Seed uint64
	// Deviation is the standard deviation of log10 of a factor. Default: 1.
	Deviation float64
	// Each is called after each network, for progress. Default: nothing.
	Each func(done, of int)
}

// Row is one measure of the whole network over all draws.
type Row struct {
	// Measure is that of the network as given.
	Measure analysis.Measure
	// Least and Most are the extremes over the network and its draws.
	Least, Most scaled.Num
	// Decades is how far the measure moves: the largest |log10(x / x_0)| over the
	// draws, of a measure that is itself a natural logarithm |x - x_0| / ln 10;
	// infinite when it becomes zero.
	Decades float64
	// Undefined is the number of draws for which it has no value.
	Undefined int
}

// Result is a study.
type Result struct {
	// N is the number of networks drawn, Groups that of factors drawn for each.
	N, Groups int
	// Rows are in the order of the measures.
	Rows []Row
}

// Run draws N rescaling-equivalent networks, every free group of tied units with
// a factor of its own, 10^(Deviation z), z standard normal, and measures each.
// Whatever is invariant moves by the rounding of the stored type alone: some
// 1e-16 decades in float64, 1e-7 in float32.
//
// Cost: N+1 times Measures, and one rescaled copy of the weights at a time.
// Errors: those of analysis.Measures; a network without free units has nothing
// to draw and is one.
func Run(ctx context.Context, n *dag.Network, what analysis.Options, opt Options) (*Result, error) {
	if opt.N <= 0 {
		opt.N = 10
	}
	if opt.Deviation <= 0 {
		opt.Deviation = 1
	}
	g := n.Groups()
	var free []int
	for id := range g.Count {
		if g.Pin[id] == "" && g.Size[id] > 0 && !g.Follows(id) {
			free = append(free, id)
		}
	}
	if len(free) == 0 {
		return nil, fmt.Errorf("study: every unit is pinned: no other network is rescaling equivalent")
	}
	first, err := analysis.Measures(ctx, n, what)
	if err != nil {
		return nil, err
	}
	units := map[string]string{}
	for _, i := range analysis.Registry() {
		units[i.Name] = i.Unit
	}
	res := &Result{N: opt.N, Groups: len(free)}
	for _, m := range first.Measures {
		res.Rows = append(res.Rows, Row{Measure: m, Least: m.Value, Most: m.Value})
	}
	rng := rand.New(rand.NewPCG(opt.Seed, 0x57d7))
	for k := range opt.N {
		c := g.Ones()
		for _, id := range free {
			c[id] = math.Pow(10, opt.Deviation*rng.NormFloat64())
		}
		other, err := n.Rescale(g, c)
		if err != nil {
			return nil, err
		}
		r, err := analysis.Measures(ctx, other, what)
		if err != nil {
			return nil, err
		}
		for i, m := range r.Measures {
			res.Rows[i].add(m, units[m.Name])
		}
		if opt.Each != nil {
			opt.Each(k+1, opt.N)
		}
	}
	return res, nil
}

// add takes in one draw of a measure of some unit.
func (r *Row) add(m analysis.Measure, unit string) {
	if !m.Defined || !r.Measure.Defined {
		r.Undefined++
		return
	}
	if m.Value.Cmp(r.Least) < 0 {
		r.Least = m.Value
	}
	r.Most = scaled.Max(r.Most, m.Value)
	var d float64
	x, x0 := m.Value, r.Measure.Value
	switch {
	case x == x0:
	case unit == "log":
		d = math.Abs(x.Float64()-x0.Float64()) / math.Ln10
	default:
		d = math.Abs(x.Div(x0).Log10())
	}
	r.Decades = math.Max(r.Decades, d)
}
