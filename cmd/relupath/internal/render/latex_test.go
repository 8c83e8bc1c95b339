package render

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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
	doc := "\\documentclass{article}\\usepackage{amsmath,amssymb,booktabs,siunitx}\\begin{document}\n" +
		rendered(t, sample(), Options{Format: LaTeX}) + "\\end{document}\n"
	if err := os.WriteFile(filepath.Join(dir, "a.tex"), []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pdflatex, "-interaction=nonstopmode", "-halt-on-error", "a.tex")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestTableFormat(t *testing.T) {
	tab := Table{Columns: []string{"x"}}
	for _, x := range []float64{-12.5, 3, 1e9, 1.5e-11, 0.001} {
		tab.Add(Float(x))
	}
	if got := tableFormat(&tab, tab.strings(decimal.String, escapeLaTeX), 0); got != "-2.7e-2" {
		t.Errorf("%s for %v", got, tab.strings(decimal.String, escapeLaTeX).rows)
	}
}
