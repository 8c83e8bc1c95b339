package render

import (
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/relupath/relupath/internal/lists"
)

// Panels draws several plots of curves with bands under one legend.
type Panels struct {
	Legend []LegendKey
	Panels []Panel
	// Many says that there may be many panels, one a layer: a page has each as a small plot
	// without a legend, whose colours the caption names, a file all of them.
	Many bool
}

// LegendKey is an entry of a legend. Colours (the palette has six) and dashes
// (four; 0 is solid) are counted; a curve that is not solid has rings on it, so
// that it is seen on top of a solid one.
type LegendKey struct {
	Name         string
	Colour, Dash int
}

// Scale is the scale of an axis.
type Scale uint8

// The scales. Numbers that are not positive have no place on LogScale.
const (
	LinearScale Scale = iota
	LogScale
)

// Panel is one plot of a Panels.
type Panel struct {
	Title string
	// XAxis and YAxis name the quantities, with their units.
	XAxis, YAxis   string
	XScale, YScale Scale
	// XTicks are the places that are marked; nil leaves them to the plot.
	XTicks []float64
	Curves []Curve
	// Says are lines for those who point at the panel on a page; nil is none.
	Says []string
}

// Curve is a line through Y and a band from Lo to Hi; NaN breaks it, nil Lo and
// Hi leave the band out.
type Curve struct {
	// Key is the index of the curve's entry in the legend.
	Key          int
	X, Y, Lo, Hi []float64
}

// Sizes of one panel in points, its title included.
const (
	panelWidth  = 208
	panelHeight = 168
	panelGap    = 14
	// longTitle are the letters that fit above one of many panels.
	longTitle = 36
	// titleRoom is the room for a title above the data.
	titleRoom = 13
)

func (p *Panels) columns() int {
	const most = 6
	switch n := len(p.Panels); {
	case n <= 3:
		return max(n, 1)
	case p.Many:
		return min(most, int(math.Ceil(math.Sqrt(float64(n)))))
	case n%3 == 0:
		return 3
	}
	return 2
}

func (p *Panels) rows() int { return (len(p.Panels) + p.columns() - 1) / p.columns() }

func (p *Panels) keys() []key {
	return lists.Map(p.Legend, func(k LegendKey) key { return key{k.Name, k.Colour, k.Dash} })
}

func (p *Panels) size() (w, h float64) {
	cols, rows := float64(p.columns()), float64(p.rows())
	w = cols*panelWidth + (cols-1)*panelGap
	return w, max(rows, 1)*panelHeight + max(rows-1, 0)*panelGap + legendHeightOf(p.keys(), w)
}

func (p *Panels) draw(c canvas) {
	keys := p.keys()
	c = legendOf(c, keys, 1.6)
	plots := lists.Map(p.Panels, func(x Panel) *axes { return x.axes(titleRoom) })
	for i, data := range align(plots, p.rows(), p.columns(), c) {
		one := p.Panels[i]
		if p.Many {
			one.Title = shorten(one.Title, longTitle)
		}
		one.draw(data, plots[i], keys)
	}
}

// align returns where the data of plots lie in rows and columns, row by row: all of one size, and
// those of a row or column in line.
func align(plots []*axes, rows, cols int, c canvas) []canvas {
	tiles := draw.Tiles{Rows: rows, Cols: cols, PadX: panelGap, PadY: panelGap}
	left, right := make([]vg.Length, cols), make([]vg.Length, cols)
	top, bottom := make([]vg.Length, rows), make([]vg.Length, rows)
	for i, p := range plots {
		r, k := i/cols, i%cols
		tile := tiles.At(c, k, r)
		data := p.data(tile)
		left[k], right[k] = max(left[k], data.Min.X-tile.Min.X), max(right[k], tile.Max.X-data.Max.X)
		bottom[r], top[r] = max(bottom[r], data.Min.Y-tile.Min.Y), max(top[r], tile.Max.Y-data.Max.Y)
	}
	size := vg.Point{X: c.Size().X - panelGap*vg.Length(cols-1), Y: c.Size().Y - panelGap*vg.Length(rows-1)}
	for k := range cols {
		size.X -= left[k] + right[k]
	}
	for r := range rows {
		size.Y -= top[r] + bottom[r]
	}
	size.X, size.Y = size.X/vg.Length(cols), size.Y/vg.Length(rows)
	out := make([]canvas, len(plots))
	at := vg.Point{Y: c.Max.Y}
	for i := range plots {
		r, k := i/cols, i%cols
		if k == 0 {
			at.X, at.Y = c.Min.X, at.Y-top[r]-size.Y
		}
		at.X += left[k]
		out[i] = canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: at, Max: at.Add(size)}}
		at.X += size.X + right[k] + panelGap
		if k == cols-1 {
			at.Y -= bottom[r] + panelGap
		}
	}
	return out
}

// parts are the panels of Many, a figure each, with what is told of it as its caption.
func (p *Panels) parts() []Figure {
	out := make([]Figure, len(p.Panels))
	for i, one := range p.Panels {
		title := one.Title
		one.Title = "" // it stands above the drawing
		out[i] = Figure{Title: title, Caption: strings.Join(one.Says, "; "), Chart: &smallPanel{one, p.keys()}}
	}
	return out
}

// smallPanel is one panel of many.
type smallPanel struct {
	panel Panel
	keys  []key
}

func (s *smallPanel) size() (w, h float64) { return panelWidth, panelHeight - 16 }

func (s *smallPanel) draw(c canvas) {
	p := s.panel.axes(0)
	s.panel.draw(p.data(c), p, s.keys)
}

// place returns a coordinate; ok is false for what has none, and for what is so large
// that the length of an axis would not be a number.
func (s Scale) place(x float64) (v float64, ok bool) {
	if s == LogScale {
		if !(x > 0) {
			return 0, false
		}
		x = math.Log10(x)
	}
	return x, math.Abs(x) <= math.MaxFloat64/4
}

// draw draws the panel's data into c, and the axes and the title around it.
func (p *Panel) draw(c canvas, a *axes, keys []key) {
	style := words(textSize, ink)
	style.XAlign = text.XCenter
	c.FillText(style, vg.Point{X: c.Center().X, Y: c.Max.Y + 6}, p.Title)
	a.draw(c, func(x, y func(float64) vg.Length) {
		for _, one := range p.Curves {
			for _, pts := range p.band(one, x, y) {
				c.FillPolygon(faint(keys[one.Key].color()), c.ClipPolygonXY(pts))
			}
		}
		for _, one := range p.Curves {
			p.stroke(c, x, y, one, keys[one.Key])
		}
		if p.Says != nil {
			tell(c, c.Min, c.Max, p.Says...)
		}
	})
}

// axes are the panel's, over what the curves and bands cover and a little more.
func (p *Panel) axes(head vg.Length) *axes {
	a := &axes{x: emptyAxis(p.XAxis, p.ticks()), y: emptyAxis(p.YAxis, linearTicks), head: head}
	if p.YScale == LogScale {
		a.y.ticks = fineLogTicks
	}
	cover := func(a *axis, s Scale, of ...[]float64) {
		for _, xs := range of {
			for _, x := range xs {
				if v, ok := s.place(x); ok {
					a.cover(v)
				}
			}
		}
	}
	for _, c := range p.Curves {
		cover(&a.x, p.XScale, c.X)
		cover(&a.y, p.YScale, c.Y, c.Lo, c.Hi)
	}
	a.x.pad(0.04)
	a.y.pad(0.04)
	return a
}

// ticks marks the x axis.
func (p *Panel) ticks() ticker {
	switch {
	case p.XTicks != nil:
		return fixedTicks(p.XTicks, p.XScale)
	case p.XScale == LogScale:
		return few(decadeTicks)
	case p.whole():
		return wholeLinearTicks
	}
	return linearTicks
}

// whole reports whether all places on the x axis are whole numbers.
func (p *Panel) whole() bool {
	return !slices.ContainsFunc(p.Curves, func(c Curve) bool {
		return slices.ContainsFunc(c.X, func(x float64) bool { return x != math.Trunc(x) })
	})
}

// xy is a place on both axes.
type xy struct{ x, y float64 }

// segments are the runs of points that have a place on both axes.
func (p *Panel) segments(x, y []float64) [][]xy {
	var out [][]xy
	open := false
	for i := range x {
		px, okX := p.XScale.place(x[i])
		py, okY := p.YScale.place(y[i])
		if !okX || !okY {
			open = false
			continue
		}
		if !open {
			out, open = append(out, nil), true
		}
		out[len(out)-1] = append(out[len(out)-1], xy{px, py})
	}
	return out
}

// band returns the polygons between Lo and Hi, empty where they are equal.
func (p *Panel) band(c Curve, x, y func(float64) vg.Length) [][]vg.Point {
	if c.Lo == nil {
		return nil
	}
	var out [][]vg.Point
	var top, bottom []vg.Point
	shut := func() {
		if len(top) > 1 {
			slices.Reverse(bottom)
			out = append(out, append(top, bottom...))
		}
		top, bottom = nil, nil
	}
	for i := range c.X {
		px, okX := p.XScale.place(c.X[i])
		lo, okL := p.YScale.place(c.Lo[i])
		hi, okH := p.YScale.place(c.Hi[i])
		if !okX || !okL || !okH {
			shut()
			continue
		}
		top = append(top, vg.Point{X: x(px), Y: y(hi)})
		bottom = append(bottom, vg.Point{X: x(px), Y: y(lo)})
	}
	shut()
	return out
}

// rings is the number of rings on a curve that is not solid, about.
const rings = 8

func (p *Panel) stroke(cv canvas, x, y func(float64) vg.Length, c Curve, k key) {
	style := draw.LineStyle{Color: k.color(), Width: 1.2, Dashes: k.dashes()}
	ring := draw.GlyphStyle{Color: k.color(), Radius: 2, Shape: draw.RingGlyph{}}
	segments := p.segments(c.X, c.Y)
	n := 0
	for _, seg := range segments {
		n += len(seg)
	}
	every, at := max(1, n/rings), 0
	for _, seg := range segments {
		pts := lists.Map(seg, func(s xy) vg.Point { return vg.Point{X: x(s.x), Y: y(s.y)} })
		cv.StrokeLines(style, cv.ClipLinesXY(pts)...)
		for _, pt := range pts {
			// A lone point has no line; among many it is not missed.
			lone := len(pts) == 1 && n <= 3*rings
			if lone || k.dash > 0 && at%every == every/2 {
				cv.DrawGlyph(ring, pt)
			}
			at++
		}
	}
}
