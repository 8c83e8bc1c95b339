package paths_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/paths"
)

// gradients has, for each output element, the derivative by each input element at x,
// by central differences.
func gradients(t *testing.T, n *dag.Network, x []float64) [][]float64 {
	const h = 1e-5
	size := len(x)
	batch := make([]float64, 0, 2*size*size)
	for i := range size {
		for _, d := range []float64{h, -h} {
			batch = append(batch, x...)
			batch[len(batch)-size+i] += d
		}
	}
	ends := n.Boundary()
	y, err := eval.Run(context.Background(), n, [][]float64{batch}, 2*size, eval.Options{Values: ends})
	if err != nil {
		t.Fatal(err)
	}
	var out [][]float64
	for k, node := range ends {
		m := n.Nodes[node].Len()
		for e := range m {
			g := make([]float64, size)
			for i := range g {
				g[i] = (y[k][2*i*m+e] - y[k][(2*i+1)*m+e]) / (2 * h)
			}
			out = append(out, g)
		}
	}
	return out
}

// quotients are the largest slopes at x: of each output the sum of |derivatives|,
// which a step along their signs shows, and of all outputs the slope of the 1-norm
// along the best of the outputs' own directions.
func quotients(t *testing.T, n *dag.Network, x []float64) (each []float64, all float64) {
	g := gradients(t, n, x)
	each = make([]float64, len(g))
	for j := range g {
		along := 0.0
		for k := range g {
			s := 0.0
			for i, d := range g[j] {
				s += g[k][i] * math.Copysign(1, d)
			}
			along += math.Abs(s)
			if k == j {
				each[j] = math.Abs(s)
			}
		}
		all = math.Max(all, along)
	}
	return each, all
}

// The maximum of rows has the slope of the steepest, as an operator and over a window; with the
// sum the bound is that of all rows together.
func TestLipschitzOfAMaximum(t *testing.T) {
	const sum, largest = 1 + 2 + 3 + 1 + 4 + 0.5, 4 + 0.5
	for _, windowed := range []bool{false, true} {
		var b dag.Builder
		x := b.Input("x", 2)
		var at int
		if windowed {
			at = b.Affine("fc", x, 3, []float64{1, -2, 3, 1, -4, -0.5}, nil)
			at = b.Node(dag.Node{Name: "max", In: []int{at}, Shape: []int{1, 1}, Op: &dag.Pool{Channels: 1, Window: &dag.Window{
				In: []int{3}, Kernel: []int{3}, Stride: []int{1}, Dilation: []int{1}, Before: []int{0}, After: []int{0},
			}}})
		} else {
			in := []int{b.Affine("a", x, 1, []float64{1, -2}, nil), b.Affine("b", x, 1, []float64{3, 1}, nil), b.Affine("c", x, 1, []float64{-4, -0.5}, nil)}
			at = b.Node(dag.Node{Name: "max", In: in, Shape: []int{1}, Op: &dag.Pool{}})
		}
		b.Output("y", at)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for tight, w := range map[bool]float64{false: sum, true: largest} {
			if v, _ := paths.Lipschitz(n, paths.Options{Largest: tight}); v.PathNorm(0).Float64() != w {
				t.Errorf("windowed %v, largest %v: %v, want %v", windowed, tight, v.PathNorm(0), w)
			}
		}
	}
}

// The bounds are never below a slope that climbing finds on random networks of
// curves, caps, skips, convolutions and pools.
func TestLipschitzIsABound(t *testing.T) {
	const features = dagtest.Bias | dagtest.Skip | dagtest.Concat | dagtest.Slope | dagtest.Gain | dagtest.Conv |
		dagtest.Pool | dagtest.Select | dagtest.Shared | dagtest.Cap | dagtest.Curve
	closest, curved, tighter := 0.0, 0, 0
	for seed := uint64(0); curved < 100; seed++ {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features, Type: dag.Float64, Steps: 8})
		if len(n.Functions()) == 0 {
			continue
		}
		curved++
		v, why := paths.Lipschitz(n, paths.Options{Largest: true})
		if why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, n)
		}
		// With the sum over windows the bound is larger, so what is shown here is of both.
		switch loose, _ := paths.Lipschitz(n, paths.Options{}); {
		case loose.PathNorm(0).Float64() < v.PathNorm(0).Float64()*(1-1e-12): // two orders of summation
			t.Fatalf("seed %d: %v with the largest operand, %v with the sum\n%s", seed, v.PathNorm(0), loose.PathNorm(0), n)
		case loose.PathNorm(0).Float64() > v.PathNorm(0).Float64()*1.01:
			tighter++
		}
		bound := v.PathNorm(0).Float64()
		rng := rand.New(rand.NewPCG(seed, 4))
		x := make([]float64, n.Nodes[n.Inputs[0].Node].Len())
		best := -1.0
		for step := range 40 {
			// Climbing: a random step from the steepest place so far is kept where
			// it is steeper.
			y := make([]float64, len(x))
			for i := range y {
				y[i] = x[i] + rng.NormFloat64()*math.Exp2(float64(-step%8))
			}
			each, all := quotients(t, n, y)
			if all > best {
				best, x = all, y
			}
			// Differences of values of size 10 over 1e-5 are off by 1e-9.
			tol := 1e-7 * (1 + bound)
			if all > bound+tol {
				t.Fatalf("seed %d: slope %v in the 1-norm, the bound is %v\n%s", seed, all, bound, n)
			}
			for j, l := range v.PerOutput(0) {
				if each[j] > l.Float64()+tol {
					t.Fatalf("seed %d: slope %v of output %d, the bound is %v\n%s", seed, each[j], j, l, n)
				}
			}
		}
		if bound > 0 {
			closest = math.Max(closest, best/bound)
		}
	}
	if tighter == 0 {
		t.Error("no maximum made a bound tighter")
	}
	if closest < 0.5 {
		t.Errorf("no bound came near to a slope: %v at best", closest)
	}
}

// Without functions the bounds are the path norms of order 1 without biases, and a
// curve that is steepest at 0 makes them exact there.
func TestLipschitzIsThePathNorm(t *testing.T) {
	for seed := range uint64(200) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.All | dagtest.Cap, Type: dag.Float64})
		v, why := paths.Lipschitz(n, paths.Options{})
		if why != "" {
			t.Fatalf("seed %d: %s", seed, why)
		}
		w := paths.Forward(n, []float64{1}, paths.Options{Bias: paths.Exclude})
		if !near(v.PathNorm(0), w.PathNorm(0).Float64()) || !near(v.MaxOutput(0), w.MaxOutput(0).Float64()) {
			t.Fatalf("seed %d: %v and %v, want the path norm %v and %v", seed, v.PathNorm(0), v.MaxOutput(0), w.PathNorm(0), w.MaxOutput(0))
		}
	}
	var b dag.Builder
	h := b.Affine("a", b.Input("x", 2), 1, []float64{3, 2}, nil)
	s := b.Node(dag.Node{Name: "s", Source: "Tanh", In: []int{h}, Shape: []int{1}, Op: &dag.Func{
		Kind: dag.Curve, Lipschitz: 1, Why: "it is bounded", Apply: func(dst []float64, in ...[]float64) { dst[0] = math.Tanh(in[0][0]) },
	}})
	b.Output("y", b.Affine("b", s, 2, []float64{0.5, -4}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	v, _ := paths.Lipschitz(n, paths.Options{})
	_, all := quotients(t, n, []float64{0, 0})
	if want := (3.0 + 2) * (0.5 + 4); !near(v.PathNorm(0), want) || math.Abs(all-want) > 1e-6 {
		t.Errorf("bound %v, slope %v, want %v", v.PathNorm(0), all, want)
	}
}

// Where a product, a normaliser or a jump is in the way there is no bound, and the
// reason names it; behind the last weight nothing is.
func TestLipschitzIsRefused(t *testing.T) {
	f := func(kind dag.FuncKind) dag.Op {
		return &dag.Func{Kind: kind, Why: "it is another function", Apply: func(_ []float64, _ ...[]float64) {}}
	}
	for _, c := range []struct {
		op   dag.Op
		last bool
		why  string
	}{
		{f(dag.Product), false, `"f" (Op) has no Lipschitz constant that is known: it is another function`},
		{f(dag.Normalizer), false, `"f" (Op)`},
		{f(dag.Curve), false, `"f" (Op)`},
		{&dag.Cap{Lo: []float64{1}, Hi: []float64{math.Inf(1)}, Jump: true}, false, "it jumps"},
		{f(dag.Normalizer), true, ""},
	} {
		var b dag.Builder
		id := b.Affine("a", b.Input("x", 1), 1, []float64{3}, nil)
		id = b.Node(dag.Node{Name: "f", Source: "Op", In: []int{id}, Shape: []int{1}, Op: c.op})
		if !c.last {
			id = b.Affine("b", id, 1, []float64{0.5}, nil)
		}
		b.Output("y", id)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		v, why := paths.Lipschitz(n, paths.Options{})
		if (why == "") != (c.why == "") || !strings.Contains(why, c.why) || (v == nil) != (why != "") {
			t.Errorf("%T: %q, want %q", c.op, why, c.why)
		}
	}
}
