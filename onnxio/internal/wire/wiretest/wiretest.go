// Package wiretest finds the model files that tests read and the repository
// does not hold.
package wiretest

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files lists the files below a folder of the shared data whose name has the
// given ending. The data lies where the environment variable RELUPATH_SHARED
// says, else beside the repository; without it the test is skipped, unless the
// variable promises it.
func Files(t testing.TB, folder, ending string) []string {
	t.Helper()
	dir := os.Getenv("RELUPATH_SHARED")
	if dir == "" {
		dir = filepath.Join(root(t), "..", "shared")
		if _, err := os.Stat(dir); err != nil {
			t.Skip("no shared models: set RELUPATH_SHARED")
		}
	}
	var out []string
	err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ending) {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// root returns the folder of go.mod, above the test's working directory.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			t.Fatal("the test does not run inside the repository")
		}
		dir = above
	}
}
