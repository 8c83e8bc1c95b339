package rescale

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// The two ways to the least largest norm agree wherever both can be taken: the root
// over paths graded by their length, and the one over reads of the weights.
func TestDeepIsGraded(t *testing.T) {
	for name, opt := range map[string]dagtest.Options{
		"biases": {Features: dagtest.Bias, Steps: 12, Width: 4},
		"skips":  {Features: dagtest.Bias | dagtest.Skip | dagtest.Concat, Steps: 12, Zeros: 0.1},
		"conv":   {Features: dagtest.Bias | dagtest.Conv | dagtest.Pool, Steps: 5},
	} {
		opt.Type = dag.Float64
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := dagtest.Random(t, opt)
				p := rapid.SampledFrom([]float64{1, 2, 3, math.Inf(1)}).Draw(t, "p")
				n = unbalanced(t, n, rapid.SampledFrom([]float64{0, 5, 200}).Draw(t, "size"))
				v, err := newView(n, n.Groups(), p, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if !v.alone() {
					t.Skip("a group of several units")
				}
				lnC, z, before, ok := v.graded(p, 1)
				if !ok {
					t.Fatal("too many lengths")
				}
				d := deep{view: v, p: p, threads: 1}
				got, w, err := d.solve(t.Context(), before.Ln())
				if err != nil {
					t.Fatal(err)
				}
				if d.sweeps > 80 {
					t.Errorf("%d reads", d.sweeps)
				}
				if len(v.active) == 0 {
					return
				}
				// f is a sum of logarithms of a product of at most 30 factors.
				if tol := 1e-13 * math.Max(1, math.Abs(lnC)); !(math.Abs(got-lnC) <= tol) {
					t.Errorf("p = %v: %v by reads, %v by lengths", p, got, lnC)
				}
				for k := range z {
					if !(math.Abs(w[k]-z[k]) <= 1e-11*math.Max(1, math.Abs(z[k]))) {
						t.Errorf("p = %v: factor e^%v by reads, e^%v by lengths", p, w[k], z[k])
					}
				}
			})
		})
	}
}

// unbalanced rescales a network by factors of up to e^size, from which the search
// has as far to go.
func unbalanced(t *rapid.T, n *dag.Network, size float64) *dag.Network {
	g := n.Groups()
	c := g.Ones()
	for id := range c {
		if g.Pin[id] == "" {
			c[id] = math.Exp(rapid.Float64Range(-size, size).Draw(t, "ln factor"))
		}
	}
	out, err := n.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A network of thousands of layers with biases, whose paths have thousands of
// lengths: no row's norm is above the optimum, and one of the outputs' attains it.
func TestDeepBiases(t *testing.T) {
	const depth = 3000
	for _, p := range []float64{1, 2, math.Inf(1)} {
		n, norm := ladder(depth, p)
		r, err := Run(context.Background(), Path, n, Options{P: p})
		if err != nil {
			t.Fatal(err)
		}
		want := norm
		if got := r.Objective.After.Ln(); !(math.Abs(got-want) <= 1e-8) {
			t.Errorf("p = %v: ln of the norm %v, want %v", p, got, want)
		}
		if r.Sweeps > 100 {
			t.Errorf("p = %v: %d reads of the weights", p, r.Sweeps)
		}
	}
}

// ladder is a chain of single units with weight w and bias b, and the logarithm of
// the least c with sum_k b (w/c)^k = 1 (k = 1 to depth, the last term without b),
// found by bisection.
func ladder(depth int, p float64) (*dag.Network, float64) {
	const w, bias = 1.25, 0.5
	var b dag.Builder
	at := b.Input("x", 1)
	for range depth - 1 {
		at = b.Activation("", b.Affine("", at, 1, []float64{w}, []float64{bias}), 0)
	}
	b.Output("y", b.Affine("", at, 1, []float64{w}, []float64{bias}))
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	// b_v of a unit behind k layers, by the recursion in plain floats: b = ||w b_u, bias||/c.
	last := func(c float64) float64 {
		x := 1.0
		for range depth {
			if math.IsInf(p, 1) {
				x = math.Max(w*x, bias) / c
			} else {
				x = math.Pow(math.Pow(w*x, p)+math.Pow(bias, p), 1/p) / c
			}
		}
		return x
	}
	lo, hi := 0.1, 10.0
	for range 200 {
		if c := math.Sqrt(lo * hi); last(c) > 1 {
			lo = c
		} else {
			hi = c
		}
	}
	return n, math.Log(hi)
}

// The search ends: with an error where no root is found, and by its context.
func TestDeepEnds(t *testing.T) {
	n, _ := ladder(100, 2)
	v, err := newView(n, n.Groups(), 2, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, ok := v.graded(2, 1); ok {
		t.Error("a hundred lengths of paths are told apart")
	}
	d := deep{view: v, p: 2, threads: 1}
	if _, _, err := d.solve(t.Context(), math.NaN()); err == nil || !strings.Contains(err.Error(), "reads of the weights") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := d.solve(ctx, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
