package dataset_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/finetune/dataset"
)

func ExampleLoad() {
	spec, err := dataset.Parse("npz:testdata/fortran.npz,limit=3,mean=100,std=10")
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := dataset.Load(context.Background(), spec, dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	order := set.Order(1, 0)[:2]
	x := make([]float32, len(order)*set.Size())
	set.Batch32(x, order)
	fmt.Println(set.Name(), set.Len(), set.Shape(), set.Classes())
	for k, i := range order {
		fmt.Println(set.Labels()[i], x[k*set.Size():(k+1)*set.Size()])
	}
	// Output:
	// npz fortran.npz 3 [2 3] 3
	// 2 [10 10.1 10.2 11 11.1 11.2]
	// 0 [-10 -9.9 -9.8 -9 -8.9 -8.8]
}

// A file that lacks a class is numbered by the list of all classes.
func ExampleSet_WithClasses() {
	spec, err := dataset.Parse("csv:testdata/animals.csv")
	if err != nil {
		fmt.Println(err)
		return
	}
	set, err := dataset.Load(context.Background(), spec, dataset.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(set.ClassNames(), set.Labels())
	set, err = set.WithClasses([]string{"ant", "bee", "cat"})
	fmt.Println(set.ClassNames(), set.Labels(), err)
	// Output:
	// [bee cat] [1 0]
	// [ant bee cat] [2 1] <nil>
}
