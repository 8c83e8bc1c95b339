package analysis_test

import (
	"math"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// normalised is a network of one hidden layer with BatchNormalization behind it, whose
// running variance is given.
func normalised(t *testing.T, scale, variance float64) *dag.Network {
	t.Helper()
	use := func(v ...float64) dag.Use { return dag.Use{Param: dag.NewParam64("p", []int{len(v)}, v)} }
	var b dag.Builder
	at := b.Node(dag.Node{Name: "fc", In: []int{b.Input("x", 2)}, Shape: []int{2}, Op: &dag.Linear{
		Map:    &dag.Dense{W: dag.Use{Param: dag.NewParam64("w", []int{2, 2}, []float64{scale, -2, 3, 4})}, Rows: 2, Cols: 2},
		Stages: []dag.Stage{{Norm: &dag.BatchNorm{Gamma: use(1, 2), Beta: use(1, -1), Mean: use(0, 0), Var: use(variance, 1)}}},
	}})
	b.Output("y", b.Affine("out", b.Activation("relu", at, 0), 1, []float64{1, -1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Networks whose normalisers differ are compared with them folded in. By hand: the first
// hidden unit has the incoming weights (1, -2)/s and the bias 1; the second is the same.
func TestPathMetricFoldsNormalisers(t *testing.T) {
	got, err := analysis.PathMetric(normalised(t, 1, 1), normalised(t, 1, 4), 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := (1 + 2) * 0.5; math.Abs(got.Float64()-want) > 1e-12 {
		t.Errorf("metric %v, want %v", got, want)
	}
	if _, err := analysis.PathMetric(normalised(t, 1, 1), mlp(t, 2, [][]float64{{1, 2}}, nil), 1); err == nil {
		t.Error("no error for networks of another architecture")
	}
}
