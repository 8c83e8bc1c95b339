package render

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/relupath/relupath/analysis/scaled"
)

// undefined stands for NaN.
const undefined = "undefined"

// whole is the relative distance up to which a number is a whole one to a
// reader: some roundings of float64.
const whole = 1e-13

// digits is how many significant digits a reader sees.
const digits = 5

// decimal is a number as sign, digits and a power of ten: a mantissa such as
// 6.0123 times 10^exp.
type decimal struct {
	mantissa string
	exp      int64
}

// fixed reports whether a number of decimal exponent e reads well without one.
func fixed(e int64) bool { return e >= -4 && e < 6 }

// reader formats x with a few significant digits: plain where the magnitude
// allows, else as a mantissa and an exponent (plain is then empty).
func reader(x scaled.Num) (plain string, sci decimal) {
	f := x.Float64()
	switch {
	case math.IsNaN(f):
		return undefined, sci
	case !x.IsFinite():
		return strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "Inf", "inf", 1), sci
	case x.IsZero():
		return "0", sci
	}
	if f != 0 && !math.IsInf(f, 0) && math.Abs(f) >= 0x1p-1022 {
		m, e, _ := strings.Cut(strconv.FormatFloat(f, 'e', digits-1, 64), "e")
		exp, _ := strconv.ParseInt(e, 10, 64)
		sci = decimal{trimZeros(m), exp}
		if math.Abs(f-math.Round(f)) <= whole*math.Abs(f) && math.Abs(f) < 1e6 {
			return strconv.FormatFloat(f, 'f', 0, 64), sci
		}
		if fixed(exp) {
			return strconv.FormatFloat(f, 'f', max(0, digits-1-int(exp)), 64), sci
		}
		return "", sci
	}
	return "", beyond(x, digits)
}

// beyond formats a number outside float64 with n significant digits; the
// last ones are as good as the logarithm, which loses the exponent's digits.
func beyond(x scaled.Num, n int) decimal {
	l := x.Log10()
	e := math.Floor(l)
	m := strconv.FormatFloat(math.Pow(10, l-e), 'f', n-1, 64)
	if strings.HasPrefix(m, "10") {
		m, e = "1", e+1
	}
	if x.Frac < 0 {
		m = "-" + m
	}
	return decimal{trimZeros(m), int64(e)}
}

// trimZeros turns 1.0000 into 1.
func trimZeros(m string) string {
	if whole, fraction, _ := strings.Cut(m, "."); strings.Trim(fraction, "0") == "" {
		return whole
	}
	return m
}

// maxPlainInt is the number of digits up to which a reader sees a whole number
// in full.
const maxPlainInt = 15

func readerInt(n *big.Int) (plain string, sci decimal) {
	s := n.String()
	if len(s) <= maxPlainInt {
		return s, sci
	}
	f := new(big.Float).SetInt(n)
	m, e, _ := strings.Cut(f.Text('e', digits-1), "e")
	exp, _ := strconv.ParseInt(e, 10, 64)
	return "", decimal{trimZeros(m), exp}
}

// String writes the exponent behind an e: 6.0123e194.
func (d decimal) String() string { return d.mantissa + "e" + strconv.FormatInt(d.exp, 10) }

// Plain writes a number as a plain table does.
func Plain(x scaled.Num) string { return Number(x).plain(decimal.String) }

// plain returns the characters of a cell for readers; sci formats an exponent.
func (c Cell) plain(sci func(decimal) string) string {
	var s string
	var d decimal
	switch {
	case c.kind == intCell:
		s, d = readerInt(c.int)
	case c.kind == numCell && c.text == "":
		s, d = reader(c.num)
	default:
		return c.text
	}
	if s == "" {
		return sci(d)
	}
	return s
}

// full returns the characters of a cell at full precision: float64 numbers in
// their shortest form that reads back the same. A number beyond float64 is
// empty (its logarithm stands in a column of its own), and so is NaN.
func (c Cell) full() string {
	switch c.kind {
	case intCell:
		return c.int.String()
	case numCell:
		v, _, ok := jsonValue(c.num)
		if !ok {
			return ""
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return c.text
}
