package dag_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// A network of two hidden units, and an equivalent one: the first unit's incoming
// weights doubled, its outgoing weight halved.
func Example() {
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{3, 4, 0, 1}, nil), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{1, 10}, []float64{5}))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	groups := net.Groups()
	factors := groups.Ones()
	factors[groups.Rows[1][0]] = 2 // node 1 is fc1
	rescaled, err := net.Rescale(groups, factors)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range []*dag.Network{net, rescaled} {
		y, err := eval.Run(context.Background(), n, [][]float64{{1, 1}}, 1, eval.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, p := range n.Params() {
			fmt.Println(p.Name, p.Values())
		}
		fmt.Println("y =", y[0][0])
	}
	// Output:
	// fc1.weight [3 4 0 1]
	// fc2.weight [1 10]
	// fc2.bias [5]
	// y = 22
	// fc1.weight [6 8 0 1]
	// fc2.weight [0.5 10]
	// fc2.bias [5]
	// y = 22
}
