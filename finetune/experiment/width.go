package experiment

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/internal/lists"
)

// WidthOptions says what Width trains. The zero value is the protocol of the
// paper.
type WidthOptions struct {
	// Widths are the numbers H of hidden units. Default: 8, 16, 32... 4096.
	Widths []int
	// Epochs is the number of passes over the data. Default: 100.
	Epochs int
	// Rate is the step size, times RateDecay after each epoch; Momentum rises by
	// MomentumRise after each epoch up to MomentumMax. Defaults: 0.1, 0.99; 0.5,
	// 0.02, 0.9 where all three are 0.
	Rate, RateDecay                     float64
	Momentum, MomentumRise, MomentumMax float64
	// Margin is the threshold of the truncated loss. Default:
	// finetune.DefaultMargin.
	Margin float64
	// Batch is the number of examples of a step. Default: 100.
	Batch int
	// Seeds is the number of seeds, from Seed on. Default: 3.
	Seeds int
	Seed  uint64
}

func (o WidthOptions) complete() WidthOptions {
	if o.Widths == nil {
		for h := 8; h <= 4096; h *= 2 {
			o.Widths = append(o.Widths, h)
		}
	}
	o.Rate = cmp.Or(o.Rate, 0.1)
	o.RateDecay = cmp.Or(o.RateDecay, 0.99)
	if o.Momentum == 0 && o.MomentumRise == 0 && o.MomentumMax == 0 {
		o.Momentum, o.MomentumRise, o.MomentumMax = 0.5, 0.02, 0.9
	}
	o.Margin = cmp.Or(o.Margin, finetune.DefaultMargin)
	o.Epochs = cmp.Or(o.Epochs, 100)
	o.Seeds = cmp.Or(o.Seeds, 3)
	o.Batch = cmp.Or(o.Batch, 100)
	return o
}

// solutionMeasures are taken of every solution of Width.
var solutionMeasures = []string{"parameter_count", "path_norm", "group_norm", "product_group_norm", "frobenius", "product_frobenius", "product_spectral"}

// Width trains networks of one hidden layer of growing width H by SGD with
// momentum on the truncated cross-entropy, without explicit regularisation:
// training error, test error at the end and at its lowest, and measures of the
// solutions. Sources: Neyshabur, Tomioka, Srebro, In search of the real
// inductive bias, ICLR workshop 2015, section 2; for the measures Neyshabur,
// Bhojanapalli, McAllester, Srebro, Exploring generalization in deep learning,
// NeurIPS 2017. Errors: options that do not fit the data, ctx's.
func Width(ctx context.Context, l *Lab, opt WidthOptions) (*Report, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	opt = opt.complete()
	training := func(h int, rate float64, epochs int, seed uint64) *Training {
		return l.describe(Training{
			Start:     Start{Widths: []int{l.Train.Size(), h, l.Train.Classes()}, Seed: seed},
			Optimizer: finetune.SGD, Rate: rate, RateDecay: opt.RateDecay,
			Momentum: opt.Momentum, MomentumRise: opt.MomentumRise, MomentumMax: opt.MomentumMax,
			Loss: finetune.TruncatedSoftmax, Margin: opt.Margin, Batch: opt.Batch, Epochs: epochs, Seed: seed,
			Measures: solutionMeasures,
		})
	}
	// A grid of one step size: nothing is chosen.
	done, err := compare(ctx, l, opt.Widths, grid{[]float64{opt.Rate}, opt.Epochs, opt.Epochs, opt.Seeds, opt.Seed}, training)
	if err != nil {
		return nil, err
	}
	return widthReport(l, opt, done), nil
}

// measured returns a measure of a solution; NaN where it has none.
func measured(name string) func(r *Record) float64 {
	return func(r *Record) float64 {
		v, ok := r.Measures[name]
		if !ok {
			return math.NaN()
		}
		return math.Pow(10, v)
	}
}

// shownMeasures are the panels of the figure of measures.
var shownMeasures = []struct{ name, axis string }{
	{"path_norm(1)", "path norm, p = 1"},
	{"path_norm(2)", "path norm, p = 2"},
	{"product_group_norm(1,inf)", "product of (1, inf) norms"},
	{"frobenius", "Frobenius norm of all weights"},
	{"product_frobenius", "product of Frobenius norms"},
	{"product_spectral", "product of spectral norms"},
}

func widthReport(l *Lab, opt WidthOptions, done []compared[int]) *Report {
	r := &Report{Name: "width", Title: "One hidden layer of growing width on " + l.Train.Name()}
	x := lists.Convert[float64](opt.Widths)
	against := func(key int, f func(r *Record) float64) Curve {
		c := Curve{Key: key, X: x}
		for i := range done {
			c.add(over(done[i].records, f))
		}
		return c
	}
	ends := []func(r *Record) float64{
		func(r *Record) float64 { return last(r, trainError) },
		func(r *Record) float64 { return last(r, testError) },
		func(r *Record) float64 { return lowest(r, testError) },
	}
	bands := fmt.Sprintf("%s, %s.", rangesOf(opt.Seeds), passes(opt.Epochs))
	errs := Panel{Title: "Error against width", X: "hidden units H", Y: "error (%)", XScale: Log, XTicks: x}
	for k, f := range ends {
		errs.Curves = append(errs.Curves, against(k, f))
	}
	zoom := errs
	zoom.Title, zoom.Curves = "Test error alone", errs.Curves[1:]
	r.Figures = append(r.Figures, Figure{
		Name: "error", Title: "Training and test error against the number of hidden units",
		Caption: "No explicit regularisation, truncated cross-entropy. " + bands,
		Legend:  []Key{{"training", 0, 0}, {"test, last epoch", 1, 0}, {"test, lowest of all epochs", 2, 1}},
		Panels:  []Panel{errs, zoom},
	})
	m := Figure{Name: "measures", Title: "Measures of the solutions against the number of hidden units", Caption: bands}
	for _, s := range shownMeasures {
		m.Panels = append(m.Panels, Panel{
			Title: s.name, X: "hidden units H", Y: s.axis, XScale: Log, YScale: Log, XTicks: x,
			Curves: []Curve{against(0, measured(s.name))},
		})
	}
	m.Legend = []Key{{"last epoch", 0, 0}}
	r.Figures = append(r.Figures, m)

	t := Table{
		Title:   fmt.Sprintf("Training and test error and measures after %s, %s", passes(opt.Epochs), meansOver(opt.Seeds)),
		Columns: []string{"H", "train (%)", "test (%)", "range (%)", "lowest test (%)", "path_norm(1)", "path_norm(2)", "frobenius", "product_frobenius", "product_spectral"},
	}
	for _, c := range done {
		test := final(c.records, testError)
		row := []any{c.setting, Percent(over(c.records, ends[0]).Mean), Percent(test.Mean), spread(test), Percent(over(c.records, ends[2]).Mean)}
		for _, name := range t.Columns[len(row):] {
			row = append(row, over(c.records, measured(name)).Mean)
		}
		t.Add(row...)
	}
	r.Tables = []Table{t}
	r.Claims = widthClaims(done)
	r.Curves = curvesTable([]string{"hidden_units"}, done, func(h int) []any { return []any{h} })
	r.Notes = append(seedNotes(opt.Seeds),
		fmt.Sprintf("SGD, step size %g times %g after each epoch, momentum %g rising by %g an epoch to %g, batches of %d, cross-entropy without the examples whose margin exceeds %g.",
			opt.Rate, opt.RateDecay, opt.Momentum, opt.MomentumRise, opt.MomentumMax, opt.Batch, opt.Margin),
		"The lowest test error is the smallest of all epochs, chosen by looking at the test data: it bounds what early stopping could reach.")
	return r
}

// fitted is the training error, in percent, that counts as zero: an example or
// two of ten thousand whose margin the schedule leaves open.
const fitted = 0.05

func widthClaims(done []compared[int]) []Claim {
	const source = "Neyshabur, Tomioka, Srebro 2015, section 2"
	first := slices.IndexFunc(done, func(c compared[int]) bool { return final(c.records, trainError).Mean <= fitted })
	zero := Claim{
		Text: "A width suffices for training error zero.", Source: source,
		Criterion: fmt.Sprintf("mean training error of at most %g %%", fitted), Verdict: verdict(first >= 0),
	}
	falls := Claim{
		Text: "The test error falls with H after the training error is zero.", Source: source,
		Criterion: "the mean test error at the largest H is below 0.98 of the one at the first H with training error zero", Verdict: NotTested,
	}
	if first < 0 {
		zero.Measured = fmt.Sprintf("%.2f %% at H = %d", final(done[len(done)-1].records, trainError).Mean, done[len(done)-1].setting)
		return []Claim{zero, falls}
	}
	zero.Measured = fmt.Sprintf("first at H = %d", done[first].setting)
	end := len(done) - 1
	if first == end {
		return []Claim{zero, falls}
	}
	a, b := final(done[first].records, testError), final(done[end].records, testError)
	low := first
	for i := first; i <= end; i++ {
		if final(done[i].records, testError).Mean < final(done[low].records, testError).Mean {
			low = i
		}
	}
	falls.Measured = fmt.Sprintf("%.2f %% (%s) at H = %d, %.2f %% (%s) at H = %d, least at H = %d",
		a.Mean, spread(a), done[first].setting, b.Mean, spread(b), done[end].setting, done[low].setting)
	falls.Verdict = verdict(b.Mean < 0.98*a.Mean)
	out := []Claim{zero, falls}
	for _, s := range shownMeasures {
		x, y := over(done[first].records, measured(s.name)).Mean, over(done[end].records, measured(s.name)).Mean
		out = append(out, Claim{
			Text:      fmt.Sprintf("The solution's %s falls as the test error does.", s.axis),
			Source:    "Neyshabur, Bhojanapalli, McAllester, Srebro 2017, section 4, where measures are divided by the margin",
			Criterion: "smaller at the largest H than at the first H with training error zero",
			Measured:  fmt.Sprintf("%.4g, then %.4g", x, y), Verdict: verdict(y < x),
		})
	}
	return out
}
