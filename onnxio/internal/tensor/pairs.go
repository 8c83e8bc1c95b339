package tensor

import (
	"cmp"
	"math"

	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Pair is an operator of two numbers, over each kind of number. A nil float
// makes it an operator of truth values.
type Pair struct {
	Float func(x, y float64) float64
	// Integer works on int64; unsigned says that both are bit patterns of
	// uint64. The caller wraps the result to the stored type.
	Integer func(x, y int64, unsigned bool) int64
	// Test says that the result is a truth value.
	Test bool
	// neutral is the second operand that changes nothing, where there is one:
	// it may meet the batch size.
	neutral int64
}

// Pairs holds the operators of two numbers. Arithmetic in float64 of numbers of
// a narrower type, rounded once at the end, is correctly rounded (Figueroa,
// When is double rounding innocuous?, SIGNUM 1995).
var Pairs = map[string]Pair{
	"Add": {
		Float:   func(x, y float64) float64 { return x + y },
		Integer: func(x, y int64, _ bool) int64 { return x + y },
	},
	"Sub": {
		Float:   func(x, y float64) float64 { return x - y },
		Integer: func(x, y int64, _ bool) int64 { return x - y },
	},
	"Mul": {
		Float:   func(x, y float64) float64 { return x * y },
		Integer: func(x, y int64, _ bool) int64 { return x * y }, neutral: 1,
	},
	"Div":            {Float: func(x, y float64) float64 { return x / y }, Integer: either(quotient[int64], quotient[uint64]), neutral: 1},
	"Mod":            {Float: floorMod, Integer: either(Modulo, remainder[uint64]), neutral: noNeutral},
	"fmod":           {Float: math.Mod, Integer: either(remainder[int64], remainder[uint64]), neutral: noNeutral},
	"Pow":            {Float: math.Pow, Integer: power, neutral: 1},
	"Max":            {Float: Larger, Integer: either(larger[int64], larger[uint64]), neutral: noNeutral},
	"Min":            {Float: Smaller, Integer: either(smaller[int64], smaller[uint64]), neutral: noNeutral},
	"Less":           test(func(x, y float64) bool { return x < y }, func(c int) bool { return c < 0 }),
	"LessOrEqual":    test(func(x, y float64) bool { return x <= y }, func(c int) bool { return c <= 0 }),
	"Greater":        test(func(x, y float64) bool { return x > y }, func(c int) bool { return c > 0 }),
	"GreaterOrEqual": test(func(x, y float64) bool { return x >= y }, func(c int) bool { return c >= 0 }),
	"Equal":          test(func(x, y float64) bool { return x == y }, func(c int) bool { return c == 0 }),
	"And":            {Integer: func(x, y int64, _ bool) int64 { return x & y }, Test: true, neutral: noNeutral},
	"Or":             {Integer: func(x, y int64, _ bool) int64 { return x | y }, Test: true, neutral: noNeutral},
	"Xor":            {Integer: func(x, y int64, _ bool) int64 { return x ^ y }, Test: true, neutral: noNeutral},
	"BitwiseAnd":     {Integer: func(x, y int64, _ bool) int64 { return x & y }, neutral: noNeutral},
	"BitwiseOr":      {Integer: func(x, y int64, _ bool) int64 { return x | y }, neutral: noNeutral},
	"BitwiseXor":     {Integer: func(x, y int64, _ bool) int64 { return x ^ y }, neutral: noNeutral},
	// Of unsigned numbers, which is what is shifted.
	"LEFT":  {Integer: func(x, y int64, _ bool) int64 { return int64(uint64(x) << uint64(y)) }, neutral: noNeutral},
	"RIGHT": {Integer: either(shifted[int64], shifted[uint64]), neutral: noNeutral},
}

// noNeutral is no operand of a shape computation.
const noNeutral = math.MinInt64

func test(float func(x, y float64) bool, sign func(c int) bool) Pair {
	truth := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	return Pair{
		Float: func(x, y float64) float64 { return float64(truth(float(x, y))) },
		Integer: func(x, y int64, unsigned bool) int64 {
			return truth(sign(compare(x, y, unsigned)))
		},
		Test: true, neutral: noNeutral,
	}
}

func compare(x, y int64, unsigned bool) int {
	if unsigned {
		return cmp.Compare(uint64(x), uint64(y))
	}
	return cmp.Compare(x, y)
}

// either computes with signed numbers, or with bit patterns of unsigned ones.
func either(signed func(x, y int64) int64, bits func(x, y uint64) uint64) func(x, y int64, unsigned bool) int64 {
	return func(x, y int64, unsigned bool) int64 {
		if unsigned {
			return int64(bits(uint64(x), uint64(y)))
		}
		return signed(x, y)
	}
}

func quotient[T int64 | uint64](x, y T) T { return x / y } // towards zero; the caller has made sure that y is not 0

func remainder[T int64 | uint64](x, y T) T { return x % y } // with the sign of the dividend

func shifted[T int64 | uint64](x, y T) T { return x >> uint64(y) } // with the sign of signed numbers

func larger[T int64 | uint64](x, y T) T { return max(x, y) }

func smaller[T int64 | uint64](x, y T) T { return min(x, y) }

// Larger is the larger number, NaN if one is, as in ONNX Runtime and NumPy.
func Larger(x, y float64) float64 { return max(x, y) }

// Smaller is the smaller number, NaN if one is.
func Smaller(x, y float64) float64 { return min(x, y) }

// floorMod has the sign of the divisor.
func floorMod(x, y float64) float64 {
	m := math.Mod(x, y)
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	return m
}

// Modulo has the sign of the divisor, as Mod with fmod=0; y is not 0.
func Modulo(x, y int64) int64 {
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
func (p Pair) integers(name string, x, y int64, typ wire.DataType) (int64, error) {
	switch {
	case BatchFactor(x) > 0 && y == p.neutral:
		return x, nil
	case BatchFactor(y) > 0 && x == p.neutral && (name == "Add" || name == "Mul"):
		return y, nil
	case name == "Equal" && (BatchFactor(x) > 0) != (BatchFactor(y) > 0) && (x <= 0 && BatchFactor(x) == 0 || y <= 0 && BatchFactor(y) == 0):
		return 0, nil // no batch has 0 or -1 samples
	case name == "Mul" && y > 0 && BatchFactor(x) > 0 && y < MaxBatches/int64(BatchFactor(x)):
		return Batches(BatchFactor(x) * int(y)), nil
	case name == "Mul" && x > 0 && BatchFactor(y) > 0 && x < MaxBatches/int64(BatchFactor(y)):
		return Batches(BatchFactor(y) * int(x)), nil
	case name == "Div" && y > 0 && y < MaxBatches && BatchFactor(x) > 0 && BatchFactor(x)%int(y) == 0:
		return Batches(BatchFactor(x) / int(y)), nil
	case name == "Div" && BatchFactor(x) > 0 && BatchFactor(y) > 0 && BatchFactor(x)%BatchFactor(y) == 0:
		return int64(BatchFactor(x) / BatchFactor(y)), nil
	case name == "Equal" && BatchFactor(x) > 0 && BatchFactor(x) == BatchFactor(y):
		return 1, nil
	case BatchFactor(x) > 0 || BatchFactor(y) > 0:
		return 0, refusal.MixesBatch("it computes with the batch size")
	case y == 0 && (name == "Div" || name == "Mod" || name == "fmod"):
		return 0, refusal.New("", "it divides a constant integer by zero")
	}
	return Wrap(typ, p.Integer(x, y, typ == wire.Uint64)), nil
}
