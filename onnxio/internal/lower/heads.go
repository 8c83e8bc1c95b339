package lower

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}

// sigmoids is sigmoid of each element, in place.
func sigmoids(u []float64) {
	block := make([]float64, min(len(u), gatedBlock))
	for x := range slices.Chunk(u, gatedBlock) {
		kernel.Logistic(x, block)
	}
}

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// normalCDF is the distribution function of the standard normal distribution.
func normalCDF(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }

func elu(o *op) func(float64) float64 {
	alpha := o.float("alpha", 1)
	return func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}
}

// seluDefaults are the constants of Selu: in full since opset 6, and in five digits
// before.
func seluDefaults(o *op) (alpha, gamma float32) {
	if o.opset < 6 {
		return 1.6732, 1.0507
	}
	return 1.67326319217681884765625, 1.05070102214813232421875
}

func selu(o *op) func(float64) float64 {
	a, g := seluDefaults(o)
	alpha, gamma := o.float("alpha", a), o.float("gamma", g)
	return func(x float64) float64 {
		if x <= 0 {
			return gamma * alpha * math.Expm1(x)
		}
		return gamma * x
	}
}

func celu(o *op) func(float64) float64 {
	alpha := o.float("alpha", 1)
	return func(x float64) float64 {
		return math.Max(x, 0) + math.Min(0, alpha*math.Expm1(x/alpha))
	}
}

func hardSigmoid(o *op) func(float64) float64 {
	alpha, beta := o.float("alpha", 0.2), o.float("beta", 0.5)
	return func(x float64) float64 { return tensor.Smaller(1, tensor.Larger(0, alpha*x+beta)) }
}

func hardSwish(x float64) float64 { return x * tensor.Smaller(1, tensor.Larger(0, x/6+0.5)) }

func gelu(o *op) func(float64) float64 {
	if o.str("approximate", "none") == "tanh" {
		return fastGelu
	}
	return exactGelu
}

func swish(o *op) func(float64) float64 {
	alpha := o.float("alpha", 1)
	return func(x float64) float64 { return x * sigmoid(alpha*x) }
}

func mish(x float64) float64 { return x * math.Tanh(softplus(x)) }

func shrink(o *op) func(float64) float64 {
	lambda, bias := o.float("lambd", 0.5), o.float("bias", 0)
	return func(x float64) float64 {
		switch {
		case x < -lambda:
			return x + bias
		case x > lambda:
			return x - bias
		}
		return 0
	}
}

func sign(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // 0 and NaN
}

func not(x float64) bool { return x == 0 }

// lowerPow is the identity for the exponent 1.
func lowerPow(o *op, a, b *value) error {
	if !a.constant() && b.constant() && b.con.Scalar() {
		e, err := b.con.Value()
		if err != nil {
			return err
		}
		if e == 1 && len(b.con.Dims) <= len(a.shape) {
			o.give(0, a)
			return nil
		}
	}
	if tensor.IsFloat(a.dataType()) && !tensor.IsFloat(b.dataType()) {
		var err error
		if b, err = o.asFloat(b, a.dataType()); err != nil {
			return err
		}
	}
	out, err := o.pair("a power is not homogeneous of degree 1", a, b)
	if err != nil {
		return err
	}
	if e, ok := number(b); ok && !a.constant() {
		o.knowPower(a, out, e)
	}
	o.give(0, out)
	return nil
}

// asFloat gives an integer value a floating type.
func (o *op) asFloat(v *value, typ wire.DataType) (*value, error) {
	if !v.constant() {
		w := *v
		w.elem = typ
		return &w, nil
	}
	f, err := v.con.Float64s()
	if err != nil {
		return nil, err
	}
	return &value{con: tensor.NewTensor(typ, v.con.Dims, append([]float64(nil), f...))}, nil
}
