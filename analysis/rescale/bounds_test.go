package rescale_test

import (
	"context"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

// A threshold of a network of float64 is an attribute of ONNX, which is float32: the factor goes to
// where the stored bound is exact, and the objective stays that of any factor.
func TestFactorsFitStoredBounds(t *testing.T) {
	build := func(t *testing.T, kind dag.DType, bounds ...float64) *dag.Network {
		var b dag.Builder
		h := b.Affine("in", b.Input("x", 2), 3, []float64{1, -7, 3, 0.5, 2, 11}, []float64{1, 2, 3})
		for _, lo := range bounds {
			c := &dag.Cap{Lo: []float64{lo}, Hi: []float64{math.Inf(1)}, Jump: true, Type: kind, Storage: dag.BoundsInCommon}
			h = b.Node(dag.Node{Name: "threshold", Source: "ThresholdedRelu", In: []int{h}, Shape: []int{3}, Op: c})
		}
		b.Output("y", b.Affine("out", h, 1, []float64{0.1, 0.3, 0.7}, []float64{1}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, m := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned, rescale.Unbalance} {
		for _, bounds := range [][]float64{{0.3}, {0.3, 0.7}} {
			n := build(t, dag.Float32, bounds...)
			r, err := rescale.Run(context.Background(), m, n, rescale.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			moved := false
			for id, f := range r.Factors {
				if r.Groups.Pin[id] != "" || f == 1 {
					continue
				}
				moved = true
				for _, lo := range bounds {
					if lo = float64(float32(lo)); len(bounds) > 1 && float64(float32(lo*f)) != lo*f {
						t.Errorf("%s: factor %v is no power of two", m, f)
					}
				}
				if now := bounds[0] * f; len(bounds) == 1 && math.Abs(float64(float32(now))-now) > 0x1p-52*now {
					t.Errorf("%s: the bound is %v, which float32 has not", m, now)
				}
			}
			if !moved {
				t.Errorf("%s, bounds %v: no factor moved", m, bounds)
			}
			if m == rescale.Unbalance || len(bounds) > 1 {
				continue
			}
			free, err := rescale.Run(context.Background(), m, build(t, dag.Float64, bounds...), rescale.Options{})
			if err != nil {
				t.Fatal(err)
			}
			// At the optimum float32's rounding of a factor is one of the second order, but for the largest
			// of path and cle, which follow it.
			tol := 1e-13
			if m == rescale.Path || m == rescale.CrossLayer {
				tol = 0x1p-23
			}
			if got, want := r.Objective.After.Float64(), free.Objective.After.Float64(); math.Abs(got-want) > tol*math.Abs(want) {
				t.Errorf("%s: objective %v, want %v", m, got, want)
			}
		}
	}
}
