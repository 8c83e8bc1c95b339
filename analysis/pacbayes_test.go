package analysis_test

import (
	"math"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// perceptron is a network of three layers from a generator, with examples that it mostly
// classifies as labelled.
func perceptron(t *testing.T, seed uint64) (n *dag.Network, w [][]float64, data *analysis.Labelled) {
	t.Helper()
	g := generator(seed)
	w = [][]float64{g.values(5 * 8), g.values(8 * 6), g.values(6 * 3)}
	n = mlp(t, 5, w, [][]float64{g.values(8), g.values(6), g.values(3)})
	x := g.values(57 * 5)
	labels := predict(t, n, x, 57)
	labels[3], labels[20] = (labels[3]+1)%3, (labels[20]+2)%3
	return n, w, &analysis.Labelled{Inputs: [][]float64{x}, Batch: 57, Labels: labels}
}

// The bounds are their formulas, summed weight by weight, at the noise that the flatness
// measures find.
func TestPacBayesBounds(t *testing.T) {
	const eps = 1e-3
	n, w, data := perceptron(t, 1)
	ref, w0, _ := perceptron(t, 2)
	for _, published := range []bool{false, true} {
		r := measure(t, n, analysis.Options{
			Names: []string{
				"pac_bayes_flatness", "pac_bayes_magnitude_flatness", "pac_bayes_init", "pac_bayes_orig",
				"pac_bayes_mag_init", "pac_bayes_mag_orig",
			}, Reference: ref, Data: data, Published: published, FlatnessError: 10,
		})
		value := func(name string) float64 { return find(t, r.Measures, name).Value.Float64() }
		sigma, mag := 1/math.Sqrt(value("pac_bayes_flatness")), 1/math.Sqrt(value("pac_bayes_magnitude_flatness"))
		var from, whole, omega float64
		for l := range w {
			for i, x := range w[l] {
				from += (x - w0[l][i]) * (x - w0[l][i])
				whole += x * x
				omega++
			}
		}
		for name, square := range map[string]float64{"init": from, "orig": whole} {
			want := square/(4*sigma*sigma) + math.Log(57/sigma) + 10
			if got := value("pac_bayes_" + name); math.Abs(got-want) > 1e-9*want {
				t.Errorf("published %v: pac_bayes_%s = %v, want %v", published, name, got, want)
			}
			want = math.Log(57/mag) + 10
			for l := range w {
				for i, x := range w[l] {
					d := x - w0[l][i]
					want += 0.25 * math.Log((eps*eps+(mag*mag+1)*square/omega)/(eps*eps+mag*mag*d*d))
				}
			}
			if got := value("pac_bayes_mag_" + name); math.Abs(got-want) > 1e-9*want {
				t.Errorf("published %v: pac_bayes_mag_%s = %v, want %v", published, name, got, want)
			}
		}
		if m := find(t, r.Measures, "pac_bayes_magnitude_flatness"); m.Invariant == published {
			t.Errorf("published %v: invariant %v", published, m.Invariant)
		}
	}
}

// The published margin is the k-th smallest, k = m // 10, without its sign.
func TestPublishedMargin(t *testing.T) {
	n, _, data := perceptron(t, 3)
	y, err := eval.Run(t.Context(), n, data.Inputs, data.Batch, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var margins []float64
	for i, label := range data.Labels {
		best := math.Inf(-1)
		for c, v := range y[0][3*i : 3*i+3] {
			if c != label {
				best = max(best, v)
			}
		}
		margins = append(margins, y[0][3*i+label]-best)
	}
	slices.Sort(margins)
	m := find(t, measure(t, n, analysis.Options{Names: []string{"margin"}, Data: data, Published: true}).Measures, "margin")
	if got := m.Value.Float64(); got != math.Abs(margins[5-1]) || m.Percentile != 10 {
		t.Errorf("margin %v of percentile %v, want %v", got, m.Percentile, math.Abs(margins[5-1]))
	}
}
