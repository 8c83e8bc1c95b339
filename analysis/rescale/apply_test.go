package rescale_test

import (
	"context"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/rescale"
)

// Factors composed with their inverse are 1, to the rounding of two divisions.
func TestComposeInvert(t *testing.T) {
	c := []float64{1, 3, 0.1, 1e200, 1e-200}
	near(t, "factor", rescale.Compose(c, rescale.Invert(c)), []float64{1, 1, 1, 1, 1}, 4e-16)
}

// Stored factors are those that Rescale applies, and gradients scale inversely:
// the gradient of the rescaled network, by central differences of the sum of the
// outputs' squares, is the rescaled gradient. Differences of step 1e-6 are right
// to about 1e-7 of the largest derivative, away from the kinks.
func TestApplyGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{Features: dagtest.Bias | dagtest.Skip | dagtest.Slope | dagtest.Gain, Type: dag.Float64, Steps: 3})
		u := find(t, rescale.Unbalance, n, rescale.Options{Seed: 3})
		f, err := rescale.StoredFactors(n, u.Groups, u.Factors)
		if err != nil {
			t.Fatalf("%v", err)
		}
		b := applied(t, n, u)
		k := 0
		var after [][]float64
		for use := range b.Uses() {
			after = append(after, use.Param.Values())
		}
		grads := make([][]float64, len(f))
		for use := range n.Uses() {
			if f[k] != nil {
				want := use.Param.Values()
				for i := range want {
					want[i] *= f[k][i]
				}
				near(t, "stored", after[k], want, 1e-12*math.Max(1, largestIn(want)))
				grads[k] = gradient(t, n, k, nil)
			}
			k++
		}
		got, err := rescale.Apply(n, u.Groups, u.Factors, rescale.Gradient, grads)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for k := range got {
			if got[k] == nil {
				continue
			}
			want := gradient(t, b, k, f[k])
			for i := range want {
				if d := math.Abs(got[k][i]-want[i]) * f[k][i]; d > 1e-5*(1+math.Abs(want[i])*f[k][i]+loss(t, n)) {
					t.Fatalf("tensor %d value %d: gradient %v, want %v\n%s", k, i, got[k][i], want[i], n)
				}
			}
		}
	})
}

func largestIn(x []float64) float64 {
	var m float64
	for _, v := range x {
		m = math.Max(m, math.Abs(v))
	}
	return m
}

// loss is the sum of the outputs' squares on two inputs.
func loss(t fataler, n *dag.Network) float64 {
	t.Helper()
	y, err := n.Eval(context.Background(), dagtest.Input(n, 2, 8), 2, dag.EvalOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	var s float64
	for _, v := range y {
		for _, x := range v {
			s += x * x
		}
	}
	return s
}

// gradient differentiates loss by the numbers of use k, with steps times scale.
func gradient(t fataler, n *dag.Network, k int, scale []float64) []float64 {
	var use *dag.Use
	i := 0
	for u := range n.Uses() {
		if i == k {
			use = u
		}
		i++
	}
	v := use.Param.Values()
	out := make([]float64, len(v))
	at := func(i int, x float64) float64 {
		w := append([]float64(nil), v...)
		w[i] = x
		p := use.Param.WithValues(nil, w)
		return loss(t, n.Replace(func(u *dag.Use) *dag.Param {
			if u == use {
				return p
			}
			return u.Param
		}))
	}
	for i, x := range v {
		h := 1e-6
		if scale != nil {
			h *= scale[i]
		}
		out[i] = (at(i, x+h) - at(i, x-h)) / (2 * h)
	}
	return out
}

// What is kept beside weights changes by the powers of the factors that its
// doc comment gives; kappa is one of them.
func TestApplyQuantities(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 1)
	h := b.Activation("relu", b.Affine("fc1", x, 1, []float64{3}, []float64{1}), 0)
	b.Output("y", b.Affine("fc2", h, 1, []float64{5}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g := n.Groups()
	c := g.Ones()
	for id := range c {
		if g.Pin[id] == "" {
			c[id] = 4
		}
	}
	for q, want := range map[rescale.Quantity][]float64{
		rescale.Weight: {4, 4, 0.25}, rescale.Gradient: {0.25, 0.25, 4},
		rescale.SquaredGradient: {1. / 16, 1. / 16, 16}, rescale.PathGradient: {1, 1, 1},
	} {
		got, err := rescale.Apply(n, g, c, q, [][]float64{{1}, {1}, {1}})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "value", []float64{got[0][0], got[1][0], got[2][0]}, want, 0)
	}
	if _, err := rescale.Apply(n, g, c, rescale.Weight, [][]float64{{1, 2}, nil, nil}); err == nil {
		t.Error("no error for a slice of a wrong length")
	}
}
