package experiment

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/internal/words"
)

// OptimizersOptions says what Optimizers compares. The zero value is the
// protocol of the paper, which takes days on a few cores.
type OptimizersOptions struct {
	// Width is the number of units in each of the two hidden layers. Default:
	// 4000.
	Width int
	// Methods are the optimizers. Default: all.
	Methods []finetune.Optimizer
	// Starts are Balanced and Unbalanced. Default: both.
	Starts []string
	// Dropouts are the probabilities. Default: 0 and 0.5.
	Dropouts []float64
	// Rates is the grid of step sizes, not normalised. Default: 1, 0.1, 0.01,
	// 0.001, 0.0001.
	Rates []float64
	// Epochs is the number of passes over the data. Default: 20. GridEpochs is
	// that of the trainings that choose the step size; default: Epochs, so that
	// they are the first seed's trainings too.
	Epochs, GridEpochs int
	// Seeds is the number of seeds, from Seed on. Default: 3.
	Seeds int
	Seed  uint64
	// Batch is the number of examples of a step. Default: 100.
	Batch int
}

// The starts of Optimizers.
const (
	// Balanced is a fresh network: weights from N(0,1)/sqrt(fan-in), biases 0.
	Balanced = "balanced"
	// Unbalanced is the same network after rescale.Unbalance.
	Unbalanced = "unbalanced"
)

func (o OptimizersOptions) complete() OptimizersOptions {
	o.Width = cmp.Or(o.Width, 4000)
	o.Methods = listOr(o.Methods, finetune.Optimizers()...)
	o.Starts = listOr(o.Starts, Balanced, Unbalanced)
	o.Dropouts = listOr(o.Dropouts, 0, 0.5)
	o.Rates = listOr(o.Rates, 1, 0.1, 0.01, 0.001, 0.0001)
	o.Epochs = cmp.Or(o.Epochs, 20)
	o.GridEpochs = cmp.Or(o.GridEpochs, o.Epochs)
	o.Seeds = cmp.Or(o.Seeds, 3)
	o.Batch = cmp.Or(o.Batch, 100)
	return o
}

// setting is one curve of a comparison: what is trained how, without step size
// and seed.
type setting struct {
	method  finetune.Optimizer
	start   string
	dropout float64
}

// Optimizers trains networks of two hidden layers with every optimizer from
// balanced and unbalanced starts, with and without dropout, each with the step
// size of a grid that gives it the smallest training loss. Seeds determine the
// weights, the unbalancing, the order of the examples and the dropout; step sizes
// are chosen with the first. Source: Neyshabur, Salakhutdinov, Srebro, Path-SGD,
// NeurIPS 2015, section 5. Errors: options that do not fit the data, ctx's.
func Optimizers(ctx context.Context, l *Lab, opt OptimizersOptions) (*Report, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	opt = opt.complete()
	var settings []setting
	for _, d := range opt.Dropouts {
		for _, m := range opt.Methods {
			for _, s := range opt.Starts {
				settings = append(settings, setting{m, s, d})
			}
		}
	}
	training := func(s setting, rate float64, epochs int, seed uint64) *Training {
		start := Start{Widths: []int{l.Train.Size(), opt.Width, opt.Width, l.Train.Classes()}, Seed: seed}
		if s.start == Unbalanced {
			start.Rescale = []rescale.Method{rescale.Unbalance}
		}
		return l.describe(Training{
			Start: start, Optimizer: s.method, Rate: rate, Normalize: finetune.NormalizeOff,
			Dropout: s.dropout, Loss: finetune.Softmax, Batch: opt.Batch, Epochs: epochs, Seed: seed,
		})
	}
	done, err := compare(ctx, l, settings, grid{opt.Rates, opt.Epochs, opt.GridEpochs, opt.Seeds, opt.Seed}, training)
	if err != nil {
		return nil, err
	}
	return optimizersReport(l, opt, done), nil
}

// methodNames are the optimizers as the papers write them.
var methodNames = map[finetune.Optimizer]string{
	finetune.PathSGD: "Path-SGD", finetune.SGD: "SGD", finetune.AdaGrad: "AdaGrad", finetune.PathAdaGrad: "Path-AdaGrad",
}

func (s setting) name() string { return methodNames[s.method] + ", " + s.start }

func optimizersReport(l *Lab, opt OptimizersOptions, done []compared[setting]) *Report {
	r := &Report{Name: "optimizers", Title: fmt.Sprintf("Optimizers on %s, two hidden layers of %s", l.Train.Name(), words.Count(opt.Width, "unit"))}
	for _, d := range opt.Dropouts {
		part := slices.DeleteFunc(slices.Clone(done), func(c compared[setting]) bool { return c.setting.dropout != d })
		r.Figures = append(r.Figures, optimizersFigure(opt, part, d, "epoch", byEpoch), optimizersFigure(opt, part, d, "seconds", byTime))
		r.Tables = append(r.Tables, optimizersTable(opt, part, d))
		r.Claims = append(r.Claims, optimizersClaims(opt, part, d)...)
	}
	r.Curves = curvesTable([]string{"optimizer", "start", "dropout"}, done, func(s setting) []any {
		return []any{string(s.method), s.start, s.dropout}
	})
	r.Notes = append(seedNotes(opt.Seeds), "The step size is the one of the grid with the smallest training loss for the first seed; it is not normalised. * marks one at an end of the grid.",
		"Training loss and error are those of the whole network on all training examples after each epoch, without dropout. Time is that of the steps of one training on one thread.")
	return r
}

func optimizersFigure(opt OptimizersOptions, part []compared[setting], dropout float64, axis string,
	curve func(r []*Record, key int, q quantity) Curve,
) Figure {
	f := Figure{
		Name: fmt.Sprintf("by_%s_dropout_%g", axis, dropout), Title: fmt.Sprintf("Dropout %g, by %s", dropout, axis),
		Caption: fmt.Sprintf("Two hidden layers of %s, dropout %g: training cross-entropy, training and test error. Solid: balanced start, dashed: unbalanced. %s", words.Count(opt.Width, "unit"), dropout, seedNotes(opt.Seeds)[0]),
	}
	x := axis
	if axis == "seconds" {
		x = "time of the steps (s)"
	}
	f.Panels = []Panel{
		{Title: "Training loss", X: x, Y: "cross-entropy (nats)", YScale: Log},
		{Title: "Training error", X: x, Y: "error (%)"},
		{Title: "Test error", X: x, Y: "error (%)"},
	}
	for k, c := range part {
		s := c.setting
		f.Legend = append(f.Legend, Key{Name: s.name(), Colour: slices.Index(finetune.Optimizers(), s.method), Dash: slices.Index([]string{Balanced, Unbalanced}, s.start)})
		for p, q := range []quantity{trainLoss, trainError, testError} {
			f.Panels[p].Curves = append(f.Panels[p].Curves, curve(c.records, k, q))
		}
	}
	return f
}

func optimizersTable(opt OptimizersOptions, part []compared[setting], dropout float64) Table {
	t := Table{
		Title: fmt.Sprintf("Training loss, training and test error after %s, dropout %g, %s", passes(opt.Epochs), dropout, meansOver(opt.Seeds)), Keys: 2,
		Columns: []string{"optimizer", "start", "step", "loss", "train (%)", "test (%)", "range (%)", "s/epoch"},
	}
	for _, c := range part {
		test := final(c.records, testError)
		t.Add(append([]any{methodNames[c.setting.method], c.setting.start}, append(c.row(), spread(test), c.pace())...)...)
	}
	return t
}

// alike is the difference of errors, in points of percent, below which curves
// coincide: rounding errors of float32 drift apart over an epoch, and single
// examples near a boundary change sides. A start is worse beyond it.
const alike = 1.0

// behind reports whether a has a larger final training loss than b with every
// seed.
func behind(a, b []*Record) bool {
	for k := range a {
		if !(objective(a[k]) > objective(b[k])) {
			return false
		}
	}
	return true
}

// optimizersClaims judges the claims of the paper, for one dropout.
func optimizersClaims(opt OptimizersOptions, part []compared[setting], dropout float64) []Claim {
	const source = "Neyshabur, Salakhutdinov, Srebro 2015, section 5"
	with := fmt.Sprintf("dropout %g", dropout)
	find := func(m finetune.Optimizer, start string) *compared[setting] {
		i := slices.IndexFunc(part, func(c compared[setting]) bool { return c.setting.method == m && c.setting.start == start })
		if i < 0 {
			return nil
		}
		return &part[i]
	}
	var out []Claim
	for _, m := range opt.Methods {
		b, u := find(m, Balanced), find(m, Unbalanced)
		if b == nil || u == nil {
			continue
		}
		if m == finetune.PathSGD || m == finetune.PathAdaGrad {
			d := farthest(b.records, u.records, testError)
			out = append(out, Claim{
				Text: fmt.Sprintf("%s: the curves from balanced and unbalanced starts are equal (%s).", methodNames[m], with), Source: source,
				Criterion: fmt.Sprintf("the mean test errors differ by at most %g points in every epoch", alike),
				Measured:  fmt.Sprintf("at most %.2f points", d), Verdict: verdict(d <= alike),
			})
			continue
		}
		x, y := over(b.records, objective).Mean, over(u.records, objective).Mean
		e, f := final(b.records, testError).Mean, final(u.records, testError).Mean
		out = append(out, Claim{
			Text: fmt.Sprintf("%s: training from unbalanced starts is worse (%s).", methodNames[m], with), Source: source,
			Criterion: fmt.Sprintf("the final training loss is larger with every seed, and the mean test error by more than %g points, each with its best step size", alike),
			Measured:  fmt.Sprintf("loss %.4g against %.4g, test error %.2f %% against %.2f %%", y, x, f, e),
			Verdict:   verdict(behind(u.records, b.records) && f > e+alike),
		})
	}
	path := find(finetune.PathSGD, Balanced)
	for _, m := range []finetune.Optimizer{finetune.SGD, finetune.AdaGrad} {
		for _, start := range opt.Starts {
			c := find(m, start)
			p := find(finetune.PathSGD, start)
			if path == nil || c == nil || p == nil {
				continue
			}
			x, y := over(p.records, objective).Mean, over(c.records, objective).Mean
			e, f := final(p.records, testError).Mean, final(c.records, testError).Mean
			out = append(out, Claim{
				Text: fmt.Sprintf("Path-SGD beats %s from %s starts (%s).", methodNames[m], start, with), Source: source,
				Criterion: "smaller final training loss and smaller final test error, each with its best step size",
				Measured:  fmt.Sprintf("loss %.4g against %.4g, test error %.2f %% against %.2f %%", x, y, e, f), Verdict: verdict(x < y && e < f),
			})
		}
	}
	return out
}
