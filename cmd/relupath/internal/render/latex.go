package render

import (
	"fmt"
	"io"
	"strings"
)

// latexSpecial maps the characters that LaTeX reads as syntax, and the few
// beyond ASCII that appear in results.
var latexSpecial = strings.NewReplacer(
	`\`, `\textbackslash{}`, `{`, `\{`, `}`, `\}`, `_`, `\_`, `%`, `\%`, `&`, `\&`, `#`, `\#`, `$`, `\$`,
	`~`, `\textasciitilde{}`, `^`, `\textasciicircum{}`, `<`, `\textless{}`, `>`, `\textgreater{}`,
	`|`, `\textbar{}`, `"`, `''`, "\n", " ",
	"×", `$\times$`, "∞", `$\infty$`, "κ", `$\kappa$`, "σ", `$\sigma$`, "≤", `$\le$`, "–", "--", "…", `\ldots{}`,
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

func latexDecimal(d decimal) string {
	return fmt.Sprintf(`$%s\times10^{%d}$`, d.mantissa, d.exp)
}

// writeLaTeX writes one tabular of the booktabs package for each table, to be
// \input into a table environment.
func writeLaTeX(w io.Writer, d *Document) error {
	fmt.Fprintln(w, `% needs \usepackage{booktabs}`)
	for i := range d.Tables {
		t := &d.Tables[i]
		if i > 0 {
			fmt.Fprintf(w, "\n\\par\\medskip\n")
		}
		if t.Title != "" {
			fmt.Fprintf(w, "%% %s\n", strings.ReplaceAll(t.Title, "\n", " "))
		}
		var align strings.Builder
		for k := range t.Columns {
			if t.rightAligned(k) {
				align.WriteByte('r')
			} else {
				align.WriteByte('l')
			}
		}
		fmt.Fprintf(w, "\\begin{tabular}{%s}\n\\toprule\n", align.String())
		g := t.strings(latexDecimal, escapeLaTeX)
		if !t.headless() {
			fmt.Fprintf(w, "%s \\\\\n\\midrule\n", strings.Join(g.heads, " & "))
		}
		for r, row := range g.rows {
			for k, s := range row {
				row[k] = minus(t.Rows[r], k, s)
			}
			fmt.Fprintf(w, "%s \\\\\n", strings.Join(row, " & "))
		}
		fmt.Fprint(w, "\\bottomrule\n\\end{tabular}\n")
	}
	for _, n := range d.Notes {
		if _, err := fmt.Fprintf(w, "\n%% %s\n", strings.ReplaceAll(n, "\n", " ")); err != nil {
			return err
		}
	}
	return nil
}

// minus sets a negative number in mathematics, where its sign is a minus.
func minus(row []Cell, k int, s string) string {
	if k < len(row) && row[k].numeric() && strings.HasPrefix(s, "-") {
		return "$" + s + "$"
	}
	return s
}
