package render

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"io"
	"regexp"
	"strings"
	"sync"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/relupath/relupath/cmd/relupath/internal/render/pdf"
)

// FigureTypes lists the file types of figures, as extensions of names.
func FigureTypes() []string { return []string{"svg", "png", "pdf"} }

// pngDPI is the resolution of PNG figures, fit for print.
const pngDPI = 200

// margin is the room around a figure in a file, in points.
const margin = 8

// WriteFigure writes a figure in one of FigureTypes, on white paper. It panics
// for another type.
func WriteFigure(w io.Writer, f *Figure, typ string) error {
	cw, ch := f.Chart.size()
	width, height := vg.Length(cw+2*margin), vg.Length(ch+2*margin)
	var target interface {
		vg.CanvasSizer
		io.WriterTo
	}
	switch typ {
	case "svg":
		target = vgsvg.New(width, height)
	case "png":
		target = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(pngDPI), vgimg.UseBackgroundColor(color.White))}
	case "pdf":
		target = pdf.New(width, height)
	default:
		panic(fmt.Sprintf("render: figure type %q", typ))
	}
	c := draw.New(target)
	if typ == "svg" {
		rectangle(c, 0, 0, width, height, color.White)
	}
	f.Chart.draw(draw.Crop(c, margin, -margin, margin, -margin))
	_, err := target.WriteTo(w)
	return err
}

// variables maps the colours of figures, as an SVG canvas writes them, to the
// page's.
var variables = func() *strings.Replacer {
	var pairs []string
	add := func(c color.Color, name string) { pairs = append(pairs, svgColor(c), "var(--"+name+")") }
	add(ink, "ink")
	add(soft, "soft")
	add(line, "line")
	add(boxFill, "box")
	add(dimFill, "dim")
	add(functionFill, "function")
	for k, c := range palette {
		name := fmt.Sprintf("c%d", k)
		add(c, name)
		for _, thin := range []color.NRGBA{translucent(c), faint(c)} {
			if svgColor(thin) != svgColor(c) {
				add(thin, name)
			}
		}
	}
	return strings.NewReplacer(pairs...)
}()

// svgColor writes a colour in the way and with the rounding of package vgsvg.
func svgColor(c color.Color) string {
	r, g, b, a := c.RGBA()
	scale := 255 / float64(a)
	return fmt.Sprintf("#%02X%02X%02X", int(float64(r)*scale), int(float64(g)*scale), int(float64(b)*scale))
}

// fontFamily is what the page decides for its figures.
var fontFamily = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`font-family:[^;]*;font-variant:[^;]*;font-weight:[^;]*;font-style:[^;"]*;?`)
})

// inline returns a chart of a figure as an SVG element for a page, in the page's
// colours and type, and its width in points.
func inline(f *Figure, chart Chart) (svg template.HTML, width int, err error) {
	w, h := chart.size()
	target := &hovered{Canvas: vgsvg.New(vg.Length(w), vg.Length(h)), height: vg.Length(h)}
	chart.draw(draw.New(target))
	var b bytes.Buffer
	if _, err := target.WriteTo(&b); err != nil {
		return "", 0, err
	}
	_, body, _ := strings.Cut(b.String(), "<svg ")
	_, body, _ = strings.Cut(body, ">")
	body = strings.Replace(body, "</svg>", target.hits.String()+"</svg>", 1)
	body = fontFamily().ReplaceAllString(variables.Replace(body), "")
	head := fmt.Sprintf(`<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, w, h, template.HTMLEscapeString(f.Title+": "+f.Caption))
	// The drawing's words were escaped by its canvas.
	return template.HTML(head + body), int(w), nil
}
