package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
)

// usualColumns are what a table of several models shows where nothing is asked for: they
// fit 80 columns with names of up to 29 letters. Measures of the data come with the data.
var usualColumns = []string{"parameters", "path_norm(1)", "path_norm(2)", "frobenius"}

// shown returns what tables show, nil for everything: what --columns says, else everything
// that is asked for, else the usual columns, with the orders of --p and what --sort sorts
// by. Pages, CSV and JSON have everything.
func (o *auditOptions) shown(format string) []string {
	if o.columns == nil && !o.several {
		return nil
	}
	return o.inTables(format, o.few())
}

// inTables returns what --columns says, else what is usual where a table is to be read and nothing is
// asked for.
func (o *auditOptions) inTables(format string, usual []string) []string {
	if o.columns != nil || o.chosen {
		return o.columns
	}
	switch render.Format(format) {
	case render.TableFormat, render.Markdown, render.LaTeX:
		return usual
	}
	return nil
}

// usualLayerColumns are what tables of layers show where nothing is asked for.
var usualLayerColumns = []string{"group_norm(1,inf)", "frobenius"}

// shownOfLayers is shown for tables of layers.
func (o *auditOptions) shownOfLayers(format string) []string {
	return o.inTables(format, slices.Concat(usualLayerColumns, o.beside(analysis.NeedsReference)))
}

// few are the columns that are shown where nothing is asked for.
func (o *auditOptions) few() []string {
	out := slices.Clone(usualColumns)
	if o.ordered {
		out = slices.DeleteFunc(out, func(c string) bool { return strings.HasPrefix(c, "path_norm") })
		out = slices.Insert(out, 1, "path_norm")
	}
	if by := strings.TrimPrefix(o.sort, "-"); by != "" && !slices.Contains(out, by) {
		out = append(out, by)
	}
	return append(out, o.beside(analysis.NeedsData|analysis.NeedsReference)...)
}

// beside lists the measures of what is given beside the models: of data, of a reference.
func (o *auditOptions) beside(of analysis.Need) (out []string) {
	if o.data == "" {
		of &^= analysis.NeedsData
	}
	if o.reference == "" {
		of &^= analysis.NeedsReference
	}
	for _, i := range analysis.Registry() {
		if i.Needs&of != 0 {
			out = append(out, i.Name)
		}
	}
	return out
}

// columnList is a list of columns, whose commas in parentheses are parts of a name.
type columnList []string

func (l *columnList) String() string { return strings.Join(*l, ",") }

func (l *columnList) Set(s string) error {
	depth := 0
	*l = append(*l, strings.FieldsFunc(s, func(r rune) bool {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		return r == ',' && depth == 0
	})...)
	if len(*l) == 0 {
		return errors.New("want a list of counts and measures")
	}
	for i := range *l {
		(*l)[i] = strings.TrimSpace((*l)[i])
	}
	return nil
}

func (*columnList) Type() string { return "names" }

// measureList is a columnList with a default, which what is given replaces.
type measureList struct {
	names *[]string
	given bool
}

func (l *measureList) String() string { return strings.Join(*l.names, ",") }

func (l *measureList) Set(s string) error {
	var c columnList
	if err := c.Set(s); err != nil {
		return errors.New("want a list of measures, or fast, tails or all")
	}
	if !l.given {
		*l.names = nil
	}
	*l.names, l.given = append(*l.names, c...), true
	return nil
}

func (*measureList) Type() string { return "names" }

func isFact(name string) bool {
	return slices.ContainsFunc(facts, func(f fact) bool { return name == f.key || name == f.name })
}

func factNames() []string {
	return lists.Map(facts, func(f fact) string { return f.key })
}

// named takes the orders off the names in --measures and returns the names that had some.
// Then only these orders are measured, unless --p is given or something without them has
// all the orders of --p.
func (o *auditOptions) named() []string {
	params := paramsOf()
	var with, names []string
	all := o.ordered
	for _, m := range o.measures {
		name, _, has := strings.Cut(m, "(")
		if has {
			with = append(with, m)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		p, known := params[name]
		all = all || !has && (!known || p != nil)
	}
	if o.measures = names; with != nil && !all {
		o.p = nil
	}
	return with
}

// paramsOf has the orders that each measure has.
func paramsOf() map[string][]string {
	params := map[string][]string{}
	for _, i := range analysis.Registry() {
		params[i.Name] = i.Params
	}
	return params
}

// columnsWanted adds to what is measured what --columns, --fail-if and --sort name, and the
// orders named in --measures: a measure that is not fast, orders of path norms and group norms.
// Errors: an order that is none.
func (o *auditOptions) columnsWanted(opt *analysis.Options, named []string) error {
	for _, c := range named {
		if err := ordersOf(c, opt); err != nil {
			return fmt.Errorf("--measures: %w", err)
		}
	}
	opt.Names = slices.Clone(opt.Names)
	for _, in := range o.namesIn()[1:] {
		for _, c := range in.names {
			if err := ordersOf(c, opt); err != nil {
				return fmt.Errorf("%s: %w", in.flag, err)
			}
			if name, _, _ := strings.Cut(c, "("); !isFact(c) {
				opt.Names = append(opt.Names, name)
			}
		}
	}
	return nil
}

// ordersOf adds the orders of a name such as path_norm(2) or group_norm(1,inf).
func ordersOf(c string, opt *analysis.Options) error {
	name, rest, has := strings.Cut(c, "(")
	if !has || isFact(c) {
		return nil
	}
	inner, closed := strings.CutSuffix(rest, ")")
	if !closed {
		return fmt.Errorf("%q: want a name, such as frobenius, or one with its orders, such as path_norm(2)", c)
	}
	params, known := paramsOf()[name]
	switch {
	case !known: // known says so
	case len(params) == 0:
		return fmt.Errorf("%s: %s has no orders", c, name)
	case slices.Equal(params, []string{"p"}):
		p, err := parseOrder(inner)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		if !slices.Contains(opt.P, p) && name != "kappa_spread" {
			opt.P = append(opt.P, p)
		}
	case slices.Equal(params, []string{"p", "q"}):
		pair, err := parsePairs([]string{strings.ReplaceAll(inner, ",", ":")})
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		opt.Groups = append(opt.Groups, analysis.PQ{P: pair[0][0], Q: pair[0][1]})
	}
	return nil
}

// matches reports whether a column of the models is one that is asked for: by its label, or
// by its name for all its orders.
func (c *column) matches(asked string) bool {
	return c.label == asked || c.name == asked || c.key == asked
}

// selected returns the columns that tables show, in the order asked for.
func (r *auditJSON) selected(all []column) []column {
	if r.columns == nil {
		return all
	}
	var out []column
	for _, asked := range r.columns {
		for _, c := range all {
			if c.matches(asked) && !slices.ContainsFunc(out, func(o column) bool { return o.label == c.label }) {
				out = append(out, c)
			}
		}
	}
	return out
}

// has reports whether a model, or a layer of one, has a column that is asked for.
func (r *auditJSON) has(asked string) bool {
	all, _ := columnsOf(r)
	if slices.ContainsFunc(all, func(c column) bool { return c.matches(asked) }) {
		return true
	}
	return slices.ContainsFunc(r.Models, func(m auditedModel) bool {
		return slices.ContainsFunc(m.Layers, func(l auditedLayer) bool {
			return slices.ContainsFunc(l.Measures, func(v measured) bool { return asks([]string{asked}, v.label()) })
		})
	})
}

// unshown counts the measures that the tables leave out.
func (r *auditJSON) unshown() int {
	all, _ := columnsOf(r)
	return len(all) - len(r.selected(all))
}

// asks reports whether columns that are asked for have a measure: by its label, or by its name
// for all its orders.
func asks(columns []string, label string) bool {
	name, _, _ := strings.Cut(label, "(")
	return slices.Contains(columns, label) || slices.Contains(columns, name)
}

// layerLabels lists the measures that layers have, of those asked for and in their order; all
// where nothing that layers have is asked for. It counts those left out.
func (r *auditJSON) layerLabels(layers []auditedLayer) (out []string, left int) {
	var all []string
	for i := range layers {
		for k := range layers[i].Measures {
			if label := layers[i].Measures[k].label(); !slices.Contains(all, label) {
				all = append(all, label)
			}
		}
	}
	for _, asked := range r.ofLayers {
		for _, label := range all {
			if asks([]string{asked}, label) && !slices.Contains(out, label) {
				out = append(out, label)
			}
		}
	}
	if out == nil {
		return all, 0
	}
	return out, len(all) - len(out)
}

// cell returns the layer's measure of a label, empty without.
func (l *auditedLayer) cell(label string) render.Cell {
	for k := range l.Measures {
		if l.Measures[k].label() == label {
			return l.Measures[k].cell()
		}
	}
	return render.Cell{}
}

// columnRecords is what CSV shows of chosen columns: a model a row, and under it a layer a row;
// last why models lack some of them, where one does.
func columnRecords(r *auditJSON) render.Table {
	all, _ := columnsOf(r)
	of := map[string]column{}
	for _, c := range all {
		of[c.label] = c
	}
	labels := lists.Map(r.selected(all), func(c column) string { return c.label })
	t := render.Table{Columns: []string{"path"}}
	if r.perLayer {
		t.Columns = append(t.Columns, "layer")
		for i := range r.Models {
			of, _ := r.layerLabels(r.Models[i].Layers)
			for _, label := range of {
				if asks(r.columns, label) && !slices.Contains(labels, label) {
					labels = append(labels, label)
				}
			}
		}
	}
	t.Columns = append(t.Columns, labels...)
	var why []string
	for i := range r.Models {
		m := &r.Models[i]
		row := []render.Cell{render.Text(m.Path)}
		if r.perLayer {
			row = append(row, render.Cell{})
		}
		for _, label := range labels {
			if c, ok := of[label]; ok {
				row = append(row, c.cells[i].Exact())
			} else {
				row = append(row, render.Cell{})
			}
		}
		t.Add(row...)
		why = append(why, m.undefined(r.columns))
		for k := range m.Layers {
			if !r.perLayer {
				break
			}
			why = append(why, "")
			row := []render.Cell{render.Text(m.Path), render.Text(m.Layers[k].Name)}
			for _, label := range labels {
				row = append(row, m.Layers[k].cell(label).Exact())
			}
			t.Add(row...)
		}
	}
	addReasons(&t, why)
	return t
}

// symbols has the short forms of measures in the mathematics of papers; %p, %q, %k and %o stand for
// orders, percentiles and outputs. Those over margins, and of flattened kernels, are made of these.
var symbols = map[string]string{
	"path_norm":                         `\|\pi\|_{%p}`,
	"path_norm_max_output":              `\max_j\|\pi_j\|_{%p}`,
	"path_norm_output":                  `\|\pi_{%o}\|_{%p}`,
	"path_2":                            `\|\pi\|_2^2`,
	"lipschitz_path":                    `\textstyle\sum|\pi|L`,
	"lipschitz_path_max_output":         `\max_j\textstyle\sum|\pi_j|L`,
	"lipschitz_path_maxpool":            `\textstyle\sum_{\max}|\pi|L`,
	"lipschitz_path_maxpool_max_output": `\max_j\textstyle\sum_{\max}|\pi_j|L`,
	"parameter_count":                   `n`,
	"group_norm":                        `\mu_{%p,%q}`,
	"product_group_norm":                `\gamma_{%p,%q}`,
	"frobenius":                         `\|W\|_F`,
	"product_frobenius":                 `\textstyle\prod\|W\|_F`,
	"sum_frobenius_squared":             `\textstyle\sum\|W\|_F^2`,
	"sum_log_frobenius_squared":         `\textstyle\sum\ln\|W\|_F^2`,
	"sum_of_frobenius":                  `d(\textstyle\prod\|W\|_F^2)^{1/d}`,
	"max_abs":                           `\max|w|`,
	"zero_share":                        `|\{w=0\}|/n`,
	"spectral":                          `\sigma_1`,
	"stable_rank":                       `\|W\|_F^2/\sigma_1^2`,
	"nuclear":                           `\|W\|_*`,
	"schatten":                          `\|W\|_{S_{%p}}`,
	"product_schatten":                  `\textstyle\prod\|W\|_{S_{%p}}`,
	"product_spectral":                  `\textstyle\prod\sigma_1`,
	"sum_log_spectral_squared":          `\textstyle\sum\ln\sigma_1^2`,
	"sum_of_spectral":                   `d(\textstyle\prod\sigma_1^2)^{1/d}`,
	"fro_over_spec":                     `\textstyle\sum\|W\|_F^2/\sigma_1^2`,
	"spec_orig":                         `\text{spec}_{\mathrm{orig}}`,
	"spec_init":                         `\text{spec}_{\mathrm{init}}`,
	"spectral_operator":                 `\sigma_{1,\mathrm{map}}`,
	"spectral_circular":                 `\sigma_{1,\mathrm{circ}}`,
	"product_spectral_operator":         `\textstyle\prod\sigma_{1,\mathrm{map}}`,
	"product_spectral_circular":         `\textstyle\prod\sigma_{1,\mathrm{circ}}`,
	"alpha":                             `\alpha`,
	"alpha_weighted":                    `\hat\alpha`,
	"log_alpha_norm":                    `\log\|W\|_\alpha^\alpha`,
	"log_spectral_norm":                 `\log\lambda_{\max}`,
	"alpha_xmin":                        `x_{\min}`,
	"alpha_distance":                    `D`,
	"alpha_tail":                        `n_{\mathrm{tail}}`,
	"mp_spikes":                         `n_{\mathrm{spikes}}`,
	"mp_edge":                           `\lambda_+`,
	"mp_softrank":                       `\lambda_+/\lambda_{\max}`,
	"esd_stable_rank":                   `\|W\|_F^2/\lambda_{\max}`,
	"distance_frobenius":                `\|W-W_0\|_F`,
	"distance_spectral":                 `\sigma_1(W-W_0)`,
	"balance_spread":                    `\text{balance spread}`,
	"kappa_spread":                      `\kappa_{%p}\text{ spread}`,
	"margin":                            `\gamma_{%k}`,
	"inverse_margin_squared":            `\gamma_{%k}^{-2}`,
	"bound_l1_inf":                      `\text{bound}_{1,\infty}`,
	"bound_frobenius":                   `\text{bound}_{F}`,
	"bound_l3_15":                       `\text{bound}_{3,1.5}`,
	"bound_spectral_l21":                `\text{bound}_{\sigma,2,1}`,
	"bound_spectral_frobenius":          `\text{bound}_{\sigma,F}`,
	"bound_spectral_frobenius_theorem":  `\text{bound}_{\sigma,F}'`,
	"bound_path_g24":                    `\text{bound}_{\pi}`,
	"bound_path_g24_sharpened":          `\text{bound}_{\pi}'`,
	"pac_bayes_flatness":                `1/\sigma^2`,
	"pac_bayes_magnitude_flatness":      `1/\sigma_{\mathrm{mag}}^2`,
	"pac_bayes_init":                    `\text{PB}_{\mathrm{init}}`,
	"pac_bayes_orig":                    `\text{PB}_{\mathrm{orig}}`,
	"pac_bayes_mag_init":                `\text{PB}_{\mathrm{mag,init}}`,
	"pac_bayes_mag_orig":                `\text{PB}_{\mathrm{mag,orig}}`,
	"sharpness_flatness":                `1/\alpha_{\mathrm{sharp}}^2`,
	"sharpness_magnitude_flatness":      `1/\alpha_{\mathrm{sharp,mag}}^2`,
	"sharpness_init":                    `\text{sharp}_{\mathrm{init}}`,
	"sharpness_orig":                    `\text{sharp}_{\mathrm{orig}}`,
	"sharpness_mag_init":                `\text{sharp}_{\mathrm{mag,init}}`,
	"sharpness_mag_orig":                `\text{sharp}_{\mathrm{mag,orig}}`,
}

// The ends of names of measures over the margin, and of kernels that are read as one matrix.
const (
	overMargin = "_over_margin"
	flattened  = "_flattened"
)

// texOf returns a measure as mathematics, empty of what is none.
func texOf(label string) string {
	name, rest, _ := strings.Cut(label, "(")
	rest = strings.TrimSuffix(rest, ")")
	if of, ok := strings.CutSuffix(name, overMargin); ok {
		orders, percentile := "", rest
		if i := strings.LastIndex(rest, ","); i >= 0 {
			orders, percentile = "("+rest[:i]+")", rest[i+1:]
		}
		return texOf(of+orders) + "/" + texOf("margin("+percentile+")")
	}
	if of, ok := strings.CutSuffix(name, flattened); ok {
		return texOf(of) + `\ \text{(flat)}`
	}
	order := func(s string) string {
		if s == "inf" {
			return `\infty`
		}
		return render.TeXEscape(s)
	}
	p, q, _ := strings.Cut(rest, ",")
	k := rest[strings.LastIndex(rest, ",")+1:]
	return strings.NewReplacer("%p", order(p), "%q", order(q), "%k", order(k), "%o", `\text{`+render.TeXEscape(q)+`}`).Replace(symbols[name])
}
