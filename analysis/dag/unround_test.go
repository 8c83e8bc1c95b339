package dag_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
)

// A network whose numbers are not rounded computes the function to float64's rounding,
// in every stored type; and the rounded one has what it needs to become that one.
func TestRescaleUnrounded(t *testing.T) {
	for _, typ := range []dag.DType{dag.Float32, dag.Float64, dag.Float16, dag.BFloat16} {
		for seed := range uint64(60) {
			net := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly &^ dagtest.Jump, Type: typ, Zeros: 0.1})
			g := net.Groups()
			c := g.Ones()
			rng := rand.New(rand.NewPCG(seed, 7))
			for id := range c {
				if g.Pin[id] == "" {
					c[id] = math.Exp(rng.NormFloat64())
				}
			}
			exact, err := net.RescaleUnrounded(g, c)
			if err != nil {
				t.Fatal(err)
			}
			rounded, err := net.Rescale(g, c)
			if err != nil {
				t.Fatal(err)
			}
			again, err := rounded.Unround(exact)
			if err != nil {
				t.Fatalf("%v, seed %d: %v", typ, seed, err)
			}
			in := dagtest.Input(net, 2, seed)
			want := values(t, net, in)
			for _, n := range []*dag.Network{exact, again} {
				// A few dozen roundings of float64, in products of up to three values.
				if d := apart(want, values(t, n, in)); d > 1e-12 {
					t.Errorf("%v, seed %d: outputs differ by %g", typ, seed, d)
				}
			}
			if rounded.String() != again.String() && typ == dag.Float64 {
				t.Errorf("seed %d: float64 is rounded", seed)
			}
		}
	}
}

func values(t *testing.T, n *dag.Network, in [][]float64) [][]float64 {
	t.Helper()
	y, err := eval.Run(t.Context(), n, in, 2, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// apart is the largest difference relative to the largest value.
func apart(x, y [][]float64) float64 {
	worst := 0.0
	for k := range x {
		top, d := 0.0, 0.0
		for i := range x[k] {
			top, d = max(top, math.Abs(x[k][i])), max(d, math.Abs(x[k][i]-y[k][i]))
		}
		if d > 0 {
			worst = max(worst, d/top)
		}
	}
	return worst
}

// Numbers and nodes that are others are no roundings.
func TestUnroundRefuses(t *testing.T) {
	build := func(w float32, hi float64, more bool) *dag.Network {
		var b dag.Builder
		x := b.Input("x", 1)
		p := dag.NewParam32("w", dag.Float32, []int{1, 1}, []float32{w})
		h := b.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{x}, Shape: []int{1}, Op: &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: p}, Rows: 1, Cols: 1}}})
		h = b.Node(dag.Node{Name: "cap", Source: "Clip", In: []int{h}, Shape: []int{1}, Op: &dag.Cap{Lo: []float64{0}, Hi: []float64{hi}}})
		if more {
			h = b.Activation("relu", h, 0)
		}
		b.Output("y", h)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	net := build(1, 6, false)
	if _, err := build(1, 6, false).Unround(net); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		n    *dag.Network
		want string
	}{
		{build(1+0x1p-23, 6, false), "is not 1 rounded"},
		{build(1, 6.000001, false), "bounds 0 and"},
		{build(1, 6, true), "4 nodes and 3"},
	} {
		if _, err := c.n.Unround(net); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}
