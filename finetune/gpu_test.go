package finetune_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
)

// TestPlainBuild: without CUDA there is one sentence.
func TestPlainBuild(t *testing.T) {
	if finetune.HasCUDA {
		t.Skip("this is the build with CUDA")
	}
	_, err := finetune.New(mlp(dag.Float32, 1, 4, 3, 3), blobs(t, 8, 1), finetune.Options{Device: finetune.GPU})
	var gpu *finetune.GPUError
	if !errors.As(err, &gpu) || !strings.Contains(err.Error(), "docs/gpu.md") {
		t.Errorf("got %v, want a GPUError that names docs/gpu.md", err)
	}
}

func needGPU(t *testing.T) *finetune.GPUInfo {
	t.Helper()
	if !finetune.HasCUDA {
		t.Skip("this program was built without CUDA: see make test-cuda")
	}
	gpu, err := finetune.FindGPU()
	if err != nil {
		t.Skipf("this test needs a GPU, or the emulated one of make test-cuda: %v", err)
	}
	return gpu
}

// TestGPUAgrees: runs on the GPU give the CPU's weights, for every optimizer.
func TestGPUAgrees(t *testing.T) {
	gpu := needGPU(t)
	data := blobs(t, 60, 1)
	for _, typ := range []dag.DType{dag.Float32, dag.Float64} {
		for _, optimizer := range finetune.Optimizers() {
			t.Run(typ.String()+"/"+string(optimizer), func(t *testing.T) {
				var weights [2][]float64
				for i, device := range finetune.Devices() {
					opt := finetune.Options{
						Optimizer: optimizer, Device: device, Epochs: 3, Batch: 16, Rate: 0.01,
						Dropout: 0.25, WeightDecay: 1e-3, Momentum: 0.5, PathPenalty: 1e-4, Normalize: finetune.NormalizeOff,
					}
					tr, err := finetune.New(mlp(typ, 1, 4, 8, 8, 3), data, opt)
					if err != nil {
						t.Fatal(err)
					}
					res, err := tr.Run(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					if onGPU := strings.HasSuffix(res.Engine, gpu.Name); onGPU != (device == finetune.GPU) {
						t.Errorf("on %s the engine was %s", device, res.Engine)
					}
					for _, p := range res.Net.Params() {
						weights[i] = append(weights[i], p.Values()...)
					}
				}
				start := 0.0
				for k, p := range params(mlp(typ, 1, 4, 8, 8, 3)) {
					start = math.Max(start, math.Abs(p-weights[0][k]))
				}
				if start < 1e-4 {
					t.Fatalf("the run moved no weight by more than %v: it shows nothing", start)
				}
				// Twelve steps, each rounded at 6e-8 or 1e-16 of weights of about 1.
				tolerance := map[dag.DType]float64{dag.Float32: 1e-6, dag.Float64: 1e-13}[typ]
				for k, w := range weights[0] {
					if !(math.Abs(w-weights[1][k]) <= tolerance) {
						t.Fatalf("weight %d: %v on the CPU, %v on the GPU", k, w, weights[1][k])
					}
				}
			})
		}
	}
}

// TestGPUMemory: a step that does not fit is refused with a sentence.
func TestGPUMemory(t *testing.T) {
	needGPU(t)
	t.Setenv("RELUPATH_EMULATOR", "memory=4096")
	gpu, err := finetune.FindGPU()
	if err != nil || gpu.Memory != 4096 {
		t.Skip("the memory of a real device cannot be bounded")
	}
	_, err = finetune.New(mlp(dag.Float32, 1, 4, 64, 3), blobs(t, 8, 1), finetune.Options{Device: finetune.GPU})
	var refused *finetune.GPUError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "device memory") {
		t.Errorf("got %v, want a GPUError about device memory", err)
	}
}

// TestDevices: there is no other device.
func TestDevices(t *testing.T) {
	var options *finetune.OptionError
	if _, err := finetune.New(mlp(dag.Float32, 1, 4, 3, 3), blobs(t, 8, 1), finetune.Options{Device: "tpu"}); !errors.As(err, &options) {
		t.Errorf("got %v, want an OptionError", err)
	}
}

func params(net *dag.Network) (all []float64) {
	for _, p := range net.Params() {
		all = append(all, p.Values()...)
	}
	return all
}
