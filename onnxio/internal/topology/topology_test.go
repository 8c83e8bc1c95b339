package topology

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// sharedModels lists the model files of the shared data. Without the data the
// test is skipped.
func sharedModels(t testing.TB) []string {
	t.Helper()
	dir := os.Getenv("RELUPATH_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared")
		if _, err := os.Stat(dir); err != nil {
			t.Skip("no shared models: set RELUPATH_SHARED")
		}
	}
	var out []string
	for _, folder := range []string{"models", "conformance"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".onnx") {
				out = append(out, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestDecodeSharedModels(t *testing.T) {
	files := sharedModels(t)
	for _, path := range files {
		f, err := wire.Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		g, err := Decode(f)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if !slices.IsSorted(g.Order) {
			t.Logf("%s: nodes are not in topological order", path)
		}
		f.Close()
	}
	t.Logf("%d files", len(files))
}
