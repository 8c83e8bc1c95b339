package rescale

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// randomArcs is a graph on n vertices in which a cycle runs through all, and arcs more.
func randomArcs(rng *rand.Rand, n, more int, ln func() float64) []arc {
	order, out := rng.Perm(n), []arc(nil)
	for k, v := range order {
		out = append(out, arc{int32(v), int32(order[(k+1)%n]), ln()})
	}
	for range more {
		out = append(out, arc{int32(rng.IntN(n)), int32(rng.IntN(n)), ln()})
	}
	return out
}

// The largest weights into and out of every set of vertices are equal, by brute force, which
// makes the factors unique; and the levels are those of the balanced weights. So they are from any
// start, and where arcs are added to what is balanced.
func TestMaxBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := rapid.IntRange(1, 9).Draw(t, "vertices")
		ln := rng.NormFloat64
		if rapid.Bool().Draw(t, "ties") {
			ln = func() float64 { return float64(rng.IntN(4)) }
		}
		y := make([]float64, n)
		for v := 1; v < n; v++ {
			y[v] = ln()
		}
		arcs := randomArcs(rng, n, rapid.IntRange(0, 4*n).Draw(t, "arcs"), ln)
		rng.Shuffle(len(arcs), func(i, j int) { arcs[i], arcs[j] = arcs[j], arcs[i] })
		b, err := maxBalance(t.Context(), y, arcs, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		balancedSets(t, b, arcs)
		sameLevels(t, b, arcs)
		some := rapid.IntRange(0, len(arcs)).Draw(t, "some")
		if b, err = maxBalance(t.Context(), y, arcs[:some], nil, 0); err != nil {
			t.Fatal(err)
		}
		sameLevels(t, b, arcs[:some])
		if b, err = maxBalance(t.Context(), b.y, arcs, b, heaviest(b.y, arcs[some:])); err != nil {
			t.Fatal(err)
		}
		balancedSets(t, b, arcs)
		sameLevels(t, b, arcs)
	})
}

// heaviest is the largest weight of arcs with factors.
func heaviest(y []float64, arcs []arc) float64 {
	x := math.Inf(-1)
	for _, e := range arcs {
		x = max(x, e.ln+y[e.to]-y[e.from])
	}
	return x
}

// balancedSets compares the largest weights into and out of each set of vertices.
func balancedSets(t *rapid.T, b *balanced, arcs []arc) {
	if b.y[0] != 0 {
		t.Fatalf("y of the first vertex is %v", b.y[0])
	}
	for set := 1; set < 1<<len(b.y)-1; set++ {
		in, out := math.Inf(-1), math.Inf(-1)
		for _, e := range arcs {
			w := e.ln + b.y[e.to] - b.y[e.from]
			switch from, to := set>>e.from&1, set>>e.to&1; {
			case to > from:
				in = max(in, w)
			case from > to:
				out = max(out, w)
			}
		}
		if !(math.Abs(in-out) < 1e-12) {
			t.Fatalf("set %b: in %v, out %v", set, in, out)
		}
	}
}

// What was balanced is not done again: an edge more costs the cycles of smaller means, and from
// balanced factors few paths are replaced. Chains of layers as in a network, whose last leads to the first.
func TestMaxBalanceAgain(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	const layers, width = 40, 16
	var arcs []arc
	for l := range layers {
		for k := range 6 * width {
			from, to := int32(l*width+k%width), int32((l+1)%layers*width+(k+k/width*rng.IntN(width))%width)
			arcs = append(arcs, arc{from, to, rng.NormFloat64()})
			if from%5 == 0 {
				arcs = append(arcs, arc{to, 0, rng.NormFloat64()}, arc{0, to, rng.NormFloat64()})
			}
		}
	}
	joins, moved := 0, 0
	run := func(y []float64, last *balanced, above float64) *balanced {
		c := newCycles(y, arcs, last, above)
		joins, moved = 0, 0
		for v := range y {
			if c.up[v] != int32(v) {
				joins--
			}
		}
		for len(c.heap) > root {
			before := slices.Clone(c.steps)
			c.step()
			for v := range y {
				if c.steps[v] != before[v] {
					moved++
				}
			}
		}
		for v := range y {
			if c.up[v] != int32(v) {
				joins++
			}
		}
		return c.result(y)
	}
	b := run(make([]float64, layers*width), nil, 0)
	cold := moved
	low := slices.Clone(b.level)
	slices.Sort(low)
	arcs = append(arcs, arc{0, 1, low[len(low)/4] + b.y[0] - b.y[1]})
	run(b.y, nil, 0)
	if moved > cold/2 {
		t.Errorf("%d paths replaced from balanced factors, %d from none", moved, cold)
	}
	run(b.y, b, low[len(low)/4])
	if joins > layers*width/3 {
		t.Errorf("%d of %d vertices joined anew", joins, layers*width)
	}
}

// sameLevels compares levels with the paths of largest least weights, by Warshall.
func sameLevels(t *rapid.T, b *balanced, arcs []arc) {
	n := len(b.y)
	wide := make([][]float64, n)
	for u := range wide {
		wide[u] = make([]float64, n)
		for v := range wide {
			wide[u][v] = math.Inf(-1)
		}
	}
	for _, e := range arcs {
		wide[e.from][e.to] = max(wide[e.from][e.to], e.ln+b.y[e.to]-b.y[e.from])
	}
	for k := range n {
		for u := range n {
			for v := range n {
				wide[u][v] = max(wide[u][v], min(wide[u][k], wide[k][v]))
			}
		}
	}
	for u := range n {
		for v := range n {
			if u == v {
				continue
			}
			want, got := min(wide[u][v], wide[v][u]), math.Inf(1)
			for k := min(b.at[u], b.at[v]); k < max(b.at[u], b.at[v]); k++ {
				got = min(got, b.level[k])
			}
			if got != want && !(math.Abs(got-want) < 1e-12) {
				t.Fatalf("level of %d and %d: %v, want %v", u, v, got, want)
			}
		}
	}
}

// Vertices that no cycle joins keep what is between them.
func TestMaxBalanceApart(t *testing.T) {
	y := []float64{0, 5, 8, 1}
	b, err := maxBalance(t.Context(), y, []arc{{0, 1, 3}, {1, 2, 4}, {2, 1, 8}, {3, 0, 2}}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	// 4 + y - 5 = 8 + 5 - y has y = 7; the others keep theirs.
	for v, want := range []float64{0, 5, 7, 1} {
		if b.y[v] != want {
			t.Errorf("y of %d is %v, want %v", v, b.y[v], want)
		}
	}
	if want := []float64{6, math.Inf(-1)}; b.level[b.at[1]] != want[0] || b.level[b.at[0]] != want[1] {
		t.Errorf("levels %v in the order %v", b.level, b.at)
	}
}
