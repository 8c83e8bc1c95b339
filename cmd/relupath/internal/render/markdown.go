package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
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
		align := t.aligns(t.all())
		tab := tablewriter.NewTable(w,
			tablewriter.WithRenderer(renderer.NewMarkdown()),
			tablewriter.WithHeaderAutoFormat(tw.Off),
			tablewriter.WithRowAutoFormat(tw.Off),
			tablewriter.WithHeaderAutoWrap(tw.WrapNone),
			tablewriter.WithRowAutoWrap(tw.WrapNone),
			tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
			tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		)
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
		tab.Header(g.heads)
		for _, row := range g.rows {
			if err := tab.Append(row); err != nil {
				return fmt.Errorf("render: %w", err)
			}
		}
		if err := tab.Render(); err != nil {
			return fmt.Errorf("render: %w", err)
		}
	}
	return writeNotes(w, d, d.notes("bold", "italic"), escapeMarkdown)
}
