package render

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// latexSpecial maps the characters that LaTeX reads as syntax, and the few
// beyond ASCII that appear in results.
var latexSpecial = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `_`, `\_`, `%`, `\%`, `&`, `\&`, `#`, `\#`, `$`, `\$`,
	`~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`, `<`, `\textless{}`, `>`, `\textgreater{}`,
	`|`, `\textbar{}`, `"`, `''`, "\n", " ",
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

// latexWidth is the number of characters up to which a row stays in one
// tabular, set small.
const latexWidth = 90

const latexHead = `% needs \usepackage{booktabs} and \usepackage{siunitx}
% (version 3, or 2 with \sisetup{detect-all, mode = text} as here)
`

// writeLaTeX writes each table as a table environment with caption and label,
// to be \input into a document: rules of booktabs, numbers in columns of siunitx
// that are aligned at their decimal markers. A table that is too wide becomes
// several tabulars.
func writeLaTeX(w io.Writer, d *Document) error {
	fmt.Fprint(w, latexHead)
	for i := range d.Tables {
		t := &d.Tables[i]
		g := t.strings(decimal.String, escapeLaTeX)
		fmt.Fprint(w, "\n\\begin{table}[htbp]\n\\centering\\small\n\\sisetup{detect-all, mode = text, tight-spacing}\n")
		for k, cols := range cut(g.widths(), t.all(), t.keys(), -1, latexWidth) {
			if k > 0 {
				fmt.Fprint(w, "\n\\medskip\n")
			}
			tabular(w, t, g, cols)
		}
		caption := t.Title
		if caption == "" {
			caption = d.Title
		}
		if i == len(d.Tables)-1 {
			caption = strings.Join(append([]string{caption}, d.Notes...), ". ")
		}
		fmt.Fprintf(w, "\\caption{%s}\n\\label{tab:%s}\n", escapeLaTeX(caption), d.label(i))
		if _, err := fmt.Fprint(w, "\\end{table}\n"); err != nil {
			return err
		}
	}
	return nil
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

func tabular(w io.Writer, t *Table, g grid, cols []int) {
	var spec []string
	numbers := make([]bool, len(cols))
	for k, i := range cols {
		column := "l"
		if numbers[k] = t.rightAligned(i); numbers[k] {
			column = "S[table-format=" + tableFormat(t, g, i) + "]"
		}
		spec = append(spec, column)
	}
	fmt.Fprintf(w, "\\begin{tabular}{@{}%s@{}}\n\\toprule\n", strings.Join(spec, ""))
	row := make([]string, len(cols))
	if !t.headless() {
		for k, i := range cols {
			row[k] = g.heads[i]
			if numbers[k] {
				row[k] = "{" + row[k] + "}"
			}
		}
		fmt.Fprintf(w, "%s \\\\\n\\midrule\n", strings.Join(row, " & "))
	}
	for r := range g.rows {
		for k, i := range cols {
			row[k] = latexCell(t.cell(r, i), g.rows[r][i], numbers[k])
		}
		fmt.Fprintf(w, "%s \\\\\n", strings.Join(row, " & "))
	}
	fmt.Fprint(w, "\\bottomrule\n\\end{tabular}\n")
}

// latexCell sets a cell: in a column of numbers, what is none goes into braces;
// elsewhere a number goes into \num.
func latexCell(c Cell, s string, number bool) string { //nolint:revive // the column is one of numbers or of words
	isNumber := c.numeric() && latexNumber(s)
	switch {
	case s == "":
		return ""
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

func latexNumber(s string) bool { return s != undefined && !strings.Contains(s, "inf") }

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
