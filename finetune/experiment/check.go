package experiment

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/finetune"
)

// listOr is a list, or the default where there is none.
func listOr[T any](list []T, otherwise ...T) []T {
	if list == nil {
		return otherwise
	}
	return list
}

// checks gathers what is wrong with options.
type checks struct{ wrong []error }

func (c *checks) want(ok bool, format string, args ...any) {
	if !ok {
		c.wrong = append(c.wrong, fmt.Errorf("experiment: "+format, args...))
	}
}

// counts wants numbers of things.
func (c *checks) counts(what string, list ...int) {
	for _, n := range list {
		c.want(n >= 1, "%s %d, want at least 1", what, n)
	}
}

// trainings wants what all experiments have.
func (c *checks) trainings(seeds, batch int, rates ...float64) {
	c.counts("seeds", seeds)
	c.counts("batch", batch)
	c.want(len(rates) > 0, "no step sizes, want at least one")
	for _, r := range rates {
		c.want(r > 0 && !math.IsInf(r, 1), "step size %v, want a positive number", r)
	}
}

func (c *checks) methods(methods []finetune.Optimizer) {
	for _, m := range methods {
		c.want(slices.Contains(finetune.Optimizers(), m), "there is no optimizer %q", m)
	}
}

// shares wants numbers in [0, 1).
func (c *checks) shares(what string, list ...float64) {
	for _, v := range list {
		c.want(v >= 0 && v < 1, "%s %v, want a number in [0, 1)", what, v)
	}
}

func (c *checks) err() error {
	if c.wrong == nil {
		return nil
	}
	return &finetune.OptionError{Err: errors.Join(c.wrong...)}
}

// Check returns a *finetune.OptionError where the options make no sense.
func (o OptimizersOptions) Check() error {
	o = o.complete()
	var c checks
	c.counts("width", o.Width)
	c.counts("epochs", o.Epochs)
	c.counts("epochs of the grid", o.GridEpochs)
	c.trainings(o.Seeds, o.Batch, o.Rates...)
	c.methods(o.Methods)
	for _, s := range o.Starts {
		c.want(s == Balanced || s == Unbalanced, "there is no start %q: want %s or %s", s, Balanced, Unbalanced)
	}
	c.shares("dropout", o.Dropouts...)
	return c.err()
}

// Check returns a *finetune.OptionError where the options make no sense.
func (o WidthOptions) Check() error {
	o = o.complete()
	var c checks
	c.counts("width", o.Widths...)
	c.counts("epochs", o.Epochs)
	c.trainings(o.Seeds, o.Batch, o.Rate)
	c.want(o.RateDecay > 0 && o.RateDecay <= 1, "decay of the step size %v, want a number in (0, 1]", o.RateDecay)
	c.shares("momentum", o.Momentum)
	c.shares("largest momentum", o.MomentumMax)
	c.want(o.MomentumRise >= 0, "rise of the momentum %v, want a number of at least 0", o.MomentumRise)
	c.want(!math.IsNaN(o.Margin), "truncation margin NaN, want a number")
	return c.err()
}

// Check returns a *finetune.OptionError where the options make no sense.
func (o InvarianceOptions) Check() error {
	o = o.complete()
	var c checks
	c.counts("width", o.Width)
	c.counts("steps", o.Steps)
	c.methods(o.Methods)
	var rates []float64
	for _, m := range finetune.Optimizers() {
		rates = append(rates, o.Rates[m])
	}
	c.trainings(o.Seeds, o.Batch, rates...)
	return c.err()
}

// Check returns a *finetune.OptionError where the options make no sense.
func (o BalanceOptions) Check() error {
	o = o.complete()
	var c checks
	c.counts("epochs", o.Epochs)
	c.counts("epochs of the grid", o.GridEpochs)
	c.trainings(o.Seeds, o.Batch, o.Rates...)
	c.shares("momentum", o.Momentum)
	return c.err()
}
