package rescale_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

// A chain of the weights 8 and 2 is balanced by the factor 1/2: then both are 4.
func ExampleRun() {
	var b dag.Builder
	x := b.Input("x", 1)
	h := b.Activation("relu", b.Affine("fc1", x, 1, []float64{8}, nil), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{2}, nil))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := rescale.Run(context.Background(), rescale.EqualNorm, net, rescale.Options{Exact: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	balanced, err := net.Rescale(r.Groups, r.Factors)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("sum of squares: %.4g -> %.4g\n", r.Objective.Before.Float64(), r.Objective.After.Float64())
	for _, p := range balanced.Params() {
		fmt.Println(p.Name, p.Values())
	}
	// Output:
	// sum of squares: 68 -> 32
	// fc1.weight [4]
	// fc2.weight [4]
}
