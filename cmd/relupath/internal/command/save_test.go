package command

import (
	"bytes"
	"errors"
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

// TestFoldersOfDataAreKept: no output replaces a file of a folder of data, of the split that is
// read or of the other; another file there is one as any.
func TestFoldersOfDataAreKept(t *testing.T) {
	t.Chdir(t.TempDir())
	put := func(name string, head []byte, n int) {
		t.Helper()
		if err := os.WriteFile(name, append(head, make([]byte, n)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir("cifar", 0o700), os.Mkdir("mnist", 0o700)); err != nil {
		t.Fatal(err)
	}
	put("cifar/data_batch_1.bin", nil, 2*3073)
	put("cifar/test_batch.bin", nil, 3073)
	for _, prefix := range []string{"train", "t10k"} {
		put("mnist/"+prefix+"-images-idx3-ubyte", []byte{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2}, 8)
		put("mnist/"+prefix+"-labels.idx1-ubyte", []byte{0, 0, 8, 1, 0, 0, 0, 2}, 2)
	}
	output(t, "init --widths 3072,10 -o c.onnx")
	output(t, "init --widths 4,10 -o m.onnx")
	for _, c := range []struct{ file, line string }{
		{"cifar/data_batch_1.bin", "finetune c.onnx --data cifar10:cifar -o t.onnx --epochs 1 --log"},
		{"cifar/test_batch.bin", "finetune c.onnx --data cifar10:cifar -o t.onnx --epochs 1 --log"},
		{"cifar/test_batch.bin", "eval c.onnx --data cifar10:cifar --format json -o"},
		{"mnist/train-images-idx3-ubyte", "audit m.onnx --data mnist:mnist --format csv -o"},
		{"mnist/t10k-labels.idx1-ubyte", "prune m.onnx --sparsity 0.5 --data mnist:mnist -o p.onnx --format json --report"},
	} {
		before, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		refused(t, codeFailed, []string{"cannot write " + c.file + ": this command reads " + c.file + " from it"},
			strings.Fields(c.line+" "+c.file+" --force")...)
		if after, err := os.ReadFile(c.file); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s %s: the file has changed: %v", c.line, c.file, err)
		}
	}
	put("mnist/report.json", nil, 0)
	output(t, "eval m.onnx --data mnist:mnist --format json -o mnist/report.json --force")
}
