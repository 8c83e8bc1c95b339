package view

import (
	"fmt"
	"strings"
	"unicode"
)

// MathML writes a formula of LaTeX, as measures have them, for browsers: MathML Core, without
// scripts. It knows what the registry of measures uses; ok is false for anything else.
func MathML(latex string) (out string, ok bool) {
	p := &texReader{rest: latex}
	row := p.row(0)
	if p.unknown || p.rest != "" || row == "" {
		return "", false
	}
	// Firefox breaks lines between parts of math, and not within a row.
	return `<math display="block"><mrow>` + row + `</mrow></math>`, true
}

// texReader reads a formula from left to right.
type texReader struct {
	rest    string
	unknown bool
}

// What commands stand for: letters, operators, and names of functions.
var (
	texLetters = map[string]string{
		"alpha": "α", "gamma": "γ", "epsilon": "ϵ", "kappa": "κ", "lambda": "λ", "pi": "π", "sigma": "σ", "phi": "ϕ", "omega": "ω",
		"Delta": "Δ", "infty": "∞", "#": "#",
	}
	texOperators = map[string]string{"to": "→", "le": "≤", "ne": "≠", "{": "{", "}": "}"}
	texLimits    = map[string]string{
		"sum": `<mo movablelimits="false">∑</mo>`, "prod": `<mo movablelimits="false">∏</mo>`,
		"max": `<mo movablelimits="false" lspace="0.17em" rspace="0.17em">max</mo>`, "min": `<mo movablelimits="false" lspace="0.17em" rspace="0.17em">min</mo>`,
	}
	texSpaces = map[string]string{",": "0.17em", " ": "0.33em", "quad": "1em"}
)

// apply is the thin space between the name of a function and what it is of.
const apply = `<mspace width="0.17em"></mspace>`

// row reads up to an end, which it takes; 0 is that of the formula.
func (p *texReader) row(end byte) string {
	var b strings.Builder
	for p.rest = strings.TrimLeft(p.rest, " "); p.rest != ""; p.rest = strings.TrimLeft(p.rest, " ") {
		if p.rest[0] == end {
			p.rest = p.rest[1:]
			return b.String()
		}
		if p.rest[0] == '}' {
			p.unknown = true
			return ""
		}
		b.WriteString(p.scripted())
	}
	p.unknown = p.unknown || end != 0
	return b.String()
}

// fenced reads what stands between parentheses that grow with it, which are one thing: what is above
// them is above the whole.
func (p *texReader) fenced(size byte) string {
	inner, ok := strings.CutPrefix(p.rest, "(")
	var b strings.Builder
	right := `\` + string(size) + `igr)`
	for p.rest = inner; ok && p.rest != "" && !p.unknown; {
		if rest, end := strings.CutPrefix(p.rest, right); end {
			p.rest = rest
			return `<mrow><mo stretchy="true">(</mo>` + b.String() + `<mo stretchy="true">)</mo></mrow>`
		}
		b.WriteString(p.scripted())
		p.rest = strings.TrimLeft(p.rest, " ")
	}
	p.unknown = true
	return ""
}

// scripted reads one thing with what stands below and above it.
func (p *texReader) scripted() string {
	base, limits, function := p.atom()
	var sub, sup string
	for p.rest != "" && (p.rest[0] == '_' || p.rest[0] == '^') {
		of := &sub
		if p.rest[0] == '^' {
			of = &sup
		}
		p.rest = p.rest[1:]
		*of = p.argument()
	}
	tags := [3]string{"msub", "msup", "msubsup"}
	if limits {
		tags = [3]string{"munder", "mover", "munderover"}
	}
	switch {
	case sub != "" && sup != "":
		base = fmt.Sprintf("<%s>%s%s%s</%[1]s>", tags[2], base, sub, sup)
	case sub != "":
		base = fmt.Sprintf("<%s>%s%s</%[1]s>", tags[0], base, sub)
	case sup != "":
		base = fmt.Sprintf("<%s>%s%s</%[1]s>", tags[1], base, sup)
	}
	if function {
		base += apply
	}
	return base
}

// argument reads what a command or a script is of: a group, a digit, or one thing.
func (p *texReader) argument() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	if p.rest != "" && unicode.IsDigit(rune(p.rest[0])) {
		digit := p.rest[:1]
		p.rest = p.rest[1:]
		return "<mn>" + digit + "</mn>"
	}
	base, _, _ := p.atom()
	return base
}

// atom reads one thing: limits says that scripts stand below and above it, function that it is a
// name of one.
func (p *texReader) atom() (out string, limits, function bool) {
	if p.rest == "" {
		p.unknown = true
		return "", false, false
	}
	r := p.rest[0]
	switch {
	case r == '\\':
		return p.command()
	case r == '{':
		p.rest = p.rest[1:]
		return "<mrow>" + p.row('}') + "</mrow>", false, false
	case r >= '0' && r <= '9':
		n := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789."))
		out, p.rest = "<mn>"+p.rest[:n]+"</mn>", p.rest[n:]
		return out, false, false
	}
	p.rest = p.rest[1:]
	switch {
	case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
		return "<mi>" + string(r) + "</mi>", false, false
	case r == '-':
		return "<mo>−</mo>", false, false
	case r == '|':
		return `<mo stretchy="false" lspace="0" rspace="0">|</mo>`, false, false
	case strings.IndexByte("()[]", r) >= 0:
		return `<mo stretchy="false">` + string(r) + "</mo>", false, false
	case strings.IndexByte("+=/,", r) >= 0:
		return "<mo>" + string(r) + "</mo>", false, false
	}
	p.unknown = true
	return "", false, false
}

// command reads one that begins with a backslash.
func (p *texReader) command() (out string, limits, function bool) {
	p.rest = p.rest[1:]
	n := strings.IndexFunc(p.rest, func(r rune) bool { return !unicode.IsLetter(r) })
	if n < 0 {
		n = len(p.rest)
	}
	n = min(max(n, 1), len(p.rest))
	name := p.rest[:n]
	p.rest = p.rest[n:]
	if n > 0 && unicode.IsLetter(rune(name[0])) {
		p.rest = strings.TrimLeft(p.rest, " ")
	}
	if s, ok := texLetters[name]; ok {
		return "<mi>" + s + "</mi>", false, false
	}
	if s, ok := texOperators[name]; ok {
		return `<mo stretchy="false">` + s + "</mo>", false, false
	}
	if s, ok := texLimits[name]; ok {
		return s, true, false
	}
	if s, ok := texSpaces[name]; ok {
		return `<mspace width="` + s + `"></mspace>`, false, false
	}
	switch name {
	case "ln", "log":
		return "<mi>" + name + "</mi>", false, true
	case "frac", "tfrac":
		over := p.argument()
		return "<mfrac>" + over + p.argument() + "</mfrac>", false, false
	case "sqrt":
		return "<msqrt>" + p.argument() + "</msqrt>", false, false
	case "mathbb":
		if letter, ok := strings.CutPrefix(p.rest, "E"); ok {
			p.rest = letter
			return "<mi>𝔼</mi>", false, false
		}
	case "mathrm", "operatorname", "text":
		if words, rest, ok := strings.Cut(strings.TrimPrefix(p.rest, "{"), "}"); ok && p.rest[0] == '{' && !strings.ContainsAny(words, `\{<&`) {
			p.rest = rest
			if name == "text" {
				return "<mtext>" + strings.ReplaceAll(words, " ", "\u00a0") + "</mtext>", false, false
			}
			return `<mi mathvariant="normal">` + words + "</mi>", false, name == "operatorname"
		}
	case "lVert":
		return `<mo form="prefix" stretchy="false">‖</mo>`, false, false
	case "rVert":
		return `<mo form="postfix" stretchy="false">‖</mo>`, false, false
	case "Bigl", "bigl":
		return p.fenced(name[0]), false, false
	}
	p.unknown = true
	return "", false, false
}
