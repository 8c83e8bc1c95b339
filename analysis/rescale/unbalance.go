package rescale

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
)

// unbalance multiplies the factors of h/4 units of each layer, drawn with
// replacement from its h live free ones, by 10 e^N(0,1). A layer with fewer than
// four gets one draw. A factor beyond most stays: one group has the units of all layers that
// add to a residual stream, and would leave the range of float32. The objective reported is
// EqualNorm's for p = 2.
func (r *search) unbalance(context.Context) error {
	v, err := newView(r.net, r.Groups, 2, r.opt)
	if err != nil {
		return err
	}
	r.view = v
	const most = 1e6
	rng := rand.New(rand.NewPCG(r.opt.Seed, 0x756e62616c616e63))
	z := make([]float64, len(v.active))
	for _, y := range v.layers {
		var units []int32 // groups
		for _, id := range y.rows {
			if id != dag.NoGroup && v.index[id] >= 0 {
				units = append(units, id)
			}
		}
		if len(units) == 0 {
			continue
		}
		for range max(1, len(units)/4) {
			id := units[rng.IntN(len(units))]
			by := v.sign[id] * (math.Ln10 + rng.NormFloat64())
			if k := v.index[id]; math.Abs(z[k]) < math.Log(most) {
				z[k] += by
			}
		}
	}
	r.Factors = v.factors(z)
	r.Sweeps = 2
	r.Objective.Before, r.Objective.After = r.objective(r.Groups.Ones()), r.objective(r.Factors)
	return nil
}
