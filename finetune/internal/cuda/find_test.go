//go:build cuda

package cuda_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/relupath/relupath/finetune/internal/cuda"
)

// TestFind prints what is found; TestFailures looks at it in other processes.
func TestFind(t *testing.T) {
	gpu, err := cuda.Find()
	if err != nil {
		t.Skip(err)
	}
	if gpu.Name == "" || gpu.Memory <= 0 || !strings.HasPrefix(gpu.CUBLAS, "12.") {
		t.Errorf("found %+v", *gpu)
	}
	t.Logf("%+v", *gpu)
}

// TestFailures: a missing device and missing libraries are sentences, of a
// program that starts.
func TestFailures(t *testing.T) {
	if gpu, err := cuda.Find(); err != nil || gpu.Name != "emulated device" {
		t.Skip("this test asks the emulated driver to fail: see make test-cuda")
	}
	for _, c := range []struct{ env, want string }{
		{"RELUPATH_EMULATOR=nodevice", "the driver finds no NVIDIA GPU"},
		{"LD_LIBRARY_PATH=", "the CUDA driver library cannot be loaded"},
	} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFind$", "-test.v")
		cmd.Env = append(os.Environ(), c.env)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, output %q, want %q", c.env, err, out, c.want)
		}
	}
}
