package rescale_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/rescale"
)

var tolerances = map[dag.DType]float64{dag.Float64: 1e-10, dag.Float32: 1e-5, dag.Float16: 1e-2, dag.BFloat16: 1e-2}

func compare(t *testing.T, a, b *dag.Network, order rescale.Order) *rescale.Equivalence {
	t.Helper()
	e, err := rescale.Equivalent(context.Background(), a, b, rescale.EquivalentOptions{Units: order})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// pairs is how many random pairs of each kind are compared.
func pairs() int {
	if testing.Short() {
		return 50
	}
	return 1000
}

// features alternates between networks that are homogeneous as a whole and those
// that have functions.
func features(seed uint64) dagtest.Feature {
	return []dagtest.Feature{dagtest.All, dagtest.Partly}[seed/6%2]
}

// A random rescaling is equivalent, with the factors that made it; a weight that
// differs by ten tolerances, or another network, is not.
func TestEquivalent(t *testing.T) {
	for seed := range uint64(pairs()) {
		rng := rand.New(rand.NewPCG(seed, 9))
		typ := []dag.DType{dag.Float64, dag.Float32, dag.Float16}[seed%3]
		opt := dagtest.Options{Features: features(seed), Type: typ, Zeros: []float64{0, 0.2}[seed%2]}
		n := dagtest.FromSeed(seed, opt)
		g := n.Groups()
		c := g.Ones()
		for id := range c {
			if g.Pin[id] == "" {
				c[id] = math.Exp(rng.NormFloat64())
			}
		}
		b, err := n.Rescale(g, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
			e := compare(t, n, b, order)
			if !e.Equivalent {
				t.Fatalf("seed %d, order %d: %s; residual %v\n%s", seed, order, e.Reason, e.Residual, n)
			}
			if !applies(n, b, e) {
				t.Fatalf("seed %d, order %d: factors do not turn a into b\n%s", seed, order, n)
			}
		}
		if d, ok := perturbed(b, rng, 10*tolerances[typ]); ok {
			for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
				if e := compare(t, n, d, order); e.Equivalent {
					t.Fatalf("seed %d, order %d: perturbed by ten tolerances, residual %v\n%s", seed, order, e.Residual, n)
				} else if e.Reason == "" {
					t.Fatalf("seed %d: no reason", seed)
				}
			}
		}
		if other := dagtest.FromSeed(seed+1e6, opt); compare(t, n, other, rescale.AnyOrder).Equivalent && len(n.Params()) > 0 {
			t.Fatalf("seed %d: another network is equivalent\n%s\n%s", seed, n, other)
		}
	}
}

// Bounds of caps are compared with the factors of their units: another bound is another
// function, and a unit that no weight tells has its factor from its bounds.
func TestEquivalentBounds(t *testing.T) {
	build := func(w, hi []float64) *dag.Network {
		var b dag.Builder
		h := b.Affine("h", b.Input("x", 1), 2, w, nil)
		six := b.Node(dag.Node{Name: "six", Source: "Clip", In: []int{h}, Shape: []int{2}, Op: &dag.Cap{Lo: []float64{0}, Hi: hi, Type: dag.Float64}})
		b.Output("y", b.Affine("y", six, 1, []float64{w[0], 0}, nil))
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	a := build([]float64{1, 0}, []float64{6})
	for _, c := range []struct {
		hi   []float64
		want bool
	}{
		{[]float64{6}, true}, {[]float64{6, 12}, true}, {[]float64{6, 0}, false}, {[]float64{6.001, 6}, false}, {[]float64{math.Inf(1)}, false},
	} {
		for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
			if e := compare(t, a, build([]float64{1, 0}, c.hi), order); e.Equivalent != c.want {
				t.Errorf("bounds %v: equivalent is %v: %s", c.hi, e.Equivalent, e.Reason)
			}
		}
	}
}

// applies checks the factors by applying them, at the first layers of which no
// order has changed.
func applies(a, b *dag.Network, e *rescale.Equivalence) bool {
	if e.Permutation != nil {
		return true
	}
	c, err := a.Rescale(e.Groups, e.Factors)
	if err != nil {
		return false
	}
	for i := range c.Nodes {
		x, ok := c.Nodes[i].Op.(*dag.Linear)
		if !ok {
			continue
		}
		y := b.Nodes[i].Op.(*dag.Linear)
		same := true
		var ws []float64
		x.Elements(func(_, _, _, _ int, w float64) { ws = append(ws, w) })
		k := 0
		y.Elements(func(_, _, _, _ int, w float64) {
			same = same && math.Abs(w-ws[k]) <= 2*e.Tolerance*math.Abs(w)
			k++
		})
		if !same {
			return false
		}
	}
	return true
}

// perturbed changes one stored weight, of a layer that has other weights to tell
// it by, so much that no factors explain it: one of a row and a column with more
// live weights. ok is false when there is none.
func perturbed(n *dag.Network, rng *rand.Rand, by float64) (out *dag.Network, ok bool) {
	var use *dag.Use
	at := -1
	for i := range n.Nodes {
		l, isLinear := n.Nodes[i].Op.(*dag.Linear)
		if !isLinear || n.Nodes[i].Zone != dag.Body {
			continue
		}
		d, isDense := l.Map.(*dag.Dense)
		if !isDense || d.Rows < 2 || d.Cols < 2 || l.Scale() != nil {
			continue
		}
		// All weights there: then neither the row's nor the column's factor can
		// take the change up.
		for k := range d.W.Param.Len() {
			if d.W.Param.At(k) == 0 {
				isDense = false
			}
		}
		if isDense {
			use, at = &d.W, rng.IntN(d.W.Param.Len())
		}
	}
	if use == nil {
		return nil, false
	}
	v := use.Param.Values()
	v[at] *= 1 + by
	p := use.Param.WithValues(nil, v)
	return n.Replace(func(u *dag.Use) *dag.Param {
		if u.Param == use.Param && u == use {
			return p
		}
		return u.Param
	}), true
}

// A bias that differs by ten tolerances is a difference, named as such; one that
// is folded from terms that cancel may differ by their rounding.
func TestEquivalentBias(t *testing.T) {
	net := func(bias, mean float64) *dag.Network {
		var b dag.Builder
		p := func(v ...float64) dag.Use { return dag.Use{Param: dag.NewParam64("p", []int{len(v)}, v)} }
		x := b.Input("x", 2)
		fc := b.Affine("fc1", x, 1, []float64{1, 2}, []float64{bias})
		bn := b.Node(dag.Node{Name: "bn", Source: "BatchNormalization", In: []int{fc}, Shape: []int{1}, Op: &dag.Linear{
			Map:    &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 1, Inner: 1}},
			Stages: []dag.Stage{{Norm: &dag.BatchNorm{Gamma: p(1), Beta: p(1e6), Mean: p(mean), Var: p(1)}}},
		}})
		b.Output("y", b.Affine("fc2", b.Activation("relu", bn, 0), 1, []float64{3}, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a := net(1, 1e6-1e-3)
	if e := compare(t, a, net(1+1e-9, 1e6-1e-3), rescale.SameOrder); e.Equivalent || !strings.Contains(e.Reason, "unit 0, bias") {
		t.Errorf("bias of another size: %v %q", e.Equivalent, e.Reason)
	}
	// The folded bias is 1e-3: the mean's last digit, 1e-10, is 1e-7 of it.
	if e := compare(t, a, net(1, math.Nextafter(1e6-1e-3, 0)), rescale.SameOrder); !e.Equivalent {
		t.Errorf("rounding of a mean: %v, residual %v", e.Reason, e.Residual)
	}
}

func TestEquivalentIsInterrupted(t *testing.T) {
	n := dagtest.FromSeed(1, dagtest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
		_, err := rescale.Equivalent(ctx, n, n, rescale.EquivalentOptions{Units: order})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v, want the context's error", order, err)
		}
	}
}

// Networks whose heads compute other functions are not equivalent, though they
// come from the same operator.
func TestEquivalentHead(t *testing.T) {
	clip := func(limit float64) *dag.Network {
		var b dag.Builder
		x := b.Input("x", 2)
		x = b.Affine("fc", x, 2, []float64{1, 2, 3, 4}, nil)
		x = b.Node(dag.Node{Name: "clip", Source: "Clip", In: []int{x}, Shape: []int{2}, Op: &dag.Func{
			Apply: func(dst []float64, in ...[]float64) {
				for i, v := range in[0] {
					dst[i] = min(v, limit)
				}
			},
		}})
		b.Output("y", x)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if e := compare(t, clip(6), clip(6), rescale.SameOrder); !e.Equivalent {
		t.Errorf("the same head: %s", e.Reason)
	}
	const want = `"clip" (Clip): the functions give other values for the same operands`
	if e := compare(t, clip(6), clip(5), rescale.SameOrder); e.Equivalent || !strings.Contains(e.Reason, want) {
		t.Errorf("equivalent %v, reason %q, want one with %q", e.Equivalent, e.Reason, want)
	}
}

// Products whose form is known are compared by it: their values, which a few numbers can make many
// of, are not computed.
func TestEquivalentProducts(t *testing.T) {
	const n = 3
	product := func() *dag.Network {
		var b dag.Builder
		x := b.Input("x", 2*n)
		p := b.Node(dag.Node{Name: "p", Source: "MatMul", In: []int{x, x}, Shape: []int{n, n}, Op: &dag.Func{
			Form:  &dag.Matrices{M: n, K: 1, N: n, Left: []int32{0}, Right: []int32{1}},
			Apply: func([]float64, ...[]float64) { t.Error("a product is computed") },
		}})
		b.Output("y", p)
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	if e := compare(t, product(), product(), rescale.SameOrder); !e.Equivalent {
		t.Errorf("the same product: %s", e.Reason)
	}
}

// Of networks that give the same values in forms that cannot be compared, as a
// sum of three units and the same in one, no answer is certain; nor is one of
// another architecture that gives others anything but a no.
func TestEquivalentUndecided(t *testing.T) {
	net := func(units int, w float64) *dag.Network {
		var b dag.Builder
		x := b.Input("x", 2)
		in, out := make([]float64, 0, 2*units), make([]float64, units)
		for i := range units {
			in = append(in, 1, -2)
			out[i] = w / float64(units)
		}
		b.Output("y", b.Affine("fc2", b.Activation("relu", b.Affine("fc1", x, units, in, nil), 0), 1, out, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
		if e := compare(t, net(1, 3), net(3, 3), order); !e.Undecided || e.Equivalent || !strings.Contains(e.Reason, "cannot be compared") {
			t.Errorf("one function: undecided %v, equivalent %v, reason %q", e.Undecided, e.Equivalent, e.Reason)
		}
		if e := compare(t, net(1, 3), net(3, 3.1), order); e.Undecided || e.Equivalent || !strings.Contains(e.Reason, "the functions differ") {
			t.Errorf("two functions: undecided %v, equivalent %v, reason %q", e.Undecided, e.Equivalent, e.Reason)
		}
	}
}

// Weights of every size that a type holds, subnormal numbers and zeros among
// them, are those of the same network and of copies with their units permuted,
// rescaled, or both: never a no.
func TestEquivalentExtremes(t *testing.T) {
	var undecided [2]int
	// In two of them the first weight that tells a factor is subnormal in one network,
	// and a unit's norm is.
	seeds := []uint64{3623, 4412}
	for seed := range uint64(pairs()) {
		seeds = append(seeds, seed)
	}
	for _, seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 6))
		widths := []int{1 + rng.IntN(4), 2 + rng.IntN(6), 2 + rng.IntN(6), 1 + rng.IntN(3)}
		a, _, _ := permuted(widths, rng, seed%3 == 0, hiddens[0])
		typ, span := dag.Float64, []float64{300, 100, 30, 5}[seed%4]
		if seed%2 == 1 {
			typ, span = dag.Float32, []float64{38, 20, 10, 44}[seed/2%4]
		}
		wild := map[*dag.Param]*dag.Param{}
		extreme := a.Replace(func(u *dag.Use) *dag.Param {
			if wild[u.Param] == nil {
				v := make([]float64, u.Param.Len())
				for i := range v {
					v[i] = rng.NormFloat64() * math.Pow(10, span*(2*rng.Float64()-1))
					if rng.IntN(8) == 0 {
						v[i] = 0
					}
					v[i] = math.Max(-1e300, math.Min(1e300, v[i]))
				}
				wild[u.Param] = dag.NewParam64("w", u.Param.Shape, v)
				if typ == dag.Float32 {
					f := make([]float32, len(v))
					for i := range v {
						f[i] = float32(math.Max(-1e38, math.Min(1e38, v[i])))
					}
					wild[u.Param] = dag.NewParam32("w", typ, u.Param.Shape, f)
				}
			}
			return wild[u.Param]
		})
		g := extreme.Groups()
		c := g.Ones()
		for id := range c {
			if g.Pin[id] == "" {
				c[id] = math.Exp2(float64(rng.IntN(9) - 4))
			}
		}
		scaled, err := extreme.Rescale(g, c)
		if err != nil {
			t.Fatal(err)
		}
		finite := true
		for _, p := range scaled.Params() {
			for _, x := range p.Values() {
				finite = finite && x-x == 0
			}
		}
		for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
			if e := compare(t, extreme, extreme, order); !e.Equivalent {
				t.Fatalf("seed %d, order %d: the same network: %s, residual %v", seed, order, e.Reason, e.Residual)
			}
			if e := compare(t, extreme, scaled, order); finite && !e.Equivalent && !e.Undecided {
				t.Fatalf("seed %d, order %d: rescaled: %s, residual %v", seed, order, e.Reason, e.Residual)
			}
		}
		for k, other := range []*dag.Network{extreme, scaled} {
			e := compare(t, extreme, swapped(other, rng), rescale.AnyOrder)
			if e.Undecided {
				undecided[k]++
			} else if !e.Equivalent && (k == 0 || finite) {
				t.Fatalf("seed %d: permuted, %s: %s, residual %v", seed, []string{"", "and rescaled"}[k], e.Reason, e.Residual)
			}
		}
	}
	t.Logf("of %d copies undecided: %d permuted, %d permuted and rescaled", len(seeds), undecided[0], undecided[1])
}
