package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/relupath/relupath/internal/lists"
)

// columns is the number of columns of a terminal that a text takes, whatever the locale says.
func columns(s string) int { return twwidth.WidthWithOptions(s, twwidth.Options{}) }

// spacing is the space between two columns, and the width below which a column of formulas, which break
// badly, is not squeezed.
type spacing struct{ gap, formula int }

// The spacings of plain tables, the tight one where that keeps a table in one piece, and of LaTeX, where
// formulas hardly break.
var (
	loose = spacing{gap: 2, formula: 40}
	tight = spacing{gap: 1, formula: 40}
	typed = spacing{gap: 2, formula: 50}
)

// minText is the width below which a column of words is not squeezed.
const minText = 24

func writeText(w io.Writer, d *Document, opt Options) error {
	width := opt.Width
	for i := range d.Tables {
		t := d.Tables[i].fitting(func(t *Table) int {
			_, widths := t.laidOut(opt.Digits, width)
			return len(t.cut(widths, width, t.spaced(widths, width)))
		})
		if i > 0 {
			fmt.Fprintln(w)
		}
		if t.Title != "" {
			fmt.Fprintln(w, filled(t.Title, width))
		}
		grid, widths := t.laidOut(opt.Digits, width)
		between := t.spaced(widths, width)
		for k, cols := range t.cut(widths, width, between) {
			rows := grid
			if k > 0 {
				fmt.Fprintln(w)
				rows = grid.filled(cols[t.keys():])
			}
			if err := plainTable(w, t, rows, cols, widths, width, between); err != nil {
				return err
			}
		}
	}
	return writeNotes(w, d, slices.Concat(d.notes("*", "!"), opt.Provenance.lines()), func(s string) string { return filled(s, width) })
}

// laidOut returns the table as characters, and the widths of its columns on lines of a width.
func (t *Table) laidOut(digits, width int) (grid, []int) {
	g := t.strings(numerals{digits, decimal.String}, func(s string) string { return s })
	g.alignPoints(t)
	widths := g.widths()
	for i := range widths {
		// A longer cell breaks its line anyway: the others need no room beside it.
		widths[i] = min(widths[i], width)
	}
	return g, widths
}

// filled are the rows with something in one of the columns; all of them where none has.
func (g grid) filled(cols []int) grid {
	rows := slices.DeleteFunc(slices.Clone(g.rows), func(row []string) bool {
		return !slices.ContainsFunc(cols, func(i int) bool { return strings.TrimSpace(row[i]) != "" })
	})
	if len(rows) > 0 {
		g.rows = rows
	}
	return g
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
			if at := strings.IndexAny(row[i], ".ex%*!"); at >= 0 && c.numeric() {
				tails[r] = utf8.RuneCountInString(row[i][at:])
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
func (t *Table) strings(f numerals, escape func(string) string) grid {
	g := grid{heads: make([]string, len(t.Columns)), rows: make([][]string, len(t.Rows))}
	for i, c := range t.Columns {
		g.heads[i] = escape(c)
	}
	for r, row := range t.Rows {
		g.rows[r] = make([]string, len(t.Columns))
		for i, c := range row {
			s := c.plain(f)
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
		w[i] = columns(h)
		for _, row := range g.rows {
			w[i] = max(w[i], columns(row[i]))
		}
	}
	return w
}

// rightAligned reports whether column i holds numbers, alone unless it is one of a table turned round.
func (t *Table) rightAligned(i int) bool {
	numbers := false
	for _, row := range t.Rows {
		if i >= len(row) || row[i].empty() {
			continue
		}
		number := row[i].numeric() || row[i].text == undefined
		if !number && (!t.Names || i == 0) {
			return false
		}
		numbers = numbers || number
	}
	return numbers
}

// squeezable returns the one of some columns that may be wrapped, -1 without one: that with the longest
// words.
func squeezable(t *Table, cols []int) int {
	best, longest := -1, minText
	for _, i := range cols {
		for _, row := range t.Rows {
			if i < len(row) && row[i].kind == textCell && len(row[i].text) > longest {
				best, longest = i, len(row[i].text)
			}
		}
	}
	return best
}

// least returns the width below which a column of words is not squeezed.
func (t *Table) least(column int, between spacing) int {
	for r := range t.Rows {
		if t.cell(r, column).tex != "" {
			return between.formula
		}
	}
	return minText
}

// spaced returns the spacing of a plain table.
func (t *Table) spaced(widths []int, width int) spacing {
	if len(t.cut(widths, width, loose)) > 1 && len(t.cut(widths, width, tight)) == 1 {
		return tight
	}
	return loose
}

// cut shares a table's columns over pieces no wider than width: every piece
// begins with the key columns. The squeezable column counts as narrow as it may
// become.
func (t *Table) cut(widths []int, width int, between spacing) [][]int {
	all, keys := t.all(), t.keys()
	least := slices.Clone(widths)
	if k := squeezable(t, all); k >= 0 {
		least[k] = min(least[k], t.least(k, between))
	}
	if total(least, all, between.gap) <= width {
		return [][]int{all}
	}
	var out [][]int
	piece := slices.Clone(all[:keys])
	for i := keys; i < len(widths); i++ {
		next := append(piece, i)
		if len(piece) > keys && total(least, next, between.gap) > width {
			out = append(out, piece)
			next = append(slices.Clone(all[:keys]), i)
		}
		piece = next
	}
	return append(out, piece)
}

// wrap breaks words into lines of at most width columns, at least one line; a
// word that is longer itself is broken too.
func wrap(s string, width int) []string {
	lines := []string{""}
	at := 0
	end := func() {
		lines = append(lines, "")
		at = 0
	}
	add := func(s string, n int) {
		lines[len(lines)-1] += s
		at += n
	}
	for word := range strings.FieldsSeq(s) {
		if n := columns(word); at > 0 && at+1+n <= width {
			add(" ", 1)
		} else if at > 0 {
			end()
		}
		for _, r := range word {
			n := columns(string(r))
			if at > 0 && at+n > width {
				end()
			}
			add(string(r), n)
		}
	}
	return lines
}

// filled breaks a sentence that is longer than a line between its words. A word that is longer itself, as a
// path may be, stays whole, to be copied.
func filled(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	var out strings.Builder
	at := 0
	for word := range strings.FieldsSeq(s) {
		n := columns(word)
		switch {
		case at == 0:
		case at+1+n > width:
			out.WriteByte('\n')
			at = 0
		default:
			out.WriteByte(' ')
			at++
		}
		out.WriteString(word)
		at += n
	}
	return out.String()
}

func total(widths, cols []int, gap int) int {
	s := gap * (len(cols) - 1)
	for _, i := range cols {
		s += widths[i]
	}
	return s
}

// plainTable writes some columns of a table: heads, a rule, rows. A wrapped cell
// takes several lines.
func plainTable(w io.Writer, t *Table, g grid, cols, widths []int, width int, between spacing) error {
	widths = slices.Clone(widths)
	narrow := squeezable(t, cols)
	if over := total(widths, cols, between.gap) - width; over > 0 && narrow >= 0 {
		widths[narrow] = max(widths[narrow]-over, t.least(narrow, between))
	} else {
		narrow = -1
	}
	sides := t.sides()
	var line strings.Builder
	write := func(row []string) error {
		wrapped := []string{""}
		if narrow >= 0 {
			wrapped = wrap(row[narrow], widths[narrow])
		}
		for n, part := range wrapped {
			line.Reset()
			for _, i := range cols {
				s := ""
				switch {
				case i == narrow:
					s = part
				case n == 0:
					s = row[i]
				}
				line.WriteString(sides[i].pad(s, widths[i]) + strings.Repeat(" ", between.gap))
			}
			if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
				return err
			}
		}
		return nil
	}
	if !t.headless() {
		if err := write(g.heads); err != nil {
			return err
		}
		fmt.Fprintln(w, strings.Repeat("─", total(widths, cols, between.gap)))
	}
	for _, row := range g.rows {
		if err := write(row); err != nil {
			return err
		}
	}
	return nil
}

// side is the side of a column to which its cells are aligned.
type side uint8

const (
	left side = iota
	right
)

// pad fills a cell up with spaces.
func (a side) pad(s string, width int) string {
	space := strings.Repeat(" ", max(0, width-columns(s)))
	if a == right {
		return space + s
	}
	return s + space
}

// sides has the side of each column.
func (t *Table) sides() []side {
	out := make([]side, len(t.Columns))
	for i := range out {
		if t.rightAligned(i) {
			out[i] = right
		}
	}
	return out
}

// all returns the indices of every column.
func (t *Table) all() []int {
	return lists.Count(0, len(t.Columns))
}
