package rescale_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/rescale"
)

// At the fixed point of cle each unit's largest incoming and outgoing weight are
// equal, to the tolerance asked for and some roundings of exp and log.
func TestCrossLayerIsFixed(t *testing.T) {
	each(t, func(t *rapid.T, n *dag.Network) {
		r := find(t, rescale.CrossLayer, n, rescale.Options{})
		o := newOracle(n, false)
		in, out, top := o.ranges(o.logs(r.Factors))
		for v := range in {
			if d := math.Abs(math.Log(in[v] / out[v])); !(d < 1e-10) {
				t.Fatalf("group %d: in %v, out %v, residual %v after %d sweeps\n%s", v, in[v], out[v], r.Residual, r.Sweeps, n)
			}
		}
		_, _, before := o.ranges(make([]float64, o.n))
		if top > before*(1+1e-12) {
			t.Fatalf("largest weight rose from %v to %v", before, top)
		}
		monotone(t, r, 1e-12, 0)
	})
}

// The result of cle is max-balanced, by brute force: for every set of groups the
// largest weight into the set equals the largest out of it, which makes it unique
// (Schneider and Schneider, 1991). Single groups alone would leave factors open.
func TestCrossLayerIsMaxBalanced(t *testing.T) {
	for name, opt := range structures {
		opt.Type, opt.Steps, opt.Width = dag.Float64, 6, 3
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { maxBalanced(t, dagtest.Random(t, opt)) })
		})
	}
	t.Run("residual", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			maxBalanced(t, residual(t, rapid.IntRange(2, 6).Draw(t, "units")))
		})
	})
}

// residual is h + W h between a layer of inputs and one of outputs, with weights
// of many sizes and many zeros: any graph between n groups.
func residual(t *rapid.T, n int) *dag.Network {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "weights"), 0))
	draw := func(m int, zeros float64) []float64 {
		w := make([]float64, m)
		for i := range w {
			if rng.Float64() >= zeros {
				w[i] = math.Exp(2 * rng.NormFloat64())
			}
		}
		return w
	}
	var b dag.Builder
	h := b.Affine("in", b.Input("x", 1), n, draw(n, 0), nil)
	b.Output("y", b.Affine("out", b.Sum("add", h, b.Affine("w", h, n, draw(n*n, 0.5), nil)), 1, draw(n, 0), nil))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// maxBalanced takes each edge twice where units meet in products, as crossLayer does: between
// groups, and turned round between the groups with the inverse factors.
func maxBalanced(t *rapid.T, n *dag.Network) {
	o := newOracle(n, false)
	inverse := 0
	if slices.Contains(o.sign, -1) {
		inverse = o.n
	}
	if o.n+inverse > 12 {
		t.Skip("too many sets")
	}
	r := find(t, rescale.CrossLayer, n, rescale.Options{})
	x := o.logs(r.Factors)
	vertex := func(group int) int {
		if group < 0 || o.vars[group] < 0 {
			return -1
		}
		if o.sign[group] < 0 {
			return o.vars[group] + inverse
		}
		return o.vars[group]
	}
	turned := func(v int) int {
		if v < 0 {
			return v
		}
		return (v + inverse) % (2 * inverse)
	}
	type edge struct {
		from, to int
		w        float64
	}
	var edges []edge
	for _, e := range o.edges {
		from, to, w := vertex(e.from), vertex(e.to), e.w*math.Exp(o.z(x, e.to)-o.z(x, e.from))
		edges = append(edges, edge{from, to, w})
		if inverse > 0 {
			edges = append(edges, edge{turned(to), turned(from), w})
		}
	}
	for set := 1; set < 1<<(o.n+inverse); set++ {
		var in, out float64
		has := func(v int) bool { return v >= 0 && set>>v&1 == 1 }
		for _, e := range edges {
			switch from, to := has(e.from), has(e.to); {
			case to && !from:
				in = math.Max(in, e.w)
			case from && !to:
				out = math.Max(out, e.w)
			}
		}
		// The method's tolerance, once for each group.
		if d := math.Abs(math.Log(in / out)); !(d < 1e-9) {
			t.Fatalf("groups %b: in %v, out %v after %d sweeps\n%s", set, in, out, r.Sweeps, n)
		}
	}
}

// Few reads of the weights find the factors of networks that are deep and thrown
// out of balance. One with Adds has cycles that no input is on.
func TestCrossLayerReadsLittle(t *testing.T) {
	const depth, width = 1000, 4
	for _, residual := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(3, 3))
		var b dag.Builder
		layer := func(x int) int {
			w := make([]float64, width*width)
			for i := range w {
				w[i] = rng.NormFloat64() * math.Exp(3*rng.NormFloat64())
			}
			return b.Affine("fc", x, width, w, nil)
		}
		x := b.Input("x", width)
		for range depth {
			if residual {
				x = b.Sum("add", x, layer(b.Activation("relu", layer(x), 0)))
			} else {
				x = b.Activation("relu", layer(x), 0)
			}
		}
		b.Output("y", layer(x))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, rescale.CrossLayer, n, rescale.Options{})
		// Two reads for the start, one for each value of the objective, and a round each.
		if r.Sweeps > 20 || !(r.Residual <= 1e-11) {
			t.Errorf("adds %v: residual %v after %d reads", residual, r.Residual, r.Sweeps)
		}
	}
}

// A stream and the block on it close a cycle of two weights of 10, which every
// factor of the stream leaves balanced. The cut around both is what decides: the
// stem's 0.01 c and the head's 3/c are equal at c^2 = 300.
func TestCrossLayerBalancesCuts(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	stem := b.Affine("stem", x, 1, []float64{0.01, 0.009}, nil)
	h := b.Activation("relu", b.Affine("in", stem, 1, []float64{10}, nil), 0)
	sum := b.Sum("add", stem, b.Affine("out", h, 1, []float64{10}, nil))
	b.Output("y", b.Affine("head", sum, 1, []float64{3}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, rescale.CrossLayer, n, rescale.Options{})
	c := math.Sqrt(300)
	near(t, "factor", []float64{r.Factors[r.Groups.Rows[stem][0]], r.Factors[r.Groups.Rows[h-1][0]]}, []float64{c, c}, 1e-12)
}
