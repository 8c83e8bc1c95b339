// Package cuda is a device on which an engine runs: its memory, the kernels, and
// products by cuBLAS, through Gorgonia's bindings, in the build with CUDA (-tags
// cuda). In the plain build it says that there is no CUDA.
//
// The build links against archives of trampolines (folder link) that load
// NVIDIA's libraries at the first call, so that the program runs on machines
// without them. Folder emulator holds a driver for tests without a GPU. See
// docs/gpu.md.
package cuda

import "unsafe"

// GPU describes the device that training uses, the first one.
type GPU struct {
	Name string
	// Driver is the newest version of CUDA that the driver knows, CUBLAS that of
	// the library found.
	Driver, CUBLAS string
	// Capability is the compute capability.
	Capability string
	// Memory is the size of the device's memory in bytes.
	Memory int64
}

// Error says why the device cannot be used.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

// Ptr is an address in a device's memory.
type Ptr = uint64

// Device is one device, in one context, for numbers of one type. Calls are queued and run in their order;
// Read waits for those before it. Where one fails, those after it do nothing, and
// Err has the cause.
type Device interface {
	// Enter makes the context that of the calling thread, on which the goroutine
	// stays until Leave. Every other method wants it.
	Enter()
	Leave()
	// Alloc returns memory, which holds anything, until Close.
	Alloc(bytes int) Ptr
	// Write and Read copy bytes to the device and back.
	Write(dst Ptr, src unsafe.Pointer, bytes int)
	Read(dst unsafe.Pointer, src Ptr, bytes int)
	// Launch runs so many threads of a kernel of kernels/relupath.cu, whose last
	// argument is their number. The others are addresses, whole numbers, truth
	// values, and numbers in double precision.
	Launch(kernel string, threads int, args ...any)
	// Gemm is a product as in package blas, of the device's type of numbers.
	Gemm(transA, transB bool, m, n, k int, alpha float64, a Ptr, lda int, b Ptr, ldb int, beta float64, c Ptr, ldc int)
	Name() string
	Err() error
	Close() error
}

// Bytes is the size of so many numbers.
func Bytes[T any](n int) int { return n * int(unsafe.Sizeof(*new(T))) }

// Upload copies a slice into new memory; 0 for none.
func Upload[T any](d Device, src []T) Ptr {
	if len(src) == 0 {
		return 0
	}
	p := d.Alloc(Bytes[T](len(src)))
	Write(d, p, src)
	return p
}

// Write copies a slice to the device.
func Write[T any](d Device, dst Ptr, src []T) {
	d.Write(dst, unsafe.Pointer(unsafe.SliceData(src)), Bytes[T](len(src)))
}

// Read copies a slice back.
func Read[T any](d Device, dst []T, src Ptr) {
	d.Read(unsafe.Pointer(unsafe.SliceData(dst)), src, Bytes[T](len(dst)))
}
