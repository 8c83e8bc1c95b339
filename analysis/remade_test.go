package analysis

import (
	"context"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// Without noise, a network that noise is put on has the function of its own.
func TestRemadeKeepsTheFunction(t *testing.T) {
	var b dag.Builder
	h := b.Affine("fc", b.Input("x", 1), 3, []float64{1, 1, 1}, nil)
	h = b.Activation("relu", h, 0)
	steps := dag.NewParam64("steps", []int{3}, []float64{1, 10, 100})
	steps.Made = true
	h = b.Node(dag.Node{Name: "scaled", Source: "Mul", In: []int{h}, Shape: []int{3}, Op: &dag.Linear{
		Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 3, Inner: 1}}, Stages: []dag.Stage{{Mul: &dag.Vector{Use: dag.Use{Param: steps}, Coef: 1}}},
	}})
	b.Output("y", b.Affine("out", h, 1, []float64{1, 1, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := &run{net: normal(n)}
	again := r.remade(func(_ int, name string, x []float64) *dag.Param { return dag.NewParam64(name, []int{len(x)}, x) })
	var got [][][]float64
	for _, net := range []*dag.Network{n, again} {
		if err := net.Validate(); err != nil {
			t.Fatal(err)
		}
		out, err := eval.Run(context.Background(), net, [][]float64{{1}}, 1, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out)
	}
	if !slices.Equal(got[0][0], got[1][0]) {
		t.Errorf("%v, want %v", got[1][0], got[0][0])
	}
}

// What is made of shapes is no parameter: a bias neither, nor a matrix, which is no layer.
func TestEffectiveLeavesOutWhatIsMade(t *testing.T) {
	var b dag.Builder
	h := b.Affine("fc", b.Input("x", 1), 3, []float64{1, 1, 1}, nil)
	places := dag.NewParam64("places", []int{3}, []float64{1, 10, 100})
	places.Made = true
	h = b.Node(dag.Node{Name: "placed", Source: "Add", In: []int{b.Activation("relu", h, 0)}, Shape: []int{3}, Op: &dag.Linear{
		Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 3, Inner: 1}}, Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: places}, Coef: 1}}},
	}})
	sums := dag.NewParam64("sums", []int{3, 3}, []float64{1, 0, 0, 1, 1, 0, 1, 1, 1})
	sums.Made = true
	h = b.Node(dag.Node{Name: "summed", Source: "MatMul", In: []int{h}, Shape: []int{3}, Op: &dag.Linear{
		Map: &dag.Dense{W: dag.Use{Param: sums}, Rows: 3, Cols: 3},
	}})
	b.Output("y", b.Affine("out", h, 1, []float64{1, 1, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if n := normal(n); effective(n) != 6 || Parameters(n) != 6 || len(measured(n)) != 2 || depth(n) != 2 {
		t.Errorf("%d effective numbers and %d parameters in %d layers, %d deep, want 6 in 2", effective(n), Parameters(n), len(measured(n)), depth(n))
	}
	noisy := 0
	r := &run{net: normal(n)}
	r.remade(func(_ int, name string, x []float64) *dag.Param {
		noisy += len(x)
		return dag.NewParam64(name, []int{len(x)}, x)
	})
	if noisy != 6 {
		t.Errorf("noise on %d numbers, want 6", noisy)
	}
}
