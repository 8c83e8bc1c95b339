package experiment_test

import (
	"context"
	"fmt"
	"os"

	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/experiment"
)

// Losses of ten steps of Path-SGD and of SGD from rescaling equivalent networks of the exclusive or.
func ExampleInvariance() {
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	train, err := dataset.Load(ctx, dataset.Spec{Format: "csv", Paths: []string{"../testdata/xor.csv"}}, dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	lab := &experiment.Lab{Dir: dir, Train: train}
	r, err := experiment.Invariance(ctx, lab, experiment.InvarianceOptions{
		Width: 8, Steps: 10, Seeds: 1, Batch: 4, Methods: []finetune.Optimizer{finetune.PathSGD, finetune.SGD},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range r.Claims {
		fmt.Printf("%s: %s\n", c.Verdict, c.Text)
	}
	// Output:
	// holds: Path-SGD is invariant: equivalent starts have one trajectory.
	// holds: SGD is not invariant.
	// holds: Gradient descent blows up the small weight of an unbalanced network.
	// holds: A step of Path-SGD has the same effect however the network is scaled.
}
