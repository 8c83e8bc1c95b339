package command

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/onnxio"
)

// auditJSON is the result of audit, schema relupath.audit/1.
type auditJSON struct {
	Schema string         `json:"schema"`
	Bias   string         `json:"bias"`
	Models []auditedModel `json:"models"`
	Errors []failure      `json:"errors"`
}

type auditedModel struct {
	origin
	SHA256      string         `json:"sha256,omitempty"`
	Parameters  int            `json:"parameters"`
	HiddenUnits int            `json:"hidden_units"`
	Depth       int            `json:"depth"`
	Paths       string         `json:"paths"`
	Scope       scope          `json:"scope"`
	Measures    []measured     `json:"measures"`
	Layers      []auditedLayer `json:"layers"`
	Warnings    []string       `json:"warnings"`
	paths       *big.Int
}

// origin is where a model came from.
type origin struct {
	Path      string `json:"path"`
	Producer  string `json:"producer"`
	IRVersion int64  `json:"ir_version"`
	Opset     int64  `json:"opset"`
}

func newOrigin(path string, m *onnxio.Model) origin {
	return origin{path, m.Producer, m.IRVersion, m.Opset}
}

// String names what wrote the file.
func (o origin) String() string {
	return fmt.Sprintf("%s (IR %d, opset %d)", o.Producer, o.IRVersion, o.Opset)
}

// scope names the operators before and after what is measured.
type scope struct {
	Preamble []string `json:"preamble"`
	Head     []string `json:"head"`
}

type auditedLayer struct {
	Name     string     `json:"name"`
	Op       string     `json:"op"`
	Inputs   int        `json:"inputs"`
	Outputs  int        `json:"outputs"`
	Measures []measured `json:"measures"`
}

// measured is one measure; the fields of its value lie beside its name.
type measured struct {
	Name       string   `json:"name"`
	P          string   `json:"p,omitempty"`
	Q          string   `json:"q,omitempty"`
	Output     string   `json:"output,omitempty"`
	Percentile *float64 `json:"percentile,omitempty"`
	Bias       string   `json:"bias"`
	render.Value
	Invariant bool `json:"invariant"`
	cell      render.Cell
	log       render.Cell
}

func newAudited(path string, m *onnxio.Model, r *analysis.Report) auditedModel {
	out := auditedModel{
		origin:     newOrigin(path, m),
		Parameters: r.Parameters, HiddenUnits: r.HiddenUnits, Depth: r.Depth,
		Paths: r.Paths.String(), paths: r.Paths,
		Scope:    scope{filled(m.Preamble), filled(m.Head)},
		Measures: newMeasured(r.Measures),
		Layers:   []auditedLayer{},
		Warnings: filled(append(append([]string(nil), m.Warnings...), r.Warnings...)),
	}
	for _, l := range r.Layers {
		out.Layers = append(out.Layers, auditedLayer{l.Name, l.Op, l.Inputs, l.Outputs, newMeasured(l.Measures)})
	}
	return out
}

// filled makes nil an empty list, as JSON wants it.
func filled(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func newMeasured(ms []analysis.Measure) []measured {
	out := make([]measured, len(ms))
	for i, m := range ms {
		v := m.Value
		if !m.Defined {
			v.Frac, v.Exp = math.NaN(), 0
		}
		out[i] = measured{Name: m.Name, P: m.P, Q: m.Q, Output: m.Output, Bias: m.Bias,
			Value: render.NewValue(v), Invariant: m.Invariant, cell: render.Number(v)}
		if v.IsFinite() && v.Frac > 0 {
			out[i].log = render.Log(v.Log10())
		}
		if m.Percentile != 0 {
			out[i].Percentile = &m.Percentile
		}
	}
	return out
}

// label names a measure in a table: path_norm(2), group_norm(1,inf).
func (m *measured) label() string {
	var args []string
	for _, s := range []string{m.P, m.Q, m.Output} {
		if s != "" {
			args = append(args, s)
		}
	}
	if m.Percentile != nil {
		args = append(args, strconv.FormatFloat(*m.Percentile, 'g', -1, 64)+"%")
	}
	if len(args) == 0 {
		return m.Name
	}
	return m.Name + "(" + strings.Join(args, ",") + ")"
}

// maxOutputs is the number of outputs up to which a table lists each one's
// path norm; CSV and JSON always do.
const maxOutputs = 10

// listed returns the measures that a table shows: all but single outputs of
// models with many, and the count that stands among the facts.
func listed(ms []measured) (show []measured, left int) {
	outputs := map[string]int{}
	for i := range ms {
		if ms[i].Output != "" {
			outputs[ms[i].Name+"/"+ms[i].P]++
		}
	}
	for i := range ms {
		if ms[i].Name == "parameter_count" {
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

// auditDocument describes the result for every format.
func auditDocument(r *auditJSON, perLayer bool) *render.Document { //nolint:revive // the flag --per-layer
	d := &render.Document{Title: "relupath audit", Data: r, Records: auditRecords(r, perLayer)}
	switch {
	case len(r.Models) == 1:
		d.Tables = append(d.Tables, factTable(&r.Models[0]), measureTable(r.Models[0].Measures))
	case len(r.Models) > 1:
		d.Tables = append(d.Tables, comparison(r.Models))
	}
	left := 0
	for i := range r.Models {
		m := &r.Models[i]
		if perLayer {
			d.Tables = append(d.Tables, layerTable(m, len(r.Models)))
		}
		_, n := listed(m.Measures)
		left = max(left, n)
	}
	d.Notes = warnings(r.Models)
	if left > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("%d measures of single outputs are left out here; --format csv and json have them.", left))
	}
	if len(r.Errors) > 0 {
		d.Tables = append(d.Tables, failureTable(r.Errors))
	}
	return d
}

// warnings lists each warning once, with the models that it is about.
func warnings(models []auditedModel) []string {
	var order []string
	of := map[string][]string{}
	for i := range models {
		for _, w := range models[i].Warnings {
			if of[w] == nil {
				order = append(order, w)
			}
			of[w] = append(of[w], models[i].Path)
		}
	}
	for i, w := range order {
		who := of[w][0]
		if n := len(of[w]); n > 1 {
			who += fmt.Sprintf(" and %d more", n-1)
		}
		order[i] = who + ": " + w
	}
	return order
}

func factTable(m *auditedModel) render.Table {
	t := render.Table{Title: m.Path, Columns: []string{"", ""}}
	t.Add(render.Text("producer"), render.Text(m.origin.String()))
	if m.SHA256 != "" {
		t.Add(render.Text("sha256"), render.Code(m.SHA256))
	}
	for _, f := range facts {
		t.Add(render.Text(f.name), f.cell(m))
	}
	if len(m.Scope.Preamble)+len(m.Scope.Head) > 0 {
		t.Add(render.Text("left out"), render.Text(strings.Join(append(append([]string(nil), m.Scope.Preamble...), m.Scope.Head...), ", ")))
	}
	return t
}

// facts are the counts of a model.
var facts = []struct {
	name, key string
	cell      func(*auditedModel) render.Cell
}{
	{"parameters", "parameters", func(m *auditedModel) render.Cell { return render.Int(m.Parameters) }},
	{"hidden units", "hidden_units", func(m *auditedModel) render.Cell { return render.Int(m.HiddenUnits) }},
	{"depth", "depth", func(m *auditedModel) render.Cell { return render.Int(m.Depth) }},
	{"paths", "paths", func(m *auditedModel) render.Cell { return render.Big(m.paths) }},
}

func measureTable(ms []measured) render.Table {
	t := render.Table{Columns: []string{"measure", "p", "q", "value", "log10", "invariant"}, Keys: 3}
	show, _ := listed(ms)
	for i := range show {
		m := &show[i]
		name := measured{Name: m.Name, Output: m.Output, Percentile: m.Percentile}
		t.Add(render.Code(name.label()), render.Text(m.P), render.Text(m.Q), m.cell, m.log, render.YesNo(m.Invariant))
	}
	return t
}

// maxSideBySide is the number of models up to which each has a column; more
// have a row each.
const maxSideBySide = 4

// comparison is one table of several models.
func comparison(models []auditedModel) render.Table {
	paths := make([]string, len(models))
	for i := range models {
		paths[i] = models[i].Path
	}
	names := shortNames(paths)
	var labels []string
	values := make([]map[string]render.Cell, len(models))
	seen := map[string]bool{}
	add := func(i int, label string, c render.Cell) {
		if !seen[label] {
			seen[label] = true
			labels = append(labels, label)
		}
		values[i][label] = c
	}
	for i := range models {
		values[i] = map[string]render.Cell{}
		for _, f := range facts {
			add(i, f.name, f.cell(&models[i]))
		}
		show, _ := listed(models[i].Measures)
		for k := range show {
			add(i, show[k].label(), show[k].cell)
		}
	}
	if len(models) <= maxSideBySide {
		t := render.Table{Columns: append([]string{"measure"}, names...)}
		for _, l := range labels {
			row := []render.Cell{render.Code(l)}
			for i := range models {
				row = append(row, values[i][l])
			}
			t.Add(row...)
		}
		return t
	}
	t := render.Table{Columns: append([]string{"model"}, labels...)}
	for i, n := range names {
		row := []render.Cell{render.Code(n)}
		for _, l := range labels {
			row = append(row, values[i][l])
		}
		t.Add(row...)
	}
	return t
}

// fixedLayerColumns is the number of columns before the measures.
const fixedLayerColumns = 4

func layerTable(m *auditedModel, models int) render.Table {
	t := render.Table{Columns: []string{"layer", "op", "inputs", "outputs"}}
	if models > 1 {
		t.Title = m.Path
	}
	at := map[string]int{}
	for i := range m.Layers {
		l := &m.Layers[i]
		row := []render.Cell{render.Code(l.Name), render.Code(l.Op), render.Int(l.Inputs), render.Int(l.Outputs)}
		for k := range l.Measures {
			label := l.Measures[k].label()
			if _, ok := at[label]; !ok {
				at[label] = len(t.Columns)
				t.Columns = append(t.Columns, label)
			}
			for len(row) <= at[label] {
				row = append(row, render.Cell{})
			}
			row[at[label]] = l.Measures[k].cell
		}
		t.Add(row...)
	}
	t.Bars(fixedLayerColumns)
	return t
}

func failureTable(fs []failure) render.Table {
	t := render.Table{Title: "not measured", Columns: []string{"model", "node", "op", "reason"}}
	for _, f := range fs {
		for _, o := range f.Obstacles {
			reason := o.Reason
			if o.Remedy != "" {
				reason += ": " + o.Remedy
			}
			t.Add(render.Code(f.Path), render.Code(o.Node), render.Code(o.Op), render.Text(reason))
		}
	}
	return t
}

// auditRecords is the tidy table: one measure of one model or layer a row.
func auditRecords(r *auditJSON, perLayer bool) *render.Table { //nolint:revive // the flag --per-layer
	t := &render.Table{Columns: []string{"path", "layer", "measure", "p", "q", "output", "percentile", "bias",
		"value", "range", "log10", "ln", "invariant"}}
	for i := range r.Models {
		m := &r.Models[i]
		for _, f := range facts {
			t.Add(render.Text(m.Path), render.Cell{}, render.Text(f.key), render.Cell{}, render.Cell{}, render.Cell{},
				render.Cell{}, render.Text(r.Bias), f.cell(m), render.Cell{}, render.Cell{}, render.Cell{}, truth(true))
		}
		recordMeasures(t, m.Path, "", m.Measures)
		if !perLayer {
			continue
		}
		for k := range m.Layers {
			recordMeasures(t, m.Path, m.Layers[k].Name, m.Layers[k].Measures)
		}
	}
	return t
}

func recordMeasures(t *render.Table, path, layer string, ms []measured) {
	for i := range ms {
		m := &ms[i]
		t.Add(render.Text(path), render.Text(layer), render.Text(m.Name), render.Text(m.P), render.Text(m.Q),
			render.Text(m.Output), optional(m.Percentile), render.Text(m.Bias), m.cell, render.Text(m.Range),
			optional(m.Log10), optional(m.Ln), truth(m.Invariant))
	}
}

func optional(x *float64) render.Cell {
	if x == nil {
		return render.Cell{}
	}
	return render.Float(*x)
}

func truth(b bool) render.Cell { //nolint:revive // the cell shows the truth value itself
	return render.Text(strconv.FormatBool(b))
}
