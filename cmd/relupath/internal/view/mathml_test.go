package view

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis"
)

// TestMathML: a few formulas as the specification of MathML Core writes them.
func TestMathML(t *testing.T) {
	for latex, want := range map[string]string{
		`1/\gamma^2`:       `<mn>1</mn><mo>/</mo><msup><mi>γ</mi><mn>2</mn></msup>`,
		`\tfrac14\sqrt m`:  `<mfrac><mn>1</mn><mn>4</mn></mfrac><msqrt><mi>m</mi></msqrt>`,
		`W^0_l`:            `<msubsup><mi>W</mi><mi>l</mi><mn>0</mn></msubsup>`,
		`\frac m\sigma+10`: `<mfrac><mi>m</mi><mi>σ</mi></mfrac><mo>+</mo><mn>10</mn>`,
		`\sum_{\text{paths}}w`: `<munder><mo movablelimits="false">∑</mo><mrow><mtext>paths</mtext></mrow></munder>` +
			`<mi>w</mi>`,
		`\bigl(|w|\bigr)^2`: `<msup><mrow><mo stretchy="true">(</mo><mo stretchy="false" lspace="0" rspace="0">|</mo><mi>w</mi>` +
			`<mo stretchy="false" lspace="0" rspace="0">|</mo><mo stretchy="true">)</mo></mrow><mn>2</mn></msup>`,
		`\ln m`: `<mi>ln</mi>` + apply + `<mi>m</mi>`,
	} {
		if got, ok := MathML(latex); !ok || got != `<math display="block"><mrow>`+want+`</mrow></math>` {
			t.Errorf("%s is %s, want %s", latex, got, want)
		}
	}
	for _, latex := range []string{"", `\nosuch x`, `{a`, `\bigl(a`, `\Bigl(a\bigr)`, `a}`, `\frac1`, `x^`, `\`, `\mathrm x`, `<b>`, `\text{<b>}`} {
		if got, ok := MathML(latex); ok {
			t.Errorf("%q is %s", latex, got)
		}
	}
}

// TestMathMLOfMeasures: every formula of the registry is known, and is well-formed with as many
// parts as each element wants.
func TestMathMLOfMeasures(t *testing.T) {
	parts := map[string]int{"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3, "msqrt": 1}
	for _, i := range analysis.Registry() {
		got, ok := MathML(i.LaTeX)
		if !ok {
			t.Errorf("%s: %s is not known", i.Name, i.LaTeX)
			continue
		}
		var open []string
		var children []int
		for d := xml.NewDecoder(strings.NewReader(got)); ; {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v: %s", i.Name, err, got)
			}
			switch e := token.(type) {
			case xml.StartElement:
				if len(children) > 0 {
					children[len(children)-1]++
				}
				open, children = append(open, e.Name.Local), append(children, 0)
			case xml.EndElement:
				name, n := open[len(open)-1], children[len(children)-1]
				if want, ok := parts[name]; ok && n != want {
					t.Errorf("%s: %d parts of %s in %s", i.Name, n, name, got)
				}
				open, children = open[:len(open)-1], children[:len(children)-1]
			}
		}
	}
}
