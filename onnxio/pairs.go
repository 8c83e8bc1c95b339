package onnxio

import (
	"math"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// pair is an operator of two numbers, over each kind of number. A nil float
// makes it an operator of truth values.
type pair struct {
	float func(x, y float64) float64
	// integer works on int64; unsigned says that both are bit patterns of
	// uint64. The caller wraps the result to the stored type.
	integer func(x, y int64, unsigned bool) int64
	// test says that the result is a truth value.
	test bool
	// neutral is the second operand that changes nothing, where there is one:
	// it may meet the batch size.
	neutral int64
}

// pairs holds the operators of two numbers. Arithmetic in float64 of numbers of
// a narrower type, rounded once at the end, is correctly rounded (Figueroa,
// When is double rounding innocuous?, SIGNUM 1995).
var pairs = map[string]pair{
	"Add": {
		float:   func(x, y float64) float64 { return x + y },
		integer: func(x, y int64, _ bool) int64 { return x + y },
	},
	"Sub": {
		float:   func(x, y float64) float64 { return x - y },
		integer: func(x, y int64, _ bool) int64 { return x - y },
	},
	"Mul": {
		float:   func(x, y float64) float64 { return x * y },
		integer: func(x, y int64, _ bool) int64 { return x * y }, neutral: 1,
	},
	"Div":            {float: func(x, y float64) float64 { return x / y }, integer: quotient, neutral: 1},
	"Mod":            {float: floorMod, integer: modulo, neutral: noNeutral},
	"fmod":           {float: math.Mod, integer: remainder, neutral: noNeutral},
	"Pow":            {float: math.Pow, integer: power, neutral: 1},
	"Max":            {float: larger, integer: largest, neutral: noNeutral},
	"Min":            {float: smaller, integer: smallest, neutral: noNeutral},
	"Less":           test(func(x, y float64) bool { return x < y }, func(c int) bool { return c < 0 }),
	"LessOrEqual":    test(func(x, y float64) bool { return x <= y }, func(c int) bool { return c <= 0 }),
	"Greater":        test(func(x, y float64) bool { return x > y }, func(c int) bool { return c > 0 }),
	"GreaterOrEqual": test(func(x, y float64) bool { return x >= y }, func(c int) bool { return c >= 0 }),
	"Equal":          test(func(x, y float64) bool { return x == y }, func(c int) bool { return c == 0 }),
	"And":            {integer: func(x, y int64, _ bool) int64 { return x & y }, test: true, neutral: noNeutral},
	"Or":             {integer: func(x, y int64, _ bool) int64 { return x | y }, test: true, neutral: noNeutral},
	"Xor":            {integer: func(x, y int64, _ bool) int64 { return x ^ y }, test: true, neutral: noNeutral},
}

// noNeutral is no operand of a shape computation.
const noNeutral = math.MinInt64

func test(float func(x, y float64) bool, sign func(c int) bool) pair {
	truth := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	return pair{
		float: func(x, y float64) float64 { return float64(truth(float(x, y))) },
		integer: func(x, y int64, unsigned bool) int64 {
			return truth(sign(compare(x, y, unsigned)))
		},
		test: true, neutral: noNeutral,
	}
}

func compare(x, y int64, unsigned bool) int {
	if unsigned {
		x, y = x^math.MinInt64, y^math.MinInt64
	}
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// larger is the larger number, NaN if one is, as in ONNX Runtime and NumPy.
func larger(x, y float64) float64 { return max(x, y) }

// smaller is the smaller number, NaN if one is.
func smaller(x, y float64) float64 { return min(x, y) }

func largest(x, y int64, unsigned bool) int64 {
	if compare(x, y, unsigned) < 0 {
		return y
	}
	return x
}

func smallest(x, y int64, unsigned bool) int64 {
	if compare(x, y, unsigned) > 0 {
		return y
	}
	return x
}

// quotient truncates towards zero; the caller has made sure that y is not 0.
func quotient(x, y int64, unsigned bool) int64 {
	if unsigned {
		return int64(uint64(x) / uint64(y))
	}
	return x / y
}

// floorMod has the sign of the divisor.
func floorMod(x, y float64) float64 {
	m := math.Mod(x, y)
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	return m
}

// remainder has the sign of the dividend, as Mod with fmod=1; y is not 0.
func remainder(x, y int64, unsigned bool) int64 {
	if unsigned {
		return int64(uint64(x) % uint64(y))
	}
	return x % y
}

// modulo has the sign of the divisor, as Mod with fmod=0; y is not 0.
func modulo(x, y int64, unsigned bool) int64 {
	if unsigned {
		return int64(uint64(x) % uint64(y))
	}
	m := x % y
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	return m
}

// power returns x^y; a negative exponent truncates towards zero.
func power(x, y int64, _ bool) int64 {
	if y < 0 {
		switch x {
		case 1:
			return 1
		case -1:
			return 1 - 2*(y&1)
		}
		return 0
	}
	p := int64(1)
	for ; y > 0; y >>= 1 {
		if y&1 != 0 {
			p *= x
		}
		x *= x
	}
	return p
}

// integers computes the operator on integers of a type. The batch size may pass
// through where nothing is computed from it.
func (p pair) integers(name string, x, y int64, typ wire.DataType) (int64, error) {
	switch {
	case batchFactor(x) > 0 && y == p.neutral:
		return x, nil
	case batchFactor(y) > 0 && x == p.neutral && (name == "Add" || name == "Mul"):
		return y, nil
	case name == "Equal" && (batchFactor(x) > 0) != (batchFactor(y) > 0) && (x <= 0 && batchFactor(x) == 0 || y <= 0 && batchFactor(y) == 0):
		return 0, nil // no batch has 0 or -1 samples
	case name == "Mul" && y > 0 && batchFactor(x) > 0 && y < maxBatches/int64(batchFactor(x)):
		return batches(batchFactor(x) * int(y)), nil
	case name == "Mul" && x > 0 && batchFactor(y) > 0 && x < maxBatches/int64(batchFactor(y)):
		return batches(batchFactor(y) * int(x)), nil
	case name == "Div" && y > 0 && y < maxBatches && batchFactor(x) > 0 && batchFactor(x)%int(y) == 0:
		return batches(batchFactor(x) / int(y)), nil
	case name == "Div" && batchFactor(x) > 0 && batchFactor(y) > 0 && batchFactor(x)%batchFactor(y) == 0:
		return int64(batchFactor(x) / batchFactor(y)), nil
	case name == "Equal" && batchFactor(x) > 0 && batchFactor(x) == batchFactor(y):
		return 1, nil
	case batchFactor(x) > 0 || batchFactor(y) > 0:
		return 0, mixesBatch("it computes with the batch size")
	case y == 0 && (name == "Div" || name == "Mod" || name == "fmod"):
		return 0, refuse("", "it divides a constant integer by zero")
	}
	return wrap(typ, p.integer(x, y, typ == wire.Uint64)), nil
}
