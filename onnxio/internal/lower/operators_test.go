package lower

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOperators compares random cases of each operator with ONNX Runtime: see
// testmodels/scripts/operators.py. RELUPATH_OPERATORS names a folder that it
// has filled before.
func TestOperators(t *testing.T) {
	python, dir := os.Getenv("RELUPATH_PYTHON"), os.Getenv("RELUPATH_OPERATORS")
	switch {
	case dir != "":
	case python == "":
		t.Skip("set RELUPATH_PYTHON to a Python with onnx and onnxruntime")
	default:
		dir = t.TempDir()
		cmd := exec.Command(python, filepath.Join("..", "..", "..", "testmodels", "scripts", "operators.py"), dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	folders, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no cases in %s: %v", dir, err)
	}
	right, refused := map[string]int{}, map[string][]string{}
	for _, folder := range folders {
		name, _, _ := strings.Cut(filepath.Base(folder), "_")
		got := (&conformanceCase{t: t, dir: folder}).run()
		switch {
		case got.refused != "":
			refused[name] = append(refused[name], fmt.Sprintf("%s: %s", filepath.Base(folder), got.refused))
		case !got.constant:
			right[name]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		t.Logf("%s: %d right, refused:\n  %s", name, right[name], strings.Join(refused[name], "\n  "))
		if right[name] == 0 {
			t.Errorf("%s: every case is refused", name)
		}
	}
}
