package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

func (a *app) diff() *cobra.Command {
	o := &auditOptions{}
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show how the measures change from one model, or folder, to another",
		Long: `diff measures two models, such as two checkpoints, and shows how each measure
changes, and the layer in which it changes most. Of two folders the models of one
name below them are compared. --fail-if ends with exit code 1 where a condition
holds for a pair: 'path_norm(2) > 1.1x' is of the multiple of A's value,
'frobenius > 10%' of the change, 'max_abs > 10' of the value of B.`,
		Example: `  relupath diff mlp.onnx balanced.onnx
  relupath diff mlp.onnx balanced.onnx --measures all --format json
  relupath diff mlp.onnx balanced.onnx --fail-if path_norm(2)>1.1x -o change.html`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.chosen = cmd.Flags().Changed("measures") || cmd.Flags().Changed("group")
			o.perLayer, o.several = true, true
			return o.diff(cmd.Context(), a, args[0], args[1])
		},
	}
	o.add(cmd)
	o.measureFlags(cmd)
	cmd.Flags().BoolVar(&o.metric, "path-metric", false, "how far apart the path vectors are, which bounds the difference of the outputs")
	addReportFile(cmd, &o.output)
	return cmd
}

// diffJSON is the result of diff, schema relupath.diff/1.
type diffJSON struct {
	Schema string `json:"schema"`
	Bias   string `json:"bias"`
	A      string `json:"a"`
	B      string `json:"b"`
	// Pairs are the models that are in both.
	Pairs []pairOfModels `json:"pairs"`
	OnlyA []string       `json:"only_a"`
	OnlyB []string       `json:"only_b"`
	// Errors are the models that could not be measured.
	Errors []failure `json:"errors"`
	// undefined are lines of what models lack.
	undefined []string
}

type pairOfModels struct {
	// Name is that of both below their folders.
	Name     string          `json:"name"`
	A        string          `json:"a"`
	B        string          `json:"b"`
	Measures []measureChange `json:"measures"`
	// Layers has for each measure the layer in which it changes most.
	Layers []measureChange `json:"layers"`
	// PathMetric is that of --path-metric.
	PathMetric *metricJSON     `json:"path_metric,omitempty"`
	inLayers   []changeOfLayer // every measure of every layer
}

// metricJSON bounds ||pi(A) - pi(B)||_1, with biases; Reason says why there is no such number.
type metricJSON struct {
	render.Value
	Reason string `json:"reason,omitempty"`
	num    scaled.Num
}

// measureChange is one measure of both models. Change is (B - A) / |A|, null where A is zero or a
// logarithm; Difference is B - A.
type measureChange struct {
	Measure    string       `json:"measure"`
	Layer      string       `json:"layer,omitempty"`
	A          render.Value `json:"a"`
	B          render.Value `json:"b"`
	Change     *float64     `json:"change"`
	Difference render.Value `json:"difference"`
	// Reason says why A or B is null.
	Reason    string `json:"reason,omitempty"`
	a, b, rel scaled.Num
	// single says that it is of one output, which tables leave out.
	single bool
}

// changeOfLayer is the change of one measure of a layer: there may be a million of them.
type changeOfLayer struct {
	measure, layer string
	rel            scaled.Num
	same           bool // but for rounding
}

// differences returns b - a, and that over |a|, NaN where there is no such number.
func differences(unit string, a, b scaled.Num) (d, rel scaled.Num) {
	d = b.Add(a.MulFloat(-1))
	rel = d.Div(a.Abs())
	if unit == "log" || a.IsZero() && !b.IsZero() {
		rel = scaled.New(math.NaN())
	} else if d.IsZero() {
		rel = scaled.Num{}
	}
	return d, rel
}

func newMeasureChange(label, layer, unit string, a, b scaled.Num) measureChange {
	d, rel := differences(unit, a, b)
	return measureChange{
		Measure: label, Layer: layer, A: render.NewValue(a), B: render.NewValue(b),
		Change: render.RealNum(rel), Difference: render.NewValue(d), a: a, b: b, rel: rel,
		single: strings.HasPrefix(label, singleOutput),
	}
}

// diff compares A and B.
func (o *auditOptions) diff(ctx context.Context, a *app, from, to string) error {
	opt, err := o.analysis(a)
	if err != nil {
		return &usageError{err}
	}
	if err := a.vacantAll(a.existing(), o.output); err != nil {
		return err
	}
	r := &diffJSON{Schema: "relupath.diff/1", Bias: a.bias, A: from, B: to, Pairs: []pairOfModels{}, Errors: []failure{}}
	if err := r.match(from, to); err != nil {
		return err
	}
	work := &auditWork{app: a, options: o, measure: opt}
	for _, p := range r.Pairs {
		work.paths = append(work.paths, p.A, p.B)
	}
	return work.prepared(ctx, func() error { return work.diff(ctx, r) })
}

// diff measures the models of the pairs, and reports.
func (w *auditWork) diff(ctx context.Context, r *diffJSON) error {
	defer w.closing.Wait()
	var err error
	if w.streamsPairs(r) {
		err = w.streamPairs(ctx, r)
	} else {
		err = w.reportPairs(ctx, r)
	}
	if err != nil {
		return err
	}
	return w.failures(r.Errors, len(w.paths))
}

// comparing measures the models of the pairs and calls f with each pair, compared, and its models,
// which f may keep. The models that could not be measured become errors of r.
func (w *auditWork) comparing(ctx context.Context, r *diffJSON, f func(p *pairOfModels, m, n *auditedModel) error) error {
	var before *auditedModel
	err := w.each(ctx, func(i int, m auditedModel, err error) error {
		first := i%2 == 0
		if first {
			before = nil
		}
		switch {
		case err != nil:
			r.Errors = append(r.Errors, newFailure(w.paths[i], err))
		case first:
			before = &m
		case before != nil:
			p := r.Pairs[i/2]
			p.compare(before, &m)
			return f(&p, before, &m)
		}
		return nil
	})
	if err == nil {
		err = w.misnamed(&w.options.modelFlags)
	}
	return err
}

// reportPairs writes the result in one piece.
func (w *auditWork) reportPairs(ctx context.Context, r *diffJSON) error {
	columns, many := w.options.columns, len(r.Pairs) > 1
	shown := columns
	if many && shown == nil {
		shown = usualColumns
	}
	var pairs []pairOfModels
	var before, after, lacking []auditedModel
	named := map[string]bool{} // the columns that a model has
	err := w.comparing(ctx, r, func(p *pairOfModels, m, n *auditedModel) error {
		for _, c := range columns {
			named[c] = named[c] || asked(p.Measures, []string{c}) != nil || asked(p.Layers, []string{c}) != nil
		}
		if w.options.conditions != nil {
			before, after = append(before, *m), append(after, *n)
		}
		for _, one := range []*auditedModel{m, n} {
			if why := one.undefined(shown); why != "" {
				lacking = append(lacking, auditedModel{origin: one.origin, why: why})
			}
		}
		if many {
			p.keep(render.Format(w.format), columns)
		}
		pairs = append(pairs, *p)
		return nil
	})
	if err != nil {
		return err
	}
	if w.options.metric {
		for i := range pairs {
			if pairs[i].PathMetric, err = w.pathMetric(ctx, pairs[i].A, pairs[i].B); err != nil {
				return err
			}
		}
	}
	if r.OnlyA == nil && len(r.Errors) > 0 {
		err := w.failures(r.Errors[:1], 1) // two models, one sentence
		r.Errors = nil
		return err
	}
	r.Pairs = filled(pairs)
	for _, c := range columns {
		if pairs != nil && !named[c] {
			w.warn("--columns %s: no model has such a measure", c)
		}
	}
	r.undefined = saidOnce(lacking, func(m *auditedModel) []string { return []string{"undefined: " + m.why} })
	d := w.options.diffDocument(r, w.format == string(render.HTML))
	switch w.format {
	case string(render.HTML):
		d.Figures = w.options.diffFigures(r)
	case string(render.CSV):
		d.Records, d.Rows = w.options.diffRecords(r)
	}
	if err := w.report(d, w.options.output, w.existing()); err != nil {
		return err
	}
	if len(r.Errors) > 0 {
		return nil // which the exit code says
	}
	return check(w.options.conditions, after, func(i int) *auditedModel { return &before[i] })
}

// keep drops what a format shows nothing of where there are several pairs.
func (p *pairOfModels) keep(format render.Format, columns []string) {
	p.inLayers = nil
	switch {
	case format == render.JSON || format == render.JSONLines || format == render.CSV:
		return
	case columns == nil && format == render.HTML:
		p.Measures = slices.DeleteFunc(slices.Clone(p.Measures), func(c measureChange) bool { return c.single })
	case columns == nil:
		p.Measures = asked(p.Measures, usualColumns)
	default:
		p.Measures = asked(p.Measures, columns)
	}
	p.Layers = nil
}

// streamsPairs reports whether pairs can be written as they are measured.
func (w *auditWork) streamsPairs(r *diffJSON) bool {
	o := w.options
	return len(r.Pairs) > 1 && (w.format == string(render.JSON) || w.format == string(render.CSV)) && o.conditions == nil && o.columns == nil && !o.metric
}

// streamPairs writes each pair as soon as it and those before it are measured, and holds none.
// After an interrupt the result is whole, with what was compared until then.
func (w *auditWork) streamPairs(ctx context.Context, r *diffJSON) error {
	var interrupted error
	each := func(to *diffJSON, f func(p *pairOfModels) error) error {
		interrupted = w.comparing(ctx, r, func(p *pairOfModels, _, _ *auditedModel) error {
			p.inLayers = nil
			return f(p)
		})
		to.Errors = r.Errors
		if errors.Is(interrupted, context.Canceled) {
			return nil // what is done is kept
		}
		return interrupted
	}
	write := func(to io.Writer) error {
		out := *r
		out.Pairs = []pairOfModels{}
		if w.format == string(render.JSON) {
			return render.WriteList(to, &out, "pairs", w.provenance, func(add func(any) error) error {
				return each(&out, func(p *pairOfModels) error { return add(p) })
			})
		}
		put := func(r *diffJSON) error {
			t, rows := w.options.diffRecords(r)
			if len(r.Pairs) > 0 {
				t.Columns = make([]string, len(t.Columns)) // they stand above all
			}
			return render.Write(to, &render.Document{Records: t, Rows: rows}, render.Options{Format: render.CSV})
		}
		if err := put(&out); err != nil {
			return err
		}
		return each(&out, func(p *pairOfModels) error { return put(&diffJSON{Pairs: []pairOfModels{*p}}) })
	}
	if err := w.save(cmp.Or(w.options.output, stdStream), w.existing(), write); err != nil {
		return err
	}
	return interrupted
}

// pathMetric is that of two models.
func (w *auditWork) pathMetric(ctx context.Context, a, b string) (*metricJSON, error) {
	out := &metricJSON{}
	err := w.withAssumed(ctx, a, &w.options.modelFlags, "compare", func(m *modelFile, _ *modelFlags) error {
		return w.withAssumed(ctx, b, &w.options.modelFlags, "compare", func(n *modelFile, _ *modelFlags) error {
			x, err := analysis.PathMetric(m.Net, n.Net, w.threads)
			if err != nil {
				out.Reason, out.num = err.Error(), scaled.New(math.NaN())
				return nil
			}
			// The metric is that of all equivalent networks, what bounds it is not: the
			// balanced ones are closer where A and B are balanced differently.
			y, err := balancedMetric(ctx, m.Net, n.Net, w.threads)
			if err != nil {
				return err
			}
			if out.num = x; y.Cmp(x) < 0 {
				out.num = y
			}
			out.Value = render.NewValue(out.num)
			return nil
		})
	})
	return out, err
}

// balancedMetric is analysis.PathMetric of both networks balanced, NaN where they are not written
// so.
func balancedMetric(ctx context.Context, a, b *dag.Network, threads int) (scaled.Num, error) {
	nets := []*dag.Network{a, b}
	for i, n := range nets {
		res, err := rescale.Run(ctx, rescale.EqualNorm, n, rescale.Options{Threads: threads})
		if err != nil {
			return scaled.New(math.NaN()), ctx.Err()
		}
		if nets[i], err = n.Rescale(res.Groups, res.Factors); err != nil {
			return scaled.New(math.NaN()), nil
		}
	}
	x, err := analysis.PathMetric(nets[0], nets[1], threads)
	if err != nil {
		return scaled.New(math.NaN()), nil
	}
	return x, nil
}

// sentence says what the metric bounds, or why there is none.
func (m *metricJSON) sentence() string {
	if m.Reason != "" {
		return "No path metric: " + m.Reason
	}
	return fmt.Sprintf("The path vectors are at most %s apart in sum, biases included: so the values at which the networks end differ by at most that in sum, times the largest |x_i| or 1", m.num)
}

// match finds the models that are in both. Errors: a folder beside a file; folders that share no name.
func (r *diffJSON) match(from, to string) error {
	names := map[string]bool{}
	list := func(root string) (map[string]string, bool, error) {
		info, err := os.Stat(root)
		if err != nil || !info.IsDir() {
			return map[string]string{"": root}, false, nil
		}
		paths, err := expand([]string{root})
		out := map[string]string{}
		for _, p := range paths {
			name, err := filepath.Rel(root, p)
			if err != nil {
				name = p
			}
			out[name], names[name] = p, true
		}
		return out, true, err
	}
	a, folder, err := list(from)
	if err != nil {
		return err
	}
	b, other, err := list(to)
	if err != nil {
		return err
	}
	if folder != other {
		file := from
		if folder {
			file = to
		}
		if _, err := os.Stat(file); err != nil {
			return invalidf("%s: no such file or folder", file)
		}
		return usagef("diff: give two models or two folders: %s and %s are one of each", from, to)
	}
	if !folder {
		r.Pairs = []pairOfModels{{Name: filepath.Base(to), A: from, B: to}}
		return nil
	}
	r.OnlyA, r.OnlyB = []string{}, []string{}
	for _, name := range slices.SortedFunc(maps.Keys(names), compareFiles) {
		switch {
		case b[name] == "":
			r.OnlyA = append(r.OnlyA, name)
		case a[name] == "":
			r.OnlyB = append(r.OnlyB, name)
		default:
			r.Pairs = append(r.Pairs, pairOfModels{Name: name, A: a[name], B: b[name]})
		}
	}
	if len(r.Pairs) == 0 {
		return fmt.Errorf("diff: no model below %s has the name of one below %s", from, to)
	}
	return nil
}

// compare makes the changes from m to n.
func (p *pairOfModels) compare(m, n *auditedModel) {
	units := unitsOf()
	before, after := m.quantities(), n.quantities()
	var places map[string]int
	find := func(k int, label string) (quantity, bool) {
		if k < len(before) && before[k].label == label { // as mostly
			return before[k], true
		}
		if places == nil {
			places = make(map[string]int, len(before))
			for i := range before {
				places[before[i].label] = i
			}
		}
		if i, ok := places[label]; ok {
			return before[i], true
		}
		return quantity{}, false
	}
	p.Measures, p.Layers = make([]measureChange, 0, len(after)), []measureChange{}
	for k, q := range after {
		if a, ok := find(k, q.label); ok && (a.num.IsFinite() || q.num.IsFinite() || !isFact(q.label)) {
			c := newMeasureChange(q.label, "", units[q.name], a.num, q.num)
			c.Reason = cmp.Or(a.why, q.why)
			p.Measures = append(p.Measures, c)
		}
	}
	layers := map[string]*auditedLayer{}
	for i := range m.Layers {
		layers[m.Layers[i].Name] = &m.Layers[i]
	}
	all := 0
	for i := range n.Layers {
		all += len(n.Layers[i].Measures)
	}
	p.inLayers = make([]changeOfLayer, 0, all)
	at := map[string]int{}
	for i := range n.Layers {
		from := layers[n.Layers[i].Name]
		if from == nil {
			continue
		}
		for k := range n.Layers[i].Measures {
			v := &n.Layers[i].Measures[k]
			if before := from.measure(v, k); before != nil {
				p.compareInLayer(n.Layers[i].Name, before, v, units[v.Name], at)
			}
		}
	}
}

// measure returns the measure of a layer that v is of another, which mostly is in the same place.
func (l *auditedLayer) measure(v *measured, place int) *measured {
	if place < len(l.Measures) && l.Measures[place].of() == v.of() {
		return &l.Measures[place]
	}
	for k := range l.Measures {
		if l.Measures[k].of() == v.of() {
			return &l.Measures[k]
		}
	}
	return nil
}

// compareInLayer makes the change of a measure of a layer from v to w; at has the places in Layers of
// the measures so far.
func (p *pairOfModels) compareInLayer(layer string, v, w *measured, unit string, at map[string]int) {
	label := w.label()
	k, seen := at[label]
	if seen {
		label = p.Layers[k].Measure // one string for all layers
	}
	_, rel := differences(unit, v.num, w.num)
	p.inLayers = append(p.inLayers, changeOfLayer{label, layer, rel, equalValues(v.num, w.num)})
	switch {
	case !seen:
		at[label] = len(p.Layers)
		p.Layers = append(p.Layers, newMeasureChange(label, layer, unit, v.num, w.num))
	case rel.IsFinite() && (!p.Layers[k].rel.IsFinite() || rel.Abs().Cmp(p.Layers[k].rel.Abs()) > 0):
		p.Layers[k] = newMeasureChange(label, layer, unit, v.num, w.num)
	}
}
