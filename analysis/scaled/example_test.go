package scaled_test

import (
	"fmt"

	"github.com/relupath/relupath/analysis/scaled"
)

// A product of 400 weights of 10 is far beyond float64.
func ExampleNum() {
	p := scaled.One
	for range 400 {
		p = p.MulFloat(10)
	}
	fmt.Printf("log10 = %.6g, as a float64 %v\n", p.Log10(), p.Float64())
	fmt.Println("its square root:", p.Root(2))
	// Output:
	// log10 = 400, as a float64 +Inf
	// its square root: 1e+200
}

// The 2-norm of numbers whose squares overflow.
func ExampleNorm() {
	fmt.Println(scaled.Norm([]scaled.Num{scaled.New(3e300), scaled.New(4e300)}, 2))
	// Output:
	// 5e+300
}
