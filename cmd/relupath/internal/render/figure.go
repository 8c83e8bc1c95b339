package render

import (
	"math"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

// Figure is a plot with a name for its files and words for its caption.
type Figure struct {
	// Name is the stem of the files: layers for layers.svg.
	Name string
	// Title stands above the plot.
	Title string
	// Caption says what the plot shows, for readers and for screen readers.
	Caption string
	// Group is the heading on a page under which figures that follow one another stand.
	Group string
	// First says that a page has it before all tables but the one of facts.
	First bool
	Chart Chart
}

// Chart is what a Figure draws: *Bars, *Histograms, *Lines, *Panels or *Diagram.
type Chart interface {
	draw(c canvas)
	// size returns width and height in points.
	size() (w, h float64)
}

// Series is a named sequence of numbers. Zeros, negative numbers and what is
// not finite have no place on a logarithmic axis and are left out there.
type Series struct {
	Name   string
	Values []scaled.Num
}

// Bars draws one horizontal bar a category and series; on a logarithmic axis, which has no
// zero to begin from, dots. One series is a small plot.
type Bars struct {
	Categories []string
	// Axis names the quantity, with its unit.
	Axis   string
	Series []Series
	// Letters are how many of a category's name are seen; zero is 26, and 16 in a small plot.
	Letters int
}

// Histograms draws one strip a row, above a common axis: how the numbers of
// each series are distributed.
type Histograms struct {
	// Axis names the quantity, with its unit.
	Axis string
	Rows []HistogramRow
	// span is the axis of all rows where these are a part of them; nil for their own.
	span *span
}

// HistogramRow is one strip of a Histograms.
type HistogramRow struct {
	Name string
	// Series holds the numbers; the names are the same in every row.
	Series []Series
}

// Lines draws numbers over a sequence: one line a series. One series is a small plot.
type Lines struct {
	// XAxis and YAxis name the quantities, with their units.
	XAxis, YAxis string
	// X are the places; nil is 1, 2, 3...
	X []float64
	// Names are what the places are, for those who point at them; nil is none.
	Names  []string
	Series []Series
}

// Diagram draws a directed acyclic graph from top to bottom.
type Diagram struct {
	Nodes []view.Box
}

// decades is the range above which an axis becomes logarithmic.
const decades = 2

// scaleOf decides the scale of an axis: logarithmic when the positive numbers span
// decades or leave float64, and none is negative.
func scaleOf(series []Series) Scale {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, s := range series {
		for _, x := range s.Values {
			if !x.IsFinite() || x.IsZero() {
				continue
			}
			if x.Frac < 0 {
				return LinearScale
			}
			l := x.Log10()
			lo, hi = min(lo, l), max(hi, l)
		}
	}
	if lo <= hi && (hi-lo > decades || hi > 300 || hi < -300) {
		return LogScale
	}
	return LinearScale
}

// at returns the place of x on an axis; ok is false where it has none.
func (s Scale) at(x scaled.Num) (v float64, ok bool) {
	if s == LinearScale {
		// Differences of coordinates must not leave the range.
		v = x.Float64()
		return v, math.Abs(v) <= 1e300
	}
	if !x.IsFinite() || x.Frac <= 0 {
		return 0, false
	}
	return x.Log10(), true
}
