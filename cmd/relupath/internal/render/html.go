package render

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

//go:embed page.html
var pageSource string

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Parse(pageSource))
})

// htmlPage is what page.html shows.
type htmlPage struct {
	Title, Subject, Lead, Made string
	Contents                   []htmlLink
	Sections                   []*htmlSection
	Terms                      []htmlTerm
	// Provenance stands at the end of the page.
	Provenance []string
}

type htmlLink struct{ ID, Title string }

// htmlSection has tables or figures under a heading.
type htmlSection struct {
	htmlLink
	Caption string
	// Full says that nothing stands beside it.
	Full bool
	// Class says how the figures are laid out.
	Class  string
	Tables []htmlTable
	// Folded are the tables that are to be opened.
	Folded  []htmlTable
	Figures []htmlFigure
	Notes   []string
}

type htmlFigure struct {
	Name, Title string
	SVG         template.HTML
	// Plan says that it is large, to be looked at part by part; Style has its width.
	Plan  bool
	Style template.CSS
}

// writeHTML writes one page that needs nothing else: no style sheet, script,
// font or picture from elsewhere. Tables sort by a click, or a key, on a column's
// head; without scripts the page has all else.
func writeHTML(w io.Writer, d *Document, opt Options) error {
	p := htmlPage{Title: d.Title, Subject: d.Subject, Lead: d.Lead, Made: opt.made(), Provenance: opt.Provenance.lines()}
	terms := map[string]string{}
	for _, t := range d.Terms {
		h := htmlTerm{ID: "m-" + t.Name, Name: t.Name, Says: t.Says, Formula: typeset(t.Formula), Source: t.Source}
		math, _ := view.MathML(t.LaTeX)
		h.Math = template.HTML(math)
		p.Terms, terms[t.Name] = append(p.Terms, h), h.ID
	}
	figures := func(first bool) error {
		for i := range d.Figures {
			if d.Figures[i].First != first {
				continue
			}
			if err := p.figure(&d.Figures[i]); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range d.Tables {
		if !d.Tables[i].Last {
			p.table(&d.Tables[i], opt.Digits, terms)
		}
		if i > 0 {
			continue
		}
		if err := figures(true); err != nil {
			return err
		}
	}
	if notes := d.notes("▾", "▴"); len(notes) > 0 {
		if len(p.Sections) == 0 {
			p.section("")
		}
		p.Sections[len(p.Sections)-1].Notes = notes
	}
	if err := figures(false); err != nil {
		return err
	}
	for i := range d.Tables {
		if d.Tables[i].Last {
			p.table(&d.Tables[i], opt.Digits, terms)
		}
	}
	if p.Terms != nil && len(p.Contents) > 0 {
		p.Contents = append(p.Contents, htmlLink{"definitions", "Definitions"})
	}
	if len(p.Contents) < 2 {
		p.Contents = nil
	}
	return page().Execute(w, p)
}

// section begins a section; one without a title is not in the contents.
func (p *htmlPage) section(title string) *htmlSection {
	s := &htmlSection{htmlLink: htmlLink{Title: headline(title)}}
	if title != "" {
		s.ID = "s" + strconv.Itoa(len(p.Sections)+1)
		p.Contents = append(p.Contents, s.htmlLink)
	}
	p.Sections = append(p.Sections, s)
	return s
}

// table adds a table, in parts as wide as a page; it has a section of its own where it has a
// title.
func (p *htmlPage) table(t *Table, digits int, terms map[string]string) {
	var s *htmlSection
	if k := len(p.Sections) - 1; t.Title == "" && k >= 0 {
		s = p.Sections[k]
	} else {
		s = p.section(t.Title)
	}
	n := 0
	for _, old := range slices.Concat(s.Tables, s.Folded) {
		n += len(old.Reasons)
	}
	whole := htmlTableOf(t, digits, terms, fmt.Sprintf("w%d-", len(p.Sections)), n)
	parts := whole.parts()
	if t.Fold != "" {
		s.Folded = append(s.Folded, parts...)
	} else {
		s.Tables = append(s.Tables, parts...)
	}
	s.Full = s.Full || t.headless() || whole.width() > halfPage
}

// headline begins a title of words with a capital; names of files stay.
func headline(title string) string {
	first, _, _ := strings.Cut(title, " ")
	if strings.Trim(first, "abcdefghijklmnopqrstuvwxyz,;") != "" || first == "" {
		return title
	}
	return strings.ToUpper(title[:1]) + title[1:]
}

// breakable is text that may go on in the next line behind its signs.
func breakable(s string) template.HTML {
	return template.HTML(breaks.Replace(template.HTMLEscapeString(s)))
}

var breaks = strings.NewReplacer("_", "_<wbr>", "/", "/<wbr>", "(", "<wbr>(")

// figure adds a figure: to the section before it where that has its group.
func (p *htmlPage) figure(f *Figure) error {
	title := cmp.Or(f.Group, f.Title)
	var s *htmlSection
	if k := len(p.Sections) - 1; k >= 0 && p.Sections[k].Title == headline(title) && f.Group != "" && p.Sections[k].Tables == nil {
		s = p.Sections[k]
	} else {
		s = p.section(title)
		s.Caption, s.Full = f.Caption, true
	}
	parts, many := []Chart{f.Chart}, []Figure(nil)
	switch c := f.Chart.(type) {
	case *Histograms:
		parts = c.parts()
	case *Panels:
		if s.Class = "one"; c.Many {
			s.Class, parts, many = "small", nil, c.parts()
		}
	case *Diagram:
		s.Class = "one"
	}
	if w, _ := f.Chart.size(); w <= smallWidth {
		s.Class = "small"
	}
	for i := range many {
		svg, _, err := inline(&many[i], many[i].Chart)
		if err != nil {
			return err
		}
		s.Figures = append(s.Figures, htmlFigure{Name: many[i].Title, Title: many[i].Title, SVG: svg})
	}
	for _, c := range parts {
		svg, width, err := inline(f, c)
		if err != nil {
			return err
		}
		h := htmlFigure{Name: f.Title, SVG: svg}
		if _, h.Plan = c.(*Diagram); h.Plan || s.Class == "one" {
			h.Plan, h.Style = true, template.CSS(fmt.Sprintf("--w:%d", width))
		}
		if f.Group != "" {
			h.Title = f.Title
		}
		s.Figures = append(s.Figures, h)
	}
	return nil
}

// made says which version made the page when.
func (o *Options) made() string {
	return strings.Join(slices.DeleteFunc([]string{o.Version, o.Date}, func(s string) bool { return s == "" }), " · ")
}

// htmlDecimal writes the exponent as a power of ten.
func htmlDecimal(d decimal) string {
	return d.mantissa + " × 10" + superscript.Replace(strconv.FormatInt(d.exp, 10))
}

var superscript = strings.NewReplacer("-", "⁻", "0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴",
	"5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹")

// grouped puts a comma before every three digits of a whole part of four or more.
func grouped(s string) string {
	whole, rest, point := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	if len(whole) < 4 || strings.Trim(whole, "0123456789") != "" {
		return s
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, r := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	if point {
		b.WriteString("." + rest)
	}
	return b.String()
}
