package proof

import (
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// hiding returns a network some of whose functions between layers are not evaluated, one in every
// so many, and how many these are.
func hiding(t *testing.T, net *dag.Network, every int) (*dag.Network, int) {
	t.Helper()
	var b dag.Builder
	seen, n := 0, 0
	for _, nd := range net.Nodes {
		f, ok := nd.Op.(*dag.Func)
		if ok && nd.Zone == dag.Between && f.Apply != nil && f.Form == nil {
			if seen++; seen%every == 0 {
				nd.Op = &dag.Func{Kind: dag.Opaque, Why: "it is not known", Inside: f.Inside}
				n++
			}
		}
		if _, ok := nd.Op.(dag.Input); ok {
			b.Input(nd.Name, nd.Shape...)
		} else {
			b.Node(nd)
		}
	}
	for _, p := range net.Outputs {
		b.Output(p.Name, p.Node)
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out, n
}

// Where functions are not evaluated, right factors make no difference segment by segment, and a
// wrong one is caught wherever evaluation end to end catches it.
func TestWrongFactorsAreCaughtBySegment(t *testing.T) {
	networks, caught, silent := 0, 0, 0
	for seed := range uint64(300) {
		whole := dagtest.FromSeed(seed, dagtest.Options{Features: (dagtest.Partly | dagtest.Rotary) &^ dagtest.Fixed, Steps: 10})
		net, hidden := hiding(t, whole, 1+int(seed%2))
		if _, at, _, err := net.Cut(); hidden == 0 || len(at) == 0 || err != nil {
			continue
		}
		networks++
		g := net.Groups()
		rng := rand.New(rand.NewPCG(seed, 19))
		c := g.Ones()
		for id := range c {
			if g.Pin[id] == "" {
				c[id] = math.Exp(rng.NormFloat64())
			}
		}
		b, exact := rescaled(t, net, g, c)
		opt := Options{Samples: 8, Seed: seed, Unrounded: exact}
		r := compare(t, net, b, opt)
		if r.Unexplained > 0 || len(r.Starts) == 0 {
			t.Errorf("seed %d: %d starts, a difference of %g (%s)", seed, len(r.Starts), r.Unexplained, r.UnexplainedAt)
		}
		for range 4 {
			wrong, d := somewhere(rng, net, g, c, 2)
			b, exact := rescaled(t, net, wrong, d)
			opt.Unrounded = exact
			segments, err := Compare(t.Context(), net, b, opt)
			if err != nil { // the weights inside a function are others
				caught++
				continue
			}
			e, exact := rescaled(t, whole, wrong, d)
			opt.Unrounded = exact
			ends := compare(t, whole, e, opt)
			switch {
			case segments.Unexplained > 0:
				caught++
			case ends.Unexplained > 0:
				t.Errorf("seed %d: a wrong factor makes %g end to end (%s) and nothing segment by segment", seed, ends.Unexplained, ends.UnexplainedAt)
			default:
				silent++
			}
		}
	}
	t.Logf("%d networks, %d wrong factors caught, %d without effect", networks, caught, silent)
	if networks < 100 || caught < 300 {
		t.Errorf("%d networks, %d wrong factors caught: too few to show anything", networks, caught)
	}
}

// Functions that are not evaluated have to be the same: in number, operator, definition and the
// numbers of layers inside them.
func TestOtherFunctionsAreRefused(t *testing.T) {
	definition := func(what string) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, what)
			return err
		}
	}
	build := func(source, what string, inside float32, two bool) *dag.Network {
		var b dag.Builder
		x := affine(&b, "fc1", b.Input("x", 2), 2, []float32{0.7, 0.1, -0.3, 0.9}, nil)
		from := b.Node(dag.Node{Source: source, Shape: []int{1}, Op: &dag.Func{Kind: dag.Opaque, Definition: definition("")}})
		m := affine(&b, "inner", from, 1, []float32{inside}, nil)
		for range map[bool]int{false: 1, true: 2}[two] {
			f := &dag.Func{Kind: dag.Opaque, Why: "it is not known", Inside: 1}
			if what != "" {
				f.Definition = definition(what)
			}
			x = b.Node(dag.Node{Name: "f", Source: source, In: []int{x, m}, Shape: []int{2}, Op: f})
		}
		b.Output("y", affine(&b, "fc2", x, 1, []float32{1, 0.3}, nil))
		net, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return net
	}
	a := build("F", "alpha 1", 1, false)
	for name, c := range map[string]struct {
		b    *dag.Network
		same bool
	}{
		"same":        {build("F", "alpha 1", 1, false), true},
		"not known":   {build("F", "", 1, false), true},
		"operator":    {build("G", "alpha 1", 1, false), false},
		"attribute":   {build("F", "alpha 2", 1, false), false},
		"inner layer": {build("F", "alpha 1", 2, false), false},
		"number":      {build("F", "alpha 1", 1, true), false},
	} {
		_, err := Compare(t.Context(), a, c.b, Options{Samples: 2})
		if (err == nil) != c.same || err != nil && !strings.Contains(err.Error(), "not evaluated") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Samples that the user gives have random numbers for what is not evaluated, and the cost of an
// input and the budget are told.
func TestGivenInputsBySegment(t *testing.T) {
	whole := dagtest.FromSeed(5, dagtest.Options{Features: (dagtest.Partly | dagtest.Rotary) &^ dagtest.Fixed, Steps: 10})
	net, hidden := hiding(t, whole, 1)
	if hidden == 0 {
		t.Fatal("nothing is hidden")
	}
	r := compare(t, net, net, Options{Inputs: dagtest.Input(net, 3, 1), Batch: 3})
	if k := r.Kinds[len(r.Kinds)-1]; k.Name != "given" || k.Inputs != 3 || !r.BitIdentical {
		t.Errorf("%+v", r)
	}
	if r.Budget != multiplyAdds || !(r.Cost > 0) || len(r.Starts) != hidden {
		t.Errorf("cost %g, budget %g, %d starts, want %d", r.Cost, r.Budget, len(r.Starts), hidden)
	}
}
