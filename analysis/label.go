package analysis

import (
	"strconv"
	"strings"
)

// Label names the measure with what tells it apart from others of its name: path_norm(2),
// group_norm(1,inf), margin(5%).
func (m *Measure) Label() string {
	var args []string
	for _, s := range []string{m.P, m.Q, m.Output} {
		if s != "" {
			args = append(args, s)
		}
	}
	if m.Percentile != 0 {
		args = append(args, strconv.FormatFloat(m.Percentile, 'g', -1, 64)+"%")
	}
	if len(args) == 0 {
		return m.Name
	}
	return m.Name + "(" + strings.Join(args, ",") + ")"
}
