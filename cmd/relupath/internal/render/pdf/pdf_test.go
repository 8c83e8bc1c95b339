package pdf

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image/color"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
)

func sans(t *testing.T, size vg.Length) font.Face {
	t.Helper()
	f, err := opentype.Parse(liberationsansregular.TTF)
	if err != nil {
		t.Fatal(err)
	}
	return font.Face{Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}, Face: f}
}

// written returns a page as bytes and its streams, the objects found through its table.
func written(t *testing.T, c *Canvas) (file []byte, streams []string) {
	t.Helper()
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	file = bytes.Clone(b.Bytes())
	start := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(file)
	if start == nil {
		t.Fatal("no table")
	}
	at, _ := strconv.Atoi(string(start[1]))
	var n int
	if _, err := fmt.Sscanf(string(file[at:]), "xref\n0 %d\n", &n); err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(\d{10}) 00000 n \n`).FindAllSubmatch(file[at:], -1)
	if len(rows) != n-1 {
		t.Fatalf("%d objects in a table of %d", len(rows), n)
	}
	for i, row := range rows {
		at, _ := strconv.Atoi(string(row[1]))
		if want := fmt.Sprintf("%d 0 obj\n", i+1); !strings.HasPrefix(string(file[at:]), want) {
			t.Fatalf("object %d begins with %q", i+1, file[at:at+10])
		}
		object := file[at:]
		m := regexp.MustCompile(`^\d+ 0 obj\n<</Filter/FlateDecode/Length (\d+)[^\n]*>>stream\n`).FindSubmatch(object)
		if m == nil {
			continue
		}
		length, _ := strconv.Atoi(string(m[1]))
		z, err := zlib.NewReader(bytes.NewReader(object[len(m[0]) : len(m[0])+length]))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, string(data))
	}
	return file, streams
}

// TestWordsAreFound: what a page shows is in it as characters, of any script that the font has,
// and the same page is the same bytes.
func TestWordsAreFound(t *testing.T) {
	const words = "Input → 64 κ é AV"
	draw := func() *Canvas {
		c := New(100, 50)
		c.FillString(sans(t, 9), vg.Point{X: 5, Y: 7}, words)
		return c
	}
	file, streams := written(t, draw())
	if again, _ := written(t, draw()); !bytes.Equal(file, again) {
		t.Error("the same drawing gives other bytes")
	}
	if len(file) > 20000 {
		t.Errorf("%d bytes: more than the glyphs of a few words", len(file))
	}
	chars := map[string]string{}
	for _, m := range regexp.MustCompile(`<(\w{4})> <(\w+)>\nendbfchar`).FindAllStringSubmatch(streams[1], -1) {
		var units []uint16
		for i := 0; i < len(m[2]); i += 4 {
			u, _ := strconv.ParseUint(m[2][i:i+4], 16, 16)
			units = append(units, uint16(u))
		}
		chars[m[1]] = string(utf16.Decode(units))
	}
	shown := regexp.MustCompile(`BT /F0 9 Tf 5 7 Td \[(.*)\] TJ ET`).FindStringSubmatch(streams[2])
	if shown == nil {
		t.Fatalf("no words in\n%s", streams[2])
	}
	var got strings.Builder
	for _, m := range regexp.MustCompile(`<(\w*)>`).FindAllStringSubmatch(shown[1], -1) {
		if _, err := hex.DecodeString(m[1]); err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(m[1]); i += 4 {
			got.WriteString(chars[m[1][i:i+4]])
		}
	}
	if got.String() != words {
		t.Errorf("found %q, want %q", &got, words)
	}
	// A and V move together, which the width of words counts on.
	if !regexp.MustCompile(`> \d[\d.]* <`).MatchString(shown[1]) {
		t.Errorf("no kerning in %s", shown[1])
	}
}

// outline reads a glyph of a font whose loca has 32 bits, or 16 where short.
func outline(ttf []byte, g int, short bool) []byte {
	be := binary.BigEndian
	table := func(name string) []byte {
		for i := range int(be.Uint16(ttf[4:])) {
			if e := ttf[12+16*i:]; string(e[:4]) == name {
				return ttf[be.Uint32(e[8:]):][:be.Uint32(e[12:])]
			}
		}
		return nil
	}
	loca, glyf := table("loca"), table("glyf")
	if short {
		return glyf[2*int(be.Uint16(loca[2*g:])) : 2*int(be.Uint16(loca[2*g+2:]))]
	}
	return glyf[be.Uint32(loca[4*g:]):be.Uint32(loca[4*g+4:])]
}

// TestSubset: glyphs of a page and their parts have the outlines of the font, others none, and
// the sum over the file is the one that OpenType asks for.
func TestSubset(t *testing.T) {
	ttf := liberationsansregular.TTF
	f := sans(t, 9).Face
	var buf sfnt.Buffer
	index := func(r rune) int {
		g, err := f.GlyphIndex(&buf, r)
		if err != nil {
			t.Fatal(err)
		}
		return int(g)
	}
	whole := func(g int) []byte { return outline(ttf, g, shortLoca(ttf)) }
	small := subset(ttf, []sfnt.GlyphIndex{sfnt.GlyphIndex(index('a')), sfnt.GlyphIndex(index('é'))})
	parts := components(whole(index('é')))
	if len(parts) == 0 {
		t.Fatal("é is no composed glyph here")
	}
	for _, g := range append(parts, 0, index('a'), index('é')) {
		if want, got := whole(g), outline(small, g, false); len(want) == 0 || !bytes.HasPrefix(got, want) {
			t.Errorf("glyph %d has %d bytes, want %d", g, len(got), len(want))
		}
	}
	if n := len(outline(small, index('b'), false)); n != 0 {
		t.Errorf("b has %d bytes", n)
	}
	if got := checksum(small); got != 0xB1B0AFBA {
		t.Errorf("the sum is %#x", got)
	}
}

func shortLoca(ttf []byte) bool {
	at := bytes.Index(ttf, []byte("head"))
	return binary.BigEndian.Uint16(ttf[binary.BigEndian.Uint32(ttf[at+8:])+50:]) == 0
}

// TestColoursAreStraight: a translucent colour keeps its hue; alpha stands beside it.
func TestColoursAreStraight(t *testing.T) {
	c := New(10, 10)
	c.SetColor(color.NRGBA{R: 0xff, G: 0x33, A: 0x80})
	file, streams := written(t, c)
	if !strings.Contains(streams[0], "1 0.2 0 rg\n1 0.2 0 RG\n/A1 gs\n") || !bytes.Contains(file, []byte("/A1<</ca 0.50196/CA 0.50196>>")) {
		t.Errorf("the colour is\n%s", streams[0])
	}
}

// TestPaths: circles are round to 3e-4 of the radius, the error of cubic curves for quarters,
// quadratic curves pass where they should, and no line is drawn without a width.
func TestPaths(t *testing.T) {
	c := New(10, 10)
	at := c.content.Len()
	var p vg.Path
	p.Move(vg.Point{X: 7, Y: 4})
	p.Arc(vg.Point{X: 5, Y: 4}, 2, 0, 2*math.Pi)
	p.Close()
	c.Fill(p)
	var curves int
	var from [2]float64
	for _, l := range strings.Split(c.content.String()[at:], "\n") {
		var x [6]float64
		if n, _ := fmt.Sscanf(l, "%g %g %g %g %g %g c", &x[0], &x[1], &x[2], &x[3], &x[4], &x[5]); n == 6 {
			mid := func(k int) float64 { return (from[k] + 3*x[k] + 3*x[2+k] + x[4+k]) / 8 }
			if r := math.Hypot(mid(0)-5, mid(1)-4); math.Abs(r-2) > 2*3e-4 {
				t.Errorf("a curve passes at %v of the centre", r)
			}
			curves++
			from = [2]float64{x[4], x[5]}
			continue
		}
		if n, _ := fmt.Sscanf(l, "%g %g", &x[0], &x[1]); n == 2 {
			from = [2]float64{x[0], x[1]}
		}
	}
	if curves != 4 || from != [2]float64{7, 4} {
		t.Errorf("%d curves that end at %v", curves, from)
	}
	at = c.content.Len()
	var q vg.Path
	q.Move(vg.Point{})
	q.QuadTo(vg.Point{X: 3, Y: 6}, vg.Point{X: 6})
	c.Stroke(q)
	if got, want := c.content.String()[at:], "0 0 m\n2 4 4 4 6 0 c\nS\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.SetLineWidth(0)
	at = c.content.Len()
	if c.Stroke(q); c.content.Len() != at {
		t.Error("a line without a width is drawn")
	}
}
