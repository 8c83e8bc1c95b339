package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/golden"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

// sample holds one cell of every kind and magnitude.
func sample() *Document {
	paths, _ := new(big.Int).SetString("514460170514460170514460170", 10)
	measures := Table{Title: "measures of a_b.onnx", Columns: []string{"measure", "p", "q", "value", "log10", "invariant"}, Keys: 3}
	add := func(name, p, q string, x scaled.Num, inv bool) {
		measures.Add(Code(name), Text(p), Text(q), Number(x), Log(x.Log10()), YesNo(inv))
	}
	add("path_norm", "1", "", scaled.New(12.3456789), true)
	add("path_norm", "2", "", scaled.New(6.0123456e194), true)
	add("path_norm", "inf", "", scaled.FromLog2(4000.5), true)
	add("group_norm", "1", "inf", scaled.New(7), false)
	add("group_norm", "2", "2", scaled.FromLog2(-4000.5), false)
	add("zero_share", "", "", scaled.New(0), false)
	add("sum_log", "", "", scaled.New(-1234.5678), false)
	add("margin", "", "", scaled.New(math.NaN()), true)
	add("tiny", "", "", scaled.New(0.00001234), true)
	measures.Add(Code("share"), Text(""), Text(""), Ratio(scaled.New(2.5)))
	facts := Table{Title: "a & b | <model> 50%", Columns: []string{"", ""}}
	facts.Add(Text("parameters"), Int(269322))
	facts.Add(Text("paths"), Big(paths))
	facts.Add(Text("widths"), Text(Dims([]int{-1, 784})))
	data := map[string]any{
		"x": NewValue(scaled.New(12.5)), "big": NewValue(scaled.FromLog2(4000.5)),
		"small": NewValue(scaled.FromLog2(-4000.5)), "zero": NewValue(scaled.Num{}),
		"nan": NewValue(scaled.New(math.NaN())), "negative": NewValue(scaled.New(-2)),
	}
	records := measures
	measures.Bars(3)
	measures.Rows[0][3] = measures.Rows[0][3].Marked(Worst)
	measures.Rows[3][3] = measures.Rows[3][3].Marked(Best)
	records.Title = ""
	return &Document{
		Title: "sample", Data: data, Records: &records, Tables: []Table{facts, measures},
		Notes: []string{"note: 100% of a_b | c"},
	}
}

func nums(x ...float64) []scaled.Num {
	out := make([]scaled.Num, len(x))
	for i, v := range x {
		out[i] = scaled.New(v)
	}
	return out
}

// figures has one figure of every kind, with numbers that have no place on an
// axis among them.
func figures() []Figure {
	normal := func(n int, at float64) []scaled.Num {
		out := make([]scaled.Num, n)
		for i := range out {
			u := (float64(i) + 0.5) / float64(n)
			out[i] = scaled.New(at * math.Exp(0.4*math.Log(u/(1-u))))
		}
		return out
	}
	return []Figure{
		{Name: "layers", Title: "Layers", Caption: "The norm of each layer.", Chart: &Bars{
			Categories: []string{"fc1", "fc2", "a_layer_with_a_very_long_name_of_an_exporter"}, Axis: "norm (1)",
			Series: []Series{{"frobenius", nums(12, 7.5, 3)}, {"spectral", nums(4, math.NaN(), 1)}},
		}},
		{Name: "incoming", Title: "Incoming norms", Caption: "Before and after.", Chart: &Histograms{
			Axis: "incoming 2-norm of a unit", Rows: []HistogramRow{
				{"fc1", []Series{{"before", normal(200, 0.01)}, {"after", normal(200, 1)}}},
				{"fc2", []Series{{"before", normal(50, 90)}, {"after", append(normal(50, 1), scaled.Num{})}}},
			},
		}},
		{Name: "time", Title: "Over time", Caption: "Checkpoints.", Chart: &Lines{
			XAxis: "checkpoint", YAxis: "value", Series: []Series{
				{"path_norm(1)", []scaled.Num{scaled.FromLog2(4000), scaled.FromLog2(4010), scaled.FromLog2(4013)}},
				{"path_norm(2)", []scaled.Num{scaled.FromLog2(2000), {}, scaled.FromLog2(2013)}},
			},
		}},
		{Name: "network", Title: "Network", Caption: "A residual block.", Chart: &Diagram{Nodes: []view.Box{
			{Label: "x", Detail: "input 784", Style: view.Outside},
			{Label: "fc1", Detail: "Linear 64x784 +bias", In: []int{0}},
			{Label: "relu <1> & co", Detail: "ReLU", In: []int{1}},
			{Label: "fc2", Detail: "Linear 64x64", In: []int{2}},
			{Label: "add", Detail: "Add", In: []int{2, 3}},
			{Label: "left", Detail: "Linear 5x64", In: []int{4}},
			{Label: "right", Detail: "Linear 5x64", In: []int{4}},
			{Label: "concat", Detail: "Concat 10", In: []int{5, 6}},
			{Label: "softmax", Detail: "Softmax", In: []int{7}, Style: view.Outside},
		}}},
	}
}

func rendered(t *testing.T, d *Document, opt Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, d, opt); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFormats(t *testing.T) {
	for _, f := range Formats() {
		t.Run(f, func(t *testing.T) {
			golden.Check(t, "sample."+f, rendered(t, sample(), Options{Format: Format(f)}))
		})
	}
}

func TestPlainTableFitsTheWidth(t *testing.T) {
	wide := Table{Columns: []string{"measure"}}
	row := []Cell{Code("path_norm_max_output")}
	for i := range 12 {
		wide.Columns = append(wide.Columns, strings.Repeat("m", 6+i))
		row = append(row, Float(math.Exp(float64(i)*7)))
	}
	wide.Rows = [][]Cell{row}
	words := Table{Columns: []string{"node", "reason"}}
	words.Add(Code("fc1"), Text(strings.Repeat("a reason in many words ", 12)))
	words.Add(Code("fc2"), Text("one "+strings.Repeat("unbreakable", 10)))
	broad := Table{Columns: []string{"measure", strings.Repeat("c", 30), "words"}}
	broad.Add(Code("path_norm"), Float(1), Text(strings.Repeat("many words ", 10)))
	d := &Document{Tables: []Table{wide, words, broad}}
	got := rendered(t, d, Options{Width: 60})
	for line := range strings.Lines(got) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 60 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if n := strings.Count(strings.Join(strings.Fields(got), ""), "unbreakable"); n < 5 || strings.Count(got, "b") < 10 {
		t.Errorf("letters are lost: %s", got)
	}
	golden.Check(t, "wide.table", got)
}

// TestLaterPiecesHaveNoEmptyRows: the second piece of a table lists the rows that have something there.
// TestWideCharactersAlign: a terminal shows ideographs and most emoji in two columns, marks that
// combine and the parts of an emoji in none, in every locale.
func TestWideCharactersAlign(t *testing.T) {
	t.Setenv("LANG", "zh_CN.UTF-8")
	tab := Table{Columns: []string{"name", "value"}}
	for _, name := range []string{"ab", "層", "e\u0301a", "×→", "\U0001F44D"} {
		tab.Add(Text(name), Text("v"))
	}
	got := rendered(t, &Document{Tables: []Table{tab}}, Options{Format: TableFormat})
	for _, row := range []string{"ab    v", "層    v", "e\u0301a    v", "×→    v", "\U0001F44D    v"} {
		if !strings.Contains(got, row) {
			t.Errorf("no %q in\n%s", row, got)
		}
	}
}

func TestLaterPiecesHaveNoEmptyRows(t *testing.T) {
	nodes := Table{Columns: []string{"id", "name", "units"}}
	for i := range 9 {
		units := Text("")
		if i == 4 {
			units = Int(16)
		}
		nodes.Add(Int(i), Code(strings.Repeat("n", 50)), units)
	}
	got := rendered(t, &Document{Tables: []Table{nodes}}, Options{Width: 56})
	_, second, found := strings.Cut(got, "\n\n")
	if lines := strings.Split(strings.TrimSpace(second), "\n"); !found || len(lines) != 3 || !strings.HasPrefix(strings.TrimSpace(lines[2]), "4") {
		t.Errorf("%s", got)
	}
}

// TestTurnedToFit: a table of few models and many measures is turned round where that makes fewer
// pieces, in text and in LaTeX, with every number in its place; one that may not turn, or fits, stays.
func TestTurnedToFit(t *testing.T) {
	models := func(names, measures int) Table {
		t := Table{Columns: []string{"model"}, TeX: []string{""}, Turns: "measure"}
		for k := range measures {
			t.Columns, t.TeX = append(t.Columns, fmt.Sprintf("a_long_measure(%d)", k)), append(t.TeX, fmt.Sprintf(`\mu_{%d}`, k))
		}
		for i := range names {
			row := []Cell{Code(fmt.Sprintf("model_%d", i))}
			for k := range measures {
				row = append(row, Float(float64(1000+100*i+k)))
			}
			t.Add(row...)
		}
		return t
	}
	text := func(t2 Table) string {
		return rendered(t, &Document{Tables: []Table{t2}}, Options{Format: TableFormat, Width: 80})
	}
	got := text(models(6, 20))
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 22 || strings.Fields(lines[0])[0] != "measure" || !slices.Equal(strings.Fields(lines[21]), []string{"a_long_measure(19)", "1019", "1119", "1219", "1319", "1419", "1519"}) {
		t.Errorf("six models:\n%s", got)
	}
	for line := range strings.Lines(got) {
		if utf8.RuneCountInString(line) > 81 {
			t.Errorf("wider than 80: %s", line)
		}
	}
	if got := text(models(6, 2)); !strings.HasPrefix(got, "model ") {
		t.Errorf("what fits is turned:\n%s", got)
	}
	if got := text(models(60, 12)); !strings.HasPrefix(got, "model ") {
		t.Errorf("of many models each has a column:\n%s", got)
	}
	fixed := models(6, 20)
	if fixed.Turns = ""; !strings.HasPrefix(text(fixed), "model ") {
		t.Error("a table is turned that may not be")
	}
	tex := rendered(t, &Document{Tables: []Table{models(6, 45)}}, Options{Format: LaTeX})
	if strings.Count(tex, `\begin{table*}`) != 1 || strings.Contains(tex, "longtable") || !strings.Contains(tex, `$\mu_{44}$ & 1044 & 1144 & 1244 & 1344 & 1444 & 1544`) {
		t.Errorf("six models in LaTeX:\n%s", tex)
	}
	if tex := rendered(t, &Document{Tables: []Table{models(6, 70)}}, Options{Format: LaTeX}); strings.Count(tex, `\begin{longtable}`) != 1 || strings.Contains(tex, "table*") {
		t.Errorf("more than a page in LaTeX:\n%s", tex)
	}
}

func TestReaderNumbers(t *testing.T) {
	for _, c := range []struct {
		x    scaled.Num
		want string
	}{
		{scaled.New(0), "0"},
		{scaled.New(1), "1"},
		{scaled.New(999999), "999999"},
		{scaled.New(1000000), "1e6"},
		{scaled.New(123456.7), "123457"},
		{scaled.New(1.00001), "1.0000"},
		{scaled.New(29.000000000000004), "29"},
		{scaled.New(28.99999999), "29.000"},
		{scaled.New(0.1), "0.10000"},
		{scaled.New(0.00012345678), "0.00012346"},
		{scaled.New(0.000012345678), "1.2346e-5"},
		{scaled.New(9.99999e9), "1e10"},
		{scaled.New(-2.5), "-2.5000"},
		{scaled.New(math.Inf(1)), "+inf"},
		{scaled.New(math.NaN()), "undefined"},
		// log10 of 2^4000 is 1204.119982655925.
		{scaled.FromLog2(4000), "1.3182e1204"},
		{scaled.FromLog2(4000).MulFloat(-1), "-1.3182e1204"},
		// log10 of 2^-4000 is -1204.119982655925.
		{scaled.FromLog2(-4000), "7.5861e-1205"},
		{scaled.New(0x1p-1074), "4.9407e-324"},
	} {
		if got := Number(c.x).plain(numerals{digits, decimal.String}); got != c.want {
			t.Errorf("%v: %s, want %s", c.x, got, c.want)
		}
	}
}

func TestCSVReadsBack(t *testing.T) {
	tab := Table{Columns: []string{"name", "value"}}
	x := math.Nextafter(0.3, 1)
	tab.Add(Text("a,\"b\"\nc"), Float(x))
	for _, s := range []string{"=1+1", "+a", "-a", "@a", "\ta", "\ra", "-1", "+2e3", "a=b"} {
		tab.Add(Text(s), Float(-1))
	}
	rec, err := csv.NewReader(strings.NewReader(rendered(t, &Document{Records: &tab}, Options{Format: CSV}))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"name", "value"}, {`a,"b"\nc`, "0.30000000000000004"}}
	for _, s := range []string{"'=1+1", "'+a", "'-a", "'@a", `\ta`, `\ra`, "-1", "+2e3", "a=b"} {
		want = append(want, []string{s, "-1"})
	}
	if diff := cmp.Diff(want, rec); diff != "" {
		t.Error(diff)
	}
}

func TestJSONKeepsEveryBit(t *testing.T) {
	x := math.Nextafter(1.0/3, 1)
	out := rendered(t, &Document{Data: NewValue(scaled.New(x))}, Options{Format: JSON})
	var back Value
	if err := json.Unmarshal([]byte(out), &back); err != nil {
		t.Fatal(err)
	}
	if *back.Value != x || *back.Ln != scaled.New(x).Ln() {
		t.Errorf("%s reads back as %v", out, *back.Value)
	}
}

func TestHTMLNeedsNothingElse(t *testing.T) {
	d := sample()
	d.Figures = figures()
	out := rendered(t, d, Options{Format: HTML})
	for _, bad := range []string{"http:", "https:", "#0072B2", "font-family:Liberation", "src=", "@import", "url(", "<link", "<model>"} {
		if strings.Contains(out, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
}

func TestRanksOrderAnyMagnitude(t *testing.T) {
	tab := Table{Columns: []string{"x"}}
	huge, _ := new(big.Int).SetString("1"+strings.Repeat("0", 400), 10)
	for _, c := range []Cell{
		Big(huge), Number(scaled.FromLog2(-4000)), Float(-1), Int(3),
		{},
		Float(2.5),
		Number(scaled.FromLog2(4000)), Text("b"), Text("a"),
	} {
		tab.Add(c)
	}
	// 10^400 lies between 3 and 2^4000, which is about 10^1204.
	want := []int{7, 4, 3, 6, 0, 5, 8, 2, 1}
	if diff := cmp.Diff(want, tab.ranks(0)); diff != "" {
		t.Error(diff)
	}
}

// A legend of marks that no cell has would only puzzle.
func TestLegendNeedsMarks(t *testing.T) {
	var table Table
	table.Add(Float(1), Float(2))
	d := &Document{Marks: "the rest.", Tables: []Table{table}}
	if got := d.notes("*", "!"); len(got) != 0 {
		t.Errorf("no cell is marked: got %q", got)
	}
	table.Add(Float(3).Marked(Worst), Float(4))
	d.Tables = []Table{{}, table}
	if got := d.notes("*", "!"); len(got) != 1 {
		t.Errorf("a cell is marked: got %q", got)
	}
}
