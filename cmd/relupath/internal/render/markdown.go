package render

import (
	"fmt"
	"io"
	"strings"
)

// escapeMarkdown protects a cell's words from the syntax of tables.
func escapeMarkdown(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(s)
}

func writeMarkdown(w io.Writer, d *Document) error {
	for i := range d.Tables {
		t := &d.Tables[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		if t.Title != "" {
			fmt.Fprintf(w, "**%s**\n\n", escapeMarkdown(t.Title))
		}
		g := t.strings(decimal.String, escapeMarkdown)
		for r, row := range g.rows {
			for i := range row {
				row[i] += t.cell(r, i).sign()
				switch t.cell(r, i).mark {
				case Best:
					row[i] = "**" + row[i] + "**"
				case Worst:
					row[i] = "_" + row[i] + "_"
				}
			}
		}
		if _, err := io.WriteString(w, g.markdown(t.numbers())); err != nil {
			return err
		}
	}
	return writeNotes(w, d, d.notes("bold", "italic"), escapeMarkdown)
}

// markdown is the table itself, its columns below each other in the source too.
func (g grid) markdown(right []bool) string {
	l := columns{widths: g.widths(), right: right}
	rule := make([]string, len(right))
	for k := range rule {
		dashes := strings.Repeat("-", l.widths[k]+1)
		rule[k] = ":" + dashes
		if right[k] {
			rule[k] = dashes + ":"
		}
	}
	var b strings.Builder
	line := func(cells []string) {
		for k, c := range cells {
			b.WriteString("| " + l.fill(k, c) + " ")
		}
		b.WriteString("|\n")
	}
	line(g.heads)
	b.WriteString("|" + strings.Join(rule, "|") + "|\n")
	for _, row := range g.rows {
		line(row)
	}
	return b.String()
}
