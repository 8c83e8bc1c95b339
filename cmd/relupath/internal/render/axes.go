package render

import (
	"math"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// axes are the two axes of a plot: y on the left of its data, x below.
type axes struct {
	x, y axis
	// head is the room above the data.
	head vg.Length
}

// axis is the range of one quantity, which has a place where its ends are finite.
type axis struct {
	lo, hi float64
	label  string
	ticks  ticker
	// rows says that the ticks are names of rows of the data, without strokes and grid.
	rows bool
}

// Sizes in points.
const (
	axisGap    = 5
	axisWidth  = 0.6
	tickLength = 8
	gridWidth  = 0.5
)

// emptyAxis is an axis without numbers, for cover.
func emptyAxis(label string, ticks ticker) axis {
	return axis{lo: math.Inf(1), hi: math.Inf(-1), label: label, ticks: ticks}
}

func (a *axis) cover(v float64) { a.lo, a.hi = min(a.lo, v), max(a.hi, v) }

// pad makes room beside what the axis covers, as a share of it; an empty axis is from 0 to 1.
func (a *axis) pad(share float64) {
	if a.lo > a.hi {
		a.lo, a.hi = 0, 1
	}
	a.lo, a.hi = room(a.lo, a.hi)
	pad := share * (a.hi - a.lo)
	a.lo, a.hi = a.lo-pad, a.hi+pad
}

// room widens the range of an axis that is too short for marks of their own.
func room(lo, hi float64) (float64, float64) {
	least := math.Max(math.Abs(lo), math.Abs(hi)) * 1e-9
	if hi-lo > least {
		return lo, hi
	}
	pad := math.Max(0.5, least)
	return lo - pad, hi + pad
}

// at returns the place of v between the ends, which are 0 and 1.
func (a *axis) at(v float64) float64 { return (v - a.lo) / (a.hi - a.lo) }

// marks are the ticks on the axis.
func (a *axis) marks() []tick {
	var out []tick
	for _, t := range a.ticks(a.lo, a.hi) {
		if u := a.at(t.value); u >= 0 && u <= 1 {
			out = append(out, t)
		}
	}
	return out
}

// depth is the room between the data and the axis' label for the widest name of a tick.
func (a *axis) depth(names vg.Length) vg.Length {
	if a.rows {
		return axisGap + axisWidth/2 + names
	}
	return axisGap + axisWidth/2 + tickLength + names
}

// fit returns where an axis that begins at lo ends, so that no word centred on it reaches past
// hi: half is half the length of a tick's name along the axis.
func (a *axis) fit(lo, hi vg.Length, half func(name string) vg.Length) vg.Length {
	end := hi
	reach := func(at float64, half vg.Length) {
		if at > 0 {
			end = min(end, lo+(hi-half-lo)/vg.Length(at))
		}
	}
	for _, t := range a.marks() {
		if t.name != "" {
			reach(a.at(t.value), half(t.name))
		}
	}
	reach(0.5, words(textSize, ink).Width(a.label)/2)
	return end
}

// height is that of a line of text.
func height(style text.Style) vg.Length {
	e := style.FontExtents()
	return e.Ascent + e.Descent
}

// widest is the width of the longest name of a tick and a space.
func (a *axis) widest() vg.Length {
	style, most := words(smallSize, ink), vg.Length(0)
	for _, t := range a.marks() {
		if t.name != "" {
			most = max(most, style.Width(t.name+" "))
		}
	}
	return most
}

// data returns the part of c that the axes leave to the data.
func (a *axes) data(c canvas) canvas {
	left, low := a.y.depth(a.y.widest()), a.x.depth(height(words(smallSize, ink)))
	if a.y.label != "" {
		left += height(words(textSize, ink)) + words(textSize, ink).FontExtents().Descent
	}
	if a.x.label != "" {
		low += height(words(textSize, ink))
	}
	c = draw.Crop(c, left, 0, low, -a.head)
	small := words(smallSize, ink)
	c.Max.X = a.x.fit(c.Min.X, c.Max.X, func(name string) vg.Length { return small.Width(name) / 2 })
	c.Max.Y = a.y.fit(c.Min.Y, c.Max.Y, func(string) vg.Length { return height(small) / 2 })
	return c
}

// draw draws the grid into c, the axes around it and, through functions that give places to
// numbers, the data on the grid.
func (a *axes) draw(c canvas, data func(x, y func(float64) vg.Length)) {
	x := func(v float64) vg.Length { return c.X(a.x.at(v)) }
	y := func(v float64) vg.Length { return c.Y(a.y.at(v)) }
	grid := draw.LineStyle{Color: line, Width: gridWidth}
	stroke := draw.LineStyle{Color: soft, Width: axisWidth}
	tickStyle, style := words(smallSize, ink), words(textSize, ink)
	descent := tickStyle.FontExtents().Descent

	low := c.Min.Y - axisGap - axisWidth/2
	c.StrokeLine2(stroke, c.Min.X, low, c.Max.X, low)
	tickStyle.XAlign, tickStyle.YAlign = text.XCenter, text.YTop
	for _, t := range a.x.marks() {
		at := x(t.value)
		c.StrokeLine2(stroke, at, low, at, low-t.length())
		if t.name != "" {
			c.StrokeLine2(grid, at, c.Min.Y, at, c.Max.Y)
			c.FillText(tickStyle, vg.Point{X: at, Y: low - tickLength + descent}, t.name)
		}
	}
	style.XAlign, style.YAlign = text.XCenter, text.YTop
	c.FillText(style, vg.Point{X: c.Center().X, Y: c.Min.Y - a.x.depth(height(tickStyle)) + style.FontExtents().Descent}, a.x.label)

	left := c.Min.X - axisGap - axisWidth/2
	c.StrokeLine2(stroke, left, c.Min.Y, left, c.Max.Y)
	tickStyle.XAlign, tickStyle.YAlign = text.XRight, text.YCenter
	for _, t := range a.y.marks() {
		at, end := y(t.value), left
		if !a.y.rows {
			end = left - tickLength
			c.StrokeLine2(stroke, left, at, left-t.length(), at)
			if t.name != "" {
				c.StrokeLine2(grid, c.Min.X, at, c.Max.X, at)
			}
		}
		c.FillText(tickStyle, vg.Point{X: end - tickStyle.Width(" "), Y: at + descent}, t.name)
	}
	style.YAlign, style.Rotation = text.YBottom, math.Pi/2
	c.FillText(style, vg.Point{X: c.Min.X - a.y.depth(a.y.widest()) - 2*style.FontExtents().Descent, Y: c.Center().Y}, a.y.label)
	data(x, y)
}
