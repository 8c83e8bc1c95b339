//go:build cuda

package gorgonia

import (
	"fmt"
	"runtime"

	"gorgonia.org/cu"
	cublas "gorgonia.org/cu/blas"
	G "gorgonia.org/gorgonia"
	gorgoniacuda "gorgonia.org/gorgonia/cuda"

	"github.com/relupath/relupath/finetune/internal/cuda"
)

// where is what the name of the engine ends in. Gorgonia built with CUDA has no
// way to compute without a device.
func where(string) (string, error) {
	gpu, err := cuda.Find()
	if err != nil {
		return "", err
	}
	return gpu.Name, nil
}

// newMachine compiles a graph for the device. Gorgonia reserves two and a half
// times the memory that its plan needs; it never comes back where the device has
// less, so that is asked first, and it panics on other failures.
func newMachine(g *G.ExprGraph) (vm G.VM, err error) {
	prog, locations, err := G.Compile(g)
	if err != nil {
		return nil, err
	}
	need := int64(256)
	for _, n := range prog.GPUMemReq() {
		need += n*2 + n/2
	}
	free, err := cuda.Free()
	if err != nil {
		return nil, err
	}
	if need >= free {
		return nil, &cuda.Error{Reason: fmt.Sprintf("a step needs %d MB of device memory, and %d MB are free: use a smaller batch, or the CPU", need>>20, free>>20)}
	}
	defer func() {
		if p := recover(); p != nil {
			err = &cuda.Error{Reason: fmt.Sprintf("the device cannot be set up: %v", p)}
		}
	}()
	// Gorgonia makes a context, which belongs to a thread, and goes on as if the
	// goroutine stayed on that thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	vm = G.NewTapeMachine(g, G.WithPrecompiled(prog, locations))
	engines := vm.(G.CUDAMachine).Engines()
	for i := range engines {
		if err := oneContext(&engines[i]); err != nil {
			return nil, &cuda.Error{Reason: fmt.Sprintf("cuBLAS cannot be set up: %v", err)}
		}
	}
	return vm, nil
}

// oneContext makes an engine's cuBLAS work in the engine's context. Gorgonia
// opens it on a thread that has none, so that it falls into the device's primary
// context, whose stream does not wait for that of the kernels and copies.
func oneContext(e *gorgoniacuda.Engine) error {
	ctx := e.Context()
	return ctx.Do(func() error {
		if err := cu.SetCurrentContext(ctx.CUDAContext()); err != nil {
			return err
		}
		if err := e.BLASContext().Close(); err != nil {
			return err
		}
		return e.BLASContext().Init(cublas.WithContext(ctx))
	})
}
