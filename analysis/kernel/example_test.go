package kernel_test

import (
	"fmt"

	"github.com/relupath/relupath/analysis/kernel"
)

// The ranges depend on the arguments alone, so sums of parts have the same bits on any number
// of processors.
func ExampleParallel() {
	w := []float32{1, -2, 3, -4, 5, -6, 7, -8}
	parts := make([]float64, 2)
	kernel.Parallel(len(w), len(parts), 4, func(lo, hi int) {
		var row kernel.Row
		kernel.Add(&row, w[lo:hi])
		parts[lo/4] = row.Abs
	})
	fmt.Println(parts)
	// Output:
	// [10 26]
}
