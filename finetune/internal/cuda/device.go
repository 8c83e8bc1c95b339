//go:build cuda

package cuda

// #cgo LDFLAGS: -lcuda -lcublas -ldl
// #include <stddef.h>
// #include <cuda.h>
// #include <cublas_v2.h>
// // Of loader.c.
// const char *relupath_cuda_open(int library);
// int relupath_cuda_started(void);
import "C"

import (
	"fmt"
	"runtime"
)

// Built says whether this program was built with CUDA.
const Built = true

// The numbers of the libraries in loader.c, with what to do about a missing one.
var libraries = []struct{ name, remedy string }{
	{"CUDA driver", "install NVIDIA's driver for the card"},
	{"cuBLAS", "install cuBLAS 12, or name its folder in LD_LIBRARY_PATH"},
}

// sentences are what the driver's refusals mean.
var sentences = map[C.CUresult]string{
	C.CUDA_ERROR_NO_DEVICE:              "the driver finds no NVIDIA GPU",
	C.CUDA_ERROR_SYSTEM_DRIVER_MISMATCH: "the driver's library and its kernel module have different versions: restart the machine",
	C.CUDA_ERROR_OUT_OF_MEMORY:          "the device has no memory left",
	C.CUDA_ERROR_UNKNOWN:                "the driver does not start: is its kernel module loaded?",
}

func failed(r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	if s, ok := sentences[r]; ok {
		return &Error{fmt.Sprintf("%s (CUDA error %d)", s, int(r))}
	}
	return &Error{fmt.Sprintf("the driver refuses with CUDA error %d", int(r))}
}

// Find looks for the libraries and the first device. An error says in a sentence
// what is missing.
func Find() (*GPU, error) {
	for i, l := range libraries {
		if msg := C.relupath_cuda_open(C.int(i)); msg != nil {
			return nil, &Error{fmt.Sprintf("the %s library cannot be loaded: %s: %s", l.name, C.GoString(msg), l.remedy)}
		}
	}
	if err := failed(C.CUresult(C.relupath_cuda_started())); err != nil {
		return nil, err
	}
	var n C.int
	if err := failed(C.cuDeviceGetCount(&n)); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, failed(C.CUDA_ERROR_NO_DEVICE)
	}
	return describe()
}

// Free returns how much of the device's memory is free, in bytes.
func Free() (int64, error) {
	var ctx C.CUcontext
	var free, total C.size_t
	runtime.LockOSThread() // a context belongs to a thread
	defer runtime.UnlockOSThread()
	if err := failed(C.cuCtxCreate(&ctx, 0, 0)); err != nil {
		return 0, err
	}
	err := failed(C.cuMemGetInfo(&free, &total))
	if e := failed(C.cuCtxDestroy(ctx)); err == nil {
		err = e
	}
	return int64(free), err
}

// describe asks the driver about device 0.
func describe() (*GPU, error) {
	var (
		dev                      C.CUdevice
		name                     [256]C.char
		total                    C.size_t
		version, major, minor    C.int
		cublasMajor, cublasMinor C.int
	)
	for _, r := range []C.CUresult{
		C.cuDeviceGet(&dev, 0),
		C.cuDeviceGetName(&name[0], C.int(len(name)), dev),
		C.cuDeviceTotalMem(&total, dev),
		C.cuDriverGetVersion(&version),
		C.cuDeviceGetAttribute(&major, C.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, dev),
		C.cuDeviceGetAttribute(&minor, C.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, dev),
	} {
		if err := failed(r); err != nil {
			return nil, err
		}
	}
	C.cublasGetProperty(C.MAJOR_VERSION, &cublasMajor)
	C.cublasGetProperty(C.MINOR_VERSION, &cublasMinor)
	return &GPU{
		Name:       C.GoString(&name[0]),
		Driver:     fmt.Sprintf("%d.%d", version/1000, version%1000/10),
		CUBLAS:     fmt.Sprintf("%d.%d", cublasMajor, cublasMinor),
		Capability: fmt.Sprintf("%d.%d", major, minor),
		Memory:     int64(total),
	}, nil
}
