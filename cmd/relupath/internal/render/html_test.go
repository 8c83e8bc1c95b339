package render

import (
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/scaled"
)

func TestGrouped(t *testing.T) {
	for in, want := range map[string]string{
		"999": "999", "1000": "1,000", "26506": "26,506", "-5197160410": "-5,197,160,410", "1413.5": "1,413.5", "0.00012345": "0.00012345",
		"undefined": "undefined", "6.0123 × 10¹⁹⁴": "6.0123 × 10¹⁹⁴", "inf": "inf",
	} {
		if got := grouped(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestTypeset(t *testing.T) {
	for in, want := range map[string]string{
		"(sum over paths of prod |w_e|^p)^(1/p)": "(∑ over paths of ∏ |w<sub>e</sub>|<sup>p</sup>)<sup>1/p</sup>",
		"prod_l ||W_l||_{p,q}":                   "∏<sub>l</sub> ‖W<sub>l</sub>‖<sub>p,q</sub>",
		"a < b & c":                              "a &lt; b &amp; c",
	} {
		if got := string(typeset(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// TestWideTablesAreCut: no part is wider than a page, and no column is lost.
func TestWideTablesAreCut(t *testing.T) {
	wide := Table{Title: "wide"}
	for k := range 30 {
		wide.Columns = append(wide.Columns, "column_"+strings.Repeat("x", k%5)+string(rune('a'+k%26)))
	}
	row := []Cell{Code("name")}
	for k := range 29 {
		row = append(row, Float(float64(k)*1234.5))
	}
	wide.Add(row...)
	whole := htmlTableOf(&wide, digits, nil, "w", 0)
	columns := 1
	for _, p := range whole.parts() {
		if p.keys = 1; p.width() > pageWidth {
			t.Errorf("a part is %d wide", p.width())
		}
		columns += len(p.Heads) - 1
	}
	if columns != 30 {
		t.Errorf("%d columns of 30", columns)
	}
}

// TestStripsAreWhole: every layer is in one of the parts, on one axis.
func TestStripsAreWhole(t *testing.T) {
	h := &Histograms{}
	for k := range 40 {
		h.Rows = append(h.Rows, HistogramRow{Name: string(rune('a' + k%26)), Series: []Series{{"s", nums(float64(k), float64(k+1))}}})
	}
	var rows []HistogramRow
	for _, p := range h.parts() {
		part := p.(*Histograms)
		if len(part.Rows) > maxStrips || part.span == nil || *part.span != *spanOf(h.Rows) {
			t.Errorf("%d strips of the axis %v", len(part.Rows), part.span)
		}
		rows = append(rows, part.Rows...)
	}
	if diff := cmp.Diff(h.Rows, rows, cmp.AllowUnexported(HistogramRow{}, Series{}, scaled.Num{})); diff != "" {
		t.Error(diff)
	}
}

// TestStripsReadTheirRows: a drawing of some layers allocates what these take, among however
// many they are.
func TestStripsReadTheirRows(t *testing.T) {
	drawn := func(n int) uint64 {
		h := &Histograms{}
		for range n {
			h.Rows = append(h.Rows, HistogramRow{Name: "layer", Series: []Series{{"s", nums(1, 2, 3)}}})
		}
		parts := h.parts()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := inline(&Figure{Name: "f"}, parts[0]); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	drawn(10 * maxStrips) // fonts
	few, many := drawn(10*maxStrips), drawn(20000*maxStrips)
	if many > 2*few {
		t.Errorf("a part of ten allocates %d bytes, one of 20,000 %d", few, many)
	}
}

// TestSparks: a bar or a point a value, and a gap for what has no place.
func TestSparks(t *testing.T) {
	names := []string{"a", "b<", "c"}
	v := append(nums(1, 5), scaled.New(0).Div(scaled.New(0)))
	bars, line := string(SparkBars(names, v).spark.svg()), string(SparkLine(names, v).spark.svg())
	if n := strings.Count(bars, "<rect x"); n != 2 {
		t.Errorf("%d bars: %s", n, bars)
	}
	if !strings.Contains(line, "<path") || strings.Contains(line, "<rect x") || !strings.Contains(line, "<title>b&lt;: 5</title>") || !strings.Contains(line, "<title>c: undefined</title>") {
		t.Error(line)
	}
}

// TestPlotsTellTheirValues: whoever points at a part of a plot is told its name and number, in every
// kind of plot.
func TestPlotsTellTheirValues(t *testing.T) {
	want := map[string][]string{
		"layers":   {"fc1, frobenius: 12", "fc2, spectral: undefined", "a_layer_with_a_very_long_name_of_an_exporter, spectral: 1"},
		"incoming": {"fc1\nbefore: 200, from ", "after: 51, from 0"},
		"time":     {"1, path_norm(1): 1.3182 × 10¹²⁰⁴", "3, path_norm(2): "},
		"network":  {"fc2\nLinear 64x64", "softmax\nSoftmax"},
	}
	for _, f := range figures() {
		svg, _, err := inline(&f, f.Chart)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want[f.Name] {
			if !strings.Contains(string(svg), "<title>"+w) && !strings.Contains(string(svg), "\n"+w) {
				t.Errorf("%s does not tell %q", f.Name, w)
			}
		}
		delete(want, f.Name)
	}
	if len(want) > 0 {
		t.Errorf("no figures %v", want)
	}
}
