package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// gap is the space between two columns of a plain table.
const gap = 2

// minText is the width below which a column of words is not squeezed,
// minFormula that of one of formulas, which break badly.
const (
	minText    = 24
	minFormula = 50
)

func writeText(w io.Writer, d *Document, width int) error {
	for i := range d.Tables {
		t := &d.Tables[i]
		if i > 0 {
			fmt.Fprintln(w)
		}
		if t.Title != "" {
			fmt.Fprintln(w, t.Title)
		}
		grid := t.strings(decimal.String, func(s string) string { return s })
		grid.alignPoints(t)
		widths := grid.widths()
		for k, cols := range t.cut(widths, width) {
			if k > 0 {
				fmt.Fprintln(w)
			}
			if err := plainTable(w, t, grid, cols, widths, width); err != nil {
				return err
			}
		}
	}
	return writeNotes(w, d, d.notes("*", "!"), func(s string) string { return s })
}

func writeNotes(w io.Writer, d *Document, notes []string, escape func(string) string) error {
	for i, n := range notes {
		if i == 0 && len(d.Tables) > 0 {
			fmt.Fprintln(w)
		}
		if _, err := fmt.Fprintln(w, escape(n)); err != nil {
			return err
		}
	}
	return nil
}

// plainMarks stand behind a marked cell of a plain table.
var plainMarks = [...]string{Best: "*", Worst: "!"}

// alignPoints puts the decimal points of a column of numbers below each other:
// numbers are aligned right, so each is filled up on that side.
func (g grid) alignPoints(t *Table) {
	for i := range g.heads {
		if !t.rightAligned(i) {
			continue
		}
		tails := make([]int, len(g.rows))
		longest := 0
		for r, row := range g.rows {
			c := t.cell(r, i)
			row[i] += c.sign() + plainMarks[c.mark]
			if at := strings.IndexAny(row[i], ".ex*!"); at >= 0 && c.numeric() {
				tails[r] = len(row[i]) - at
			}
			longest = max(longest, tails[r])
		}
		for r, row := range g.rows {
			if c := t.cell(r, i); c.numeric() && row[i] != undefined {
				row[i] += strings.Repeat(" ", longest-tails[r])
			}
		}
	}
}

// grid is a table as characters: heads, then rows, all equally long.
type grid struct {
	heads []string
	rows  [][]string
}

// strings formats every cell; escape protects words from the format's syntax.
func (t *Table) strings(sci func(decimal) string, escape func(string) string) grid {
	g := grid{heads: make([]string, len(t.Columns)), rows: make([][]string, len(t.Rows))}
	for i, c := range t.Columns {
		g.heads[i] = escape(c)
	}
	for r, row := range t.Rows {
		g.rows[r] = make([]string, len(t.Columns))
		for i, c := range row {
			s := c.plain(sci)
			if !c.numeric() {
				s = escape(s)
			}
			g.rows[r][i] = s
		}
	}
	return g
}

func (g grid) widths() []int {
	w := make([]int, len(g.heads))
	for i, h := range g.heads {
		w[i] = twwidth.Width(h)
		for _, row := range g.rows {
			w[i] = max(w[i], twwidth.Width(row[i]))
		}
	}
	return w
}

// rightAligned reports whether column i holds numbers.
func (t *Table) rightAligned(i int) bool {
	numbers := false
	for _, row := range t.Rows {
		if i >= len(row) || row[i].empty() {
			continue
		}
		if !row[i].numeric() && row[i].text != undefined {
			return false
		}
		numbers = true
	}
	return numbers
}

// squeezable returns the column of words that may be wrapped, -1 without one:
// the longest of those that are not keys.
func squeezable(t *Table) int {
	best, longest := -1, minText
	for i := range t.Columns {
		for _, row := range t.Rows {
			if i < len(row) && row[i].kind == textCell && len(row[i].text) > longest {
				best, longest = i, len(row[i].text)
			}
		}
	}
	return best
}

// least returns the width below which a column of words is not squeezed.
func (t *Table) least(column int) int {
	for r := range t.Rows {
		if t.cell(r, column).tex != "" {
			return minFormula
		}
	}
	return minText
}

// cut shares a table's columns over pieces no wider than width: every piece
// begins with the key columns. The squeezable column counts as narrow as it may
// become.
func (t *Table) cut(widths []int, width int) [][]int {
	all, keys := t.all(), t.keys()
	least := slices.Clone(widths)
	if k := squeezable(t); k >= 0 {
		least[k] = min(least[k], t.least(k))
	}
	if total(least, all) <= width {
		return [][]int{all}
	}
	var out [][]int
	piece := slices.Clone(all[:keys])
	for i := keys; i < len(widths); i++ {
		next := append(piece, i)
		if len(piece) > keys && total(least, next) > width {
			out = append(out, piece)
			next = append(slices.Clone(all[:keys]), i)
		}
		piece = next
	}
	return append(out, piece)
}

// wrap breaks words into lines of at most width columns; a word that is longer
// itself is broken too.
func wrap(s string, width int) string {
	var b strings.Builder
	at := 0
	for word := range strings.FieldsSeq(s) {
		n := twwidth.Width(word)
		switch {
		case at == 0:
		case at+1+n <= width:
			b.WriteByte(' ')
			at++
		default:
			b.WriteByte('\n')
			at = 0
		}
		for _, r := range word {
			w := twwidth.Width(string(r))
			if at > 0 && at+w > width {
				b.WriteByte('\n')
				at = 0
			}
			b.WriteRune(r)
			at += w
		}
	}
	return b.String()
}

func total(widths, cols []int) int {
	s := gap * (len(cols) - 1)
	for _, i := range cols {
		s += widths[i]
	}
	return s
}

func plainTable(w io.Writer, t *Table, g grid, cols, widths []int, width int) error {
	align := t.aligns(cols)
	padding := make([]tw.Padding, len(cols))
	limits := tw.NewMapper[int, int]()
	squeeze := squeezable(t)
	over := total(widths, cols) - width
	narrow := 0
	for k, i := range cols {
		pad := gap
		if k == len(cols)-1 {
			pad = 0
		}
		padding[k] = tw.Padding{Left: tw.Empty, Right: strings.Repeat(" ", pad), Overwrite: true}
		limits.Set(k, widths[i]+pad)
		if i == squeeze && over > 0 {
			narrow = max(widths[i]-over, t.least(i))
			limits.Set(k, narrow+pad)
		}
	}
	var b strings.Builder
	tab := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Symbols: tw.NewSymbols(tw.StyleLight),
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: tw.Off, BetweenRows: tw.Off},
				Lines:      tw.Lines{ShowTop: tw.Off, ShowBottom: tw.Off, ShowHeaderLine: onIf(!t.headless())},
			},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithRowAutoFormat(tw.Off),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithRowAlignmentConfig(tw.CellAlignment{PerColumn: align}),
		tablewriter.WithHeaderPaddingPerColumn(padding),
		tablewriter.WithRowPaddingPerColumn(padding),
		tablewriter.WithColumnWidths(limits),
	)
	if !t.headless() {
		tab.Header(pick(g.heads, cols))
	}
	for _, row := range g.rows {
		if narrow > 0 {
			row = slices.Clone(row)
			row[squeeze] = wrap(row[squeeze], narrow)
		}
		if err := tab.Append(pick(row, cols)); err != nil {
			return fmt.Errorf("render: %w", err)
		}
	}
	if err := tab.Render(); err != nil {
		return fmt.Errorf("render: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// aligns returns how each of some columns is aligned.
func (t *Table) aligns(cols []int) []tw.Align {
	align := make([]tw.Align, len(cols))
	for k, i := range cols {
		align[k] = tw.AlignLeft
		if t.rightAligned(i) {
			align[k] = tw.AlignRight
		}
	}
	return align
}

// all returns the indices of every column.
func (t *Table) all() []int {
	out := make([]int, len(t.Columns))
	for i := range out {
		out[i] = i
	}
	return out
}

func onIf(b bool) tw.State { //nolint:revive // turns a condition into the library's switch
	if b {
		return tw.On
	}
	return tw.Off
}

func pick(s []string, cols []int) []string {
	out := make([]string, len(cols))
	for k, i := range cols {
		out[k] = s[i]
	}
	return out
}
