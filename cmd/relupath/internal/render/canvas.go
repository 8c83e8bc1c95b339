package render

import (
	"image/color"
	"sync"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/relupath/relupath/internal/lists"
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

var sans = font.Font{Typeface: "Liberation", Variant: "Sans"}

func words(size vg.Length, c color.Color) text.Style {
	return text.Style{
		Color: c, Font: font.From(sans, size),
		Handler: visibleText{text.Plain{Fonts: fonts()}},
	}
}

// fonts holds the one face of figures. The collection that package plot registers is twelve,
// 4 MB, parsed at each start.
var fonts = sync.OnceValue(func() *font.Cache {
	face, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		panic(err) // it is linked
	}
	return font.NewCache(font.Collection{{Font: sans, Face: face}})
})

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
	return lists.Map(series, func(x Series) string { return x.Name })
}
