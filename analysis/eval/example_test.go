package eval_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// The output and the hidden units for a batch of two samples.
func ExampleRun() {
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{1, -1, 0, 2}, []float64{0, 1}), 0)
	y := b.Affine("fc2", h, 1, []float64{10, 1}, nil)
	b.Output("y", y)
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	batch := []float64{
		3, 1,
		1, 3,
	}
	v, err := eval.Run(context.Background(), net, [][]float64{batch}, 2, eval.Options{Values: []int{h, y}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("hidden units:", v[0])
	fmt.Println("outputs:", v[1])
	// Output:
	// hidden units: [2 3 0 7]
	// outputs: [23 7]
}
