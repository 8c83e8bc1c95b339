package rescale

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// Exact returns a result with every factor rounded to a power of two, so that
// rescaled weights have the bits of the old ones but for the exponent and
// outputs are identical in every bit, unless values between the layers leave
// the normal range of the arithmetic. Of several roundings, log2 c + t rounded
// down for t in steps of 1/8, it takes the one with the least objective;
// Objective.After is what was reached, so that its ratio to r's is what rounding
// cost: less than a factor 2 for the norms of Path and CrossLayer. Where that is
// more than Objective.Before, the factors are 1, with a warning.
//
// Where a stored number would overflow, or lose bits among the subnormal ones,
// the exponents of the factors on either side of it are halved until none does;
// a warning counts these groups. r is not changed. Cost: nine reads of the
// weights.
func Exact(r *Result) *Result {
	out := *r
	out.Warnings = append([]string(nil), r.Warnings...)
	if len(r.view.active) == 0 {
		return &out
	}
	var best []float64
	const steps = 8
	for t := range steps {
		c := r.Groups.Ones()
		for _, id := range r.view.active {
			c[id] = math.Ldexp(1, int(math.Floor(math.Log2(r.Factors[id])+(float64(t)+0.5)/steps)))
		}
		f := r.objective(c)
		if best == nil || f.Cmp(out.Objective.After) < 0 {
			best, out.Objective.After = c, f
		}
	}
	if n := r.keepBits(best); n > 0 {
		out.Objective.After = r.objective(best)
		out.Warnings = append(out.Warnings, fmt.Sprintf(
			"%d factors are nearer to 1 than wanted: the stored types cannot hold the rescaled weights without rounding", n))
	}
	if r.method != Unbalance && out.Objective.After.Cmp(out.Objective.Before) > 0 {
		// A network near the optimum is nearer to it than any rounding.
		if slices.ContainsFunc(best, func(c float64) bool { return c != 1 }) {
			out.Warnings = append(out.Warnings, "no powers of two were found that make the objective smaller: the factors are 1")
		}
		best, out.Objective.After = r.Groups.Ones(), out.Objective.Before
	}
	out.Factors = best
	out.Sweeps += steps
	return &out
}

// objective is the method's objective of the network rescaled by c.
func (r *Result) objective(c []float64) scaled.Num {
	switch r.method {
	case Path:
		return r.view.mu(r.opt.P, c, r.opt.Threads)
	case EqualNorm:
		return r.view.power(r.opt.P, c, r.opt.Threads)
	case CrossLayer:
		return r.view.mu(math.Inf(1), c, r.opt.Threads)
	case PathConditioned:
		z := make([]float64, len(r.view.active))
		for k, id := range r.view.active {
			z[k] = math.Log(c[id])
		}
		return r.view.kappaObjective(r.program, z)
	}
	return r.view.power(2, c, r.opt.Threads)
}

// keepBits halves exponents in c until every stored number keeps its bits, and
// returns how many groups it changed.
func (r *Result) keepBits(c []float64) int {
	changed := map[int32]bool{}
	for {
		bad := map[int32]bool{}
		r.stored(c, func(old, now float64, groups ...int32) {
			f, _ := math.Frexp(old)
			g, _ := math.Frexp(now)
			if f == g {
				return
			}
			for _, id := range groups {
				if id != dag.NoGroup && c[id] != 1 {
					bad[id] = true
				}
			}
		})
		if len(bad) == 0 {
			return len(changed)
		}
		for id := range bad {
			changed[id] = true
			_, e := math.Frexp(c[id])
			c[id] = math.Ldexp(1, (e-1)/2)
		}
	}
}

// stored calls f for every stored number that the factors c change, before and
// after, with the groups whose factors it holds.
func (r *Result) stored(c []float64, f func(old, now float64, groups ...int32)) {
	out, err := r.net.Rescale(r.Groups, c)
	if err != nil {
		panic("rescale: " + err.Error()) // factors of our own
	}
	for i := range r.net.Nodes {
		a, ok := r.net.Nodes[i].Op.(*dag.Linear)
		if !ok || r.net.Nodes[i].Zone != dag.Body {
			continue
		}
		rows, cols := r.Groups.Rows[i], r.Groups.Cols[i]
		b := out.Nodes[i].Op.(*dag.Linear)
		if a.Map != nil && a.Map.Weight() != nil && a.Map.Weight().Param != b.Map.Weight().Param {
			before, after := matrices(a.Map, 1), matrices(b.Map, 1)
			for k := range before {
				both(&before[k], &after[k], func(row, col int, old, now float64) { f(old, now, rows[row], cols[col]) })
			}
		}
		for k := range a.Stages {
			for q, u := range numbers(&a.Stages[k]) {
				w := numbers(&b.Stages[k])[q]
				for row := range a.Rows() {
					f(u(row), w(row), rows[row])
				}
			}
		}
	}
}

// both calls f for every pair of numbers of two matrices of one shape.
func both(a, b *matrix, f func(row, col int, x, y float64)) {
	for i := range a.m {
		for j := range a.n {
			row, col := pick(a.rows, i), pick(a.cols, j)
			if a.swap {
				row, col = col, row
			}
			f(row, col, a.at(i, j), b.at(i, j))
		}
	}
}

// numbers returns the stored vectors of a stage, as functions of the row.
func numbers(s *dag.Stage) []func(row int) float64 {
	var out []func(int) float64
	if s.Norm != nil {
		out = append(out, s.Norm.Gamma.Param.At, s.Norm.Beta.Param.At, s.Norm.Mean.Param.At)
	}
	for _, v := range []*dag.Vector{s.Mul, s.Add} {
		if v != nil && v.Param != nil {
			out = append(out, v.At)
		}
	}
	return out
}
