package render

import (
	"encoding/json"
	"io"
	"math"

	"github.com/relupath/relupath/analysis/scaled"
)

// Value holds the fields by which JSON shows one number. Value is null where
// float64 cannot hold it; Range then says on which side, and the logarithms
// stay exact. A true zero has value 0 and null logarithms, as has a negative
// number; NaN and infinities are null throughout.
type Value struct {
	Value *float64 `json:"value"`
	Range string   `json:"range,omitempty"`
	Log10 *float64 `json:"log10"`
	Ln    *float64 `json:"ln"`
}

// NewValue returns the fields of x.
func NewValue(x scaled.Num) Value {
	var v Value
	f, rng, ok := jsonValue(x)
	if ok {
		v.Value = &f
	}
	v.Range = rng
	if x.IsFinite() && x.Frac > 0 {
		v.Log10, v.Ln = Real(x.Log10()), Real(x.Ln())
	}
	return v
}

// Real returns x for JSON: nil, which is null, for NaN and infinities.
func Real(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// RealNum returns x for JSON, nil where float64 cannot hold it.
func RealNum(x scaled.Num) *float64 {
	if f, _, ok := jsonValue(x); ok {
		return &f
	}
	return nil
}

// Log10 returns log10 x for JSON; nil for what has none.
func Log10(x scaled.Num) *float64 {
	if !x.IsFinite() || x.Frac <= 0 {
		return nil
	}
	return Real(x.Log10())
}

// jsonValue returns x as a float64, or the side on which it leaves the range.
// Subnormal numbers have lost digits and count as too small.
func jsonValue(x scaled.Num) (f float64, rng string, ok bool) {
	f = x.Float64()
	switch {
	case !x.IsFinite():
		return 0, "", false
	case x.IsZero():
		return 0, "", true
	case math.IsInf(f, 0):
		return 0, "overflow", false
	case math.Abs(f) < 0x1p-1022:
		return 0, "underflow", false
	}
	return f, "", true
}

// writeJSON writes the document's data, on one line when indent is empty.
func writeJSON(w io.Writer, d *Document, indent string) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	return e.Encode(d.Data)
}
