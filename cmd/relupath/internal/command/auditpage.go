package command

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// maxPageColumns is the number of models up to which a page has a column for each.
const maxPageColumns = 8

// mainMeasures are what a page shows where nothing is asked for, beside the counts and the columns of
// tables; the rest is to be opened.
var mainMeasures = []string{"path_norm", "group_norm(1,inf)", "group_norm(2,inf)", "frobenius", "product_frobenius", "max_abs", "balance_spread"}

// main reports whether a measure, of a label and a name, is in sight on a page.
func (r *auditJSON) main(label, name string) bool {
	return r.few == nil || asks(mainMeasures, label) || asks(r.few, label) || slices.Contains(r.few, name)
}

// folded titles what a page hides until it is opened.
func folded(n int) string { return words.Count(n, "more measure") }

// auditPage is auditDocument for a page: every measure with why it is undefined, small plots in
// the table, a verdict.
func auditPage(r *auditJSON) *render.Document {
	page := *r
	page.page = true
	d := auditDocument(&page)
	d.Lead = r.verdict()
	d.Subject = subject(slices.Concat(pathsOf(r.Models), failedPaths(r.Errors)))
	d.Terms = termsOf(d.Tables)
	if len(r.Models) == 1 && r.columns == nil {
		d.Tables[0].Title = "" // it is the page's
	}
	for i := range d.Tables {
		if t := &d.Tables[i]; strings.HasPrefix(t.Title, notMeasured) {
			t.Last = true
		}
	}
	return d
}

func pathsOf(models []auditedModel) []string {
	return lists.Map(models, func(m auditedModel) string { return m.Path })
}

func failedPaths(fs []failure) []string {
	return lists.Map(fs, func(f failure) string { return f.Path })
}

// subject names what a page is about.
func subject(paths []string) string {
	names := shortNames(paths)
	switch n := len(names); n {
	case 0:
		return ""
	case 1:
		return names[0]
	case 2, 3:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	default:
		return fmt.Sprintf("%s, %s and %d more", names[0], names[1], n-2)
	}
}

// verdict is the result in a sentence.
func (r *auditJSON) verdict() string {
	var out string
	switch n, all := len(r.Models), len(r.Models)+len(r.Errors); {
	case all == 0:
		return ""
	case n == 0:
		return "Nothing could be measured."
	case n == 1 && all == 1:
		m := &r.Models[0]
		out = fmt.Sprintf("%s parameters in a network of depth %d", grouped(m.Parameters), m.Depth)
		if v := m.first("path_norm(2)", "path_norm", "frobenius"); v != nil {
			out += fmt.Sprintf("; %s is %s", v.label(), render.Brief(v.num))
		}
		if m.why != "" {
			out += fmt.Sprintf("; %s with path norms of their own", words.Count(len(m.Segments), "segment"))
		}
		return out + "."
	case n == all:
		out = fmt.Sprintf("All %d models are measured", n)
		if n == 2 {
			out = "Both models are measured"
		}
	default:
		out = fmt.Sprintf("%d of %s are measured", n, words.Count(all, "model"))
	}
	columns, _ := columnsOf(r)
	for _, name := range []string{"path_norm(2)", "path_norm", "frobenius"} {
		k := slices.IndexFunc(columns, func(c column) bool { return (c.label == name || c.name == name) && c.defined() > 1 })
		if k >= 0 {
			return out + "; " + r.spread(&columns[k]) + "."
		}
	}
	return out + "."
}

// spread says how far a measure is apart in the models, or how it changes over a run.
func (r *auditJSON) spread(c *column) string {
	names := modelNames(r.Models)
	if _, run := runOf(r.Models); run {
		first, last := c.nums[0], c.nums[len(c.nums)-1]
		return fmt.Sprintf("from %s to %s, %s goes from %s to %s", names[0], names[len(names)-1], c.label, render.Brief(first), render.Brief(last))
	}
	lo, hi := -1, -1
	for i, x := range c.nums {
		if x.IsFinite() && (lo < 0 || x.Cmp(c.nums[lo]) < 0) {
			lo = i
		}
		if x.IsFinite() && (hi < 0 || x.Cmp(c.nums[hi]) > 0) {
			hi = i
		}
	}
	if equalValues(c.nums[lo], c.nums[hi]) {
		return fmt.Sprintf("%s is %s in all", c.label, render.Brief(c.nums[hi]))
	}
	return fmt.Sprintf("%s lies between %s (%s) and %s (%s)", c.label, render.Brief(c.nums[lo]), names[lo], render.Brief(c.nums[hi]), names[hi])
}

// first returns the first of some measures that the model has.
func (m *auditedModel) first(names ...string) *measured {
	for _, name := range names {
		for i := range m.Measures {
			if v := &m.Measures[i]; (v.label() == name || v.Name == name) && v.num.IsFinite() {
				return v
			}
		}
	}
	return nil
}

func grouped(n int) string { return render.Count(n) }

// pageMeasures is measureTable for a page, of names with their orders, in two tables of which the second is
// to be opened.
func (r *auditJSON) pageMeasures(ms []measured) []render.Table {
	columns := []string{"measure", "value", "log10", "unit", "invariant", "what it is"}
	t, rest := render.Table{Title: "measures", Columns: columns}, render.Table{Columns: columns}
	show, _ := listedOn(ms)
	// What has a value comes first, so that it is in sight.
	lacks := func(m measured) bool { return m.Reason != "" }
	has := slices.DeleteFunc(slices.Clone(show), lacks)
	show = append(has, slices.DeleteFunc(show, func(m measured) bool { return !lacks(m) })...)
	infos := map[string]analysis.Info{}
	for _, i := range analysis.Registry() {
		infos[i.Name] = i
	}
	for i := range show {
		m := &show[i]
		info := infos[m.Name]
		to := &t
		if !r.main(m.label(), m.Name) {
			to = &rest
		}
		to.Add(render.Measure(m.label()), m.cell().Because(m.Reason), m.log(info.Unit), render.Text(info.Unit), render.YesNo(m.Invariant), render.Text(info.Says))
	}
	if rest.Rows == nil {
		return []render.Table{t}
	}
	rest.Fold = folded(len(rest.Rows))
	return []render.Table{t, rest}
}

// pageComparison is comparison for a page: a row a measure with a small plot of the models, or,
// of many models, a row a model, with the usual columns and the others to be opened.
func pageComparison(r *auditJSON) []render.Table {
	names := modelNames(r.Models)
	all, _ := columnsOf(r)
	cols := r.selected(all)
	if r.columns == nil { // what some model has comes first
		none := func(c column) bool { return c.defined() == 0 }
		has := slices.DeleteFunc(slices.Clone(cols), none)
		cols = append(has, slices.DeleteFunc(slices.Clone(cols), func(c column) bool { return !none(c) })...)
	}
	for k := range cols {
		cols[k].mark()
	}
	t := render.Table{Title: words.Count(len(names), "model")}
	if len(names) > maxPageColumns {
		if r.few == nil {
			return []render.Table{modelRows(t, names, cols)}
		}
		var few, rest []column
		for _, c := range cols {
			if slices.ContainsFunc(r.few, c.matches) {
				few = append(few, c)
			} else {
				rest = append(rest, c)
			}
		}
		out := []render.Table{modelRows(t, names, few)}
		if rest != nil {
			out = append(out, modelRows(render.Table{Fold: folded(len(rest))}, names, rest))
		}
		return out
	}
	spark := render.SparkBars
	if _, run := runOf(r.Models); run {
		spark = render.SparkLine
	}
	t.Columns, t.Names = append([]string{"measure", "models"}, names...), true
	rest := render.Table{Columns: t.Columns, Names: true}
	for _, c := range cols {
		plot := render.Cell{}
		if c.defined() > 1 {
			plot = spark(names, c.nums)
		}
		to := &t
		if c.name != "" && !r.main(c.label, c.name) {
			to = &rest
		}
		to.Add(append([]render.Cell{render.Measure(c.label), plot}, c.cells...)...)
	}
	if rest.Rows == nil {
		return []render.Table{t}
	}
	rest.Fold = folded(len(rest.Rows))
	return []render.Table{t, rest}
}

// modelRows has a model a row, with bars of each measure.
func modelRows(t render.Table, names []string, cols []column) render.Table {
	t.Columns = []string{"model"}
	for _, c := range cols {
		t.Columns = append(t.Columns, c.label)
	}
	for i, n := range names {
		row := []render.Cell{render.Code(n)}
		for _, c := range cols {
			row = append(row, c.cells[i])
		}
		t.Add(row...)
	}
	t.Bars(1)
	return t
}

var digitRun = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\d+`) })

// runOf reports whether the models are checkpoints of one run: of the same layers, under names
// that differ in one number, which rises. It returns these numbers.
func runOf(models []auditedModel) (at []float64, ok bool) {
	if len(models) < 2 {
		return nil, false
	}
	var first [][]int
	for i := range models {
		name := models[i].Path
		numbers := digitRun().FindAllStringIndex(name, -1)
		if i == 0 {
			first = numbers
		}
		if len(numbers) != len(first) || digitRun().ReplaceAllString(name, "#") != digitRun().ReplaceAllString(models[0].Path, "#") ||
			!slices.EqualFunc(models[i].Layers, models[0].Layers, sameLayer) {
			return nil, false
		}
	}
	for k := range first {
		at = at[:0]
		others := true
		for i := range models {
			numbers := digitRun().FindAllString(models[i].Path, -1)
			x, err := strconv.ParseFloat(numbers[k], 64)
			if err != nil || i > 0 && x <= at[i-1] {
				break
			}
			at = append(at, x)
			for j, s := range digitRun().FindAllString(models[0].Path, -1) {
				others = others && (j == k || s == numbers[j])
			}
		}
		if len(at) == len(models) && others {
			return at, true
		}
	}
	return nil, false
}

func sameLayer(a, b auditedLayer) bool {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Op, b.Op), a.Inputs-b.Inputs, a.Outputs-b.Outputs) == 0
}
