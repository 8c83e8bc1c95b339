package program_test

import (
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/program"
)

// TestMadeOfShapes: numbers that the graph makes of shapes keep their values in training.
func TestMadeOfShapes(t *testing.T) {
	made := dag.NewParam64("mean", []int{2, 2}, []float64{1, 0, 0.5, 0.5})
	made.Made = true
	var b dag.Builder
	h := b.Affine("fc", b.Input("x", 3), 2, make([]float64, 6), nil)
	b.Output("y", b.Node(dag.Node{Name: "made", Source: "MatMul", In: []int{h}, Shape: []int{2}, Op: &dag.Linear{
		Map: &dag.Dense{W: dag.Use{Param: made}, Rows: 2, Cols: 2},
	}}))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Compile[float64](net, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range p.Tensors {
		if x.Frozen != (x.Param == made) {
			t.Errorf("%q: frozen is %v", x.Param.Name, x.Frozen)
		}
	}
}
