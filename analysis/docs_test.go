package analysis_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis"
)

var update = flag.Bool("update", false, "rewrite docs/measures.md")

// The list in docs/measures.md is the registry's.
func TestDocumentedMeasures(t *testing.T) {
	const path, begin, end = "../docs/measures.md", "<!-- registry -->\n", "<!-- end -->\n"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(data), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q", path, begin, end)
	}
	want := table()
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs from the registry (-want +got), go test -update rewrites it:\n%s", path, diff)
	}
}

func table() string {
	var b strings.Builder
	b.WriteString("| name | formula | of | source | unit | invariant | cost | needs | biases |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, i := range analysis.Registry() {
		if strings.HasSuffix(i.Name, "_over_margin") {
			continue
		}
		invariant, biases := "no", "left out"
		if i.Invariant {
			invariant = "yes"
		}
		if i.Policy {
			biases = "by policy"
		}
		name := i.Name
		if len(i.Params) > 0 {
			name += "(" + strings.Join(i.Params, ", ") + ")"
		}
		row := []string{
			"`" + name + "`", "`" + i.Formula + "`", i.Scope.String(), i.Source, i.Unit, invariant, i.Cost.String(),
			i.Needs.String(), biases,
		}
		for k := range row {
			row[k] = strings.ReplaceAll(row[k], "|", "\\|")
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	var over []string
	for _, i := range analysis.Registry() {
		if name, ok := strings.CutSuffix(i.Name, "_over_margin"); ok {
			over = append(over, "`"+name+"`")
		}
	}
	fmt.Fprintf(&b, "\nWith data, these are also reported over the margin, with the suffix `_over_margin`: %s.\n", strings.Join(over, ", "))
	fmt.Fprintf(&b, "\nWhere published code departs from the paper, or from this: %s; over the margin also as `inverse_margin_squared` says. `m` is the number of examples.\n\n| name | its code |\n|---|---|\n", analysis.PublishedCode)
	for _, i := range analysis.Registry() {
		if i.Code != "" && !strings.HasSuffix(i.Name, "_over_margin") {
			fmt.Fprintf(&b, "| `%s` | %s |\n", i.Name, i.Code)
		}
	}
	return b.String()
}

// Names are unique, and every entry says what it is.
func TestRegistryIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range analysis.Registry() {
		if seen[i.Name] {
			t.Errorf("%s is there twice", i.Name)
		}
		seen[i.Name] = true
		if i.Formula == "" || i.LaTeX == "" || i.Source == "" || i.Unit == "" || i.Scope == 0 {
			t.Errorf("%+v", i)
		}
		if !strings.HasSuffix(i.Says, ".") || strings.HasPrefix(i.Says, " ") {
			t.Errorf("%s has no sentence in words.go: %q", i.Name, i.Says)
		}
		if strings.HasPrefix(i.Source, "Jiang et al.") != (i.Code != "") && !strings.HasSuffix(i.Name, "_over_margin") {
			t.Errorf("%s of %s: its published code is %q", i.Name, i.Source, i.Code)
		}
		if i.Code != "" && !strings.HasSuffix(i.Code, ".") {
			t.Errorf("%s: the published code is no sentence: %q", i.Name, i.Code)
		}
	}
	// The names of the command line's contract.
	for name := range strings.FieldsSeq(`path_norm path_norm_output path_norm_max_output path_2 group_norm product_group_norm
		parameter_count frobenius spectral nuclear stable_rank max_abs zero_share product_frobenius product_spectral
		sum_frobenius_squared sum_log_spectral_squared sum_log_frobenius_squared fro_over_spec distance_frobenius
		distance_spectral margin bound_l1_inf bound_frobenius bound_l3_15 bound_spectral_l21 bound_spectral_frobenius
		bound_path_g24 balance_spread kappa_spread path_norm_over_margin product_spectral_over_margin`) {
		if !seen[name] {
			t.Errorf("%s is not registered", name)
		}
	}
}
