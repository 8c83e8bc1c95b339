package render

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// latexSpecial maps the characters that LaTeX reads as syntax, and the few
// beyond ASCII that appear in results.
var latexSpecial = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `_`, `\_`, `%`, `\%`, `&`, `\&`, `#`, `\#`, `$`, `\$`,
	`~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`, `<`, `\textless{}`, `>`, `\textgreater{}`,
	`|`, `\textbar{}`, `"`, `''`,
	"×", `$\times$`, "∞", `$\infty$`, "κ", `$\kappa$`, "σ", `$\sigma$`, "γ", `$\gamma$`, "≤", `$\le$`, "–", "--", "…", `\ldots{}`,
)

// escapeLaTeX protects words from LaTeX; a column's head or a cell that is
// just inf, p, q or log10 is mathematics.
func escapeLaTeX(s string) string {
	switch s {
	case "inf":
		return `$\infty$`
	case "p", "q":
		return "$" + s + "$"
	case "log10":
		return `$\log_{10}$`
	}
	return latexSpecial.Replace(s)
}

// latexWidth is the number of characters, and latexRows the number of rows, up
// to which a table stays in one piece: about a page of the class article.
const (
	latexWidth = 80
	latexRows  = 42
)

const latexHead = `% needs \usepackage{amsmath,amssymb,booktabs,siunitx}
`

// writeLaTeX writes each table as a table environment with caption and label,
// to be \input into a document: rules of booktabs, numbers in columns of siunitx
// that are aligned at their decimal markers. A table that is larger than a page
// is cut into several. Notes follow the last caption.
func writeLaTeX(w io.Writer, d *Document) error {
	fmt.Fprint(w, latexHead)
	for i := range d.Tables {
		t := newTexTable(&d.Tables[i])
		caption := t.Title
		if caption == "" {
			caption = d.Title
		}
		piece := 0
		for _, cols := range t.cut(t.widths, latexWidth) {
			// A table without rows has one piece too.
			for from, more := 0, true; more; {
				to := t.fitting(cols, from)
				fmt.Fprint(w, "\n\\begin{table}[htbp]\n\\centering\\small\n\\sisetup{detect-all, mode = text}\n")
				t.tabular(w, cols, from, to)
				words := caption
				if piece > 0 {
					words += " (continued)"
				}
				if i == len(d.Tables)-1 && piece == 0 {
					words = sentences(append([]string{words}, d.notes("bold", "italic")...))
				}
				fmt.Fprintf(w, "\\caption{%s}\n", escapeLaTeX(words))
				if piece == 0 {
					fmt.Fprintf(w, "\\label{tab:%s}\n", d.label(i))
				}
				if _, err := fmt.Fprint(w, "\\end{table}\n"); err != nil {
					return err
				}
				piece++
				from, more = to, to < len(t.rows)
			}
		}
	}
	return nil
}

// texTable is a table with what every piece of it needs to know of the whole.
type texTable struct {
	*Table
	grid
	widths []int
	// formats has siunitx's description of each column of numbers, empty for
	// columns of words.
	formats []string
	// wide is the column that is squeezed where room is short, -1 for none, and
	// least its smallest width.
	wide, least int
}

func newTexTable(t *Table) *texTable {
	g := t.strings(decimal.String, escapeLaTeX)
	x := &texTable{Table: t, grid: g, widths: g.widths(), formats: make([]string, len(t.Columns)), wide: squeezable(t)}
	if x.wide >= 0 {
		x.least = t.least(x.wide)
	}
	for i := range t.Columns {
		if t.rightAligned(i) {
			x.formats[i] = tableFormat(t, g, i)
		}
	}
	return x
}

// sentences joins words into a caption: one full stop after each of several.
func sentences(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	var b strings.Builder
	for _, w := range words {
		b.WriteString(strings.TrimSuffix(w, ".") + ". ")
	}
	return strings.TrimSuffix(b.String(), " ")
}

// narrowed returns the width of the squeezed column among some, 0 where there
// is none.
func (t *texTable) narrowed(cols []int) int {
	over := total(t.widths, cols) - latexWidth
	if over <= 0 || !slices.Contains(cols, t.wide) {
		return 0
	}
	return max(t.widths[t.wide]-over, t.least)
}

// fitting returns the row after the last that fits on a page with row from.
func (t *texTable) fitting(cols []int, from int) int {
	lines, narrow := 0, t.narrowed(cols)
	for r := from; r < len(t.rows); r++ {
		lines++
		if narrow > 0 {
			// Words leave the ends of lines empty: a fifth more.
			lines += len(t.rows[r][t.wide]) * 6 / 5 / narrow
		}
		if lines > latexRows && r > from {
			return r
		}
	}
	return len(t.rows)
}

// label names table i: the document's label, with a number when there are more
// tables than one.
func (d *Document) label(i int) string {
	s := d.Label
	if s == "" {
		s = "relupath"
	}
	if len(d.Tables) > 1 {
		s += "-" + strconv.Itoa(i+1)
	}
	return s
}

// tabular writes rows [from, to) of some columns. A column of many words takes
// the width that the others leave.
func (t *texTable) tabular(w io.Writer, cols []int, from, to int) {
	narrow := t.narrowed(cols)
	var spec strings.Builder
	for _, i := range cols {
		switch {
		case t.formats[i] != "":
			spec.WriteString("S[table-format=" + t.formats[i] + "]")
		case i == t.wide && narrow > 0:
			fmt.Fprintf(&spec, "p{%.2f\\linewidth}", float64(narrow)/latexWidth)
		default:
			spec.WriteByte('l')
		}
	}
	fmt.Fprintf(w, "\\begin{tabular}{@{}%s@{}}\n\\toprule\n", spec.String())
	row := make([]string, len(cols))
	if !t.headless() {
		for k, i := range cols {
			row[k] = t.heads[i]
			if t.formats[i] != "" {
				row[k] = "{" + row[k] + "}"
			}
		}
		fmt.Fprintf(w, "%s \\\\\n\\midrule\n", strings.Join(row, " & "))
	}
	for r := from; r < to; r++ {
		for k, i := range cols {
			row[k] = latexCell(t.cell(r, i), t.rows[r][i], t.formats[i])
		}
		fmt.Fprintf(w, "%s \\\\\n", strings.Join(row, " & "))
	}
	fmt.Fprint(w, "\\bottomrule\n\\end{tabular}\n")
}

// latexCell sets a cell: in a column of numbers, which has a format, what is none
// goes into braces; elsewhere a number goes into \num.
func latexCell(c Cell, s, format string) string {
	number, isNumber := format != "", c.numeric() && latexNumber(s)
	switch {
	case c.tex != "":
		return "$" + c.tex + "$"
	case s == "":
		return ""
	case c.numeric() && strings.Contains(s, plusMinus):
		value, deviation, _ := strings.Cut(s, plusMinus)
		s = `\num{` + value + `} $\pm$ \num{` + deviation + "}"
		if number {
			s = "{" + s + "}"
		}
	case number && !isNumber:
		s = "{" + strings.Replace(s, "+inf", `$\infty$`, 1) + "}"
	case !number && isNumber:
		s = `\num{` + s + "}"
	}
	switch {
	case c.mark == Best && number && isNumber:
		return `\bfseries ` + s
	case c.mark == Best:
		return `\textbf{` + s + "}"
	case c.mark == Worst && number && isNumber:
		return `\itshape ` + s
	case c.mark == Worst:
		return `\textit{` + s + "}"
	}
	return s
}

func latexNumber(s string) bool {
	return s != undefined && !strings.Contains(s, "inf") && !strings.Contains(s, plusMinus)
}

// tableFormat returns siunitx's description of a column: the most digits before
// and after the marker and in the exponent, with signs where there are any.
func tableFormat(t *Table, g grid, i int) string {
	var whole, fraction, exponent int
	var sign, expSign string
	for r := range g.rows {
		s := g.rows[r][i]
		if c := t.cell(r, i); !c.numeric() || !latexNumber(s) {
			continue
		}
		m, e, _ := strings.Cut(s, "e")
		if rest, ok := strings.CutPrefix(m, "-"); ok {
			m, sign = rest, "-"
		}
		if rest, ok := strings.CutPrefix(e, "-"); ok {
			e, expSign = rest, "-"
		}
		a, b, _ := strings.Cut(m, ".")
		whole, fraction, exponent = max(whole, len(a)), max(fraction, len(b)), max(exponent, len(e))
	}
	format := sign + strconv.Itoa(max(whole, 1))
	if fraction > 0 {
		format += "." + strconv.Itoa(fraction)
	}
	if exponent > 0 {
		format += "e" + expSign + strconv.Itoa(exponent)
	}
	return format
}
