//go:build !cuda

package cuda

// Built says whether this program was built with CUDA.
const Built = false

// Find returns an error: this build has no CUDA.
func Find() (*GPU, error) {
	return nil, &Error{"this program was built without CUDA: see docs/gpu.md for how to build the one that has it"}
}

// Open returns an error: this build has no CUDA.
func Open(int) (Device, error) {
	_, err := Find()
	return nil, err
}
