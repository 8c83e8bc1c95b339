package experiment

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/internal/words"
)

// InvarianceOptions says what Invariance follows.
type InvarianceOptions struct {
	// Width is the number of units in each of the two hidden layers. Default: 64.
	Width int
	// Methods are the optimizers. Default: all.
	Methods []finetune.Optimizer
	// Rates are their step sizes, not normalised. Defaults: 0.03 for path-sgd,
	// 0.1 for sgd, 0.01 for the others.
	Rates map[finetune.Optimizer]float64
	// Steps is the length of the trajectories. Default: 300.
	Steps int
	// Seeds is the number of seeds, from Seed on. Default: 3.
	Seeds int
	Seed  uint64
	// Batch is the number of examples of a step. Default: 100.
	Batch int
}

func (o InvarianceOptions) complete() InvarianceOptions {
	o.Width = cmp.Or(o.Width, 64)
	o.Methods = listOr(o.Methods, finetune.Optimizers()...)
	rates := map[finetune.Optimizer]float64{finetune.PathSGD: 0.03, finetune.SGD: 0.1, finetune.AdaGrad: 0.01, finetune.PathAdaGrad: 0.01}
	maps.Copy(rates, o.Rates)
	o.Rates = rates
	o.Steps = cmp.Or(o.Steps, 300)
	o.Seeds = cmp.Or(o.Seeds, 3)
	o.Batch = cmp.Or(o.Batch, 100)
	return o
}

// equivalents are the rescalings whose trajectories are compared with that of
// the fresh network.
var equivalents = []struct {
	method rescale.Method
	name   string
}{
	{RandomPowers, "powers of two"},
	{Random, "factors e^N(0,4)"},
	{rescale.Unbalance, "unbalanced"},
}

// drift compares trajectories of one optimizer, in one type of numbers, from one rescaling with
// those of the fresh networks, seed by seed.
type drift struct {
	method finetune.Optimizer
	typ    dag.DType
	start  string
	// records and fresh have one trajectory a seed.
	records, fresh []*Record
}

// Invariance follows the loss of every step from a fresh network and from
// rescaling equivalent ones, under each optimizer, in float32 and float64, and
// takes one step of each optimizer from equivalent networks of two weights in a
// row. Source: Neyshabur, Salakhutdinov, Srebro, Path-SGD, NeurIPS 2015,
// section 2. Errors: options that do not fit the data, ctx's.
func Invariance(ctx context.Context, l *Lab, opt InvarianceOptions) (*Report, error) {
	if err := opt.Check(); err != nil {
		return nil, err
	}
	opt = opt.complete()
	var list []*Training
	var drifts []drift
	for _, m := range opt.Methods {
		for _, typ := range []dag.DType{dag.Float32, dag.Float64} {
			for _, e := range equivalents {
				drifts = append(drifts, drift{method: m, typ: typ, start: e.name})
				for _, by := range [][]rescale.Method{nil, {e.method}} {
					for k := range opt.Seeds {
						seed := opt.Seed + uint64(k)
						list = append(list, l.describe(Training{
							Start: Start{
								Widths: []int{l.Train.Size(), opt.Width, opt.Width, l.Train.Classes()}, Type: typ.String(),
								Rescale: by, Seed: seed,
							},
							Optimizer: m, Rate: opt.Rates[m], Normalize: finetune.NormalizeOff, Loss: finetune.Softmax,
							Batch: opt.Batch, Steps: opt.Steps, Seed: seed,
						}))
					}
				}
			}
		}
	}
	records, err := l.run(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range drifts {
		at := 2 * i * opt.Seeds
		drifts[i].fresh, drifts[i].records = records[at:at+opt.Seeds], records[at+opt.Seeds:at+2*opt.Seeds]
	}
	steps, err := toy(ctx, l)
	if err != nil {
		return nil, err
	}
	return invarianceReport(l, opt, drifts, steps), nil
}

// differences are |a - b|/|a| of the losses of each step of one seed, up to the
// shorter of the two.
func (d *drift) differences(seed int) []float64 {
	a, b := d.fresh[seed].Losses, d.records[seed].Losses
	out := make([]float64, min(len(a), len(b)))
	for k := range out {
		if a[k] != b[k] {
			out[k] = math.Abs(a[k]-b[k]) / math.Abs(a[k])
		}
	}
	return out
}

// largest is the largest difference in the first steps, of all seeds; +Inf
// where a trajectory ended before the other.
func (d *drift) largest(steps int) float64 {
	top := 0.0
	for seed := range d.records {
		if len(d.fresh[seed].Losses) != len(d.records[seed].Losses) && len(d.records[seed].Losses) < steps {
			return math.Inf(1)
		}
		x := d.differences(seed)
		for _, v := range x[:min(steps, len(x))] {
			top = math.Max(top, v)
		}
	}
	return top
}

// windows is a curve of one point for each of about sixty windows of the steps.
func windows(key, steps int, of func(from, to int) Summary) Curve {
	n := max(1, steps/60)
	c := Curve{Key: key}
	for from := 0; from+n <= steps; from += n {
		c.X = append(c.X, float64(from+1)+float64(n-1)/2)
		c.add(of(from, from+n))
	}
	return c
}

// losses is the curve of the batch loss, averaged over windows of steps so that
// the noise of single batches does not hide it.
func losses(records []*Record, key, steps int) Curve {
	return windows(key, steps, func(from, to int) Summary {
		return over(records, func(r *Record) float64 {
			if len(r.Losses) < to {
				return math.NaN()
			}
			sum := 0.0
			for _, v := range r.Losses[from:to] {
				sum += v
			}
			return sum / float64(to-from)
		})
	})
}

// curve is the curve of the differences, the largest of each window of steps.
func (d *drift) curve(key, steps int) Curve {
	return windows(key, steps, func(from, to int) Summary {
		x := make([]float64, len(d.records))
		for seed := range x {
			x[seed] = math.NaN()
			if diff := d.differences(seed); to <= len(diff) {
				x[seed] = slices.Max(diff[from:to])
			}
		}
		return summarise(x)
	})
}

func invarianceReport(l *Lab, opt InvarianceOptions, drifts []drift, steps map[toyStart]toyStep) *Report {
	r := &Report{Name: "invariance", Title: "Trajectories of rescaling equivalent starts on " + l.Train.Name()}
	loss := Figure{
		Name: "trajectories", Title: "Loss of each step from equivalent starts (float32)",
		Caption: fmt.Sprintf("Two hidden layers of %s, batches of %d. %s, averaged over %s. Where one line shows, the trajectories coincide.", words.Count(opt.Width, "unit"), opt.Batch, rangesOf(opt.Seeds), words.Count(max(1, opt.Steps/60), "step")),
		Legend:  []Key{{"fresh network", 0, 0}},
	}
	diff := Figure{
		Name: "differences", Title: "Difference of the loss from that of the fresh network",
		Caption: fmt.Sprintf("Relative to the loss, the largest of each %s; means and ranges of the seeds. No line where the bits are equal. Solid: float32, dashed: float64.", words.Count(max(1, opt.Steps/60), "step")),
	}
	for k, e := range equivalents {
		loss.Legend = append(loss.Legend, Key{e.name, k + 1, k + 1})
		diff.Legend = append(diff.Legend, Key{e.name + ", float32", k + 1, 0}, Key{e.name + ", float64", k + 1, 1})
	}
	t := Table{
		Title: fmt.Sprintf("Largest relative difference of the loss from equivalent starts, %s", words.Count(opt.Seeds, "seed")), Keys: 3,
		Columns: []string{"optimizer", "type", "start", "step", "10 steps", words.Count(opt.Steps, "step")},
	}
	n := len(equivalents)
	for _, m := range opt.Methods {
		a := Panel{Title: methodNames[m], X: "step", Y: "batch loss (nats)", YScale: Log}
		b := Panel{Title: methodNames[m], X: "step", Y: "relative difference", YScale: Log}
		for i := range drifts {
			d := &drifts[i]
			if d.method != m {
				continue
			}
			if d.typ == dag.Float32 {
				if i%n == 0 {
					a.Curves = append(a.Curves, losses(d.fresh, 0, opt.Steps))
				}
				a.Curves = append(a.Curves, losses(d.records, i%n+1, opt.Steps))
			}
			b.Curves = append(b.Curves, d.curve(2*(i%n)+slices.Index([]dag.DType{dag.Float32, dag.Float64}, d.typ), opt.Steps))
			t.Add(methodNames[m], d.typ.String(), d.start, strconv.FormatFloat(opt.Rates[m], 'g', -1, 64), finite(d.largest(10)), finite(d.largest(opt.Steps)))
		}
		loss.Panels, diff.Panels = append(loss.Panels, a), append(diff.Panels, b)
	}
	r.Figures = []Figure{loss, diff, toyFigure(steps)}
	r.Tables = []Table{t, toyTable(steps)}
	r.Claims = append(driftClaims(opt, drifts), toyClaims(steps)...)
	r.Notes = append(seedNotes(opt.Seeds),
		fmt.Sprintf("The starts: every free unit's factor a power of two from 2^-10 to 2^10, or e^N(0,4), or, unbalanced, a quarter of the units of each layer times 10 e^N(0,1). Constant step sizes, batches of %d.", opt.Batch))
	r.Curves = trajectoriesTable(drifts)
	return r
}

// finite is a cell of a number that may be infinite.
func finite(x float64) any {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return "diverged"
	}
	return x
}

// trajectoriesTable has the loss of every step.
func trajectoriesTable(drifts []drift) Table {
	t := Table{Keys: 5, Columns: []string{"optimizer", "type", "start", "seed", "step", "loss"}}
	for i := range drifts {
		d := &drifts[i]
		add := func(start string, records []*Record) {
			for _, r := range records {
				for k, v := range r.Losses {
					t.Add(string(d.method), d.typ.String(), start, int(r.Training.Seed), k+1, v)
				}
			}
		}
		if i%len(equivalents) == 0 {
			add("fresh", d.fresh)
		}
		add(d.start, d.records)
	}
	return t
}

// driftClaims judges the invariance of every optimizer.
func driftClaims(opt InvarianceOptions, drifts []drift) []Claim {
	const source = "Neyshabur, Salakhutdinov, Srebro 2015, sections 2 and 4"
	// float64 keeps 1e-16; rounding errors grow along a trajectory, by less than
	// ten decades in some hundred steps.
	const same, other = 1e-6, 1e-2
	var out []Claim
	for _, m := range opt.Methods {
		exact, real64, least := 0.0, 0.0, math.Inf(1)
		for i := range drifts {
			d := &drifts[i]
			if d.method != m {
				continue
			}
			v := d.largest(opt.Steps)
			least = math.Min(least, v)
			switch {
			case d.start == equivalents[0].name:
				exact = math.Max(exact, v)
			case d.typ == dag.Float64:
				real64 = math.Max(real64, v)
			}
		}
		if m == finetune.PathSGD || m == finetune.PathAdaGrad {
			out = append(out, Claim{
				Text: fmt.Sprintf("%s is invariant: equivalent starts have one trajectory.", methodNames[m]), Source: source,
				Criterion: fmt.Sprintf("losses of all %s equal to the bit for powers of two, within %.0e in float64 for other factors", words.Count(opt.Steps, "step"), same),
				Measured:  fmt.Sprintf("largest relative difference %.3g and %.3g", exact, real64), Verdict: verdict(exact == 0 && real64 <= same),
			})
			continue
		}
		out = append(out, Claim{
			Text: fmt.Sprintf("%s is not invariant.", methodNames[m]), Source: source,
			Criterion: fmt.Sprintf("losses differ by more than %g from every equivalent start", other),
			Measured:  fmt.Sprintf("smallest of the largest differences %.3g", least), Verdict: verdict(least > other),
		})
	}
	return out
}
