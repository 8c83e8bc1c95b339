package analysis

import (
	"math"

	"github.com/relupath/relupath/analysis/scaled"
)

// pacBayesEntries are the PAC-Bayes bounds that Jiang et al. make of the flatness measures,
// without the root and the division by m that come last. omega is the number of weights of
// the layers' matrices; biases are in the noise and not in the norms.
//
// Source: Jiang et al. 2020, appendix, as Dziugaite et al. compute them (In search of robust
// measures of generalization, NeurIPS 2020).
func pacBayesEntries() []*entry {
	type way struct {
		name, of, latex string
		needs           Need
		square          func(r *run, l *layer) scaled.Num
	}
	init := way{"init", "W - W0", `W-W^0`, NeedsData | NeedsReference, func(r *run, l *layer) scaled.Num { return r.distance(l).Pow(2) }}
	orig := way{"orig", "W", `W`, NeedsData, func(r *run, l *layer) scaled.Num { return r.frobenius(l).Pow(2) }}
	var out []*entry
	for _, w := range []way{init, orig} {
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
	for _, w := range []way{init, orig} {
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

// magnitudeBound is the sum over weights of pac_bayes_mag_init and pac_bayes_mag_orig.
func (r *run) magnitudeBound(f *found, square scaled.Num) Measure {
	sigma, m := f.sigma.Float64(), float64(r.opt.Data.Batch)
	weights := 0
	for _, l := range r.matrices() {
		for _, d := range r.differences(l) {
			weights += d.Rows * d.Cols
		}
	}
	top := epsilon*epsilon + (sigma*sigma+1)*square.Float64()/float64(weights)
	sum, slope := 0.0, 0.0
	for _, l := range r.matrices() {
		for _, d := range r.differences(l) {
			tiles(&d, func(tile []float64, _, _ int) {
				for _, w := range tile {
					below := epsilon*epsilon + sigma*sigma*w*w
					sum += math.Log(top / below)
					slope += (top-epsilon*epsilon)/top*sigma*sigma/(sigma*sigma+1) - sigma*sigma*w*w/below
				}
			})
		}
	}
	slope = math.Abs(slope/2 - 1) // d/d ln sigma
	return Measure{
		Value:         scaled.New(sum/4 + math.Log(m/sigma) + 10),
		StandardError: scaled.New(slope * f.spread),
		Symbols: []Symbol{
			{"sigma", f.sigma}, {"m", scaled.New(m)}, {"norm squared", square}, {"omega", scaled.New(float64(weights))}, {"epsilon", scaled.New(epsilon)},
		},
	}
}
