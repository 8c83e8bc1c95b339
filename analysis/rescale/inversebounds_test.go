package rescale_test

import (
	"context"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

// Of two groups with inverse factors, both with bounds that float32 keeps, both bounds stay exact.
func TestBoundsOfInverseFactors(t *testing.T) {
	for range 20 {
		var b dag.Builder
		x := b.Input("x", 2)
		thresholded := func(name string, w []float64, lo float64) int {
			h := b.Affine(name, x, 1, w, []float64{1})
			c := &dag.Cap{Lo: []float64{lo}, Hi: []float64{math.Inf(1)}, Jump: true, Type: dag.Float32, Storage: dag.BoundsInCommon}
			return b.Node(dag.Node{Name: name + " threshold", Source: "ThresholdedRelu", In: []int{h}, Shape: []int{1}, Op: c})
		}
		lo := []float64{float64(float32(0.3)), float64(float32(0.7))}
		u, v := thresholded("a", []float64{1, -7}, lo[0]), thresholded("b", []float64{0.5, 200}, lo[1])
		p := b.Node(dag.Node{Name: "p", Source: "MatMul", In: []int{u, v}, Shape: []int{1}, Op: &dag.Func{Kind: dag.Product, Form: &dag.Matrices{M: 1, K: 1, N: 1, Left: []int32{0}, Right: []int32{0}}, Apply: func(dst []float64, in ...[]float64) {
			for e := range dst {
				dst[e] = in[0][e] * in[1][e]
			}
		}}})
		b.Output("y", b.Affine("out", p, 1, []float64{0.1}, []float64{1}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		r, err := rescale.Run(context.Background(), rescale.EqualNorm, n, rescale.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for k, node := range []int{u, v} {
			f := r.Factors[r.Groups.Units[node].IDs[0]]
			if now := lo[k] * f; math.Abs(float64(float32(now))-now) > 0x1p-51*now {
				t.Errorf("factor %v: the bound is %v, which float32 has not", f, now)
			}
		}
		t.Log(r.Factors)
	}
}
