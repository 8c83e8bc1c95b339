package rescale

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// fitBounds moves factors of units whose bounds a file can keep in float32 alone, though its
// weights are float64 (attributes of ONNX are float32): by less than float32's rounding, to where
// the bound times the factor is a number of float32. Units with bounds of several sizes get powers of two.
func (s *search) fitBounds() {
	wide := false
	for _, p := range s.net.Params() {
		wide = wide || p.Type == dag.Float64
	}
	if !wide {
		return
	}
	bounds := map[int32]float64{} // NaN: several
	for nd, c := range dag.Each[*dag.Cap](s.net) {
		if nd.Zone != dag.Body || c.Storage != dag.BoundsInCommon || c.Type != dag.Float32 {
			continue
		}
		for _, b := range []float64{math.Abs(c.Lo[0]), math.Abs(c.Hi[0])} {
			if b == 0 || math.IsInf(b, 0) {
				continue
			}
			for _, id := range s.Groups.Units[nd.ID].IDs {
				if was, ok := bounds[id]; ok && was != b {
					bounds[id] = math.NaN()
				} else {
					bounds[id] = b
				}
			}
		}
	}
	changed := false
	for id, b := range bounds {
		if id == dag.NoGroup || s.Factors[id] == 1 {
			continue
		}
		f := float64(float32(b*s.Factors[id])) / b
		if !(f > 0) || math.IsInf(f, 0) {
			f = math.Exp2(math.Round(math.Log2(s.Factors[id])))
		}
		if s.Groups.Follows(int(id)) {
			id, f = s.Groups.Inverse[id], 1/f
		}
		s.Factors[id], changed = f, true
	}
	if changed {
		s.Groups.Invert(s.Factors)
		s.Objective.After = s.objective(s.Factors)
	}
}
