package analysis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Derivatives are the cross-entropy of a network as a function of numbers that it stores.
// They are used by one goroutine.
type Derivatives interface {
	// Values has, for each tensor asked for, its live numbers, which may be changed; nil where
	// the scores do not depend on it.
	Values() [][]float64
	// Scores returns those of examples, row after row; one score f stands for 0 and f. They are
	// valid until the next call.
	Scores(x []float64, examples int) ([]float64, error)
	// Slope returns the derivative of the sum of the cross-entropy over examples by each number,
	// valid until the next call.
	Slope(x []float64, labels []int) ([][]float64, error)
	// Close gives back what they hold.
	Close() error
}

// The ascent: starts of ascentSteps steps. A step is one of ascentSizes of the ball's radius,
// each of them for as many steps.
const (
	ascentStarts = 6
	ascentSteps  = 20
)

// aim says over which examples an ascent takes the loss.
type aim uint8

const (
	// all are all examples, as in the paper.
	all aim = iota
	// still are those that are right.
	still
	// nearest are those of them with the smallest margins, as many as are wanted for the error.
	nearest
)

var aims = [...]aim{all, still, nearest}

var ascentSizes = [...]float64{2, 1, 1. / 2, 1. / 4, 1. / 8}

// sharpnessEntries are the measures of the worst noise: 1/alpha^2 of the largest ball in which
// gradient ascent finds no more error, and the bounds that Jiang et al. make of it. The ball
// is |u_i| <= alpha, or alpha |w_i| (plus epsilon under Options.Published), for the numbers that
// the noise of the flatness measures is on. The ascent: from u = 0 twice and from ascentStarts-2
// points of the ball, uniform from the seed, ascentSteps steps of steepest ascent in the ball's norm,
// u_i + s r_i sign(d loss/d w_i), each put back into the ball; r_i is its radius. loss is the sum of the
// cross-entropy over the examples in the first run, as in the paper, and over those that are still
// right in the others: the rest cannot raise the error. Signs do not change under rescaling, so the
// points found do not. All of them are judged by the 0/1 error of the examples (1000, one at random
// from each thousandth of the data, where there are more). alpha is sought as the flatness measures
// seek sigma, to 1 %. What ascent misses makes alpha too large and the measures too small.
//
// Source: Jiang et al. 2020, appendix.
func sharpnessEntries() []*entry {
	entryOf := func(kind noise, info Info, bound func(r *run, f *found) Measure) *entry {
		info.Source, info.Cost, info.Scope = j20+" ("+info.Source+")", Evaluations, OfNet
		info.Needs |= NeedsData
		return &entry{Info: info, rows: []float64{2}, asked: true, net: func(r *run) []Measure {
			f, reason := r.sharpness(kind)
			if reason != "" {
				return []Measure{{Value: scaled.New(math.NaN()), Reason: reason}}
			}
			return []Measure{bound(r, f)}
		}}
	}
	radius := func(_ *run, f *found) Measure {
		return Measure{Value: scaled.One.Div(f.sigma.Mul(f.sigma)), Symbols: []Symbol{
			{"alpha", f.sigma},
			{"error", scaled.New(f.base)},
			{"rise", scaled.New(flatnessRise)},
		}}
	}
	flat := entryOf(plain, Info{
		Name: "sharpness_flatness", Formula: "1 / alpha^2, alpha the largest with max_{|u_i| <= alpha} error(w + u) <= error(w) + 0.1",
		LaTeX: `1/\alpha^2,\ \max_{|u_i|\le\alpha}\mathrm{err}(w+u)\le\mathrm{err}(w)+0.1`, Source: "sharpness-flatness", Unit: "norm^-2",
	}, radius)
	mag := entryOf(inProportion, Info{
		Name: "sharpness_magnitude_flatness", Formula: "1 / alpha^2, alpha the largest with max_{|u_i| <= alpha |w_i|} error(w + u) <= error(w) + 0.1",
		LaTeX: `1/\alpha^2,\ \max_{|u_i|\le\alpha|w_i|}\mathrm{err}(w+u)\le\mathrm{err}(w)+0.1`, Source: "sharpness-mag-flatness, epsilon 0", Unit: "norm^-2", Invariant: true,
	}, radius)
	mag.floored = true
	out := []*entry{flat, mag}
	for _, w := range reaches() {
		out = append(out, entryOf(plain, Info{
			Name:    "sharpness_" + w.name,
			Formula: "||" + w.of + "||_F^2 ln(2 omega) / (4 alpha^2) + ln(m / sigma) + 10, alpha that of sharpness_flatness, sigma = alpha / sqrt(2 ln(2 omega)), omega weights",
			LaTeX:   `\frac{\lVert ` + w.latex + `\rVert_F^2\ln(2\omega)}{4\alpha^2}+\ln\frac m\sigma+10`,
			Source:  "sharpness-" + w.name, Unit: "bound", Needs: w.needs,
		}, func(r *run, f *found) Measure {
			square, m, many := r.sum(func(l *layer) scaled.Num { return w.square(r, l) }), float64(r.opt.Data.Batch), r.logWeights()
			x := square.Div(f.sigma.Mul(f.sigma)).MulFloat(many / 4)
			return Measure{
				Value:   x.Add(scaled.New(math.Log(m) - f.sigma.Ln() + math.Log(2*many)/2 + 10)),
				Symbols: []Symbol{{"alpha", f.sigma}, {"m", scaled.New(m)}, {"norm squared", square}, {"omega", scaled.New(float64(r.weights()))}},
			}
		}))
	}
	for _, w := range reaches() {
		out = append(out, entryOf(inProportion, Info{
			Name: "sharpness_mag_" + w.name,
			Formula: "1/4 sum_i ln((epsilon^2 + (alpha^2 + 4 ln(2 omega)) ||" + w.of + "||_F^2 / omega) / (epsilon^2 + alpha^2 (w_i - w0_i)^2)) + ln(m / sigma) + 10, " +
				"alpha that of sharpness_magnitude_flatness, sigma = alpha / sqrt(2 ln(2 omega)), omega weights, epsilon = 1e-3",
			LaTeX: `\tfrac14\sum_i\ln\frac{\epsilon^2+(\alpha^2+4\ln(2\omega))\lVert ` + w.latex +
				`\rVert_F^2/\omega}{\epsilon^2+\alpha^2(w_i-w^0_i)^2}+\ln\frac m\sigma+10`,
			Source: "sharpness-mag-" + w.name, Unit: "bound", Needs: NeedsReference,
		}, func(r *run, f *found) Measure {
			square, m, many := r.sum(func(l *layer) scaled.Num { return w.square(r, l) }), float64(r.opt.Data.Batch), r.logWeights()
			sum, _ := r.magnitudes(f.sigma.Float64(), 4*many, square.Float64())
			return Measure{
				Value: scaled.New(sum + math.Log(m) - f.sigma.Ln() + math.Log(2*many)/2 + 10),
				Symbols: []Symbol{
					{"alpha", f.sigma}, {"m", scaled.New(m)}, {"norm squared", square}, {"omega", scaled.New(float64(r.weights()))}, {"epsilon", scaled.New(epsilon)},
				},
			}
		}))
	}
	return out
}

// logWeights is ln(2 omega).
func (r *run) logWeights() float64 { return math.Log(2 * float64(r.weights())) }

// sharpness finds the largest ball without more error, once, or says why there is none.
func (r *run) sharpness(kind noise) (*found, string) {
	if f := r.memo.sharp[kind]; f != nil {
		return f, ""
	}
	a, err := r.newAscent(kind)
	if err != nil {
		return nil, err.Error()
	}
	defer a.loss.Close()
	const limit = 1 << 40
	base := a.errorAt(func(int, int) float64 { return 0 })
	alpha := largest(limit, func(alpha float64) bool { return !a.passes(alpha, base+flatnessRise) })
	f := &found{sigma: scaled.New(alpha), base: base}
	r.memo.sharp[kind] = f
	return f, ""
}

// ascent looks for the worst noise.
type ascent struct {
	*run
	kind noise
	data *Labelled
	loss Derivatives
	// at are the live numbers, from what they were, u the noise between.
	at, from, u [][]float64
	// margins are those of the examples.
	margins []float64
}

// newAscent prepares the derivatives of the network as the flatness measures read it.
func (r *run) newAscent(kind noise) (*ascent, error) {
	if r.opt.Differentiate == nil {
		return nil, fmt.Errorf("no derivatives are given: see Options.Differentiate")
	}
	scores := r.scores(r.net)
	if len(scores) > 1 {
		return nil, fmt.Errorf("each class has its score in a layer of its own, and the cross-entropy is of those of one")
	}
	n := r.remade(func(_ int, name string, x []float64) *dag.Param { return dag.NewParam64(name, []int{len(x)}, x) })
	var params []*dag.Param
	for nd := range body[dag.Op](n) {
		for role, u := range nd.Uses() {
			if !u.Param.Made && (role == dag.Weight || role == dag.Gamma || role == dag.Shift || role == dag.Slope) {
				params = append(params, u.Param)
			}
		}
	}
	loss, err := r.opt.Differentiate(n, scores[0], params, evalBatch, r.opt.Threads)
	if err != nil {
		return nil, err
	}
	a := &ascent{run: r, kind: kind, data: r.examples(0), loss: loss, at: loss.Values()}
	a.margins = make([]float64, a.data.Batch)
	for _, x := range a.at {
		a.from = append(a.from, append([]float64(nil), x...))
		a.u = append(a.u, make([]float64, len(x)))
	}
	return a, nil
}

// radius is how far a number of the size w may move.
func (a *ascent) radius(alpha, w float64) float64 {
	switch {
	case a.kind == plain:
		return alpha
	case a.opt.Published:
		return alpha*math.Abs(w) + epsilon
	}
	return alpha * math.Abs(w)
}

// errorAt moves each number by u and returns the error there.
func (a *ascent) errorAt(u func(k, i int) float64) float64 {
	for k, from := range a.from {
		for i, w := range from {
			a.u[k][i] = u(k, i)
			a.at[k][i] = w + a.u[k][i]
		}
	}
	wrong := 0
	a.batches(func(x []float64, lo, hi int) error {
		y, err := a.loss.Scores(x, hi-lo)
		if err != nil {
			return err
		}
		classes := len(y) / (hi - lo)
		for i := range hi - lo {
			f := y[i*classes:][:classes]
			if classes == 1 {
				f = []float64{0, f[0]}
			}
			if a.margins[lo+i] = margin(f, a.data.Labels[lo+i]); !(a.margins[lo+i] > 0) {
				wrong++
			}
		}
		return nil
	})
	return float64(wrong) / float64(a.data.Batch)
}

// slope is the derivative of the loss over the examples that an aim names.
func (a *ascent) slope(at aim, bound float64) [][]float64 {
	most := math.Inf(1)
	if at == nearest {
		margins := slices.Sorted(slices.Values(a.margins))
		most = margins[min(int(bound*float64(len(margins))), len(margins)-1)]
	}
	out := lists.Map(a.from, func(from []float64) []float64 { return make([]float64, len(from)) })
	a.batches(func(x []float64, lo, hi int) error {
		size := len(x) / (hi - lo)
		var rows []float64
		var labels []int
		for i := lo; i < hi; i++ {
			if m := a.margins[i]; at == all || m > 0 && m <= most {
				rows, labels = append(rows, x[(i-lo)*size:][:size]...), append(labels, a.data.Labels[i])
			}
		}
		if labels == nil {
			return nil
		}
		slope, err := a.loss.Slope(rows, labels)
		for k, s := range slope {
			floats.Add(out[k], s)
		}
		return err
	})
	return out
}

// batches calls f with the examples, some at a time, until there is an error.
func (a *ascent) batches(f func(x []float64, lo, hi int) error) {
	for lo := 0; lo < a.data.Batch && a.failed() == nil; lo += evalBatch {
		hi := min(lo+evalBatch, a.data.Batch)
		if err := f(a.data.rows(lo, hi)[0], lo, hi); err != nil {
			a.err = err
		}
	}
}

// passes reports whether the ascent finds an error above bound in the ball.
func (a *ascent) passes(alpha, bound float64) bool {
	for start := range ascentStarts {
		rng := rand.New(rand.NewPCG(a.opt.Seed, uint64(start)))
		if a.errorAt(func(k, i int) float64 {
			if start < len(aims) {
				return 0
			}
			return a.radius(alpha, a.from[k][i]) * (2*rng.Float64() - 1)
		}) > bound {
			return true
		}
		for step := range ascentSteps {
			size, slope := ascentSizes[step*len(ascentSizes)/ascentSteps], a.slope(aims[start%len(aims)], bound)
			if a.errorAt(func(k, i int) float64 {
				u, r := a.u[k][i], a.radius(alpha, a.from[k][i])
				switch s := slope[k][i]; {
				case s > 0:
					u += size * r
				case s < 0:
					u -= size * r
				}
				return max(-r, min(r, u))
			}) > bound || a.failed() != nil {
				return true
			}
		}
	}
	return false
}
