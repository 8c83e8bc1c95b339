package command

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/words"
)

// cell shows one of the values: a count with its digits.
func (c *measureChange) cell(x scaled.Num) render.Cell {
	const whole = 1 << 53
	if f := x.Float64(); isFact(c.Measure) && f < whole {
		return render.Int(int(f))
	}
	return render.Number(x).Because(c.Reason)
}

// percent is the change in per cent, or the difference of logarithms.
func (c *measureChange) percent() render.Cell {
	switch {
	case !c.a.IsFinite() || !c.b.IsFinite():
		return render.Cell{}
	case equalValues(c.a, c.b):
		return render.Percent(scaled.Num{})
	case c.rel.IsFinite():
		return render.Percent(c.rel)
	}
	return render.Number(c.b.Add(c.a.MulFloat(-1)))
}

// percentHead heads changes in LaTeX, where a column holds numbers alone.
const percentHead = `\text{change (\%)}`

// singleOutput is the beginning of the labels of measures of one output.
const singleOutput = "path_norm_output("

// diffDocument describes the result for a page or for other readers; CSV has records, which are made
// apart. One pair has all its measures, several the usual ones.
func (o *auditOptions) diffDocument(r *diffJSON, page bool) *render.Document {
	d := &render.Document{Title: "relupath diff", Label: "relupath-diff", Data: r}
	if len(r.Pairs) == 1 {
		p := &r.Pairs[0]
		d.Tables = append(d.Tables, p.tables(o.columns, page)...)
	} else if len(r.Pairs) > 1 {
		d.Tables = append(d.Tables, o.changes(r))
	}
	for _, only := range []struct {
		where string
		names []string
	}{{r.A, r.OnlyA}, {r.B, r.OnlyB}} {
		if n := len(only.names); n > 0 {
			d.Notes = append(d.Notes, fmt.Sprintf("Only below %s: %s", only.where, named(only.names)))
		}
	}
	for i := range r.Pairs {
		if p := &r.Pairs[i]; p.PathMetric != nil {
			name := ""
			if len(r.Pairs) > 1 {
				name = p.Name + ": "
			}
			d.Notes = append(d.Notes, name+p.PathMetric.sentence())
		}
	}
	d.Notes = append(d.Notes, r.undefined...)
	d.Subject, d.Lead, d.Terms = strings.Join(shortNames([]string{r.A, r.B}), " → "), r.verdict(o.columns), termsOf(d.Tables)
	if len(r.Errors) > 0 {
		t := failureTable(r.Errors, o.verbose)
		t.Last = true
		d.Tables = append(d.Tables, t)
	}
	return d
}

// tables has the changes of the measures and of the layers that change most. The change stands
// beside the name, where narrow windows have it in sight; what stays the same is hidden on a page.
func (p *pairOfModels) tables(columns []string, page bool) []render.Table {
	heads := func() render.Table {
		return render.Table{Columns: []string{"measure", "change", "before", "after"}, TeX: []string{"", percentHead, "", ""}}
	}
	all, same, layers := heads(), heads(), heads()
	for _, c := range p.shown(columns) {
		t := &all
		if page && equalValues(c.a, c.b) {
			t = &same
		}
		t.Add(c.name(), c.percent(), c.cell(c.a), c.cell(c.b))
	}
	layers.Columns, layers.TeX = slices.Insert(layers.Columns, 1, "layer"), slices.Insert(layers.TeX, 1, "")
	for _, c := range asked(p.Layers, columns) {
		if c.rel.IsFinite() && !equalValues(c.a, c.b) {
			layers.Add(c.name(), render.Code(c.Layer), c.percent(), render.Number(c.a), render.Number(c.b))
		}
	}
	all.Title, layers.Title = p.A+" to "+p.B, "the layer that changes most"
	if all.Rows != nil {
		n := len(same.Rows)
		same.Fold = fmt.Sprintf("%s %s the same", words.Count(n, "measure"), words.Of(n, "is"))
	} else {
		same.Title = all.Title
	}
	return slices.DeleteFunc([]render.Table{all, same, layers}, func(t render.Table) bool { return t.Rows == nil })
}

// verdict says in a sentence what changes of the measures shown, and where most.
func (r *diffJSON) verdict(columns []string) string {
	if len(r.Pairs) != 1 {
		return fmt.Sprintf("%s %s in both.", words.Count(len(r.Pairs), "model"), words.Of(len(r.Pairs), "is"))
	}
	p := &r.Pairs[0]
	changed, all, out := 0, 0, ""
	for _, c := range p.shown(columns) {
		if !c.a.IsFinite() || !c.b.IsFinite() {
			continue
		}
		if all++; !equalValues(c.a, c.b) {
			changed++
		}
		if c.Measure == "path_norm(2)" && c.rel.IsFinite() {
			out = fmt.Sprintf("; path_norm(2) changes by %s%%", render.Brief(c.rel.MulFloat(100)))
			if equalValues(c.a, c.b) {
				out = "; path_norm(2) stays the same"
			}
		}
	}
	if changed == 0 {
		return "No measure changes."
	}
	out = fmt.Sprintf("%d of %s change", changed, words.Count(all, "measure")) + out
	var most *measureChange
	for i := range p.Layers {
		if c := &p.Layers[i]; c.rel.IsFinite() && (most == nil || c.rel.Abs().Cmp(most.rel.Abs()) > 0) {
			most = c
		}
	}
	if most != nil && !equalValues(most.a, most.b) {
		out += fmt.Sprintf("; of single layers %s of %s most, by %s%%", most.Measure, most.Layer, render.Brief(most.rel.MulFloat(100)))
	}
	return out + "."
}

// asked returns the changes of the columns asked for, in their order; all for nil.
func asked(all []measureChange, columns []string) []measureChange {
	if columns == nil {
		return all
	}
	var out []measureChange
	has := map[string]bool{}
	for _, want := range columns {
		for _, c := range all {
			if !has[c.Measure] && asks([]string{want}, c.Measure) {
				has[c.Measure] = true
				out = append(out, c)
			}
		}
	}
	return out
}

// shown are the changes that a table has: without columns all but those of single outputs. What
// both models lack is in the notes.
func (p *pairOfModels) shown(columns []string) []measureChange {
	return slices.DeleteFunc(slices.Clone(asked(p.Measures, columns)), func(c measureChange) bool {
		return columns == nil && c.single || !c.a.IsFinite() && !c.b.IsFinite()
	})
}

// name names the measure: in LaTeX as mathematics, with a word where its change is no per cent.
func (c *measureChange) name() render.Cell {
	tex := texOf(c.Measure)
	if unitsOf()[nameOf(c.Measure)] == "log" {
		tex += `\ \text{(difference)}`
	}
	return render.Measure(c.Measure).WithTeX(tex)
}

// nameOf returns a measure's name without its orders.
func nameOf(label string) string {
	name, _, _ := strings.Cut(label, "(")
	return name
}

// changes is a pair a row, the change of a measure a column.
func (o *auditOptions) changes(r *diffJSON) render.Table {
	columns := o.columns
	if columns == nil {
		columns = usualColumns
	}
	t := render.Table{Title: fmt.Sprintf("changes of %s", words.Count(len(r.Pairs), "model")), Columns: []string{"model"}, TeX: []string{""}}
	for _, c := range asked(r.Pairs[0].Measures, columns) {
		t.Columns = append(t.Columns, c.Measure)
		tex := cmp.Or(texOf(c.Measure), `\text{`+strings.ReplaceAll(c.Measure, "_", `\_`)+`}`)
		if unitsOf()[nameOf(c.Measure)] == "log" {
			tex += `\text{ (difference)}`
		} else {
			tex += `\ (\%)`
		}
		t.TeX = append(t.TeX, tex)
	}
	for i := range r.Pairs {
		p := &r.Pairs[i]
		row := []render.Cell{render.Code(p.Name)}
		for _, label := range t.Columns[1:] {
			cell := render.Cell{}
			if k := slices.IndexFunc(p.Measures, func(c measureChange) bool { return c.Measure == label }); k >= 0 {
				cell = p.Measures[k].percent()
			}
			row = append(row, cell)
		}
		t.Add(row...)
	}
	return t
}

// diffRecords has one measure of one pair, or of its layer that changes most, a row, made as they
// are read.
func (o *auditOptions) diffRecords(r *diffJSON) (*render.Table, iter.Seq[[]render.Cell]) {
	t := &render.Table{Columns: []string{"a", "b", "layer", "measure", "before", "after", "change", "reason"}}
	return t, func(yield func([]render.Cell) bool) {
		for i := range r.Pairs {
			p := &r.Pairs[i]
			for _, changes := range [][]measureChange{asked(p.Measures, o.columns), asked(p.Layers, o.columns)} {
				for _, c := range changes {
					if !yield([]render.Cell{
						render.Text(p.A), render.Text(p.B), render.Text(c.Layer), render.Text(c.Measure),
						render.Number(c.a).Exact(), render.Number(c.b).Exact(), optional(render.RealNum(c.rel)), render.Text(c.Reason),
					}) {
						return
					}
				}
			}
		}
	}
}
