package wire

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedFiles lists the files of a folder of the shared data whose name has the
// given ending. Without the data the test is skipped.
func sharedFiles(t testing.TB, folder, ending string) []string {
	t.Helper()
	dir := os.Getenv("RELUPATH_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared")
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

func TestOpenSharedModels(t *testing.T) {
	files := append(sharedFiles(t, "models", ".onnx"), sharedFiles(t, "conformance", "model.onnx")...)
	opened := 0
	for _, path := range files {
		f, err := Open(path)
		if err != nil {
			t.Logf("%v", err)
			continue
		}
		opened++
		for i := range f.Graph.Initializers {
			tensor := &f.Graph.Initializers[i]
			if tensor.DType == String {
				continue
			}
			if _, _, err := tensor.Bytes(); err != nil {
				t.Errorf("%v", err)
			}
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	t.Logf("opened %d of %d", opened, len(files))
}
