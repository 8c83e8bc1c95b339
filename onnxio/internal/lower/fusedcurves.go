package lower

import (
	"math"
)

// withBias makes a lowerer of a function of the sum of two inputs, of which the
// second may be left out.
func withBias(reason string, f func(x float64) float64) lowerer {
	return ofFirst(func(o *op, v *value) error {
		if b := o.arg(1); b != nil {
			var err error
			if v, err = o.inner(addition(1), "Add", []*value{v, b}, []int{0, 1}); err != nil {
				return err
			}
		}
		return o.gives(o.apply(reason, v.dataType(), func(x []float64) float64 { return f(x[0]) }, v))
	})
}

func exactGelu(x float64) float64 { return x * normalCDF(x) }

func fastGelu(x float64) float64 {
	return x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func quickGelu(o *op) func(float64) float64 {
	alpha := o.float("alpha", 1.702)
	return func(x float64) float64 { return x * sigmoid(alpha*x) }
}

// lowerSwiGLU is a times sigmoid(alpha a) times b.
func lowerSwiGLU(o *op, a, b *value) error {
	gate, err := o.apply("it is a curve", a.dataType(), func(x []float64) float64 { return swish(o)(x[0]) }, a)
	if err != nil {
		return err
	}
	return o.gives(o.inner(ofPair(lowerMul), "Mul", []*value{gate, b}, []int{-1, 1}))
}
