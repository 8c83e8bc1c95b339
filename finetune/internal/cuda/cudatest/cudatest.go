//go:build cuda

// Package cudatest reads the counters of the emulated driver (folder emulator of
// package cuda).
package cudatest

import (
	"testing"

	"github.com/ebitengine/purego"
)

// Counts are the calls since the program started: copies to the device, back
// and on it, with their bytes, kernels, products of cuBLAS and synchronisations.
type Counts struct {
	ToDevice, ToDeviceBytes, ToHost, ToHostBytes, OnDevice, OnDeviceBytes uint64
	Launches, Products, Syncs                                             uint64
}

// Sub returns c minus d.
func (c Counts) Sub(d Counts) Counts {
	return Counts{
		c.ToDevice - d.ToDevice, c.ToDeviceBytes - d.ToDeviceBytes, c.ToHost - d.ToHost, c.ToHostBytes - d.ToHostBytes,
		c.OnDevice - d.OnDevice, c.OnDeviceBytes - d.OnDeviceBytes, c.Launches - d.Launches, c.Products - d.Products, c.Syncs - d.Syncs,
	}
}

// Read returns the counters; a test on another driver is skipped.
func Read(t testing.TB) Counts {
	lib, err := purego.Dlopen("libcuda.so.1", purego.RTLD_NOW)
	if err != nil {
		t.Skip("there is no CUDA driver, and no emulated one in LD_LIBRARY_PATH: see make test-cuda")
	}
	f, err := purego.Dlsym(lib, "relupath_emulator_count")
	if err != nil {
		t.Skip("this test counts the calls of the emulated driver: see make test-cuda")
	}
	var c Counts
	var read func(*Counts)
	purego.RegisterFunc(&read, f)
	read(&c)
	return c
}
