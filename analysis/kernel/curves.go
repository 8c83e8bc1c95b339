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

var expTable = sync.OnceValue(func() *[expSteps]float64 {
	t := new([expSteps]float64)
	for j := range t {
		t[j] = math.Exp2(float64(j) / expSteps)
	}
	return t
})

// expConstants are what Exp's loop in assembly reads.
type expConstants struct{ least, most, places, round, high, low, c5, c4, c3, c2 float64 }

// The numbers of Exp.
const (
	// Added to a small number expRound leaves the nearest integer in the low bits.
	expRound  = 3 << 51
	expPlaces = expSteps / math.Ln2
	// ln 2 / expSteps in two parts, the first with 32 bits: its multiples are exact.
	expHigh = 6.93147180369123816490e-01 / expSteps
	expLow  = 1.90821492927058770002e-10 / expSteps
	// The result is a normal number between these, and so is every power of two on the way.
	expLeast, expMost = -708, 709
)

var expNumbers = expConstants{expLeast, expMost, expPlaces, expRound, expHigh, expLow, 1. / 120, 1. / 24, 1. / 6, 1. / 2}

// Exp writes e^x to dst, which may be x, off by at most 2 units in the last place.
func Exp(dst, x []float64) {
	t := expTable()
	x = x[:len(dst)]
	for len(x) > 0 {
		// What is done four at a time, and then the four of which one is outside, or the end.
		n := 0
		if exp64 != nil && len(x) >= 4 {
			n = exp64(&dst[0], &x[0], len(x)&^3, &t[0], &expNumbers)
		}
		end := min(n+4, len(x))
		if exp64 == nil {
			end = len(x)
		}
		for i, v := range x[n:end] {
			dst[n+i] = exp(v, t)
		}
		dst, x = dst[end:], x[end:]
	}
}

// exp is one number of Exp.
func exp(v float64, t *[expSteps]float64) float64 {
	if !(v > expLeast && v < expMost) {
		return math.Exp(v)
	}
	f := v*expPlaces + expRound
	n := math.Float64bits(f)
	f -= expRound
	r := v - f*expHigh - f*expLow
	p := r + r*r*(1./2+r*(1./6+r*(1./24+r*(1./120))))
	y := t[n&(expSteps-1)]
	y += y * p
	return math.Float64frombits(math.Float64bits(y) + n/expSteps<<52)
}

// Logistic makes each x its 1/(1+e^-x), off by at most 4 units in the last place. Scratch has at least
// as many numbers.
func Logistic(x, scratch []float64) {
	e := scratch[:len(x)]
	for i, v := range x {
		e[i] = -math.Abs(v)
	}
	Exp(e, e)
	n := 0
	if logistic64 != nil && len(x) >= 4 {
		n = len(x) &^ 3
		logistic64(&x[0], &e[0], n)
	}
	for i, v := range x[n:] {
		if v < 0 {
			x[n+i] = e[n+i] / (1 + e[n+i])
		} else {
			x[n+i] = 1 / (1 + e[n+i])
		}
	}
}

// These are the loops of Exp and Logistic in assembly, n a multiple of four; nil when there is none. The former
// returns how many are done.
var (
	exp64      func(dst, x *float64, n int, table *float64, c *expConstants) int
	logistic64 func(x, e *float64, n int)
)

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
