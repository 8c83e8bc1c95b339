package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
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
		w[i] = runewidth.StringWidth(h)
		for _, row := range g.rows {
			w[i] = max(w[i], runewidth.StringWidth(row[i]))
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
		n := runewidth.StringWidth(word)
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
			w := runewidth.StringWidth(string(r))
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

// plainTable writes some columns of a table; one of words is wrapped where they
// are too wide together.
func plainTable(w io.Writer, t *Table, g grid, cols, widths []int, width int) error {
	widths = slices.Clone(widths)
	squeeze := squeezable(t)
	if over := total(widths, cols) - width; over > 0 && slices.Contains(cols, squeeze) {
		widths[squeeze] = min(widths[squeeze], max(widths[squeeze]-over, t.least(squeeze)))
	} else {
		squeeze = -1
	}
	l := columns{widths: pick(widths, cols), right: pick(t.numbers(), cols)}
	var b strings.Builder
	if !t.headless() {
		l.line(&b, pick(g.heads, cols))
		b.WriteString(strings.Repeat("─", total(widths, cols)) + "\n")
	}
	for _, row := range g.rows {
		row = pick(row, cols)
		if k := slices.Index(cols, squeeze); k >= 0 {
			row[k] = wrap(row[k], l.widths[k])
		}
		l.row(&b, row)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// columns sets cells below each other.
type columns struct {
	widths []int
	right  []bool
}

// row writes cells, some of several lines.
func (l *columns) row(b *strings.Builder, cells []string) {
	for more := true; more; {
		more = false
		first := make([]string, len(cells))
		for k, c := range cells {
			var rest bool
			first[k], cells[k], rest = strings.Cut(c, "\n")
			more = more || rest
		}
		l.line(b, first)
	}
}

// line writes cells of one line each, without spaces at its end.
func (l *columns) line(b *strings.Builder, cells []string) {
	var line strings.Builder
	for k, c := range cells {
		if k > 0 {
			line.WriteString(strings.Repeat(" ", gap))
		}
		line.WriteString(l.fill(k, c))
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// fill gives the cell of a column the column's width.
func (l *columns) fill(k int, cell string) string {
	space := strings.Repeat(" ", max(0, l.widths[k]-runewidth.StringWidth(cell)))
	if l.right[k] {
		return space + cell
	}
	return cell + space
}

// numbers tells which columns hold numbers, which are aligned right.
func (t *Table) numbers() []bool {
	out := make([]bool, len(t.Columns))
	for i := range out {
		out[i] = t.rightAligned(i)
	}
	return out
}

// all returns the indices of every column.
func (t *Table) all() []int {
	out := make([]int, len(t.Columns))
	for i := range out {
		out[i] = i
	}
	return out
}

func pick[T any](s []T, cols []int) []T {
	out := make([]T, len(cols))
	for k, i := range cols {
		out[k] = s[i]
	}
	return out
}
