//go:build cuda

package gorgonia_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/cuda"
	"github.com/relupath/relupath/finetune/internal/cuda/cudatest"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/gorgonia"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// TestTraffic: a step moves the weights and the batch to the device and the
// gradients back, and no activations: what else moves is as large as the logits.
func TestTraffic(t *testing.T) {
	for _, width := range []int{256, 4000} {
		t.Run(fmt.Sprintf("width=%d", width), func(t *testing.T) {
			if width > 256 && testing.Short() {
				t.Skip("short")
			}
			traffic(t, 784, width, width, 10)
		})
	}
}

func traffic(t *testing.T, widths ...int) {
	const n, size = 100, 4 // examples, and bytes of a number
	classes := widths[len(widths)-1]
	weights := uint64(0)
	var b dag.Builder
	h := b.Input("x", widths[0])
	for k := 1; k < len(widths); k++ {
		in, out := widths[k-1], widths[k]
		if k > 1 {
			h = b.Activation("", h, 0)
		}
		w := make([]float64, in*out)
		for i := range w {
			w[i] = float64(i%7-3) / float64(in)
		}
		h = b.Affine("", h, out, w, make([]float64, out))
		weights += uint64(size * (in*out + out))
	}
	b.Output("y", h)
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Compile[float32](net, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := gorgonia.New(p, nil, engine.Options{Batch: n, BLAS: blas.Find()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	batch := &engine.Batch[float32]{N: n, X: make([]float32, n*widths[0]), Labels: make([]int, n)}
	before := cudatest.Read(t)
	if _, err := e.Evaluate(batch); err != nil {
		t.Fatal(err)
	}
	c := cudatest.Read(t).Sub(before)
	t.Logf("%+v", c)
	x, logits := uint64(size*n*widths[0]), uint64(size*n*classes)
	// The slopes of the activations, one a unit, are among the rest.
	rest := 5*logits + uint64(2*size*(widths[1]+widths[2]))
	if c.ToDeviceBytes < weights+x || c.ToDeviceBytes > weights+x+rest {
		t.Errorf("%d bytes to the device, want the weights (%d) and the batch (%d)", c.ToDeviceBytes, weights, x)
	}
	if c.ToHostBytes < weights || c.ToHostBytes > weights+rest {
		t.Errorf("%d bytes to the host, want the gradients (%d)", c.ToHostBytes, weights)
	}
	// A product forward and two backward for each layer; the one by the network's
	// input has no use, but Gorgonia makes it.
	if c.Products != 9 {
		t.Errorf("%d products, want 9", c.Products)
	}
}

// TestClose: an engine gives back the memory of the device.
func TestClose(t *testing.T) {
	cudatest.Read(t)
	p := layer[float32](t, 2, 1, 2, 3, 4)
	before, err := cuda.Free()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		e, err := gorgonia.New(p, nil, engine.Options{Batch: 2, BLAS: blas.Gonum()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Evaluate(&engine.Batch[float32]{N: 1, X: []float32{1, 1}, Labels: []int{1}}); err != nil {
			t.Fatal(err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	after, err := cuda.Free()
	if err != nil || after != before {
		t.Errorf("%d bytes free before, %d after: %v", before, after, err)
	}
}

// TestDeep: a step of a hundred layers queues more calls than Gorgonia's buffer
// of 64 holds.
func TestDeep(t *testing.T) {
	cudatest.Read(t)
	rng := rand.New(rand.NewPCG(3, 4))
	var b dag.Builder
	h := b.Input("x", 3)
	for range 100 {
		w := []float64{1, 0, 0, 0, 1, 0, 0, 0, 1}
		for k := range w {
			w[k] += 0.1 * rng.NormFloat64()
		}
		h = b.Activation("", b.Affine("", h, 3, w, []float64{0.01, 0.02, 0.03}), 0.5)
	}
	b.Output("y", h)
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p, err := program.Compile[float64](net, program.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pl := pool.New(1)
	defer pl.Close()
	nat := engine.New(p, nil, engine.Options{Batch: 4, BLAS: blas.Find(), Pool: pl})
	gor, err := gorgonia.New(p, nil, engine.Options{Batch: 4, BLAS: blas.Find()})
	if err != nil {
		t.Fatal(err)
	}
	defer gor.Close()
	batch := &engine.Batch[float64]{N: 4, X: []float64{1, 2, 3, -1, 2, 0, 0.5, 0, 1, 3, -2, 1}, Labels: []int{0, 1, 2, 0}}
	want, err := nat.Evaluate(batch)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		got, err := gor.Evaluate(batch)
		if err != nil {
			t.Fatal(err)
		}
		// Sums of three products in each of a hundred layers.
		if !(math.Abs(got.Loss-want.Loss) <= 1e-12*math.Abs(want.Loss)) {
			t.Fatalf("loss %v, want %v", got.Loss, want.Loss)
		}
	}
}
