package command

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/words"
)

const auditSchema = "relupath.audit/1"

// auditJSON is the result of audit, schema relupath.audit/1.
type auditJSON struct {
	Schema string `json:"schema"`
	Bias   string `json:"bias"`
	// Baseline is the model to whose values the ratios are.
	Baseline string         `json:"baseline,omitempty"`
	Models   []auditedModel `json:"models"`
	Errors   []failure      `json:"errors"`
	// perLayer shows the layers too, segments the parts between functions.
	perLayer, segments bool
	// columns are what tables show, nil for everything; usual says that nobody asked for them.
	// ofLayers are those of layers.
	columns, ofLayers []string
	usual             bool
	// few are columns that a page shows before the rest is opened; nil for everything.
	few []string
	// verbose shows every reason of what is not measured; page is for a page.
	verbose, page bool
}

// auditLine is one model of --format jsonl, failedLine one that could not be
// measured.
type auditLine struct {
	Schema string `json:"schema"`
	Bias   string `json:"bias"`
	*auditedModel
}

type failedLine struct {
	Schema string `json:"schema"`
	failure
}

type auditedModel struct {
	origin
	SHA256      string         `json:"sha256,omitempty"`
	Parameters  int            `json:"parameters"`
	HiddenUnits int            `json:"hidden_units"`
	Depth       int            `json:"depth"`
	Paths       string         `json:"paths"`
	Scope       scope          `json:"scope"`
	Data        *auditedData   `json:"data,omitempty"`
	Measures    []measured     `json:"measures"`
	Layers      []auditedLayer `json:"layers"`
	// Segments are the parts between functions, of a network that has several.
	Segments []auditedSegment `json:"segments,omitempty"`
	Warnings []string         `json:"warnings"`
	paths    *big.Int
	why      string // of Report.Apart
	open     string // of Options.Open
	// What pages show beside: inputs and outputs, norms of units, a drawing.
	inputs, outputs []port
	units           []view.Norms
	diagram         *render.Diagram
}

// origin is where a model came from.
type origin struct {
	Path      string `json:"path"`
	Producer  string `json:"producer"`
	IRVersion int64  `json:"ir_version"`
	Opset     int64  `json:"opset"`
}

func newOrigin(path string, m *modelFile) origin {
	return origin{path, m.Producer, m.IRVersion, m.Opset}
}

// String names what wrote the file.
func (o origin) String() string {
	return fmt.Sprintf("%s (IR %d, opset %d)", cmp.Or(o.Producer, "unknown"), o.IRVersion, o.Opset)
}

// scope names the operators before and after what is measured.
type scope struct {
	Preamble []string `json:"preamble"`
	Head     []string `json:"head"`
}

// auditedData is what margins and bounds are of: which split of which data, how
// many examples, the layer whose values are the scores, the names of the labels 0, 1...
type auditedData struct {
	Name     string   `json:"name"`
	Split    string   `json:"split,omitempty"`
	Examples int      `json:"examples"`
	Scores   string   `json:"scores"`
	Classes  []string `json:"classes,omitempty"`
}

// String says it in a line.
func (d *auditedData) String() string {
	s := fmt.Sprintf("%s, m = %d, scores of %s", d.Name, d.Examples, d.Scores)
	if c := mapping(d.Classes); c != "" {
		s += ", classes " + c
	}
	return s
}

// dataOf says what margins and bounds are of. A bound holds for the sample that the
// network was trained on. It returns nil without data.
func dataOf(at *scoring) (d *auditedData, warnings []string) {
	if at == nil {
		return nil, nil
	}
	set := at.set
	warnings = slices.Clone(at.warnings)
	if set.Split() == dataset.Test {
		warnings = append(warnings, "margins and bounds are of the test split: a bound holds for the sample that the network was trained on (split=train)")
	}
	return &auditedData{set.Name(), string(set.Split()), set.Len(), at.name, set.ClassNames()}, warnings
}

// gamma is the margin that the measures of a model are over; nil where none is.
func (m *auditedModel) gamma() *scaled.Num {
	for i := range m.Measures {
		for k := range m.Measures[i].Symbols {
			if s := &m.Measures[i].Symbols[k]; s.Name == "gamma" {
				return &s.num
			}
		}
	}
	return nil
}

type auditedLayer struct {
	Name     string     `json:"name"`
	Op       string     `json:"op"`
	Inputs   int        `json:"inputs"`
	Outputs  int        `json:"outputs"`
	Measures []measured `json:"measures"`
	// spectra are drawn.
	spectra []analysis.Spectrum
}

// auditedSegment is one positively homogeneous part of a network.
type auditedSegment struct {
	Starts   []string   `json:"starts"`
	Ends     []string   `json:"ends"`
	Layers   []string   `json:"layers"`
	Paths    string     `json:"paths"`
	Measures []measured `json:"measures"`
	paths    *big.Int
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
	// Reason says why a measure has no value.
	Reason string `json:"reason,omitempty"`
	// StandardError is that of a value that is estimated from random draws.
	StandardError *render.Value `json:"standard_error,omitempty"`
	// Ratio is the value over the baseline's.
	Ratio   *render.Value `json:"ratio,omitempty"`
	Symbols []symbol      `json:"symbols,omitempty"`
	num     scaled.Num
	ratio   scaled.Num
	err     scaled.Num // the standard error
}

// symbol is a letter of a formula and its value.
type symbol struct {
	Name string `json:"name"`
	render.Value
	num scaled.Num
}

func newAudited(path string, m *modelFile, r *analysis.Report) auditedModel {
	out := auditedModel{
		origin:     newOrigin(path, m),
		Parameters: r.Parameters, HiddenUnits: r.HiddenUnits, Depth: r.Depth,
		paths:    r.Paths,
		Scope:    scope{filled(m.Preamble), filled(m.Head)},
		Measures: newMeasured(r.Measures),
		Layers:   []auditedLayer{},
		Warnings: filled(append(append([]string(nil), m.Warnings...), r.Warnings...)),
	}
	if out.why = r.Apart; r.Paths != nil {
		out.Paths = r.Paths.String()
	}
	for _, s := range r.Segments {
		out.Segments = append(out.Segments, auditedSegment{
			s.Starts, s.Ends, s.Layers, s.Paths.String(), newMeasured(s.Measures), s.Paths,
		})
	}
	for _, l := range r.Layers {
		out.Layers = append(out.Layers, auditedLayer{l.Name, l.Op, l.Inputs, l.Outputs, newMeasured(l.Measures), l.Spectra})
	}
	return out
}

// filled makes nil an empty list, as JSON wants it.
func filled[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

func newMeasured(ms []analysis.Measure) []measured {
	out := make([]measured, len(ms))
	for i := range ms {
		m := &ms[i]
		v := m.Value
		if !m.Defined {
			v = scaled.New(math.NaN())
		}
		out[i] = measured{
			Name: m.Name, P: m.P, Q: m.Q, Output: m.Output, Bias: m.Bias,
			Value: render.NewValue(v), Invariant: m.Invariant, Reason: m.Reason, num: v,
		}
		if m.Percentile != 0 {
			out[i].Percentile = &m.Percentile
		}
		if e := m.StandardError; !e.IsZero() && m.Defined {
			v := render.NewValue(e)
			out[i].StandardError, out[i].err = &v, e
		}
		for _, s := range m.Symbols {
			out[i].Symbols = append(out[i].Symbols, symbol{s.Name, render.NewValue(s.Value), s.Value})
		}
	}
	return out
}

// cell returns the value for a table, with its standard error if it has one, log
// its decimal logarithm where that means something for its unit.
func (m *measured) cell() render.Cell {
	if m.StandardError == nil {
		return render.Number(m.num)
	}
	return render.WithError(m.num, m.err)
}

func (m *measured) log(unit string) render.Cell {
	if unit == "log" || unit == "share" || !m.num.IsFinite() || m.num.Frac <= 0 {
		return render.Cell{}
	}
	return render.Log(m.num.Log10())
}

// label names a measure in a table: path_norm(2), group_norm(1,inf).
func (m *measured) label() string {
	of := m.of()
	return (&analysis.Measure{Name: of.name, P: of.p, Q: of.q, Output: of.output, Percentile: of.percentile}).Label()
}

// identity is what tells a measure from the others of a model or layer.
type identity struct {
	name, p, q, output string
	percentile         float64
}

func (m *measured) of() identity {
	out := identity{m.Name, m.P, m.Q, m.Output, 0}
	if m.Percentile != nil {
		out.percentile = *m.Percentile
	}
	return out
}

// fact is a count of a model.
type fact struct {
	name, key string
	cell      func(*auditedModel) render.Cell
	num       func(*auditedModel) scaled.Num
}

// count is a fact that an int holds.
func count(name, key string, of func(*auditedModel) int) fact {
	return fact{
		name, key, func(m *auditedModel) render.Cell { return render.Int(of(m)) },
		func(m *auditedModel) scaled.Num { return scaled.New(float64(of(m))) },
	}
}

var facts = []fact{
	count("parameters", "parameters", func(m *auditedModel) int { return m.Parameters }),
	count("hidden units", "hidden_units", func(m *auditedModel) int { return m.HiddenUnits }),
	count("depth", "depth", func(m *auditedModel) int { return m.Depth }),
	{
		"paths", "paths", func(m *auditedModel) render.Cell {
			if m.paths == nil {
				return render.Cell{} // see the segments
			}
			return render.Big(m.paths)
		},
		func(m *auditedModel) scaled.Num {
			if m.paths == nil {
				return scaled.New(math.NaN())
			}
			return render.BigNum(m.paths)
		},
	},
}

// auditDocument describes the result for every format but CSV, whose records are
// many: see auditRecords.
func auditDocument(r *auditJSON) *render.Document {
	d := &render.Document{Title: "relupath audit", Label: "relupath-audit", Data: r}
	switch {
	case len(r.Models) == 1 && r.columns == nil:
		m := &r.Models[0]
		d.Tables = append(d.Tables, r.factTable(m))
		if r.page {
			d.Tables = append(d.Tables, r.pageMeasures(m.Measures)...)
		} else if t := measureTable(m.Measures); t.Rows != nil {
			d.Tables = append(d.Tables, t)
		}
		d.Tables = append(d.Tables, symbolTables(m.Measures)...)
	case len(r.Models) > 0 && r.page:
		d.Tables = append(d.Tables, pageComparison(r)...)
	case len(r.Models) > 0:
		d.Tables = append(d.Tables, comparison(r))
	}
	left, leftOfLayers := 0, 0
	for i := range r.Models {
		m := &r.Models[i]
		if len(m.Segments) > 0 && r.segments {
			d.Tables = append(d.Tables, segmentTable(m, len(r.Models)))
		}
		if r.perLayer {
			t, n := r.layerTable(m)
			d.Tables, leftOfLayers = append(d.Tables, t...), max(leftOfLayers, n)
		}
		_, n := listed(m.Measures)
		left = max(left, n)
	}
	d.Notes = append(dataNotes(r.Models), warnings(r.Models)...)
	if !r.page { // which says it beside the value
		d.Notes = append(d.Notes, undefinedNotes(r.Models, r.columns)...)
	}
	if r.columns == nil {
		if len(r.Models) > 1 {
			_, alone := columnsOf(r)
			left += alone
		}
		if left > 0 {
			d.Notes = append(d.Notes, fmt.Sprintf("Left out here: %s of single outputs; --format csv and json have them.", words.Count(left, "measure")))
		}
	} else if n := r.unshown(); n > 0 && r.usual {
		d.Notes = append(d.Notes, fmt.Sprintf("%s: --measures fast shows all of these, --columns some; --list says what there are.", words.Count(n, "more measure")))
	}
	if leftOfLayers > 0 && r.usual {
		d.Notes = append(d.Notes, fmt.Sprintf("%s of layers: --measures fast shows all of these, --columns some.", words.Count(leftOfLayers, "more measure")))
	}
	if len(r.Models) > 1 {
		d.Marks = marksOfComparison
	}
	if r.Baseline != "" {
		d.Notes = append(d.Notes, "Values followed by x are multiples of those of "+r.Baseline+".")
	}
	if len(r.Errors) > 0 {
		d.Tables = append(d.Tables, failureTable(r.Errors, r.verbose))
		if !r.verbose && slices.ContainsFunc(r.Errors, more) {
			d.Notes = append(d.Notes, "What stands in the way, node by node, and what helps: --verbose, or --format json.")
		}
	}
	return d
}

// dataNotes says for several models what their margins and bounds are of.
func dataNotes(models []auditedModel) []string {
	if len(models) < 2 {
		return nil // a table has it
	}
	var out []string
	for i := range models {
		m := &models[i]
		if m.Data == nil {
			continue
		}
		note := m.Path + ": margins and bounds are of " + m.Data.String()
		if g := m.gamma(); g != nil {
			note += ", gamma = " + render.Plain(*g)
		}
		out = append(out, note)
	}
	return out
}

// warnings lists each warning once, with the models that it is about.
func warnings(models []auditedModel) []string {
	return saidOnce(models, func(m *auditedModel) []string { return m.Warnings })
}

// saidOnce lists what is to be said of models, each sentence once, with the models that it is about.
func saidOnce(models []auditedModel, say func(*auditedModel) []string) []string {
	var order []string
	of := map[string][]string{}
	for i := range models {
		for _, w := range say(&models[i]) {
			if of[w] == nil {
				order = append(order, w)
			}
			if !slices.Contains(of[w], models[i].Path) {
				of[w] = append(of[w], models[i].Path)
			}
		}
	}
	for i, w := range order {
		order[i] = words.Some(of[w], 1) + ": " + w
	}
	return order
}
