package experiment

import (
	"cmp"
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
)

// BalanceOptions says what Balance compares.
type BalanceOptions struct {
	// Net is the pretrained network. Name names it in the report.
	Net  *dag.Network `json:"-"`
	Name string
	// Methods are the balancings that are tried beside none. Default: path,
	// enorm, cle, pathcond.
	Methods []rescale.Method
	// Rates is the grid of step sizes, not normalised. Default: 1, 0.1, 0.01,
	// 0.001, 0.0001, 0.00001.
	Rates []float64
	// Momentum is the coefficient of SGD with momentum. Default: 0.9.
	Momentum float64
	// Epochs is the number of passes over the data. Default: 5. GridEpochs is
	// that of the trainings that choose the step size; default: Epochs.
	Epochs, GridEpochs int
	// Seeds is the number of seeds, from Seed on; they determine the order of the
	// examples. Default: 3.
	Seeds int
	Seed  uint64
	// Batch is the number of examples of a step. Default: 100.
	Batch int
}

func (o BalanceOptions) complete() BalanceOptions {
	o.Methods = listOr(o.Methods, rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned)
	o.Rates = listOr(o.Rates, 1, 0.1, 0.01, 0.001, 0.0001, 0.00001)
	o.Momentum = cmp.Or(o.Momentum, 0.9)
	o.Epochs = cmp.Or(o.Epochs, 5)
	o.GridEpochs = cmp.Or(o.GridEpochs, o.Epochs)
	o.Seeds = cmp.Or(o.Seeds, 3)
	o.Batch = cmp.Or(o.Batch, 100)
	return o
}

// none is no balancing.
const none rescale.Method = "none"

// tuning is a way to fine-tune: a balancing and an optimizer.
type tuning struct {
	balance  rescale.Method
	method   finetune.Optimizer
	momentum float64
}

func (t tuning) optimizer() string {
	if t.momentum > 0 {
		return fmt.Sprintf("%s, momentum %g", methodNames[t.method], t.momentum)
	}
	return methodNames[t.method]
}

// Balance fine-tunes one network by SGD, SGD with momentum and AdaGrad after no
// balancing and after each method of package rescale, and by Path-SGD without,
// each with the step size of a grid that gives it the smallest training loss.
// Errors: a network or options that do not fit the data, ctx's.
func Balance(ctx context.Context, l *Lab, opt BalanceOptions) (*Report, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	opt = opt.complete()
	balances := append([]rescale.Method{none}, opt.Methods...)
	var settings []tuning
	for _, o := range []tuning{{method: finetune.SGD}, {method: finetune.SGD, momentum: opt.Momentum}, {method: finetune.AdaGrad}} {
		for _, b := range balances {
			o.balance = b
			settings = append(settings, o)
		}
	}
	settings = append(settings, tuning{balance: none, method: finetune.PathSGD})
	model := digestNetwork(opt.Net)
	training := func(t tuning, rate float64, epochs int, seed uint64) *Training {
		start := Start{Model: model, net: opt.Net}
		if t.balance != none {
			start.Rescale = []rescale.Method{t.balance}
		}
		return l.describe(Training{
			Start: start, Optimizer: t.method, Momentum: t.momentum, Rate: rate, Normalize: finetune.NormalizeOff,
			Loss: finetune.Softmax, Batch: opt.Batch, Epochs: epochs, Seed: seed,
		})
	}
	done, err := compare(ctx, l, settings, grid{opt.Rates, opt.Epochs, opt.GridEpochs, opt.Seeds, opt.Seed}, training)
	if err != nil {
		return nil, err
	}
	return balanceReport(l, opt, balances, done), nil
}

func balanceReport(l *Lab, opt BalanceOptions, balances []rescale.Method, done []compared[tuning]) *Report {
	r := &Report{Name: "balance", Title: fmt.Sprintf("Fine-tuning %s on %s after balancing", opt.Name, l.Train.Name())}
	path := done[len(done)-1]
	n := len(balances)
	for _, q := range []struct {
		name, title, axis string
		scale             Scale
		of                quantity
	}{
		{"train_loss", "Training loss", "cross-entropy (nats)", Log, trainLoss},
		{"test_error", "Test error", "error (%)", Linear, testError},
	} {
		f := Figure{
			Name: q.name, Title: q.title + " while fine-tuning",
			Caption: fmt.Sprintf("After each epoch, by balancing; Path-SGD without balancing in every panel. %s.", rangesOf(opt.Seeds)),
		}
		for k, b := range balances {
			f.Legend = append(f.Legend, Key{Name: string(b), Colour: k})
		}
		f.Legend = append(f.Legend, Key{Name: "Path-SGD, none", Colour: n, Dash: 1})
		for at := 0; at+n < len(done); at += n {
			p := Panel{Title: done[at].setting.optimizer(), X: "epoch", Y: q.axis, YScale: q.scale}
			for k := range n {
				p.Curves = append(p.Curves, byEpoch(done[at+k].records, k, q.of))
			}
			p.Curves = append(p.Curves, byEpoch(path.records, n, q.of))
			f.Panels = append(f.Panels, p)
		}
		r.Figures = append(r.Figures, f)
	}
	t := Table{
		Title: fmt.Sprintf("Training loss, training and test error of %s after %s, %s", opt.Name, passes(opt.Epochs), meansOver(opt.Seeds)), Keys: 2,
		Columns: []string{"optimizer", "balancing", "step", "loss", "train (%)", "test (%)", "range (%)"},
	}
	for _, c := range done {
		t.Add(append([]any{c.setting.optimizer(), string(c.setting.balance)}, append(c.row(), spread(final(c.records, testError)))...)...)
	}
	r.Tables = []Table{t}
	r.Claims = balanceClaims(done, n)
	r.Curves = curvesTable([]string{"optimizer", "balancing"}, done, func(s tuning) []any { return []any{s.optimizer(), string(s.balance)} })
	r.Notes = append(seedNotes(opt.Seeds), "The step size is the one of the grid with the smallest training loss for the first seed; it is not normalised. * marks one at an end of the grid.")
	if e := path.records[0].Initial; e.TestError != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("Before fine-tuning the test error is %.2f %%.", percent(e.TestError)))
	}
	return r
}

// less is the share of the training loss by which a way of fine-tuning must be
// ahead, or may be behind and still be as good: a network that is trained already
// has little left to gain.
const less = 0.05

// ahead reports whether a has a smaller final training loss than b with every
// seed (the same order of examples for both), and on average by the share less.
func ahead(a, b []*Record) bool {
	return behind(b, a) && over(a, objective).Mean <= (1-less)*over(b, objective).Mean
}

// change writes a quotient of losses as so many per cent less or more.
func change(quotient float64) string {
	if quotient > 1 {
		return fmt.Sprintf("%.1f %% more", 100*(quotient-1))
	}
	return fmt.Sprintf("%.1f %% less", 100*(1-quotient))
}

// balanceClaims answers whether balancing helps, by optimizer and method, and
// whether Path-SGD needs none.
func balanceClaims(done []compared[tuning], n int) []Claim {
	const source = "question of this experiment"
	loss := func(c *compared[tuning]) float64 { return over(c.records, objective).Mean }
	path := &done[len(done)-1]
	var out []Claim
	for at := 0; at+n < len(done); at += n {
		base := &done[at]
		top := base
		for k := at + 1; k < at+n; k++ {
			c := &done[k]
			if loss(c) < loss(top) {
				top = c
			}
			out = append(out, Claim{
				Text: fmt.Sprintf("Balancing by %s before %s helps.", c.setting.balance, base.setting.optimizer()), Source: source,
				Criterion: fmt.Sprintf("the final training loss is smaller with every seed, and on average by at least %g %%", 100*less),
				Measured:  fmt.Sprintf("loss %.4g without, %.4g with (%s), test error %.2f %% and %.2f %%", loss(base), loss(c), change(loss(c)/loss(base)), final(base.records, testError).Mean, final(c.records, testError).Mean),
				Verdict:   verdict(ahead(c.records, base.records)),
			})
		}
		out = append(out, Claim{
			Text: fmt.Sprintf("Path-SGD without balancing does as well as %s after the best balancing.", base.setting.optimizer()), Source: source,
			Criterion: fmt.Sprintf("its final training loss is at most %g %% above", 100*less),
			Measured:  fmt.Sprintf("loss %.4g against %.4g (%s)", loss(path), loss(top), top.setting.balance), Verdict: verdict(loss(path) <= (1+less)*loss(top)),
		})
	}
	return out
}
