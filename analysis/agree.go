package analysis

import (
	"cmp"
	"math"

	"github.com/relupath/relupath/analysis/scaled"
)

// Agree makes undefined, for the given reason, what two reports of one model differ in:
// measures of the whole, and measures of layers. Layers that only one report has are
// dropped. It is for models that were read with assumed extents of their inputs, twice:
// what does not depend on them is left. Where the extents cut tables, of positions for
// instance, whole is a report of the model with all of each, or has the number of parameters
// alone: what depends on weights is that one's then. It may be nil.
//
// Values agree within 1e-9, relatively: they are sums of the same numbers in another order,
// or iterations from the same start. Counts in the report itself stay; a warning says where
// they differ.
func (r *Report) Agree(with, whole *Report, reason string) {
	if whole == nil {
		whole = &Report{}
	}
	if r.Parameters != with.Parameters && whole.Parameters > 0 {
		r.Parameters, with.Parameters = whole.Parameters, whole.Parameters
		for _, of := range []*Report{r, with} {
			for i := range of.Measures {
				if m := &of.Measures[i]; m.Name == "parameter_count" {
					m.Value = scaled.New(float64(whole.Parameters))
				}
			}
		}
	}
	agreeing(r.Measures, with.Measures, whole.Measures, reason)
	byName := func(layers []Layer) map[string]*Layer {
		out := map[string]*Layer{}
		for i := range layers {
			out[layers[i].Name] = &layers[i]
		}
		return out
	}
	other, all := byName(with.Layers), byName(whole.Layers)
	kept := r.Layers[:0]
	for _, l := range r.Layers {
		if o := other[l.Name]; o != nil {
			var w []Measure
			if l := all[l.Name]; l != nil {
				w = l.Measures
			}
			agreeing(l.Measures, o.Measures, w, reason)
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

// agreeing takes the measures of a that b has otherwise from whole, and makes undefined
// those that it does not have.
func agreeing(a, b, whole []Measure, reason string) {
	values, instead := map[entryKey]scaled.Num{}, map[entryKey]Measure{}
	for i := range b {
		values[b[i].key()] = b[i].Value
	}
	for _, m := range whole {
		instead[m.key()] = m
	}
	for i := range a {
		m := &a[i]
		y, ok := values[m.key()]
		if !m.Defined || ok && same(m.Value, y) {
			continue
		}
		if w := instead[m.key()]; w.Defined {
			*m = w
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
