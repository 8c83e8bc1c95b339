package analysis_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// recorded is one network of testdata/measures.json, made by measures.py with
// NumPy.
type recorded struct {
	Name, Kind    string
	Widths        []int
	Channels      []int
	Side, Classes int
	Bias          bool
	Slope         float64
	Seed          uint64
	ReferenceSeed uint64 `json:"reference_seed"`
	DataSeed      uint64 `json:"data_seed"`
	Examples      int
	Labels        []int
	Cases         []recordedCase
}

type recordedCase struct {
	Bias       string
	Percentile float64
	Paths      string
	Measures   map[string]float64
	Layers     []map[string]float64
}

// generator repeats measures.py's.
type generator uint64

func (g *generator) values(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		*g = *g*6364136223846793005 + 1442695040888963407
		out[i] = float64(*g>>11)/(1<<52) - 1
	}
	return out
}

// build makes the network; transposed stores dense weights in x out.
func (c *recorded) build(t testing.TB, seed uint64, transposed bool) *dag.Network {
	t.Helper()
	g := generator(seed)
	var b dag.Builder
	bias := func(name string, n int) []dag.Stage {
		if !c.Bias {
			return nil
		}
		return []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam64(name, []int{n}, g.values(n))}, Coef: 1}}}
	}
	dense := func(at, out, in int) int {
		w := g.values(out * in)
		m := &dag.Dense{Rows: out, Cols: in, InOut: transposed}
		shape := []int{out, in}
		if transposed {
			v := make([]float64, len(w))
			for i := range out {
				for j := range in {
					v[j*out+i] = w[i*in+j]
				}
			}
			w, shape = v, []int{in, out}
		}
		m.W = dag.Use{Param: dag.NewParam64("w", shape, w)}
		return b.Node(dag.Node{
			Name: "fc", Source: "Gemm", In: []int{at}, Shape: []int{out},
			Op: &dag.Linear{Map: m, Stages: bias("b", out)},
		})
	}
	var at int
	if c.Kind == "mlp" {
		at = b.Input("x", c.Widths[0])
		for l := 1; l < len(c.Widths); l++ {
			if l > 1 {
				at = b.Activation("act", at, c.Slope)
			}
			at = dense(at, c.Widths[l], c.Widths[l-1])
		}
	} else {
		s := c.Side
		at = b.Input("x", c.Channels[0], s, s)
		for l := 1; l < len(c.Channels); l++ {
			ci, co := c.Channels[l-1], c.Channels[l]
			conv := &dag.Conv{
				InChannels: ci, OutChannels: co, Groups: 1,
				W: dag.Use{Param: dag.NewParam64("k", []int{co, ci, 3, 3}, g.values(co*ci*9))},
				Window: dag.Window{
					In: []int{s, s}, Kernel: []int{3, 3}, Stride: []int{1, 1}, Dilation: []int{1, 1},
					Before: []int{1, 1}, After: []int{1, 1},
				},
			}
			at = b.Activation("act", b.Node(dag.Node{
				Name: "conv", Source: "Conv", In: []int{at}, Shape: []int{co, s, s},
				Op: &dag.Linear{Map: conv, Stages: bias("b", co)},
			}), c.Slope)
		}
		n := c.Channels[len(c.Channels)-1] * s * s
		at = dense(b.Node(dag.Node{Name: "flat", Source: "Flatten", In: []int{at}, Shape: []int{n}, Op: &dag.Select{}}), c.Classes, n)
	}
	b.Output("y", at)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func key(m *analysis.Measure) string {
	parts := []string{m.Name}
	for _, s := range []string{m.P, m.Q, m.Output} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "|")
}

// everyName is "all", and what that leaves out.
func everyName() []string {
	names := []string{"all"}
	for _, i := range analysis.Registry() {
		if slices.ContainsFunc([]string{"_operator", "_circular", "schatten"}, func(s string) bool { return strings.Contains(i.Name, s) }) {
			names = append(names, i.Name)
		}
	}
	return names
}

// Every measure against NumPy, on multi-layer perceptrons and a convolutional
// network, in both memory layouts and both bias policies.
func TestAgainstNumPy(t *testing.T) {
	data, err := os.ReadFile("testdata/measures.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	inf := math.Inf(1)
	covered := map[string]bool{}
	for _, c := range all {
		for _, transposed := range []bool{false, true} {
			for _, want := range c.Cases {
				t.Run(fmt.Sprintf("%s/%s/transposed=%v", c.Name, want.Bias, transposed), func(t *testing.T) {
					n := c.build(t, c.Seed, transposed)
					size := n.Nodes[n.Inputs[0].Node].Len()
					g := generator(c.DataSeed)
					x := g.values(c.Examples * size)
					for i := range x {
						x[i] *= 2
					}
					opt := analysis.Options{
						P:         []float64{1, 1.5, 2, 3, inf},
						Groups:    []analysis.PQ{{P: 1, Q: inf}, {P: 2, Q: inf}, {P: 1, Q: 1}, {P: 2, Q: 1}, {P: 2, Q: 2}, {P: 3, Q: 1.5}, {P: inf, Q: inf}, {P: 1.5, Q: 3}},
						Names:     everyName(),
						Reference: c.build(t, c.ReferenceSeed, !transposed),
						Data:      &analysis.Labelled{Inputs: [][]float64{x}, Batch: c.Examples, Labels: c.Labels},
						Threads:   2, Percentile: want.Percentile, FlatnessError: 10, // not looked at
					}
					if want.Bias == "exclude" {
						opt.Bias = analysis.ExcludeBias
					}
					r := measure(t, n, opt)
					if r.Paths.String() != want.Paths {
						t.Errorf("%s paths, want %s", r.Paths, want.Paths)
					}
					compare(t, r.Measures, want.Measures, covered)
					for l := range r.Layers {
						compare(t, r.Layers[l].Measures, want.Layers[l], covered)
					}
				})
			}
		}
	}
	// The flatness measures depend on random draws: TestFlatness. Sharpness is sought by ascent:
	// TestSharpnessAgainstBruteForce. Tails are those of weightwatcher: TestTails.
	apart := strings.Fields("pac_bayes sharpness alpha log_alpha_norm log_spectral_norm mp esd")
	for _, i := range analysis.Registry() {
		if !covered[i.Name] && !slices.ContainsFunc(apart, func(t string) bool { return strings.HasPrefix(i.Name, t) }) {
			t.Errorf("%s is in no case", i.Name)
		}
	}
}

func compare(t *testing.T, got []analysis.Measure, want map[string]float64, covered map[string]bool) {
	t.Helper()
	seen := map[string]bool{}
	for i := range got {
		m := &got[i]
		w, ok := want[key(m)]
		if !ok {
			continue
		}
		covered[m.Name] = true
		seen[key(m)] = true
		if strings.HasPrefix(m.Name, "bound_path_g24") && m.Bias != "include" {
			t.Errorf("%s has biases and says %s", m.Name, m.Bias)
		}
		// Float64 sums of at most some thousand terms, in another order; iterated
		// singular values, whose bound is 1e-8, are as good where the largest
		// stands alone. That of convolutions is 1e-4, and what is left of it goes with the
		// square.
		tolerance := 1e-9
		if strings.Contains(m.Name, "_operator") {
			tolerance = 1e-7
		}
		if !(math.Abs(m.Value.Float64()-w) <= tolerance*math.Max(math.Abs(w), 1e-3)) || !m.Defined {
			t.Errorf("%s = %v, want %v", key(m), m.Value.Float64(), w)
		}
	}
	var missing []string
	for k := range want {
		if !seen[k] {
			missing = append(missing, k)
		}
	}
	slices.Sort(missing)
	if missing != nil {
		t.Errorf("not reported: %v", missing)
	}
}
