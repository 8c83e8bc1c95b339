package testmodels_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/testmodels"
)

// Tolerances on the natural logarithm of a measure. Both sides add up the same
// weights, at most 26,506 of them, in float64 and in long double: rounding
// stays below 1e-11. Singular values come from iterations, certified to 1e-9.
const (
	sumTolerance      = 1e-10
	spectralTolerance = 1e-8
)

// TestMeasures compares every measure that scripts/measures.py computes.
func TestMeasures(t *testing.T) {
	inf := math.Inf(1)
	for _, name := range testmodels.Names() {
		for _, policy := range []analysis.Bias{analysis.IncludeBias, analysis.ExcludeBias} {
			t.Run(fmt.Sprintf("%s/%v", name, policy), func(t *testing.T) {
				want := testmodels.ExpectedOf(name)
				got, err := analysis.Measures(context.Background(), open(t, name).Net, analysis.Options{
					P:      []float64{1, 2, 16, inf},
					Groups: []analysis.PQ{{P: 1, Q: inf}, {P: 2, Q: 2}, {P: 1, Q: 1}, {P: 2, Q: inf}, {P: 3, Q: 1.5}},
					Names:  []string{"all"},
					Bias:   policy,
				})
				if err != nil {
					t.Fatal(err)
				}
				c := &comparison{t}
				key := "include"
				if policy == analysis.ExcludeBias {
					key = "exclude"
				}
				c.counts(got, want, want.Policies[key].Paths)
				c.network(got.Measures, want.Network)
				c.policy(got, want.Policies[key])
				for pq, norm := range want.Policies["exclude"].GroupNorms {
					// Products over layers are of the matrices alone, whatever the policy.
					c.log10(got.Measures, "product_group_norm "+strings.Replace(pq, ",", " ", 1), norm.ProductLog10, sumTolerance)
				}
				for i, l := range want.Layers {
					c.layer(&got.Layers[i], &l)
				}
			})
		}
	}
}

type comparison struct{ t *testing.T }

func (c *comparison) counts(got *analysis.Report, want *testmodels.Expected, paths string) {
	c.t.Helper()
	type counts struct {
		Parameters, HiddenUnits, Depth, Layers int
		Paths                                  string
	}
	w := counts{int(want.Parameters), int(want.HiddenUnits), want.Depth, len(want.Layers), paths}
	g := counts{got.Parameters, got.HiddenUnits, got.Depth, len(got.Layers), got.Paths.String()}
	if diff := cmp.Diff(w, g); diff != "" {
		c.t.Fatalf("(-want +got)\n%s", diff)
	}
}

func (c *comparison) network(got []analysis.Measure, want testmodels.Network) {
	c.t.Helper()
	c.value(got, "frobenius", want.Frobenius, sumTolerance)
	c.value(got, "max_abs", want.MaxAbs, 0)
	c.value(got, "zero_share", want.ZeroShare, 0)
	c.log10(got, "product_frobenius", want.Products["frobenius"].Log10, sumTolerance)
	c.log10(got, "product_spectral", want.Products["spectral"].Log10, spectralTolerance)
}

func (c *comparison) policy(got *analysis.Report, want testmodels.Policy) {
	c.t.Helper()
	for p, norm := range want.PathNorms {
		c.log10(got.Measures, "path_norm "+p, norm.Log10, sumTolerance)
		outputs := 0
		for _, m := range got.Measures {
			if m.Name == "path_norm_output" && m.P == p {
				c.near("path_norm_output "+p+" "+m.Output, &m, norm.OutputsLog10[outputs], sumTolerance)
				outputs++
			}
		}
		if outputs != len(norm.OutputsLog10) {
			c.t.Errorf("path norm %s of %d outputs, want %d", p, outputs, len(norm.OutputsLog10))
		}
	}
	for pq, norm := range want.GroupNorms {
		key := strings.Replace(pq, ",", " ", 1)
		c.log10(got.Measures, "group_norm "+key, norm.Log10, sumTolerance)
		for i, v := range norm.Layers {
			c.value(got.Layers[i].Measures, "group_norm "+key, v, sumTolerance)
		}
	}
}

func (c *comparison) layer(got *analysis.Layer, want *testmodels.Layer) {
	c.t.Helper()
	if got.Inputs < 1 || got.Outputs != want.Rows {
		c.t.Errorf("layer %s: %d x %d, want %d x %d", want.Name, got.Outputs, got.Inputs, want.Rows, want.Cols)
	}
	c.value(got.Measures, "frobenius", want.Frobenius, sumTolerance)
	c.value(got.Measures, "spectral", want.Spectral, spectralTolerance)
	c.value(got.Measures, "nuclear", want.Nuclear, spectralTolerance)
	c.value(got.Measures, "stable_rank", want.StableRank, spectralTolerance)
	c.value(got.Measures, "max_abs", want.MaxAbs, 0)
	c.value(got.Measures, "zero_share", want.ZeroShare, 0)
}

// value looks for an entry such as "group_norm 1 inf" and compares its value.
func (c *comparison) value(in []analysis.Measure, key string, want, tol float64) {
	c.t.Helper()
	if want == 0 {
		c.log10(in, key, nil, tol)
		return
	}
	log := math.Log10(want)
	c.log10(in, key, &log, tol)
}

func (c *comparison) log10(in []analysis.Measure, key string, want *float64, tol float64) {
	c.t.Helper()
	for i := range in {
		if m := &in[i]; key == strings.TrimSpace(m.Name+" "+strings.TrimSpace(m.P+" "+m.Q)) && m.Output == "" {
			c.near(key, m, want, tol)
			return
		}
	}
	c.t.Errorf("%s is not reported", key)
}

func (c *comparison) near(key string, m *analysis.Measure, want *float64, tol float64) {
	c.t.Helper()
	switch {
	case !m.Defined:
		c.t.Errorf("%s is undefined", key)
	case want == nil:
		if !m.Value.IsZero() {
			c.t.Errorf("%s = %v, want 0", key, m.Value)
		}
	// log10 itself rounds to some 1e-16 of its value.
	case !(math.Abs(m.Value.Log10()-*want)*math.Ln10 <= tol+1e-14):
		c.t.Errorf("%s = %v, log10 %v, want log10 %v", key, m.Value, m.Value.Log10(), *want)
	}
}
