package study_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/study"
)

// Over networks that compute one function the path norm stays and a product of norms does not.
func ExampleRun() {
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{3, 4, 0, 1}, nil), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{1, 10}, nil))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	what := analysis.Options{Names: []string{"path_norm", "product_frobenius"}, P: []float64{2}}
	r, err := study.Run(context.Background(), net, what, study.Options{N: 20, Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, row := range r.Rows {
		fmt.Printf("%s moves by more than a tenth of a decade: %v\n", row.Measure.Label(), row.Decades > 0.1)
	}
	// Output:
	// path_norm(2) moves by more than a tenth of a decade: false
	// product_frobenius moves by more than a tenth of a decade: true
}
