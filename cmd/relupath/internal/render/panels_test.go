package render

import (
	"bytes"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gonum.org/v1/plot/vg"
)

// panels are two curves of one colour that coincide on the left, with a band,
// and one with a gap.
func panels() *Figure {
	nan := math.NaN()
	x := []float64{1, 2, 3, 4}
	return &Figure{Name: "panels", Title: "Curves", Caption: "Two panels.", Chart: &Panels{
		Legend: []LegendKey{{"solid", 0, 0}, {"dashed", 0, 1}, {"other", 2, 0}},
		Panels: []Panel{
			{Title: "linear", XAxis: "epoch", YAxis: "error (%)", Curves: []Curve{
				{Key: 0, X: x, Y: []float64{4, 3, 2, 1}, Lo: []float64{3, 2, 1, 0}, Hi: []float64{5, 4, 3, 2}},
				{Key: 1, X: x, Y: []float64{4, 3, 3, 3}},
				{Key: 2, X: x, Y: []float64{1, nan, 2, 3}, Lo: []float64{1, nan, 2, 3}, Hi: []float64{1, nan, 3, 3}},
			}},
			{
				Title: "logarithmic", XAxis: "H", YAxis: "norm", XScale: LogScale, YScale: LogScale, XTicks: []float64{8, 16, 32, 64, 128, 256, 512, 1024},
				Curves: []Curve{{Key: 0, X: []float64{8, 64, 1024}, Y: []float64{0, 10, 1000}}},
			},
		},
	}}
}

func TestPanelsAreDrawn(t *testing.T) {
	for _, typ := range FigureTypes() {
		var b bytes.Buffer
		if err := WriteFigure(&b, panels(), typ); err != nil {
			t.Fatal(err)
		}
		switch typ {
		case "svg":
			for _, want := range []string{">linear<", ">logarithmic<", ">error (%)<", ">dashed<", ">128<", ">512<"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %s in the figure", want)
				}
			}
			// Of eight places every second has its number.
			if strings.Contains(b.String(), ">256<") {
				t.Error("all places are named")
			}
		case "png":
			img, err := png.Decode(&b)
			if err != nil {
				t.Fatal(err)
			}
			if w, h := img.Bounds().Dx(), img.Bounds().Dy(); w < h {
				t.Errorf("two panels stand above each other: %dx%d", w, h)
			}
		}
	}
	for _, empty := range []*Panels{{}, {Panels: []Panel{{}}}, {Legend: []LegendKey{{}}, Panels: []Panel{{Curves: []Curve{{X: []float64{1}, Y: []float64{math.NaN()}}}}}}} {
		if err := WriteFigure(&bytes.Buffer{}, &Figure{Chart: empty}, "svg"); err != nil {
			t.Error(err)
		}
	}
}

func TestCurvesBreakWhereTheyHaveNoPlace(t *testing.T) {
	p := Panel{YScale: LogScale}
	nan := math.NaN()
	got := p.segments([]float64{1, 2, 3, 4, 5}, []float64{10, 100, 0, nan, 1000})
	want := [][]xy{{{1, 1}, {2, 2}}, {{5, 3}}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(xy{})); diff != "" {
		t.Error(diff)
	}
	id := func(v float64) vg.Length { return vg.Length(v) }
	band := p.band(Curve{X: []float64{1, 2, 3, 4, 5}, Lo: []float64{1, 10, nan, 1, 1}, Hi: []float64{10, 10, 10, 100, 1}}, id, id)
	if diff := cmp.Diff([][]vg.Point{{{X: 1, Y: 1}, {X: 2, Y: 1}, {X: 2, Y: 1}, {X: 1, Y: 0}}, {{X: 4, Y: 2}, {X: 5, Y: 0}, {X: 5, Y: 0}, {X: 4, Y: 0}}}, band); diff != "" {
		t.Error(diff)
	}
}

func TestTicksOfNarrowLogarithmicAxes(t *testing.T) {
	var got []string
	for _, k := range fineLogTicks(math.Log10(0.048), math.Log10(0.056)) {
		got = append(got, k.name)
	}
	if diff := cmp.Diff([]string{"0.048", "0.05", "0.052", "0.054", "0.056"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLinearTicks(t *testing.T) {
	for _, c := range []struct {
		ticks  ticker
		lo, hi float64
		want   []string
	}{
		{linearTicks, -0.4, 10.4, []string{"0", "5", "10"}},
		{linearTicks, -4, 90, []string{"0", "20", "40", "60", "80"}},
		{linearTicks, 1.88, 2.45, []string{"2", "2.2", "2.4"}},
		{wholeLinearTicks, 0.9, 2.1, []string{"1", "2"}},
		{wholeLinearTicks, 0.5, 20.5, []string{"5", "10", "15", "20"}},
	} {
		var got []string
		for _, k := range c.ticks(c.lo, c.hi) {
			got = append(got, k.name)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("from %v to %v: %s", c.lo, c.hi, diff)
		}
	}
}

// Curves of nearly equal, or of the largest, numbers are drawn with a few marks.
func TestPanelsOfExtremeNumbers(t *testing.T) {
	for _, y := range [][]float64{
		{51.86, math.Nextafter(51.86, 100)}, {1e300, math.Nextafter(1e300, 2e300)}, {-math.MaxFloat64, math.MaxFloat64}, {0, math.SmallestNonzeroFloat64}, {1e17, 1e17 + 16},
	} {
		for _, s := range []Scale{LinearScale, LogScale} {
			p := &Panel{Title: "t", YScale: s, Curves: []Curve{{X: []float64{0, 1}, Y: y}}}
			pl := p.axes(0)
			for _, a := range []axis{pl.x, pl.y} {
				if n := len(a.ticks(a.lo, a.hi)); n > 30 || !(a.hi > a.lo) || math.IsInf(a.hi-a.lo, 0) {
					t.Errorf("%v: axis from %v to %v with %d marks", y, a.lo, a.hi, n)
				}
			}
		}
	}
}
