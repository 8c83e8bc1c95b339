package command

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/testmodels"
)

// TestExamples runs the examples of every command's help, in order, in a
// folder with the files that they name.
func TestExamples(t *testing.T) {
	for _, cmd := range (&app{}).root().Commands() {
		t.Run(cmd.Name(), func(t *testing.T) {
			if !strings.HasPrefix(cmd.Example, "  "+root) || cmd.Long == "" || cmd.Short == "" {
				t.Fatalf("help without examples or words: %q", cmd.Example)
			}
			t.Chdir(t.TempDir())
			exampleFiles(t)
			for line := range strings.Lines(cmd.Example) {
				runExample(t, cmd, line)
			}
		})
	}
}

func exampleFiles(t *testing.T) {
	t.Helper()
	for _, args := range []string{"init --widths 784,32,10 -o mlp.onnx", "balance mlp.onnx -o balanced.onnx"} {
		var out, errs bytes.Buffer
		if code := Run(strings.Fields(args), nil, &out, &errs); code != 0 {
			t.Fatalf("%s: exit code %d: %s", args, code, &errs)
		}
	}
	for name, content := range map[string][]byte{"iris.onnx": testmodels.Bytes("iris_own"), "iris.csv": []byte(irisRows)} {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := writeNPY(&b, &array{[]int{3, 784}, make([]float64, 3*784)}, "float32"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("x.npy", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// runExample runs a line such as "relupath run m.onnx -o - > y.npy".
func runExample(t *testing.T, cmd *cobra.Command, line string) {
	t.Helper()
	line, file, redirected := strings.Cut(line, " > ")
	args := strings.Fields(line)
	if len(args) < 2 || args[0] != root || args[1] != cmd.Name() {
		t.Fatalf("%q is no example of %s", line, cmd.Name())
	}
	var out, errs bytes.Buffer
	if code := Run(args[1:], nil, &out, &errs); code != 0 {
		t.Errorf("%s: exit code %d: %s", line, code, &errs)
	}
	if out.Len() == 0 && !strings.Contains(line, "-o ") {
		t.Errorf("%s prints nothing", line)
	}
	if redirected {
		if err := os.WriteFile(strings.TrimSpace(file), out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
