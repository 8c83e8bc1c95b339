package rescale_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
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

// hidden is what stands between the layers of a perceptron.
type hidden struct {
	name string
	// free says that units may have any factor.
	free bool
	add  func(b *dag.Builder, in int) int
}

func curve(b *dag.Builder, in int, f func(e int, x float64) float64) int {
	return b.Node(dag.Node{Name: "curve", Source: "Curve", In: []int{in}, Shape: b.Shape(in), Op: &dag.Func{
		Kind: dag.Curve, Why: "it is a curve",
		Apply: func(dst []float64, in ...[]float64) {
			for e, x := range in[0] {
				dst[e] = f(e%len(dst), x)
			}
		},
	}})
}

func times(b *dag.Builder, x, y int) int {
	return b.Node(dag.Node{Name: "mul", Source: "Mul", In: []int{x, y}, Shape: b.Shape(x), Op: &dag.Func{
		Kind: dag.Product, Why: "it multiplies", Form: dag.Times{},
		Apply: func(dst []float64, in ...[]float64) {
			for e := range dst {
				dst[e] = in[0][e] * in[1][e]
			}
		},
	}})
}

var hiddens = []hidden{
	{"relu", true, func(b *dag.Builder, in int) int { return b.Activation("relu", in, 0) }},
	{"tanh", false, func(b *dag.Builder, in int) int {
		return curve(b, in, func(_ int, x float64) float64 { return math.Tanh(x) })
	}},
	{"x sigmoid(x)", false, func(b *dag.Builder, in int) int {
		return times(b, in, curve(b, in, func(_ int, x float64) float64 { return 1 / (1 + math.Exp(-x)) }))
	}},
}

// permuted returns a multilayer perceptron of the given widths and a copy with
// every layer's hidden units in another order and rescaled; orders has, for each
// layer, the unit of the copy that each unit became.
func permuted(widths []int, rng *rand.Rand, twins bool, h hidden) (a, b *dag.Network, orders [][]int) {
	var ba, bb dag.Builder
	xa, xb := ba.Input("x", widths[0]), bb.Input("x", widths[0])
	before := make([]int, widths[0])
	scale := make([]float64, widths[0])
	for i := range before {
		before[i], scale[i] = i, 1
	}
	for l := 1; l < len(widths); l++ {
		rows, cols := widths[l], widths[l-1]
		w, bias := make([]float64, rows*cols), make([]float64, rows)
		for i := range w {
			w[i] = rng.NormFloat64()
		}
		for i := range bias {
			bias[i] = rng.NormFloat64()
		}
		if twins && rows > 1 {
			copy(w[cols:2*cols], w[:cols]) // unit 1 computes what unit 0 does
			bias[1] = bias[0]
		}
		order := rng.Perm(rows)
		c := make([]float64, rows)
		for i := range c {
			c[i] = math.Exp(rng.NormFloat64())
			if !h.free {
				c[i] = 1
			}
			if l == len(widths)-1 {
				order[i], c[i] = i, 1
			}
		}
		v, vias := make([]float64, rows*cols), make([]float64, rows)
		for i := range rows {
			for j := range cols {
				v[order[i]*cols+before[j]] = w[i*cols+j] * c[i] / scale[j]
			}
			vias[order[i]] = bias[i] * c[i]
		}
		xa, xb = ba.Affine("fc", xa, rows, w, bias), bb.Affine("fc", xb, rows, v, vias)
		if l < len(widths)-1 {
			xa, xb = h.add(&ba, xa), h.add(&bb, xb)
			orders = append(orders, order)
		}
		before, scale = order, c
	}
	ba.Output("y", xa)
	bb.Output("y", xb)
	a, err := ba.Build()
	if err != nil {
		panic(err)
	}
	b, err = bb.Build()
	if err != nil {
		panic(err)
	}
	return a, b, orders
}

// A permuted and rescaled copy is equivalent in any order, with the permutation
// that made it, and not in the same order; with a weight changed it is not, and
// the reason names the layer. Twins are units that compute the same, which only
// their outgoing weights tell apart. What does the same to each unit lets any order through.
func TestEquivalentInAnyOrder(t *testing.T) {
	for seed := range uint64(pairs()) {
		h := hiddens[seed%uint64(len(hiddens))]
		rng := rand.New(rand.NewPCG(seed, 4))
		widths := []int{1 + rng.IntN(5)}
		for range 1 + rng.IntN(3) {
			widths = append(widths, 2+rng.IntN(8))
		}
		widths = append(widths, 1+rng.IntN(3))
		twins := seed/3%3 == 0
		a, b, orders := permuted(widths, rng, twins, h)
		e := compare(t, a, b, rescale.AnyOrder)
		if !e.Equivalent {
			t.Fatalf("seed %d, %s, widths %v, twins %v: %s; residual %v", seed, h.name, widths, twins, e.Reason, e.Residual)
		}
		found := map[int][]int{}
		for _, l := range e.Permutation {
			found[l.Node] = l.Units
		}
		moved := false
		for l, order := range orders {
			node := a.Layers()[l]
			for i, to := range order {
				moved = moved || i != to
				if got := found[node]; got != nil && got[i] != to || got == nil && i != to {
					t.Fatalf("seed %d, twins %v: layer %d: order %v, want %v", seed, twins, l, got, order)
				}
			}
		}
		if same := compare(t, a, b, rescale.SameOrder).Equivalent; same == moved {
			t.Fatalf("seed %d: equivalent in the same order: %v, moved %v", seed, same, moved)
		}
		if d, ok := perturbed(b, rng, 10*tolerances[dag.Float64]); ok {
			if e := compare(t, a, d, rescale.AnyOrder); e.Equivalent || e.Undecided && !twins || !strings.Contains(e.Reason, "fc") {
				t.Fatalf("seed %d: perturbed by ten tolerances: %v %q", seed, e.Equivalent, e.Reason)
			}
		}
		c, _, _ := permuted(widths, rng, twins, h)
		if compare(t, a, c, rescale.AnyOrder).Equivalent {
			t.Fatalf("seed %d: another network is equivalent", seed)
		}
	}
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

// swapped puts the hidden units of each layer of a perceptron in another order.
func swapped(n *dag.Network, rng *rand.Rand) *dag.Network {
	layers := n.Layers()
	repl := map[*dag.Param]*dag.Param{}
	before := []int(nil)
	for k, i := range layers {
		l := n.Nodes[i].Op.(*dag.Linear)
		d := l.Map.(*dag.Dense)
		order := rng.Perm(d.Rows)
		if k == len(layers)-1 {
			slices.Sort(order)
		}
		move := func(p *dag.Param, at func(e int) int) *dag.Param {
			v := p.Values()
			out := make([]float64, len(v))
			for e, x := range v {
				out[at(e)] = x
			}
			return p.WithValues(nil, out)
		}
		col := before
		repl[d.W.Param] = move(d.W.Param, func(e int) int {
			j := e % d.Cols
			if col != nil {
				j = col[j]
			}
			return order[e/d.Cols]*d.Cols + j
		})
		bias := l.Stages[0].Add.Param
		repl[bias] = move(bias, func(e int) int { return order[e] })
		before = order
	}
	return n.Replace(func(u *dag.Use) *dag.Param { return repl[u.Param] })
}

// Where units of two layers meet in products, the order of one layer's units is that of
// the other's: the same permutation of both is no other function, one of a single layer is.
func TestEquivalentOrdersInProducts(t *testing.T) {
	network := func(a, other, w []float64) *dag.Network {
		var b dag.Builder
		x := b.Input("x", 2)
		p, q := b.Activation("relu", b.Affine("a", x, 2, a, nil), 0), b.Affine("b", x, 2, other, nil)
		times := func(dst []float64, in ...[]float64) {
			for i := range dst {
				dst[i] = in[0][i] * in[1][i]
			}
		}
		m := b.Node(dag.Node{
			Name: "mul", Source: "Mul", In: []int{p, q}, Shape: []int{2},
			Op: &dag.Func{Kind: dag.Product, Why: "it multiplies", Form: dag.Times{}, Apply: times},
		})
		b.Output("y", b.Affine("w", m, 1, w, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := network([]float64{1, 2, 3, 4}, []float64{1, -1, 2, 5}, []float64{1, 7})
	for _, c := range []struct {
		name    string
		with    *dag.Network
		yes, no bool
	}{
		{"one side in another order", network([]float64{3, 4, 1, 2}, []float64{1, -1, 2, 5}, []float64{7, 1}), false, true},
		{"both sides in another order", network([]float64{3, 4, 1, 2}, []float64{2, 5, 1, -1}, []float64{7, 1}), true, false},
		{"one layer in another order", network([]float64{3, 4, 1, 2}, []float64{1, -1, 2, 5}, []float64{1, 7}), false, true},
		{"the same", n, true, false},
	} {
		e, err := rescale.Equivalent(t.Context(), n, c.with, rescale.EquivalentOptions{Units: rescale.AnyOrder})
		if err != nil {
			t.Fatal(err)
		}
		if yes, no := e.Equivalent, !e.Equivalent && !e.Undecided; yes != c.yes || no != c.no {
			t.Errorf("%s: equivalent %v, undecided %v: %s", c.name, e.Equivalent, e.Undecided, e.Reason)
		}
	}
}

// Functions that are not evaluated are compared as they stand: units between two of them may come in
// another order, and so far the answer is a yes. What such a function makes of its operands in another
// order is not known, nor what another function does.
func TestEquivalentOrdersBesideOpaque(t *testing.T) {
	weights := func(seed uint64, n int) []float64 {
		rng, w := rand.New(rand.NewPCG(seed, 0)), make([]float64, n)
		for i := range w {
			w[i] = rng.NormFloat64()
		}
		return w
	}
	turn := func(w []float64, rows, cols int, order []int, columns bool) []float64 {
		out := slices.Clone(w)
		for i := range rows {
			for j := range cols {
				if columns {
					out[i*cols+order[j]] = w[i*cols+j]
				} else {
					out[order[i]*cols+j] = w[i*cols+j]
				}
			}
		}
		return out
	}
	order := []int{2, 0, 3, 1}
	// Three segments: fc1 relu fc2, a function, fc3 tanh fc4, a function, fc5.
	network := func(name string, moved ...string) *dag.Network {
		var b dag.Builder
		at := func(layer string) bool { return slices.Contains(moved, layer) }
		w := [5][]float64{}
		for k := range w {
			w[k] = weights(uint64(k), 16)
			if at(fmt.Sprint("rows ", k+1)) {
				w[k] = turn(w[k], 4, 4, order, false)
			}
			if at(fmt.Sprint("columns ", k+1)) {
				w[k] = turn(w[k], 4, 4, order, true)
			}
			if at(fmt.Sprint("weight ", k+1)) {
				w[k][3] += 0.5
			}
		}
		fc := func(k, in int) int { return b.Affine(fmt.Sprint("fc", k), in, 4, w[k-1], nil) }
		opaque := func(in int) int {
			return b.Node(dag.Node{Name: "foo", Source: "Foo", In: []int{in}, Shape: b.Shape(in), Op: &dag.Func{
				Kind: dag.Opaque, Why: "it is unknown", Definition: func(w io.Writer) error {
					_, err := io.WriteString(w, name)
					return err
				},
			}})
		}
		x := fc(2, b.Activation("relu", fc(1, b.Input("x", 4)), 0))
		x = fc(4, hiddens[1].add(&b, fc(3, opaque(x))))
		b.Output("y", fc(5, opaque(x)))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		moved []string
		yes   bool
	}{
		{[]string{}, true},
		{[]string{"rows 1", "columns 2"}, true},
		{[]string{"rows 3", "columns 4"}, true},
		{[]string{"rows 1", "columns 2", "rows 3", "columns 4"}, true},
		{[]string{"rows 2", "columns 3"}, false},
		{[]string{"rows 2"}, false},
		{[]string{"rows 1", "columns 2", "weight 4"}, false},
	} {
		e := compare(t, network("foo"), network("foo", c.moved...), rescale.AnyOrder)
		if no := !e.Equivalent && !e.Undecided; e.Equivalent != c.yes || no {
			t.Errorf("%q: equivalent %v, undecided %v: %s", c.moved, e.Equivalent, e.Undecided, e.Reason)
		}
		if e := compare(t, network("foo"), network("bar", c.moved...), rescale.AnyOrder); e.Equivalent {
			t.Errorf("%q, and another function: equivalent", c.moved)
		}
	}
}

// A function that does something else to each element lets no other order through, even where all
// weights agree in it.
func TestEquivalentOrdersOfUnevenCurves(t *testing.T) {
	network := func(first, second []float64, even bool) *dag.Network {
		var b dag.Builder
		x := curve(&b, b.Affine("fc1", b.Input("x", 2), 2, first, nil), func(e int, x float64) float64 {
			if even {
				e = 0
			}
			return math.Tanh(x * float64(1+e))
		})
		b.Output("y", b.Affine("fc2", x, 1, second, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := []float64{1, 2, 3, -4}, []float64{3, -4, 1, 2}
	for _, even := range []bool{true, false} {
		e := compare(t, network(a, []float64{5, 6}, even), network(b, []float64{6, 5}, even), rescale.AnyOrder)
		if e.Equivalent != even || e.Undecided {
			t.Errorf("the same for each: %v: equivalent %v, undecided %v: %s", even, e.Equivalent, e.Undecided, e.Reason)
		}
	}
}

// The operands of an elementwise product come in either order, and where both have units, factors may be on either
// side though the groups give them to one: never a no where the function is the same.
func TestEquivalentProductsEitherWay(t *testing.T) {
	type sides struct {
		curve, swap   bool
		first, second float64 // factors of the units of either side
		change        float64
	}
	network := func(c sides) *dag.Network {
		var b dag.Builder
		w := func(f float64, x ...float64) []float64 {
			for i := range x {
				x[i] *= f
			}
			return x
		}
		x := b.Input("x", 2)
		p := b.Affine("a", x, 2, w(c.first, 1, 2, 3+c.change, -4), nil)
		q := b.Affine("b", x, 2, w(c.second, 1, -1, 2, 5), nil)
		if c.curve {
			q = hiddens[1].add(&b, q)
		}
		if c.swap {
			p, q = q, p
		}
		b.Output("y", b.Affine("w", times(&b, p, q), 1, w(1/(c.first*c.second), 1, 7), nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, c := range []struct {
		curve   bool
		b       sides
		yes, no bool
	}{
		{true, sides{swap: true, first: 1, second: 1}, true, false},
		{true, sides{swap: true, first: 3, second: 1}, true, false},
		{true, sides{swap: true, first: 3, second: 1, change: 0.5}, false, true},
		{true, sides{first: 1, second: 3}, false, true},
		{false, sides{first: 3, second: 1}, true, false},
		{false, sides{first: 1, second: 3}, false, false},
		{false, sides{swap: true, first: 1, second: 1}, false, false},
		{false, sides{swap: true, first: 2, second: 3}, false, false},
		{false, sides{first: 1, second: 3, change: 0.5}, false, true},
	} {
		c.b.curve = c.curve
		a, b := network(sides{curve: c.curve, first: 1, second: 1}), network(c.b)
		for _, order := range []rescale.Order{rescale.SameOrder, rescale.AnyOrder} {
			e := compare(t, a, b, order)
			if yes, no := e.Equivalent, !e.Equivalent && !e.Undecided; yes != c.yes || no != c.no {
				t.Errorf("%+v, order %d: yes %v, no %v: %s", c.b, order, yes, no, e.Reason)
			}
		}
	}
}
