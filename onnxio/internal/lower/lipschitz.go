package lower

import "math"

// The largest slopes of curves that have no simple form. TestLipschitz finds each on
// a grid.
var (
	// geluSlope is that of x Phi(x): Phi(x) + x phi(x), whose derivative
	// (2 - x^2) phi(x) is zero at sqrt(2). It is 1.12890.
	geluSlope = normalCDF(math.Sqrt2) + math.Exp(-1)/math.Sqrt(math.Pi)
	// tanhGeluSlope is that of the approximation by tanh, at x = 1.41850.
	tanhGeluSlope = 1.1289930686587716
	// swishSlope is that of x s(x), s the sigmoid: s + x s (1 - s), at x = 2.39936.
	// A factor in the sigmoid, x s(a x), only stretches x.
	swishSlope = 1.0998393201288669
	// mishSlope is that of x tanh(softplus(x)), at x = 1.49057.
	mishSlope = 1.0884981612517278
)

// lipschitz is the Lipschitz constant of the current operator as a function of each
// element of its operand, the supremum of its |slope|; 0 for one that has none or
// that is not known.
func (o *op) lipschitz() float64 {
	alpha := func(def float32) float64 { return math.Abs(o.float("alpha", def)) }
	switch o.node.OpType {
	case "Tanh", "Sin", "Cos", "Atan", "Asinh", "Softsign":
		return 1 // 1 - tanh^2, cos, -sin, 1/(1+x^2), 1/sqrt(1+x^2), 1/(1+|x|)^2
	case "Softplus", "Clip":
		return 1 // the sigmoid; 0 or 1
	case "Sigmoid":
		return 0.25 // s (1 - s), at s = 1/2
	case "Erf":
		return 2 / math.SqrtPi // 2/sqrt(pi) exp(-x^2), at 0
	case "HardSigmoid":
		return alpha(0.2) // 0 or alpha
	case "HardSwish":
		return 1.5 // x/3 + 1/2 between -3 and 3
	case "Elu":
		return max(1, alpha(1)) // alpha e^x below 0
	case "Selu":
		def, gamma := seluDefaults(o)
		return math.Abs(o.float("gamma", gamma)) * max(1, alpha(def)) // gamma; gamma alpha e^x below 0
	case "Celu":
		if o.float("alpha", 1) > 0 {
			return 1 // e^(x/alpha) below 0
		}
	case "Gelu":
		if o.str("approximate", "none") == "tanh" {
			return tanhGeluSlope
		}
		return geluSlope
	case "Swish":
		return swishSlope
	case "Mish":
		return mishSlope
	case "Shrink":
		if o.float("bias", 0) == o.float("lambd", 0.5) {
			return 1 // 0 or 1, without a jump
		}
	}
	return 0
}
