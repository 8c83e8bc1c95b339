package render

import (
	"bytes"
	"image/png"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/scaled"
)

func TestFiguresAreFilesOfTheirType(t *testing.T) {
	magic := map[string]string{"svg": "<?xml", "png": "\x89PNG", "pdf": "%PDF"}
	for _, f := range figures() {
		for _, typ := range FigureTypes() {
			var b bytes.Buffer
			if err := WriteFigure(&b, &f, typ); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(b.String(), magic[typ]) {
				t.Errorf("%s.%s begins with %q", f.Name, typ, b.String()[:min(b.Len(), 8)])
			}
			if typ != "png" {
				continue
			}
			img, err := png.Decode(&b)
			if err != nil {
				t.Fatal(err)
			}
			colours := map[[3]uint32]bool{}
			for y := range img.Bounds().Dy() {
				for x := range img.Bounds().Dx() {
					r, g, b, _ := img.At(x, y).RGBA()
					colours[[3]uint32{r >> 8, g >> 8, b >> 8}] = true
				}
			}
			// The first colour of the palette is in every figure.
			if !colours[[3]uint32{0, 0x72, 0xb2}] {
				t.Errorf("%s is empty: %d colours", f.Name, len(colours))
			}
		}
	}
}

func TestEmptyFiguresAreDrawn(t *testing.T) {
	for _, c := range []Chart{
		&Bars{}, &Bars{Categories: []string{"a"}, Series: []Series{{"s", nums(0)}}}, &Histograms{},
		&Histograms{Rows: []HistogramRow{{"a", []Series{{"s", nums(2, 2)}}}}},
		&Lines{}, &Lines{Series: []Series{{"s", nums(math.NaN())}, {"t", nums(3)}}}, &Diagram{},
	} {
		var b bytes.Buffer
		if err := WriteFigure(&b, &Figure{Name: "x", Chart: c}, "svg"); err != nil {
			t.Errorf("%#v: %v", c, err)
		}
	}
}

func TestAxisIsLogarithmicOverDecades(t *testing.T) {
	for _, c := range []struct {
		x    []scaled.Num
		want bool
	}{
		{nums(1, 99), false},
		{nums(1, 101), true},
		{nums(-1, 1000), false},
		{nums(0, math.NaN(), 5, 7), false},
		{[]scaled.Num{scaled.FromLog2(4000)}, true},
		{nil, false},
	} {
		if got := scaleOf([]Series{{"s", c.x}}) == LogScale; got != c.want {
			t.Errorf("%v: logarithmic %v", c.x, got)
		}
	}
}

func TestTicks(t *testing.T) {
	labels := func(m ticker, lo, hi float64) []string {
		var out []string
		for _, k := range m(lo, hi) {
			out = append(out, k.name)
		}
		return out
	}
	for _, c := range []struct {
		name   string
		m      ticker
		lo, hi float64
		want   []string
	}{
		{"logTicks", logTicks, -1, 0.5, []string{"0.1", "0.2", "0.5", "1", "2"}},
		{"logTicks", logTicks, 5.2, 6.1, []string{"200000", "500000", "1e6"}},
		{"logTicks", logTicks, 1203.8, 1205.1, []string{"1e1204", "2e1204", "5e1204", "1e1205"}},
		{"logTicks", logTicks, -20, 40, []string{"1e-20", "1e-10", "1e0", "1e10", "1e20", "1e30", "1e40"}},
		{"wholeLongTicks", wholeLongTicks, 1, 3, []string{"1", "2", "3"}},
		{"wholeLongTicks", wholeLongTicks, 0.5, 40.5, []string{"5", "10", "15", "20", "25", "30", "35", "40"}},
	} {
		if diff := cmp.Diff(c.want, labels(c.m, c.lo, c.hi)); diff != "" {
			t.Errorf("%s from %v to %v: %s", c.name, c.lo, c.hi, diff)
		}
	}
}

func TestHistogramCountsEveryNumberOnce(t *testing.T) {
	h := histogram(Series{"s", nums(1, 1, 1, 2, 5, 10)}, 0, 10, LinearScale)
	want := make([]float64, bins)
	want[bins/10], want[bins/5], want[bins/2], want[bins-1] = 1, 1.0/3, 1.0/3, 1.0/3
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
}

func TestDiagramPointsDown(t *testing.T) {
	d := figures()[3].Chart.(*Diagram)
	l := d.place()
	if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 5, 6, 7}, l.rank); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 0, 0, 0, 0, 0, 1, 0, 0}, l.lane); diff != "" {
		t.Error(diff)
	}
}
