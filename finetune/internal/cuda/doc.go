// Package cuda is what the build with CUDA (-tags cuda) adds beside Gorgonia:
// the kernels that Gorgonia loads, and a look at the driver and the device. In
// the plain build it says that there is no CUDA.
//
// The build links against archives of trampolines (folder link) that load
// NVIDIA's libraries at the first call, so that the program runs on machines
// without them. Folder emulator holds a driver for tests without a GPU. See
// docs/gpu.md.
package cuda

// GPU describes the device that training uses, the first one.
type GPU struct {
	Name string
	// Driver is the newest version of CUDA that the driver knows, CUBLAS and
	// CUDNN those of the libraries found.
	Driver, CUBLAS, CUDNN string
	// Capability is the compute capability.
	Capability string
	// Memory is the size of the device's memory in bytes.
	Memory int64
}

// Error says why the device cannot be used.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }
