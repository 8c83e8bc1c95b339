package experiment

import (
	"context"
	"testing"

	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
)

// TestOptimizersSmall checks the papers' claims that hold at any size: with
// kappa = 1 Path-SGD would be SGD, whose test errors differ by 20 points here.
func TestOptimizersSmall(t *testing.T) {
	l := lab(t, 2000, 1000)
	r, err := Optimizers(context.Background(), l, OptimizersOptions{
		Width: 64, Dropouts: []float64{0}, Rates: []float64{0.1, 0.01}, Epochs: 2, Seeds: 1, Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	number := func(column, method, start string) float64 { return cell(t, &r.Tables[0], column, method, start) }
	for _, m := range []string{"Path-SGD", "Path-AdaGrad"} {
		wantVerdict(t, r, m+": the curves", Holds)
		// Forty steps leave float32's rounding below 1e-6 of the loss; a unit that
		// one example puts on the other side of zero moves it by some 1e-4.
		if b, u := number("loss", m, Balanced), number("loss", m, Unbalanced); !within(b, u, 1e-3) {
			t.Errorf("%s: loss %v from balanced, %v from unbalanced starts", m, b, u)
		}
	}
	errs := func(method, start string) float64 { return number("test (%)", method, start) }
	if b, u := errs("SGD", Balanced), errs("SGD", Unbalanced); u < b+8 {
		t.Errorf("SGD: test error %.2f %% from balanced, %.2f %% from unbalanced starts: want 8 points more", b, u)
	}
	// Path-SGD and AdaGrad learn from unbalanced starts what SGD does not.
	for m, margin := range map[string]float64{"Path-SGD": 10, "AdaGrad": 15, "Path-AdaGrad": 15} {
		if p, s := errs(m, Unbalanced), errs("SGD", Unbalanced); p > s-margin {
			t.Errorf("from unbalanced starts %s has %.2f %%, SGD %.2f %%: want %g points less", m, p, s, margin)
		}
	}
}

// TestWidthSmall: the widest network fits the data and generalises better than
// the narrow one, without regularisation.
func TestWidthSmall(t *testing.T) {
	l := lab(t, 2000, 2000)
	r, err := Width(context.Background(), l, WidthOptions{Widths: []int{8, 64, 256}, Epochs: 35, Seeds: 1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	wantVerdict(t, r, "A width suffices", Holds)
	wantVerdict(t, r, "The test error falls with H", Holds)
	if e := cell(t, &r.Tables[0], "train (%)", 256); e > 0.05 {
		t.Errorf("training error %.2f %% at 256 units, want none", e)
	}
	narrow, wide := cell(t, &r.Tables[0], "test (%)", 8), cell(t, &r.Tables[0], "test (%)", 256)
	if wide > narrow-3 {
		t.Errorf("test error %.2f %% at 8 units, %.2f %% at 256: want 3 points less", narrow, wide)
	}
}

// TestInvarianceSmall: every claim holds, among them that trajectories of
// Path-SGD from starts rescaled by powers of two are equal to the bit.
func TestInvarianceSmall(t *testing.T) {
	l := lab(t, 2000, 1)
	r, err := Invariance(context.Background(), l, InvarianceOptions{Width: 16, Steps: 40, Seeds: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Claims {
		if c.Verdict != Holds {
			t.Errorf("%s: %s (%s)", c.Text, c.Verdict, c.Measured)
		}
	}
	// The lecture's numbers: gradient descent takes the output from 1 to
	// (100 + 1/100)^2, Path-SGD to 4 whatever the scale.
	toy := &r.Tables[1]
	if y := cell(t, toy, "output after", "SGD", 100); !within(100.01*100.01, y, 1e-12) {
		t.Errorf("SGD's step from c = 100 gives %v", y)
	}
	if y := cell(t, toy, "output after", "Path-SGD", 1000); !within(4, y, 1e-12) {
		t.Errorf("Path-SGD's step from c = 1000 gives %v", y)
	}
}

// TestBalanceSmall: after balancing SGD tunes an unbalanced network better, and
// Path-SGD does not need it.
func TestBalanceSmall(t *testing.T) {
	ctx := context.Background()
	l := lab(t, 3000, 1000)
	fresh, err := finetune.Fresh(ctx, []int{784, 32, 32, 10}, finetune.FreshOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	tr, err := finetune.New(fresh, l.Train, finetune.Options{Epochs: 2, Threads: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	trained, err := tr.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	net, err := rescaled(ctx, trained.Net, rescale.Unbalance, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Balance(ctx, l, BalanceOptions{Net: net, Name: "small", Rates: []float64{0.1, 0.01, 0.001}, Epochs: 2, Seeds: 1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	loss := func(method, balance string) float64 {
		return cell(t, &r.Tables[0], "loss", method, balance)
	}
	plain := loss("SGD", "none")
	for _, m := range []string{"path", "enorm", "cle", "pathcond"} {
		if v := loss("SGD", m); !(v < 0.95*plain) {
			t.Errorf("SGD after %s: loss %.4f, without balancing %.4f: want a twentieth less", m, v, plain)
		}
	}
	if v := loss("Path-SGD", "none"); !(v < 0.9*plain) {
		t.Errorf("Path-SGD: loss %.4f, SGD %.4f: want a tenth less", v, plain)
	}
}
