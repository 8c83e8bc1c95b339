package command

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestReadOnlyFolder: a folder that takes no files is told before the work, by
// the name of the output and not that of a temporary file.
func TestReadOnlyFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	t.Chdir(t.TempDir())
	output(t, "init --widths 3,4,2 -o m.onnx")
	if err := os.Mkdir("closed", 0o555); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"init --widths 3,2 -o closed/x", "balance m.onnx -o closed/x", "audit m.onnx -o closed/x", "audit m.onnx --format jsonl -o closed/x",
	} {
		var out, errs bytes.Buffer
		code := Run(strings.Fields(line), nil, &out, &errs)
		if want := "cannot write closed/x: permission denied"; code != codeFailed || !strings.Contains(errs.String(), want) || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %q and %q, want %q", line, code, &errs, &out, want)
		}
	}
}
