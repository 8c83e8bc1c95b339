package command

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// maxOutputs is the number of outputs up to which a table lists each one's
// path norm; CSV and JSON always do.
const maxOutputs = 3

// listed returns the measures that a table shows: all but single outputs of
// models with many, the count that stands among the facts, and what is undefined, of which a
// note says why.
func listed(ms []measured) (show []measured, left int) {
	show, left = listedOn(ms)
	return slices.DeleteFunc(show, func(m measured) bool { return m.Reason != "" }), left
}

// listedOn is listed for a page, which says why measures are undefined.
func listedOn(ms []measured) (show []measured, left int) {
	outputs := map[string]int{}
	for i := range ms {
		if ms[i].Output != "" {
			outputs[ms[i].Name+"/"+ms[i].P]++
		}
	}
	for i := range ms {
		if ms[i].Name == "parameter_count" || ms[i].Reason != "" && ms[i].Name == "path_norm_output" {
			continue
		}
		if ms[i].Output != "" && outputs[ms[i].Name+"/"+ms[i].P] > maxOutputs {
			left++
			continue
		}
		show = append(show, ms[i])
	}
	return show, left
}

// tally lists words once, in the order of their first uses, with how often they are there.
func tally(words []string) string {
	count := map[string]int{}
	var order []string
	for _, w := range words {
		if count[w]++; count[w] == 1 {
			order = append(order, w)
		}
	}
	for i, w := range order {
		if n := count[w]; n > 1 {
			order[i] = fmt.Sprintf("%s (%d)", w, n)
		}
	}
	return strings.Join(order, ", ")
}

// factTable has the facts of one model; on a page also what goes in and what comes out.
func (r *auditJSON) factTable(m *auditedModel) render.Table {
	t := render.Table{Title: m.Path, Columns: []string{"", ""}}
	t.Add(render.Text("producer"), render.Text(m.origin.String()))
	if r.page {
		addPorts(&t, m.inputs, m.outputs)
	}
	if m.SHA256 != "" {
		t.Add(render.Text("sha256"), render.Code(m.SHA256))
	}
	for _, f := range facts {
		if c := f.cell(m); c != (render.Cell{}) {
			t.Add(render.Text(f.name), c)
		}
	}
	if len(m.Scope.Preamble)+len(m.Scope.Head) > 0 {
		t.Add(render.Text("left out"), render.Text(tally(slices.Concat(m.Scope.Preamble, m.Scope.Head))))
	}
	switch {
	case m.open != "":
		t.Add(render.Text("not measured"), render.Text("path norms and counts: "+m.open))
	case m.why != "":
		of := "with path norms of their own"
		if !r.segments {
			of += " (--segments)"
		}
		t.Add(render.Text("segments"), render.Text(fmt.Sprintf("%d, %s: %s", len(m.Segments), of, m.why)))
	}
	if m.Data != nil {
		t.Add(render.Text("data"), render.Text(m.Data.String()))
		if g := m.gamma(); g != nil {
			t.Add(render.Text("gamma"), render.Number(*g))
		}
	}
	return t
}

// longName is the length from which a name in the table of segments keeps its end
// only.
const longName = 24

// named gives the first name, and how many there are more.
func named(all []string) string {
	if len(all) == 0 {
		return ""
	}
	s := all[0]
	if r := []rune(s); len(r) > longName {
		s = "…" + string(r[len(r)-longName+1:])
	}
	if len(all) > 1 {
		s += fmt.Sprintf(" +%d", len(all)-1)
	}
	return s
}

// segmentTable shows the parts of a network between functions.
func segmentTable(m *auditedModel, models int) render.Table {
	t := render.Table{Title: "segments", Columns: []string{"segment", "from", "to", "layers", "paths"}}
	if models > 1 {
		t.Title = "segments of " + m.Path
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		row := []render.Cell{
			render.Int(i + 1), render.Code(named(s.Starts)), render.Code(named(s.Ends)), render.Code(named(s.Layers)), render.Big(s.paths),
		}
		for k := range s.Measures {
			if i == 0 {
				t.Columns = append(t.Columns, s.Measures[k].label())
			}
			row = append(row, s.Measures[k].cell())
		}
		t.Add(row...)
	}
	return t
}

func measureTable(ms []measured) render.Table {
	t := render.Table{Title: "measures", Columns: []string{"measure", "p", "q", "value", "log10", "unit", "invariant"}, Keys: 3}
	show, _ := listed(ms)
	units := unitsOf()
	for i := range show {
		m := &show[i]
		name := measured{Name: m.Name, Output: m.Output, Percentile: m.Percentile}
		t.Add(render.Measure(name.label()), render.Text(m.P), render.Text(m.Q), m.cell(), m.log(units[m.Name]), render.Text(units[m.Name]), render.YesNo(m.Invariant))
	}
	return t
}

// symbolTables shows what the bounds are made of. A measure over the margin is
// left out: it is two entries of the measures' table.
func symbolTables(ms []measured) []render.Table {
	t := render.Table{Title: "symbols of the formulas (relupath audit --list)", Columns: []string{"measure", "symbols"}}
	for i := range ms {
		m := &ms[i]
		if len(m.Symbols) == 0 || strings.HasSuffix(m.Name, "_over_margin") {
			continue
		}
		of := lists.Map(m.Symbols, func(s symbol) string { return s.Name + " = " + render.Plain(s.num) })
		t.Add(render.Measure(m.label()), render.Text(strings.Join(of, ", ")))
	}
	if t.Rows == nil {
		return nil
	}
	return []render.Table{t}
}

// layerFacts are what a layer is, beside its name.
var layerFacts = []struct {
	name string
	cell func(*auditedLayer) render.Cell
}{
	{"op", func(l *auditedLayer) render.Cell { return render.Code(l.Op) }},
	{"inputs", func(l *auditedLayer) render.Cell { return render.Int(l.Inputs) }},
	{"outputs", func(l *auditedLayer) render.Cell { return render.Int(l.Outputs) }},
}

// layerTable has the layers of a model, and how many of their measures it leaves out. On a page it is two
// tables, of which the second is to be opened, and the first has the measures first, which a narrow window
// then shows.
func (r *auditJSON) layerTable(m *auditedModel) (out []render.Table, left int) {
	title := "layers"
	if len(r.Models) > 1 {
		title += " of " + m.Path
	}
	labels, left := r.layerLabels(m.Layers)
	if !r.page {
		t := layersOf(m, render.Table{Title: title, Turns: "of the layer"})
		addFacts(&t, m)
		addMeasures(&t, m, labels)
		return []render.Table{t}, left
	}
	var main, rest []string
	for _, label := range labels {
		if name, _, _ := strings.Cut(label, "("); r.main(label, name) {
			main = append(main, label)
		} else {
			rest = append(rest, label)
		}
	}
	t := layersOf(m, render.Table{Title: title})
	addMeasures(&t, m, main)
	addFacts(&t, m)
	out = append(out, t)
	if rest != nil {
		t := layersOf(m, render.Table{Fold: folded(len(rest))})
		addMeasures(&t, m, rest)
		out = append(out, t)
	}
	return out, left
}

// layersOf fills a table with the names of a model's layers.
func layersOf(m *auditedModel, t render.Table) render.Table {
	t.Columns, t.TeX = []string{"layer"}, []string{""}
	for i := range m.Layers {
		t.Add(render.Code(m.Layers[i].Name))
	}
	return t
}

// addFacts adds what the layers are.
func addFacts(t *render.Table, m *auditedModel) {
	for _, f := range layerFacts {
		t.Columns, t.TeX = append(t.Columns, f.name), append(t.TeX, "")
		for i := range m.Layers {
			t.Rows[i] = append(t.Rows[i], f.cell(&m.Layers[i]))
		}
	}
}

// addMeasures adds some measures of the layers, with bars.
func addMeasures(t *render.Table, m *auditedModel, labels []string) {
	from := len(t.Columns)
	for _, label := range labels {
		t.Columns, t.TeX = append(t.Columns, label), append(t.TeX, texOf(label))
		for i := range m.Layers {
			t.Rows[i] = append(t.Rows[i], m.Layers[i].cell(label))
		}
	}
	t.Bars(from)
}

// notMeasured heads the models that could not be measured.
const notMeasured = "not measured"

// longPath is the length from which paths are shortened beside the reasons.
const longPath = 40

// failureTable shows the models that could not be measured: in a line each, or with every
// node and what helps.
func failureTable(fs []failure, verbose bool) render.Table {
	paths := failedPaths(fs)
	names := paths
	if slices.ContainsFunc(paths, func(p string) bool { return len(p) > longPath }) {
		names = shortNames(paths)
	}
	if !verbose {
		t := render.Table{Title: notMeasured, Columns: []string{"model", "reason"}}
		for i, f := range fs {
			t.Add(render.Code(names[i]), render.Text(f.summary()))
		}
		return t
	}
	t := render.Table{Title: notMeasured, Columns: []string{"model", "node", "op", "reason"}}
	for i, f := range fs {
		for _, o := range f.Obstacles {
			reason := o.Reason
			if o.Remedy != "" {
				reason += ": " + o.Remedy
			}
			t.Add(render.Code(names[i]), render.Code(o.Node), render.Code(o.Op), render.Text(reason))
		}
	}
	return t
}

// more reports whether there is more to say than summary does.
func more(f failure) bool {
	return len(f.Obstacles) > 1 || slices.ContainsFunc(f.Obstacles, func(o obstacle) bool { return o.Remedy != "" })
}

// summary says in a line why a model is not measured: the kind of obstacle that most of its
// nodes have, and how many others there are.
func (f *failure) summary() string {
	type kind struct{ op, reason string }
	count := map[kind]int{}
	most := f.Obstacles[0]
	of := func(o obstacle) kind { return kind{o.Op, o.Reason} }
	for _, o := range f.Obstacles {
		count[of(o)]++
	}
	for _, o := range f.Obstacles {
		if count[of(o)] > count[of(most)] {
			most = o
		}
	}
	s := most.Reason
	if n := count[of(most)]; most.Op != "" && n > 1 {
		s = fmt.Sprintf("%s, %s, first %s: %s", most.Op, words.Count(n, "node"), most.Node, s)
	} else if most.Op != "" {
		s = fmt.Sprintf("%s %s: %s", most.Op, most.Node, s)
	}
	if n := len(f.Obstacles) - count[of(most)]; n > 0 {
		s += fmt.Sprintf(" (and %s)", words.Count(n, "other obstacle"))
	}
	return s
}

// auditRecords is the tidy table: one measure of one model or layer a row, made as they are read.
func auditRecords(r *auditJSON) (*render.Table, iter.Seq[[]render.Cell]) {
	t := &render.Table{Columns: []string{
		"path", "layer", "measure", "p", "q", "output", "percentile", "bias",
		"value", "range", "log10", "ln", "invariant", "standard_error", "reason",
	}}
	if r.Baseline != "" {
		t.Columns = append(t.Columns, "ratio")
	}
	return t, func(yield func([]render.Cell) bool) {
		for i := range r.Models {
			if !r.recordModel(&r.Models[i], yield) {
				return
			}
		}
	}
}

// recordModel makes the rows of a model, while yield takes them.
func (r *auditJSON) recordModel(m *auditedModel, yield func([]render.Cell) bool) bool {
	for _, f := range facts {
		if !yield([]render.Cell{
			render.Text(m.Path), {}, render.Text(f.key), {}, {}, {}, {}, render.Text(r.Bias), f.cell(m), {}, {}, {}, truth(true),
		}) {
			return false
		}
	}
	if !recordMeasures(m.Path, "", m.Measures, yield) {
		return false
	}
	if r.perLayer {
		for k := range m.Layers {
			if !recordMeasures(m.Path, m.Layers[k].Name, m.Layers[k].Measures, yield) {
				return false
			}
		}
	}
	return true
}

func recordMeasures(path, layer string, ms []measured, yield func([]render.Cell) bool) bool {
	for i := range ms {
		m := &ms[i]
		row := []render.Cell{
			render.Text(path), render.Text(layer), render.Text(m.Name), render.Text(m.P), render.Text(m.Q),
			render.Text(m.Output), optional(m.Percentile), render.Text(m.Bias), render.Number(m.num), render.Text(m.Range),
			optional(m.Log10), optional(m.Ln), truth(m.Invariant),
			{},
		}
		if m.StandardError != nil {
			row[len(row)-1] = render.Number(m.err)
		}
		row = append(row, render.Text(m.Reason))
		if m.Ratio != nil {
			row = append(row, optional(m.Ratio.Value))
		}
		if !yield(row) {
			return false
		}
	}
	return true
}

func optional(x *float64) render.Cell {
	if x == nil {
		return render.Cell{}
	}
	return render.Float(*x)
}

func truth(b bool) render.Cell {
	return render.Text(strconv.FormatBool(b))
}
