package experiment

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// grid says how step sizes are chosen and how often the choice is trained.
type grid struct {
	rates          []float64
	epochs, choose int
	seeds          int
	seed           uint64
}

// compared is a setting (what is trained and how, without step size and seed) with
// its best step size and the records of all seeds with that step size.
type compared[S any] struct {
	setting S
	rate    float64
	records []*Record
	// edge says that the rate is an end of the grid, so that a better one may lie
	// beyond.
	edge bool
}

// compare trains every setting with every step size, chooses one for each by
// the training loss of the first seed, and trains that with all seeds.
func compare[S any](ctx context.Context, l *Lab, settings []S, g grid,
	training func(s S, rate float64, epochs int, seed uint64) *Training,
) ([]compared[S], error) {
	var list []*Training
	for _, s := range settings {
		for _, r := range g.rates {
			list = append(list, training(s, r, g.choose, g.seed))
		}
	}
	tried, err := l.run(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]compared[S], len(settings))
	list = nil
	for i, s := range settings {
		losses := lists.Map(tried[i*len(g.rates):(i+1)*len(g.rates)], objective)
		rate := g.rates[slices.Index(losses, slices.Min(losses))]
		out[i] = compared[S]{setting: s, rate: rate}
		out[i].edge = len(g.rates) > 1 && (rate == slices.Min(g.rates) || rate == slices.Max(g.rates))
		for k := range g.seeds {
			list = append(list, training(s, rate, g.epochs, g.seed+uint64(k)))
		}
	}
	records, err := l.run(ctx, list)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i].records = records[i*g.seeds : (i+1)*g.seeds]
	}
	return out, nil
}

// row are the cells step size, training loss, training error and test error
// after the last epoch.
func (c *compared[S]) row() []any {
	rate := strconv.FormatFloat(c.rate, 'g', -1, 64)
	if c.edge {
		rate += "*"
	}
	loss := over(c.records, objective).Mean
	if math.IsInf(loss, 0) {
		return []any{rate, "diverged", nil, Percent(final(c.records, testError).Mean)}
	}
	return []any{rate, loss, Percent(final(c.records, trainError).Mean), Percent(final(c.records, testError).Mean)}
}

// pace is the mean time of an epoch's steps in seconds.
func (c *compared[S]) pace() float64 {
	return over(c.records, func(r *Record) float64 { return r.Seconds / float64(max(len(r.Epochs), 1)) }).Mean
}

// spread writes a range.
func spread(s Summary) string { return fmt.Sprintf("%.2f–%.2f", s.Min, s.Max) }

// farthest is the largest difference of the means of a quantity in an epoch
// that both have; +Inf where one stopped before the other.
func farthest(a, b []*Record, q quantity) float64 {
	x, y := byEpoch(a, 0, q).Y, byEpoch(b, 0, q).Y
	if len(x) != len(y) || len(x) == 0 {
		return math.Inf(1)
	}
	d := 0.0
	for k := range x {
		d = math.Max(d, math.Abs(x[k]-y[k]))
	}
	return d
}

// curvesTable has every number of every training of a comparison.
func curvesTable[S any](keys []string, done []compared[S], cells func(s S) []any) Table {
	t := Table{Keys: len(keys), Columns: append(slices.Clone(keys), "step_size", "seed", "epoch", "train_loss", "train_full_loss",
		"train_error", "test_loss", "test_error", "path_norm_log10", "seconds")}
	for _, c := range done {
		for _, r := range c.records {
			seconds := 0.0
			for _, e := range r.Epochs {
				seconds += e.Seconds
				t.Add(append(cells(c.setting), c.rate, int(r.Training.Seed), e.Epoch, orNaN(e.TrainLoss), orNaN(e.TrainFullLoss),
					orNaN(e.TrainError), orNaN(e.TestLoss), orNaN(e.TestError), orNaN(e.PathNorm), seconds)...)
			}
		}
	}
	return t
}

// meansOver says what a table's numbers are.
func meansOver(seeds int) string {
	if seeds == 1 {
		return "one seed"
	}
	return fmt.Sprintf("means over %s", words.Count(seeds, "seed"))
}

// rangesOf says what a figure's lines and bands are.
func rangesOf(seeds int) string {
	if seeds == 1 {
		return "One seed"
	}
	return fmt.Sprintf("Means and ranges of %s", words.Count(seeds, "seed"))
}

// passes writes a number of epochs.
func passes(n int) string { return words.Count(n, "epoch") }

func seedNotes(n int) []string {
	if n == 1 {
		return []string{"One seed: no bands."}
	}
	return []string{fmt.Sprintf("Lines are means over %s, bands reach from the smallest to the largest.", words.Count(n, "seed"))}
}
