package command

import (
	"slices"
	"strings"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// undefined says in a line which measures of a model are undefined and why, each name and each
// reason once; empty for none. Nil columns stand for all but those of single outputs, which are
// undefined where the others are.
func (m *auditedModel) undefined(columns []string) string {
	var of lacks
	for i := range m.Measures {
		v := &m.Measures[i]
		if v.Reason == "" || columns == nil && v.Name == "path_norm_output" || columns != nil && !asks(columns, v.label()) {
			continue
		}
		of.add(v.Reason, v.Name)
	}
	for i, why := range of.reasons {
		of.reasons[i] = strings.Join(of.names[why], ", ") + ": " + why
	}
	return strings.Join(of.reasons, "; ")
}

// lacks has what is undefined by reason, in the order of the reasons.
type lacks struct {
	reasons []string
	names   map[string][]string
}

// add adds a name to a reason, once.
func (l *lacks) add(reason, name string) {
	if l.names == nil {
		l.names = map[string][]string{}
	}
	if l.names[reason] == nil {
		l.reasons = append(l.reasons, reason)
	}
	if !slices.Contains(l.names[reason], name) {
		l.names[reason] = append(l.names[reason], name)
	}
}

// undefinedNotes has a line for each model that lacks measures of those shown, one for all that
// lack the same for the same reasons.
func undefinedNotes(models []auditedModel, columns []string) []string {
	return saidOnce(models, func(m *auditedModel) []string {
		if why := m.undefined(columns); why != "" {
			return []string{"undefined: " + why}
		}
		return nil
	})
}

// addReasons adds a last column of why models lack what the table shows, where one does.
func addReasons(t *render.Table, of []string) {
	if !slices.ContainsFunc(of, func(s string) bool { return s != "" }) {
		return
	}
	t.Columns = append(t.Columns, "undefined")
	for r := range t.Rows {
		t.Rows[r] = append(t.Rows[r], render.Text(of[r]))
	}
}
