package study_test

import (
	"context"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/study"
)

func toy(t *testing.T) *dag.Network {
	t.Helper()
	var b dag.Builder
	h := b.Activation("relu", b.Affine("fc1", b.Input("x", 2), 2, []float64{6, 1, 1, 4}, []float64{1, 2}), 0)
	b.Output("y", b.Affine("fc2", h, 2, []float64{1, 1, 1, 2}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Invariant measures move by rounding, the others by decades.
func TestRun(t *testing.T) {
	steps := 0
	what := analysis.Options{Names: []string{"path_norm", "group_norm", "product_spectral", "sum_log_spectral_squared", "balance_spread", "zero_share"}}
	r, err := study.Run(context.Background(), toy(t), what, study.Options{N: 20, Seed: 1, Each: func(int, int) { steps++ }})
	if err != nil {
		t.Fatal(err)
	}
	if steps != 20 || r.N != 20 || r.Groups != 2 {
		t.Errorf("%d steps, N %d, %d groups", steps, r.N, r.Groups)
	}
	decades := map[string]float64{}
	for _, row := range r.Rows {
		switch {
		case row.Measure.Invariant && row.Decades > 1e-14: // roundings of 53 bits
			t.Errorf("%s %s moves by %g decades", row.Measure.Name, row.Measure.P, row.Decades)
		case !row.Measure.Invariant && !(row.Decades > 0.5):
			t.Errorf("%s %s moves by %g decades only", row.Measure.Name, row.Measure.P, row.Decades)
		}
		if row.Undefined != 0 || row.Least.Cmp(row.Measure.Value) > 0 || row.Most.Cmp(row.Measure.Value) < 0 {
			t.Errorf("%+v", row)
		}
		decades[row.Measure.Name] = row.Decades
	}
	// ln of the squared product moves twice as far as the product.
	if a, b := decades["product_spectral"], decades["sum_log_spectral_squared"]; !(math.Abs(2*a-b) <= 1e-9) {
		t.Errorf("the product moves by %v decades, its square by %v", a, b)
	}
}

func TestDrawsAreSeeded(t *testing.T) {
	run := func(seed uint64) float64 {
		r, err := study.Run(context.Background(), toy(t), analysis.Options{Names: []string{"max_abs"}}, study.Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return r.Rows[0].Decades
	}
	if run(1) != run(1) || run(1) == run(2) {
		t.Error("the draws do not follow the seed")
	}
}

func TestNothingToDraw(t *testing.T) {
	var b dag.Builder
	b.Output("y", b.Affine("fc", b.Input("x", 2), 1, []float64{1, 2}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := study.Run(context.Background(), n, analysis.Options{}, study.Options{}); err == nil {
		t.Error("no error for a network without hidden units")
	}
}
