package finetune

import "github.com/relupath/relupath/finetune/internal/cuda"

// Device is where steps are computed.
type Device string

// The devices.
const (
	CPU Device = "cpu"
	// GPU needs a program built with CUDA.
	GPU Device = "gpu"
)

// Devices lists them, the default first.
func Devices() []Device { return []Device{CPU, GPU} }

// HasCUDA says whether this program was built with CUDA (-tags cuda).
const HasCUDA = cuda.Built

// GPUInfo describes the device that training uses.
type GPUInfo = cuda.GPU

// GPUError says why the GPU cannot be used.
type GPUError = cuda.Error

// FindGPU returns the device that training uses, or a *GPUError: there is none,
// a library is missing, or the program was built without CUDA.
func FindGPU() (*GPUInfo, error) { return cuda.Find() }
