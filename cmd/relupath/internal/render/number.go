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

// How many significant digits a reader sees, and how many of a table in a paper.
const (
	digits      = 5
	paperDigits = 3
)

// decimal is a number as sign, digits and a power of ten: a mantissa such as
// 6.0123 times 10^exp.
type decimal struct {
	mantissa string
	exp      int64
}

// fixed reports whether a number of decimal exponent e reads well without one.
func fixed(e int64) bool { return e >= -4 && e < 6 }

// reader formats x with n significant digits: plain where the magnitude
// allows, else as a mantissa and an exponent (plain is then empty).
func reader(x scaled.Num, n int) (plain string, sci decimal) {
	f := x.Float64()
	switch {
	case math.IsNaN(f):
		return undefined, sci
	case !x.IsFinite():
		return strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "Inf", "inf", 1), sci
	case x.IsZero():
		return "0", sci
	}
	if normal(f) {
		sci = scientific(x, n)
		exp := sci.exp
		sci.mantissa = trimZeros(sci.mantissa)
		if math.Abs(f-math.Round(f)) <= whole*math.Abs(f) && math.Abs(f) < 1e6 {
			return strconv.FormatFloat(f, 'f', 0, 64), sci
		}
		if fixed(exp) {
			return strconv.FormatFloat(f, 'f', max(0, n-1-int(exp)), 64), sci
		}
		return "", sci
	}
	sci = scientific(x, n)
	sci.mantissa = trimZeros(sci.mantissa)
	return "", sci
}

// normal reports whether float64 holds a number with all its digits.
func normal(f float64) bool { return !math.IsInf(f, 0) && math.Abs(f) >= 0x1p-1022 }

// scientific returns a number other than zero with n significant digits.
func scientific(x scaled.Num, n int) decimal {
	f := x.Float64()
	if !normal(f) {
		return beyond(x, n)
	}
	m, e, _ := strings.Cut(strconv.FormatFloat(f, 'e', n-1, 64), "e")
	exp, _ := strconv.ParseInt(e, 10, 64)
	return decimal{m, exp}
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
	return decimal{m, int64(e)}
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

func readerInt(x *big.Int, n int) (plain string, sci decimal) {
	s := x.String()
	if len(s) <= maxPlainInt {
		return s, sci
	}
	f := new(big.Float).SetInt(x)
	m, e, _ := strings.Cut(f.Text('e', n-1), "e")
	exp, _ := strconv.ParseInt(e, 10, 64)
	return "", decimal{trimZeros(m), exp}
}

// String writes the exponent behind an e: 6.0123e194.
func (d decimal) String() string { return d.mantissa + "e" + strconv.FormatInt(d.exp, 10) }

// Plain writes a number as a plain table does.
func Plain(x scaled.Num) string { return Number(x).plain(numerals{digits, decimal.String}) }

// Brief writes a number for a sentence of a page, with four digits.
func Brief(x scaled.Num) string {
	const few = 4
	return Number(x).page(few)
}

// Count writes a whole number for a sentence of a page.
func Count(n int) string { return Int(n).page(digits) }

// numerals is a way of writing numbers for readers: how many significant digits,
// and how an exponent looks.
type numerals struct {
	n   int
	sci func(decimal) string
}

// plain returns the characters of a cell for readers.
func (c Cell) plain(f numerals) string {
	var s string
	var d decimal
	switch {
	case c.kind == intCell:
		s, d = readerInt(c.int, f.n)
	case c.kind == numCell && c.uncertain():
		return Number(c.num).plain(f) + plusMinus + Number(c.err).plain(f)
	case c.kind == numCell && c.text == "":
		s, d = reader(c.num, f.n)
	default:
		return c.text
	}
	if s == "" {
		return f.sci(d)
	}
	return s
}

// Exact is the cell for a file that has one column a number: one beyond float64 as
// digits and a power of ten, which most programs read.
func (c Cell) Exact() Cell {
	if _, rng, _ := jsonValue(c.num); c.kind == numCell && rng != "" {
		return Cell{text: scientific(c.num, 12).String()}
	}
	return c
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
