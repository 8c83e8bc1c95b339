package blas_test

import (
	"fmt"

	"github.com/relupath/relupath/analysis/blas"
)

// C = A B^T of row-major matrices, A 2 x 3 and B 2 x 3.
func ExampleEngine_Dgemm() {
	a := []float64{
		1, 2, 3,
		4, 5, 6,
	}
	b := []float64{
		1, 0, 0,
		0, 1, 1,
	}
	c := make([]float64, 4)
	blas.Find().Dgemm(false, true, 2, 2, 3, 1, a, 3, b, 3, 0, c, 2)
	fmt.Println(c)
	// Output:
	// [1 5 4 11]
}
