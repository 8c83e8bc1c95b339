package command

import (
	"slices"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// maxChangedLayers is the number of layers that a plot of changes has.
const maxChangedLayers = 16

// moved are the changes that a plot shows, in per cent: those that are some, of what is no
// logarithm.
func moved(all []measureChange) []measureChange {
	return slices.DeleteFunc(slices.Clone(all), func(c measureChange) bool {
		return !c.rel.IsFinite() || equalValues(c.a, c.b)
	})
}

// diffFigures draws the changes: of one pair those of each measure, and of the layers that change
// most; of several a plot for each measure.
func (o *auditOptions) diffFigures(r *diffJSON) []render.Figure {
	switch len(r.Pairs) {
	case 0:
		return nil
	case 1:
		return append(changeOfMeasures(&r.Pairs[0], o.columns), changeOfLayers(&r.Pairs[0], o.columns)...)
	}
	var out []render.Figure
	for _, first := range r.Pairs[0].shown(o.columns) {
		b := &render.Bars{Axis: "change (%)", Letters: longName, Series: []render.Series{{Name: first.Measure}}}
		for i := range r.Pairs {
			for _, c := range moved(r.Pairs[i].Measures) {
				if c.Measure == first.Measure {
					b.Categories = append(b.Categories, r.Pairs[i].Name)
					b.Series[0].Values = append(b.Series[0].Values, c.rel.MulFloat(100))
				}
			}
		}
		if b.Categories != nil {
			out = append(out, render.Figure{
				Name: "change_" + fileName(first.Measure), Title: first.Measure, Group: "Changes in per cent", Chart: b,
				Caption: "Of the models whose value changes. Each plot has a scale of its own; a logarithmic one has dots.",
			})
		}
	}
	return out
}

// changeOfMeasures is one plot of what changes, in the order of the table.
func changeOfMeasures(p *pairOfModels, columns []string) []render.Figure {
	b := &render.Bars{Axis: "change (%)", Letters: longLabel, Series: []render.Series{{Name: "change"}}}
	for _, c := range moved(p.shown(columns)) {
		b.Categories = append(b.Categories, c.Measure)
		b.Series[0].Values = append(b.Series[0].Values, c.rel.MulFloat(100))
	}
	if b.Categories == nil {
		return nil
	}
	return []render.Figure{{
		Name: "change", Title: "Change of each measure in per cent", Chart: b,
		Caption: "Measures that change, without logarithms. A logarithmic axis has dots.",
	}}
}

// longLabel is the length up to which names of measures are whole beside a plot.
const longLabel = 30

// changeOfLayers has a plot for each norm of layers, of those that change most, the first on top.
func changeOfLayers(p *pairOfModels, columns []string) []render.Figure {
	var out []render.Figure
	for _, label := range layerNormLabels {
		if columns != nil && !asks(columns, label) {
			continue
		}
		var of []changeOfLayer
		for _, c := range p.inLayers {
			if c.measure == label && c.rel.IsFinite() && !c.same {
				of = append(of, c)
			}
		}
		slices.SortStableFunc(of, func(a, b changeOfLayer) int { return b.rel.Abs().Cmp(a.rel.Abs()) })
		of = of[:min(len(of), maxChangedLayers)]
		if len(of) == 0 {
			continue
		}
		b := &render.Bars{Axis: "change (%)", Letters: longName, Series: []render.Series{{Name: label, Values: make([]scaled.Num, len(of))}}}
		for i, c := range of {
			b.Categories = append(b.Categories, c.layer)
			b.Series[0].Values[i] = c.rel.MulFloat(100)
		}
		out = append(out, render.Figure{
			Name: "change_of_layers_" + fileName(label), Title: label, Group: "Layers that change most, in per cent", Chart: b,
			Caption: "The largest changes first. A logarithmic axis has dots.",
		})
	}
	return out
}
