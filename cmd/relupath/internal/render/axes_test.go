package render

import (
	"bytes"
	"math"
	"testing"

	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/relupath/relupath/analysis/scaled"
)

// TestFarAxes: numbers that are one, that differ in their last digits, or that lie
// where float64 has no whole numbers, have an axis with a few marks.
func TestFarAxes(t *testing.T) {
	far := scaled.Num{Frac: 0.5, Exp: 1 << 60} // its logarithm is near 3e17
	for _, v := range [][]scaled.Num{
		{scaled.New(0)},
		{scaled.New(1e154), scaled.New(1e154)},
		{scaled.New(1), scaled.New(1 + 0x1p-52)},
		{scaled.New(math.MaxFloat64), scaled.New(-math.MaxFloat64)},
		{scaled.New(math.SmallestNonzeroFloat64), scaled.New(1)},
		{far, far},
		{far, far.Scale(40)},
		{far, scaled.New(1)},
	} {
		series := []Series{{Name: "a", Values: v}}
		names, x := make([]string, len(v)), make([]float64, len(v))
		for i := range x {
			names[i], x[i] = string(rune('a'+i)), 1e17*float64(1+i)
		}
		for _, f := range []Figure{
			{Name: "f", Chart: &Bars{Categories: names, Series: series}},
			{Name: "f", Chart: &Lines{X: x, Series: series}},
		} {
			var b bytes.Buffer
			if err := WriteFigure(&b, &f, "svg"); err != nil || b.Len() == 0 {
				t.Errorf("%v: %d bytes, %v", v, b.Len(), err)
			}
		}
	}
}

// TestTicksEnd: where float64 has every other whole number, marks at powers of ten come to an end.
func TestTicksEnd(t *testing.T) {
	for _, ticks := range []ticker{decadeTicks, logTicks, linearTicks, wholeLongTicks} {
		if m := ticks(1e16, 1e16+8); len(m) < 2 || len(m) > 12 {
			t.Errorf("%d marks", len(m))
		}
	}
}

// TestTicksBeyondFloat64: an axis of logarithms that is shorter than a decade has marks where float64 has
// no such numbers too.
func TestTicksBeyondFloat64(t *testing.T) {
	for _, lo := range []float64{-400, -330.2, 0, 307.9, 400.4, 12345.6} {
		hi := lo + 0.3
		marks := fineLogTicks(lo, hi)
		n := 0
		for _, m := range marks {
			if m.value >= lo && m.value <= hi {
				n++
			}
		}
		if n < 2 {
			t.Errorf("from 1e%v to 1e%v: marks %v", lo, hi, marks)
		}
	}
	if m := fineLogTicks(400, 400.3)[0]; m.name != "1e400" || m.value != 400 {
		t.Errorf("the first mark from 1e400 on is %v", m)
	}
}

// TestAxesStayInside: names of ticks and labels, which may be wider than what they name, lie on
// the canvas, and the data have what is left.
func TestAxesStayInside(t *testing.T) {
	const wide, high = 200, 120
	c := draw.NewCanvas(vgsvg.New(wide, high), wide, high)
	small := words(smallSize, ink)
	for _, a := range []*axes{
		{x: axis{lo: 0, hi: 1, ticks: linearTicks}, y: axis{lo: 0, hi: 1, ticks: linearTicks}},
		{x: axis{lo: 0, hi: 2e6, ticks: linearTicks, label: "a quantity whose name is as long as the canvas"}, y: axis{lo: -1e-5, hi: 0, ticks: linearTicks, label: "name"}},
		{x: axis{lo: -12, hi: 0, ticks: logTicks}, y: axis{lo: -0.5, hi: 1, ticks: categories([]string{"first", "a longer one"}, 20), rows: true}, head: 13},
	} {
		d := a.data(c)
		if d.Size().X < wide/3 || d.Size().Y < high/3 || d.Max.Y > high-a.head {
			t.Errorf("%q: the data have %v", a.x.label, d.Rectangle)
		}
		for _, m := range a.x.marks() {
			at, half := d.X(a.x.at(m.value)), small.Width(m.name)/2
			if at-half < 0 || at+half > wide+1e-9 {
				t.Errorf("%q reaches from %v to %v", m.name, at-half, at+half)
			}
		}
		for _, m := range a.y.marks() {
			if at := d.Y(a.y.at(m.value)); at+height(small)/2 > high-a.head+1e-9 || small.Width(m.name) > d.Min.X {
				t.Errorf("%q is at %v, %v wide beside %v", m.name, at, small.Width(m.name), d.Min.X)
			}
		}
		if half := words(textSize, ink).Width(a.x.label) / 2; d.Center().X+half > wide+1e-9 {
			t.Errorf("%q reaches to %v", a.x.label, d.Center().X+half)
		}
	}
}

// TestPanelsAreInLine: the data of panels are of one size and in line, whatever stands beside them.
func TestPanelsAreInLine(t *testing.T) {
	const wide, high, rows, cols = 600, 400, 2, 3
	c := draw.NewCanvas(vgsvg.New(wide, high), wide, high)
	var plots []*axes
	for i := range 5 {
		top := math.Pow(10, float64(2*i))
		plots = append(plots, &axes{x: axis{lo: 0, hi: top, ticks: linearTicks}, y: axis{lo: -top, hi: top, ticks: linearTicks, label: "name"[:i%2*4]}, head: titleRoom})
	}
	at := align(plots, rows, cols, c)
	for i, d := range at {
		if math.Abs(float64(d.Size().X-at[0].Size().X)) > 1e-9 || math.Abs(float64(d.Size().Y-at[0].Size().Y)) > 1e-9 {
			t.Errorf("panel %d has %v, the first %v", i, d.Size(), at[0].Size())
		}
		if d.Min.X != at[i%cols].Min.X || d.Min.Y != at[i/cols*cols].Min.Y {
			t.Errorf("panel %d begins at %v", i, d.Min)
		}
		if d.Min.X-plots[i].y.widest() < 0 || i%cols > 0 && d.Min.X-plots[i].y.widest() < at[i-1].Max.X || d.Max.X > wide || d.Min.Y < 0 || d.Max.Y > high {
			t.Errorf("panel %d lies at %v", i, d.Rectangle)
		}
	}
}
