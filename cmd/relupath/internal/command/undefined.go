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
	var reasons []string
	names := map[string][]string{}
	for i := range m.Measures {
		v := &m.Measures[i]
		if v.Reason == "" || columns == nil && v.Name == "path_norm_output" || columns != nil && !asks(columns, v.label()) {
			continue
		}
		if names[v.Reason] == nil {
			reasons = append(reasons, v.Reason)
		}
		if !slices.Contains(names[v.Reason], v.Name) {
			names[v.Reason] = append(names[v.Reason], v.Name)
		}
	}
	for i, why := range reasons {
		reasons[i] = strings.Join(names[why], ", ") + ": " + why
	}
	return strings.Join(reasons, "; ")
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
