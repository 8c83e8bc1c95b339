package render

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/scaled"
)

func TestLaTeXCompiles(t *testing.T) {
	pdflatex, err := exec.LookPath("pdflatex")
	if err != nil {
		t.Skip("pdflatex is not installed")
	}
	if exec.Command("kpsewhich", "siunitx.sty").Run() != nil {
		t.Skip("the LaTeX package siunitx is not installed")
	}
	dir := t.TempDir()
	if keep := os.Getenv("RELUPATH_KEEP"); keep != "" {
		dir = keep
	}
	long := Table{Title: "more than a page", Columns: []string{"name", "x", "y"}}
	for i := range latexRows * 2 {
		long.Add(Code(fmt.Sprintf("a_longer_name_%d", i)), Float(math.Exp(float64(i)*3)), Int(i))
	}
	wide := Table{Title: "wider than a line", Columns: []string{"name"}, TeX: []string{""}}
	var row []Cell
	for range 9 {
		wide.Columns, wide.TeX = append(wide.Columns, "path norm"), append(wide.TeX, `\|\pi\|_1`)
		row = append(row, Float(-1234.5678))
	}
	wide.Add(append([]Cell{Code("model_name")}, row...)...)
	float, longer := *sample(), *sample()
	float.Tables = append(slices.Clone(float.Tables), wide, layers(20, 6, "/layer%d/downsample/downsample.0/Conv"))
	longer.Tables = []Table{
		long, layers(100, 4, "/encoder_backbone_layers.%d/projection_convolution/Conv"),
		layers(60, 12, "/encoder_backbone_layers.%d/projection_convolution/Conv"), layers(30, 12, "/layer%d/Conv"),
	}
	for class, doc := range map[string]*Document{
		"\\documentclass{article}":                 &float,
		"\\documentclass[twocolumn]{article}":      &float,
		"\\documentclass[11pt]{article}":           &longer,
		"\\documentclass[twocolumn,10pt]{article}": &longer,
	} {
		text := class + "\\usepackage{amsmath,amssymb,booktabs,graphicx,longtable,pdflscape,siunitx}\\begin{document}\n" +
			rendered(t, doc, Options{Format: LaTeX, Provenance: &Provenance{Version: "1", Command: "relupath audit 100%", Date: "now"}}) +
			"\\end{document}\n"
		if err := os.WriteFile(filepath.Join(dir, "a.tex"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(pdflatex, "-interaction=nonstopmode", "-halt-on-error", "a.tex")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", class, err, out)
		}
		if bytes.Contains(out, []byte("Overfull")) {
			t.Errorf("%s: a table is wider than its line\n%s", class, out)
		}
	}
}

// layers is a table of some layers with some measures.
func layers(n, measures int, name string) Table {
	t := Table{Title: "layers", Columns: []string{"layer", "op", "inputs", "smallest unit"}, TeX: make([]string, 4), Turns: "of the layer"}
	for range measures {
		t.Columns, t.TeX = append(t.Columns, "group_norm(1,inf)"), append(t.TeX, `\mu_{1,\infty}`)
	}
	for i := range n {
		row := []Cell{Code(fmt.Sprintf(name, i)), Code("Conv"), Int(512), Float(1.23456)}
		for k := range measures {
			row = append(row, Float(1234.5/float64(i+k+1)))
		}
		t.Add(row...)
	}
	return t
}

// TestTablesOfLayersAreWhole: a table of layers is one float or one longtable, with every measure: turned
// round where layers are few, names in lines where these are long, else on its side.
func TestTablesOfLayersAreWhole(t *testing.T) {
	const deep = "/encoder_backbone_layers.%d/projection_convolution/Conv"
	for _, c := range []struct {
		table Table
		want  string
	}{
		{layers(3, 2, "/%d/Gemm"), `\begin{tabular}{@{}ll`},
		{layers(3, 15, "/%d/Gemm"), "of the layer & "},
		{layers(20, 2, "/layer%d/downsample/Conv"), `\begin{tabular}{@{}ll`},
		{layers(20, 12, "/layer%d/downsample/Conv"), `\begin{landscape}`},
		{layers(100, 2, deep), `\onlycolumn` + "\n"},
		{layers(100, 12, deep), `\begin{landscape}`},
	} {
		got := rendered(t, &Document{Tables: []Table{c.table}}, Options{Format: LaTeX})
		if n := strings.Count(got, `\caption`); n != 1 || !strings.Contains(got, c.want) {
			t.Errorf("%d layers, %d columns: in %d pieces, want one with %s:\n%s", len(c.table.Rows), len(c.table.Columns), n, c.want, got)
		}
	}
}

// TestNamesInLines: long names over columns are broken behind their signs, and keep every letter.
func TestNamesInLines(t *testing.T) {
	for name, want := range map[string]string{
		"toy": "toy", "": "", "digits_keras_conv": "digits_|keras_conv", "a_b_c_d_e_f": "a_b_c_d_e_|f",
		"mobilenetwithoutsigns": "mobilenetwithoutsigns", "résnet_18-é.x": "résnet_18-|é.x",
	} {
		if got := strings.Join(inLines(name, headLetters), "|"); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got, want := stacked([]string{"a_", "b"}, "b", "c"), `\begin{tabular}[b]{@{}c@{}}a\_\\b\end{tabular}`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOneNotation: a column that needs exponents has them throughout, whole numbers
// beside others stay.
func TestOneNotation(t *testing.T) {
	for _, c := range []struct {
		cells []Cell
		want  string
		same  bool
	}{
		{[]Cell{Float(26425), Float(2.58e29), Float(0), Float(7)}, "2.64e4 2.58e29 0 7.00e0", true},
		{[]Cell{Float(26425), Float(0.25)}, "26425 0.250", true},
		{[]Cell{Int(2650), Float(2.58e29)}, "2650 2.58e29", false},
		{[]Cell{Int(2650), Big(new(big.Int).Exp(big.NewInt(10), big.NewInt(98), nil))}, "2.65e3 1.00e98", true},
		{[]Cell{Number(scaled.New(3).Scale(5000)), Float(1)}, "4.24e1505 1.00e0", true},
	} {
		tab := Table{Columns: []string{"x"}}
		for _, cell := range c.cells {
			tab.Add(cell)
		}
		g := tab.strings(numerals{paperDigits, decimal.String}, escapeLaTeX)
		same := tab.oneNotation(g, 0, paperDigits)
		var got []string
		for _, row := range g.rows {
			got = append(got, row[0])
		}
		if s := strings.Join(got, " "); s != c.want || same != c.same {
			t.Errorf("%s, %v; want %s, %v", s, same, c.want, c.same)
		}
	}
}

func TestTableFormat(t *testing.T) {
	tab := Table{Columns: []string{"x"}}
	for _, x := range []float64{-12.5, 3, 1e9, 1.5e-11, 0.001} {
		tab.Add(Float(x))
	}
	for format, want := range map[string]int{"3": 3, "5.3": 9, "-2.7e-2": 17, "1.2e3": 10, "": 0} {
		if got := formatWidth(format); got != want {
			t.Errorf("%s is %d wide, want %d", format, got, want)
		}
	}
	if got := tableFormat(&tab, tab.strings(numerals{digits, decimal.String}, escapeLaTeX), 0); got != "-2.7e-2" {
		t.Errorf("%s for %v", got, tab.strings(numerals{digits, decimal.String}, escapeLaTeX).rows)
	}
}

// TestFormulasAreNarrow: heads are as wide as they look, not as they are typed, so that a table of eight
// measures is one float; what is cut keeps its caption.
func TestFormulasAreNarrow(t *testing.T) {
	for tex, want := range map[string]int{
		`\|\pi\|_{1}`: 4, `\textstyle\prod\sigma_1`: 3, `\mu_{1,\infty}`: 4, `\max|w|`: 6, `\text{max\_abs}`: 7, `path\_norm`: 9, `$\infty$`: 1, `\textstyle\sum\ln\|W\|_F^2`: 8,
	} {
		if got := texWidth(tex); got != want {
			t.Errorf("%s: %d letters wide, want %d", tex, got, want)
		}
	}
	of := Table{Title: "models", Columns: []string{"model"}, TeX: []string{""}}
	row := []Cell{Code("a_name")}
	for range 8 {
		of.Columns, of.TeX, row = append(of.Columns, "a_measure_of_many_letters(1,inf)"), append(of.TeX, `\mu_{1,\infty}`), append(row, Float(12.345))
	}
	of.Add(row...)
	if got := rendered(t, &Document{Tables: []Table{of}}, Options{Format: LaTeX}); strings.Count(got, `\begin{tabular}`) != 1 {
		t.Errorf("eight columns are cut:\n%s", got)
	}
	for range 30 {
		of.Columns, of.TeX, of.Rows[0] = append(of.Columns, "x"), append(of.TeX, `\mu_{1,\infty}`), append(of.Rows[0], Float(12.345))
	}
	if got := rendered(t, &Document{Tables: []Table{of}, Caption: "Mine"}, Options{Format: LaTeX}); !strings.Contains(got, `\caption{Mine (continued)}`) {
		t.Errorf("the caption is lost:\n%s", got)
	}
}
