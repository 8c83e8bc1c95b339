package render

import (
	"math"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
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
	keys := make([]key, len(p.Legend))
	for i, k := range p.Legend {
		keys[i] = key{k.Name, k.Colour, k.Dash}
	}
	return keys
}

func (p *Panels) size() (w, h float64) {
	cols, rows := float64(p.columns()), float64(p.rows())
	w = cols*panelWidth + (cols-1)*panelGap
	return w, max(rows, 1)*panelHeight + max(rows-1, 0)*panelGap + legendHeightOf(p.keys(), w)
}

func (p *Panels) draw(c canvas) error {
	keys := p.keys()
	c = legendOf(c, keys, 1.6)
	if len(p.Panels) == 0 {
		return nil
	}
	plots := make([][]*plot.Plot, p.rows())
	for r := range plots {
		plots[r] = make([]*plot.Plot, p.columns())
		for k := range plots[r] {
			if i := r*p.columns() + k; i < len(p.Panels) {
				one := p.Panels[i]
				if p.Many {
					one.Title = shorten(one.Title, longTitle)
				}
				plots[r][k] = one.plot(keys)
			}
		}
	}
	tiles := draw.Tiles{Rows: p.rows(), Cols: p.columns(), PadX: panelGap, PadY: panelGap}
	for r, row := range plot.Align(plots, tiles, c) {
		for k := range row {
			if plots[r][k] != nil {
				plots[r][k].Draw(row[k])
			}
		}
	}
	return nil
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

func (s *smallPanel) draw(c canvas) error {
	p := s.panel.plot(s.keys)
	p.Title.Text = ""
	p.Draw(c)
	return nil
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

// plot makes the plot of one panel.
func (p *Panel) plot(keys []key) *plot.Plot {
	out := newPlot(p.XAxis, p.YAxis)
	// gonum centres titles over the plot with its labels, at heights that differ
	// from panel to panel: an empty one keeps the room, the words stand over the
	// data.
	out.Title.Text, out.Title.TextStyle, out.Title.Padding = " ", words(textSize, ink), 3
	out.X.Tick.Marker, out.Y.Tick.Marker = p.ticks(), plot.Ticker(linearTicks{})
	if p.YScale == LogScale {
		out.Y.Tick.Marker = fineLogTicks{}
	}
	out.Add(plotFunc(func(cv canvas, _ *plot.Plot) {
		style := words(textSize, ink)
		style.XAlign = text.XCenter
		cv.FillText(style, vg.Point{X: (cv.Min.X + cv.Max.X) / 2, Y: cv.Max.Y + 6}, p.Title)
	}))
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: line, Width: 0.5}
	grid.Vertical = grid.Horizontal
	out.Add(grid)
	for _, c := range p.Curves {
		out.Add(plotFunc(func(cv canvas, pl *plot.Plot) {
			x, y := pl.Transforms(&cv)
			for _, pts := range p.band(c, x, y) {
				cv.FillPolygon(faint(keys[c.Key].color()), cv.ClipPolygonXY(pts))
			}
		}))
	}
	for _, c := range p.Curves {
		out.Add(plotFunc(func(cv canvas, pl *plot.Plot) { p.stroke(cv, pl, c, keys[c.Key]) }))
	}
	if p.Says != nil {
		out.Add(plotFunc(func(cv canvas, _ *plot.Plot) { tell(cv, cv.Min, cv.Max, p.Says...) }))
	}
	p.extent(out)
	return out
}

// ticks marks the x axis.
func (p *Panel) ticks() plot.Ticker {
	switch {
	case p.XTicks != nil:
		return fixedTicks{p.XTicks, p.XScale}
	case p.XScale == LogScale:
		return few{decadeTicks{}}
	}
	return linearTicks{p.whole()}
}

// fineLogTicks is logTicks for axes that may cover less than a decade.
type fineLogTicks struct{}

// Ticks returns round numbers; where 1, 2 and 5 times powers of ten are too
// few, multiples of a step.
func (fineLogTicks) Ticks(lo, hi float64) []plot.Tick {
	if hi-lo >= 0.6 {
		return logTicks{}.Ticks(lo, hi)
	}
	out := linearTicks{}.Ticks(math.Pow(10, lo), math.Pow(10, hi))
	for i := range out {
		out[i].Value = math.Log10(out[i].Value)
	}
	return out
}

// whole reports whether all places on the x axis are whole numbers.
func (p *Panel) whole() bool {
	for _, c := range p.Curves {
		for _, x := range c.X {
			if x != math.Trunc(x) {
				return false
			}
		}
	}
	return true
}

// linearTicks marks a linear axis with four or five round numbers, whole ones
// where only those have a meaning.
type linearTicks struct{ whole bool }

// Ticks returns multiples of a round step. Adding zero makes a negative zero
// positive.
func (l linearTicks) Ticks(lo, hi float64) []plot.Tick {
	unit := math.Pow(10, math.Floor(math.Log10((hi-lo)/5)))
	if l.whole {
		unit = max(unit, 1)
	}
	step := unit * niceStep((hi-lo)/5/unit)
	var out []plot.Tick
	const most = 12 // where the next multiple is the same number the loop would not end
	for k := math.Ceil(lo / step); k*step <= hi && len(out) < most; k++ {
		out = append(out, plot.Tick{Value: k * step, Label: strconv.FormatFloat(k*step+0, 'g', 6, 64)})
	}
	return out
}

// fixedTicks marks given places, and names every second where they are many.
type fixedTicks struct {
	at    []float64
	scale Scale
}

// Ticks returns the places within the axis.
func (f fixedTicks) Ticks(lo, hi float64) []plot.Tick {
	every := 1 + len(f.at)/7
	var out []plot.Tick
	for i, x := range f.at {
		v, ok := f.scale.place(x)
		if !ok || v < lo || v > hi {
			continue
		}
		t := plot.Tick{Value: v}
		if i%every == 0 {
			t.Label = tickLabel(x, 0)
		}
		out = append(out, t)
	}
	return out
}

// extent sets the axes to what the curves and bands cover and a little more.
func (p *Panel) extent(out *plot.Plot) {
	for _, a := range []*plot.Axis{&out.X, &out.Y} {
		a.Min, a.Max = math.Inf(1), math.Inf(-1)
	}
	cover := func(a *plot.Axis, s Scale, of ...[]float64) {
		for _, xs := range of {
			for _, x := range xs {
				if v, ok := s.place(x); ok {
					a.Min, a.Max = min(a.Min, v), max(a.Max, v)
				}
			}
		}
	}
	for _, c := range p.Curves {
		cover(&out.X, p.XScale, c.X)
		cover(&out.Y, p.YScale, c.Y, c.Lo, c.Hi)
	}
	for _, a := range []*plot.Axis{&out.X, &out.Y} {
		if a.Min > a.Max {
			a.Min, a.Max = 0, 1
		}
		a.Min, a.Max = room(a.Min, a.Max)
		pad := 0.04 * (a.Max - a.Min)
		a.Min, a.Max = a.Min-pad, a.Max+pad
	}
}

// segments are the runs of points that have a place on both axes.
func (p *Panel) segments(x, y []float64) [][]plotter.XY {
	var out [][]plotter.XY
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
		out[len(out)-1] = append(out[len(out)-1], plotter.XY{X: px, Y: py})
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
			for i := len(bottom) - 1; i >= 0; i-- {
				top = append(top, bottom[i])
			}
			out = append(out, top)
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

func (p *Panel) stroke(cv canvas, pl *plot.Plot, c Curve, k key) {
	x, y := pl.Transforms(&cv)
	style := draw.LineStyle{Color: k.color(), Width: 1.2, Dashes: k.dashes()}
	ring := draw.GlyphStyle{Color: k.color(), Radius: 2, Shape: draw.RingGlyph{}}
	segments := p.segments(c.X, c.Y)
	n := 0
	for _, seg := range segments {
		n += len(seg)
	}
	every, at := max(1, n/rings), 0
	for _, seg := range segments {
		pts := make([]vg.Point, len(seg))
		for i, s := range seg {
			pts[i] = vg.Point{X: x(s.X), Y: y(s.Y)}
		}
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
