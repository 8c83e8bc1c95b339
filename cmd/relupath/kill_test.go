package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

// asProgram makes this test binary the program: a process that can be killed.
const asProgram = "RELUPATH_TEST_PROGRAM"

// program is a command line in a folder, not started yet.
func program(t *testing.T, dir string, line string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, strings.Fields(line)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// finish runs a command line undisturbed and returns how long it took.
func finish(t *testing.T, dir, line string) time.Duration {
	t.Helper()
	began := time.Now()
	if out, err := program(t, dir, line).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return time.Since(began)
}

// killed runs a command line and kills it at a random moment of the time that
// an undisturbed run takes, or, every other time, of that from the first sign of
// a draft on. It reports whether the process was faster.
func killed(t *testing.T, rng *rand.Rand, dir, line string, whole time.Duration) (ended bool) {
	t.Helper()
	cmd := program(t, dir, line)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if before := listing(t, dir); rng.IntN(2) == 0 {
		for end := time.Now().Add(whole); time.Now().Before(end) && len(listing(t, dir)) == len(before); {
		}
		whole /= 4
	}
	time.Sleep(time.Duration(rng.Float64() * float64(whole)))
	_ = cmd.Process.Kill()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		t.Fatalf("%s: %v: %s", line, err, &out)
	}
	return err == nil
}

// kills is how often processes are killed: some dozens, or RELUPATH_KILLS.
func kills(t *testing.T) int {
	t.Helper()
	n := 40
	if testing.Short() {
		n = 15
	}
	if s := os.Getenv("RELUPATH_KILLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// values is a digest of the weights of a model, external data included.
func values(t *testing.T, path string) string {
	t.Helper()
	m, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	h := sha256.New()
	for _, p := range m.Net.Params() {
		for _, v := range p.Values() {
			_ = binary.Write(h, binary.LittleEndian, math.Float64bits(v))
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestKilledPairs kills balance while it writes over a model with external data,
// at random moments. What is there afterwards is the old pair or the new one,
// whole, and the next run leaves nothing else in the folder.
func TestKilledPairs(t *testing.T) {
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(1, 15))
	if err := os.CopyFS(filepath.Join(dir), testmodels.Files()); err != nil {
		t.Fatal(err)
	}
	for _, name := range listing(t, dir) {
		if !strings.HasPrefix(name, "digits_external") {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	source := listing(t, dir)
	if len(source) != 2 {
		t.Fatalf("the source is %v", source)
	}
	lines := map[string]string{}
	var whole time.Duration
	for seed := range 2 {
		line := "balance digits_external.onnx -o out.onnx --force --quiet --method unbalance --seed " + strconv.Itoa(seed)
		whole = finish(t, dir, line)
		lines[values(t, filepath.Join(dir, "out.onnx"))] = line
	}
	if len(lines) != 2 {
		t.Fatal("both seeds give the same weights")
	}
	counts := map[string]int{}
	n := kills(t)
	for i := range n {
		before := values(t, filepath.Join(dir, "out.onnx"))
		for after, line := range lines {
			if after == before {
				continue
			}
			if killed(t, rng, dir, line, whole) {
				counts["ended"]++
			}
			switch got := values(t, filepath.Join(dir, "out.onnx")); got {
			case before:
				counts["old"]++
			case after:
				counts["new"]++
			default:
				t.Fatalf("kill %d: the pair is neither the old nor the new one", i)
			}
			if len(listing(t, dir)) > 4 {
				counts["litter"]++
			}
			if i%4 == 3 || i == n-1 {
				finish(t, dir, line)
				files := listing(t, dir)
				if len(files) != 4 || !slices.Contains(files, "out.onnx") {
					t.Fatalf("kill %d: after the next run there are %v", i, files)
				}
			}
			break
		}
	}
	t.Logf("%d kills: %v", n, counts)
}

// TestKilledTraining kills a training some times, then lets it come to its end.
// The log has each epoch once, and the model is that of a run that nobody killed.
func TestKilledTraining(t *testing.T) {
	dir, rng := t.TempDir(), rand.New(rand.NewPCG(2, 15))
	var data strings.Builder
	for range 100 {
		x := rng.Perm(4)
		fmt.Fprintf(&data, "%d,%d,%d,%d,%d\n", x[0], x[1], x[2], x[3], min(x[0], 2))
	}
	if err := os.WriteFile(filepath.Join(dir, "d.csv"), []byte(data.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	const epochs = 40
	finish(t, dir, "init --widths 4,64,3 -o m.onnx")
	line := "finetune m.onnx --data csv:d.csv --test csv:d.csv --lr 0.01 --batch 2 --threads 1 --quiet --epochs " + strconv.Itoa(epochs)
	whole := finish(t, dir, line+" -o straight.onnx")
	line += " -o out.onnx --checkpoint state --resume --log log"
	n := 0
	for n < kills(t)/2 && !killed(t, rng, dir, line, whole) {
		n++
	}
	finish(t, dir, line)
	if a, b := values(t, filepath.Join(dir, "straight.onnx")), values(t, filepath.Join(dir, "out.onnx")); a != b {
		t.Error("the killed training gives other weights")
	}
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	for k, l := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if !strings.HasPrefix(l, fmt.Sprintf(`{"epoch":%d,`, k+1)) {
			t.Fatalf("line %d of the log is %s", k+1, l)
		}
	}
	if n := strings.Count(string(text), "\n"); n != epochs {
		t.Errorf("%d lines in the log, want %d", n, epochs)
	}
	if got := listing(t, filepath.Join(dir, "state")); len(got) != 1 {
		t.Errorf("the checkpoint's folder has %v", got)
	}
	t.Logf("%d kills", n)
}
