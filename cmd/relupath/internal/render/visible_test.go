package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

// hostileWords are what a stranger's file may call things: sequences that steer a
// terminal, in seven and in eight bits, characters that turn the direction of
// writing, that have no width, that end lines, and bytes that are no UTF-8.
var hostileWords = []string{
	"\x1b]0;title\a", "\x1b[2J", "\u009b31m", "\u009d0;x\u009c", "\a", "\b", "\r", "\n", "\t", "\v", "\x00", "\x7f", "\u0085",
	"\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\u200b", "\u200d", "\ufeff", "\u2028", "\u2029", "\u00ad", "\u3164", "\ufe0f",
	"\U000e0041", "\U000f0000", "\xff", "\xc3", "=1+1", "@a", "-a", "|", "&<>\"", "\\", "_%$#", "é", "層",
}

// TestHiddenIsShown draws documents of hostile words: no format and no figure
// writes a character that nobody sees, JSON holds the words as they are, and no
// cell of CSV is a formula.
func TestHiddenIsShown(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	word := func() string {
		var b strings.Builder
		for range 1 + rng.IntN(4) {
			b.WriteString(hostileWords[rng.IntN(len(hostileWords))])
		}
		return b.String()
	}
	for range 60 {
		d := &Document{
			Title: word(), Label: word(), Marks: word(), Notes: []string{word(), word()},
			Data: map[string]string{"name": word()},
			Tables: []Table{
				{Title: word(), Columns: []string{word(), word(), word()}},
				{Title: word(), Columns: []string{"", ""}},
			},
			Figures: []Figure{
				{Name: "bars", Title: word(), Caption: word(), Chart: &Bars{
					Categories: []string{word(), strings.Repeat(word(), 20)}, Axis: word(), Series: []Series{{word(), nums(1, 2)}, {word(), nums(3, 4)}},
				}},
				{Name: "lines", Title: word(), Caption: word(), Chart: &Lines{
					XAxis: word(), YAxis: word(), Series: []Series{{word(), nums(1, 2, 3)}},
				}},
				{Name: "network", Title: word(), Caption: word(), Chart: &Diagram{Nodes: []view.Box{
					{Label: word(), Detail: word()}, {Label: word(), Detail: word(), In: []int{0}},
				}}},
			},
		}
		d.Tables[0].Add(Code(word()), Text(word()), Float(1).Marked(Best))
		d.Tables[0].Add(Text(strings.Repeat(word()+" ", 40)), Code(word()), Float(-2))
		d.Tables[1].Add(Text(word()), Code(word()))
		for _, f := range Formats() {
			got := rendered(t, d, Options{Format: Format(f)})
			if at := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && !(r == '\t' && f == string(HTML)) && hidden(r) }); at >= 0 || strings.ToValidUTF8(got, "") != got {
				t.Fatalf("%s shows what nobody sees: %.80q", f, got[max(0, at):])
			}
			if f == string(JSON) || f == string(JSONLines) {
				var back map[string]string
				if err := json.Unmarshal([]byte(got), &back); err != nil {
					t.Fatal(err)
				}
				want := map[string]string{"name": string([]rune(d.Data.(map[string]string)["name"]))}
				if diff := cmp.Diff(want, back); diff != "" {
					t.Fatal(diff)
				}
			}
		}
		d.Records = &d.Tables[0]
		rec, err := csv.NewReader(strings.NewReader(rendered(t, d, Options{Format: CSV}))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rec[1:] {
			for _, cell := range row {
				if strings.ContainsAny(cell[:1], "=+-@\t\r") && cell != "-2" {
					t.Fatalf("a formula: %q", cell)
				}
			}
		}
		for k := range d.Figures {
			var b bytes.Buffer
			if err := WriteFigure(&b, &d.Figures[k], "svg"); err != nil {
				t.Fatal(err)
			}
			if at := strings.IndexFunc(b.String(), func(r rune) bool { return r != '\n' && r != '\t' && hidden(r) }); at >= 0 {
				t.Fatalf("%s shows what nobody sees: %.80q", d.Figures[k].Name, b.String()[at:])
			}
		}
	}
}

// TestVisible: what is seen stays, also when it was made visible before.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"fc1/Gemm": "fc1/Gemm", "層 é ×": "層 é ×", "\uFFFD": "\uFFFD", `\x1b`: `\x1b`,
		"\x1b]0;a\a": `\x1b]0;a\a`, "a\u202eb": `a\u202eb`, "\u009b": `\u009b`, "a\nb": `a\nb`, "\xff": `\xff`, "\U000e0041": `\U000e0041`,
	} {
		got := Visible(in)
		if got != want || Visible(got) != got {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

// TestWriteList compares a list written in parts with the object in one piece.
func TestWriteList(t *testing.T) {
	type object struct {
		Schema string            `json:"schema"`
		Models []map[string]any  `json:"models"`
		Errors map[string]string `json:"errors"`
	}
	for _, models := range [][]map[string]any{{}, {{"a": []int{1, 2}}}, {{"a": 1}, {"b": map[string]string{"c": "\x1b<"}}}} {
		o := &object{Schema: `"models": []`, Models: []map[string]any{}}
		var parts, whole bytes.Buffer
		err := WriteList(&parts, o, "models", func() (*Provenance, error) { return nil, nil }, func(add func(any) error) error {
			for _, m := range models {
				if err := add(m); err != nil {
					return err
				}
			}
			o.Errors = map[string]string{"late": "yes"}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Models = models
		if err := Write(&whole, &Document{Data: o}, Options{Format: JSON}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.String(), parts.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// TestLongTables: a table of thousands of rows is cut into pages at a cost that
// grows with its rows, each of which is there once.
func TestLongTables(t *testing.T) {
	tab := Table{Columns: []string{"model", "value"}}
	const rows = 20000
	for range rows {
		tab.Add(Text("rowmark"), Float(0.5))
	}
	for _, f := range Formats() {
		if f == string(JSON) || f == string(JSONLines) {
			continue
		}
		if n := strings.Count(rendered(t, &Document{Tables: []Table{tab}}, Options{Format: Format(f)}), "rowmark"); n != rows {
			t.Errorf("%s has %d rows", f, n)
		}
	}
}
