package render

import (
	"cmp"
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// Heights of one category of a Bars: of several series, and of one, which is a small plot.
const (
	barRow   = 16
	smallRow = 13
)

// Letters of a category's name that are seen.
const (
	longName  = 26
	smallName = 16
)

func (b *Bars) small() bool { return len(b.Series) == 1 }

func (b *Bars) size() (w, h float64) {
	if b.small() {
		const letter = 5
		return smallWidth + letter*float64(max(0, b.Letters-smallName)), float64(len(b.Categories)*smallRow) + 22
	}
	rows := len(b.Categories) * (barRow + 7*(len(b.Series)-1))
	return figureWidth, float64(rows) + 44 + legendHeight(seriesNames(b.Series))
}

func (b *Bars) draw(c canvas) {
	scale := scaleOf(b.Series)
	x := axis{label: b.Axis, ticks: scale.ticks()}
	letters := cmp.Or(b.Letters, longName)
	if b.small() {
		// The axis is named by what stands above a small plot.
		x, letters = axis{ticks: scale.fewTicks()}, cmp.Or(b.Letters, smallName)
	}
	x.lo, x.hi = b.extent(scale)
	p := axes{x: x, y: axis{lo: -0.6, hi: float64(len(b.Categories)) - 0.4, ticks: categories(b.Categories, letters), rows: true}}
	c = p.data(legend(c, seriesNames(b.Series)))
	p.draw(c, func(x, y func(float64) vg.Length) {
		thick := 0.8 / float64(len(b.Series))
		for k, s := range b.Series {
			for i, v := range s.Values {
				if i >= len(b.Categories) {
					break
				}
				top := float64(len(b.Categories)-1-i) + 0.4 - thick*float64(k)
				if to, ok := scale.at(v); ok {
					b.mark(c, scale, x(max(min(0, p.x.hi), p.x.lo)), x(to), y(top-thick*0.92), y(top), colorOf(k))
				}
				says := b.Categories[i] + ": " + Number(v).page(digits)
				if !b.small() {
					says = b.Categories[i] + ", " + s.Name + ": " + Number(v).page(digits)
				}
				tell(c, vg.Point{X: c.Min.X, Y: y(top - thick)}, vg.Point{X: c.Max.X, Y: y(top)}, says)
			}
		}
	})
}

// mark draws one value: a bar, or a dot at the end of a hairline.
func (b *Bars) mark(c canvas, scale Scale, from, to, low, high vg.Length, fill color.RGBA) {
	if scale == LinearScale {
		rectangle(c, from, low, to, high, fill)
		return
	}
	mid := (low + high) / 2
	c.StrokeLine2(draw.LineStyle{Color: soft, Width: 0.4}, c.Min.X, mid, to, mid)
	c.DrawGlyph(draw.GlyphStyle{Color: fill, Radius: min(3, (high-low)/2), Shape: draw.CircleGlyph{}}, vg.Point{X: to, Y: mid})
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

// shorten makes a name visible and cuts the middle of a long one.
func shorten(s string, n int) string {
	s = Visible(s)
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-n/2+1:])
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

func (h *Histograms) draw(c canvas) {
	rows := lists.Map(h.Rows, func(r HistogramRow) string { return r.Name })
	s := h.span
	if s == nil {
		s = spanOf(h.Rows)
	}
	p := axes{
		x: axis{lo: s.lo, hi: s.hi, label: h.Axis, ticks: s.scale.ticks()},
		y: axis{lo: -0.2, hi: float64(len(h.Rows)), ticks: categories(rows, longName), rows: true},
	}
	c = p.data(legend(c, h.names()))
	p.draw(c, func(x, y func(float64) vg.Length) {
		for i, r := range h.Rows {
			base := float64(len(h.Rows) - 1 - i)
			for k, one := range r.Series {
				strip(c, x, y, base, histogram(one, s.lo, s.hi, s.scale), s.lo, s.hi, k)
			}
			tell(c, vg.Point{X: c.Min.X, Y: y(base)}, vg.Point{X: c.Max.X, Y: y(base + 1)}, r.words()...)
			c.StrokeLine2(draw.LineStyle{Color: soft, Width: 0.4}, c.Min.X, y(base), c.Max.X, y(base))
		}
	})
}

// span is the axis of some histograms and its ends.
type span struct {
	scale  Scale
	lo, hi float64
}

func spanOf(rows []HistogramRow) *span {
	var all []Series
	for _, r := range rows {
		all = append(all, r.Series...)
	}
	axis := scaleOf(all)
	lo, hi := extremes(all, axis)
	pad := 0.04 * (hi - lo)
	lo, hi = room(lo-pad, hi+pad)
	return &span{axis, lo, hi}
}

// maxStrips is the number of strips in a part of Histograms, as high as a window.
const maxStrips = 16

// parts cuts many strips into several drawings of one axis.
func (h *Histograms) parts() []Chart {
	n := len(h.Rows)
	count := max((n+maxStrips-1)/maxStrips, 1)
	all := spanOf(h.Rows)
	var out []Chart
	for k := range count {
		out = append(out, &Histograms{Axis: h.Axis, Rows: h.Rows[k*n/count : (k+1)*n/count], span: all})
	}
	return out
}

// words tell the least, the middle and the largest number of each series.
func (r HistogramRow) words() []string {
	out := []string{r.Name}
	for _, s := range r.Series {
		v := slices.DeleteFunc(slices.Clone(s.Values), func(x scaled.Num) bool { return !x.IsFinite() })
		slices.SortFunc(v, scaled.Num.Cmp)
		if n := len(v); n > 0 {
			out = append(out, fmt.Sprintf("%s: %d, from %s to %s, median %s", s.Name, n, Number(v[0]).page(digits), Number(v[n-1]).page(digits), Number(v[(n-1)/2]).page(digits)))
		}
	}
	return out
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

func (l *Lines) small() bool { return len(l.Series) == 1 }

func (l *Lines) size() (w, h float64) {
	if l.small() {
		return smallWidth, 120
	}
	return figureWidth, 220 + legendHeight(seriesNames(l.Series))
}

func (l *Lines) draw(c canvas) {
	scale := scaleOf(l.Series)
	p := axes{x: emptyAxis(l.XAxis, longTicks), y: emptyAxis(l.YAxis, scale.ticks())}
	if l.X == nil {
		p.x.ticks = wholeLongTicks
	}
	if l.small() {
		p.x.ticks, p.y.ticks = few(wholeLongTicks), scale.fewTicks()
	}
	type point struct {
		x, y float64
		says string
	}
	lines := make([][]point, len(l.Series))
	for k, s := range l.Series {
		for i, v := range s.Values {
			x, name := float64(i+1), strconv.Itoa(i+1)
			if l.X != nil {
				x, name = l.X[i], strconv.FormatFloat(l.X[i], 'g', -1, 64)
			}
			if l.Names != nil {
				name = l.Names[i]
			}
			if !l.small() {
				name += ", " + s.Name
			}
			if y, ok := scale.at(v); ok {
				p.x.cover(x)
				p.y.cover(y)
				lines[k] = append(lines[k], point{x, y, name + ": " + Number(v).page(digits)})
			}
		}
	}
	p.x.pad(0.03)
	p.y.pad(0.03)
	c = p.data(legend(c, seriesNames(l.Series)))
	p.draw(c, func(x, y func(float64) vg.Length) {
		for k, line := range lines {
			at := lists.Map(line, func(pt point) vg.Point { return vg.Point{X: x(pt.x), Y: y(pt.y)} })
			c.StrokeLines(draw.LineStyle{Color: colorOf(k), Width: 1.2, Dashes: dashOf(k)}, at)
			for i, pt := range line {
				c.DrawGlyph(draw.GlyphStyle{Color: colorOf(k), Radius: 1.6, Shape: draw.CircleGlyph{}}, at[i])
				tell(c, at[i].Sub(vg.Point{X: 5, Y: 5}), at[i].Add(vg.Point{X: 5, Y: 5}), pt.says)
			}
		}
	})
}
