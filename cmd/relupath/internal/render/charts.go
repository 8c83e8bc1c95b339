package render

import (
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// barRow is the height of one category of a Bars with one series.
const barRow = 16

func (b *Bars) size() (w, h float64) {
	rows := len(b.Categories) * (barRow + 7*(len(b.Series)-1))
	return figureWidth, float64(rows) + 44 + legendHeight(seriesNames(b.Series))
}

func (b *Bars) draw(c canvas) error {
	axis := scaleOf(b.Series)
	p := newPlot(b.Axis, "")
	p.X.Tick.Marker = axis.ticks()
	p.Y.Tick.Marker = categories(b.Categories)
	p.Y.Tick.LineStyle.Width = 0
	p.Y.Min, p.Y.Max = -0.6, float64(len(b.Categories))-0.4
	lo, hi := b.extent(axis)
	p.X.Min, p.X.Max = lo, hi
	p.Add(verticalGrid(), plotFunc(func(c canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		thick := 0.8 / float64(len(b.Series))
		for k, s := range b.Series {
			for i, v := range s.Values {
				to, ok := axis.at(v)
				if !ok || i >= len(b.Categories) {
					continue
				}
				top := float64(len(b.Categories)-1-i) + 0.4 - thick*float64(k)
				rectangle(c, x(max(min(0, hi), lo)), y(top-thick*0.92), x(to), y(top), colorOf(k))
			}
		}
	}))
	p.Draw(legend(c, seriesNames(b.Series)))
	return nil
}

// extent returns the ends of the axis: from zero, or from the decade below the
// smallest number.
func (b *Bars) extent(axis Scale) (lo, hi float64) {
	lo, hi = extremes(b.Series, axis)
	if axis == LogScale {
		return room(math.Floor(lo-0.3), hi+0.05*(hi-lo))
	}
	lo, hi = min(lo, 0), max(hi, 0)
	if lo == hi {
		hi = 1
	}
	return lo, hi + 0.05*(hi-lo)
}

// extremes returns the smallest and the largest coordinate of all series, 0 and
// 1 without any.
func extremes(series []Series, axis Scale) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, s := range series {
		for _, x := range s.Values {
			if v, ok := axis.at(x); ok {
				lo, hi = min(lo, v), max(hi, v)
			}
		}
	}
	if lo > hi {
		return 0, 1
	}
	return lo, hi
}

// categories marks places with names, the first at the top.
type categories []string

// Ticks returns one mark a name.
func (n categories) Ticks(float64, float64) []plot.Tick {
	out := make([]plot.Tick, len(n))
	for i, s := range n {
		out[i] = plot.Tick{Value: float64(len(n) - 1 - i), Label: shorten(s, 26)}
	}
	return out
}

// shorten makes a name visible and cuts the middle of a long one.
func shorten(s string, n int) string {
	s = Visible(s)
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-n/2+1:])
}

// plotFunc draws inside a plot's axes.
type plotFunc func(c canvas, p *plot.Plot)

// Plot calls f.
func (f plotFunc) Plot(c draw.Canvas, p *plot.Plot) { f(c, p) }

func verticalGrid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Horizontal = draw.LineStyle{}
	g.Vertical = draw.LineStyle{Color: line, Width: 0.5}
	return g
}

func rectangle(c canvas, x0, y0, x1, y1 vg.Length, fill interface{ RGBA() (r, g, b, a uint32) }) {
	c.FillPolygon(fill, []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}})
}

// Histograms: strips of stripRow points, bins over the whole axis.
const (
	stripRow = 30
	bins     = 40
)

func (h *Histograms) names() []string {
	if len(h.Rows) == 0 {
		return nil
	}
	return seriesNames(h.Rows[0].Series)
}

func (h *Histograms) size() (w, ht float64) {
	return figureWidth, float64(len(h.Rows)*stripRow) + 48 + legendHeight(h.names())
}

func (h *Histograms) draw(c canvas) error {
	var all []Series
	rows := make(categories, len(h.Rows))
	for i, r := range h.Rows {
		all = append(all, r.Series...)
		rows[i] = r.Name
	}
	axis := scaleOf(all)
	lo, hi := extremes(all, axis)
	pad := 0.04 * (hi - lo)
	lo, hi = room(lo-pad, hi+pad)
	p := newPlot(h.Axis, "")
	p.X.Tick.Marker = axis.ticks()
	p.Y.Tick.Marker = rows
	p.Y.Tick.LineStyle.Width = 0
	p.X.Min, p.X.Max = lo, hi
	p.Y.Min, p.Y.Max = -0.2, float64(len(h.Rows))
	p.Add(verticalGrid(), plotFunc(func(c canvas, p *plot.Plot) {
		x, y := p.Transforms(&c)
		for i, r := range h.Rows {
			base := float64(len(h.Rows) - 1 - i)
			for k, s := range r.Series {
				strip(c, x, y, base, histogram(s, lo, hi, axis), lo, hi, k)
			}
			c.StrokeLine2(draw.LineStyle{Color: soft, Width: 0.4}, c.Min.X, y(base), c.Max.X, y(base))
		}
	}))
	p.Draw(legend(c, h.names()))
	return nil
}

// histogram returns the share of the fullest bin that each bin holds.
func histogram(s Series, lo, hi float64, axis Scale) []float64 {
	n := make([]float64, bins)
	top := 0.0
	for _, v := range s.Values {
		at, ok := axis.at(v)
		if !ok {
			continue
		}
		b := min(max(int(float64(bins)*(at-lo)/(hi-lo)), 0), bins-1)
		n[b]++
		top = max(top, n[b])
	}
	for b := range n {
		n[b] /= max(top, 1)
	}
	return n
}

func strip(c canvas, x, y func(float64) vg.Length, base float64, n []float64, lo, hi float64, series int) {
	step := (hi - lo) / float64(len(n))
	for b := 0; b < len(n); b++ {
		if n[b] == 0 {
			continue
		}
		// One polygon for each run of bins that are not empty.
		from := b
		pts := []vg.Point{{X: x(lo + step*float64(b)), Y: y(base)}}
		for ; b < len(n) && n[b] > 0; b++ {
			top := y(base + 0.85*n[b])
			pts = append(pts, vg.Point{X: x(lo + step*float64(b)), Y: top}, vg.Point{X: x(lo + step*float64(b+1)), Y: top})
		}
		pts = append(pts, vg.Point{X: pts[len(pts)-1].X, Y: y(base)}, vg.Point{X: x(lo + step*float64(from)), Y: y(base)})
		c.FillPolygon(translucent(colorOf(series)), pts)
		c.StrokeLines(draw.LineStyle{Color: colorOf(series), Width: 0.8}, pts)
	}
}

func (l *Lines) size() (w, h float64) {
	return figureWidth, 220 + legendHeight(seriesNames(l.Series))
}

func (l *Lines) draw(c canvas) error {
	axis := scaleOf(l.Series)
	p := newPlot(l.XAxis, l.YAxis)
	p.Y.Tick.Marker = axis.ticks()
	if l.X == nil {
		p.X.Tick.Marker = wholeTicks{}
	}
	grid := plotter.NewGrid()
	grid.Horizontal = draw.LineStyle{Color: line, Width: 0.5}
	grid.Vertical = grid.Horizontal
	p.Add(grid)
	for k, s := range l.Series {
		var pts plotter.XYs
		for i, v := range s.Values {
			x := float64(i + 1)
			if l.X != nil {
				x = l.X[i]
			}
			if y, ok := axis.at(v); ok {
				pts = append(pts, plotter.XY{X: x, Y: y})
			}
		}
		if pts == nil {
			continue
		}
		ln, sc, err := plotter.NewLinePoints(pts)
		if err != nil {
			return err
		}
		ln.LineStyle = draw.LineStyle{Color: colorOf(k), Width: 1.2, Dashes: dashOf(k)}
		sc.GlyphStyle = draw.GlyphStyle{Color: colorOf(k), Radius: 1.6, Shape: draw.CircleGlyph{}}
		p.Add(ln, sc)
	}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		if a.Min > a.Max {
			continue // nothing is drawn
		}
		a.Min, a.Max = room(a.Min, a.Max)
		pad := 0.03 * (a.Max - a.Min)
		a.Min, a.Max = a.Min-pad, a.Max+pad
	}
	p.Draw(legend(c, seriesNames(l.Series)))
	return nil
}

// room widens the range of an axis that is too short for marks of their own: gonum's
// panic on an empty one.
func room(lo, hi float64) (float64, float64) {
	least := math.Max(math.Abs(lo), math.Abs(hi)) * 1e-9
	if hi-lo > least {
		return lo, hi
	}
	pad := math.Max(0.5, least)
	return lo - pad, hi + pad
}

// wholeTicks marks whole numbers.
type wholeTicks struct{}

// Ticks returns at most about eight whole numbers.
func (wholeTicks) Ticks(lo, hi float64) []plot.Tick {
	step := niceStep((hi - lo) / 8)
	var out []plot.Tick
	const most = 20 // so far out that float64 has no whole numbers the loop would not end
	for v := math.Ceil(lo/step) * step; v <= hi && len(out) < most; v += step {
		out = append(out, plot.Tick{Value: v, Label: tickLabel(v, 0)})
	}
	return out
}
