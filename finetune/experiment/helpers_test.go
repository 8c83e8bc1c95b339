package experiment

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/finetune/dataset"
)

// mnist reads the first examples of MNIST, or skips the test.
func mnist(t *testing.T, split dataset.Split, n int) *dataset.Set {
	t.Helper()
	root := os.Getenv("RELUPATH_SHARED")
	given := root != ""
	if !given {
		root = filepath.Join("..", "..", "..", "shared")
	}
	dir := filepath.Join(root, "datasets", "mnist")
	if _, err := os.Stat(dir); err != nil {
		if given {
			t.Fatalf("RELUPATH_SHARED is set, but there is no MNIST: %v", err)
		}
		t.Skip("MNIST is not at hand")
	}
	return load(t, dataset.Spec{Format: "mnist", Paths: []string{dir}, Split: split, Limit: n})
}

func load(t *testing.T, spec dataset.Spec) *dataset.Set {
	t.Helper()
	set, err := dataset.Load(context.Background(), spec, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// clouds is a small set of three classes in four dimensions.
func clouds(t *testing.T) *dataset.Set {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for i := range 120 {
		for k := range 4 {
			x := rng.NormFloat64()
			if k == i%3 {
				x += 3
			}
			fmt.Fprintf(&b, "%.6f,", x)
		}
		fmt.Fprintf(&b, "%d\n", i%3)
	}
	path := filepath.Join(t.TempDir(), "clouds.csv")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return load(t, dataset.Spec{Format: "csv", Paths: []string{path}})
}

// lab is a lab on the first examples of MNIST. Tests on it train networks for
// seconds.
func lab(t *testing.T, train, test int) *Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("trains for seconds")
	}
	return &Lab{Dir: filepath.Join(t.TempDir(), "trainings"), Train: mnist(t, dataset.Train, train), Test: mnist(t, dataset.Test, test), Threads: 2}
}

// claim returns the claim that begins with the words.
func claim(t *testing.T, r *Report, words string) Claim {
	t.Helper()
	for _, c := range r.Claims {
		if strings.HasPrefix(c.Text, words) {
			return c
		}
	}
	t.Fatalf("no claim %q", words)
	return Claim{}
}

func wantVerdict(t *testing.T, r *Report, words string, want Verdict) {
	t.Helper()
	if c := claim(t, r, words); c.Verdict != want {
		t.Errorf("%s: %s (%s: %s), want %s", c.Text, c.Verdict, c.Criterion, c.Measured, want)
	}
}

// cell returns a number of a table by the row's keys and the column.
func cell(t *testing.T, tab *Table, column string, keys ...any) float64 {
	t.Helper()
	at := slices.Index(tab.Columns, column)
	for _, row := range tab.Rows {
		ok := true
		for i, k := range keys {
			ok = ok && row[i] == k
		}
		if !ok {
			continue
		}
		switch v := row[at].(type) {
		case float64:
			return v
		case Percent:
			return float64(v)
		}
		return math.NaN()
	}
	t.Fatalf("no row %v", keys)
	return 0
}
