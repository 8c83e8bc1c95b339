package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type (
	jsonInner struct {
		Value  *float64 `json:"value"`
		Range  string   `json:"range,omitempty"`
		hidden int
	}
	jsonOuter struct {
		jsonInner
		*jsonPointed
		Name  string             `json:"name"`
		Few   []int              `json:"few"`
		Left  []string           `json:"left,omitempty"`
		Many  []jsonInner        `json:"many"`
		Deep  []*jsonOuter       `json:"deep"`
		Any   any                `json:"any"`
		Bytes []byte             `json:"bytes"`
		Map   map[string]float64 `json:"map,omitempty"`
		Out   func()             `json:"-"`
		Plain bool
	}
	jsonPointed struct {
		Pointed float64 `json:"pointed,omitempty"`
	}
)

// drawJSON draws a value with lists of lengths about maxAtOnce.
func drawJSON(t *rapid.T, depth int) *jsonOuter {
	text := rapid.SampledFrom([]string{"", "a", "<\"\n", "\x1b[0m", "\u202e", "\U000e0041", "\xff"})
	length := rapid.SampledFrom([]int{0, 1, 2, maxAtOnce, maxAtOnce + 1, 2*maxAtOnce + 3})
	out := &jsonOuter{Name: text.Draw(t, "name"), Plain: rapid.Bool().Draw(t, "plain"), Few: make([]int, length.Draw(t, "few"))}
	out.Value, out.Range, out.hidden = Real(rapid.Float64().Draw(t, "value")), text.Draw(t, "range"), 1
	if rapid.Bool().Draw(t, "pointed") {
		out.jsonPointed = &jsonPointed{rapid.Float64().Draw(t, "p")}
	}
	out.Left = make([]string, length.Draw(t, "left"))
	if n := length.Draw(t, "many"); n > 0 {
		out.Many = make([]jsonInner, n)
		out.Many[n-1].Range = text.Draw(t, "last")
	}
	if depth > 0 {
		out.Any = *drawJSON(t, depth-1)
		for range rapid.IntRange(0, 3).Draw(t, "deep") {
			var e *jsonOuter
			if rapid.Bool().Draw(t, "nil") {
				e = drawJSON(t, depth-1)
			}
			out.Deep = append(out.Deep, e)
		}
	}
	out.Bytes, out.Map = []byte(text.Draw(t, "bytes")), map[string]float64{text.Draw(t, "key"): 1}
	return out
}

// TestJSONInParts: what is written in parts is what encoding/json writes at once.
func TestJSONInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := drawJSON(t, 2)
		for _, indent := range []string{"", "  "} {
			var parts, whole, p bytes.Buffer
			if err := writeJSON(&parts, &Document{Data: v}, indent, nil); err != nil {
				t.Fatal(err)
			}
			if err := encodeJSON(&whole, v, "", indent); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole.String(), parts.String()); diff != "" {
				t.Fatal(diff)
			}
			made := &Provenance{Version: "v1"}
			if err := writeJSON(&p, &Document{Data: v}, indent, made); err != nil {
				t.Fatal(err)
			}
			with := struct {
				*jsonOuter
				Provenance *Provenance `json:"provenance"`
			}{v, made}
			whole.Reset()
			if err := encodeJSON(&whole, with, "", indent); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole.String(), p.String()); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// largest notes the longest piece that is written at once.
type largest struct {
	io.Writer
	n int
}

func (l *largest) Write(p []byte) (int, error) {
	l.n = max(l.n, len(p))
	return l.Writer.Write(p)
}

// TestLongReportsAreWrittenInParts: no format for programs holds what it writes.
func TestLongReportsAreWrittenInParts(t *testing.T) {
	const n, most = 100_000, 1 << 18
	v := struct {
		Measures []jsonInner `json:"measures"`
	}{make([]jsonInner, n)}
	d := &Document{Data: v, Records: &Table{Columns: []string{"value"}}, Rows: func(yield func([]Cell) bool) {
		for i := range n {
			if !yield([]Cell{Int(i)}) {
				return
			}
		}
	}}
	for _, f := range []Format{CSV, JSON, JSONLines} {
		l := &largest{Writer: io.Discard}
		if err := Write(l, d, Options{Format: f}); err != nil || l.n == 0 || l.n > most {
			t.Errorf("%s writes %d bytes at once: %v", f, l.n, err)
		}
		full := errors.New("no space left")
		if err := Write(failing{full}, d, Options{Format: f}); err == nil || err.Error() != full.Error() {
			t.Errorf("%s to a full disk: %v", f, err)
		}
	}
	if !json.Valid([]byte(rendered(t, d, Options{Format: JSON}))) {
		t.Error("a long report is no JSON")
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
