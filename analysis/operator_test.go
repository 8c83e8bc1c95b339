package analysis_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// convolutionCase is one of testdata/operators.json, which operators.py makes with NumPy from
// the matrix written out.
type convolutionCase struct {
	Name                                        string
	In, Kernel, Stride, Dilation, Before, After []int
	Groups, Outer, Inner                        int
	Transposed                                  bool
	Seed                                        uint64
	Operator, Circular                          float64
}

// build makes the network of the one convolution, its weights times by and a factor of
// 1 / by behind it.
func (c *convolutionCase) build(t *testing.T, by float64) *dag.Network {
	t.Helper()
	g := generator(c.Seed)
	shape := append([]int{c.Groups * c.Outer, c.Inner}, c.Kernel...)
	w := g.values(dag.Size(shape))
	for i := range w {
		w[i] *= by
	}
	conv := &dag.Conv{
		W: dag.Use{Param: dag.NewParam64("w", shape, w)}, Groups: c.Groups, Transposed: c.Transposed,
		InChannels: c.Groups * c.Inner, OutChannels: c.Groups * c.Outer,
		Window: dag.Window{In: c.In, Kernel: c.Kernel, Stride: c.Stride, Dilation: c.Dilation, Before: c.Before, After: c.After},
	}
	if c.Transposed {
		conv.InChannels, conv.OutChannels = conv.OutChannels, conv.InChannels
	}
	back := make([]float64, conv.OutChannels)
	for i := range back {
		back[i] = 1 / by
	}
	l := &dag.Linear{Map: conv, Stages: []dag.Stage{{Mul: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("f", []int{len(back)}, back)}, Coef: 1}}}}
	var b dag.Builder
	at := b.Input("x", conv.In().Len())
	b.Output("y", b.Node(dag.Node{Name: "conv", In: []int{at}, Shape: []int{conv.Out().Len()}, Op: l}))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The spectral norm of a convolution on its grid is NumPy's of the matrix written out, and
// that of the periodic one is that of the transformed kernel and no smaller.
func TestOperatorsAgainstNumPy(t *testing.T) {
	data, err := os.ReadFile("testdata/operators.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []convolutionCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	apart := 0
	for _, c := range cases {
		for _, by := range []float64{1, 1e200, 1e-200} {
			r := measure(t, c.build(t, by), analysis.Options{Names: []string{"spectral", "spectral_operator", "spectral_circular", "product_spectral_operator"}, Threads: 2})
			ms := r.Layers[0].Measures
			got, circular := find(t, ms, "spectral_operator").Value.Float64(), find(t, ms, "spectral_circular").Value.Float64()
			// The iteration's bound is 1e-4. Two values nearer to each other than that are not told apart
			// ("large, grouped" has two 1.6e-5 apart); all others are far closer.
			if !(math.Abs(got/c.Operator-1) <= 1e-5) {
				t.Errorf("%s, weights of %g: operator %v, want %v", c.Name, by, got, c.Operator)
			}
			if !(math.Abs(circular/c.Circular-1) <= 1e-8) {
				t.Errorf("%s, weights of %g: circular %v, want %v", c.Name, by, circular, c.Circular)
			}
			if !(got <= circular*(1+1e-8)) {
				t.Errorf("%s: operator %v is above its bound %v", c.Name, got, circular)
			}
			if product := find(t, r.Measures, "product_spectral_operator").Value.Float64(); product != got {
				t.Errorf("%s: the product of one layer is %v, the layer has %v", c.Name, product, got)
			}
			if matrix := find(t, ms, "spectral").Value.Float64(); math.Abs(got/matrix-1) > 1e-3 {
				apart++
			}
		}
	}
	if apart == 0 {
		t.Error("no operator differs from its matrix")
	}
}
