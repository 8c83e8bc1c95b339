package pdf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf16"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"gonum.org/v1/plot/font"
)

// face is a TrueType font and the glyphs of it that a page shows.
type face struct {
	font.Face
	name  string
	em    fixed.Int26_6
	buf   sfnt.Buffer
	glyph map[sfnt.GlyphIndex]rune
}

func newFace(f font.Face) *face {
	return &face{Face: f, name: f.Name(), em: fixed.Int26_6(f.Face.UnitsPerEm()), glyph: map[sfnt.GlyphIndex]rune{}}
}

// perMille turns a length in units of the font into thousandths of its size.
func (f *face) perMille(x fixed.Int26_6) float64 { return float64(x) * 1000 / float64(f.em) }

// must is for a font that is linked.
func must[T any](x T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("pdf: font: %v", err))
	}
	return x
}

// show returns words as strings of glyphs for TJ, with what pairs move together between them.
func (f *face) show(words string) string {
	var b strings.Builder
	var last sfnt.GlyphIndex
	b.WriteString("<")
	for i, r := range words {
		g := must(f.Face.Face.GlyphIndex(&f.buf, r))
		if _, ok := f.glyph[g]; !ok {
			f.glyph[g] = r
		}
		if i > 0 {
			if k, err := f.Face.Face.Kern(&f.buf, last, g, f.em, 0); err == nil && k != 0 {
				fmt.Fprintf(&b, "> %s <", number(-f.perMille(k)))
			}
		}
		fmt.Fprintf(&b, "%04X", uint16(g))
		last = g
	}
	return b.String() + ">"
}

// write adds the font's objects and returns the number of the one that a page names.
func (f *face) write(d *document) int {
	glyphs := slices.Sorted(maps.Keys(f.glyph))
	var source bytes.Buffer
	must(f.Face.Face.WriteSourceTo(&f.buf, &source))
	program := subset(source.Bytes(), glyphs)
	file := d.stream(fmt.Sprintf("/Length1 %d", len(program)), program)
	m := must(f.Face.Face.Metrics(&f.buf, f.em, 0))
	box := must(f.Face.Face.Bounds(&f.buf, f.em, 0))
	// The box grows upwards in PDF, downwards in sfnt.
	descriptor := d.add(fmt.Sprintf("<</Type/FontDescriptor/FontName/AAAAAA+%s/Flags 4/FontBBox[%s %s %s %s]/ItalicAngle 0/Ascent %s/Descent %s/CapHeight %s/StemV 80/FontFile2 %d 0 R>>",
		f.name, number(f.perMille(box.Min.X)), number(-f.perMille(box.Max.Y)), number(f.perMille(box.Max.X)), number(-f.perMille(box.Min.Y)),
		number(f.perMille(m.Ascent)), number(-f.perMille(m.Descent)), number(f.perMille(m.CapHeight)), file))
	var widths, chars strings.Builder
	for _, g := range glyphs {
		fmt.Fprintf(&widths, "%d[%s]", g, number(f.perMille(must(f.Face.Face.GlyphAdvance(&f.buf, g, f.em, 0)))))
		if g != 0 { // 0 is the box for what the font has not
			fmt.Fprintf(&chars, "1 beginbfchar\n<%04X> <", uint16(g))
			for _, u := range utf16.Encode([]rune{f.glyph[g]}) {
				fmt.Fprintf(&chars, "%04X", u)
			}
			chars.WriteString(">\nendbfchar\n")
		}
	}
	unicode := d.stream("", []byte("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CMapName /glyphs def\n/CMapType 2 def\n"+
		"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"+chars.String()+"endcmap\nend\nend\n"))
	inner := d.add(fmt.Sprintf("<</Type/Font/Subtype/CIDFontType2/BaseFont/AAAAAA+%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/FontDescriptor %d 0 R/CIDToGIDMap/Identity/W[%s]>>",
		f.name, descriptor, &widths))
	return d.add(fmt.Sprintf("<</Type/Font/Subtype/Type0/BaseFont/AAAAAA+%s/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>", f.name, inner, unicode))
}

// subset returns a TrueType font in which glyphs other than the given ones, and those that they
// are composed of, are empty. Indices stay as they are. Source: OpenType 1.9, tables glyf, loca,
// hmtx, head.
func subset(ttf []byte, glyphs []sfnt.GlyphIndex) []byte {
	be := binary.BigEndian
	tables := map[string][]byte{}
	for i := range int(be.Uint16(ttf[4:])) {
		e := ttf[12+16*i:]
		at, n := be.Uint32(e[8:]), be.Uint32(e[12:])
		tables[string(e[:4])] = slices.Clone(ttf[at : at+n])
	}
	count := int(be.Uint16(tables["maxp"][4:]))
	place := func(g int) int {
		if be.Uint16(tables["head"][50:]) == 0 {
			return 2 * int(be.Uint16(tables["loca"][2*g:]))
		}
		return int(be.Uint32(tables["loca"][4*g:]))
	}
	outline := func(g int) []byte { return tables["glyf"][place(g):place(g+1)] }
	keep := map[int]bool{0: true}
	todo := []int{0}
	for _, g := range glyphs {
		keep[int(g)] = true
		todo = append(todo, int(g))
	}
	for len(todo) > 0 {
		g := todo[0]
		todo = todo[1:]
		for _, part := range components(outline(g)) {
			if !keep[part] {
				keep[part] = true
				todo = append(todo, part)
			}
		}
	}
	var glyf, loca []byte
	for g := range count {
		loca = be.AppendUint32(loca, uint32(len(glyf)))
		if keep[g] {
			glyf = append(glyf, outline(g)...)
			glyf = append(glyf, make([]byte, -len(glyf)&3)...)
		}
	}
	loca = be.AppendUint32(loca, uint32(len(glyf)))
	for g := range int(be.Uint16(tables["hhea"][34:])) {
		if !keep[g] {
			clear(tables["hmtx"][4*g : 4*g+4])
		}
	}
	tables["glyf"], tables["loca"] = glyf, loca
	be.PutUint16(tables["head"][50:], 1) // loca has 32 bits
	be.PutUint32(tables["head"][8:], 0)
	names := []string{"cvt ", "fpgm", "glyf", "head", "hhea", "hmtx", "loca", "maxp", "prep"}
	names = slices.DeleteFunc(names, func(n string) bool { return tables[n] == nil })
	log := int(math.Log2(float64(len(names))))
	out := be.AppendUint32(nil, 0x00010000)
	for _, x := range []int{len(names), 16 << log, log, 16*len(names) - 16<<log} {
		out = be.AppendUint16(out, uint16(x))
	}
	var body []byte
	head := 0
	for _, n := range names {
		at := 12 + 16*len(names) + len(body)
		if n == "head" {
			head = at
		}
		out = append(out, n...)
		for _, x := range []uint32{checksum(tables[n]), uint32(at), uint32(len(tables[n]))} {
			out = be.AppendUint32(out, x)
		}
		body = append(body, tables[n]...)
		body = append(body, make([]byte, -len(body)&3)...)
	}
	out = append(out, body...)
	be.PutUint32(out[head+8:], 0xB1B0AFBA-checksum(out))
	return out
}

// components are the glyphs of which one is composed; none for an outline of its own.
func components(glyph []byte) []int {
	be := binary.BigEndian
	if len(glyph) == 0 || int16(be.Uint16(glyph)) >= 0 {
		return nil
	}
	var out []int
	const words, scale, more, scales, matrix = 1, 8, 32, 64, 128
	for at := 10; ; {
		flags := be.Uint16(glyph[at:])
		out = append(out, int(be.Uint16(glyph[at+2:])))
		at += 6
		if flags&words != 0 {
			at += 2
		}
		switch {
		case flags&scale != 0:
			at += 2
		case flags&scales != 0:
			at += 4
		case flags&matrix != 0:
			at += 8
		}
		if flags&more == 0 {
			return out
		}
	}
}

// checksum is the sum of a table's 32-bit words.
func checksum(table []byte) uint32 {
	var sum uint32
	for i := 0; i < len(table); i += 4 {
		var word [4]byte
		copy(word[:], table[i:])
		sum += binary.BigEndian.Uint32(word[:])
	}
	return sum
}
