package rescale

import (
	"math"
	"math/rand/v2"
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
// makes the factors unique; and the levels are those of the balanced weights.
func TestMaxBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		n := rapid.IntRange(1, 9).Draw(t, "vertices")
		ln := rng.NormFloat64
		if rapid.Bool().Draw(t, "ties") {
			ln = func() float64 { return float64(rng.IntN(4)) }
		}
		arcs := randomArcs(rng, n, rapid.IntRange(0, 4*n).Draw(t, "arcs"), ln)
		b, err := maxBalance(t.Context(), make([]float64, n), arcs)
		if err != nil {
			t.Fatal(err)
		}
		if b.y[0] != 0 {
			t.Fatalf("y of the first vertex is %v", b.y[0])
		}
		for set := 1; set < 1<<n-1; set++ {
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
		sameLevels(t, b, arcs)
	})
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
	b, err := maxBalance(t.Context(), y, []arc{{0, 1, 3}, {1, 2, 4}, {2, 1, 8}, {3, 0, 2}})
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
