package analysis_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

func mlp(t testing.TB, in int, weights, bias [][]float64) *dag.Network {
	t.Helper()
	var b dag.Builder
	at := b.Input("x", in)
	for l, w := range weights {
		if l > 0 {
			at = b.Activation(fmt.Sprintf("relu%d", l), at, 0)
		}
		var v []float64
		if bias != nil {
			v = bias[l]
		}
		at = b.Affine(fmt.Sprintf("fc%d", l+1), at, len(w)/in, w, v)
		in = len(w) / in
	}
	b.Output("y", at)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func measure(t testing.TB, n *dag.Network, opt analysis.Options) *analysis.Report {
	t.Helper()
	r, err := analysis.Measures(context.Background(), n, opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find returns the entry of a measure with P, Q and Output as given.
func find(t testing.TB, ms []analysis.Measure, name string, more ...string) analysis.Measure {
	t.Helper()
	for _, m := range ms {
		have := append([]string{m.P, m.Q, m.Output}, "")
		ok := m.Name == name
		for i, s := range more {
			ok = ok && have[i] == s
		}
		if ok {
			return m
		}
	}
	t.Fatalf("no measure %s%v", name, more)
	return analysis.Measure{}
}

// The two-layer network of the papers: multiplying unit 1's incoming weights by
// 10 and dividing its outgoing ones makes mu_{1,inf} ten times larger; function
// and path norms stay.
func TestToy(t *testing.T) {
	a := mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1, 1, 2}}, nil)
	g := a.Groups()
	c := g.Ones()
	c[g.Rows[1][0]] = 10
	b, err := a.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range []struct {
		name string
		arg  []string
		a, b float64
	}{
		{"path_norm", []string{"1"}, 29, 29},
		{"path_norm_max_output", []string{"1"}, 17, 17},
		{"path_norm_output", []string{"1", "", "y[0]"}, 12, 12},
		{"path_norm_output", []string{"1", "", "y[1]"}, 17, 17},
		{"path_norm", []string{"inf"}, 8, 8},
		{"path_2", nil, 159, 159},
		{"group_norm", []string{"1", "inf"}, 7, 70},
		{"product_group_norm", []string{"1", "inf"}, 21, 147},
		{"max_abs", nil, 6, 60},
		{"zero_share", nil, 0, 0},
		{"parameter_count", nil, 8, 8},
	} {
		for i, n := range []*dag.Network{a, b} {
			got := find(t, measure(t, n, analysis.Options{}).Measures, w.name, w.arg...)
			// Small integers, up to the rounding of 0.1.
			if want := []float64{w.a, w.b}[i]; math.Abs(got.Value.Float64()-want) > 1e-14*want {
				t.Errorf("net %d, %s%v: %v, want %v", i, w.name, w.arg, got.Value, want)
			}
		}
	}
	r := measure(t, a, analysis.Options{})
	if r.Parameters != 8 || r.HiddenUnits != 2 || r.Depth != 2 || r.Paths.String() != "8" {
		t.Errorf("facts %d %d %d %s", r.Parameters, r.HiddenUnits, r.Depth, r.Paths)
	}
}

func TestPrintAll(t *testing.T) {
	a := mlp(t, 2, [][]float64{{6, 1, 1, 4}, {1, 1, 1, 2}}, [][]float64{{1, 2}, {3, 4}})
	r := measure(t, a, analysis.Options{Names: []string{"all"}, Reference: a, Data: &analysis.Labelled{
		Inputs: [][]float64{{1, 0, 0, 1, -1, 3}}, Batch: 3, Labels: []int{1, 1, 1}}})
	for _, m := range r.Measures {
		fmt.Println(m.Name, m.P, m.Q, m.Output, m.Bias, m.Percentile, m.Value, m.Defined, m.Symbols)
	}
	for _, l := range r.Layers {
		fmt.Println(l)
	}
	fmt.Println(r.Warnings)
}
