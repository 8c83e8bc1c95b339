// Package pdf is a canvas of gonum/plot that writes a page of PDF: lines, areas and words, in
// colours that others show through. Of a TrueType font the page has the glyphs that it shows, and
// what characters they are, for search and copies. The same drawing gives the same bytes: no dates.
//
// The canvas of gonum/plot, vgpdf, embeds whole fonts, 215 kB a page, shows words in Windows-1252
// alone, and darkens translucent colours.
//
// Source: ISO 32000-1 (PDF 1.7): 8.4 and 8.5 graphics, 9.7 composite fonts, 9.10.3 ToUnicode.
package pdf

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"

	"github.com/relupath/relupath/internal/lists"
)

// Canvas is one page.
type Canvas struct {
	width, height vg.Length
	content       bytes.Buffer
	// lines are the line widths of what was pushed, and the one in use.
	lines  []vg.Length
	alphas []float64
	fonts  []*face
	byFont map[*opentype.Font]*face
}

// New returns an empty page.
func New(width, height vg.Length) *Canvas {
	c := &Canvas{width: width, height: height, lines: make([]vg.Length, 1), byFont: map[*opentype.Font]*face{}}
	vg.Initialize(c)
	return c
}

// Size returns width and height.
func (c *Canvas) Size() (width, height vg.Length) { return c.width, c.height }

// op writes an operator after its operands.
func (c *Canvas) op(name string, operands ...float64) {
	for _, x := range operands {
		c.content.WriteString(number(x) + " ")
	}
	c.content.WriteString(name + "\n")
}

// number writes x without an exponent, which PDF does not have.
func number(x float64) string {
	return strconv.FormatFloat(math.Round(x*1e5)/1e5+0, 'f', -1, 64)
}

// SetLineWidth sets the width of strokes; those without a positive one are not drawn.
func (c *Canvas) SetLineWidth(w vg.Length) {
	c.lines[len(c.lines)-1] = w
	c.op("w", w.Points())
}

// SetLineDash sets the lengths of dashes and gaps.
func (c *Canvas) SetLineDash(pattern []vg.Length, offset vg.Length) {
	parts := lists.Map(pattern, func(p vg.Length) string { return number(p.Points()) })
	c.op("[" + strings.Join(parts, " ") + "] " + number(offset.Points()) + " d")
}

// SetColor sets the colour of strokes, areas and words; nil is black.
func (c *Canvas) SetColor(clr color.Color) {
	if clr == nil {
		clr = color.Black
	}
	n := color.NRGBAModel.Convert(clr).(color.NRGBA)
	part := func(x uint8) float64 { return float64(x) / math.MaxUint8 }
	c.op("rg", part(n.R), part(n.G), part(n.B))
	c.op("RG", part(n.R), part(n.G), part(n.B))
	k := slices.Index(c.alphas, part(n.A))
	if k < 0 {
		k = len(c.alphas)
		c.alphas = append(c.alphas, part(n.A))
	}
	c.op(fmt.Sprintf("/A%d gs", k))
}

// Rotate turns what follows by radians.
func (c *Canvas) Rotate(rad float64) {
	sin, cos := math.Sincos(rad)
	c.op("cm", cos, sin, -sin, cos, 0, 0)
}

// Translate moves what follows.
func (c *Canvas) Translate(by vg.Point) { c.op("cm", 1, 0, 0, 1, by.X.Points(), by.Y.Points()) }

// Scale stretches what follows.
func (c *Canvas) Scale(x, y float64) { c.op("cm", x, 0, 0, y, 0, 0) }

// Push keeps the state for Pop.
func (c *Canvas) Push() {
	c.lines = append(c.lines, c.lines[len(c.lines)-1])
	c.op("q")
}

// Pop goes back to the state at the last Push.
func (c *Canvas) Pop() {
	c.lines = c.lines[:len(c.lines)-1]
	c.op("Q")
}

// Stroke draws the lines of a path.
func (c *Canvas) Stroke(p vg.Path) {
	if c.lines[len(c.lines)-1] > 0 {
		c.path(p)
		c.op("S")
	}
}

// Fill draws the area inside a path.
func (c *Canvas) Fill(p vg.Path) {
	c.path(p)
	c.op("f")
}

func (c *Canvas) path(p vg.Path) {
	var at vg.Point
	xy := func(pts ...vg.Point) (out []float64) {
		for _, q := range pts {
			out = append(out, q.X.Points(), q.Y.Points())
		}
		return out
	}
	for i, s := range p {
		switch s.Type {
		case vg.MoveComp:
			c.op("m", xy(s.Pos)...)
		case vg.LineComp:
			c.op("l", xy(s.Pos)...)
		case vg.CurveComp:
			a, b := s.Control[0], s.Control[len(s.Control)-1]
			if len(s.Control) == 1 {
				// A quadratic curve as a cubic one.
				a, b = at.Add(a.Sub(at).Scale(2./3)), s.Pos.Add(b.Sub(s.Pos).Scale(2./3))
			}
			c.op("c", xy(a, b, s.Pos)...)
		case vg.ArcComp:
			c.arc(s, i == 0, xy)
			sin, cos := math.Sincos(s.Start + s.Angle)
			at = s.Pos.Add(vg.Point{X: s.Radius * vg.Length(cos), Y: s.Radius * vg.Length(sin)})
			continue
		case vg.CloseComp:
			c.op("h")
			continue
		}
		at = s.Pos
	}
}

// arc draws a part of a circle as cubic curves of at most a quarter, whose controls lie 4/3
// tan(angle/4) radii along the tangents.
func (c *Canvas) arc(s vg.PathComp, first bool, xy func(...vg.Point) []float64) {
	on := func(angle float64) (at, along vg.Point) {
		sin, cos := math.Sincos(angle)
		r := s.Radius
		return s.Pos.Add(vg.Point{X: r * vg.Length(cos), Y: r * vg.Length(sin)}), vg.Point{X: -r * vg.Length(sin), Y: r * vg.Length(cos)}
	}
	from, along := on(s.Start)
	if first {
		c.op("m", xy(from)...)
	} else {
		c.op("l", xy(from)...)
	}
	n := math.Ceil(math.Abs(s.Angle)/(math.Pi/2) - 1e-9)
	step := s.Angle / n
	k := vg.Length(4. / 3 * math.Tan(step/4))
	for i := range int(n) {
		to, next := on(s.Start + step*float64(i+1))
		c.op("c", xy(from.Add(along.Scale(k)), to.Sub(next.Scale(k)), to)...)
		from, along = to, next
	}
}

// FillString draws words with the font's kerning.
func (c *Canvas) FillString(f font.Face, at vg.Point, words string) {
	if f.Font.Size == 0 || words == "" {
		return
	}
	fc := c.byFont[f.Face]
	if fc == nil {
		fc = newFace(f)
		c.byFont[f.Face] = fc
		c.fonts = append(c.fonts, fc)
	}
	fmt.Fprintf(&c.content, "BT /F%d %s Tf %s %s Td [%s] TJ ET\n", slices.Index(c.fonts, fc),
		number(f.Font.Size.Points()), number(at.X.Points()), number(at.Y.Points()), fc.show(words))
}

// DrawImage panics: no chart has an image.
func (c *Canvas) DrawImage(vg.Rectangle, image.Image) { panic("pdf: an image") }

// document writes objects, which are numbered from 1, and where they begin.
type document struct {
	bytes.Buffer
	at []int
}

// add writes an object and returns its number.
func (d *document) add(body string) int {
	d.at = append(d.at, d.Len())
	fmt.Fprintf(d, "%d 0 obj\n%s\nendobj\n", len(d.at), body)
	return len(d.at)
}

// stream writes a compressed stream whose dictionary has more entries.
func (d *document) stream(more string, data []byte) int {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(data) // a buffer takes it
	w.Close()
	return d.add(fmt.Sprintf("<</Filter/FlateDecode/Length %d%s>>stream\n%s\nendstream", z.Len(), more, &z))
}

// WriteTo writes the page as a file.
func (c *Canvas) WriteTo(w io.Writer) (int64, error) {
	var d document
	d.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	var fonts, alphas strings.Builder
	for k, f := range c.fonts {
		fmt.Fprintf(&fonts, "/F%d %d 0 R", k, f.write(&d))
	}
	for k, a := range c.alphas {
		fmt.Fprintf(&alphas, "/A%d<</ca %s/CA %[2]s>>", k, number(a))
	}
	content := d.stream("", c.content.Bytes())
	page := len(d.at) + 1
	d.add(fmt.Sprintf("<</Type/Page/Parent %d 0 R/MediaBox[0 0 %s %s]/Contents %d 0 R/Group<</S/Transparency/CS/DeviceRGB>>/Resources<</Font<<%s>>/ExtGState<<%s>>>>>>",
		page+1, number(c.width.Points()), number(c.height.Points()), content, &fonts, &alphas))
	d.add(fmt.Sprintf("<</Type/Pages/Count 1/Kids[%d 0 R]>>", page))
	root := d.add(fmt.Sprintf("<</Type/Catalog/Pages %d 0 R>>", page+1))
	table := d.Len()
	fmt.Fprintf(&d, "xref\n0 %d\n0000000000 65535 f \n", len(d.at)+1)
	for _, at := range d.at {
		fmt.Fprintf(&d, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&d, "trailer\n<</Size %d/Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(d.at)+1, root, table)
	return d.Buffer.WriteTo(w)
}
