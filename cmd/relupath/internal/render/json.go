package render

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

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
func writeJSON(w io.Writer, d *Document, indent string, p *Provenance) error {
	e := jsonParts{w, indent}
	if p == nil {
		if err := e.value(reflect.ValueOf(d.Data), ""); err != nil {
			return err
		}
		_, err := io.WriteString(w, "\n")
		return err
	}
	if err := e.open(reflect.ValueOf(d.Data), ""); err != nil {
		return err
	}
	return p.closing(w, "", indent)
}

// encodeJSON writes a value as JSON. What is hidden is escaped beyond what JSON
// asks for: it stands in strings only, so that the value is the same.
func encodeJSON(w io.Writer, v any, prefix, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent(prefix, indent)
	if err := e.Encode(v); err != nil {
		return err
	}
	if !bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return hidden(r) && r != '\n' }) {
		_, err := w.Write(b.Bytes())
		return err
	}
	escaped := make([]byte, 0, b.Len())
	for _, r := range b.String() {
		switch {
		case !hidden(r) || r == '\n':
			escaped = utf8.AppendRune(escaped, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
	}
	_, err := w.Write(escaped)
	return err
}

// WriteList writes an object as indented JSON whose list under a key, empty in the
// object, is filled by what elements adds: they need not be there together. The
// fields before the list are written before elements is called, those after it
// then, and the provenance that is asked for in the end.
func WriteList(w io.Writer, object any, key string, provenance func() (*Provenance, error), elements func(add func(any) error) error) error {
	around := func() (before, after string, err error) {
		var b bytes.Buffer
		err = encodeJSON(&b, object, "", "  ")
		// No string of JSON has quotes that are not escaped.
		before, after, ok := strings.Cut(b.String(), `"`+key+`": []`)
		if err == nil && !ok {
			panic("render: no empty list " + key)
		}
		return before + `"` + key + `": [`, "]" + after, err
	}
	before, _, err := around()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, before); err != nil {
		return err
	}
	n := 0
	err = elements(func(v any) error {
		lead := "\n    "
		if n > 0 {
			lead = "," + lead
		}
		n++
		b := bufio.NewWriterSize(w, 1<<16)
		if _, err := b.WriteString(lead); err != nil {
			return err
		}
		if err := (jsonParts{b, "  "}).value(reflect.ValueOf(v), "    "); err != nil {
			return err
		}
		return b.Flush()
	})
	if err != nil {
		return err
	}
	_, after, err := around()
	if err != nil {
		return err
	}
	if n > 0 {
		after = "\n  " + after
	}
	p, err := provenance()
	if err != nil || p == nil {
		_, failed := io.WriteString(w, after)
		return errors.Join(err, failed)
	}
	if _, err = io.WriteString(w, unclosed(after)); err != nil {
		return err
	}
	return p.closing(w, "", "  ")
}
