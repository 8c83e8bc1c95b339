package analysis

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
)

// The flatness measures look for the largest noise that costs no more than flatnessRise of error,
// in expectation over draws that are the same for every size of noise. There are as many draws,
// from leastDraws on, as Options.FlatnessError wants: mostDraws at most, more where all of them
// multiply flatnessWork times at most. A draw is of the noise and, where there are more than
// drawnExamples, of the examples.
const (
	flatnessRise      = 0.1
	flatnessTolerance = 0.01
	leastDraws        = 5
	mostDraws         = 200
	flatnessWork      = 2e8
	// drawWork is what a draw costs beside its products.
	drawWork = 1e5
	// slopeDraws, or a quarter of all, are enough for the slope, which only the standard
	// error and the steps of the search are taken from.
	slopeDraws    = 100
	drawnExamples = 1000
)

// flatnessEntries are PAC-Bayes measures of flatness: 1/sigma^2 of the largest
// noise that the network bears. The algorithm: e(sigma) is the 0/1 error on the
// data, averaged over draws of noise u = sigma z (or sigma w z) on every weight
// and bias of the body's layers, with everything folded in, and on PReLU slopes,
// z standard normal from the seed. Each draw is judged by 1000 examples of its own,
// one at random from each thousandth of the data, or by all where there are no more:
// its expected error is that of all, and what the choice adds to its scatter counts in
// the standard error. With 5 draws sigma is doubled or halved until e(sigma) - e(0)
// passes 0.1 (within 2^-40 to 2^40), then bisected in the logarithm. Where more draws
// are wanted, Newton's steps go on from there, until one is below 1 % or a quarter of
// the standard error. The standard error of ln sigma is that of e(sigma) over the
// draws, divided by the slope of e(sigma) in ln sigma.
func flatnessEntries() []*entry {
	make := func(name, formula, latex, what string, invariant bool, kind noise) *entry {
		return &entry{
			Info: Info{
				Name: name, Formula: formula, LaTeX: latex, Source: j20 + what, Unit: "norm^-2",
				Invariant: invariant, Cost: Evaluations, Needs: NeedsData, Scope: OfNet,
			},
			floored: kind == inProportion,
			net:     func(r *run) []Measure { return r.flatness(kind).measure() },
		}
	}
	return append([]*entry{
		make("pac_bayes_flatness", "1 / sigma^2, sigma the largest with E[error(w + sigma z)] <= error(w) + 0.1, z normal",
			`1/\sigma^2,\ \mathbb E_z[\mathrm{err}(w+\sigma z)]\le\mathrm{err}(w)+0.1`, " (pacbayes-flatness)", false, plain),
		make("pac_bayes_magnitude_flatness", "1 / sigma^2, sigma the largest with E[error(w (1 + sigma z))] <= error(w) + 0.1, z normal",
			`1/\sigma^2,\ \mathbb E_z[\mathrm{err}(w(1+\sigma z))]\le\mathrm{err}(w)+0.1`, " (pacbayes-mag-flatness, epsilon 0)", true, inProportion),
	}, pacBayesEntries()...)
}

// noise is what is added to a weight.
type noise uint8

const (
	// plain is sigma z.
	plain noise = iota
	// inProportion is sigma w z, and as published sqrt(sigma^2 w^2 + epsilon^2) z.
	inProportion
)

// epsilon is the floor of magnitudes in the published measures.
const epsilon = 1e-3

// add is w with noise of the size sigma.
func (r *run) add(kind noise, w, sigma, z float64) float64 {
	switch {
	case kind == plain:
		return w + sigma*z
	case r.opt.Published:
		return w + math.Hypot(sigma*w, epsilon)*z
	}
	return w + sigma*w*z
}

// found is the largest noise that the network bears: sigma with the standard error of its
// logarithm, the error without noise, and how many draws that took.
type found struct {
	sigma        scaled.Num
	spread, base float64
	draws        int
}

// measure is 1/sigma^2.
func (f *found) measure() []Measure {
	x := scaled.One.Div(f.sigma.Mul(f.sigma))
	return []Measure{{Value: x, StandardError: x.MulFloat(2 * f.spread), Symbols: []Symbol{
		{"sigma", f.sigma},
		{"error", scaled.New(f.base)},
		{"rise", scaled.New(flatnessRise)},
		{"draws", scaled.New(float64(f.draws))},
	}}}
}

// flatness finds the largest noise, once.
func (r *run) flatness(kind noise) *found {
	if f := r.memo.flat[kind]; f != nil {
		return f
	}
	base := r.errorRate(r.file, r.opt.Data)
	f := &flatSearch{run: r, kind: kind, bound: base + flatnessRise, known: map[float64][]float64{}}
	const limit = 1 << 40
	draws, spread := leastDraws, 0.0
	most := max(mostDraws, int(flatnessWork/(drawWork+products(r.net)*float64(min(r.opt.Data.Batch, drawnExamples)))))
	sigma := largest(limit, func(s float64) bool { return stat.Mean(f.errors(s, leastDraws), nil) <= f.bound })
	// Otherwise all noise is borne, or none.
	for inside := sigma < limit/2 && sigma > 2./limit; inside && !f.stopped(); {
		slope, scatter := f.sensitivity(sigma, draws)
		if spread = math.Inf(1); slope > 0 {
			spread = scatter / math.Sqrt(float64(draws)) / slope
		}
		want := 2 * spread / r.opt.FlatnessError // the value goes with sigma^-2
		if want <= 1 {
			break
		}
		if draws == most {
			r.note("the largest noise %s: after %d draws 1/sigma^2 has a standard error of %.0f %%, not the %.0f %% that was to be reached",
				[...]string{"on weights", "in proportion to weights"}[kind], draws, 200*spread, 100*r.opt.FlatnessError)
			break
		}
		draws = int(math.Min(float64(most), float64(draws)*math.Max(1.5, math.Min(10, want*want))))
		sigma = f.refine(sigma, draws, slope, scatter)
	}
	out := &found{scaled.New(sigma), spread, base, draws}
	r.memo.flat[kind] = out
	return out
}

// products is the number of multiplications with weights of one evaluation, and one an element.
func products(n *dag.Network) float64 {
	all := 0.0
	for i := range n.Nodes {
		all += float64(n.Nodes[i].Len())
		if l, ok := n.Nodes[i].Op.(*dag.Linear); ok && l.Map != nil && l.Map.Weight() != nil {
			all += float64(l.Map.Weight().Param.Len()) * float64(l.Map.Positions())
		}
	}
	return all
}

// flatSearch looks for the noise at which the mean error passes bound.
type flatSearch struct {
	*run
	kind  noise
	bound float64
	known map[float64][]float64
}

func (f *flatSearch) stopped() bool { return f.err != nil || f.ctx.Err() != nil }

// errors has the error of each of so many draws.
func (f *flatSearch) errors(sigma float64, draws int) []float64 {
	e := f.known[sigma]
	for k := len(e); k < draws && !f.stopped(); k++ {
		n := f.perturbed(k, func(w, z float64) float64 { return f.add(f.kind, w, sigma, z) })
		e = append(e, f.errorRate(n, f.examples(k)))
	}
	f.known[sigma] = e
	return e[:min(draws, len(e))]
}

// sensitivity is the slope of the mean error in ln sigma, 0 where it does not rise,
// and the scatter of the error over draws. The scatter is that at sigma and at two sizes around it: at
// sigma alone a few draws can all have the same error.
func (f *flatSearch) sensitivity(sigma float64, draws int) (slope, scatter float64) {
	const step = math.Sqrt2
	at, few := f.errors(sigma, draws), min(draws, max(slopeDraws, draws/4))
	up, down := f.errors(sigma*step, few), f.errors(sigma/step, few)
	slope = math.Max(0, stat.Mean(up, nil)-stat.Mean(down, nil)) / (2 * math.Log(step))
	variance := (stat.Variance(at, nil) + stat.Variance(up, nil) + stat.Variance(down, nil)) / 3
	return slope, math.Sqrt(variance)
}

// refine goes from sigma to where the mean error of so many draws passes the bound,
// by Newton's steps with the slope found before, of at most a factor of 2, and by
// halves of what is left where they leave it.
func (f *flatSearch) refine(sigma float64, draws int, slope, scatter float64) float64 {
	lo, hi := 0.0, math.Inf(1)
	for range 20 {
		over := stat.Mean(f.errors(sigma, draws), nil) - f.bound
		if f.stopped() {
			break
		}
		step, enough := -math.Copysign(math.Ln2, over), 0.0
		if slope > 0 {
			step = math.Max(-math.Ln2, math.Min(math.Ln2, -over/slope))
			enough = math.Max(flatnessTolerance, scatter/math.Sqrt(float64(draws))/slope/4)
		}
		if over <= 0 {
			lo = sigma
		} else {
			hi = sigma
		}
		if math.Abs(step) <= enough || hi/lo <= 1+flatnessTolerance {
			break
		}
		if sigma *= math.Exp(step); !(sigma > lo && sigma < hi) {
			sigma = math.Sqrt(lo * hi)
		}
	}
	return sigma
}

// largest finds the largest number that ok holds for, to flatnessTolerance,
// between 1/limit and limit: from 1 it goes by the factor 2, then by its squares,
// until ok changes, and then bisects the logarithm.
func largest(limit float64, ok func(float64) bool) float64 {
	lo, hi, step := 1.0, 1.0, 2.0
	if ok(1) {
		for hi *= step; hi < limit && ok(hi); hi *= step {
			lo, step = hi, step*step
		}
	} else {
		for lo /= step; lo > 1/limit && !ok(lo); lo /= step {
			hi, step = lo, step*step
		}
	}
	for hi/lo > 1+flatnessTolerance {
		if mid := math.Sqrt(lo * hi); ok(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// errorRate is the share of examples whose label has not the largest output; a
// tie is an error.
func (r *run) errorRate(n *dag.Network, d *Labelled) float64 {
	if r.err != nil {
		return 1
	}
	wrong := 0
	if err := r.outputs(n, d, func(i int, out []float64) {
		if !(margin(out, d.Labels[i]) > 0) {
			wrong++
		}
	}); err != nil {
		r.err = err
	}
	return float64(wrong) / float64(d.Batch)
}

// examples are those of a draw: one at random of each of drawnExamples equal parts
// of the data.
func (r *run) examples(draw int) *Labelled {
	d := r.opt.Data
	if d.Batch <= drawnExamples {
		return d
	}
	// The layers count from 1.
	rng := rand.New(rand.NewPCG(r.opt.Seed, uint64(draw)<<32))
	out := &Labelled{Scores: d.Scores, Apart: d.Apart, Batch: drawnExamples}
	for k := range drawnExamples {
		i := min(int((float64(k)+rng.Float64())/drawnExamples*float64(d.Batch)), d.Batch-1)
		rows := d.rows(i, i+1)
		if out.Inputs == nil {
			out.Inputs = make([][]float64, len(rows))
		}
		for j, x := range rows {
			out.Inputs[j] = append(out.Inputs[j], x...)
		}
		out.Labels = append(out.Labels, d.Labels[i])
	}
	return out
}

// perturbed returns the network with noise on its effective weights, biases and
// PReLU slopes. The same draw gives the same z, in the order of the rows of a
// layer's matrix however that is stored.
func (r *run) perturbed(draw int, f func(w, z float64) float64) *dag.Network {
	var rng *rand.Rand
	last := 0
	return r.remade(func(layer int, name string, x []float64) *dag.Param {
		if layer != last {
			rng, last = rand.New(rand.NewPCG(r.opt.Seed, uint64(draw)<<32|uint64(layer))), layer
		}
		v := make([]float64, len(x))
		for i, w := range x {
			// Noise on the largest numbers stays within the range, which a slope must;
			// no noise times more than that is none.
			if v[i] = max(-math.MaxFloat64, min(math.MaxFloat64, f(w, rng.NormFloat64()))); math.IsNaN(v[i]) {
				v[i] = w
			}
		}
		// In float64, so that small noise is not rounded away.
		return dag.NewParam64(name, []int{len(v)}, v)
	})
}

// remade returns the network with what f makes of the numbers that noise is on: the
// effective weights of each layer, row by row, its biases and PReLU slopes. Layers count
// from 1, in order.
func (r *run) remade(f func(layer int, name string, x []float64) *dag.Param) *dag.Network {
	out := &dag.Network{Nodes: slices.Clone(r.net.Nodes), Inputs: r.net.Inputs, Outputs: r.net.Outputs}
	slopes := map[*dag.Use]*dag.Param{}
	layer := 0
	for nd := range body[dag.Op](r.net) {
		layer++
		made := func(x []float64) *dag.Param { return f(layer, nd.Name, x) }
		fixed := func(x []float64) *dag.Vector {
			p := dag.NewParam64(nd.Name, []int{len(x)}, slices.Clone(x))
			p.Made = true
			return &dag.Vector{Use: dag.Use{Param: p}, Coef: 1}
		}
		for role, u := range nd.Uses() {
			if role == dag.Slope {
				slopes[u] = made(u.Param.Values())
			}
		}
		if op, ok := nd.Op.(*dag.Linear); ok {
			l, st := &dag.Linear{Map: op.Map, Units: op.Units}, dag.Stage{}
			switch {
			case op.Map == nil:
			case op.Learned():
				l.Map = reweighed(op, made)
			case op.Free():
				// A BatchNormalization stays one: constants alone would be the preamble's.
				use := func(x float64) dag.Use {
					return dag.Use{Param: dag.NewParam64(nd.Name, []int{op.Rows()}, slices.Repeat([]float64{x}, op.Rows()))}
				}
				st.Norm = &dag.BatchNorm{Gamma: dag.Use{Param: made(factors(op))}, Beta: use(0), Mean: use(0), Var: use(1)}
			case op.Scale() != nil: // one that is not stored
				st.Mul = fixed(op.Scale())
			}
			if b := op.Bias(); b != nil && op.MadeBias() {
				st.Add = fixed(b)
			} else if b != nil {
				st.Add = &dag.Vector{Use: dag.Use{Param: made(b)}, Coef: 1}
			}
			l.Stages = []dag.Stage{st}
			out.Nodes[nd.ID].Op = l
		}
	}
	return out.Replace(func(u *dag.Use) *dag.Param {
		if p := slopes[u]; p != nil {
			return p
		}
		return u.Param
	})
}

// factors returns the factor of each row.
func factors(l *dag.Linear) []float64 {
	if s := l.Scale(); s != nil {
		return s
	}
	return slices.Repeat([]float64{1}, l.Rows())
}

// reweighed returns a layer's map with what f makes of its effective weights, row
// by row, in place of its weights.
func reweighed(l *dag.Linear, f func(w []float64) *dag.Param) dag.Map {
	ms := l.Matrices()
	w := make([]float64, 0, l.Map.Weight().Param.Len())
	for k := range ms {
		m := &ms[k]
		at := len(w)
		w = w[:at+m.Len()]
		m.ReadRows(w[at:], 0, m.Rows)
	}
	p := f(w)
	stored := make([]float64, 0, len(w))
	for k := range ms {
		m := &ms[k]
		at := len(stored)
		for e := range m.Len() {
			row, col := m.Place(e)
			stored = append(stored, p.At(at+(row-m.Row)*m.Cols+(col-m.Col)*m.Kernel+e%m.Kernel))
		}
	}
	return l.Map.WithWeight(dag.Use{Param: dag.NewParam64(p.Name, l.Map.Weight().Param.Shape, stored)})
}
