package command

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// condition is what --fail-if asks of the measures of a model, such as
// path_norm(2) > 1.1x: of their values, of their multiples of another model's, or of their
// changes against it in per cent.
type condition struct {
	text    string
	measure string // a label, or a name for all its orders
	op      string
	value   float64
	of      against
}

// against says what a condition's number is of.
type against uint8

const (
	ofValue  against = iota
	ofRatio          // 1.1x
	ofChange         // 10%
)

// codeCondition is the exit code where a condition of --fail-if holds.
const codeCondition = codeFailed

// conditionForm matches MEASURE OPERATOR NUMBER, the number with x or % or nothing behind it.
var conditionForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\s*([a-z_0-9]+(?:\([^()]*\))?)\s*(>=|<=|>|<)\s*([-+0-9.eE]+)\s*(x|%)?\s*$`)
})

// parseConditions reads the conditions of --fail-if.
func parseConditions(list []string) ([]condition, error) {
	var out []condition
	for _, s := range list {
		m := conditionForm().FindStringSubmatch(s)
		if m == nil {
			return nil, fmt.Errorf("--fail-if %q: want a measure, one of > >= < <=, and a number, such as 'path_norm(2) > 1.1x', 'frobenius < -5%%' or 'max_abs > 10'", s)
		}
		c := condition{text: strings.TrimSpace(s), measure: m[1], op: m[2], of: map[string]against{"": ofValue, "x": ofRatio, "%": ofChange}[m[4]]}
		var err error
		if c.value, err = strconv.ParseFloat(m[3], 64); err != nil {
			return nil, fmt.Errorf("--fail-if %q: %q is no number", s, m[3])
		}
		name, _, _ := strings.Cut(c.measure, "(")
		if !isFact(name) && !slices.Contains(measureNames(), name) {
			return nil, namesIn{flag: fmt.Sprintf("--fail-if %q", s)}.unknown(name)
		}
		out = append(out, c)
	}
	return out, nil
}

// measuresOf returns the names of the measures that conditions are of.
func measuresOf(conditions []condition) []string {
	var out []string
	for _, c := range conditions {
		if name, _, _ := strings.Cut(c.measure, "("); !isFact(name) {
			out = append(out, c.measure)
		}
	}
	return out
}

// relative reports whether a condition needs another model.
func relative(c condition) bool { return c.of != ofValue }

// quantity is one number of a model that a condition may be of, or of one of its layers.
type quantity struct {
	name, label, layer string
	num                scaled.Num
	why                string // it is undefined
}

// String names it.
func (q quantity) String() string {
	if q.layer != "" {
		return q.label + " of " + q.layer
	}
	return q.label
}

// quantities are the counts and measures of a model.
func (m *auditedModel) quantities() []quantity {
	out := make([]quantity, 0, len(facts)+len(m.Measures))
	for _, f := range facts {
		out = append(out, quantity{name: f.key, label: f.key, num: f.num(m)})
	}
	for i := range m.Measures {
		out = append(out, quantity{name: m.Measures[i].Name, label: m.Measures[i].label(), num: m.Measures[i].num, why: m.Measures[i].Reason})
	}
	return out
}

// held are the quantities that conditions are of: those of layers too, for measures that the
// whole network has not.
func (m *auditedModel) held() []quantity {
	out := m.quantities()
	whole := map[string]bool{}
	for i := range m.Measures {
		whole[m.Measures[i].Name] = true
	}
	for i := range m.Layers {
		l := &m.Layers[i]
		for k := range l.Measures {
			v := &l.Measures[k]
			if !whole[v.Name] {
				out = append(out, quantity{v.Name, v.label(), l.Name, v.num, v.Reason})
			}
		}
	}
	return out
}

// broken returns a sentence for each number of a model for which a condition holds, and for
// each that has no value, which nothing can be said of. base is the other model, nil for none.
func (c *condition) broken(m, base *auditedModel) (out []string, found bool) {
	before := map[string]quantity{}
	if base != nil {
		for _, q := range base.held() {
			before[q.String()] = q
		}
	}
	for _, q := range m.held() {
		if !c.is(q) {
			continue
		}
		found = true
		x, sign := q.num, ""
		if c.of != ofValue {
			x, sign = q.num.Div(before[q.String()].num), "x"
			if before[q.String()].num.IsZero() && q.num.IsZero() {
				x = scaled.New(1)
			}
		}
		if c.of == ofChange {
			x, sign = x.Add(scaled.New(-1)).MulFloat(100), "%"
		}
		switch {
		case !x.IsFinite():
			s := fmt.Sprintf("%s: %s has no value to hold against %s", m.Path, q, c.text)
			if why := cmp.Or(q.why, before[q.String()].why); why != "" {
				s += ": " + why
			}
			out = append(out, s)
		case c.holds(x):
			what := render.Plain(x) + sign
			if base != nil {
				what += " of " + base.Path
			}
			if c.of == ofChange {
				what = "changed by " + render.Plain(x) + "% against " + base.Path
			} else {
				what = "is " + what
			}
			out = append(out, fmt.Sprintf("%s: %s %s: fails by %s", m.Path, q, what, c.text))
		}
	}
	return out, found
}

func (c *condition) is(q quantity) bool { return q.label == c.measure || q.name == c.measure }

func (c *condition) holds(x scaled.Num) bool {
	d := x.Cmp(scaled.New(c.value))
	return map[string]bool{">": d > 0, ">=": d >= 0, "<": d < 0, "<=": d <= 0}[c.op]
}

// check tells which conditions hold for models, each against what base returns for it, nil for
// none. Errors: a condition holds (exit code 1); no model has such a measure (wrong usage).
func check(conditions []condition, models []auditedModel, base func(i int) *auditedModel) error {
	var broken []error
	for k := range conditions {
		any := false
		for i := range models {
			b := base(i)
			if b == nil && conditions[k].of != ofValue {
				// The model that others are held against, which has the measure or not.
				any = any || slices.ContainsFunc(models[i].held(), conditions[k].is)
				continue
			}
			if b != nil && conditions[k].of == ofValue {
				b = nil
			}
			s, found := conditions[k].broken(&models[i], b)
			for _, sentence := range s {
				broken = append(broken, errors.New(sentence))
			}
			any = any || found
		}
		if !any && len(models) > 0 {
			return usagef("--fail-if %q: no model has such a measure", conditions[k].text)
		}
	}
	if broken == nil {
		return nil
	}
	return &exit{codeCondition, errors.Join(broken...)}
}
