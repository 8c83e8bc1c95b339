package rescale

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/words"
)

// limit keeps factors within half the range of the smallest stored type where the values of units would leave it: they
// grow by the unit's factor, and whatever computes in that type loses those beyond its range, though every weight is in
// it. Ratios of factors only come nearer to 1 by it. There are such factors where values of layers shrink by 1e-20 and no
// bias brings them back.
func (r *search) limit() {
	most, changed := math.Exp(lnRange(r.net)), 0
	if !slices.ContainsFunc(r.Factors, func(c float64) bool { return !(c <= most && c >= 1/most) }) || r.valuesFit() {
		return
	}
	for id, c := range r.Factors {
		if near := math.Max(1/most, math.Min(most, c)); near != c {
			r.Factors[id] = near
			changed++
		}
	}
	if changed > 0 {
		r.Objective.After = r.objective(r.Factors)
		r.warn("%s %s nearer to 1 than wanted: values of units would leave the range of the stored types", words.Count(changed, "factor"), words.Of(changed, "is"))
	}
}

// valuesFit reports whether the path norms (p = 1) of the rescaled network's units, biases among them whatever the
// measures do with those, which no value for inputs up to 1 exceeds, are a thousand times smaller than the largest
// number of each stored type, and as much larger than the smallest normal one.
func (r *search) valuesFit() bool {
	out, err := r.net.Rescale(r.Groups, r.Factors)
	if err != nil {
		return false
	}
	const room = 1000
	least, most := 0.0, math.Inf(1)
	for _, p := range out.Params() {
		least, most = math.Max(least, p.Type.Smallest()/p.Type.Epsilon()*room), math.Min(most, p.Type.Largest()/room)
	}
	v := paths.Forward(out, []float64{1}, paths.Options{Threads: r.opt.Threads})
	for nd := range dag.Each[*dag.Linear](out) {
		if slices.ContainsFunc(v.H(0, nd.ID), func(h scaled.Num) bool {
			return !h.IsZero() && !(h.Cmp(scaled.New(least)) >= 0 && h.Cmp(scaled.New(most)) <= 0)
		}) {
			return false
		}
	}
	return true
}

// guard keeps rescaled weights within the range of their stored types. Factors on
// either side of a stored number that would become infinite are replaced by their
// square roots until none does; numbers that become zero are counted. Both give a
// warning. Single numbers are looked at only where the largest of a layer and the
// range of its factors do not rule both out.
func (r *search) guard() {
	if r.safe() {
		return
	}
	changed := map[int32]bool{}
	for {
		bad := map[int32]bool{}
		zeros := 0
		r.stored(r.Factors, func(old, now float64, groups ...int32) {
			if now == 0 && old != 0 {
				zeros++
			}
			if !math.IsInf(now, 0) || math.IsInf(old, 0) {
				return
			}
			for _, id := range groups {
				if id != dag.NoGroup && r.Factors[id] != 1 {
					bad[id] = true
				}
			}
		})
		if len(bad) == 0 {
			if zeros > 0 {
				r.warn("too small for the stored type after rescaling, and zero: %s", words.Count(zeros, "weight"))
			}
			break
		}
		for id := range r.chosen(bad) {
			changed[id] = true
			if r.Factors[id] = math.Sqrt(r.Factors[id]); math.Abs(r.Factors[id]-1) < 1e-9 {
				r.Factors[id] = 1
			}
		}
		r.Groups.Invert(r.Factors)
	}
	if len(changed) > 0 {
		r.Objective.After = r.objective(r.Factors)
		r.warn("%s %s nearer to 1 than wanted: the stored types cannot hold the rescaled weights", words.Count(len(changed), "factor"), words.Of(len(changed), "is"))
	}
}

// safe reports whether no number of a layer can leave its type's range: the
// largest times the widest ratio of factors is finite, and the ratio is too small
// to bring numbers that matter to zero.
func (r *search) safe() bool {
	for nd, c := range dag.Each[*dag.Cap](r.net) {
		if nd.Zone == dag.Body && !r.safeBounds(c, r.Groups.Units[nd.ID].IDs) {
			return false
		}
	}
	for nd := range dag.Each[*dag.Linear](r.net) {
		if nd.Zone != dag.Body {
			continue
		}
		lo, hi := 1.0, 1.0
		for _, ids := range [][]int32{r.Groups.Rows[nd.ID], r.Groups.Cols[nd.ID]} {
			for _, id := range ids {
				if id != dag.NoGroup {
					lo, hi = math.Min(lo, r.Factors[id]), math.Max(hi, r.Factors[id])
				}
			}
		}
		if ratio := hi / lo; ratio > 1 {
			for role, u := range nd.Uses() {
				p := u.Param
				if role == dag.Variance {
					continue // no factor changes it
				}
				if !(ratio < rangeOf(p.Type)) || !(ratio*p.MaxAbs(r.opt.Threads) < p.Type.Largest()) {
					return false
				}
			}
		}
	}
	return true
}

// safeBounds is safe for the bounds of a cap on elements of the groups.
func (r *search) safeBounds(c *dag.Cap, ids []int32) bool {
	var top, ratio float64 = 0, 1
	for _, id := range ids {
		if id != dag.NoGroup {
			ratio = max(ratio, r.Factors[id], 1/r.Factors[id])
		}
	}
	for _, bounds := range [][]float64{c.Lo, c.Hi} {
		for _, b := range bounds {
			if !math.IsInf(b, 0) {
				top = max(top, math.Abs(b))
			}
		}
	}
	return ratio == 1 || ratio < rangeOf(c.Type) && ratio*top < c.Type.Largest()
}

// rangeOf is the ratio of factors that leaves weights near 1 far from zero.
func rangeOf(t dag.DType) float64 {
	switch t {
	case dag.Float64:
		return 0x1p500
	case dag.Float16:
		return 0x1p6
	}
	return 0x1p60
}

// bounded returns e^z within the positive normal numbers of float64.
func bounded(z float64) float64 { return math.Exp(math.Max(-700, math.Min(700, z))) }
