package rescale

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/paths"
)

// without turns classes off for f.
func without(f func()) {
	defer func(n int) { mostClasses = n }(mostClasses)
	mostClasses = 0
	f()
}

// ended minimises a problem and leaves it at the minimum.
func ended(t *testing.T, p *problem) *minimum {
	t.Helper()
	m, err := p.minimise(t.Context(), Options{Tolerance: 1e-12, MaxSweeps: 10000})
	if err != nil || m.lost {
		t.Fatal(m, err)
	}
	p.eval(m.z)
	return m
}

// Where layers are outer products and their units of one class, the preconditioner is the inverse of the Hessian at the minimum.
func TestCoarseIsTheInverse(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	logs := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		return x
	}
	run := func(from, n int32) (ids []int32) { // n variables
		for i := range n {
			ids = append(ids, from+i)
		}
		return ids
	}
	none := func(n int) (ids []int32) {
		for range n {
			ids = append(ids, -1)
		}
		return ids
	}
	layer := func(rows, cols []int32, bias bool) *links {
		b := &links{mul: rankOne, row: logs(len(rows)), col: logs(len(cols)), rows: rows, cols: cols, rowSign: make([]float64, len(rows))}
		for i := range b.rowSign {
			b.rowSign[i] = 1
		}
		if bias {
			b.bias = logs(len(rows))
		}
		return b
	}
	p := &problem{s: 2, vars: 12}
	p.links = []*links{
		layer(run(0, 3), none(4), false),
		layer(run(3, 4), run(0, 3), false),
		layer(run(7, 5), run(3, 4), false),
		layer(none(2), run(7, 5), false),
	}
	ended(t, p)
	c := newCoarse(p)
	if c == nil || c.e.N != 3 {
		t.Fatalf("classes: %+v", c)
	}
	if !c.factorise(p) {
		t.Fatal("not positive definite")
	}
	d := logs(p.vars)
	hd, got := make([]float64, p.vars), make([]float64, p.vars)
	p.hessian(0, d, hd)
	floats.Scale(1/(p.s*p.s), hd)
	c.solve(p, got, hd)
	for v := range d {
		// The condition number of a chain of four layers times the residual of the minimum.
		if !(math.Abs(got[v]-d[v]) <= 1e-9*floats.Norm(d, math.Inf(1))) {
			t.Errorf("variable %d: %v, want %v", v, got[v], d[v])
		}
	}
}

// Whatever the network, E is positive definite and the minimum the same, and the classes of wide networks save most of the reads.
func TestCoarseKeepsTheMinimum(t *testing.T) {
	met := 0
	for seed := range uint64(300) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly, Width: 8})
		g := n.Groups()
		v, err := newView(n, g, 2, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		p := v.powerProblem(2, 1)
		a := ended(t, p).sum
		if p.coarse != nil {
			met++
			if !p.coarse.factorise(p) {
				t.Errorf("seed %d: not positive definite", seed)
			}
		}
		var b float64
		without(func() { b = ended(t, v.powerProblem(2, 1)).sum })
		// Sums of positive numbers at points that differ by the residual, whose square counts.
		if !(math.Abs(a-b) <= 1e-12*b) {
			t.Errorf("seed %d: %v, without classes %v", seed, a, b)
		}
	}
	if met < 30 {
		t.Errorf("%d problems with classes", met)
	}
}

// Weights that span far more than float64 has digits end where the diagonal alone leads, or lower.
func TestCoarseOfWideRanges(t *testing.T) {
	met := 0
	for seed := range uint64(400) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Bias | dagtest.Skip | dagtest.Concat, Width: 8, Steps: 8, Type: dag.Float64})
		rng := rand.New(rand.NewPCG(6, seed))
		for _, p := range n.Params() {
			w := p.Float64s()
			for e := range w {
				w[e] *= math.Exp(60 * (2*rng.Float64() - 1))
			}
		}
		g := n.Groups()
		end := func(kappa bool) (*problem, *minimum) {
			v, err := newView(n, g, 2, Options{Threads: 1})
			if err != nil {
				t.Fatal(err)
			}
			var p *problem
			if kappa {
				v.kappa = paths.NewKappa(n, 2, paths.Options{Carries: g.Carries})
				p = v.kappaProblem()
			} else {
				p = v.powerProblem(2, 1)
			}
			m, err := p.minimise(t.Context(), Options{Tolerance: 1e-12, MaxSweeps: 100000})
			if err != nil {
				t.Fatal(err)
			}
			return p, m
		}
		for _, kappa := range []bool{false, true} {
			p, a := end(kappa)
			var b *minimum
			without(func() { _, b = end(kappa) })
			if a.lost != b.lost {
				t.Errorf("seed %d, kappa %v: lost %v, without classes %v", seed, kappa, a.lost, b.lost)
			}
			if a.lost || b.lost || len(a.z) < 4 {
				continue
			}
			met++
			// Both end where rounding leaves no step down: sums of terms of all sizes.
			x, y := p.value(a.sum, a.z), p.value(b.sum, b.z)
			if !(x <= y+1e-9*p.size(b.sum, b.z)) {
				t.Errorf("seed %d, kappa %v: %v (residual %g), without classes %v (residual %g)", seed, kappa, x, a.residual, y, b.residual)
			}
		}
	}
	if met < 100 {
		t.Errorf("%d problems met", met)
	}
}

// A wide chain takes about as many reads for any depth.
func TestReadsOfWideChains(t *testing.T) {
	reads := func(depth int) int {
		rng := rand.New(rand.NewPCG(5, uint64(depth)))
		const width = 64
		var b dag.Builder
		at := b.Input("x", width)
		for l := range depth {
			w := make([]float64, width*width)
			scale := math.Exp(rng.NormFloat64())
			for e := range w {
				w[e] = scale * rng.NormFloat64()
			}
			if l > 0 {
				at = b.Activation(fmt.Sprintf("relu%d", l), at, 0)
			}
			at = b.Affine(fmt.Sprintf("fc%d", l), at, width, w, nil)
		}
		b.Output("y", at)
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		v, err := newView(n, n.Groups(), 2, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		p := v.powerProblem(2, 1)
		ended(t, p)
		return p.sweeps
	}
	for _, depth := range []int{10, 60} {
		n, alone := reads(depth), 0
		without(func() { alone = reads(depth) })
		if n > 40 {
			t.Errorf("%d layers: %d reads, by the diagonal alone %d", depth, n, alone)
		}
	}
}
