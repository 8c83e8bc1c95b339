package dag_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

// gated is a network of a product of two branches: the first is linear, the second
// ends in a sigmoid, or not. What stands between the product and the last layer may be
// given.
func gated(t *testing.T, form dag.Form, curve bool, swap bool, behind ...func(b *dag.Builder, p int) int) (*dag.Network, int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 19))
	w := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = rng.NormFloat64()
		}
		return out
	}
	var b dag.Builder
	x := b.Input("x", 3)
	const n = 6
	a := b.Affine("a", x, n, w(3*n), w(n))
	g := b.Affine("g", x, n, w(3*n), w(n))
	if curve {
		g = sigmoid(&b, g)
	}
	in := []int{a, g}
	if swap {
		in = []int{g, a}
	}
	size := n
	apply := func(dst []float64, in ...[]float64) {
		for i := range dst {
			switch m := form.(type) {
			case dag.Times:
				dst[i] = in[0][i] * in[1][i]
			case dag.Over:
				dst[i] = in[0][i] / in[1][i]
			case *dag.Matrices:
				s, r, c := i/(m.M*m.N), i/m.N%m.M, i%m.N
				for k := range m.K {
					dst[i] += in[0][(int(m.Left[s])*m.M+r)*m.K+k] * in[1][(int(m.Right[s])*m.K+k)*m.N+c]
				}
			}
		}
	}
	if m, ok := form.(*dag.Matrices); ok {
		size = len(m.Left) * m.M * m.N
	}
	p := b.Node(dag.Node{Name: "p", Source: "Mul", In: in, Shape: []int{size}, Op: &dag.Func{
		Kind: dag.Product, Why: "it multiplies", Form: form, Apply: apply,
	}})
	for _, add := range behind {
		p = add(&b, p)
	}
	b.Output("y", b.Affine("out", p, 2, w(2*size), w(2)))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return net, a
}

// sigmoid adds a curve behind a value of six elements.
func sigmoid(b *dag.Builder, x int) int {
	return b.Node(dag.Node{Name: "s", Source: "Sigmoid", In: []int{x}, Shape: []int{6}, Op: &dag.Func{
		Kind: dag.Curve, Why: "it is bounded", Apply: func(dst []float64, in ...[]float64) {
			for i, v := range in[0] {
				dst[i] = 1 / (1 + math.Exp(-v))
			}
		},
	}})
}

// A product that enters a function, or is an output, must stay as it is.
func TestProductsAreKept(t *testing.T) {
	for name, behind := range map[string]func(b *dag.Builder, p int) int{
		"enters a function": sigmoid,
		"is an output": func(b *dag.Builder, p int) int {
			b.Output("p", p)
			return p
		},
	} {
		for _, form := range []dag.Form{dag.Times{}, dag.Over{}, &dag.Matrices{M: 3, K: 1, N: 3, Left: []int32{0, 0}, Right: []int32{1, 0}}} {
			if m, ok := form.(*dag.Matrices); ok && name != "is an output" {
				m.M, m.N, m.Left, m.Right = 2, 3, []int32{0}, []int32{0} // six elements
			}
			net, _ := gated(t, form, true, false, behind)
			g := net.Groups()
			factors := g.Ones()
			for id := range factors {
				if g.Pin[id] == "" {
					factors[id] = 3
				}
			}
			scaled, err := net.Rescale(g, factors)
			if err != nil {
				t.Fatal(err)
			}
			// Float64, a few products: 1e-12 is far above rounding.
			if d := deviation(t, net, scaled); d > 1e-12 {
				t.Errorf("%s, %T: the function changed by %g", name, form, d)
			}
		}
	}
}

// Where one side of a product is a function's value, factors of the other go through:
// those of every group may be chosen, the function stays, and a factor on the value
// alone, or one that no group allows, changes it.
func TestProductsCarryFactors(t *testing.T) {
	matrices := func(left bool) *dag.Matrices {
		if left { // two matrices 3 x 1 of a, times two 1 x 3 of the gate
			return &dag.Matrices{M: 3, K: 1, N: 3, Left: []int32{0, 1}, Right: []int32{1, 0}}
		}
		return &dag.Matrices{M: 1, K: 3, N: 2, Left: []int32{1, 0}, Right: []int32{0, 0}}
	}
	for _, c := range []struct {
		name        string
		form        dag.Form
		curve, swap bool
		free        int
	}{
		{"times", dag.Times{}, true, false, 6},
		{"times, the gate first", dag.Times{}, true, true, 6},
		{"times, both free", dag.Times{}, false, false, 6},
		{"over", dag.Over{}, true, false, 6},
		{"over, the free one below", dag.Over{}, true, true, 0},
		{"matrices, the left one free", matrices(true), true, false, 6},
		{"matrices, the right one free", matrices(false), true, true, 2},
		{"matrices, both free", matrices(true), false, false, 2},
		{"nothing known", nil, true, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			net, a := gated(t, c.form, c.curve, c.swap)
			g := net.Groups()
			free := 0
			for _, id := range g.Rows[a] {
				if g.Pin[id] == "" {
					free++
				}
			}
			if distinct := g.Free(); distinct != c.free {
				t.Fatalf("%d groups are free, want %d: pins %q", distinct, c.free, g.Pin)
			}
			rng := rand.New(rand.NewPCG(2, 19))
			factors := g.Ones()
			for id := range factors {
				if g.Pin[id] == "" {
					factors[id] = math.Exp(rng.NormFloat64())
				}
			}
			scaled, err := net.Rescale(g, factors)
			if err != nil {
				t.Fatal(err)
			}
			// Float64, a few products: 1e-12 is far above rounding.
			if d := deviation(t, net, scaled); d > 1e-12 {
				t.Errorf("the function changed by %g", d)
			}
			if free == 0 {
				return
			}
			// A group that forgets that the value is scaled too.
			wrong := *g
			wrong.Cols = append([][]int32(nil), g.Cols...)
			last := len(net.Nodes) - 1
			wrong.Cols[last] = make([]int32, len(g.Cols[last]))
			// Or one that forgets that the two sides have inverse factors.
			wrong.Inverse = slices.Repeat([]int32{-1}, g.Count)
			if scaled, err = net.Rescale(&wrong, factors); err != nil {
				t.Fatal(err)
			}
			if d := deviation(t, net, scaled); d < 1e-3 {
				t.Errorf("a wrong factor changes the function by %g only", d)
			}
		})
	}
}

func deviation(t *testing.T, a, b *dag.Network) float64 {
	t.Helper()
	in := [][]float64{{0.3, -1, 2, 1, 1, -0.5}}
	x, err := eval.Run(t.Context(), a, in, 2, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	y, err := eval.Run(t.Context(), b, in, 2, eval.Options{})
	if err != nil {
		t.Fatal(err)
	}
	worst := 0.0
	for k := range x {
		for i := range x[k] {
			worst = max(worst, math.Abs(x[k][i]-y[k][i])/math.Abs(x[k][i]))
		}
	}
	return worst
}
