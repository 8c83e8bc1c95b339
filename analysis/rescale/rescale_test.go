package rescale_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/rescale"
)

func run(t testing.TB, m rescale.Method, n *dag.Network, opt rescale.Options) *rescale.Result {
	t.Helper()
	r, err := rescale.Run(context.Background(), m, n, opt)
	if err != nil {
		t.Fatalf("%s: %v\n%s", m, err, n)
	}
	return r
}

// fataler is what testing.T and rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func find(t fataler, m rescale.Method, n *dag.Network, opt rescale.Options) *rescale.Result {
	t.Helper()
	r, err := rescale.Run(context.Background(), m, n, opt)
	if err != nil {
		t.Fatalf("%s: %v\n%s", m, err, n)
	}
	return r
}

// structures are the kinds of networks that every method is tested on.
var structures = map[string]dagtest.Options{
	"layered": {Features: dagtest.Layered, Steps: 8, Width: 6},
	"biases":  {Features: dagtest.Bias, Steps: 8, Width: 6},
	"skips":   {Features: dagtest.Bias | dagtest.Skip | dagtest.Concat, Steps: 8},
	"slopes":  {Features: dagtest.Bias | dagtest.Slope | dagtest.Gain},
	"conv":    {Features: dagtest.Bias | dagtest.Conv | dagtest.Pool, Steps: 5},
	"shared":  {Features: dagtest.Bias | dagtest.Shared | dagtest.Skip},
	"dead":    {Features: dagtest.Bias | dagtest.Skip, Zeros: 0.5},
	"all":     {Features: dagtest.All, Zeros: 0.1},
	"partly":  {Features: dagtest.Partly, Zeros: 0.1, Steps: 4},
	"rotary":  {Features: dagtest.Partly | dagtest.Rotary, Zeros: 0.1, Steps: 4},
}

// each runs f on random float64 networks of every structure.
func each(t *testing.T, f func(t *rapid.T, n *dag.Network)) {
	for name, opt := range structures {
		opt.Type = dag.Float64
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { f(t, dagtest.Random(t, opt)) })
		})
	}
}

// newton minimises a smooth convex function by Newton's method with exact
// Hessians, a ridge where rounding makes one indefinite, and Armijo's rule: the
// independent solver.
func newton(n int, f func(x, grad, hess []float64) float64) []float64 {
	x := make([]float64, n)
	if n == 0 {
		return x
	}
	ridge := 1e-14
	for range 1000 {
		g, h := make([]float64, n), make([]float64, n*n)
		v := f(x, g, h)
		for i := range n {
			h[i*n+i] *= 1 + ridge
		}
		var d mat.VecDense
		err := d.SolveVec(mat.NewDense(n, n, h), mat.NewVecDense(n, g))
		var c mat.Condition
		if err != nil && !errors.As(err, &c) {
			panic(err)
		}
		// Far out the second derivatives vanish and Newton's steps have no end.
		d.ScaleVec(1/math.Max(1, mat.Norm(&d, math.Inf(1))), &d)
		slope := mat.Dot(&d, mat.NewVecDense(n, g))
		if !(slope >= 0) || d.Len() == 0 {
			ridge *= 10
			continue
		}
		moved := false
		for step := 1.0; step > 1e-12 && !moved; step /= 2 {
			y := make([]float64, n)
			for i := range y {
				y[i] = x[i] - step*d.AtVec(i)
			}
			if w := f(y, nil, nil); w <= v-1e-4*step*slope || slope < 1e-10*(1+math.Abs(v)) && step == 1 {
				x, moved = y, true
			}
		}
		if mat.Norm(&d, math.Inf(1)) < 1e-13 || !moved {
			break
		}
	}
	return x
}

// averages reports whether a network has average pooling under a factor a
// channel, which the oracle does not know.
func averages(n *dag.Network) bool {
	for i := range n.Nodes {
		if l, ok := n.Nodes[i].Op.(*dag.Linear); ok && l.Free() {
			if _, ok := l.Map.(*dag.Average); ok {
				return true
			}
		}
	}
	return false
}

// The factors of enorm are those of an independent Newton method on the list of
// edges, and its objective is sum |theta|^p. 1e-8 is what is asked for; both
// solve the optimality conditions to about 1e-12, times the condition number.
func TestEqualNormIsOptimal(t *testing.T) {
	each(t, func(t *rapid.T, n *dag.Network) {
		p := rapid.SampledFrom([]float64{1, 2, 3, 1.5}).Draw(t, "p")
		r := find(t, rescale.EqualNorm, n, rescale.Options{P: p})
		o := newOracle(n, true)
		want := newton(o.n, func(x, g, h []float64) float64 { return o.power(x, p, g, h) })
		got := o.logs(r.Factors)
		near(t, "ln factor", got, want, 1e-8)
		near(t, "objective", []float64{r.Objective.Before.Float64(), r.Objective.After.Float64()},
			[]float64{o.power(make([]float64, o.n), p, nil, nil), o.power(want, p, nil, nil)}, 1e-9)
		monotone(t, r, 1e-13, 0)
	})
}

func TestPathConditionedIsOptimal(t *testing.T) {
	each(t, func(t *rapid.T, n *dag.Network) {
		r := find(t, rescale.PathConditioned, n, rescale.Options{})
		o := newOracle(n, true)
		if o.n == 0 {
			return
		}
		want := newton(o.n, func(x, g, h []float64) float64 { return o.condition(x, g, h) })
		near(t, "ln factor", o.logs(r.Factors), want, 1e-8)
		near(t, "objective", []float64{r.Objective.Before.Float64(), r.Objective.After.Float64()},
			[]float64{o.condition(make([]float64, o.n), nil, nil), o.condition(want, nil, nil)}, 1e-9)
		// Its terms, a logarithm an edge, cancel.
		monotone(t, r, 1e-13, 100*float64(len(o.edges)))
	})
}

// The objective has an exponent of its own: kappa of a network whose units differ
// by 1e+-200 leaves float64, n ln sum kappa - sum ln kappa does not.
func TestPathConditionedRange(t *testing.T) {
	far := func(s float64) *dag.Network {
		var b dag.Builder
		x := b.Input("x", 2)
		h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{1 * s, 2 * s, 3 / s, 1 / s}, []float64{0.5 * s, 1 / s}), 0)
		b.Output("y", b.Affine("fc2", h, 1, []float64{1 / s, 2 * s}, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	near := find(t, rescale.PathConditioned, far(1), rescale.Options{})
	for _, s := range []float64{1e100, 1e-150} {
		r := find(t, rescale.PathConditioned, far(s), rescale.Options{})
		if x, y := near.Objective.After.Float64(), r.Objective.After.Float64(); !(math.Abs(x-y) <= 1e-9*x) {
			t.Errorf("scale %g: objective %v, want %v", s, y, x)
		}
		// kappa of the edges into unit 1 is 1/s^2 and 4 s^2 of unit 2, each three
		// times, g_in of the units 5.25 s^2 and 11 / s^2.
		u := 2 * math.Log(s)
		ln := []float64{-u, -u, -u, math.Log(4) + u, math.Log(4) + u, math.Log(4) + u, math.Log(5.25) + u, math.Log(11) - u}
		want, top := 0.0, slices.Max(ln)
		for _, l := range ln {
			want += math.Exp(l - top)
		}
		want = 8 * (math.Log(want) + top)
		for _, l := range ln {
			want -= l
		}
		if got := r.Objective.Before.Float64(); !(math.Abs(got-want) <= 1e-12*want) {
			t.Errorf("scale %g: objective before %v, want %v", s, got, want)
		}
	}
}

// The largest incoming norm that path reaches is the least for which a fixed
// point exists, to 1e-8 of an independent bisection.
func TestPathIsOptimal(t *testing.T) {
	each(t, func(t *rapid.T, n *dag.Network) {
		p := rapid.SampledFrom([]float64{1, 2, 3, math.Inf(1)}).Draw(t, "p")
		r := find(t, rescale.Path, n, rescale.Options{P: p})
		o := newOracle(n, true)
		after := r.Objective.After.Float64()
		near(t, "before", []float64{r.Objective.Before.Float64()}, []float64{o.mu(make([]float64, o.n), p)}, 1e-12)
		near(t, "after", []float64{after}, []float64{o.mu(o.logs(r.Factors), p)}, 1e-12)
		if o.n == 0 || after == 0 {
			return
		}
		if !(r.Residual <= 1e-9) {
			t.Fatalf("residual %v", r.Residual)
		}
		if c, ok := o.least(p, after*0.5, after*1.001); ok {
			near(t, "least", []float64{after}, []float64{c}, 1e-8*(1+r.Delta*1e8))
		}
	})
}

// No random change of the factors improves an objective.
func TestPerturbationsDoNotImprove(t *testing.T) {
	each(t, func(t *rapid.T, n *dag.Network) {
		if averages(n) {
			t.Skip()
		}
		o := newOracle(n, true)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for _, m := range []struct {
			method rescale.Method
			f      func(x []float64) float64
		}{
			{rescale.Path, func(x []float64) float64 { return o.mu(x, 2) }},
			{rescale.EqualNorm, func(x []float64) float64 { return o.power(x, 2, nil, nil) }},
			{rescale.PathConditioned, func(x []float64) float64 { return o.condition(x, nil, nil) }},
		} {
			if o.n == 0 {
				return
			}
			r := find(t, m.method, n, rescale.Options{})
			x := o.logs(r.Factors)
			best := m.f(x)
			for k := range 50 {
				y := append([]float64(nil), x...)
				size := math.Pow(10, -float64(k%6))
				for v := range y {
					y[v] += size * rng.NormFloat64()
				}
				if f := m.f(y); f < best-1e-9*math.Abs(best)*(1+1e9*r.Delta) {
					t.Fatalf("%s: %v found, %v at a distance of %v\n%s", m.method, best, f, size, n)
				}
			}
		}
	})
}

// moved is the largest change of the logarithm of a group's factor where every number moves by some
// roundings: where a cycle of tied units has just no gain at the optimum of path, factors of those before
// it are the inverse of a difference that rounding leaves few digits of.
func moved(t fataler, m rescale.Method, n *dag.Network, r *rescale.Result, id int) float64 {
	t.Helper()
	most := 0.0
	for seed := range uint64(8) {
		rng, made := rand.New(rand.NewPCG(seed, 5)), map[*dag.Param]*dag.Param{}
		near := n.Replace(func(u *dag.Use) *dag.Param {
			if made[u.Param] == nil {
				v := u.Param.Values()
				for e := range v {
					v[e] *= 1 + 0x1p-52*float64(rng.IntN(9)-4)
				}
				made[u.Param] = u.Param.WithValues(nil, v)
			}
			return made[u.Param]
		})
		most = max(most, math.Abs(math.Log(find(t, m, near, rescale.Options{}).Factors[id]/r.Factors[id])))
	}
	return most
}

// The result depends on the class only: an unbalanced copy is balanced to the
// same weights.
func TestResultDependsOnTheClass(t *testing.T) {
	each(t, func(t *rapid.T, n *dag.Network) {
		u := find(t, rescale.Unbalance, n, rescale.Options{Seed: rapid.Uint64().Draw(t, "seed")})
		copied, err := n.Rescale(u.Groups, u.Factors)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, m := range []rescale.Method{rescale.Path, rescale.EqualNorm, rescale.CrossLayer, rescale.PathConditioned} {
			a, b := find(t, m, n, rescale.Options{}), find(t, m, copied, rescale.Options{})
			// The sum of logarithms of kappa, an edge each, is rounded with the weights.
			if x, y := a.Objective.After.Float64(), b.Objective.After.Float64(); m == rescale.PathConditioned &&
				!(math.Abs(x-y) <= 1e-9*(1+math.Abs(x))) {
				t.Fatalf("%s: objective %v, of the unbalanced copy %v\n%s", m, x, y, n)
			}
			// c* moves by no more than the weights, however much the factors that reach it do.
			if x, y := a.Objective.After.Ln(), b.Objective.After.Ln(); m == rescale.Path && !a.Infimum && !b.Infimum && x != y && !(math.Abs(x-y) <= 1e-12*(1+math.Abs(x))) {
				t.Fatalf("%s: ln c* %v, of the unbalanced copy %v\n%s", m, x, y, n)
			}
			o := newOracle(n, m != rescale.CrossLayer)
			for id := range a.Factors {
				if o.vars[id] < 0 {
					continue // not live: keeps 1 in both
				}
				got, want := math.Log(b.Factors[id])+math.Log(u.Factors[id]), math.Log(a.Factors[id])
				// The stored weights of the copy are rounded, and the solution
				// moves by that times the condition of the problem.
				if !(math.Abs(got-want) <= 1e-9+1e-13*o.condition2(m, o.logs(a.Factors))) && !(math.Abs(got-want) <= 32*moved(t, m, n, a, id)) {
					t.Fatalf("%s: group %d: ln c %v, of the unbalanced copy %v (infimum %v, residual %v %v)\n%s", m, id, want, got,
						a.Infimum, a.Residual, b.Residual, n)
				}
			}
		}
	})
}

// Rescaling keeps the function, and powers of two keep every bit of it and do
// not raise the objective.
func TestFunctionIsKept(t *testing.T) {
	for _, typ := range []dag.DType{dag.Float64, dag.Float32, dag.Float16} {
		t.Run(typ.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				// Where a value jumps, rounding shows: exact factors alone are tried.
				features := rapid.SampledFrom([]dagtest.Feature{
					dagtest.All, dagtest.Partly, dagtest.Partly &^ dagtest.Jump,
				}).Draw(t, "features")
				n := dagtest.Random(t, dagtest.Options{Features: features, Type: typ, Zeros: 0.1})
				m := rapid.SampledFrom([]rescale.Method{
					rescale.Path, rescale.EqualNorm, rescale.CrossLayer,
					rescale.PathConditioned, rescale.Unbalance,
				}).Draw(t, "method")
				r := find(t, m, n, rescale.Options{})
				e := find(t, m, n, rescale.Options{Exact: true})
				if e.Objective.Optimum != r.Objective.After {
					t.Fatalf("%s, exact: optimum %v, without rounding %v", m, e.Objective.Optimum, r.Objective.After)
				}
				// The two values may add the same numbers in another order.
				before, after := r.Objective.Before.Float64(), e.Objective.After.Float64()
				if m != rescale.Unbalance && after > before+1e-12*math.Abs(before) {
					t.Fatalf("%s, exact: the objective rose from %v to %v\n%s", m, before, after, n)
				}
				in := dagtest.Input(n, 4, 5)
				y := values(t, n, in)
				if typ == dag.Float64 && features&dagtest.Jump == 0 {
					z := values(t, applied(t, n, r), in)
					for k := range y {
						var scale float64
						for _, x := range y[k] {
							scale = math.Max(scale, math.Abs(x))
						}
						for i, x := range y[k] {
							// Some dozen roundings, relative to the largest output;
							// sums that cancel lose more.
							if !(math.Abs(x-z[k][i]) <= 1e-11*scale) {
								t.Fatalf("%s: output %v, rescaled %v\n%s", m, x, z[k][i], n)
							}
						}
					}
				}
				for k, x := range values(t, applied(t, n, e), in) {
					for i := range x {
						if math.Float64bits(x[i]) != math.Float64bits(y[k][i]) {
							t.Fatalf("%s, exact: output %v, rescaled %v\n%s", m, y[k][i], x[i], n)
						}
					}
				}
			})
		})
	}
}

func applied(t fataler, n *dag.Network, r *rescale.Result) *dag.Network {
	t.Helper()
	out, err := n.Rescale(r.Groups, r.Factors)
	if err != nil {
		t.Fatalf("%v\n%s", err, n)
	}
	return out
}

func values(t fataler, n *dag.Network, in [][]float64) [][]float64 {
	t.Helper()
	y, err := eval.Run(context.Background(), n, in, 4, eval.Options{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return y
}

func near(t fataler, what string, got, want []float64, tol float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= tol*math.Max(1, math.Abs(want[i]))) {
			t.Fatalf("%s %d: %v, want %v", what, i, got[i], want[i])
		}
	}
}

// monotone checks that the objective rises by rounding only: tol times itself
// and a size of its terms.
func monotone(t fataler, r *rescale.Result, tol, size float64) {
	t.Helper()
	for i := 1; i < len(r.Trace); i++ {
		a, b := r.Trace[i-1].Float64(), r.Trace[i].Float64()
		if !(b <= a+tol*(math.Abs(a)+size)) {
			t.Fatalf("objective rose from %v to %v in step %d of %v", a, b, i, r.Trace)
		}
	}
	if len(r.Trace) > 0 && r.Objective.After.Cmp(r.Objective.Before.Add(r.Objective.Before.Abs().MulFloat(1e-12))) > 0 {
		t.Fatalf("objective rose from %v to %v", r.Objective.Before, r.Objective.After)
	}
}

// The toy network of the lecture: mu_{1,inf} = 7, after multiplying unit 1 by
// ten 70; the path norm is 29, and the least mu_{1,inf}^2 is 17, the larger of
// the outputs' path norms.
func TestToy(t *testing.T) {
	for _, c := range []float64{1, 10} {
		var b dag.Builder
		x := b.Input("x", 2)
		h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{6 * c, 1 * c, 1, 4}, nil), 0)
		b.Output("y", b.Affine("fc2", h, 2, []float64{1 / c, 1, 1 / c, 2}, nil))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, rescale.Path, n, rescale.Options{P: 1})
		got := []float64{r.Objective.Before.Float64(), math.Pow(r.Objective.After.Float64(), 2)}
		near(t, fmt.Sprint("mu before, mu^2 after at ", c), got, []float64{7 * c, 17}, 1e-14)
	}
}
