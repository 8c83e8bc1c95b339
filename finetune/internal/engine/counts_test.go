//go:build cuda

package engine_test

import (
	"testing"

	"github.com/ebitengine/purego"
)

// counts are the calls since an emulated driver (folder emulator of package cuda) was loaded: copies to the device, back
// and on it, with their bytes, kernels, products of cuBLAS and synchronisations.
type counts struct {
	ToDevice, ToDeviceBytes, ToHost, ToHostBytes, OnDevice, OnDeviceBytes uint64
	Launches, Products, Syncs                                             uint64
}

// since returns c minus d.
func (c counts) since(d counts) counts {
	return counts{
		c.ToDevice - d.ToDevice, c.ToDeviceBytes - d.ToDeviceBytes, c.ToHost - d.ToHost, c.ToHostBytes - d.ToHostBytes,
		c.OnDevice - d.OnDevice, c.OnDeviceBytes - d.OnDeviceBytes, c.Launches - d.Launches, c.Products - d.Products, c.Syncs - d.Syncs,
	}
}

// readCounts returns the counters; a test on another driver is skipped.
func readCounts(t testing.TB) counts {
	lib, err := purego.Dlopen("libcuda.so.1", purego.RTLD_NOW)
	if err != nil {
		t.Skip("there is no CUDA driver, and no emulated one in LD_LIBRARY_PATH: see make test-cuda")
	}
	f, err := purego.Dlsym(lib, "relupath_emulator_count")
	if err != nil {
		t.Skip("this test counts the calls of the emulated driver: see make test-cuda")
	}
	var c counts
	var read func(*counts)
	purego.RegisterFunc(&read, f)
	read(&c)
	return c
}
