package command

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/golden"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/testmodels"
)

// inTestmodels makes a folder with the test models the current one.
func inTestmodels(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, testmodels.Files()); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}

// output runs a command line that must succeed and returns what it prints.
func output(t *testing.T, line string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(strings.Fields(line), nil, &out, &errs); code != 0 {
		t.Fatalf("%s: exit code %d: %s", line, code, &errs)
	}
	return out.String()
}

// steady replaces what differs from run to run, the durations of balance, and
// from machine to machine, numbers that are rounding alone.
func steady(report string) string {
	return rounding.ReplaceAllString(durations.ReplaceAllString(report, `"seconds": {}`), "rounding")
}

var (
	durations = regexp.MustCompile(`"seconds": ?\{[^}]*\}`)
	rounding  = regexp.MustCompile(`\d\.\d+(e-1[5-9]| × 10⁻¹[⁵⁶⁷⁸⁹])`)
)

// irisRows are some rows of Fisher's irises, a class each and one between.
const irisRows = `sepal length,sepal width,petal length,petal width,species
5.1,3.5,1.4,0.2,0
7.0,3.2,4.7,1.4,1
6.3,3.3,6.0,2.5,2
5.9,3.0,4.2,1.5,1
`

// TestGoldensOfTestmodels prints real models in every format, to the digits that
// are the same on every machine.
func TestGoldensOfTestmodels(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795910400") // pages have a date
	compare := func(name, line string, formats ...string) {
		for _, f := range formats {
			var got string
			if t.Run(name+"."+f, func(t *testing.T) {
				inTestmodels(t)
				if err := os.WriteFile("iris.csv", []byte(irisRows), 0o644); err != nil {
					t.Fatal(err)
				}
				got = steady(output(t, line+" --format "+f))
			}) && got != "" {
				// The current folder is the package's again; a subtest that -run
				// leaves out has printed nothing.
				golden.Check(t, name+"."+f, golden.Round(got))
			}
		}
	}
	compare("toy_audit", "audit toy.onnx --per-layer", render.Formats()...)
	compare("toy_compare", "audit toy.onnx toy_unbalanced.onnx --baseline toy.onnx --measures path_norm,group_norm", render.Formats()...)
	compare("toy_inspect", "inspect toy.onnx", render.Formats()...)
	compare("toy_balance", "balance toy_unbalanced.onnx --exact --dry-run", render.Formats()...)
	compare("iris_eval", "eval iris_own.onnx --data csv:iris.csv,header", render.Formats()...)
	compare("residual_audit", "audit digits_residual.onnx --per-layer --measures all", "table", "markdown", "latex")
	compare("measures", "audit --list", "table", "csv")
}

// TestReportsCompile sets the reports of several commands with pdflatex, in one column and in two: no line
// is longer than its column.
func TestReportsCompile(t *testing.T) {
	pdflatex, err := exec.LookPath("pdflatex")
	if err != nil {
		t.Skip("pdflatex is not installed")
	}
	if exec.Command("kpsewhich", "siunitx.sty").Run() != nil {
		t.Skip("the LaTeX package siunitx is not installed")
	}
	inTestmodels(t)
	if err := os.WriteFile("iris.csv", []byte(irisRows), 0o644); err != nil {
		t.Fatal(err)
	}
	var doc strings.Builder
	doc.WriteString("\\usepackage{amsmath,amssymb,booktabs,graphicx,longtable,pdflscape,siunitx}\\begin{document}\n")
	for i, line := range []string{
		"audit digits_residual.onnx --per-layer --measures all", "audit .", "audit --list",
		"balance digits_residual.onnx --dry-run", "inspect usps_conv.onnx",
		"audit toy.onnx toy_unbalanced.onnx --baseline toy.onnx", "audit iris_own.onnx --rescalings 2 --measures all",
		"audit iris_own.onnx --data csv:iris.csv,header --measures all", "eval iris_own.onnx --data csv:iris.csv,header",
		"equivalent toy.onnx toy_unbalanced.onnx", "doctor",
		"audit usps_conv.onnx digits_residual.onnx --per-layer", "diff toy.onnx toy_unbalanced.onnx",
	} {
		if i > 0 {
			doc.WriteString("\\clearpage\n")
		}
		doc.WriteString(output(t, line+" --format latex"))
	}
	doc.WriteString("\\end{document}\n")
	dir := t.TempDir()
	if keep := os.Getenv("RELUPATH_KEEP"); keep != "" {
		dir = keep
	}
	for _, class := range []string{"\\documentclass{article}", "\\documentclass[twocolumn]{article}"} {
		if err := os.WriteFile(filepath.Join(dir, "reports.tex"), []byte(class+doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(pdflatex, "-interaction=nonstopmode", "-halt-on-error", "reports.tex")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", class, err, out)
		}
		if at := bytes.Index(out, []byte("Overfull")); at >= 0 {
			t.Errorf("%s: a line is too long: %.300s", class, out[at:])
		}
	}
}
