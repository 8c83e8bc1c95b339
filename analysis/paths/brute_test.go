package paths_test

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// walk lists every path of an unrolled network by depth-first search against
// the edges, and calls f with the edges of each, output first. It gives up
// beyond a number of paths.
type walk struct {
	net   *dag.Network
	u     *dagtest.Unrolled
	into  [][]int // edges into each unit
	start []bool  // units of functions and of the preamble that are not padding
	stack []int
	left  int
}

func newWalk(n *dag.Network, bias paths.Bias) *walk {
	u := dagtest.Unroll(n)
	w := &walk{net: n, u: u, into: make([][]int, u.Offset[len(n.Nodes)]), start: make([]bool, u.Offset[len(n.Nodes)]), left: 100_000}
	for i := range n.Nodes {
		for e := range n.Nodes[i].Len() {
			switch n.Nodes[i].Op.(type) {
			case dag.Input, *dag.Func:
				w.start[u.Offset[i]+e] = true
			}
		}
	}
	for k, e := range u.Edges {
		switch {
		case n.Nodes[e.Node].Zone == dag.Preamble:
			// A preamble value is an input unless nothing reaches it.
			if e.From == dagtest.One || w.start[e.From] {
				w.start[e.To] = true
			}
		case e.Kind == dagtest.FromOne && bias == paths.Exclude:
		default:
			w.into[e.To] = append(w.into[e.To], k)
		}
	}
	return w
}

// from calls f for every path that ends in a unit; false when there are too
// many.
func (w *walk) from(unit int, f func(edges []int)) bool {
	if unit == dagtest.One || w.start[unit] {
		f(w.stack)
		w.left--
		return w.left > 0
	}
	for _, k := range w.into[unit] {
		w.stack = append(w.stack, k)
		ok := w.from(w.u.Edges[k].From, f)
		w.stack = w.stack[:len(w.stack)-1]
		if !ok {
			return false
		}
	}
	return true
}

// ends calls f for every path to every element of nodes.
func (w *walk) ends(nodes []int, f func(element int, edges []int)) bool {
	for j, o := range dagtest.Elements(w.net, nodes) {
		if !w.from(w.u.Offset[o.Node]+o.Element, func(edges []int) { f(j, edges) }) {
			return false
		}
	}
	return true
}

// norm is a plain (sum |x|^p)^(1/p).
type norm struct{ p, sum float64 }

func (n *norm) add(x float64) {
	x = math.Abs(x)
	if math.IsInf(n.p, 1) {
		n.sum = math.Max(n.sum, x)
		return
	}
	n.sum += math.Pow(x, n.p)
}

func (n *norm) value() float64 {
	if math.IsInf(n.p, 1) {
		return n.sum
	}
	return math.Pow(n.sum, 1/n.p)
}

// near compares to a relative 1e-11: some thousand terms, each a product of some
// ten factors rounded to 53 bits and raised to p <= 3.
func near(got scaled.Num, want float64) bool {
	return math.Abs(got.Float64()-want) <= 1e-11*math.Abs(want)
}

var orders = []float64{1, 1.5, 2, 3, math.Inf(1)}

func draw(t *rapid.T) (*dag.Network, paths.Options) {
	n := dagtest.Random(t, dagtest.Options{Features: dagtest.Partly, Type: dag.Float64, Zeros: 0.1})
	return n, paths.Options{
		Bias:    paths.Bias(rapid.IntRange(0, 1).Draw(t, "bias")),
		Threads: rapid.IntRange(1, 3).Draw(t, "threads"),
	}
}

// Path norms and path counts equal those of all paths, listed one by one.
func TestForwardAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, opt := draw(t)
		w := newWalk(n, opt.Bias)
		outs := dagtest.OutputElements(n)
		phi := make([][]norm, len(orders))
		for k, p := range orders {
			phi[k] = make([]norm, len(outs))
			for j := range outs {
				phi[k][j].p = p
			}
		}
		count := int64(0)
		if !w.ends(n.Boundary(), func(j int, edges []int) {
			count++
			x := 1.0
			for _, k := range edges {
				x *= w.u.Edges[k].W
			}
			for k := range orders {
				phi[k][j].add(x)
			}
		}) {
			t.Skip("too many paths")
		}
		if got := paths.Count(n, opt.Bias); got.Cmp(big.NewInt(count)) != 0 {
			t.Fatalf("%s paths, want %d\n%s", got, count, n)
		}
		for _, keep := range [][]int{nil, {}} {
			o := opt
			o.Keep = keep
			v := paths.Forward(n, orders, o)
			for k, p := range orders {
				total := norm{p: p}
				var top float64
				for j, got := range v.PerOutput(k) {
					want := phi[k][j].value()
					if !near(got, want) {
						t.Fatalf("p = %v, output %d: %v, want %v\n%s", p, j, got, want, n)
					}
					total.add(want)
					top = math.Max(top, want)
				}
				if got := v.PathNorm(k); !near(got, total.value()) {
					t.Fatalf("p = %v: path norm %v, want %v\n%s", p, got, total.value(), n)
				}
				if got := v.MaxOutput(k); !near(got, top) {
					t.Fatalf("p = %v: largest output %v, want %v\n%s", p, got, top, n)
				}
			}
		}
	})
}

// The norms and counts of each segment equal those of the paths from its starts to
// its ends, listed one by one.
func TestSegmentsAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, opt := draw(t)
		w := newWalk(n, opt.Bias)
		segments := n.Segments()
		v, counts := paths.Forward(n, orders, opt), paths.CountSegments(n, segments, opt.Bias)
		for i, s := range segments {
			count, total := int64(0), make([]norm, len(orders))
			if !w.ends(s.Ends, func(_ int, edges []int) {
				count++
				x := 1.0
				for _, k := range edges {
					x *= w.u.Edges[k].W
					if node := w.u.Edges[k].Node; n.Nodes[node].Zone == dag.Body && !slices.Contains(s.Nodes, node) {
						t.Fatalf("segment %d: a path goes through node %d of another\n%s", i, node, n)
					}
				}
				for k, p := range orders {
					total[k].p = p
					total[k].add(x)
				}
			}) {
				t.Skip("too many paths")
			}
			if counts[i].Cmp(big.NewInt(count)) != 0 {
				t.Fatalf("segment %d: %s paths, want %d\n%s", i, counts[i], count, n)
			}
			for k, p := range orders {
				if got := v.SegmentNorm(k, &s); !near(got, total[k].value()) {
					t.Fatalf("segment %d, p = %v: %v, want %v\n%s", i, p, got, total[k].value(), n)
				}
			}
		}
	})
}

// g_out equals the sum over all paths from an element to an output: g_in of
// the same network with its edges turned round.
func TestBackwardAgainstEnumeration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, opt := draw(t)
		w := newWalk(n, paths.Exclude)
		v := paths.Backward(n, orders, opt)
		for k, p := range orders {
			// The suffixes of paths, by the unit at which they start.
			memo := map[int]norm{}
			// Parts without weights belong to the functions around them.
			skip := n.Unmeasured()
			ends := slices.DeleteFunc(n.Ends(), func(i int) bool { return skip(&n.Nodes[i]) })
			for _, o := range dagtest.Elements(n, ends) {
				out := norm{p: p}
				out.add(1)
				memo[w.u.Offset[o.Node]+o.Element] = out
			}
			for e := len(w.u.Edges) - 1; e >= 0; e-- {
				edge := w.u.Edges[e]
				if edge.From == dagtest.One || n.Nodes[edge.Node].Zone != dag.Body || skip(&n.Nodes[edge.Node]) {
					continue
				}
				from, to := memo[edge.From], memo[edge.To]
				from.p, to.p = p, p
				from.add(edge.W * to.value())
				memo[edge.From] = from
			}
			for i := range n.Nodes {
				for e, got := range v.H(k, i) {
					want := memo[w.u.Offset[i]+e]
					if want.p = p; !near(got, want.value()) {
						t.Fatalf("p = %v, node %d element %d: %v, want %v\n%s", p, i, e, got, want.value(), n)
					}
				}
			}
		}
	})
}

// kappa of p = 2 is the derivative of the squared path norm, summed over segments,
// by each squared weight. The norm is affine in every square, so that a difference over any
// step is exact.
func TestKappaIsTheDerivative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dagtest.Random(t, dagtest.Options{
			Features: dagtest.Partly &^ dagtest.Shared, Type: dag.Float64, Zeros: 0.1,
		})
		opt := paths.Options{}
		square := func(m *dag.Network) float64 {
			v, sum := paths.Forward(m, []float64{2}, opt), 0.0
			for _, s := range m.Segments() {
				x := v.SegmentNorm(0, &s).Float64()
				sum += x * x
			}
			return sum
		}
		before := square(n)
		kappa := paths.NewKappa(n, 2, opt)
		for i := range n.Nodes {
			if n.Nodes[i].Zone != dag.Body {
				continue
			}
			got := kappa.Edges(i)
			if got == nil {
				continue
			}
			got = dagtest.Stored(n.Nodes[i].Op.(*dag.Linear), got)
			p := n.Nodes[i].Op.(*dag.Linear).Map.Weight().Param
			at := rapid.IntRange(0, p.Len()-1).Draw(t, "weight")
			values := p.Values()
			const step = 1.0
			values[at] = math.Sqrt(values[at]*values[at] + step)
			q := p.WithValues(nil, values)
			after := square(n.Replace(func(u *dag.Use) *dag.Param {
				if u.Param == p {
					return q
				}
				return u.Param
			}))
			// The two squares are sums of the same terms but those of the weight.
			if want := (after - before) / step; !(math.Abs(got[at].Float64()-want) <= 1e-11*(after+before)) {
				t.Fatalf("node %d weight %d: kappa %v, want %v\n%s", i, at, got[at], want, n)
			}

		}
	})
}

// kappa of biases and row factors likewise, on layers whose biases come after
// their factors, by hand.
func TestKappaOfBiasAndScale(t *testing.T) {
	scale, shift := []float64{3, -2}, []float64{0.5, 4}
	build := func(scale, shift []float64) *dag.Network {
		var b dag.Builder
		x := b.Input("x", 2)
		h := b.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{x}, Shape: []int{2}, Op: &dag.Linear{
			Map: &dag.Dense{W: dag.Use{Param: dag.NewParam64("w", []int{2, 2}, []float64{1, 2, -3, 0.5})}, Rows: 2, Cols: 2},
			Stages: []dag.Stage{{
				Mul: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("s", []int{2}, scale)}, Coef: 1},
				Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("b", []int{2}, shift)}, Coef: 1},
			}},
		}})
		b.Output("y", b.Affine("out", b.Activation("relu", h, 0), 2, []float64{1, -1, 2, 7}, []float64{1, 1}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	square := func(n *dag.Network) float64 {
		x := paths.Forward(n, []float64{2}, paths.Options{}).PathNorm(0).Float64()
		return x * x
	}
	n := build(scale, shift)
	k := paths.NewKappa(n, 2, paths.Options{})
	for i := range 2 {
		s, b := append([]float64(nil), scale...), append([]float64(nil), shift...)
		s[i] = math.Sqrt(s[i]*s[i] + 1)
		b[i] = math.Sqrt(b[i]*b[i] + 1)
		if got, want := k.Scale(1, paths.Options{})[i], square(build(s, shift))-square(n); !near(got, want) {
			t.Errorf("scale %d: kappa %v, want %v", i, got, want)
		}
		if got, want := k.Bias(1)[i], square(build(scale, b))-square(n); !near(got, want) {
			t.Errorf("bias %d: kappa %v, want %v", i, got, want)
		}
	}
}

// Rescaling a unit by c keeps path norms, and multiplies kappa of its bias by
// c^-2, where paths go through products whose values have factors.
func TestRescalingInvariance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, opt := draw(t)
		g := n.Groups()
		c := g.Ones()
		for i := range c {
			if g.Pin[i] == "" {
				c[i] = math.Exp(rapid.Float64Range(-5, 5).Draw(t, "log factor"))
			}
		}
		g.Invert(c)
		m, err := n.Rescale(g, c)
		if err != nil {
			t.Fatal(err)
		}
		opt.Carries = g.Carries
		a, b := paths.Forward(n, orders, opt), paths.Forward(m, orders, opt)
		for k, p := range orders {
			if !near(a.PathNorm(k), b.PathNorm(k).Float64()) {
				t.Fatalf("p = %v: %v, rescaled %v\n%s", p, a.PathNorm(k), b.PathNorm(k), n)
			}
		}
		before, after := paths.NewKappa(n, 3, opt), paths.NewKappa(m, 3, opt)
		for i := range n.Nodes {
			if n.Nodes[i].Zone != dag.Body {
				continue
			}
			was := before.Bias(i)
			for r, now := range after.Bias(i) {
				f := 1.0
				if id := g.Rows[i][r]; id != dag.NoGroup {
					f = c[id]
				}
				if want := was[r].Float64() / (f * f); !near(now, want) {
					t.Fatalf("node %d unit %d: kappa %v, want %v\n%s", i, r, now, want, n)
				}
			}
		}
	})
}

// One number for all units, as the scale of an attention is, leaves values that agree as few
// numbers; EachEdge and Outer are Edges.
func TestKappaInParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, opt := draw(t)
		k := paths.NewKappa(n, 2, opt)
		for i := range n.Nodes {
			if n.Nodes[i].Zone != dag.Body {
				continue
			}
			want := k.Edges(i)
			got := make([]scaled.Num, len(want))
			if k.EachEdge(i, func(e int, x scaled.Num) { got[e] = got[e].Add(x) }) != (want != nil) {
				t.Fatalf("node %d: EachEdge and Edges differ in whether there are any", i)
			}
			for e := range want {
				if got[e] != want[e] {
					t.Fatalf("node %d edge %d: %v, Edges %v", i, e, got[e], want[e])
				}
			}
			rows, cols := k.Outer(i)
			if rows == nil {
				continue
			}
			m := n.Nodes[i].Op.(*dag.Linear).Matrices()[0]
			for e := range want {
				r, c := m.Place(e)
				var sum scaled.Num
				for p, x := range rows[r] {
					sum = sum.Add(x.Mul(cols[c][p]))
				}
				if !near(sum, want[e].Float64()) {
					t.Fatalf("node %d edge %d: outer products %v, Edges %v", i, e, sum, want[e])
				}
			}
		}
	})
}
