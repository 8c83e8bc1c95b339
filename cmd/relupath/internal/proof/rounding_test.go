package proof

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// affine is Builder.Affine in float32.
func affine(b *dag.Builder, name string, in, rows int, w, bias []float32) int {
	cols := len(w) / rows
	l := &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: dag.NewParam32(name+"_w", dag.Float32, []int{rows, cols}, w)}, Rows: rows, Cols: cols}}
	if bias != nil {
		l.Stages = []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam32(name+"_b", dag.Float32, []int{rows}, bias)}, Coef: 1}}}
	}
	return b.Node(dag.Node{Name: name, Source: "Gemm", In: []int{in}, Shape: []int{rows}, Op: l})
}

func widened(x []float32) []float64 {
	var out []float64
	for _, v := range x {
		out = append(out, float64(v))
	}
	return out
}

// amplified is a random network of every rule of rescaling with sin(gain y) behind each
// output y and a layer behind that, so that what rounding changes in y is gain times as
// much.
func amplified(t *testing.T, seed uint64, gain float64) *dag.Network {
	t.Helper()
	in := dagtest.FromSeed(seed, dagtest.Options{Features: (dagtest.Partly | dagtest.Rotary) &^ dagtest.Fixed, Steps: 8})
	var b dag.Builder
	for i, nd := range in.Nodes {
		if slices.ContainsFunc(in.Inputs, func(p dag.Port) bool { return p.Node == i }) {
			b.Input(nd.Name, nd.Shape...)
		} else {
			b.Node(nd)
		}
	}
	for _, p := range in.Outputs {
		shape := []int{dag.Size(b.Shape(p.Node))}
		id := b.Node(dag.Node{Name: "sin_" + p.Name, Source: "Sin", In: []int{p.Node}, Shape: shape, Op: &dag.Func{
			Kind: dag.Curve, Why: "it is a curve",
			Apply: func(dst []float64, in ...[]float64) {
				for i, x := range in[0] {
					dst[i] = math.Sin(gain * x)
				}
			},
		}})
		w := make([]float32, shape[0])
		for i := range w {
			w[i] = 1 + float32(i)/8
		}
		b.Output("end_"+p.Name, affine(&b, "last_"+p.Name, id, 1, w, nil))
	}
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// somewhere returns groups in which one unit that a layer reads or makes has a factor of
// its own, times as large as it must be.
func somewhere(rng *rand.Rand, net *dag.Network, g *dag.Groups, c []float64, times float64) (*dag.Groups, []float64) {
	wrong := *g
	wrong.Rows, wrong.Cols = slices.Clone(g.Rows), slices.Clone(g.Cols)
	for {
		i := rng.IntN(len(net.Nodes))
		side := wrong.Rows
		if rng.IntN(2) == 0 {
			side = wrong.Cols
		}
		if len(side[i]) == 0 {
			continue
		}
		e := rng.IntN(len(side[i]))
		id := side[i][e]
		if id == dag.NoGroup {
			continue
		}
		side[i] = slices.Clone(side[i])
		side[i][e] = int32(g.Count)
		return &wrong, apart(&wrong, g, c, id, times)
	}
}

// apart gives groups one more, whose factor is times that of another, and returns all factors.
func apart(wrong, g *dag.Groups, c []float64, id int32, times float64) []float64 {
	wrong.Count++
	wrong.Size = append(slices.Clone(g.Size), 1)
	wrong.Pin = append(slices.Clone(g.Pin), "")
	wrong.Inverse = append(slices.Clone(g.Inverse), -1)
	all := slices.Clone(c)
	g.Invert(all)
	return append(slices.Clone(c), all[id]*times)
}

// The units of a rotary pair are tied and free, and another factor at one of them is caught.
func TestRotaryPairsAreTied(t *testing.T) {
	free, caught := 0, 0
	for seed := range uint64(600) {
		net := amplified(t, seed, 1)
		g := net.Groups()
		for nd := range dag.Each[*dag.Add](net) {
			if !strings.HasPrefix(nd.Name, "turn") {
				continue
			}
			in := net.Nodes[nd.In[0]].In[0] // of the product with the cosine
			rows := g.Rows[in]
			if l, ok := net.Nodes[in].Op.(*dag.Linear); !ok || !l.Free() {
				continue
			}
			m := &g.Units[nd.ID]
			for e, id := range rows {
				if id != m.At(e) || g.Pin[id] != "" {
					continue
				}
				free++
				if g.Size[id] < 2 {
					t.Errorf("seed %d: unit %d of %s is alone", seed, e, nd.Label())
				}
				if e > 0 { // one a value
					continue
				}
				c := g.Ones()
				c[id] = 1.5
				b, exact := rescaled(t, net, g, c)
				if r := compare(t, net, b, Options{Samples: 4, Unrounded: exact}); r.Unexplained > 0 {
					t.Errorf("seed %d: a factor of unit %d of %s makes %g", seed, e, nd.Label(), r.Unexplained)
				}
				wrong := *g
				wrong.Rows = slices.Clone(g.Rows)
				wrong.Rows[in] = slices.Clone(rows)
				wrong.Rows[in][e] = int32(g.Count)
				d := apart(&wrong, g, c, id, 1.5)
				b, exact = rescaled(t, net, &wrong, d)
				if compare(t, net, b, Options{Samples: 4, Unrounded: exact}).Unexplained > 0 {
					caught++
				}
			}
		}
	}
	t.Logf("%d free units of pairs, %d wrong factors caught", free, caught)
	if free < 100 || caught < 20 {
		t.Errorf("%d free units of pairs, %d wrong factors caught: too few to show anything", free, caught)
	}
}

func rescaled(t *testing.T, net *dag.Network, g *dag.Groups, c []float64) (rounded *dag.Network, unrounded func() (*dag.Network, error)) {
	t.Helper()
	rounded, err := net.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	return rounded, func() (*dag.Network, error) {
		exact, err := net.RescaleUnrounded(g, c)
		if err != nil {
			return nil, err
		}
		return rounded.Unround(exact)
	}
}

// Where a network amplifies rounding, differences are explained by it, and a factor that
// is wrong at one unit never is: not where a thousandth of it is, and not where less is
// than rounding itself makes of the outputs.
func TestRoundingExplainsNoWrongFactor(t *testing.T) {
	const samples = 4
	explained, caught, silent, hidden := 0, 0, 0, 0
	for seed := range uint64(130) {
		net := amplified(t, seed, 300)
		g := net.Groups()
		rng := rand.New(rand.NewPCG(seed, 15))
		c := g.Ones()
		for id := range c {
			if g.Pin[id] == "" {
				c[id] = math.Exp(rng.NormFloat64())
			}
		}
		b, exact := rescaled(t, net, g, c)
		r := compare(t, net, b, Options{Samples: samples, Seed: seed, Unrounded: exact})
		if r.Unexplained > 0 {
			t.Errorf("seed %d: a difference of %g is not explained (%s)", seed, r.Unexplained, r.UnexplainedAt)
		}
		if r.MaxRel > Tolerance(net) {
			explained++
		}
		for _, times := range []float64{1.001, 1 / 1.001, 2, 1 + 1e-6} {
			wrong, d := somewhere(rng, net, g, c, times)
			b, exact := rescaled(t, net, wrong, d)
			got := compare(t, net, b, Options{Samples: samples, Seed: seed, Unrounded: exact})
			if got.Unexplained > 0 {
				caught++
				if got.MaxRel < 2*r.MaxRel {
					hidden++
				}
				continue
			}
			// Then it changes nothing, as at a unit that nothing reads, or a thousandth of
			// what rounding does.
			u, err := net.RescaleUnrounded(wrong, d)
			if err != nil {
				t.Fatal(err)
			}
			for i, k := range compare(t, net, u, Options{Samples: samples, Seed: seed}).Kinds {
				if got := got.Kinds[i]; got.Decides && k.MaxRel > max(Tolerance(net), residue*got.MaxRel) {
					t.Errorf("seed %d: a factor %g times what it must be makes %g on %s inputs and is explained by rounding", seed, times, k.MaxRel, k.Name)
				}
			}
			silent++
		}
	}
	t.Logf("%d networks explained, %d wrong factors caught (%d of them below what rounding makes), %d without effect", explained, caught, hidden, silent)
	if explained < 60 || caught < 300 || hidden < 10 {
		t.Errorf("%d networks explained, %d wrong factors caught, %d hidden: too few to show anything", explained, caught, hidden)
	}
}

// A written number that is not the rounding of what it should be leaves the difference
// unexplained.
func TestRoundingExplainsNoOtherNumber(t *testing.T) {
	net := amplified(t, 3, 1e4)
	g := net.Groups()
	c := g.Ones()
	for id := range c {
		if g.Pin[id] == "" {
			c[id] = 1.3
		}
	}
	b, exact := rescaled(t, net, g, c)
	r := compare(t, net, b, Options{Samples: 8, Unrounded: exact})
	if r.Unexplained > 0 || r.MaxRel <= Tolerance(net) {
		t.Fatalf("%+v: want a difference that rounding explains", r)
	}
	first := true
	other := b.Replace(func(u *dag.Use) *dag.Param {
		if !first {
			return u.Param
		}
		first = false
		v := u.Param.Values()
		v[0] *= 1 + 0x1p-20 // eight distances of float32
		return u.Param.WithValues(nil, v)
	})
	r = compare(t, net, other, Options{Samples: 8, Unrounded: func() (*dag.Network, error) {
		u, err := net.RescaleUnrounded(g, c)
		if err != nil {
			return nil, err
		}
		return other.Unround(u)
	}})
	if r.Unexplained == 0 {
		t.Errorf("%+v: another number is explained by rounding", r)
	}
}

// Without a look at the numbers nothing is explained, and a tolerance that is given is
// strict.
func TestStrictTolerance(t *testing.T) {
	net := amplified(t, 3, 1e4)
	g := net.Groups()
	c := g.Ones()
	for id := range c {
		if g.Pin[id] == "" {
			c[id] = 1.3
		}
	}
	b, exact := rescaled(t, net, g, c)
	if r := compare(t, net, b, Options{Samples: 8}); r.Unexplained != r.MaxRel || r.UnexplainedAt != r.Where {
		t.Errorf("%+v", r)
	}
	if r := compare(t, net, b, Options{Samples: 8, Tolerance: 1, Unrounded: exact}); r.Unexplained != 0 || r.Kinds[0].Rounding != 0 {
		t.Errorf("%+v", r)
	}
}

// An output that rounding changes on every kind of input by more than a tenth is
// undecided, one without a finite value too; zeros decide nothing.
func TestUndecided(t *testing.T) {
	build := func(f func(x float64) float64, wide bool) *dag.Network {
		var b dag.Builder
		affine := affine
		if wide {
			affine = func(b *dag.Builder, name string, in, rows int, w, bias []float32) int {
				return b.Affine(name, in, rows, widened(w), widened(bias))
			}
		}
		x := b.Input("x", 2)
		h := b.Activation("relu", affine(&b, "fc1", x, 2, []float32{0.7, 0.1, -0.3, 0.9}, []float32{0.3, 0.6}), 0)
		y := affine(&b, "fc2", h, 1, []float32{1, 0.3}, nil)
		s := b.Node(dag.Node{Name: "f", Source: "F", In: []int{y}, Shape: []int{1}, Op: &dag.Func{
			Kind: dag.Curve, Why: "it is a curve",
			Apply: func(dst []float64, in ...[]float64) { dst[0] = f(in[0][0]) },
		}})
		b.Output("y", affine(&b, "fc3", s, 1, []float32{1}, nil))
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	for _, c := range []struct {
		name                string
		f                   func(x float64) float64
		wide                bool // float64
		undecided, infinite int
		decides             []bool // random, zero, large
	}{
		{"chaos", func(x float64) float64 { return math.Sin(1e8 * x) }, false, 1, 0, []bool{false, false, false}},
		{"chaos of large values", func(x float64) float64 { return math.Sin(min(1e6, 1e3+x*x*x*x) * x) }, false, 0, 0, []bool{true, true, false}},
		{"float64", func(x float64) float64 { return math.Sin(1e8 * x) }, true, 0, 0, []bool{true, true, true}},
		{"infinite", func(float64) float64 { return math.Inf(1) }, false, 0, 1, []bool{false, false, false}},
		{"smooth", math.Tanh, false, 0, 0, []bool{true, true, true}},
	} {
		net := build(c.f, c.wide)
		g := net.Groups()
		factors := g.Ones()
		for id := range factors {
			if g.Pin[id] == "" {
				factors[id] = 1.3
			}
		}
		b, exact := rescaled(t, net, g, factors)
		r := compare(t, net, b, Options{Unrounded: exact})
		var decides []bool
		for _, k := range r.Kinds {
			decides = append(decides, k.Decides)
		}
		if r.Unexplained > 0 || len(r.Undecided) != c.undecided || len(r.Infinite) != c.infinite || !slices.Equal(decides, c.decides) {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}
