package kernel

import (
	"math"
	"sync"
)

// Exp and Erf read values and derivatives at the nearest of many places from a table and
// add a short polynomial of the distance: no branch depends on the numbers, so that several
// are computed at once.

// expSteps is the number of places between powers of two.
const expSteps = 64

var expTable = sync.OnceValue(func() (t [expSteps]float64) {
	for j := range t {
		t[j] = math.Exp2(float64(j) / expSteps)
	}
	return t
})

// Exp writes e^x to dst, which may be x, off by at most 2 units in the last place.
func Exp(dst, x []float64) {
	const (
		// Added to a small number it leaves the nearest integer in the low bits.
		round  = 3 << 51
		places = expSteps / math.Ln2
		// ln 2 / expSteps in two parts, the first with 32 bits: its multiples are exact.
		high = 6.93147180369123816490e-01 / expSteps
		low  = 1.90821492927058770002e-10 / expSteps
		// The result is a normal number, and so is every power of two on the way.
		least, most = -708, 709
	)
	t := expTable()
	x = x[:len(dst)]
	for i, v := range x {
		if !(v > least && v < most) {
			dst[i] = math.Exp(v)
			continue
		}
		f := v*places + round
		n := math.Float64bits(f)
		f -= round
		r := v - f*high - f*low
		p := r + r*r*(1./2+r*(1./6+r*(1./24+r*(1./120))))
		y := t[n&(expSteps-1)]
		y += y * p
		dst[i] = math.Float64frombits(math.Float64bits(y) + n/expSteps<<52)
	}
}

const (
	// Erf has erfSteps places in a unit; from erfEnd on it is 1.
	erfSteps = 64
	erfEnd   = 6
)

// erfTable has the coefficients of Taylor's series at each place:
// erf(x+h) = erf x + 2/sqrt(pi) e^(-x^2) sum over n of (-1)^n H_n(x) h^(n+1) / (n+1)!,
// with Hermite's polynomials H_n.
var erfTable = sync.OnceValue(func() *[erfEnd*erfSteps + 1][8]float64 {
	t := new([erfEnd*erfSteps + 1][8]float64)
	for j := range t {
		x := float64(j) / erfSteps
		t[j][0] = math.Erf(x)
		c := 2 / math.Sqrt(math.Pi) * math.Exp(-x*x)
		h, before := 1.0, 0.0
		for n := range 7 {
			c /= float64(n + 1)
			t[j][n+1] = c * h
			h, before = 2*x*h-2*float64(n)*before, h
			c = -c
		}
	}
	return t
})

// Erf writes the error function of x to dst, which may be x, off by at most 2 units in the
// last place.
func Erf(dst, x []float64) {
	const round = 3 << 51
	t := erfTable()
	x = x[:len(dst)]
	for i, v := range x {
		a := math.Abs(v)
		if !(a < erfEnd) {
			dst[i] = math.Erf(v)
			continue
		}
		f := a*erfSteps + round
		c := &t[math.Float64bits(f)&(1<<9-1)]
		h := a - (f-round)/erfSteps
		h2 := h * h
		y := c[0] + h*(c[1]+h*c[2]+h2*(c[3]+h*c[4]+h2*(c[5]+h*c[6]+h2*c[7])))
		dst[i] = math.Copysign(y, v)
	}
}
