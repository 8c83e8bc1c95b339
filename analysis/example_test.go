package analysis_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
)

// The measures of a network by name.
func ExampleMeasures() {
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{3, 4, 0, 1}, nil), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{1, 10}, nil))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := analysis.Measures(context.Background(), net, analysis.Options{
		Names: []string{"path_norm", "product_frobenius"}, P: []float64{1, 2},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range r.Measures {
		fmt.Printf("%s(%s) = %.4g, invariant: %v\n", m.Name, m.P, m.Value.Float64(), m.Invariant)
	}
	// Output:
	// path_norm(1) = 17, invariant: true
	// path_norm(2) = 11.18, invariant: true
	// product_frobenius() = 51.24, invariant: false
}
