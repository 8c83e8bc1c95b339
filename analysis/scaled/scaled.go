// Package scaled holds floating-point numbers with an exponent of their own.
//
// Path norms leave float64: the l1 path norm of a pretrained ResNet-152 is
// about 6e194, a 400-layer network overflows, and |w|^16 underflows. A Num
// carries 53 bits of fraction and a 64-bit binary exponent, so that such a
// number, and its logarithms, stay exact to rounding.
package scaled

import (
	"cmp"
	"fmt"
	"math"
)

// Num is the number Frac * 2^Exp. A normal Num has |Frac| in [0.5, 1); zero
// has Frac 0 and Exp 0; NaN and the infinities keep their Frac and Exp 0. The
// zero value is the number zero.
type Num struct {
	Frac float64
	Exp  int64
}

// One is the number 1.
var One = Num{0.5, 1}

// New returns x as a Num.
func New(x float64) Num { return norm(x, 0) }

// norm returns f * 2^e. The bits of a normal f are taken apart here: calls of
// math.Frexp would take most of the time of a path programme.
func norm(f float64, e int64) Num {
	b := math.Float64bits(f)
	if x := b >> 52 & 0x7ff; x-1 < 0x7fe {
		return Num{math.Float64frombits(b&^(0x7ff<<52) | 1022<<52), e + int64(x) - 1022}
	}
	return normSpecial(f, e)
}

// normSpecial is norm for zero, subnormal numbers, infinities and NaN.
func normSpecial(f float64, e int64) Num {
	if f == 0 || f-f != 0 {
		return Num{Frac: f}
	}
	m, k := math.Frexp(f)
	return Num{m, e + int64(k)}
}

// FromLog2 returns 2^l.
func FromLog2(l float64) Num {
	if math.IsNaN(l) || math.IsInf(l, 1) {
		return Num{Frac: l}
	}
	if math.IsInf(l, -1) {
		return Num{}
	}
	k := math.Floor(l)
	return norm(math.Exp2(l-k), int64(k))
}

// IsZero reports whether a is zero.
func (a Num) IsZero() bool { return a.Frac == 0 }

// IsFinite reports whether a is neither NaN nor an infinity.
func (a Num) IsFinite() bool { return a.Frac-a.Frac == 0 }

// Abs returns |a|.
func (a Num) Abs() Num { return Num{math.Abs(a.Frac), a.Exp} }

// Scale returns a * 2^k.
func (a Num) Scale(k int64) Num {
	if a.Frac == 0 || !a.IsFinite() {
		return a
	}
	return Num{a.Frac, a.Exp + k}
}

// Mul returns a * b, rounded once.
func (a Num) Mul(b Num) Num { return norm(a.Frac*b.Frac, a.Exp+b.Exp) }

// MulFloat returns a * x, rounded once.
func (a Num) MulFloat(x float64) Num { return a.Mul(New(x)) }

// Div returns a / b, rounded once.
func (a Num) Div(b Num) Num { return norm(a.Frac/b.Frac, a.Exp-b.Exp) }

// Add returns a + b, rounded once.
func (a Num) Add(b Num) Num {
	if a.Frac == 0 {
		return b
	}
	if b.Frac == 0 {
		return a
	}
	if !a.IsFinite() || !b.IsFinite() {
		return Num{Frac: a.Frac + b.Frac}
	}
	if a.Exp < b.Exp {
		a, b = b, a
	}
	d := a.Exp - b.Exp
	if d > 64 { // below half of the last place
		return a
	}
	return norm(a.Frac+b.Frac*math.Float64frombits(uint64(1023-d)<<52), a.Exp)
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b. A NaN
// compares greater than everything, so that a maximum keeps it.
func (a Num) Cmp(b Num) int {
	if a.Frac > 0 && a.Frac < 1 && b.Frac > 0 && b.Frac < 1 { // most are positive and finite
		if a.Exp != b.Exp {
			return cmp.Compare(a.Exp, b.Exp)
		}
		return cmp.Compare(a.Frac, b.Frac)
	}
	an, bn := math.IsNaN(a.Frac), math.IsNaN(b.Frac)
	switch {
	case an && bn:
		return 0
	case an:
		return 1
	case bn:
		return -1
	}
	sa, sb := sign(a.Frac), sign(b.Frac)
	if sa != sb {
		return sign(float64(sa - sb))
	}
	if sa == 0 {
		return 0
	}
	ai, bi := math.IsInf(a.Frac, 0), math.IsInf(b.Frac, 0)
	switch {
	case ai && bi:
		return 0
	case ai:
		return sa
	case bi:
		return -sa
	}
	if a.Exp != b.Exp {
		if a.Exp > b.Exp {
			return sa
		}
		return -sa
	}
	return sign(a.Frac - b.Frac)
}

func sign(x float64) int {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

// Max returns the larger of a and b; NaN if either is NaN.
func Max(a, b Num) Num {
	if b.Cmp(a) > 0 {
		return b
	}
	return a
}

// Float64 returns a as a float64: infinite where it is too large, subnormal
// or zero where it is too small.
func (a Num) Float64() float64 {
	switch {
	case a.Exp >= -1021 && a.Exp <= 1023: // exact, and much faster than math.Ldexp
		return a.Frac * math.Float64frombits(uint64(1023+a.Exp)<<52)
	case a.Exp > 2000:
		return math.Copysign(math.Inf(1), a.Frac)
	case a.Exp < -2000:
		return math.Copysign(0, a.Frac)
	}
	return math.Ldexp(a.Frac, int(a.Exp))
}

// Log2 returns log2 |a|; minus infinity for zero.
func (a Num) Log2() float64 {
	// Near 1 the two halves cancel; one logarithm keeps the relative error.
	if a.Exp >= -64 && a.Exp <= 64 {
		return math.Log2(math.Abs(a.Float64()))
	}
	return float64(a.Exp) + math.Log2(math.Abs(a.Frac))
}

// Ln returns ln |a|; minus infinity for zero.
func (a Num) Ln() float64 {
	if a.Exp >= -64 && a.Exp <= 64 {
		return math.Log(math.Abs(a.Float64()))
	}
	return float64(a.Exp)*math.Ln2 + math.Log(math.Abs(a.Frac))
}

// Log10 returns log10 |a|; minus infinity for zero.
func (a Num) Log10() float64 {
	if a.Exp >= -64 && a.Exp <= 64 {
		return math.Log10(math.Abs(a.Float64()))
	}
	return float64(a.Exp)*(math.Ln2/math.Ln10) + math.Log10(math.Abs(a.Frac))
}

// Pow returns a^p for a >= 0 and finite p: NaN for negative a. Pow(0, p) is 0
// for p > 0 and 1 for p = 0.
func (a Num) Pow(p float64) Num {
	switch {
	case p == 1:
		return a
	case p == 0:
		return One
	case p == 2:
		return a.Mul(a)
	case a.Frac == 0 || !a.IsFinite() || a.Frac < 0:
		return Num{Frac: math.Pow(a.Frac, p)}
	case p == 0.5:
		if a.Exp&1 != 0 {
			return norm(math.Sqrt(a.Frac*2), (a.Exp-1)/2)
		}
		return norm(math.Sqrt(a.Frac), a.Exp/2)
	}
	// 2^(p e) splits into an exact integer part and a fraction in [0, 1).
	pe := p * float64(a.Exp)
	k := math.Floor(pe)
	f := math.FMA(p, float64(a.Exp), -k)
	return norm(math.Pow(a.Frac, p)*math.Exp2(f), int64(k)).guard(a, p)
}

// guard recomputes Frac^p through logarithms where math.Pow left the normal
// range (Frac >= 0.5, so only for p beyond a thousand).
func (a Num) guard(base Num, p float64) Num {
	if a.Frac != 0 && a.IsFinite() && p < 1000 {
		return a
	}
	return FromLog2(p * base.Log2())
}

// Root returns a^(1/p); for p = +Inf, 1 for every non-zero a.
func (a Num) Root(p float64) Num {
	switch p {
	case 1:
		return a
	case 2:
		return a.Pow(0.5)
	}
	return a.Pow(1 / p)
}

// String formats a with six significant digits in decimal scientific form.
func (a Num) String() string {
	if a.Frac == 0 || !a.IsFinite() || (a.Exp > -1000 && a.Exp < 1000) {
		return fmt.Sprintf("%.6g", a.Float64())
	}
	l := a.Log10()
	k := math.Floor(l)
	s := ""
	if a.Frac < 0 {
		s = "-"
	}
	return fmt.Sprintf("%s%.5fe%+d", s, math.Pow(10, l-k), int64(k))
}

// Common returns x as float64 over one factor: x_i = v_i * 2^exp, the largest
// finite |v_i| in [0.5, 1). ok is false when a number is too small beside the
// largest for sums of products of the v to be safe; its v is 0 then. NaN and
// infinities are what they are.
func Common(x []Num) (v []float64, exp int64, ok bool) {
	if exp = MaxExp(x); exp == math.MinInt64 {
		exp = 0
	}
	v = make([]float64, len(x))
	return v, exp, shift(v, x, exp)
}

// MaxExp returns the largest exponent of the finite numbers that are not zero;
// the smallest int64 when there is none.
func MaxExp(x []Num) int64 {
	exp := int64(math.MinInt64)
	for _, a := range x {
		if a.Exp > exp && a.Frac != 0 && a.IsFinite() {
			exp = a.Exp
		}
	}
	return exp
}

// shift writes x_i * 2^-exp to v, where exp is at least MaxExp(x), and reports
// whether all are large enough for sums of products of them to be safe: see
// Common.
func shift(v []float64, x []Num, exp int64) bool {
	ok := true
	for i, a := range x {
		switch d := exp - a.Exp; {
		case a.Frac == 0 || !a.IsFinite():
			v[i] = a.Frac
		case d > 400:
			v[i], ok = 0, false
		default:
			v[i] = a.Frac * math.Float64frombits(uint64(1023-d)<<52)
		}
	}
	return ok
}

// Norm returns (sum_i |x_i|^p)^(1/p), p in [1, Inf]: every term is divided by
// the largest power of two among them before it is raised to p, so nothing
// leaves the range. Norm of nothing is zero; NaN is NaN and an infinity
// infinite. Source: Higham, Accuracy and Stability of Numerical Algorithms,
// section 27.5 (scaling of the 2-norm).
func Norm(x []Num, p float64) Num {
	exp, finite := int64(math.MinInt64), true
	for _, v := range x {
		if v.Frac != 0 && v.Exp > exp {
			exp = v.Exp
		}
		finite = finite && v.Frac-v.Frac == 0
	}
	if !finite || p > 500 && !math.IsInf(p, 1) { // 0.5^p must not vanish
		var acc Accumulator
		acc.Reset(p)
		for _, v := range x {
			acc.Add(v)
		}
		return acc.Norm()
	}
	if math.IsInf(p, 1) {
		var frac float64
		for _, v := range x {
			if v.Exp == exp {
				frac = max(frac, math.Abs(v.Frac))
			}
		}
		return norm(frac, exp)
	}
	var sum float64
	for _, v := range x {
		// Below 2^-1022 of the largest, a term is lost to rounding many times over.
		d := v.Exp - exp
		if v.Frac == 0 || d < -1022 {
			continue
		}
		a := math.Abs(v.Frac) * math.Float64frombits(uint64(1023+d)<<52)
		switch p {
		case 1:
			sum += a
		case 2:
			sum += a * a
		default:
			sum += Power(a, p)
		}
	}
	switch p {
	case 1:
		return norm(sum, exp)
	case 2:
		return norm(math.Sqrt(sum), exp)
	}
	return norm(math.Pow(sum, 1/p), exp)
}

// Accumulator gathers (sum |x|^p)^(1/p) term by term. Call Reset first.
type Accumulator struct {
	p   float64
	max Num
	sum float64 // sum of (|x|/max)^p, at least 1 once there is a term
}

// Reset empties the accumulator and sets its p in [1, Inf].
func (c *Accumulator) Reset(p float64) { *c = Accumulator{p: p} }

// Add takes one more term |x|.
func (c *Accumulator) Add(x Num) {
	x = x.Abs()
	if x.Frac == 0 {
		return
	}
	if !x.IsFinite() || !c.max.IsFinite() {
		c.max = Max(c.max, x)
		return
	}
	if x.Cmp(c.max) > 0 {
		if !c.max.IsZero() && !math.IsInf(c.p, 1) {
			c.sum *= Power(c.max.Div(x).Float64(), c.p)
		}
		c.max = x
		c.sum++
		return
	}
	if !math.IsInf(c.p, 1) {
		c.sum += Power(x.Div(c.max).Float64(), c.p)
	}
}

// Power returns x^p of x >= 0 for finite p >= 1, as math.Pow does but faster for
// the usual p.
func Power(x, p float64) float64 {
	switch p {
	case 1:
		return x
	case 1.5:
		return x * math.Sqrt(x)
	case 2:
		return x * x
	case 3:
		return x * x * x
	}
	if x == 0 {
		return 0
	}
	return math.Pow(x, p)
}

// Plus returns (a^p + b^p)^(1/p) of a, b >= 0, p in [1, Inf]; NaN if either is
// NaN, else infinite if either is.
func Plus(a, b Num, p float64) Num {
	switch {
	case a.IsZero():
		return b
	case b.IsZero():
		return a
	case p == 1:
		return a.Add(b)
	case math.IsInf(p, 1) || !a.IsFinite() || !b.IsFinite():
		return Max(a, b)
	}
	if a.Cmp(b) < 0 {
		a, b = b, a
	}
	r := b.Div(a).Float64()
	if p == 2 {
		return a.MulFloat(math.Sqrt(1 + r*r))
	}
	return a.MulFloat(math.Exp(math.Log1p(Power(r, p)) / p))
}

// Norm returns the p-norm of the terms so far.
func (c *Accumulator) Norm() Num {
	if c.max.IsZero() || !c.max.IsFinite() || math.IsInf(c.p, 1) {
		return c.max
	}
	if c.p == 1 {
		return c.max.MulFloat(c.sum)
	}
	return c.max.MulFloat(math.Pow(c.sum, 1/c.p))
}
