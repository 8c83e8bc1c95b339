package finetune_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
)

// A fresh network learns the exclusive or by Path-SGD.
func Example() {
	ctx := context.Background()
	train, err := dataset.Load(ctx, dataset.Spec{Format: "csv", Paths: []string{"testdata/xor.csv"}}, dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	net, err := finetune.Fresh(ctx, []int{2, 16, 2}, finetune.FreshOptions{Seed: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	t, err := finetune.New(net, train, finetune.Options{Epochs: 200, Batch: 4, Test: train})
	if err != nil {
		fmt.Println(err)
		return
	}
	res, err := t.Run(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	last := res.Epochs[len(res.Epochs)-1]
	fmt.Printf("%s of %q: error %.0f %%, then %.0f %% after %d epochs\n",
		res.Loss, train.ClassNames(), 100**res.Initial.TestError, 100**last.TestError, last.Epoch)
	// Output:
	// softmax of ["off" "on"]: error 25 %, then 0 % after 200 epochs
}

// An output or a layer can be named; a name that is unknown is an error.
func ExampleScores() {
	ctx := context.Background()
	train, err := dataset.Load(ctx, dataset.Spec{Format: "csv", Paths: []string{"testdata/xor.csv"}}, dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	net, err := finetune.Fresh(ctx, []int{2, 16, 2}, finetune.FreshOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	node, err := finetune.Scores(net, train, "output")
	fmt.Println(net.Nodes[node].Ref(), err)
	_, err = finetune.Scores(net, train, "fc3")
	fmt.Println(err)
	// Output:
	// fc2 <nil>
	// finetune: there is no output or layer "fc3": the network ends in "fc2" (Gemm)
}
