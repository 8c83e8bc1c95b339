package render

import (
	"fmt"
	"iter"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/relupath/relupath/analysis/scaled"
)

// Document is a result, ready for any Format.
type Document struct {
	// Title heads the HTML page; Subject is what it is about, such as a file, and Lead the
	// result in a sentence.
	Title, Subject, Lead string
	// Terms are what the page explains at its end; tables link to them.
	Terms []Term
	// Label is the stem of the labels of LaTeX tables: tab:relupath-audit.
	Label string
	// ownLabel says that Label stands as it is.
	ownLabel bool
	// Caption stands in place of the title of the first LaTeX table, and of its notes.
	Caption string
	// Data is what JSON shows.
	Data any
	// Records is what CSV shows: one observation a row, all of one shape. Nil
	// makes CSV show Tables, each after an empty line.
	Records *Table
	// Rows are more of its rows, made as CSV writes them: there may be millions.
	Rows iter.Seq[[]Cell]
	// Tables is what the formats for readers show.
	Tables []Table
	// Figures are the plots below the tables of an HTML page, and the files
	// that WriteFigures writes.
	Figures []Figure
	// Marks says what the marks Best and Worst stand for, shown where a cell has one.
	// Each format puts before it how its marks look.
	Marks string
	// Notes are sentences below the tables.
	Notes []string
}

// Named returns the document with a caption and a label of its own for LaTeX, where they
// are not empty.
func (d *Document) Named(caption, label string) *Document {
	out := *d
	out.Caption = caption
	if label != "" {
		out.Label, out.ownLabel = label, true
	}
	return &out
}

// notes returns the sentences below the tables, for a format that shows the
// marks in the given ways.
func (d *Document) notes(best, worst string) []string {
	if legend := d.legend(best, worst); legend != "" {
		return append([]string{legend}, d.Notes...)
	}
	return d.Notes
}

// legend says what the marks mean; empty where no cell has one.
func (d *Document) legend(best, worst string) string {
	if d.Marks == "" || !slices.ContainsFunc(d.Tables, Table.marked) {
		return ""
	}
	return fmt.Sprintf("Marked as best (%s) and worst (%s): %s", best, worst, d.Marks)
}

// Table is a grid of cells under column heads.
type Table struct {
	// Title stands above the table, and is its caption in LaTeX.
	Title string
	// Columns has the heads; all empty leaves the head row out where the
	// format can.
	Columns []string
	// TeX has the heads as mathematics of LaTeX without dollars, where they are
	// some; nil for none.
	TeX []string
	// Names says that the heads are names from files, such as those of models, and not of what a page
	// explains.
	Names bool
	// Turns heads the names of columns where the table may be turned round to fit; empty where it
	// may not.
	Turns string
	// Last says that a page has it below the figures.
	Last bool
	// Fold are the words behind which a page hides it until they are opened; empty for none.
	Fold string
	// Keys is the number of leading columns that name a row: they are repeated
	// when a wide table is cut. Zero is one.
	Keys int
	Rows [][]Cell
}

// marked reports whether a cell has a mark.
func (t Table) marked() bool {
	return slices.ContainsFunc(t.Rows, func(row []Cell) bool {
		return slices.ContainsFunc(row, func(c Cell) bool { return c.mark != Unmarked })
	})
}

// Add appends a row.
func (t *Table) Add(cells ...Cell) { t.Rows = append(t.Rows, cells) }

// Bars gives the cells of every numeric column from the given one on a bar in
// HTML: the number's share of the column's largest. Where all are one number nothing is to be
// compared.
func (t *Table) Bars(from int) {
	for k := from; k < len(t.Columns); k++ {
		var top scaled.Num
		var values []scaled.Num
		for r := range t.Rows {
			if c := t.cell(r, k); c.numeric() && c.number().IsFinite() {
				top = scaled.Max(top, c.number())
				values = append(values, c.number())
			}
		}
		if values = slices.Compact(values); len(values) == 1 && len(t.Rows) > 1 {
			continue
		}
		for r := range t.Rows {
			if c := t.cell(r, k); c.numeric() && c.number().IsFinite() && !top.IsZero() {
				t.Rows[r][k].bar = max(0, c.number().Div(top).Float64())
			}
		}
	}
}

// Words calls f with the heads and cells that name measures, or may.
func (t *Table) Words(f func(string)) {
	if !t.Names {
		for _, head := range t.Columns {
			f(head)
		}
	}
	for _, row := range t.Rows {
		for _, c := range row {
			if c.term {
				f(c.text)
			}
		}
	}
}

// Turned returns a table of numbers by names with a row for each of its columns: its first
// column has the heads of the others.
func (t *Table) Turned() Table {
	out := Table{Title: t.Title, Columns: []string{t.Turns}, Names: true}
	for r := range t.Rows {
		out.Columns = append(out.Columns, t.cell(r, 0).text)
	}
	for k := 1; k < len(t.Columns); k++ {
		head := Measure(t.Columns[k])
		if t.TeX != nil {
			head = head.WithTeX(t.TeX[k])
		}
		row := []Cell{head}
		for r := range t.Rows {
			row = append(row, t.cell(r, k))
		}
		out.Add(row...)
	}
	return out
}

// fitting returns the table, or it turned round, whichever costs less.
func (t *Table) fitting(cost func(*Table) int) *Table {
	if t.Turns == "" {
		return t
	}
	if turned := t.Turned(); cost(&turned) < cost(t) {
		return &turned
	}
	return t
}

func (t *Table) keys() int { return min(max(t.Keys, 1), len(t.Columns)) }

func (t *Table) headless() bool { return strings.Join(t.Columns, "") == "" }

type cellKind uint8

const (
	textCell cellKind = iota
	codeCell
	intCell
	numCell
)

// Cell is one typed entry of a Table. The zero value is empty.
type Cell struct {
	kind cellKind
	text string
	int  *big.Int
	num  scaled.Num
	err  scaled.Num // its standard error, zero for none
	// bar is a share in [0, 1] of the cell that HTML fills.
	bar  float64
	mark Mark
	// unit stands behind the number, x for a multiple or %; LaTeX leaves it out, as
	// its column holds numbers alone.
	unit string
	// tex is the cell's formula in LaTeX.
	tex string
	// term says that it names a measure, which a page explains.
	term bool
	// why says why a number is undefined, for pages.
	why   string
	spark *spark
}

// Because says why the cell's number is undefined.
func (c Cell) Because(why string) Cell {
	c.why = why
	return c
}

// Mark sets a cell off from its column.
type Mark uint8

// The marks. Plain tables write * and !, Markdown bold and italic type, LaTeX
// bold and italic type, HTML a colour and a sign.
const (
	Unmarked Mark = iota
	Best
	Worst
)

// Marked returns the cell with a mark.
func (c Cell) Marked(m Mark) Cell {
	c.mark = m
	return c
}

// Text is a cell of words.
func Text(s string) Cell { return Cell{text: s} }

// Code is a cell with a name as it stands in a file or on the command line.
func Code(s string) Cell { return Cell{kind: codeCell, text: s} }

// Measure is a cell with the name of a measure, which a page links to what it is.
func Measure(s string) Cell { return Cell{kind: codeCell, text: s, term: true} }

// Formula is a cell of mathematics, in plain text and in LaTeX without dollars.
func Formula(plain, latex string) Cell { return Cell{text: plain, tex: latex} }

// WithTeX gives a cell of words a form in LaTeX: mathematics without dollars,
// unless it is empty.
func (c Cell) WithTeX(latex string) Cell {
	c.tex = latex
	return c
}

// Int is a whole number, shown with all its digits.
func Int(n int) Cell { return Big(big.NewInt(int64(n))) }

// Big is a whole number of any size; readers see a rounded form of one with
// more than fifteen digits. Nil is an empty cell.
func Big(n *big.Int) Cell {
	if n == nil {
		return Cell{}
	}
	return Cell{kind: intCell, int: n}
}

// Float is a real number.
func Float(x float64) Cell { return Number(scaled.New(x)) }

// Number is a real number of any magnitude.
func Number(x scaled.Num) Cell { return Cell{kind: numCell, num: x} }

// Log is the logarithm or another exponent, shown with three decimals; an
// infinite one (the logarithm of zero) is an empty cell.
func Log(x float64) Cell {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return Cell{}
	}
	return Fixed(x, 3)
}

// Fixed is a number shown with a number of decimals.
func Fixed(x float64, decimals int) Cell {
	return Cell{kind: numCell, num: scaled.New(x), text: strconv.FormatFloat(x, 'f', decimals, 64)}
}

// WithError is a number with its standard error.
func WithError(x, err scaled.Num) Cell {
	return Cell{kind: numCell, num: x, err: err}
}

// uncertain reports whether the cell has a standard error.
func (c Cell) uncertain() bool { return !c.err.IsZero() }

const plusMinus = " ± "

// Ratio is a multiple of something, shown with an x behind it.
func Ratio(x scaled.Num) Cell { return Cell{kind: numCell, num: x, unit: "x"} }

// Percent is a share in per cent, of 0.1 for 10%.
func Percent(x scaled.Num) Cell { return Cell{kind: numCell, num: x.MulFloat(100), unit: "%"} }

// YesNo is a truth value.
func YesNo(b bool) Cell {
	if b {
		return Text("yes")
	}
	return Text("no")
}

// number returns a numeric cell's value.
func (c Cell) number() scaled.Num {
	if c.kind == intCell {
		return BigNum(c.int)
	}
	return c.num
}

// BigNum returns a whole number as a scaled.Num, rounded.
func BigNum(n *big.Int) scaled.Num {
	f := new(big.Float).SetInt(n)
	exp := f.MantExp(f)
	m, _ := f.Float64()
	return scaled.New(m).Scale(int64(exp))
}

// sign returns what follows the number for readers.
func (c Cell) sign() string {
	if c.num.IsFinite() {
		return c.unit
	}
	return ""
}

func (c Cell) empty() bool { return c.kind <= codeCell && c.text == "" }

func (c Cell) numeric() bool { return c.kind >= intCell }

// Dims writes a shape as 64x784; an open dimension (-1) as ?.
func Dims(shape []int) string {
	s := make([]string, len(shape))
	for i, d := range shape {
		s[i] = strconv.Itoa(d)
		if d < 0 {
			s[i] = "?"
		}
	}
	if len(s) == 0 {
		return "scalar"
	}
	return strings.Join(s, "x")
}
