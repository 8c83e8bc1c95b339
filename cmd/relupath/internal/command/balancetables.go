package command

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/words"
)

func balanceDocument(r *balanceJSON) *render.Document {
	d := &render.Document{
		Title: "relupath balance", Label: "relupath-balance", Data: r, Records: balanceRecords(r),
		Tables: []render.Table{balanceFacts(r), balanceChanges(r), balanceLayers(r), balanceProof(r)}, Notes: slices.Concat(r.Warnings, r.undefined()),
	}
	d.Subject, d.Lead, d.Terms = shortNames([]string{r.Model})[0], r.verdict(), append(termsOf(d.Tables), rangeTerms...)
	if len(r.before) > 0 {
		d.Figures = []render.Figure{{
			Name: "incoming", Title: "Incoming norms of the units",
			Caption: "How the 2-norms of the units' incoming weights (and bias) are distributed in each layer, before and after.",
			Chart:   normHistograms([]string{"before", "after"}, r.before, r.after),
		}}
	}
	return d
}

// verdict says in a sentence whether the function is the same, and what became of it.
func (r *balanceJSON) verdict() string {
	v := &r.Verification
	p := v.proof
	if p == nil {
		return ""
	}
	var out, parts string
	if len(p.Starts) > 0 {
		parts = ", " + bySegment
	}
	switch {
	case p.Unexplained > 0:
		return fmt.Sprintf("Same function: no. Outputs differ by %.1g of the largest, more than the tolerance %.1g.", p.Unexplained, v.Tolerance)
	case len(p.Undecided) > 0:
		return "Same function: not shown, since rounding alone changes the outputs too much."
	case p.BitIdentical:
		out = fmt.Sprintf("Same function: yes%s, bit for bit on %s.", parts, words.Count(p.Inputs, "input"))
	default:
		out = fmt.Sprintf("Same function: yes%s, %.1g (the largest difference of outputs, relative to the largest output, on %s).", parts, p.MaxRel, words.Count(p.Inputs, "input"))
	}
	return out + fmt.Sprintf(" The method %s brings %s from %s to %s.", r.Method, r.Objective.Name, render.Brief(r.Objective.before), render.Brief(r.Objective.after))
}

func balanceFacts(r *balanceJSON) render.Table {
	f := render.Table{Title: "balance", Columns: []string{"", ""}}
	f.Add(render.Text("model"), render.Code(r.Model))
	f.Add(render.Text("method"), render.Text(r.Method))
	f.Add(render.Text("factors"), render.Text(fmt.Sprintf("%s, %d pinned, %s to %s",
		words.Count(r.Factors.Groups, "group"), r.Factors.Pinned, short(r.Factors.Min), short(r.Factors.Max))))
	f.Add(render.Text("sweeps"), render.Int(r.Sweeps))
	if r.Residual != nil {
		f.Add(render.Text("residual"), render.Float(*r.Residual))
	}
	if r.Infimum {
		f.Add(render.Text("infimum"), render.Text(fmt.Sprintf("not attained; reached up to a factor 1+%.3g", r.Delta)))
	}
	if r.Exact {
		f.Add(render.Text("optimum"), render.Number(r.optimum))
	}
	f.Add(render.Text("proof"), render.Text(r.Verification.how()))
	f.Add(render.Text("written"), render.Code(cmp.Or(r.Output, "nothing")))
	return f
}

// changes lists what is compared before and after, by its part of the report.
func (r *balanceJSON) changes() []change {
	return slices.Concat([]change{r.Objective}, r.Invariants, r.Spreads, r.Ranges)
}

func balanceChanges(r *balanceJSON) render.Table {
	t := render.Table{Title: "before and after", Columns: []string{"quantity", "p", "before", "after"}, Keys: 2}
	for i, c := range r.changes() {
		name := c.Name
		if i == 0 {
			name += " (objective)"
		}
		t.Add(render.Measure(name), render.Text(c.P), render.Number(c.before), render.Number(c.after))
	}
	return t
}

func balanceLayers(r *balanceJSON) render.Table {
	t := render.Table{Title: "2-norms of the layers, and of their units' incoming weights", Columns: []string{
		"layer", "units",
		"norm", "after", "smallest unit", "after", "largest unit", "after",
	}}
	for _, l := range r.Layers {
		t.Add(render.Code(l.Layer), render.Int(l.Units), render.Number(l.Frobenius.before), render.Number(l.Frobenius.after),
			render.Number(l.Smallest.before), render.Number(l.Smallest.after), render.Number(l.Largest.before), render.Number(l.Largest.after))
	}
	return t
}

func balanceProof(r *balanceJSON) render.Table {
	v := &r.Verification
	t := render.Table{
		Title:   fmt.Sprintf("outputs before and after; tolerance %.3g relative to the largest", v.Tolerance),
		Columns: []string{"inputs", "number", "absolute difference", "relative difference", "bit-identical"},
	}
	for _, k := range v.Kinds {
		t.Add(render.Text(k.Kind), render.Int(k.Inputs), optional(k.MaxAbs), optional(k.MaxRel), render.YesNo(k.BitIdentical))
	}
	return t
}

// balanceRecords is the tidy table: one quantity a row.
func balanceRecords(r *balanceJSON) *render.Table {
	t := &render.Table{Columns: []string{"layer", "quantity", "p", "before", "after", "before_log10", "after_log10"}}
	row := func(layer string, c change) {
		t.Add(render.Text(layer), render.Text(c.Name), render.Text(c.P), optional(c.Before), optional(c.After),
			optional(c.BeforeLog10), optional(c.AfterLog10))
	}
	for _, c := range r.changes() {
		row("", c)
	}
	for _, l := range r.Layers {
		row(l.Layer, l.Frobenius)
		row(l.Layer, l.Smallest)
		row(l.Layer, l.Largest)
		row(l.Layer, l.ChannelRange)
	}
	add := func(name string, x *float64) {
		t.Add(render.Cell{}, render.Text(name), render.Cell{}, render.Cell{}, optional(x))
	}
	add("factor_min", r.Factors.Min)
	add("factor_max", r.Factors.Max)
	for _, k := range r.Verification.Kinds {
		add("max_abs_diff_"+k.Kind, k.MaxAbs)
		add("max_rel_diff_"+k.Kind, k.MaxRel)
	}
	return t
}

// short writes a number with few digits; null, which JSON has for an infinite
// one, as infinite.
func short(x *float64) string {
	if x == nil {
		return "infinite"
	}
	return fmt.Sprintf("%.4g", *x)
}
