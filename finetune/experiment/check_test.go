package experiment

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/relupath/relupath/finetune"
)

// TestCheck: options that make no sense are told before anything runs, all at
// once; the zero values make sense.
func TestCheck(t *testing.T) {
	type options interface{ Check() error }
	for _, c := range []struct {
		opt  options
		want string
	}{
		{OptimizersOptions{Width: -2, Seeds: -1}, "width -2, want at least 1\nexperiment: seeds -1, want"},
		{OptimizersOptions{Rates: []float64{0.1, math.NaN()}}, "step size NaN"},
		{OptimizersOptions{Rates: []float64{}}, "no step sizes"},
		{OptimizersOptions{Starts: []string{"skewed"}}, "no start \"skewed\": want balanced or unbalanced"},
		{OptimizersOptions{Dropouts: []float64{1}}, "dropout 1"},
		{OptimizersOptions{Methods: []finetune.Optimizer{"adam"}}, "no optimizer \"adam\""},
		{OptimizersOptions{GridEpochs: -1}, "epochs of the grid -1"},
		{WidthOptions{Widths: []int{8, 0}}, "width 0, want at least 1"},
		{WidthOptions{Epochs: -1}, "epochs -1"},
		{WidthOptions{Momentum: 0.5, MomentumMax: 1}, "largest momentum 1"},
		{WidthOptions{RateDecay: 2}, "decay of the step size 2"},
		{WidthOptions{Margin: math.NaN()}, "margin NaN"},
		{InvarianceOptions{Steps: -3}, "steps -3"},
		{InvarianceOptions{Rates: map[finetune.Optimizer]float64{finetune.SGD: -1}}, "step size -1"},
		{BalanceOptions{Batch: -1}, "batch -1"},
		{BalanceOptions{Momentum: 1.5}, "momentum 1.5"},
	} {
		err := c.opt.Check()
		var wrong *finetune.OptionError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.opt, err, c.want)
		}
	}
	for _, o := range []options{OptimizersOptions{}, WidthOptions{}, InvarianceOptions{}, BalanceOptions{}} {
		if err := o.Check(); err != nil {
			t.Errorf("%T: %v", o, err)
		}
	}
}

// TestNoMomentum: a momentum of 0 beside a limit is no momentum, not the default.
func TestNoMomentum(t *testing.T) {
	if o := (WidthOptions{MomentumMax: 0.9}).complete(); o.Momentum != 0 || o.MomentumRise != 0 {
		t.Errorf("momentum %v, rise %v", o.Momentum, o.MomentumRise)
	}
	if o := (WidthOptions{}).complete(); o.Momentum != 0.5 || o.MomentumRise != 0.02 || o.MomentumMax != 0.9 {
		t.Errorf("%+v: want the paper's", o)
	}
}
