//go:build cuda

package engine_test

import (
	"fmt"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
)

// TestTraffic: a step moves the batch to the device and a few sums back, at every
// width and for every rule.
func TestTraffic(t *testing.T) {
	readCounts(t)
	rules := map[string]optim.Rule{
		"sgd": {}, "path-sgd": {Kind: optim.PathSGD}, "momentum": {Momentum: true, Kind: optim.PathSGD}, "adagrad": {Kind: optim.AdaGrad, Epsilon: 1e-10},
	}
	for _, width := range []int{256, 1000, 4000} {
		for name, rule := range rules {
			if width == 4000 && (testing.Short() || name != "path-sgd" && name != "sgd") {
				continue
			}
			t.Run(fmt.Sprintf("%s/width=%d", name, width), func(t *testing.T) {
				rule.P = 2
				p := mlpProgram[float32](t, 784, width, width, 10)
				o := optim.New(p, rule, geometry.New(p, geometry.Options{P: 2, BLAS: blas.Find()}), nil)
				o.Eta, o.Eta0 = 1e-4, 1e-4
				const n = 100
				e := onDevice(t, p, o, engine.Options{Batch: n, BLAS: blas.Find()})
				defer e.Close()
				batch := &engine.Batch[float32]{N: n, X: make([]float32, n*784), Labels: make([]int, n)}
				for i := range batch.X {
					batch.X[i] = float32(i%11) / 11
				}
				var c counts
				for range 2 { // AdaGrad looks at the range of its sums in the first
					before := readCounts(t)
					if _, err := e.Step(batch); err != nil {
						t.Fatal(err)
					}
					c = readCounts(t).since(before)
				}
				t.Logf("%+v", c)
				// The batch and its labels; three sums, and four pairs of exponents a tensor.
				if want := uint64(4*n*784 + 4*n); c.ToDeviceBytes != want || c.ToDevice != 2 {
					t.Errorf("%d bytes in %d copies to the device, want %d in 2", c.ToDeviceBytes, c.ToDevice, want)
				}
				if want := uint64(3*8 + 6*4*8); c.ToHostBytes != want || c.ToHost != 1 {
					t.Errorf("%d bytes in %d copies to the host, want %d in 1", c.ToHostBytes, c.ToHost, want)
				}
				// A product forward for each layer, one by the weights, and one by the
				// input but for the first.
				if c.Products != 8 {
					t.Errorf("%d products, want 8", c.Products)
				}
			})
		}
	}
}

// TestClose: an engine gives back the memory of the device.
func TestClose(t *testing.T) {
	readCounts(t)
	before, err := cuda.Free()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p := mlpProgram[float32](t, 3, 4, 2)
		o := optim.New(p, optim.Rule{Kind: optim.PathSGD, P: 2}, geometry.New(p, geometry.Options{P: 2}), nil)
		if err := onDevice(t, p, o, engine.Options{Batch: 2, BLAS: blas.Gonum()}).Close(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := cuda.Free()
	if err != nil || after != before {
		t.Errorf("%d bytes free before, %d after: %v", before, after, err)
	}
}
