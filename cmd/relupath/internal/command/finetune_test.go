package command

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relupath/relupath/testmodels"
)

// mnistDir returns the folder of MNIST, or skips where it is not at hand.
func mnistDir(t *testing.T) string {
	t.Helper()
	root := os.Getenv("RELUPATH_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "..", "shared")
		if _, err := os.Stat(root); err != nil {
			t.Skip("MNIST is not at hand")
		}
	}
	return filepath.Join(root, "datasets", "mnist")
}

func finetuned(t *testing.T, args ...string) *finetuneJSON {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Run(append([]string{"finetune", "--format", "json"}, args...), nil, &out, &errs); code != 0 {
		t.Fatalf("%v: exit code %d: %s", args, code, &errs)
	}
	r := &finetuneJSON{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFinetunePretrained: training a file of testmodels, and a published one, on
// lowers its error, the report says so, and the written file has the error that
// was reported, in ONNX Runtime too.
func TestFinetunePretrained(t *testing.T) {
	folder := mnistDir(t)
	mnist := "mnist:" + folder
	for _, c := range []struct {
		name, in, lr string
	}{
		{"testmodels", filepath.Join(t.TempDir(), "mnist_mlp.onnx"), "0.01"},
		{"published", filepath.Join(folder, "..", "..", "models", "NeuralNetworkVerification+Marabou", "resources", "onnx", "mnist2x10.onnx"), "0.02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "testmodels" {
				if err := os.WriteFile(c.in, testmodels.Bytes("mnist_mlp"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out := filepath.Join(t.TempDir(), "out.onnx")
			r := finetuned(t, c.in, "--data", mnist+",limit=20000", "--test", mnist, "-o", out, "--lr", c.lr, "--epochs", "2", "--threads", "2")
			last := *r.Epochs[len(r.Epochs)-1].TestError
			t.Logf("test error %.2f %%, then %.2f %%", 100**r.Before.TestError, 100*last)
			if !(last < *r.Before.TestError) {
				t.Errorf("error %v before, %v after", *r.Before.TestError, last)
			}
			if note := changed(r); !strings.HasPrefix(note, "the test error fell from ") {
				t.Errorf("the report says %q", note)
			}
			var stdout, errs bytes.Buffer
			if code := Run([]string{"eval", out, "--data", mnist, "--format", "json"}, nil, &stdout, &errs); code != 0 {
				t.Fatalf("eval: %s", &errs)
			}
			var e struct{ Error float64 }
			if err := json.Unmarshal(stdout.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			// The evaluator works in double precision: an example on the border may
			// fall on the other side.
			if d := math.Abs(e.Error - last); !(d <= 2e-4) {
				t.Errorf("the written file's error is %v, reported %v", e.Error, last)
			}
			if ort, ok := onnxRuntimeError(t, out, folder); ok && !(math.Abs(ort-last) <= 2e-4) {
				t.Errorf("the written file's error in ONNX Runtime is %v, reported %v", ort, last)
			}
		})
	}
}

// onnxRuntimeError is a model's error on MNIST by the Python of RELUPATH_PYTHON,
// where that names one.
func onnxRuntimeError(t *testing.T, model, folder string) (e float64, ok bool) {
	t.Helper()
	python := os.Getenv("RELUPATH_PYTHON")
	if python == "" {
		return 0, false
	}
	out, err := exec.Command(python, filepath.Join("testdata", "onnxruntime_error.py"), model, folder).Output()
	if err != nil {
		t.Fatalf("%s: %v", python, err)
	}
	if e, err = strconv.ParseFloat(strings.TrimSpace(string(out)), 64); err != nil {
		t.Fatal(err)
	}
	return e, true
}

// TestFinetuneDefaults: with the default settings 784-256-256-10 learns MNIST to
// an error below 3% in five epochs, from a balanced and from an unbalanced start.
func TestFinetuneDefaults(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	mnist := "mnist:" + mnistDir(t)
	dir := t.TempDir()
	balanced, unbalanced := filepath.Join(dir, "b.onnx"), filepath.Join(dir, "u.onnx")
	for _, args := range []string{"init --widths 784,256,256,10 -o " + balanced, "balance " + balanced + " --method unbalance -o " + unbalanced} {
		var out, errs bytes.Buffer
		if code := Run(strings.Fields(args), nil, &out, &errs); code != 0 {
			t.Fatalf("%s: %s", args, &errs)
		}
	}
	for _, start := range []string{balanced, unbalanced} {
		r := finetuned(t, start, "--data", mnist, "--test", mnist, "-o", start+".out", "--epochs", "5")
		if e := *r.Epochs[4].TestError; !(e < 0.03) {
			t.Errorf("%s: test error %v", filepath.Base(start), e)
		} else if ort, ok := onnxRuntimeError(t, start+".out", mnistDir(t)); ok && !(math.Abs(ort-e) <= 2e-4) {
			t.Errorf("%s: test error %v in ONNX Runtime, reported %v", filepath.Base(start), ort, e)
		}
	}
}

// TestFinetuneConservation: the drift of the conservation laws is in each epoch of the log and
// of the report on request, and nowhere else.
func TestFinetuneConservation(t *testing.T) {
	dir := t.TempDir()
	iris := filepath.Join(dir, "iris.csv")
	if err := os.WriteFile(iris, []byte(irisRows), 0o600); err != nil {
		t.Fatal(err)
	}
	model := filepath.Join("..", "..", "..", "..", "testmodels", "iris_own.onnx")
	for _, flag := range []string{"", "--conservation"} {
		log := filepath.Join(dir, "log"+flag)
		got := output(t, strings.Join([]string{
			"finetune", model, "--data csv:" + iris + ",header --optimizer sgd --lr 0.01 --epochs 3 --format json", flag, "--log", log, "-o", log + ".onnx",
		}, " "))
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if flag != "" {
			want = 3
		}
		for where, s := range map[string]string{"the log": string(text), "the report": got} {
			if n := strings.Count(s, `"conservation_drift"`); n != want {
				t.Errorf("%q: %s has the drift %d times, want %d", flag, where, n, want)
			}
		}
	}
}

// TestInterruptFinetune: an interrupt leaves the model and a checkpoint, from
// which the run goes on.
func TestInterruptFinetune(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) { interruptFinetune(t, sig) })
	}
}

func interruptFinetune(t *testing.T, sig os.Signal) {
	dir := t.TempDir()
	in, out, data := filepath.Join(dir, "m.onnx"), filepath.Join(dir, "t.onnx"), filepath.Join(dir, "d.csv")
	var b strings.Builder
	for i := range 200 {
		b.WriteString(strconv.Itoa(i%7) + "," + strconv.Itoa(i%3) + "," + strconv.Itoa(i%2) + "\n")
	}
	if err := os.WriteFile(data, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, errs bytes.Buffer
	if code := Run([]string{"init", "--widths", "2,64,2", "-o", in}, nil, &stdout, &errs); code != 0 {
		t.Fatal(&errs)
	}
	state, log := filepath.Join(dir, "state"), filepath.Join(dir, "log")
	args := []string{"finetune", in, "--data", "csv:" + data, "-o", out, "--checkpoint", state, "--resume", "--log", log, "--batch", "2"}
	sink := make(chan os.Signal, 1)
	signal.Notify(sink, sig)
	defer signal.Stop(sink)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			if info, err := os.Stat(log); err == nil && info.Size() > 0 {
				_ = self.Signal(sig)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if code := Run(append(args, "--epochs", "1000000"), nil, &stdout, &errs); code != codeInterrupted {
		t.Fatalf("exit code %d, want %d: %s", code, codeInterrupted, &errs)
	}
	if hint := "the same command with --resume goes on"; !strings.Contains(stdout.String(), hint) {
		t.Errorf("the report does not say that %s: %s", hint, &stdout)
	}
	lines, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	done := bytes.Count(lines, []byte("\n"))
	// The checkpoint knows what was done: two epochs more are two epochs more, in
	// the same files.
	r := finetuned(t, append(args[1:], "--epochs", strconv.Itoa(done+2))...)
	if len(r.Epochs) != done+2 {
		t.Errorf("%d epochs after the resumption, want %d", len(r.Epochs), done+2)
	}
	if code := Run([]string{"inspect", out}, nil, &stdout, &errs); code != 0 {
		t.Errorf("the model: %s", &errs)
	}
}
