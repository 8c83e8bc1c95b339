package command

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// maxDrawn is the number of models up to which each has figures of its own.
const maxDrawn = 4

// maxBoxes is the number of layers up to which the network is drawn.
const maxBoxes = 400

// layerNorms has the incoming norms of a layer's units.
type layerNorms struct {
	name  string
	norms []scaled.Num
}

// incomingNorms returns the p-norm of the incoming weights of every unit, layer
// by layer, with the bias among them under IncludeBias.
func incomingNorms(n *dag.Network, p float64, bias analysis.Bias, threads int) []layerNorms {
	var out []layerNorms
	for _, i := range n.Layers() {
		l := n.Nodes[i].Op.(*dag.Linear)
		norms := paths.RowNorms(l, p, threads)
		if b := l.Bias(); b != nil && bias == analysis.IncludeBias {
			for k := range norms {
				norms[k] = scaled.Norm([]scaled.Num{norms[k], scaled.New(b[k])}, p)
			}
		}
		out = append(out, layerNorms{n.Nodes[i].Ref(), norms})
	}
	return out
}

const diagramCaption = "The layers as read. Blue boxes are positively homogeneous, orange ones functions, grey ones stand before or after; numbers are those of the segments, where there are several."

// diagramOf draws a network's layers; nil for one with too many.
func diagramOf(n *dag.Network) *render.Diagram {
	if len(n.Nodes) > maxBoxes {
		return nil
	}
	d, of := &render.Diagram{}, make([]int, len(n.Nodes))
	if segments := n.Segments(); len(segments) > 1 {
		for k, s := range segments {
			for _, i := range s.Nodes {
				of[i] = k + 1
			}
		}
	}
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		what, style := dag.Describe(nd), render.Homogeneous
		if nd.Zone != dag.Body {
			style = render.Outside
		}
		if _, ok := nd.Op.(*dag.Func); ok {
			what, style = nd.Source, render.Function
		}
		if of[i] > 0 {
			what = fmt.Sprintf("%d: %s", of[i], what)
		}
		d.Nodes = append(d.Nodes, render.DiagramNode{
			Label: nd.Ref(), Detail: what + " → " + render.Dims(nd.Shape),
			Style: style, In: nd.In,
		})
	}
	return d
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
			Caption: "How the 2-norms of the units' incoming weights are distributed in each layer; in a balanced network they are narrow and alike. Units with norm 0 are not shown on a logarithmic axis.",
			Chart:   normHistograms([]string{"units"}, m.units),
		})
		out = append(out, spectraFigures(m, stem, of)...)
		if m.diagram != nil {
			out = append(out, render.Figure{
				Name: stem + "network", Title: "Network" + of,
				Caption: diagramCaption, Chart: m.diagram,
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
func normHistograms(names []string, of ...[]layerNorms) *render.Histograms {
	h := &render.Histograms{Axis: "2-norm of a unit's incoming weights"}
	for i, l := range of[0] {
		row := render.HistogramRow{Name: l.name}
		for k := range of {
			row.Series = append(row.Series, render.Series{Name: names[k], Values: of[k][i].norms})
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
		if c.name == "" || c.output || c.defined() < 2 || c.same() {
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
