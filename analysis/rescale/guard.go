package rescale

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// guard keeps rescaled weights within the range of their stored types. Factors on
// either side of a stored number that would become infinite are replaced by their
// square roots until none does; numbers that become zero are counted. Both give a
// warning. All stored numbers are looked at, unless there are many and all
// factors are too near to 1 to matter: then nothing below 2^100 can overflow.
func (r *Result) guard() {
	limit := r.view.lnRange() / 4
	total, widest := 0, 0.0
	for _, p := range r.net.Params() {
		total += p.Len()
	}
	for _, c := range r.Factors {
		widest = math.Max(widest, math.Abs(math.Log(c)))
	}
	const few = 1 << 20
	if widest == 0 || total > few && widest < limit {
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
			if !math.IsInf(now, 0) {
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
				r.Warnings = append(r.Warnings, fmt.Sprintf("%d weights are too small for their stored type after rescaling and become zero", zeros))
			}
			break
		}
		for id := range bad {
			changed[id] = true
			if r.Factors[id] = math.Sqrt(r.Factors[id]); math.Abs(r.Factors[id]-1) < 1e-9 {
				r.Factors[id] = 1
			}
		}
	}
	if len(changed) > 0 {
		r.Objective.After = r.objective(r.Factors)
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%d factors are nearer to 1 than wanted: the stored types cannot hold the rescaled weights", len(changed)))
	}
}

// bounded returns e^z within the positive normal numbers of float64.
func bounded(z float64) float64 { return math.Exp(math.Max(-700, math.Min(700, z))) }
