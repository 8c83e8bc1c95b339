package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// escapeMarkdown protects a cell's words from the syntax of tables.
func escapeMarkdown(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s)
}

func writeMarkdown(w io.Writer, d *Document, opt Options) error {
	for i := range d.Tables {
		t := &d.Tables[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		if t.Title != "" {
			fmt.Fprintf(w, "**%s**\n\n", escapeMarkdown(t.Title))
		}
		g := t.strings(numerals{opt.Digits, decimal.String}, escapeMarkdown)
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
		widths, sides := g.widths(), t.sides()
		rule := make([]string, len(widths))
		for i := range widths {
			widths[i] = max(2, min(widths[i], defaultWidth))
			rule[i] = ":" + strings.Repeat("-", widths[i]+1)
			if sides[i] == right {
				rule[i] = strings.Repeat("-", widths[i]+1) + ":"
			}
		}
		line := func(row []string) error {
			cells := make([]string, len(row))
			for i, s := range row {
				cells[i] = sides[i].pad(s, widths[i])
			}
			_, err := fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
			return err
		}
		if err := line(g.heads); err != nil {
			return err
		}
		fmt.Fprintf(w, "|%s|\n", strings.Join(rule, "|"))
		for _, row := range g.rows {
			if err := line(row); err != nil {
				return err
			}
		}
	}
	return writeNotes(w, d, slices.Concat(d.notes("bold", "italic"), opt.Provenance.lines()), escapeMarkdown)
}
