// Package golden compares test output with files under testdata, and rewrites
// them with go test -update.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Update says that the expected output is to be rewritten: go test -update.
var Update = flag.Bool("update", false, "rewrite the expected output")

// Check compares got with the file testdata/name. Of an HTML page it compares
// the body alone: the style and the script around it are the same for all.
func Check(t *testing.T, name, got string) {
	t.Helper()
	if _, body, ok := strings.Cut(got, "<body>"); ok {
		got, _, _ = strings.Cut(body, "<script>")
	}
	path := filepath.Join("testdata", name)
	if *Update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), go test -update rewrites it:\n%s", path, diff)
	}
}
