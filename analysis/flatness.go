package analysis

import (
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// The flatness measures look for the largest noise that costs no more than
// flatnessRise of error, in expectation over flatnessDraws draws that are the
// same for every size of noise, to a relative flatnessTolerance.
const (
	flatnessRise      = 0.1
	flatnessDraws     = 5
	flatnessTolerance = 0.01
)

// flatnessEntries are PAC-Bayes measures of flatness: 1/sigma^2 of the largest
// noise that the network bears. The algorithm: e(sigma) is the 0/1 error on the
// data, averaged over draws of noise u = sigma z (or sigma w z) on every stored
// parameter of the body but BatchNormalization's running moments, z standard
// normal from the seed. Sigma is doubled or halved until e(sigma) - e(0) passes
// 0.1 (within 2^-40 to 2^40), then bisected in the logarithm.
func flatnessEntries() []*entry {
	make := func(name, formula, latex, what string, invariant bool, noise func(w, z float64) float64) *entry {
		return &entry{
			Info: Info{
				Name: name, Formula: formula, LaTeX: latex, Source: j20 + what, Unit: "norm^-2",
				Invariant: invariant, Cost: Evaluations, Needs: NeedsData, Scope: OfNet,
			},
			net: func(r *run) []Measure { return r.flatness(noise) },
		}
	}
	return []*entry{
		make("pac_bayes_flatness", "1 / sigma^2, sigma the largest with E[error(w + sigma z)] <= error(w) + 0.1, z normal",
			`1/\sigma^2,\ \mathbb E_z[\mathrm{err}(w+\sigma z)]\le\mathrm{err}(w)+0.1`, " (pacbayes-flatness)", false,
			func(_, z float64) float64 { return z }),
		make("pac_bayes_magnitude_flatness", "1 / sigma^2, sigma the largest with E[error(w (1 + sigma z))] <= error(w) + 0.1, z normal",
			`1/\sigma^2,\ \mathbb E_z[\mathrm{err}(w(1+\sigma z))]\le\mathrm{err}(w)+0.1`, " (pacbayes-mag-flatness, epsilon 0)", true,
			func(w, z float64) float64 { return w * z }),
	}
}

// flatness finds the largest noise.
func (r *run) flatness(noise func(w, z float64) float64) []Measure {
	base := r.errorRate(r.net)
	bears := func(sigma float64) bool {
		var e float64
		for draw := range flatnessDraws {
			e += r.errorRate(r.perturbed(draw, func(w, z float64) float64 { return w + sigma*noise(w, z) }))
		}
		return e/flatnessDraws <= base+flatnessRise
	}
	const limit = 40
	lo, hi := 1.0, 1.0
	if bears(1) {
		for hi = 2; bears(hi) && hi < math.Ldexp(1, limit); hi *= 2 {
			lo = hi
		}
	} else {
		for lo = 0.5; !bears(lo) && lo > math.Ldexp(1, -limit); lo /= 2 {
			hi = lo
		}
	}
	for r.err == nil && r.ctx.Err() == nil && hi/lo > 1+flatnessTolerance {
		if mid := math.Sqrt(lo * hi); bears(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	s := scaled.New(lo)
	return []Measure{{Value: scaled.One.Div(s.Mul(s)), Symbols: []Symbol{
		{"sigma", s},
		{"error", scaled.New(base)},
		{"rise", scaled.New(flatnessRise)},
		{"draws", scaled.New(flatnessDraws)},
	}}}
}

// errorRate is the share of examples whose label has not the largest output; a
// tie is an error.
func (r *run) errorRate(n *dag.Network) float64 {
	if r.err != nil {
		return 1
	}
	wrong := 0
	if err := r.outputs(n, func(i int, out []float64) {
		if !(margin(out, r.opt.Data.Labels[i]) > 0) {
			wrong++
		}
	}); err != nil {
		r.err = err
	}
	return float64(wrong) / float64(r.opt.Data.Batch)
}

// perturbed returns the network with noise on its parameters; the same draw
// gives the same z.
func (r *run) perturbed(draw int, f func(w, z float64) float64) *dag.Network {
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(draw)))
	made := map[*dag.Param]*dag.Param{}
	for _, p := range learned(r.net) {
		v := p.Values()
		for i, w := range v {
			v[i] = f(w, rng.NormFloat64())
		}
		// In float64, so that small noise is not rounded away.
		made[p] = dag.NewParam64(p.Name, p.Shape, v)
	}
	return r.net.Replace(func(u *dag.Use) *dag.Param {
		if q := made[u.Param]; q != nil {
			return q
		}
		return u.Param
	})
}
