package render

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
)

// Visible returns s with every character that a reader cannot see written as an
// escape of Go and JSON: \n, \x1b, \u202e, and \xff for a byte that is no UTF-8.
// Such are control characters, which steer a terminal, those that turn the
// direction of writing, and those without width or of a meaning private to a font.
// Names in files come from strangers: all text for people goes through Visible.
// Text without such characters is returned as it is, so that Visible may be
// called twice.
func Visible(s string) string { return visible(s, "") }

// VisibleLines is Visible for text of several lines: line ends stay.
func VisibleLines(s string) string { return visible(s, "\n") }

func visible(s, keep string) string {
	at := strings.IndexFunc(s, func(r rune) bool { return hidden(r) && !strings.ContainsRune(keep, r) })
	if at < 0 && !strings.ContainsRune(s, utf8.RuneError) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0]), 16))
		case hidden(r) && !strings.ContainsRune(keep, r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// hidden reports whether nothing, or not the character itself, shows where r is
// written. Graphic characters are the letters, marks, numbers, signs and spaces
// of Unicode; some of its letters and marks are to be ignored all the same.
func hidden(r rune) bool {
	return !unicode.IsGraphic(r) || r > unicode.MaxLatin1 && unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// visible returns the document with all its words made visible. Figures make
// their words visible where they are drawn.
func (d *Document) visible() *Document {
	out := *d
	out.Title, out.Label, out.Caption, out.Marks = Visible(d.Title), Visible(d.Label), Visible(d.Caption), Visible(d.Marks)
	out.Subject, out.Lead = Visible(d.Subject), Visible(d.Lead)
	out.Notes = allVisible(d.Notes)
	out.Tables = slices.Clone(d.Tables)
	for i := range out.Tables {
		out.Tables[i] = out.Tables[i].visible()
	}
	if d.Records != nil {
		r := d.Records.visible()
		out.Records = &r
	}
	if d.Rows != nil {
		out.Rows = func(yield func([]Cell) bool) {
			for row := range d.Rows {
				if !yield(visibleRow(row)) {
					return
				}
			}
		}
	}
	out.Figures = slices.Clone(d.Figures)
	for i := range out.Figures {
		f := &out.Figures[i]
		f.Title, f.Caption, f.Group = Visible(f.Title), Visible(f.Caption), Visible(f.Group)
	}
	return &out
}

func (t Table) visible() Table {
	t.Title, t.Fold, t.Columns = Visible(t.Title), Visible(t.Fold), allVisible(t.Columns)
	t.Rows = slices.Clone(t.Rows)
	for r := range t.Rows {
		t.Rows[r] = visibleRow(t.Rows[r])
	}
	return t
}

// visibleRow returns a row with all its words made visible: itself, where they are.
func visibleRow(row []Cell) []Cell {
	out := row
	for k, c := range row {
		if s, why := Visible(c.text), Visible(c.why); s != c.text || why != c.why {
			if &out[0] == &row[0] {
				out = slices.Clone(row)
			}
			out[k].text, out[k].why = s, why
		}
	}
	return out
}

func allVisible(words []string) []string {
	out := slices.Clone(words)
	for i := range out {
		out[i] = Visible(out[i])
	}
	return out
}

// visibleText draws the words of figures, each on one line.
type visibleText struct{ text.Handler }

func (v visibleText) Lines(txt string) []string { return []string{Visible(txt)} }

func (v visibleText) Box(txt string, f font.Font) (width, height, depth vg.Length) {
	return v.Handler.Box(Visible(txt), f)
}

func (v visibleText) Draw(c vg.Canvas, txt string, style text.Style, at vg.Point) {
	v.Handler.Draw(c, Visible(txt), style, at)
}
