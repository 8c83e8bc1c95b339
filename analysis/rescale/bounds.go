package rescale

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
)

// fitBounds moves factors of units whose bounds a file can keep in float32 alone, though its
// weights are float64 (attributes of ONNX are float32): by less than float32's rounding, to where
// the bound times the factor is a number of float32. Units with bounds of several sizes, and those that
// have bounds and whose inverses have too, get powers of two.
func (s *search) fitBounds() {
	wide := false
	for _, p := range s.net.Params() {
		wide = wide || p.Type == dag.Float64
	}
	if !wide {
		return
	}
	type bound struct {
		at      float64 // NaN: several
		inverse bool    // of units whose factor is 1 over the group's
	}
	bounds := map[int32]bound{}
	for nd, c := range dag.Each[*dag.Cap](s.net) {
		if nd.Zone != dag.Body || c.Storage != dag.BoundsInCommon || c.Type != dag.Float32 {
			continue
		}
		for _, b := range []float64{math.Abs(c.Lo[0]), math.Abs(c.Hi[0])} {
			if b == 0 || math.IsInf(b, 0) {
				continue
			}
			for _, id := range s.Groups.Units[nd.ID].IDs {
				if id == dag.NoGroup {
					continue
				}
				now := bound{at: b}
				if s.Groups.Follows(int(id)) {
					id, now.inverse = s.Groups.Inverse[id], true
				}
				if was, ok := bounds[id]; ok && was != now {
					now.at = math.NaN()
				}
				bounds[id] = now
			}
		}
	}
	changed, coarse := false, 0
	for id, b := range bounds {
		x := s.Factors[id]
		if x == 1 {
			continue
		}
		if b.inverse {
			x = 1 / x
		}
		f := float64(float32(b.at*x)) / b.at
		if !(f > 0) || math.IsInf(f, 0) {
			f = math.Exp2(math.Round(math.Log2(x)))
			coarse++
		}
		if b.inverse {
			f = 1 / f
		}
		s.Factors[id], changed = f, true
	}
	if coarse > 0 {
		s.warn("factors of %s are the powers of two nearest to the best: the file has several bounds of their units, in float32 beside weights in float64",
			words.Count(coarse, "group"))
	}
	if changed {
		s.Groups.Invert(s.Factors)
		s.Objective.After = s.objective(s.Factors)
	}
}
