package analysis

import (
	"cmp"
	"math"

	"github.com/relupath/relupath/analysis/scaled"
)

// Agree makes undefined, for the given reason, what two reports of one model differ in:
// measures of the whole, and measures of layers. Layers that only one report has are
// dropped. It is for models that were read with assumed extents of their inputs, twice:
// what does not depend on them is left.
//
// Values agree within 1e-9, relatively: they are sums of the same numbers in another order,
// or iterations from the same start. Counts in the report itself stay; a warning says where
// they differ.
func (r *Report) Agree(with *Report, reason string) {
	agreeing(r.Measures, with.Measures, reason)
	other := map[string]*Layer{}
	for i := range with.Layers {
		other[with.Layers[i].Name] = &with.Layers[i]
	}
	kept := r.Layers[:0]
	for _, l := range r.Layers {
		if o := other[l.Name]; o != nil {
			agreeing(l.Measures, o.Measures, reason)
			kept = append(kept, l)
		}
	}
	r.Layers = kept
	if r.Parameters != with.Parameters || r.HiddenUnits != with.HiddenUnits || r.Depth != with.Depth {
		r.Warnings = append(r.Warnings, "the numbers of parameters and units, and the depth, depend on shapes that are left open")
	}
}

// entryKey tells the entries of a measure apart.
type entryKey struct{ name, p, q, output string }

func (m *Measure) key() entryKey { return entryKey{m.Name, m.P, m.Q, m.Output} }

// agreeing makes undefined the measures of a that b has otherwise.
func agreeing(a, b []Measure, reason string) {
	values := map[entryKey]scaled.Num{}
	for i := range b {
		values[b[i].key()] = b[i].Value
	}
	for i := range a {
		m := &a[i]
		y, ok := values[m.key()]
		if !m.Defined || ok && same(m.Value, y) {
			continue
		}
		m.Value, m.Defined, m.Reason, m.Symbols = scaled.New(math.NaN()), false, cmp.Or(m.Reason, reason), nil
	}
}

// same reports whether two values agree within 1e-9, or are both zero.
func same(x, y scaled.Num) bool {
	if y.IsZero() {
		return x.IsZero()
	}
	return math.Abs(x.Div(y).Float64()-1) <= 1e-9
}
