package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/proof"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
	"github.com/relupath/relupath/internal/words"
)

// balanceJSON is the result of balance, schema relupath.balance/1.
type balanceJSON struct {
	Schema string `json:"schema"`
	// Model is the source.
	Model      string   `json:"model"`
	Method     string   `json:"method"`
	P          string   `json:"p"`
	Bias       string   `json:"bias"`
	Objective  change   `json:"objective"`
	Factors    factors  `json:"factors"`
	Invariants []change `json:"invariants"`
	// Spreads are max minus min of natural logarithms: see the measures
	// balance_spread and kappa_spread. The second is left out where only pathcond
	// would have it made: see costly.
	Spreads []change `json:"spreads"`
	// Ranges are what number formats ask of the weights: see newRanges.
	Ranges       []change      `json:"ranges"`
	Layers       []layerChange `json:"layers"`
	Verification verification  `json:"verification"`
	Sweeps       int           `json:"sweeps"`
	Residual     *float64      `json:"residual"`
	// Infimum says that the objective's minimum is not attained; the factors
	// reach it up to the relative Delta.
	Infimum bool    `json:"infimum,omitempty"`
	Delta   float64 `json:"delta,omitempty"`
	Exact   bool    `json:"exact"`
	// Optimum is what real-valued factors reach where --exact rounds them.
	Optimum  *float64 `json:"optimum,omitempty"`
	Warnings []string `json:"warnings"`
	Seconds  seconds  `json:"seconds"`
	// Output is empty when nothing was written.
	Output        string `json:"output"`
	optimum       scaled.Num
	before, after []view.Norms
}

// seconds says where the time went.
type seconds struct {
	Read    float64 `json:"read"`
	Factors float64 `json:"factors"`
	Write   float64 `json:"write"`
	Verify  float64 `json:"verify"`
	Measure float64 `json:"measure"`
	Fsync   float64 `json:"fsync"`
}

// change is a number before and after; null where float64 cannot hold it, with
// the logarithm beside it.
type change struct {
	Name        string   `json:"name"`
	P           string   `json:"p,omitempty"`
	Before      *float64 `json:"before"`
	After       *float64 `json:"after"`
	BeforeLog10 *float64 `json:"before_log10"`
	AfterLog10  *float64 `json:"after_log10"`
	// Reason says why neither is defined.
	Reason string `json:"reason,omitempty"`
	before scaled.Num
	after  scaled.Num
}

func newChange(name, p string, before, after scaled.Num) change {
	return change{
		name, p, render.RealNum(before), render.RealNum(after),
		render.Log10(before), render.Log10(after), "", before, after,
	}
}

// undefined says in a sentence for each reason what is not defined for it.
func (r *balanceJSON) undefined() (out []string) {
	var of lacks
	for _, c := range r.changes() {
		if c.Reason != "" {
			of.add(c.Reason, c.Name)
		}
	}
	for _, why := range of.reasons {
		out = append(out, fmt.Sprintf("%s: undefined: %s", strings.Join(of.names[why], ", "), why))
	}
	return out
}

// layerChange has the norms of one layer, the range of its units' incoming
// norms and channel_range, before and after.
type layerChange struct {
	Layer        string `json:"layer"`
	Units        int    `json:"units"`
	Frobenius    change `json:"norm"`
	Smallest     change `json:"smallest_incoming"`
	Largest      change `json:"largest_incoming"`
	ChannelRange change `json:"channel_range"`
}

type factors struct {
	Groups int      `json:"groups"`
	Min    *float64 `json:"min"`
	Max    *float64 `json:"max"`
	Pinned int      `json:"pinned"`
}

type verification struct {
	// Proof is "end to end", or "segment by segment" where functions are not evaluated, which
	// Unevaluated names.
	Proof       string   `json:"proof"`
	Unevaluated []string `json:"unevaluated"`
	// Cost counts the multiplications of one input in both networks, Budget those that all
	// inputs were to take together, null where their number was given.
	Cost   float64  `json:"multiplications"`
	Budget *float64 `json:"budget"`

	Samples      int      `json:"samples"`
	Inputs       int      `json:"inputs"`
	MaxAbs       *float64 `json:"max_abs_diff"`
	MaxRel       *float64 `json:"max_rel_diff"`
	BitIdentical bool     `json:"bit_identical"`
	Tolerance    float64  `json:"tolerance"`
	Where        string   `json:"where,omitempty"`
	// Undecided are the outputs that no kind of input but zeros decides.
	Undecided []string `json:"undecided,omitempty"`
	proof     *proof.Result
	Kinds     []kindDiff `json:"kinds"`
}

// kindDiff is the same for one kind of input: random, zero, large or given.
type kindDiff struct {
	Kind   string   `json:"kind"`
	Inputs int      `json:"inputs"`
	MaxAbs *float64 `json:"max_abs_diff"`
	MaxRel *float64 `json:"max_rel_diff"`
	// Rounding is the largest relative difference beyond the tolerance that is the
	// rounding of the stored weights, null where there is none; Decides says whether this
	// kind tells anything of all outputs.
	Rounding     *float64 `json:"rounding"`
	Decides      bool     `json:"decides"`
	BitIdentical bool     `json:"bit_identical"`
}

func newVerification(v *proof.Result, tolerance float64) verification {
	out := verification{
		Proof: endToEnd, Unevaluated: filled(v.Starts), Cost: v.Cost,
		Samples: v.Samples, Inputs: v.Inputs, MaxAbs: render.Real(v.MaxAbs), MaxRel: render.Real(v.MaxRel),
		BitIdentical: v.BitIdentical, Tolerance: tolerance, Where: v.Where,
		Undecided: slices.Concat(v.Undecided, v.Infinite), proof: v,
	}
	if len(v.Starts) > 0 {
		out.Proof = bySegment
	}
	if v.Budget > 0 {
		out.Budget = &v.Budget
	}
	for _, k := range v.Kinds {
		d := kindDiff{
			Kind: k.Name, Inputs: k.Inputs, MaxAbs: render.Real(k.MaxAbs), MaxRel: render.Real(k.MaxRel),
			Decides: k.Decides, BitIdentical: k.BitIdentical,
		}
		if k.Rounding > 0 {
			d.Rounding = render.Real(k.Rounding)
		}
		out.Kinds = append(out.Kinds, d)
	}
	return out
}

// The kinds of proof.
const (
	endToEnd  = "end to end"
	bySegment = "segment by segment"
)

// someOf names the first few, each once where an operator has several values.
func someOf(names []string) string {
	return words.Some(slices.Compact(slices.Clone(names)), 3)
}

// how says in words which proof was used, and what it cost.
func (v *verification) how() string {
	out := v.Proof
	if len(v.Unevaluated) > 0 {
		out += fmt.Sprintf(", with random values of what is not evaluated, %s: what it reads agrees, and the outputs do", someOf(v.Unevaluated))
	}
	out += fmt.Sprintf("; %d inputs of %.2g multiplications", v.Inputs, v.Cost)
	if v.Budget != nil {
		out += fmt.Sprintf(" (budget %.2g)", *v.Budget)
	}
	return out
}

// notes says in sentences what rounding does to the outputs, and where nothing was
// compared.
func (v *verification) notes() []string {
	var kinds, out []string
	for _, k := range v.proof.Kinds {
		if k.Rounding > 0 {
			kinds = append(kinds, fmt.Sprintf("%.3g on %s inputs", k.Rounding, k.Name))
		}
	}
	if len(kinds) > 0 {
		out = append(out, fmt.Sprintf("outputs differ by %s, relative to the largest: the model amplifies the rounding of the new weights to their stored type, and without that they agree; --exact rounds nothing",
			strings.Join(kinds, ", ")))
	}
	if len(v.proof.Infinite) > 0 {
		out = append(out, fmt.Sprintf("nothing was compared at %s: no value there is finite but on inputs of zeros", strings.Join(v.proof.Infinite, ", ")))
	}
	return out
}

func newBalanceJSON(o *balanceOptions, res *rescale.Result) *balanceJSON {
	r := &balanceJSON{
		Schema: "relupath.balance/1", Method: o.method, P: o.p.String(),
		Objective: newChange(res.Objective.Name, "", res.Objective.Before, res.Objective.After),
		Factors:   factorsOf(res.Groups, res.Factors),
		Sweeps:    res.Sweeps, Residual: render.Real(res.Residual), Infimum: res.Infimum, Delta: res.Delta,
		Exact: o.exact, Warnings: filled(res.Warnings), Layers: []layerChange{}, optimum: res.Objective.Optimum,
	}
	if o.exact {
		r.Optimum = render.RealNum(r.optimum)
	}
	return r
}

// factorsOf counts the groups as inspect does, and the range of their factors, NaN
// for those not known left out.
func factorsOf(g *dag.Groups, c []float64) factors {
	of := countGroups(g)
	f := factors{Groups: of.Count, Pinned: of.Count - of.Free}
	lo, hi := math.Inf(1), math.Inf(-1)
	for id, size := range g.Size {
		if size > 0 && !math.IsNaN(c[id]) {
			lo, hi = min(lo, c[id]), max(hi, c[id])
		}
	}
	f.Min, f.Max = render.Real(lo), render.Real(hi)
	return f
}

// measure takes from both networks what rescaling must keep, and what it is to
// change.
func (r *balanceJSON) measure(ctx context.Context, a *app, before, after *dag.Network) error {
	opt := analysis.Options{
		P: []float64{1, 2, math.Inf(1)}, Threads: a.threads, Bias: a.biasPolicy(),
		Names: []string{"path_norm", "balance_spread", "kappa_spread"}, Uncounted: true,
	}
	if rescale.Method(r.Method) != rescale.PathConditioned && costly(before) {
		opt.Names = opt.Names[:2]
	}
	var rs [2]*analysis.Report
	for i, n := range []*dag.Network{before, after} {
		var err error
		if rs[i], err = analysis.Measures(ctx, n, opt); err != nil {
			return err
		}
	}
	for i, m := range rs[0].Measures {
		c := newChange(m.Name, m.P, m.Value, rs[1].Measures[i].Value)
		if !m.Defined && !rs[1].Measures[i].Defined {
			c.Reason = m.Reason
		}
		if m.Name == "path_norm" {
			r.Invariants = append(r.Invariants, c)
		} else {
			r.Spreads = append(r.Spreads, c)
		}
	}
	r.before = view.UnitNorms(before, 2, opt.Bias, a.threads)
	r.after = view.UnitNorms(after, 2, opt.Bias, a.threads)
	ranges, ranges2 := newRanges(before, a.threads), newRanges(after, a.threads)
	r.Ranges = []change{
		newChange("channel_range", "", ranges.widest(), ranges2.widest()),
		newChange("largest_weight", "", ranges.largest, ranges2.largest),
		newChange("smallest_channel", "", ranges.smallest, ranges2.smallest),
	}
	for i, b := range r.before {
		lo, hi := ends(b.Units)
		lo2, hi2 := ends(r.after[i].Units)
		r.Layers = append(r.Layers, layerChange{
			b.Layer, len(b.Units),
			newChange("norm", "2", scaled.Norm(b.Units, 2), scaled.Norm(r.after[i].Units, 2)),
			newChange("smallest_incoming", "2", lo, lo2), newChange("largest_incoming", "2", hi, hi2),
			newChange("channel_range", "", ranges.layers[i], ranges2.layers[i]),
		})
	}
	return nil
}

// costly reports whether kappa takes longer than all else: it sums over the positions of
// every weight that has several.
func costly(n *dag.Network) bool {
	const most = 1 << 20
	weights := 0
	for _, l := range dag.Each[*dag.Linear](n) {
		if l.Map != nil && l.Map.Positions() > 1 {
			weights += l.Map.Weight().Param.Len()
		}
	}
	return weights > most
}

// ranges say what a format of few bits makes of the weights: one scale for a tensor leaves a
// channel log2 of channel_range fewer bits than its own scale would, and float16 takes numbers
// between 6e-5 and 65504 with all their digits. Biases are left out.
type ranges struct {
	// layers has, of each layer, the largest |weight| divided by the median of the channels
	// largest, those of zeros left out; 1 where there are no others.
	layers []scaled.Num
	// largest and smallest are the largest |weight| of the network, and that of the channel
	// where it is least.
	largest, smallest scaled.Num
}

func newRanges(n *dag.Network, threads int) *ranges {
	r := &ranges{}
	for _, l := range view.UnitNorms(n, math.Inf(1), analysis.ExcludeBias, threads) {
		top := slices.DeleteFunc(l.Units, scaled.Num.IsZero)
		slices.SortFunc(top, scaled.Num.Cmp)
		wide := scaled.One
		if k := len(top); k > 0 {
			wide = top[k-1].Div(top[(k-1)/2])
			r.largest = scaled.Max(r.largest, top[k-1])
			if r.smallest.IsZero() || top[0].Cmp(r.smallest) < 0 {
				r.smallest = top[0]
			}
		}
		r.layers = append(r.layers, wide)
	}
	return r
}

// rangeTerms explain what ranges measure, and what it is good for.
var rangeTerms = []render.Term{
	{
		Name: "channel_range", Formula: "max over layers of (max_i m_i) / (median of m_i), m_i the largest |w| of channel i",
		Says: "How many times larger the largest weight of a layer is than what is usual in its channels, in the worst layer. With one scale for a tensor, " +
			"int8 leaves the usual channel its log2 in bits fewer: above about 4 balancing by cle or enorm helps.",
	},
	{
		Name: "largest_weight", Formula: "max over weights of |w|",
		Says: "The largest weight. float16 holds up to 65504.",
	},
	{
		Name: "smallest_channel", Formula: "min over channels of the largest |w|",
		Says: "The largest weight of the channel where it is least. Below 6e-5 float16 has fewer digits.",
	},
}

// widest is the largest channel_range of a layer.
func (r *ranges) widest() scaled.Num {
	var out scaled.Num
	for _, x := range r.layers {
		out = scaled.Max(out, x)
	}
	return out
}

// ends returns the smallest non-zero and the largest of some norms; zeros where
// there are none.
func ends(norms []scaled.Num) (lo, hi scaled.Num) {
	for _, x := range norms {
		if !x.IsZero() && (lo.IsZero() || x.Cmp(lo) < 0) {
			lo = x
		}
		hi = scaled.Max(hi, x)
	}
	return lo, hi
}
