package command

import (
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/words"
)

// arrange sorts the models and divides by the baseline, as the flags say.
func (o *auditOptions) arrange(r *auditJSON) error {
	if o.sort != "" {
		if err := sortModels(r.Models, o.sort); err != nil {
			return err
		}
	}
	if o.baseline == "" {
		return nil
	}
	base := -1
	names := modelNames(r.Models)
	for i := range r.Models {
		if filepath.Clean(r.Models[i].Path) == filepath.Clean(o.baseline) || base < 0 && names[i] == o.baseline {
			base = i
		}
	}
	if base < 0 {
		return usagef("--baseline %s is no file, and none of the models that were measured: %s", o.baseline, strings.Join(names, ", "))
	}
	r.Baseline = r.Models[base].Path
	against := map[string]scaled.Num{}
	for _, m := range r.Models[base].Measures {
		against[m.label()] = m.num
	}
	units := unitsOf()
	for i := range r.Models {
		ms := r.Models[i].Measures
		for k := range ms {
			m := &ms[k]
			// A ratio of logarithms means nothing.
			if b, ok := against[m.label()]; ok && units[m.Name] != "log" && !b.IsZero() {
				m.ratio = m.num.Div(b)
				v := render.NewValue(m.ratio)
				m.Ratio = &v
			}
		}
	}
	return nil
}

// sortModels orders models by a fact or a measure, the smallest first, or the
// largest for -NAME; models without it come last. A name without its orders
// means the first entry of that name.
func sortModels(models []auditedModel, by string) error {
	name, descending := strings.CutPrefix(by, "-")
	found := false
	key := func(m *auditedModel) (scaled.Num, bool) {
		for _, f := range facts {
			if f.key == name || f.name == name {
				found = true
				return f.num(m), true
			}
		}
		for i := range m.Measures {
			if v := &m.Measures[i]; v.label() == name || v.Name == name {
				found = true
				return v.num, v.num.IsFinite()
			}
		}
		return scaled.Num{}, false
	}
	slices.SortStableFunc(models, func(a, b auditedModel) int {
		x, okX := key(&a)
		y, okY := key(&b)
		switch {
		case okX && okY && descending:
			return y.Cmp(x)
		case okX && okY:
			return x.Cmp(y)
		case okX:
			return -1
		case okY:
			return 1
		}
		return 0
	})
	for i := range models {
		key(&models[i]) // one model alone is compared with none
	}
	if !found && len(models) > 0 {
		return usagef("--sort %s: no model has such a measure", by)
	}
	return nil
}

func modelNames(models []auditedModel) []string {
	return shortNames(pathsOf(models))
}

// Models have a row each, unless they fit into fewer tables with a column each; maxSideBySide is the
// number of them up to which each has a column where there are more than maxColumns measures.
const (
	maxSideBySide = 4
	maxColumns    = 5
)

// column is one fact or measure of every model.
type column struct {
	label string
	// name is a measure's, key a fact's.
	name, key string
	cells     []render.Cell
	nums      []scaled.Num
	// output says that it is a measure of a single output.
	output bool
}

// defined is the number of models that have a value.
func (c *column) defined() int {
	n := 0
	for _, x := range c.nums {
		if x.IsFinite() {
			n++
		}
	}
	return n
}

// same reports whether all models have one value.
func (c *column) same() bool {
	return !slices.ContainsFunc(c.nums, func(x scaled.Num) bool { return !x.IsFinite() || !equalValues(x, c.nums[0]) })
}

// columnsOf lists what the models have, in the order of first appearance, and
// counts what it leaves out: measures of single outputs that one of several
// models alone has, since outputs are named as each model likes.
func columnsOf(r *auditJSON) (out []column, alone int) {
	at := map[string]int{}
	add := func(i int, label, name, key string, c render.Cell, x scaled.Num) {
		k, ok := at[label]
		if !ok {
			k = len(out)
			at[label] = k
			out = append(out, column{label: label, name: name, key: key, cells: make([]render.Cell, len(r.Models)), nums: make([]scaled.Num, len(r.Models))})
			for j := range out[k].nums {
				out[k].nums[j] = scaled.New(math.NaN())
			}
		}
		out[k].cells[i], out[k].nums[i] = c, x
	}
	for i := range r.Models {
		for _, f := range facts {
			add(i, f.name, "", f.key, f.cell(&r.Models[i]), f.num(&r.Models[i]))
		}
		show, _ := listedOn(r.Models[i].Measures)
		for k := range show {
			m := &show[k]
			c := m.cell().Because(m.Reason)
			if m.Ratio != nil && r.Models[i].Path != r.Baseline {
				c = render.Ratio(m.ratio)
			}
			add(i, m.label(), m.Name, "", c, m.num)
			out[at[m.label()]].output = m.Output != ""
		}
	}
	all := len(out)
	out = slices.DeleteFunc(out, func(c column) bool { return c.output && len(r.Models) > 1 && c.defined() < 2 })
	return out, all - len(out)
}

// comparison is one table of several models, with the best and the worst of
// each measure marked.
func comparison(r *auditJSON) render.Table {
	names := modelNames(r.Models)
	all, _ := columnsOf(r)
	cols := r.selected(all)
	for k := range cols {
		cols[k].mark()
	}
	t := render.Table{Title: words.Count(len(names), "model"), Columns: []string{"model"}, TeX: []string{""}, Turns: "measure"}
	for _, c := range cols {
		t.Columns = append(t.Columns, c.label)
		t.TeX = append(t.TeX, texOf(c.label))
	}
	for i, n := range names {
		row := []render.Cell{render.Code(n)}
		for _, c := range cols {
			row = append(row, c.cells[i])
		}
		t.Add(row...)
	}
	if len(names) <= maxSideBySide && len(cols) > maxColumns {
		return t.Turned()
	}
	return t
}

// largerIsBetter names the measures of which more is better.
var largerIsBetter = []string{"margin"}

// unranked names the measures of which neither end is better.
var unranked = []string{"zero_share"}

// equalTo is the relative difference up to which two values are the same:
// rounding moves the invariants of equivalent models by less.
const equalTo = 1e-6

// mark marks the smallest value as the best and the largest as the worst, the
// other way round for margins, and every value equal to them; facts, and
// values that are all equal, stay unmarked.
func (c *column) mark() {
	if c.name == "" || slices.Contains(unranked, c.name) {
		return
	}
	lo, hi := -1, -1
	for i, x := range c.nums {
		if !x.IsFinite() {
			continue
		}
		if lo < 0 || x.Cmp(c.nums[lo]) < 0 {
			lo = i
		}
		if hi < 0 || x.Cmp(c.nums[hi]) > 0 {
			hi = i
		}
	}
	if lo < 0 || equalValues(c.nums[lo], c.nums[hi]) {
		return
	}
	if slices.Contains(largerIsBetter, c.name) {
		lo, hi = hi, lo
	}
	for i, x := range c.nums {
		switch {
		case !x.IsFinite():
		case equalValues(x, c.nums[lo]):
			c.cells[i] = c.cells[i].Marked(render.Best)
		case equalValues(x, c.nums[hi]):
			c.cells[i] = c.cells[i].Marked(render.Worst)
		}
	}
}

// equalValues reports whether x and y differ by no more than equalTo of the
// larger magnitude; what is undefined equals nothing.
func equalValues(x, y scaled.Num) bool {
	if !x.IsFinite() || !y.IsFinite() {
		return false
	}
	size := x.Abs()
	if size.Cmp(y.Abs()) < 0 {
		size = y.Abs()
	}
	return x.Add(y.MulFloat(-1)).Abs().Cmp(size.MulFloat(equalTo)) <= 0
}

// marksOfComparison is the meaning of the marks.
const marksOfComparison = "the smallest and the largest value of each measure, the other way round for margins."
