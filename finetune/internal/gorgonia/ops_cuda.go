//go:build cuda

package gorgonia

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
	G "gorgonia.org/gorgonia"

	"github.com/relupath/relupath/finetune/internal/program"
)

// Operations that are CUDADoers run on the device: Gorgonia keeps their operands
// and results there, and copies only what an operation of the host reads.
var (
	_ G.CUDADoer = (*spread[float32])(nil)
	_ G.CUDADoer = (*activation[float32])(nil)
	_ G.CUDADoer = (*activationGrad[float32])(nil)
)

// ReturnsPtr says that Gorgonia is to allocate the result.
func (o *spread[T]) ReturnsPtr() bool         { return true }
func (o *activation[T]) ReturnsPtr() bool     { return true }
func (o *activationGrad[T]) ReturnsPtr() bool { return true }

// CallsExtern says that a device computes.
func (o *spread[T]) CallsExtern() bool         { return true }
func (o *activation[T]) CallsExtern() bool     { return true }
func (o *activationGrad[T]) CallsExtern() bool { return true }

// CUDADo implements gorgonia.CUDADoer.
func (o *spread[T]) CUDADo(m G.External, dev G.Device, dst G.Value, in ...G.Value) (G.Value, error) {
	if o.adjoint {
		return launch[T](m, dev, "fold", o.rows, o.cols, dst, in)
	}
	return launch[T](m, dev, "spread", o.cols, o.rows*o.cols, dst, in)
}

// CUDADo implements gorgonia.CUDADoer.
func (o *activation[T]) CUDADo(m G.External, dev G.Device, dst G.Value, in ...G.Value) (G.Value, error) {
	return launch[T](m, dev, "activate", in[1].Shape().TotalSize(), o.shape.TotalSize(), dst, in)
}

// CUDADo implements gorgonia.CUDADoer.
func (o *activationGrad[T]) CUDADo(m G.External, dev G.Device, dst G.Value, in ...G.Value) (G.Value, error) {
	size, n := o.shape.TotalSize(), in[1].Shape().TotalSize()
	if o.slope {
		return launch[T](m, dev, "activate_ds", in[0].Shape().TotalSize()/n, n, dst, in)
	}
	return launch[T](m, dev, "activate_dz", n, size, dst, in)
}

// launch queues a kernel of relupath.cu: its arguments are the result, the
// operands, one number, and the number of threads.
func launch[T program.Float](m G.External, dev G.Device, kernel string, number, threads int, dst G.Value, in []G.Value) (G.Value, error) {
	e := &m.(G.CUDAMachine).Engines()[int(dev)]
	name := fmt.Sprintf("relupath.%s_f%d", kernel, 8*unsafe.Sizeof(*new(T)))
	f, ok := e.Functions()[name]
	if !ok || dst == nil {
		return nil, fmt.Errorf("gorgonia: the device has no kernel %s, or no place for its result", name)
	}
	words := make([]uint64, 0, len(in)+3) // every argument takes eight bytes
	words = append(words, uint64(dst.Uintptr()))
	for _, v := range in {
		words = append(words, uint64(v.Uintptr()))
	}
	words = append(words, uint64(number), uint64(threads))
	args := make([]unsafe.Pointer, len(words))
	for i := range words {
		args[i] = unsafe.Pointer(&words[i])
	}
	gx, gy, gz, bx, by, bz := e.ElemGridSize(threads)
	e.Context().LaunchKernel(f, gx, gy, gz, bx, by, bz, 0, cu.NoStream, args)
	// Handed to the driver at once: a second goroutine of Gorgonia's, with no lock
	// between them, would do so when 64 calls have gathered.
	if err := e.DoWork(); err != nil {
		return nil, fmt.Errorf("gorgonia: the device fails at or before the kernel %s: %w", name, err)
	}
	return dst, nil
}
