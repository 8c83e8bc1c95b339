package render

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed page.html
var pageSource string

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageSource))
})

type htmlPage struct {
	Title   string
	Tables  []htmlTable
	Notes   []string
	Figures []htmlFigure
	// Provenance stands at the end of the page.
	Provenance []string
}

type htmlFigure struct {
	Title, Caption string
	SVG            template.HTML
	// Style holds the width in points, by which the page sizes the figure.
	Style template.CSS
}

type htmlTable struct {
	Title string
	Heads []htmlHead
	Rows  [][]htmlCell
}

type htmlHead struct {
	Text   string
	Number bool
}

type htmlCell struct {
	Text, Full, Class string
	Style             template.CSS
	// Rank orders the cells of a column, whatever their magnitude.
	Rank int
}

// htmlDecimal writes the exponent as a power of ten.
func htmlDecimal(d decimal) string {
	return d.mantissa + " × 10" + superscript.Replace(strconv.FormatInt(d.exp, 10))
}

var superscript = strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴",
	"5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹")

// writeHTML writes one page that needs nothing else: no style sheet, script,
// font or picture from elsewhere. Tables sort by a click, or a key, on a column's
// head.
func writeHTML(w io.Writer, d *Document, opt Options) error {
	p := htmlPage{Title: d.Title, Notes: d.notes("▾", "▴"), Provenance: opt.Provenance.lines()}
	for i := range d.Tables {
		p.Tables = append(p.Tables, htmlTableOf(&d.Tables[i], opt.Digits))
	}
	for i := range d.Figures {
		f := &d.Figures[i]
		svg, width, err := inline(f)
		if err != nil {
			return err
		}
		p.Figures = append(p.Figures, htmlFigure{f.Title, f.Caption, svg, template.CSS(fmt.Sprintf("--w:%d", width))})
	}
	return page().Execute(w, p)
}

func htmlTableOf(t *Table, digits int) htmlTable {
	out := htmlTable{Title: t.Title, Rows: make([][]htmlCell, len(t.Rows))}
	for r := range t.Rows {
		out.Rows[r] = make([]htmlCell, len(t.Columns))
	}
	for k, head := range t.Columns {
		right := t.rightAligned(k)
		if !t.headless() {
			out.Heads = append(out.Heads, htmlHead{head, right})
		}
		for r, rank := range t.ranks(k) {
			c := t.cell(r, k)
			v := htmlCell{Text: c.plain(numerals{digits, htmlDecimal}) + c.sign(), Rank: rank}
			var class []string
			if right {
				class = append(class, "n")
			}
			if c.kind == codeCell {
				class = append(class, "c")
			}
			if c.kind == numCell && c.text == "" {
				v.Full = c.full()
			}
			if c.bar > 0 {
				class = append(class, "b")
				v.Style = template.CSS(fmt.Sprintf("--s:%.3f", c.bar))
			}
			switch c.mark {
			case Best:
				class = append(class, "best")
			case Worst:
				class = append(class, "worst")
			}
			v.Class = strings.Join(class, " ")
			out.Rows[r][k] = v
		}
	}
	return out
}

func (t *Table) cell(row, column int) Cell {
	if column < len(t.Rows[row]) {
		return t.Rows[row][column]
	}
	return Cell{}
}

// ranks returns each row's place in the order of one column: empty cells,
// words, numbers; equal cells keep their order.
func (t *Table) ranks(column int) []int {
	order := make([]int, len(t.Rows))
	for r := range order {
		order[r] = r
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return compareCells(t.cell(a, column), t.cell(b, column))
	})
	rank := make([]int, len(order))
	for i, r := range order {
		rank[r] = i
	}
	return rank
}

func compareCells(a, b Cell) int {
	switch {
	case a.numeric() && b.numeric():
		return a.number().Cmp(b.number())
	case a.numeric():
		return 1
	case b.numeric():
		return -1
	}
	return strings.Compare(a.text, b.text)
}
