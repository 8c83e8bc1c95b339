package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

// The operators here were in ONNX for a while, as experiments. ONNX Runtime still has them,
// and converters of early models wrote them.

// lowerAffineOf is Affine: alpha x + beta.
func lowerAffineOf(o *op) error {
	return o.scaledBy(o.float("alpha", 1), []float64{o.float("beta", 0)})
}

// lowerScale is Scale: scale x.
func lowerScale(o *op) error { return o.scaledBy(o.float("scale", 1), nil) }

// lowerImageScaler is ImageScaler: scale x and a bias for each channel.
func lowerImageScaler(o *op) error {
	return o.scaledBy(o.float("scale", 1), o.floats("bias"))
}

// scaledBy gives scale x and a bias, one number or one for each channel, axis 1.
func (o *op) scaledBy(scale float64, bias []float64) error {
	v, err := o.activationOperand(0)
	if err != nil {
		return err
	}
	f := affine{coef: scale, addAt: -1, addCoef: 1}
	if n := len(bias); n > 0 {
		dims := []int{n}
		if n > 1 {
			if len(v.shape) < 2 || v.shape[1] != n {
				return refusal.New("", "%s for a value of shape %s", words.Count(n, "bias"), tensor.DimString(v.shape))
			}
			dims = append(dims, slices.Repeat([]int{1}, len(v.shape)-2)...)
		}
		f.add = tensor.NewFloats(dag.Float32, dims, bias)
	}
	return o.gives(o.affine(v, f))
}

// scaledTanh is ScaledTanh: alpha tanh(beta x).
func scaledTanh(o *op) func(float64) float64 {
	alpha, beta := o.float("alpha", 1), o.float("beta", 1)
	return func(x float64) float64 { return alpha * math.Tanh(beta*x) }
}

// parametricSoftplus is ParametricSoftplus: alpha log(1 + exp(beta x)).
func parametricSoftplus(o *op) func(float64) float64 {
	alpha, beta := o.float("alpha", 1), o.float("beta", 1)
	return func(x float64) float64 { return alpha * softplus(beta*x) }
}
