package analysis

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// reach is what the bounds measure: how far the weights are from the reference, or from 0.
type reach struct {
	name, of, latex string
	needs           Need
	square          func(r *run, l *layer) scaled.Num
}

func reaches() []reach {
	return []reach{
		{"init", "W - W0", `W-W^0`, NeedsData | NeedsReference, func(r *run, l *layer) scaled.Num { return r.distance(l).Pow(2) }},
		{"orig", "W", `W`, NeedsData, func(r *run, l *layer) scaled.Num { return r.frobenius(l).Pow(2) }},
	}
}

// pacBayesEntries are the PAC-Bayes bounds that Jiang et al. make of the flatness measures,
// without the root and the division by m that come last. omega is the number of weights of
// the layers' matrices; biases are in the noise and not in the norms.
//
// Source: Jiang et al. 2020, appendix, as Dziugaite et al. compute them (In search of robust
// measures of generalization, NeurIPS 2020).
func pacBayesEntries() []*entry {
	var out []*entry
	for _, w := range reaches() {
		out = append(out, &entry{
			Info: Info{
				Name: "pac_bayes_" + w.name, Formula: "||" + w.of + "||_F^2 / (4 sigma^2) + ln(m / sigma) + 10, sigma that of pac_bayes_flatness",
				LaTeX:  `\frac{\lVert ` + w.latex + `\rVert_F^2}{4\sigma^2}+\ln\frac m\sigma+10`,
				Source: j20 + " (pacbayes-" + w.name + ")", Unit: "bound", Cost: Evaluations, Needs: w.needs, Scope: OfNet,
			},
			rows: []float64{2},
			net: func(r *run) []Measure {
				f, square := r.flatness(plain), r.sum(func(l *layer) scaled.Num { return w.square(r, l) })
				sigma, m := f.sigma, float64(r.opt.Data.Batch)
				x := square.Div(sigma.Mul(sigma)).MulFloat(0.25)
				// d/d ln sigma
				slope := x.MulFloat(2).Add(scaled.One)
				x = x.Add(scaled.New(math.Log(m) - sigma.Ln() + 10))
				return []Measure{{Value: x, StandardError: slope.MulFloat(f.spread), Symbols: []Symbol{
					{"sigma", sigma}, {"m", scaled.New(m)}, {"norm squared", square},
				}}}
			},
		})
	}
	for _, w := range reaches() {
		out = append(out, &entry{
			Info: Info{
				Name: "pac_bayes_mag_" + w.name,
				Formula: "1/4 sum_i ln((epsilon^2 + (sigma^2 + 1) ||" + w.of + "||_F^2 / omega) / (epsilon^2 + sigma^2 (w_i - w0_i)^2)) + ln(m / sigma) + 10, " +
					"sigma that of pac_bayes_magnitude_flatness, omega weights, epsilon = 1e-3",
				LaTeX: `\tfrac14\sum_i\ln\frac{\epsilon^2+(\sigma^2+1)\lVert ` + w.latex +
					`\rVert_F^2/\omega}{\epsilon^2+\sigma^2(w_i-w^0_i)^2}+\ln\frac m\sigma+10`,
				Source: j20 + " (pacbayes-mag-" + w.name + ")", Unit: "bound", Cost: Evaluations, Needs: NeedsData | NeedsReference, Scope: OfNet,
			},
			rows: []float64{2},
			net: func(r *run) []Measure {
				f, square := r.flatness(inProportion), r.sum(func(l *layer) scaled.Num { return w.square(r, l) })
				return []Measure{r.magnitudeBound(f, square)}
			},
		})
	}
	return out
}

// magnitudeBound is pac_bayes_mag_init and pac_bayes_mag_orig.
func (r *run) magnitudeBound(f *found, square scaled.Num) Measure {
	sigma, m := f.sigma.Float64(), float64(r.opt.Data.Batch)
	sum, slope := r.magnitudes(sigma, 1, square.Float64())
	slope = math.Abs(slope - 1) // d/d ln sigma
	return Measure{
		Value:         scaled.New(sum + math.Log(m/sigma) + 10),
		StandardError: scaled.New(slope * f.spread),
		Symbols: []Symbol{
			{"sigma", f.sigma}, {"m", scaled.New(m)}, {"norm squared", square}, {"omega", scaled.New(float64(r.weights()))}, {"epsilon", scaled.New(epsilon)},
		},
	}
}

// magnitudes is 1/4 sum_i ln((epsilon^2 + (size^2 + more) square / omega) / (epsilon^2 + size^2 (w_i - w0_i)^2))
// over the weights, with its derivative by ln size.
func (r *run) magnitudes(size, more, square float64) (sum, slope float64) {
	mean := square / float64(r.weights())
	top := epsilon*epsilon + (size*size+more)*mean
	for _, l := range r.matrices() {
		for _, d := range r.differences(l) {
			tiles(&d, func(tile []float64, _, _ int) {
				for _, w := range tile {
					below := epsilon*epsilon + size*size*w*w
					sum += math.Log(top / below)
					slope += size*size*mean/top - size*size*w*w/below
				}
			})
		}
	}
	return sum / 4, slope / 2
}

// weights is omega, the number of weights of the layers' matrices.
func (r *run) weights() int {
	n := 0
	for _, l := range r.matrices() {
		if d, ok := l.op.Map.(*dag.Diagonal); ok {
			n += d.Axis.N
			continue
		}
		for _, m := range l.op.Matrices() {
			n += m.Len()
		}
	}
	return n
}
