package render

import (
	"html/template"
	"regexp"
	"strings"
	"sync"
)

// Term is a name that a page explains: a sentence, a formula in plain text and in LaTeX, which a
// page shows as MathML, where it is from.
type Term struct{ Name, Says, Formula, LaTeX, Source string }

type htmlTerm struct {
	ID, Name, Says string
	Math, Formula  template.HTML
	Source         string
}

var (
	signs = strings.NewReplacer("||", "‖", "sigma", "σ", "lambda", "λ", "gamma", "γ", "kappa", "κ", "alpha", "α",
		"phi", "φ", "sum over", "∑ over", "sum_", "∑_", "prod_", "∏_", "prod ", "∏ ", "sqrt", "√", "->", "→", " - ", " − ", " * ", " · ", "!=", "≠", "<=", "≤")
	raised = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(\^|(?:\b[A-Za-z]{1,3}|[‖∑∏σλγκαφ]|\bmax|\bd_in)_)(\{[^}]*\}|\([^()]*\)|-?[\pL\d]+)`)
	})
)

// typeset writes a formula in plain text with the signs of mathematics, and with indices and
// powers below and above the line.
func typeset(formula string) template.HTML {
	s := template.HTMLEscapeString(signs.Replace(formula))
	s = strings.NewReplacer("-&gt;", "→").Replace(s)
	s = raised().ReplaceAllStringFunc(s, func(m string) string {
		tag := "sup"
		at := strings.IndexByte(m, '^')
		if at < 0 {
			at, tag = strings.IndexByte(m, '_'), "sub"
		}
		inner := strings.Trim(m[at+1:], "{}")
		if strings.HasPrefix(inner, "(") {
			inner = strings.TrimSuffix(inner[1:], ")")
		}
		return m[:at] + "<" + tag + ">" + inner + "</" + tag + ">"
	})
	return template.HTML(s)
}
