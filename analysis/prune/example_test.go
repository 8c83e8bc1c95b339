package prune_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/prune"
)

// Half of the weights go. By paths those of the weaker path do, through the second hidden unit.
// By magnitude the largest weights stay, of different paths, and no path is left.
func ExampleRun() {
	var b dag.Builder
	x := b.Input("x", 1)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{1, 4}, nil), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{5, 0.5}, nil))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, by := range prune.Scores() {
		r, err := prune.Run(net, prune.Options{Sparsity: 0.5, By: by})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("by %s: path norm %v -> %v\n", by, r.Before.Float64(), r.After.Float64())
		for _, p := range r.Net.Params() {
			fmt.Println(p.Name, p.Values())
		}
	}
	// Output:
	// by path: path norm 7 -> 5
	// fc1.weight [1 0]
	// fc2.weight [5 0]
	// by magnitude: path norm 7 -> 0
	// fc1.weight [0 4]
	// fc2.weight [5 0]
}

// The unit without outgoing weights goes, and so does the one that no input reaches: what it
// adds is a constant, which the bias behind it takes.
func ExampleFindDead() {
	var b dag.Builder
	x := b.Input("x", 1)
	h := b.Activation("relu", b.Affine("fc1", x, 3, []float64{1, 2, 0}, []float64{0, 0, 5}), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{1, 0, 2}, []float64{1}))
	net, err := b.Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	d, err := prune.FindDead(context.Background(), net)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Units(), "units go")
	for _, p := range d.Net().Params() {
		fmt.Println(p.Name, p.Values())
	}
	// Output:
	// 2 units go
	// fc1.weight [1 2 0]
	// fc1.bias [0 0 5]
	// fc2.weight [1 0 2]
	// fc2.bias [11]
}
