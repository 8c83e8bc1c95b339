package render

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// latexSpecial maps the characters that LaTeX reads as syntax, and the few
// beyond ASCII that appear in results.
var latexSpecial = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `_`, `\_`, `%`, `\%`, `&`, `\&`, `#`, `\#`, `$`, `\$`,
	`~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`, `<`, `\textless{}`, `>`, `\textgreater{}`,
	`|`, `\textbar{}`, `"`, `''`,
	"×", `$\times$`, "∞", `$\infty$`, "κ", `$\kappa$`, "σ", `$\sigma$`, "γ", `$\gamma$`, "≤", `$\le$`, "–", "--", "…", `\ldots{}`,
)

// TeXEscape protects words in mathematics from LaTeX.
func TeXEscape(s string) string { return latexSpecial.Replace(s) }

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

// The number of characters up to which a LaTeX table stays in one piece, and a longtable, which
// cannot be made smaller as a whole, upright and on its side; the numbers from which these have smaller
// types; the number of lines up to which it is a float: about a page of the class article, and with the smaller type.
const (
	latexWidth     = 104
	longWidth      = 86
	sidewaysWidth  = 150
	latexNormal    = 76
	longNormal     = 80
	sidewaysNormal = 110
	normalRows     = 42
	latexRows      = 48
)

// latexHead names the packages. A table that is too wide for its line is made
// smaller by \fitline. longHead lets a longtable, which stands in one column alone, have pages of its own in a
// document of two: \onlycolumn before it, \samecolumns behind it.
const latexHead = `%% needs \usepackage{amsmath,amssymb,booktabs,graphicx,%ssiunitx}
\providecommand{\fitline}[1]{\sbox0{#1}\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi}
`

const longHead = `\makeatletter\providecommand{\onlycolumn}{\if@twocolumn\onecolumn\def\samecolumns{\twocolumn\relax}\else\let\samecolumns\relax\fi}\makeatother
`

// writeLaTeX writes each table with caption and label, to be \input into a document:
// rules of booktabs, numbers in columns of siunitx that are aligned at their decimal
// markers. A table is one float as wide as the page, also in two columns, or a longtable
// where it is longer than a page, or so wide that it stands on its side; only what is wider than
// sidewaysWidth is cut into several.
// The meaning of marks follows the first caption, notes are comments.
func writeLaTeX(w io.Writer, d *Document, opt Options) error {
	long, sideways, tables := "", "", make([]*texTable, len(d.Tables))
	for i := range d.Tables {
		tables[i] = newTexTable(d.Tables[i].fitting(func(t *Table) int { return newTexTable(t, opt.Digits).cost() }), opt.Digits)
		if tables[i].long() {
			long = "longtable,"
		}
		if tables[i].sideways {
			sideways = "pdflscape,"
		}
	}
	fmt.Fprintf(w, latexHead, long+sideways)
	if long != "" {
		fmt.Fprint(w, longHead)
	}
	for _, line := range slices.Concat(d.Notes, opt.Provenance.lines()) {
		fmt.Fprintf(w, "%% %s\n", line)
	}
	for i, t := range tables {
		caption := escapeLaTeX(t.caption(d, i))
		for piece, cols := range t.pieces() {
			label := fmt.Sprintf("\\label{tab:%s}", d.label(i))
			if d.ownLabel {
				label = fmt.Sprintf("\\label{%s}", d.label(i))
			}
			if piece > 0 {
				caption, label = escapeLaTeX(t.name(d, i))+" (continued)", ""
			}
			var err error
			if t.long() {
				err = t.longtable(w, cols, "\\caption{"+caption+"}"+label)
			} else {
				err = t.float(w, cols, "\\caption{"+caption+"}"+label)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// name returns the words over table i: the document's caption over the first, its title, or
// the document's for one.
func (t *texTable) name(d *Document, i int) string {
	if i == 0 && d.Caption != "" {
		return d.Caption
	}
	return cmp.Or(t.Title, d.Title)
}

// caption is name with what marks mean, over the first that has no caption of its own.
func (t *texTable) caption(d *Document, i int) string {
	words := t.name(d, i)
	if i > 0 || d.Caption != "" {
		return words
	}
	if legend := d.legend("bold", "italic"); legend != "" {
		words += ". " + legend
	}
	return words
}

// texTable is a table with what every piece of it needs to know of the whole.
type texTable struct {
	*Table
	grid
	widths []int
	// formats has siunitx's description of each column of numbers, empty for
	// columns of words and of numbers of all sizes.
	formats []string
	// wide is the column that is squeezed where room is short, -1 for none, and
	// least its smallest width.
	wide, least int
	// lines is how many all rows take.
	lines int
	texForm
}

// texForm is what is done to a table that is too wide as it is: names of rows in several lines, a page on
// its side.
type texForm struct{ folded, sideways bool }

// newTexTable returns the table in the first form that is in one piece, else in the last.
func newTexTable(t *Table, digits int) *texTable {
	var x *texTable
	for _, form := range []texForm{{}, {folded: true}, {folded: true, sideways: true}} {
		if x = formed(t, digits, form); len(x.pieces()) == 1 {
			return x
		}
	}
	return x
}

// cost tells which of two forms of a table is better to read: that in fewer pieces, upright, in larger type.
func (t *texTable) cost() int {
	pieces := t.pieces()
	cost := len(pieces) * 10000
	if t.sideways {
		cost += 1000
	}
	if !t.long() {
		cost += max(0, total(t.widths, pieces[0], typed.gap)-longWidth)
	}
	return cost
}

func formed(t *Table, digits int, form texForm) *texTable {
	g := t.strings(numerals{digits, decimal.String}, escapeLaTeX)
	x := &texTable{Table: t, grid: g, formats: make([]string, len(t.Columns)), wide: squeezable(t, t.all()), lines: len(t.Rows), texForm: form}
	for i := range t.Columns {
		if t.rightAligned(i) && t.oneNotation(g, i, digits) {
			x.formats[i] = tableFormat(t, g, i)
		}
	}
	x.widths = make([]int, len(g.heads))
	for i := range g.heads {
		switch {
		case i < len(t.TeX) && t.TeX[i] != "":
			g.heads[i] = "$" + t.TeX[i] + "$"
			x.widths[i] = texWidth(g.heads[i])
		case i > 0 && t.Names || x.wordsOver(i):
			lines := inLines(t.Columns[i], headLetters)
			x.widths[i] = letters(lines)
			g.heads[i] = stacked(lines, "b", "c")
		default:
			x.widths[i] = texWidth(g.heads[i])
		}
		for r := range g.rows {
			x.widths[i] = max(x.widths[i], texWidth(cmp.Or(t.cell(r, i).tex, g.rows[r][i])))
		}
		x.widths[i] = max(x.widths[i], formatWidth(x.formats[i]))
	}
	if x.wide >= 0 {
		x.least = t.least(x.wide, typed)
	}
	if form.folded {
		x.fold()
	}
	return x
}

// fold breaks the names of rows into lines of the letters that the other columns leave.
func (t *texTable) fold() {
	room := longWidth
	if t.sideways {
		room = sidewaysWidth
	}
	room = max(room-total(t.widths, t.all(), typed.gap)+t.widths[0], nameLetters)
	t.widths[0] = texWidth(t.heads[0])
	for r := range t.rows {
		c := t.cell(r, 0)
		if c.kind != codeCell || c.tex != "" {
			t.widths[0] = max(t.widths[0], texWidth(cmp.Or(c.tex, t.rows[r][0])))
			continue
		}
		lines := inLines(c.text, room)
		t.widths[0] = max(t.widths[0], letters(lines))
		t.lines += len(lines) - 1
		t.rows[r][0] = stacked(lines, "t", "l")
	}
}

// wordsOver reports whether the head of a column of numbers is words.
func (t *texTable) wordsOver(i int) bool {
	return t.rightAligned(i) && (t.TeX == nil || t.TeX[i] == "") && strings.Contains(t.Columns[i], " ")
}

// long reports whether the table is no float: longer than a page, or on its side.
func (t *texTable) long() bool { return t.lines > latexRows || t.sideways }

// limit returns the number of characters that a line of the table may have.
func (t *texTable) limit() int {
	switch {
	case t.sideways:
		return sidewaysWidth
	case t.long():
		return longWidth
	}
	return latexWidth
}

// pieces shares the columns over as many tables as they need.
func (t *texTable) pieces() [][]int { return t.cut(t.widths, t.limit(), typed) }

// The number of letters from which a head has several lines, and the least that lines of folded names have.
const (
	headLetters = 10
	nameLetters = 24
)

// inLines breaks a name behind its signs into lines of some letters, or more where it has no sign.
func inLines(name string, letters int) []string {
	lines := []string{""}
	for name != "" {
		n := strings.IndexAny(name, "_-./ ") + 1
		if n == 0 {
			n = len(name)
		}
		last := &lines[len(lines)-1]
		if *last != "" && utf8.RuneCountInString(*last)+n > letters {
			lines = append(lines, "")
			last = &lines[len(lines)-1]
		}
		*last += name[:n]
		name = name[n:]
	}
	return lines
}

// letters returns how many letters the longest line has.
func letters(lines []string) int {
	n := 0
	for _, line := range lines {
		n = max(n, utf8.RuneCountInString(line))
	}
	return n
}

// stacked puts lines below each other: aligned at a line of their neighbours and to a side.
func stacked(lines []string, at, side string) string {
	for i := range lines {
		lines[i] = escapeLaTeX(strings.TrimSpace(lines[i]))
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return `\begin{tabular}[` + at + `]{@{}` + side + `@{}}` + strings.Join(lines, `\\`) + `\end{tabular}`
}

// texWidth estimates how many letters wide something is in LaTeX: a command is a sign, unless it is about
// the type.
func texWidth(tex string) int {
	s := texCommand().ReplaceAllStringFunc(tex, func(command string) string {
		switch command {
		case `\text`, `\textstyle`, `\mathrm`, `\hat`:
			return ""
		case `\max`, `\min`, `\log`, `\ln`:
			return command[1:]
		}
		return "x"
	})
	return utf8.RuneCountInString(strings.NewReplacer("{", "", "}", "", "_", "", "^", "", "$", "").Replace(s))
}

var texCommand = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\\([a-zA-Z]+|.)`) })

// oneNotation writes all numbers of a column with exponents where one has an
// exponent, so that siunitx keeps no room for what most lack. It reports false where
// the column has whole numbers too, which stay as they are.
func (t *Table) oneNotation(g grid, i, digits int) bool {
	some, whole, real := false, false, false
	for r := range g.rows {
		switch t.cell(r, i).kind {
		case intCell:
			whole = true
		case numCell:
			real = true
		}
		some = some || t.cell(r, i).numeric() && latexNumber(g.rows[r][i]) && strings.Contains(g.rows[r][i], "e")
	}
	if !some {
		return true
	}
	if whole && real {
		return false
	}
	for r := range g.rows {
		c := t.cell(r, i)
		if x := c.number(); c.numeric() && latexNumber(g.rows[r][i]) && !x.IsZero() {
			g.rows[r][i] = scientific(x, digits).String()
		}
	}
	return true
}

// narrowed returns the width of the squeezed column among some, 0 where there
// is none.
func (t *texTable) narrowed(cols []int) int {
	over := total(t.widths, cols, typed.gap) - t.limit()
	if over <= 0 || !slices.Contains(cols, t.wide) {
		return 0
	}
	return max(t.widths[t.wide]-over, t.least)
}

// label names table i: the document's label, with a number when there are more
// tables than one.
func (d *Document) label(i int) string {
	s := cmp.Or(d.Label, "relupath")
	if len(d.Tables) > 1 && (i > 0 || !d.ownLabel) {
		s += "-" + strconv.Itoa(i+1)
	}
	return s
}

// float writes some columns as one table.
func (t *texTable) float(w io.Writer, cols []int, caption string) error {
	fmt.Fprintf(w, "\n\\begin{table*}[htbp]\n\\centering%s\n\\sisetup{detect-all, mode = text}\\setlength{\\belowcaptionskip}{6pt}\n%s\n", t.size(cols), caption)
	fmt.Fprintf(w, "\\fitline{\\begin{tabular}{@{}%s@{}}\n\\toprule\n", t.spec(cols))
	if head := t.head(cols); head != "" {
		fmt.Fprintf(w, "%s\\midrule\n", head)
	}
	t.body(w, cols)
	_, err := fmt.Fprint(w, "\\bottomrule\n\\end{tabular}}\n\\end{table*}\n")
	return err
}

// longtable writes some columns as a table of several pages, each under the heads.
func (t *texTable) longtable(w io.Writer, cols []int, caption string) error {
	begin, end := "", ""
	if t.sideways {
		begin, end = "\\begin{landscape}", "\\end{landscape}"
	}
	fmt.Fprintf(w, "\n\\onlycolumn%s\n{%s\\sisetup{detect-all, mode = text}\\setlength{\\tabcolsep}{%s}\n", begin, t.size(cols), t.gap(cols))
	fmt.Fprintf(w, "\\begin{longtable}{@{}%s@{}}\n%s\\\\\n", t.spec(cols), caption)
	rule, head := "\\toprule\n", t.head(cols)
	if head != "" {
		rule += head + "\\midrule\n"
	}
	fmt.Fprintf(w, "%s\\endfirsthead\n%s\\endhead\n\\bottomrule\n\\endlastfoot\n", rule, rule)
	t.body(w, cols)
	_, err := fmt.Fprintf(w, "\\end{longtable}}\n%s\\samecolumns\n", end)
	return err
}

// size returns the type in which some columns fit a line of article.
func (t *texTable) size(cols []int) string {
	switch width := total(t.widths, cols, typed.gap); {
	case t.sideways && width <= sidewaysNormal:
		return `\footnotesize`
	case width > longNormal && t.long():
		return `\scriptsize`
	case width > latexNormal, t.lines > normalRows && !t.long():
		return `\footnotesize`
	}
	return `\small`
}

// gap returns the space beside each column of a longtable, which cannot be made smaller
// as a whole.
func (t *texTable) gap(cols []int) string {
	if total(t.widths, cols, typed.gap) > latexNormal {
		return "2pt"
	}
	return "6pt"
}

// spec returns the kinds of some columns. A column of many words takes the width that
// the others leave.
func (t *texTable) spec(cols []int) string {
	narrow := t.narrowed(cols)
	var spec strings.Builder
	for _, i := range cols {
		switch {
		case t.formats[i] != "":
			spec.WriteString("S[table-format=" + t.formats[i] + "]")
		case i == t.wide && narrow > 0:
			fmt.Fprintf(&spec, "p{%.2f\\linewidth}", float64(narrow)/float64(t.limit()))
		case t.rightAligned(i):
			spec.WriteByte('r')
		default:
			spec.WriteByte('l')
		}
	}
	return spec.String()
}

// head returns the line of heads, empty without heads.
func (t *texTable) head(cols []int) string {
	if t.headless() {
		return ""
	}
	row := make([]string, len(cols))
	for k, i := range cols {
		row[k] = t.heads[i]
		if t.formats[i] != "" {
			row[k] = "{" + row[k] + "}"
		}
	}
	return strings.Join(row, " & ") + " \\\\\n"
}

// body writes the rows of some columns.
func (t *texTable) body(w io.Writer, cols []int) {
	row := make([]string, len(cols))
	for r := range t.rows {
		for k, i := range cols {
			row[k] = latexCell(t.cell(r, i), t.rows[r][i], t.formats[i])
		}
		fmt.Fprintf(w, "%s \\\\\n", strings.Join(row, " & "))
	}
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

// formatWidth returns how many letters wide a column of numbers is at least: room is kept for the most
// digits on both sides of the marker, in whichever rows they are.
func formatWidth(format string) int {
	n := 0
	mantissa, exponent, has := strings.Cut(format, "e")
	for i, side := range strings.Split(mantissa, ".") {
		digits, _ := strconv.Atoi(strings.TrimPrefix(side, "-"))
		n += digits + i
	}
	if has {
		digits, _ := strconv.Atoi(strings.TrimPrefix(exponent, "-"))
		n += digits + len("x10")
	}
	return n + strings.Count(format, "-")
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
