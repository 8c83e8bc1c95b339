package rescale_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/rescale"
)

// chain returns layers of two units whose weights have size s, in float64.
func chain(layers int, s float64) *dag.Network {
	rng := rand.New(rand.NewPCG(2, 2))
	var b dag.Builder
	x := b.Input("x", 2)
	for range layers {
		w := make([]float64, 4)
		for i := range w {
			w[i] = s * (1 + rng.Float64())
		}
		x = b.Activation("relu", b.Affine("fc", x, 2, w, nil), 0)
	}
	b.Output("y", b.Affine("out", x, 2, []float64{s, s, s, 2 * s}, nil))
	n, err := b.Build()
	if err != nil {
		panic(err)
	}
	return n
}

// Path norms, and sums of powers, leave float64; factors and objectives do not.
func TestRange(t *testing.T) {
	for _, n := range []*dag.Network{chain(400, 30), chain(300, 1e-3), chain(3, 1e100), chain(3, 1e-120)} {
		for _, m := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned} {
			for _, p := range []float64{2, 16} {
				if p != 2 && (m == rescale.CrossLayer || m == rescale.PathConditioned) {
					continue // they have no order
				}
				r := run(t, m, n, rescale.Options{P: p, MaxSweeps: 20000})
				if !(r.Residual < 1e-9) {
					t.Errorf("%d nodes, %s, p = %v: residual %v after %d sweeps", len(n.Nodes), m, p, r.Residual, r.Sweeps)
				}
				if r.Objective.After.IsZero() || !r.Objective.After.IsFinite() || !r.Objective.Before.IsFinite() {
					t.Errorf("%s, p = %v: objective %v", m, p, r.Objective)
				}
			}
		}
	}
}

// A unit scaled by 2^20 in float16 cannot be balanced exactly where its weights
// would fall among the subnormal numbers: the factors stop before.
func TestExactKeepsBits(t *testing.T) {
	var b dag.Builder
	half := func(v ...float32) dag.Use {
		return dag.Use{Param: dag.NewParam32("w", dag.Float16, []int{len(v)}, v)}
	}
	x := b.Input("x", 1)
	x = b.Node(dag.Node{In: []int{x}, Shape: []int{1}, Op: &dag.Linear{Map: &dag.Dense{W: half(40000), Rows: 1, Cols: 1}}})
	x = b.Activation("relu", x, 0)
	// 1027 * 2^-24 fills the digits of a float16.
	x = b.Node(dag.Node{In: []int{x}, Shape: []int{1}, Op: &dag.Linear{Map: &dag.Dense{W: half(1027. / (1 << 24)), Rows: 1, Cols: 1}}})
	b.Output("y", x)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, rescale.Unbalance, n, rescale.Options{Seed: 1, Exact: true})
	if !strings.Contains(strings.Join(r.Warnings, "\n"), "stored types cannot hold") {
		t.Errorf("warnings %q", r.Warnings)
	}
	out := applied(t, n, r)
	for i := range n.Nodes {
		if l, ok := n.Nodes[i].Op.(*dag.Linear); ok {
			f, _ := math.Frexp(l.Map.(*dag.Dense).At(0, 0))
			g, _ := math.Frexp(out.Nodes[i].Op.(*dag.Linear).Map.(*dag.Dense).At(0, 0))
			if f != g {
				t.Errorf("node %d: digits %v became %v", i, f, g)
			}
		}
	}
	// Not exact: no infinity either.
	u := applied(t, n, run(t, rescale.Unbalance, n, rescale.Options{Seed: 1}))
	for _, p := range u.Params() {
		if !p.Finite() {
			t.Errorf("%s became infinite: %v", p.Name, p.Values())
		}
	}
}

// The layer that has the NaN is named, not what lies before it.
func TestNamesWhatIsNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		var b dag.Builder
		x := b.Activation("relu", b.Affine("one", b.Input("x", 2), 2, []float64{1, 2, 3, 4}, nil), 0)
		x = b.Activation("relu", b.Affine("two", x, 2, []float64{1, bad, 3, 4}, nil), 0)
		b.Output("y", b.Affine("three", x, 1, []float64{1, 1}, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range rescale.Methods() {
			if _, err := rescale.Run(t.Context(), m.Method, n, rescale.Options{}); err == nil || !strings.Contains(err.Error(), `"two"`) {
				t.Errorf("%s: %v", m.Method, err)
			}
		}
	}
}

// Factors far beyond the range of float32 would keep every weight in it, and take the values of units out.
func TestFactorsKeepValuesInRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 3))
	const layers, s = 120, 1e-3
	var b dag.Builder
	x := b.Input("x", 2)
	for k := range layers {
		w := make([]float32, 4)
		for i := range w {
			w[i] = s * (1 + rng.Float32())
		}
		if k == layers/2 || k == layers/2+1 {
			for i := range w {
				w[i] *= 1e35
			}
		}
		x = b.Activation("relu", b.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{x}, Shape: []int{2}, Op: &dag.Linear{
			Map: &dag.Dense{W: dag.Use{Param: dag.NewParam32("w", dag.Float32, []int{2, 2}, w)}, Rows: 2, Cols: 2},
		}}), 0)
	}
	b.Output("y", x)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned} {
		r := run(t, m, n, rescale.Options{})
		for id, c := range r.Factors {
			if !(math.Abs(math.Log(c)) < 44.1) {
				t.Errorf("%s: the factor of group %d is %g", m, id, c)
			}
		}
		if !slices.ContainsFunc(r.Warnings, func(w string) bool { return strings.Contains(w, "values of units") }) {
			t.Errorf("%s: no warning in %q", m, r.Warnings)
		}
	}
}

// Biases are in the values of units also where the measures leave them out.
func TestFactorsKeepBiasesInRange(t *testing.T) {
	const wide = 200
	rng := rand.New(rand.NewPCG(7, 1))
	param := func(name string, s float32, shape ...int) dag.Use {
		w := make([]float32, dag.Size(shape))
		for i := range w {
			w[i] = s * (1 + rng.Float32()/10)
		}
		return dag.Use{Param: dag.NewParam32(name, dag.Float32, shape, w)}
	}
	var b dag.Builder
	fc := func(in, rows, cols int, s float32, stages ...dag.Stage) int {
		return b.Node(dag.Node{Name: "fc", In: []int{in}, Shape: []int{rows}, Op: &dag.Linear{Map: &dag.Dense{W: param("w", s, rows, cols), Rows: rows, Cols: cols}, Stages: stages}})
	}
	x := b.Activation("relu", fc(b.Input("x", 1), wide, 1, 1e-37, dag.Stage{Add: &dag.Vector{Use: param("b", 1, wide), Coef: 1}}), 0)
	x = b.Activation("relu", fc(x, wide, wide, 1e36), 0)
	b.Output("y", fc(x, 1, wide, 1))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, rescale.CrossLayer, n, rescale.Options{Bias: paths.Exclude})
	for id, c := range r.Factors {
		if !(math.Abs(math.Log(c)) < 44.1) {
			t.Fatalf("the factor of group %d is %g, and the sum of such biases %g", id, c, c*wide)
		}
	}
}
