package paths_test

import (
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
)

// The paths from x to y have the products 3, 4 and 10 of weights.
func ExampleForward() {
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{3, 4, 0, 1}, nil), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{1, 10}, nil))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	v := paths.Forward(net, []float64{1, 2}, paths.Options{})
	fmt.Printf("path norm, p = 1: %.4g\n", v.PathNorm(0).Float64())
	fmt.Printf("path norm, p = 2: %.4g\n", v.PathNorm(1).Float64())
	// Output:
	// path norm, p = 1: 17
	// path norm, p = 2: 11.18
}
