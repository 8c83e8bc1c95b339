package command

import (
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// listJSON is the result of audit --list, schema relupath.measures/1.
type listJSON struct {
	Schema   string       `json:"schema"`
	Measures []listedInfo `json:"measures"`
}

type listedInfo struct {
	Name      string   `json:"name"`
	Params    []string `json:"params"`
	Formula   string   `json:"formula"`
	LaTeX     string   `json:"latex"`
	Source    string   `json:"source"`
	Code      string   `json:"code,omitempty"`
	Unit      string   `json:"unit"`
	Invariant bool     `json:"invariant"`
	Cost      string   `json:"cost"`
	Needs     string   `json:"needs"`
	Scope     string   `json:"scope"`
	Policy    bool     `json:"bias_policy"`
}

// listDocument describes the registry of measures.
func listDocument(registry []analysis.Info) *render.Document {
	r := &listJSON{Schema: "relupath.measures/1", Measures: []listedInfo{}}
	t := render.Table{Title: "measures", Columns: []string{"measure", "of", "unit", "invariant", "cost", "formula"}}
	sources := render.Table{Title: "sources", Columns: []string{"measure", "source"}}
	codes := render.Table{Title: "where published code departs from the paper, or from this: " + analysis.PublishedCode, Columns: []string{"measure", "its code"}}
	for _, i := range registry {
		r.Measures = append(r.Measures, listedInfo{
			i.Name, filled(i.Params), i.Formula, i.LaTeX, i.Source, i.Code, i.Unit, i.Invariant,
			i.Cost.String(), i.Needs.String(), i.Scope.String(), i.Policy,
		})
		t.Add(render.Measure(i.Name), render.Text(i.Scope.String()), render.Text(i.Unit), render.YesNo(i.Invariant),
			render.Text(cost(&i)), render.Formula(i.Formula, i.LaTeX))
		sources.Add(render.Measure(i.Name), render.Text(i.Source))
		if i.Code != "" {
			codes.Add(render.Measure(i.Name), render.Text(i.Code))
		}
	}
	return &render.Document{
		Title: "relupath measures", Label: "relupath-measures", Data: r, Records: listRecords(r),
		Tables: []render.Table{t, sources, codes},
	}
}

// cost says what a measure takes, and what it needs beside the model.
func cost(i *analysis.Info) string {
	if i.Needs == 0 {
		return i.Cost.String()
	}
	return i.Cost.String() + "; " + i.Needs.String()
}

func listRecords(r *listJSON) *render.Table {
	t := &render.Table{Columns: []string{"measure", "params", "scope", "unit", "invariant", "cost", "needs", "bias_policy", "formula", "latex", "source", "code"}}
	for _, m := range r.Measures {
		t.Add(render.Text(m.Name), render.Text(strings.Join(m.Params, " ")), render.Text(m.Scope), render.Text(m.Unit), truth(m.Invariant),
			render.Text(m.Cost), render.Text(m.Needs), truth(m.Policy), render.Text(m.Formula), render.Text(m.LaTeX), render.Text(m.Source), render.Text(m.Code))
	}
	return t
}

// unitsOf maps the measures to the kinds of number that they are.
func unitsOf() map[string]string {
	out := map[string]string{}
	for _, i := range analysis.Registry() {
		out[i.Name] = i.Unit
	}
	return out
}
