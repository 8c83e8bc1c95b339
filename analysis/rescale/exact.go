package rescale

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
)

// exact rounds the factors: see Options.Exact.
func (r *search) exact() {
	if len(r.view.active) == 0 {
		return
	}
	var best []float64
	const steps = 8
	for t := range steps {
		c := r.Groups.Ones()
		for _, id := range r.view.active {
			c[id] = math.Ldexp(1, int(math.Floor(math.Log2(r.Factors[id])+(float64(t)+0.5)/steps)))
		}
		r.Groups.Invert(c)
		f := r.objective(c)
		if best == nil || f.Cmp(r.Objective.After) < 0 {
			best, r.Objective.After = c, f
		}
	}
	if n := r.keepBits(best); n > 0 {
		r.Objective.After = r.objective(best)
		r.warn("%s %s nearer to 1 than wanted: the stored types cannot hold the rescaled weights without rounding", words.Count(n, "factor"), words.Of(n, "is"))
	}
	if r.method.Method != Unbalance && r.Objective.After.Cmp(r.Objective.Before) > 0 {
		// A network near the optimum is nearer to it than any rounding.
		if slices.ContainsFunc(best, func(c float64) bool { return c != 1 }) {
			r.warn("no powers of two were found that make the objective smaller: the factors are 1")
		}
		best, r.Objective.After = r.Groups.Ones(), r.Objective.Before
	}
	r.Factors = best
	r.Sweeps += steps
}

// keepBits halves exponents in c until every stored number keeps its bits, and
// returns how many groups it changed.
func (r *search) keepBits(c []float64) int {
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
		for id := range r.chosen(bad) {
			changed[id] = true
			_, e := math.Frexp(c[id])
			c[id] = math.Ldexp(1, (e-1)/2)
		}
		r.Groups.Invert(c)
	}
}

// chosen returns the groups whose factors decide those of others.
func (r *search) chosen(groups map[int32]bool) map[int32]bool {
	out := map[int32]bool{}
	for id := range groups {
		if r.Groups.Follows(int(id)) {
			id = r.Groups.Inverse[id]
		}
		out[id] = true
	}
	return out
}

// stored calls f for every stored number that the factors c change, before and
// after, with the groups whose factors it holds. A bound of a cap is one number an
// element.
func (r *search) stored(c []float64, f func(old, now float64, groups ...int32)) {
	out, err := r.net.Rescale(r.Groups, c)
	if err != nil {
		panic("rescale: " + err.Error()) // factors of our own
	}
	r.bounds(out, f)
	for nd, a := range dag.Each[*dag.Linear](r.net) {
		if nd.Zone != dag.Body {
			continue
		}
		rows, cols := r.Groups.Rows[nd.ID], r.Groups.Cols[nd.ID]
		b := out.Nodes[nd.ID].Op.(*dag.Linear)
		if a.Map != nil && a.Map.Weight() != nil && a.Map.Weight().Param != b.Map.Weight().Param {
			after := b.Matrices()
			for k, before := range a.Matrices() {
				for e := range before.Len() {
					row, col := before.Place(e)
					f(before.At(e), after[k].At(e), rows[row], cols[col])
				}
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

// bounds is stored for the bounds of caps, of which out has those after.
func (r *search) bounds(out *dag.Network, f func(old, now float64, groups ...int32)) {
	for nd, before := range dag.Each[*dag.Cap](r.net) {
		after, m := out.Nodes[nd.ID].Op.(*dag.Cap), &r.Groups.Units[nd.ID]
		if after == before {
			continue
		}
		for e := range nd.Len() {
			lo, hi := before.Bounds(e)
			to, top := after.Bounds(e)
			f(lo, to, m.At(e))
			f(hi, top, m.At(e))
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
