package rescale

import (
	"maps"
	"math"
	"slices"
)

// solve balances the collected edges by Gauss-Seidel sweeps, up and down the
// order of vertices in turn. Where they are slow, as in deep networks, the linear
// equations of the edges that are largest now are solved at once, and y goes their way.
func (b *ranges) solve(y []float64, tol float64) {
	const sweeps, rounds = 30, 200
	for range rounds {
		for sweep := range sweeps {
			var change float64
			for k := range y {
				v := k
				if sweep&1 == 1 {
					v = len(y) - 1 - k
				}
				next, _, _ := b.middle(y, v)
				change = math.Max(change, math.Abs(next-y[v]))
				y[v] = next
			}
			if change <= tol {
				return
			}
		}
		b.approach(y, b.linear(y))
	}
}

// approach moves y towards x, the whole way or 1/2, 1/4, ... of it, where that brings it
// nearer to the fixed point. Other edges are the largest further on: the solution of the
// equations that hold at y can lie far from all.
func (b *ranges) approach(y, x []float64) {
	const shortest = 0x1p-10
	d, z := b.distance(y), make([]float64, len(y))
	for t := 1.0; t >= shortest; t /= 2 {
		for v := range z {
			z[v] = y[v] + t*(x[v]-y[v])
		}
		if b.distance(z) < d {
			copy(y, z)
			return
		}
	}
}

// middle returns the y of a vertex that makes its largest edges equal, and these edges;
// y itself and edges of pinned units where it has edges on one side only.
func (b *ranges) middle(y []float64, v int) (next float64, into, from end) {
	at := func(e end) float64 {
		if e.other < 0 {
			return e.ln
		}
		return e.ln + e.sign*y[e.other]
	}
	in, out := math.Inf(-1), math.Inf(-1)
	none := end{other: -1}
	into, from = none, none
	for _, e := range b.into[v] {
		if x := at(e); x > in {
			in, into = x, e
		}
	}
	for _, e := range b.from[v] {
		if x := at(e); x > out {
			out, from = x, e
		}
	}
	if next = (out - in) / 2; math.IsInf(next, 0) || math.IsNaN(next) {
		return y[v], none, none
	}
	return next, into, from
}

// distance is how far the farthest vertex is from the middle; infinite for a y
// that is no number, which a closed cycle makes of linear equations.
func (b *ranges) distance(y []float64) float64 {
	var d float64
	for v := range y {
		next, _, _ := b.middle(y, v)
		x := math.Abs(next - y[v])
		if math.IsNaN(x) || math.IsInf(y[v], 0) {
			return math.Inf(1)
		}
		d = math.Max(d, x)
	}
	return d
}

// linear solves y_v = (ln out_v - ln in_v)/2 with the edges that are largest at
// y, by elimination in the order of vertices: every equation has two neighbours,
// one before and one after, so that little fills in.
func (b *ranges) linear(y []float64) []float64 {
	// y_v = rhs_v + sum of row[v] over later vertices.
	rows, rhs := make([]map[int32]float64, len(y)), make([]float64, len(y))
	for v := range y {
		next, into, from := b.middle(y, v)
		row := map[int32]float64{}
		into.sign = -into.sign
		for _, e := range []end{into, from} {
			if u := e.other; u >= 0 {
				next -= e.sign * y[u] / 2
				row[u] += e.sign / 2
			}
		}
		for {
			first := int32(v)
			for u := range row {
				first = min(first, u)
			}
			if first == int32(v) {
				break
			}
			c := row[first]
			delete(row, first)
			next += c * rhs[first]
			for u, d := range rows[first] {
				row[u] += c * d
			}
		}
		own := 1 - row[int32(v)]
		delete(row, int32(v))
		for u := range row {
			row[u] /= own
		}
		rows[v], rhs[v] = row, next/own
	}
	for v := len(y) - 1; v >= 0; v-- {
		// In order, so that sums do not depend on the map's.
		for _, u := range slices.Sorted(maps.Keys(rows[v])) {
			rhs[v] += rows[v][u] * rhs[u]
		}
	}
	return rhs
}
