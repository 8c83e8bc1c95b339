package testmodels_test

import (
	"context"
	"fmt"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

func ExampleBytes() {
	m, err := onnxio.Decode(testmodels.Bytes("toy"), onnxio.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	y, err := eval.Run(context.Background(), m.Net, [][]float64{{1, 2}}, 1, eval.Options{})
	fmt.Println(y, err)
	// Output: [[17 26]] <nil>
}
