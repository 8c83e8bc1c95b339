package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/analysis/study"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// studyJSON is the result of audit --rescalings, schema relupath.study/1.
type studyJSON struct {
	Schema string         `json:"schema"`
	Bias   string         `json:"bias"`
	Models []studiedModel `json:"models"`
	Errors []failure      `json:"errors"`
	// verbose shows every reason of what is not studied.
	verbose bool
}

type studiedModel struct {
	origin
	// Networks is the number of equivalent networks drawn, Groups that of the
	// factors of each.
	Networks int          `json:"networks"`
	Groups   int          `json:"groups"`
	Data     *auditedData `json:"data,omitempty"`
	Measures []studied    `json:"measures"`
	Warnings []string     `json:"warnings,omitempty"`
}

// studied is one measure over the equivalent networks.
type studied struct {
	measured
	Least render.Value `json:"least"`
	Most  render.Value `json:"most"`
	// Decades is how far the measure moves, in powers of ten; null when it
	// becomes zero.
	Decades *float64 `json:"decades"`
	// Undefined counts the networks for which it has no value.
	Undefined  int `json:"undefined"`
	least, max scaled.Num
	decades    float64
}

// studyOne studies one model and closes it.
func (w *auditWork) studyOne(ctx context.Context, path string, opt analysis.Options) (out studiedModel, err error) {
	err = w.withAssumed(ctx, path, &w.options.modelFlags, "rescale", func(m *modelFile, assumed *modelFlags) error {
		at, err := w.scoring(ctx, m, &opt)
		if err != nil {
			return err
		}
		w.stage(path, "measuring equivalent networks")
		r, err := study.Run(ctx, m.Net, opt, study.Options{
			N: w.options.rescalings, Seed: w.seed,
			Each: w.step,
		})
		if err != nil {
			return err
		}
		out = studiedModel{origin: newOrigin(path, m), Networks: r.N, Groups: r.Groups}
		out.Data, out.Warnings = dataOf(at)
		out.Warnings = append(out.Warnings, ofShape(assumed)...)
		for _, row := range r.Rows {
			out.Measures = append(out.Measures, studied{
				newMeasured([]analysis.Measure{row.Measure})[0],
				render.NewValue(row.Least), render.NewValue(row.Most), render.Real(row.Decades), row.Undefined,
				row.Least, row.Most, row.Decades,
			})
		}
		return nil
	})
	return out, err
}

// study draws equivalent networks of each model, one model at a time.
func (o *auditOptions) study(ctx context.Context, w *auditWork) error {
	r := &studyJSON{Schema: "relupath.study/1", Bias: w.bias, Models: []studiedModel{}, Errors: []failure{}}
	opt := w.measure
	opt.Threads = w.threads
	for _, path := range w.paths {
		var m studiedModel
		err := recovered(func() error {
			return w.guard(func() (err error) {
				m, err = w.studyOne(ctx, path, opt)
				return err
			})
		})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			r.Errors = append(r.Errors, newFailure(path, err))
			continue
		}
		r.Models = append(r.Models, m)
	}
	interrupted := ctx.Err()
	if interrupted != nil && len(r.Models)+len(r.Errors) == 0 {
		return interrupted
	}
	r.verbose = o.verbose
	d := studyDocument(r)
	if interrupted != nil {
		d.Notes = append(d.Notes, w.cutShort(len(r.Models)+len(r.Errors)))
	}
	if err := errors.Join(w.report(d, o.output, w.existing()), w.plots(d, o.plots, w.existing())); err != nil {
		return err
	}
	if interrupted != nil {
		return interrupted
	}
	return w.failures(r.Errors, len(w.paths))
}

func studyDocument(r *studyJSON) *render.Document {
	d := &render.Document{Title: "relupath rescaling study", Label: "relupath-study", Data: r, Records: studyRecords(r)}
	paths := lists.Map(r.Models, func(m studiedModel) string { return m.Path })
	for i, name := range shortNames(paths) {
		m := &r.Models[i]
		t := render.Table{
			Title:   fmt.Sprintf("%s and %d rescaling-equivalent networks, %s each", m.Path, m.Networks, words.Count(m.Groups, "factor")),
			Columns: []string{"measure", "p", "q", "value", "least", "largest", "decades", "invariant"}, Keys: 3,
		}
		bars := &render.Bars{Axis: "decades that the measure moves", Series: []render.Series{{Name: "decades"}}, Letters: 34}
		for k := range m.Measures {
			s := &m.Measures[k]
			if s.Output != "" || s.Name == "parameter_count" {
				continue
			}
			plain := measured{Name: s.Name, Percentile: s.Percentile}
			t.Add(render.Measure(plain.label()), render.Text(s.P), render.Text(s.Q), s.cell(), render.Number(s.least),
				render.Number(s.max), render.Log(s.decades), render.YesNo(s.Invariant))
			bars.Categories = append(bars.Categories, s.label())
			bars.Series[0].Values = append(bars.Series[0].Values, tiny(s.decades))
		}
		t.Bars(len(t.Columns) - 2)
		d.Tables = append(d.Tables, t)
		if m.Data != nil {
			d.Notes = append(d.Notes, m.Path+": margins and bounds are of "+m.Data.String())
		}
		for _, w := range m.Warnings {
			d.Notes = append(d.Notes, m.Path+": "+w)
		}
		stem := ""
		if len(r.Models) > 1 {
			stem = unsafeName().ReplaceAllString(name, "_") + "_"
		}
		d.Figures = append(d.Figures, render.Figure{
			Name: stem + "rescalings", Title: "How far each measure moves: " + name,
			Caption: fmt.Sprintf("The largest change of each measure over %s that compute the same function, in powers of ten. Invariant measures do not move.", words.Count(m.Networks, "network")),
			Chart:   bars,
		})
	}
	d.Subject, d.Terms = subject(paths), termsOf(d.Tables)
	d.Lead = "How far measures move over networks that compute the same function: those that are invariant do not."
	if len(r.Errors) > 0 {
		t := failureTable(r.Errors, r.verbose)
		t.Last = true
		d.Tables = append(d.Tables, t)
	}
	return d
}

// tiny draws what only rounding moves as nothing.
func tiny(decades float64) scaled.Num {
	if decades < equalTo {
		return scaled.Num{}
	}
	return scaled.New(decades)
}

// studyRecords is the tidy table: one measure of one model a row.
func studyRecords(r *studyJSON) *render.Table {
	t := &render.Table{Columns: []string{
		"path", "measure", "p", "q", "output", "percentile", "networks", "value", "least", "most",
		"decades", "undefined", "invariant",
	}}
	for i := range r.Models {
		m := &r.Models[i]
		for k := range m.Measures {
			s := &m.Measures[k]
			t.Add(render.Text(m.Path), render.Text(s.Name), render.Text(s.P), render.Text(s.Q), render.Text(s.Output), optional(s.Percentile),
				render.Int(m.Networks), s.cell(), render.Number(s.least), render.Number(s.max), optional(s.Decades),
				render.Int(s.Undefined), truth(s.Invariant))
		}
	}
	return t
}
