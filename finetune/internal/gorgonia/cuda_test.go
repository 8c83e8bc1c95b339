//go:build cuda

package gorgonia_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/cuda/cudatest"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/gorgonia"
	"github.com/relupath/relupath/finetune/internal/native"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// TestTraffic: a step moves the weights and the batch to the device and the
// gradients back, and no activations: what else moves is as large as the logits.
func TestTraffic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b dag.Builder
	h := b.Input("x", 784)
	in := 784
	for i, out := range []int{256, 256, 10} {
		w := make([]float64, in*out)
		for k := range w {
			w[k] = rng.NormFloat64() / 28
		}
		h = b.Affine([]string{"a", "b", "c"}[i], h, out, w, make([]float64, out))
		if i < 2 {
			h = b.Activation([]string{"ra", "rb"}[i], h, 0)
		}
		in = out
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
	e, err := gorgonia.New(p, gorgonia.Options{Batch: 100, BLAS: blas.Find()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	batch := &engine.Batch[float32]{N: 100, X: make([]float32, 78400), Labels: make([]int, 100)}
	before := cudatest.Read(t)
	if _, err := e.Evaluate(batch); err != nil {
		t.Fatal(err)
	}
	c := cudatest.Read(t).Sub(before)
	t.Logf("%+v", c)
	const weights, x, logits = 4 * (784*256 + 256 + 256*256 + 256 + 256*10 + 10), 4 * 100 * 784, 4 * 100 * 10
	if c.ToDeviceBytes < weights+x || c.ToDeviceBytes > weights+x+5*logits {
		t.Errorf("%d bytes to the device, want the weights (%d) and the batch (%d)", c.ToDeviceBytes, weights, x)
	}
	if c.ToHostBytes < weights || c.ToHostBytes > weights+4*logits {
		t.Errorf("%d bytes to the host, want the gradients (%d)", c.ToHostBytes, weights)
	}
	// Three layers, each with two products backward, the one by the input too,
	// though nothing needs it.
	if c.Products != 9 {
		t.Errorf("%d products, want 9", c.Products)
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
	nat := native.New(p, native.Options{Batch: 4, BLAS: blas.Find(), Pool: pl})
	gor, err := gorgonia.New(p, gorgonia.Options{Batch: 4, BLAS: blas.Find()})
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
		if math.Abs(got.Loss-want.Loss) > 1e-12*math.Abs(want.Loss) {
			t.Fatalf("loss %v, want %v", got.Loss, want.Loss)
		}
	}
}
