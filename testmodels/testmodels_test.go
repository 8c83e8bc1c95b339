package testmodels_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relupath/relupath/testmodels"
)

// TestRecords checks that every model has its records and its line in README.md.
func TestRecords(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	exporters := map[string]bool{}
	for _, name := range testmodels.Names() {
		e, made := testmodels.ExpectedOf(name), testmodels.TrainingOf(name)
		if e.Schema != 1 || e.Model != name || len(e.Samples) != 4 || len(e.Policies) != 2 {
			t.Errorf("%s: expected/%s.json is not complete", name, name)
		}
		exporters[strings.Fields(made.Exporter)[0]+made.Script] = true
		score := ""
		switch {
		case made.TestAccuracy != nil:
			score = strconv.FormatFloat(*made.TestAccuracy, 'f', -1, 64)
		case made.TestR2 != nil:
			score = strconv.FormatFloat(*made.TestR2, 'f', -1, 64) + " (R2)"
		}
		if !slices.ContainsFunc(strings.Split(string(readme), "\n"), func(line string) bool {
			f := strings.Split(line, "|")
			return len(f) == 7 && strings.TrimSpace(f[1]) == name && strings.TrimSpace(f[4]) == score
		}) {
			t.Errorf("README.md has no line for %s with test accuracy %q", name, score)
		}
		if _, err := os.Stat(fmt.Sprintf("scripts/%s", made.Script)); err != nil {
			t.Error(err)
		}
	}
	if len(exporters) < 4 {
		t.Errorf("models of %d exporters, want at least 4: %v", len(exporters), exporters)
	}
}
