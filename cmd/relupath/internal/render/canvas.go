package render

import (
	"image/color"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// canvas is where a chart is drawn: to a file, or into a page.
type canvas = draw.Canvas

// The colours of plots on white paper. The page exchanges each of them for a
// CSS variable that has a dark form too, so they are all different, and none
// is pure black, which an SVG canvas leaves out. The palette is Okabe and Ito's,
// safe for colour-blind readers: jfly.uni-koeln.de/color.
var (
	ink          = color.RGBA{0x1b, 0x1f, 0x24, 0xff}
	soft         = color.RGBA{0x5d, 0x67, 0x72, 0xff}
	line         = color.RGBA{0xd5, 0xda, 0xe0, 0xff}
	boxFill      = color.RGBA{0xe3, 0xee, 0xfa, 0xff}
	dimFill      = color.RGBA{0xf1, 0xf3, 0xf5, 0xff}
	functionFill = color.RGBA{0xfd, 0xee, 0xe0, 0xff}
	palette      = []color.RGBA{
		{0x00, 0x72, 0xb2, 0xff},
		{0xd5, 0x5e, 0x00, 0xff},
		{0x00, 0x9e, 0x73, 0xff},
		{0xcc, 0x79, 0xa7, 0xff},
		{0xe6, 0x9f, 0x00, 0xff},
		{0x56, 0xb4, 0xe9, 0xff},
	}
	dashes = [][]vg.Length{nil, {5, 2}, {2, 2}, {6, 2, 2, 2}}
)

// Sizes in points.
const (
	figureWidth = 360
	smallWidth  = 190
	textSize    = 9
	smallSize   = 8
	// legendRow is the height of one row of a legend.
	legendRow = 14
)

func colorOf(series int) color.RGBA { return palette[series%len(palette)] }

func dashOf(series int) []vg.Length { return dashes[series/len(palette)%len(dashes)] }

// translucent returns a colour through which a grid and another series show.
func translucent(c color.RGBA) color.NRGBA { return color.NRGBA{c.R, c.G, c.B, 0x90} }

// faint returns a colour for bands, of which several may lie on each other.
func faint(c color.RGBA) color.NRGBA { return color.NRGBA{c.R, c.G, c.B, 0x38} }

func words(size vg.Length, c color.Color) text.Style {
	return text.Style{
		Color: c, Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size},
		Handler: visibleText{plot.DefaultTextHandler},
	}
}

// newPlot returns an empty plot in this package's style.
func newPlot(xAxis, yAxis string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		label, tick := words(textSize, ink), words(smallSize, ink)
		label.XAlign, label.YAlign = a.Label.TextStyle.XAlign, a.Label.TextStyle.YAlign
		label.Rotation = a.Label.TextStyle.Rotation
		tick.XAlign, tick.YAlign = a.Tick.Label.XAlign, a.Tick.Label.YAlign
		a.Label.TextStyle, a.Tick.Label = label, tick
		a.LineStyle.Color, a.Tick.LineStyle.Color = soft, soft
		a.LineStyle.Width, a.Tick.LineStyle.Width = 0.6, 0.6
	}
	p.X.Label.Text, p.Y.Label.Text = xAxis, yAxis
	return p
}

// key is an entry of a legend: colours and dashes are counted.
type key struct {
	name         string
	colour, dash int
}

// keysOf gives series their colours in order.
func keysOf(names []string) []key {
	keys := make([]key, len(names))
	for k, name := range names {
		keys[k] = key{name, k, k / len(palette)}
	}
	return keys
}

func (k key) color() color.RGBA              { return palette[k.colour%len(palette)] }
func (k key) dashes() []vg.Length            { return dashes[k.dash%len(dashes)] }
func (k key) width() vg.Length               { return 16 + words(smallSize, ink).Width(k.name) + 12 }
func legend(c canvas, names []string) canvas { return legendOf(c, keysOf(names), 3) }

// legendOf writes the names of several series into rows at the top of c, beside
// strokes of the given thickness, and returns the rest of the canvas.
func legendOf(c canvas, keys []key, thick vg.Length) canvas {
	if len(keys) < 2 {
		return c
	}
	style := words(smallSize, ink)
	style.YAlign = text.YCenter
	x, y := c.Min.X, c.Max.Y-legendRow/2
	for _, k := range keys {
		if x > c.Min.X && x+k.width() > c.Max.X {
			x, y = c.Min.X, y-legendRow
		}
		c.StrokeLine2(draw.LineStyle{Color: k.color(), Width: thick, Dashes: k.dashes()}, x, y, x+12, y)
		c.FillText(style, vg.Point{X: x + 16, Y: y}, k.name)
		x += k.width()
	}
	return draw.Crop(c, 0, 0, 0, y-legendRow/2-4-c.Max.Y)
}

// legendHeight returns the room that legend takes.
func legendHeight(names []string) float64 { return legendHeightOf(keysOf(names), figureWidth) }

func legendHeightOf(keys []key, room float64) float64 {
	if len(keys) < 2 {
		return 0
	}
	rows, x := 1.0, vg.Length(0)
	for _, k := range keys {
		if x > 0 && x+k.width() > vg.Length(room) {
			rows, x = rows+1, 0
		}
		x += k.width()
	}
	return rows*legendRow + 4
}

func seriesNames(series []Series) []string {
	names := make([]string, len(series))
	for k := range series {
		names[k] = series[k].Name
	}
	return names
}

// logTicks marks an axis of decimal logarithms.
type logTicks struct{}

// Ticks returns powers of ten; below three decades 1, 2 and 5 times them.
func (logTicks) Ticks(lo, hi float64) []plot.Tick {
	// Of a range so far out that float64 has no whole numbers there, a loop to its end
	// would have no end.
	const most = 8
	var out []plot.Tick
	if hi-lo >= 3 {
		step := niceStep((hi - lo) / 6)
		// Adding zero makes a negative zero positive.
		first := math.Ceil(lo/step)*step + 0
		for k := range most {
			if e := first + float64(k)*step; e <= hi {
				out = append(out, plot.Tick{Value: e, Label: "1e" + strconv.FormatFloat(e, 'f', 0, 64)})
			}
		}
		return out
	}
	for k := range most {
		e := math.Floor(lo) + float64(k)
		for _, m := range []float64{1, 2, 5} {
			if v := e + math.Log10(m); v >= lo-1e-9 && v <= hi+1e-9 {
				out = append(out, plot.Tick{Value: v, Label: tickLabel(m, e)})
			}
		}
	}
	return out
}

// niceStep returns the smallest of 1, 2, 5, 10, 20... that is at least x.
func niceStep(x float64) float64 {
	ten := 1.0
	for ; ten < x; ten *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if m*ten >= x {
				return m * ten
			}
		}
	}
	return ten
}

// tickLabel writes m times 10^e.
func tickLabel(m, e float64) string {
	if fixed(int64(e)) {
		return strconv.FormatFloat(m*math.Pow(10, e), 'f', max(0, int(-e)), 64)
	}
	return strconv.FormatFloat(m, 'f', 0, 64) + "e" + strconv.FormatFloat(e, 'f', 0, 64)
}

// ticks returns the marks of an axis.
func (s Scale) ticks() plot.Ticker {
	if s == LogScale {
		return logTicks{}
	}
	return plot.DefaultTicks{}
}
