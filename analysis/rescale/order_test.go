package rescale_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
)

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
