package command

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

// maxDrawn is the number of models up to which each has figures of its own.
const maxDrawn = 4

// diagramOf draws a network's layers; nil for one with too many.
func diagramOf(n *dag.Network) *render.Diagram {
	if boxes := view.Boxes(n); boxes != nil {
		return &render.Diagram{Nodes: boxes}
	}
	return nil
}

// auditFigures draws each of a few models, and several as a sequence.
func auditFigures(r *auditJSON) []render.Figure {
	var out []render.Figure
	if len(r.Models) > 1 {
		out = overModels(r)
	}
	for i, name := range modelNames(r.Models) {
		m := &r.Models[i]
		if m.units == nil {
			continue
		}
		stem, of := "", ""
		if len(r.Models) > 1 {
			stem, of = unsafeName().ReplaceAllString(name, "_")+"_", " of "+name
		}
		out = append(out, layerBars(m, stem, "Norms of the layers"+of)...)
		out = append(out, render.Figure{
			Name: stem + "incoming", Title: "Incoming norms of the units" + of,
			Caption: view.UnitsCaption,
			Chart:   normHistograms([]string{"units"}, m.units),
		})
		out = append(out, spectraFigures(m, stem, of)...)
		if m.diagram != nil {
			out = append(out, render.Figure{
				Name: stem + "network", Title: "Network" + of,
				Caption: view.DrawingCaption, Chart: m.diagram,
			})
		}
	}
	return out
}

// layerNormLabels are the norms of layers that are drawn.
var layerNormLabels = []string{"frobenius", "spectral", "group_norm(1,inf)", "group_norm(2,inf)"}

// layerBars draws the norms of each layer that have the same meaning for all, a plot each.
func layerBars(m *auditedModel, stem, group string) []render.Figure {
	at := map[string]int{}
	var out []render.Figure
	for i := range m.Layers {
		for k := range m.Layers[i].Measures {
			v := &m.Layers[i].Measures[k]
			label := v.label()
			if !slices.Contains(layerNormLabels, label) {
				continue
			}
			if _, ok := at[label]; !ok {
				b := &render.Bars{Axis: label, Series: []render.Series{{Name: label, Values: make([]scaled.Num, len(m.Layers))}}}
				for j := range m.Layers {
					b.Categories = append(b.Categories, m.Layers[j].Name)
				}
				at[label] = len(out)
				out = append(out, render.Figure{
					Name: stem + "layers_" + fileName(label), Title: label, Group: group, Chart: b,
					Caption: "Norms of each layer's weights; where they are far apart, a few layers decide the products over layers. A logarithmic axis has dots.",
				})
			}
			out[at[label]].Chart.(*render.Bars).Series[0].Values[i] = v.num
		}
	}
	return out
}

// fileName makes path_norm_1 of path_norm(1).
func fileName(label string) string {
	return strings.Trim(unsafeName().ReplaceAllString(label, "_"), "_")
}

// normHistograms draws the incoming norms of one network, or of several of the
// same layers in the same strips.
func normHistograms(names []string, of ...[]view.Norms) *render.Histograms {
	h := &render.Histograms{Axis: "2-norm of a unit's incoming weights"}
	for i, l := range of[0] {
		row := render.HistogramRow{Name: l.Layer}
		for k := range of {
			row.Series = append(row.Series, render.Series{Name: names[k], Values: of[k][i].Units})
		}
		h.Rows = append(h.Rows, row)
	}
	return h
}

// overModels draws each measure that several models have, a plot each: bars of the models, or,
// over checkpoints of one run, a line relative to the first.
func overModels(r *auditJSON) []render.Figure {
	var out []render.Figure
	names := modelNames(r.Models)
	at, run := runOf(r.Models)
	units := unitsOf()
	columns, _ := columnsOf(r)
	for _, c := range columns {
		if c.name == "" || r.few != nil && !r.main(c.label, c.name) || c.output || c.defined() < 2 || c.same() {
			continue
		}
		f := render.Figure{Name: "models_" + fileName(c.label), Title: c.label}
		if run {
			f.Group = "Measures over the run, relative to the first checkpoint"
			f.Caption = "The multiple of the first checkpoint's value; of logarithms the difference."
			f.Chart = &render.Lines{X: at, Names: names, Series: []render.Series{{Name: c.label, Values: againstFirst(c.nums, units[c.name])}}}
		} else {
			f.Group = "Measures of the models"
			f.Caption = "Each plot has a scale of its own; a logarithmic one has dots."
			f.Chart = &render.Bars{Axis: c.label, Categories: names, Series: []render.Series{{Name: c.label, Values: c.nums}}}
		}
		out = append(out, f)
	}
	return out
}

// againstFirst divides by the first number, or subtracts it from logarithms and where it is zero.
func againstFirst(of []scaled.Num, unit string) []scaled.Num {
	out := make([]scaled.Num, len(of))
	for i, x := range of {
		if unit == "log" || of[0].IsZero() {
			out[i] = x.Add(of[0].MulFloat(-1))
		} else {
			out[i] = x.Div(of[0])
		}
	}
	return out
}

// plots writes every figure of a document into a folder, which is made where
// it does not exist. Empty means none.
func (a *app) plots(d *render.Document, dir string, old existing) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	a.stage("", "drawing figures")
	for i := range d.Figures {
		a.step(i, len(d.Figures))
		for _, typ := range render.FigureTypes() {
			path := filepath.Join(dir, d.Figures[i].Name+"."+typ)
			if err := a.save(path, old, func(w io.Writer) error { return render.WriteFigure(w, &d.Figures[i], typ) }); err != nil {
				return err
			}
		}
	}
	return nil
}
