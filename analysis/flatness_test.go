package analysis_test

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

func TestFlatness(t *testing.T) {
	const units = 600
	// Every class pair is an example of its own: the noise on each is
	// independent.
	w := make([]float64, 2*units)
	x := make([]float64, units*units)
	labels := make([]int, units)
	for i := range units {
		x[i*units+i] = 1
		w[i] = 1 // the row of class 0
	}
	n := mlp(t, units, [][]float64{w}, nil)
	r := measure(t, n, analysis.Options{
		Names: []string{"pac_bayes_flatness", "pac_bayes_magnitude_flatness"},
		Data:  &analysis.Labelled{Inputs: [][]float64{x}, Batch: units, Labels: labels},
	})
	// Margins are 1 + sigma (z - z'), of deviation sqrt 2 sigma, and of deviation
	// sigma where only the weight 1 is moved. At least 3,000 draws of single examples give e to 0.006,
	// sigma to about 3 %.
	for k, want := range []float64{1 / (1.2816 * math.Sqrt2), 1 / 1.2816} {
		// What is independent in each draw of 600 examples makes one draw do.
		if se, x := r.Measures[k].StandardError.Float64(), r.Measures[k].Value.Float64(); !(se > 0 && se <= 0.1*x) {
			t.Errorf("%s = %v with a standard error of %v", r.Measures[k].Name, x, se)
		}
		sigma := 1 / math.Sqrt(r.Measures[k].Value.Float64())
		if !(math.Abs(sigma-want) <= 0.1*want) {
			t.Errorf("%s: sigma %v, want %v", r.Measures[k].Name, sigma, want)
		}
	}
}

// The examples are of two kinds: what a draw of noise does to those of the first it
// does to all of them, those of the second are mistaken with and without it. The size
// of the noise, and the standard error that is stated, are those of the normal
// distribution, and few evaluations find them.
func TestFlatnessIsCheap(t *testing.T) {
	for _, c := range []struct {
		name     string
		examples int
		mistaken int // one in so many
	}{
		{"one example", 1, 0},
		{"many examples", 50_000, 0},
		{"every tenth mistaken", 50_000, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := 0
			data := &analysis.Labelled{Batch: c.examples, Labels: make([]int, c.examples), Read: func(lo, hi int) [][]float64 {
				read += hi - lo
				x := make([]float64, 2*(hi-lo))
				for i := range hi - lo {
					kind := 0
					if c.mistaken > 0 && (lo+i)%c.mistaken == 0 {
						kind = 1
					}
					x[2*i+kind] = 1
				}
				return [][]float64{x}
			}}
			// Margins of the first kind are 1 + sigma (z - z'), those of the second -1e6.
			n := mlp(t, 2, [][]float64{{1, 0, 0, 1e6}}, nil)
			m := measure(t, n, analysis.Options{Names: []string{"pac_bayes_flatness"}, Data: data}).Measures[0]
			draws := 0.0
			for _, s := range m.Symbols {
				if s.Name == "draws" {
					draws = s.Value.Float64()
				}
			}
			// 200 draws leave a standard error of a fifth of the value.
			if se := m.StandardError.Float64() / m.Value.Float64(); draws <= 200 || se > 0.1 {
				t.Errorf("a standard error of %v after %v draws", se, draws)
			}
			e := 0.1 // of the first kind
			if c.mistaken > 0 {
				e /= 1 - 1/float64(c.mistaken)
			}
			z := distuv.UnitNormal.Quantile(1 - e)
			want := 1 / (math.Sqrt2 * z)
			// The scatter of the error over the draws by its slope in ln sigma, which goes
			// into the value with the power 2: known to a half from as many draws.
			spread := math.Sqrt(e*(1-e)/draws) / (z * distuv.UnitNormal.Prob(z))
			se := m.StandardError.Float64() / m.Value.Float64() / 2
			if !(se > spread/2 && se < 2*spread) {
				t.Errorf("the standard error of ln sigma is %v, want %v", se, spread)
			}
			// Three standard errors.
			if sigma := 1 / math.Sqrt(m.Value.Float64()); !(math.Abs(math.Log(sigma/want)) < 3*spread) {
				t.Errorf("sigma %v, want %v", sigma, want)
			}
			// A bisection of all draws to 1 % and the bracket before it take over 10 of each.
			if evaluations := (read - c.examples) / min(c.examples, 1000); float64(evaluations) > 6.5*draws {
				t.Errorf("%d evaluations for %v draws", evaluations, draws)
			}
		})
	}
}

// A BatchNormalization of the inputs is a layer, and stays one under noise.
func TestFlatnessBehindNormalizedInputs(t *testing.T) {
	use := func(x ...float64) dag.Use { return dag.Use{Param: dag.NewParam64("norm", []int{len(x)}, x)} }
	var b dag.Builder
	norm := b.Node(dag.Node{
		Name: "norm", Source: "BatchNormalization", In: []int{b.Input("x", 2)}, Shape: []int{2},
		Op: &dag.Linear{Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}}, Stages: []dag.Stage{{
			Norm: &dag.BatchNorm{Gamma: use(1, 2), Beta: use(0, 1), Mean: use(1, 0), Var: use(1, 4)},
		}}},
	})
	b.Output("y", b.Affine("fc", norm, 2, []float64{1, 0, 0, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := measure(t, n, analysis.Options{
		Names: []string{"pac_bayes_flatness"}, FlatnessError: 10,
		Data: &analysis.Labelled{Inputs: [][]float64{{9, 0, 0, 8}}, Batch: 2, Labels: []int{0, 1}},
	})
	if m := r.Measures[0]; !m.Defined || m.Value.IsZero() {
		t.Errorf("%s = %v", m.Name, m.Value)
	}
}

// Noise takes no number out of float64: a slope that is infinite is none.
func TestFlatnessOfTheLargestSlopes(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	slope := dag.NewParam64("slope", []int{2}, []float64{math.MaxFloat64, -math.MaxFloat64})
	a := b.Node(dag.Node{
		Name: "act", Op: &dag.Activation{Param: &dag.Use{Param: slope}, Slope: slope.Values()}, In: []int{b.Affine("fc", x, 2, []float64{1, 0, 0, 1}, nil)},
		Shape: []int{2},
	})
	b.Output("y", a)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := measure(t, n, analysis.Options{
		Names: []string{"pac_bayes_flatness", "pac_bayes_magnitude_flatness"},
		Data:  &analysis.Labelled{Inputs: [][]float64{{1, 0, 0, 1, -1, 2}}, Batch: 3, Labels: []int{0, 1, 0}},
	})
	for _, m := range r.Measures {
		if math.IsNaN(m.Value.Float64()) {
			t.Errorf("%s is not a number", m.Name)
		}
	}
}
