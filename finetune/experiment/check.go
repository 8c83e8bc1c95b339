package experiment

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/finetune"
)

// OptionError says that the options of an experiment make no sense.
type OptionError struct{ text string }

func (e *OptionError) Error() string { return e.text }

// checks gathers what is wrong with options.
type checks struct{ wrong []string }

func (c *checks) want(ok bool, format string, args ...any) {
	if !ok {
		c.wrong = append(c.wrong, "experiment: "+fmt.Sprintf(format, args...))
	}
}

// count wants a number of things.
func (c *checks) count(what string, n int) { c.want(n >= 1, "%s %d, want at least 1", what, n) }

// rates wants step sizes.
func (c *checks) rates(rates []float64) {
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

// share wants a number in [0, 1).
func (c *checks) share(what string, v float64) {
	c.want(v >= 0 && v < 1, "%s %v, want a number in [0, 1)", what, v)
}

func (c *checks) err() error {
	if c.wrong == nil {
		return nil
	}
	return &OptionError{strings.Join(c.wrong, "\n")}
}

// Check returns an *OptionError where the options make no sense.
func (o OptimizersOptions) Check() error {
	o = o.complete()
	var c checks
	c.count("width", o.Width)
	c.count("epochs", o.Epochs)
	c.count("epochs of the grid", o.GridEpochs)
	c.count("seeds", o.Seeds)
	c.count("batch", o.Batch)
	c.rates(o.Rates)
	c.methods(o.Methods)
	for _, s := range o.Starts {
		c.want(s == Balanced || s == Unbalanced, "there is no start %q: want %s or %s", s, Balanced, Unbalanced)
	}
	for _, d := range o.Dropouts {
		c.share("dropout", d)
	}
	return c.err()
}

// Check returns an *OptionError where the options make no sense.
func (o WidthOptions) Check() error {
	o = o.complete()
	var c checks
	for _, h := range o.Widths {
		c.count("width", h)
	}
	c.count("epochs", o.Epochs)
	c.count("seeds", o.Seeds)
	c.count("batch", o.Batch)
	c.rates([]float64{o.Rate})
	c.want(o.RateDecay > 0 && o.RateDecay <= 1, "decay of the step size %v, want a number in (0, 1]", o.RateDecay)
	c.share("momentum", o.Momentum)
	c.share("largest momentum", o.MomentumMax)
	c.want(o.MomentumRise >= 0, "rise of the momentum %v, want a number of at least 0", o.MomentumRise)
	c.want(!math.IsNaN(o.Margin), "truncation margin NaN, want a number")
	return c.err()
}

// Check returns an *OptionError where the options make no sense.
func (o InvarianceOptions) Check() error {
	o = o.complete()
	var c checks
	c.count("width", o.Width)
	c.count("steps", o.Steps)
	c.count("seeds", o.Seeds)
	c.count("batch", o.Batch)
	c.methods(o.Methods)
	for _, m := range finetune.Optimizers() {
		c.rates([]float64{o.Rates[m]})
	}
	return c.err()
}

// Check returns an *OptionError where the options make no sense.
func (o BalanceOptions) Check() error {
	o = o.complete()
	var c checks
	c.count("epochs", o.Epochs)
	c.count("epochs of the grid", o.GridEpochs)
	c.count("seeds", o.Seeds)
	c.count("batch", o.Batch)
	c.rates(o.Rates)
	c.share("momentum", o.Momentum)
	return c.err()
}
