package render

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/relupath/relupath/internal/lists"
)

type htmlTable struct {
	// Name is the title, for screen readers.
	Name string
	// Fold are the words behind which it stands.
	Fold  string
	Heads []htmlHead
	Rows  [][]htmlCell
	// Reasons are why cells are undefined, each once.
	Reasons []htmlReason
	reasons map[string]int // where each is
	keys    int
}

type htmlHead struct {
	Text   template.HTML
	Link   string
	Number bool
	// width is that of its widest part, in letters.
	width int
}

type htmlReason struct {
	ID, Text string
	N        int
}

type htmlCell struct {
	Text              template.HTML
	Full, Class, Link string
	Style             template.CSS
	Spark             template.HTML
	// Rank orders the cells of a column, whatever their magnitude.
	Rank int
	// Head says that the cell names its row.
	Head bool
	Why  *htmlReason
	// width is that of the text, in letters.
	width int
}

// htmlTableOf makes a table whose names of measures link to their definitions. Reasons are
// numbered after the first n.
func htmlTableOf(t *Table, digits int, terms map[string]string, prefix string, n int) htmlTable {
	out := htmlTable{Name: cmp.Or(t.Title, t.Fold, "table"), Fold: t.Fold, Rows: make([][]htmlCell, len(t.Rows)), keys: t.keys()}
	for r := range t.Rows {
		out.Rows[r] = make([]htmlCell, len(t.Columns))
	}
	link := func(s string) string {
		name, _, _ := strings.Cut(s, "(")
		return terms[name]
	}
	for k, head := range t.Columns {
		right := t.rightAligned(k)
		if !t.headless() {
			h := htmlHead{breakable(head), link(head), right, widest(head)}
			if t.Names {
				h.Link = ""
			}
			out.Heads = append(out.Heads, h)
		}
		lines := t.lines(k)
		for r, rank := range t.ranks(k) {
			c := t.cell(r, k)
			text := c.page(digits)
			v := htmlCell{Text: breakable(text), Rank: rank, Head: k == 0, width: utf8.RuneCountInString(text)}
			class := slices.Clone(lines)
			if right {
				class = append(class, "n")
			}
			if c.kind == codeCell {
				class = append(class, "c")
			}
			if c.term {
				v.Link = link(c.text)
			}
			if c.kind == numCell && c.text == "" {
				v.Full = c.full()
			}
			if c.bar > 0 {
				class = append(class, "b")
				v.Style = template.CSS(fmt.Sprintf("--s:%.3f", c.bar))
			}
			if c.spark != nil {
				v.Spark = c.spark.svg()
			}
			switch c.mark {
			case Best:
				class = append(class, "best")
			case Worst:
				class = append(class, "worst")
			}
			if c.why != "" {
				v.Why = out.reason(c.why, prefix, n)
				v.Full = c.why
			}
			v.Class = strings.Join(class, " ")
			out.Rows[r][k] = v
		}
	}
	return out
}

// Texts up to shortText letters, and names up to shortCode, stay on a line where there is room.
const (
	shortText = 20
	shortCode = 44
)

// lines returns the class of a column of words: s for short ones, w for long ones.
func (t *Table) lines(column int) []string {
	longest, most := 0, shortText
	for r := range t.Rows {
		c := t.cell(r, column)
		if c.numeric() {
			return nil
		}
		if c.kind == codeCell {
			most = shortCode
		}
		longest = max(longest, utf8.RuneCountInString(c.text))
	}
	switch {
	case longest == 0 || t.headless():
		return nil
	case longest <= most:
		return []string{"s"}
	case column > 0:
		return []string{"w"}
	}
	return nil
}

// page returns the characters of a cell on a page.
func (c Cell) page(digits int) string {
	s := c.plain(numerals{digits, htmlDecimal})
	if c.numeric() {
		a, b, uncertain := strings.Cut(s, plusMinus)
		if s = grouped(a); uncertain {
			s += plusMinus + grouped(b)
		}
	}
	return s + c.sign()
}

// reason returns the entry of a reason.
func (t *htmlTable) reason(why, prefix string, n int) *htmlReason {
	k, ok := t.reasons[why]
	if !ok {
		if k = len(t.Reasons); k == 0 {
			t.reasons = map[string]int{}
		}
		t.reasons[why] = k
		t.Reasons = append(t.Reasons, htmlReason{fmt.Sprintf("%s%d", prefix, n+k+1), why, n + k + 1})
	}
	r := t.Reasons[k]
	return &r
}

// pageWidth is the room for a table in a window of 1400 points, as letters; what needs more
// than halfPage has no other beside it.
const (
	pageWidth = 150
	halfPage  = 110
)

// widths are those of the columns, as letters.
func (t *htmlTable) widths() []int {
	width := make([]int, len(t.Heads))
	for k, h := range t.Heads {
		width[k] = h.width + 2
		for _, row := range t.Rows {
			n := min(row[k].width, 45)
			if row[k].Spark != "" {
				n = 11
			}
			width[k] = max(width[k], n)
		}
		width[k] += 3
	}
	return width
}

func (t *htmlTable) width() int { return sum(t.widths()) }

func sum(w []int) (n int) {
	for _, x := range w {
		n += x
	}
	return n
}

// parts cuts a table that is wider than a page into several, each with the columns that name
// its rows, and all about as wide.
func (t *htmlTable) parts() []htmlTable {
	cuts := t.cuts(pageWidth)
	if len(cuts) < 2 {
		return []htmlTable{*t}
	}
	for room := halfPage; room < pageWidth; room++ {
		if even := t.cuts(room); len(even) == len(cuts) {
			cuts = even
			break
		}
	}
	out, from := make([]htmlTable, len(cuts)), t.keys
	for i, to := range cuts {
		out[i], from = t.columns(from, to), to
	}
	out[len(out)-1].Reasons = t.Reasons
	return out
}

// cuts returns the ends of parts that have room for so many letters, or one column.
func (t *htmlTable) cuts(room int) []int {
	var out []int
	width := t.widths()
	keys := sum(width[:min(t.keys, len(width))])
	for to, used := t.keys, keys; to < len(width); {
		if used += width[to]; used > room && used > keys+width[to] {
			out, used = append(out, to), keys
			continue
		}
		if to++; to == len(width) {
			out = append(out, to)
		}
	}
	return out
}

// widest returns the length of the longest part of a head that breakable leaves whole.
func widest(head string) int {
	n := 0
	for _, part := range strings.FieldsFunc(strings.ReplaceAll(head, "(", " ("), func(r rune) bool { return strings.ContainsRune(" _/", r) }) {
		n = max(n, utf8.RuneCountInString(part)+1)
	}
	return n
}

func (t *htmlTable) columns(from, to int) htmlTable {
	out := htmlTable{Name: t.Name, Fold: t.Fold, Heads: slices.Concat(t.Heads[:t.keys], t.Heads[from:to])}
	for _, row := range t.Rows {
		out.Rows = append(out.Rows, slices.Concat(row[:t.keys], row[from:to]))
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
	order := lists.Count(0, len(t.Rows))
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
