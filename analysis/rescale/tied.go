package rescale

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// tied is path's problem where a group has several units: with x = ln b the
// least c for which some x satisfies, for every row,
//
//	L_row(x) - x_group(row) <= ln c,   L_row(x) = ln ||w e^x||_p,
//
// x of pinned units 0. L is convex, its derivative P a row of non-negative
// numbers with a sum of at most 1 (less by the share of inputs and biases), so
// that the problem is one of choosing a row for each group, as in a Markov
// decision process. It is solved by policy iteration: a choice of the largest
// row of each group, and a linear solve with I - P. Every step gives a lower
// bound of ln c* (by convexity), and near the end the bounds converge
// quadratically (Newton's method). Iterating x <- max L(x) - ln c instead slows
// without bound near c*. Groups that read each other are a part; small parts are solved for at every step,
// since one iteration for independent cycles averages their gains, where the largest counts.
type tied struct {
	v    *view
	p    float64
	rows []tiedRow
	// free has the rows of each active group, pinned those of pinned groups; pairs the
	// rows on either side of groups that meet in a product, which no weights read.
	free   [][]int
	pinned []int
	pairs  map[int32]*[2][]int
	// parts are the groups that read each other by whatever rows, each part after those that it reads;
	// part and place say where a group is.
	parts       []tiedPart
	part, place []int32
	// x is counted from the view's start, powers has e^x to the power p; choice is the
	// chosen row of a group.
	x, powers []float64
	choice    []int

	mu      float64
	delta   float64
	infimum bool
	// terms is how many entries the rows have, read how many were read.
	terms, read int
	// mostDense is the multiplications up to which a part is not large, anyLarge whether one is.
	mostDense float64
	anyLarge  bool
	// held is an x for which all rows hold at holds.
	held  []float64
	holds float64
}

func newTied(v *view, p float64) *tied {
	t := &tied{
		v: v, p: p, free: make([][]int, len(v.active)), x: make([]float64, len(v.active)),
		powers: make([]float64, len(v.active)), choice: make([]int, len(v.active)), pairs: map[int32]*[2][]int{}, holds: math.Inf(1),
	}
	for g := range t.x {
		t.set(g, 0)
	}
	for _, y := range v.layers {
		t.addLayer(y)
	}
	t.findParts()
	t.sizes(mostDense)
	return t
}

// sizes puts the entries of rows that are of their own part first, and finds which parts are large: those whose
// systems take more multiplications than most.
func (t *tied) sizes(most float64) {
	t.mostDense, t.anyLarge, t.terms = most, false, 0
	for k := range t.rows {
		t.terms += len(t.rows[k].cols)
	}
	back, inner := make([]float64, len(t.parts)), make([]float64, len(t.parts))
	for g, rows := range t.free {
		k, ahead := t.part[g], false
		for _, row := range rows {
			r := &t.rows[row]
			r.split(func(j int32) bool { return t.part[j] == k })
			inner[k] += float64(r.inner)
			ahead = ahead || slices.ContainsFunc(r.cols[:r.inner], func(j int32) bool { return int(j) >= g })
		}
		if ahead {
			back[k]++
		}
	}
	for k := range t.parts {
		t.parts[k].cycles = inner[k] > 0
		t.parts[k].large = back[k]*inner[k] > most && !math.IsInf(t.p, 1) // whose rows have an entry each
		t.anyLarge = t.anyLarge || t.parts[k].large
	}
}

// sweeps is how often the rows were read, on the mean.
func (t *tied) sweeps() int { return (t.read + t.terms - 1) / max(1, t.terms) }

// findParts finds the strongly connected groups (Tarjan, SIAM Journal on Computing 1, 1972), by slices:
// there are as many edges as weights, and gonum's topo.TarjanSCC looks each up in maps.
func (t *tied) findParts() {
	n := len(t.x)
	t.part, t.place = make([]int32, n), make([]int32, n)
	seen, low := make([]int32, n), make([]int32, n) // when a group was met; 0 is not yet
	var met int32
	type visit struct {
		g        int32
		row, col int // what is read next
		first    int // of open
	}
	var path []visit // no recursion: a path may be as long as there are groups
	var open []int32
	enter := func(g int32) {
		met++
		seen[g], low[g] = met, met
		path = append(path, visit{g: g, first: len(open)})
		open = append(open, g)
	}
	leave := func(v visit) {
		path = path[:len(path)-1]
		if low[v.g] < seen[v.g] {
			return
		}
		part := slices.Clone(open[v.first:])
		open = open[:v.first]
		slices.Sort(part)
		for i, j := range part {
			t.part[j], t.place[j] = int32(len(t.parts)), int32(i)
			low[j] = math.MaxInt32 // closed
		}
		t.parts = append(t.parts, tiedPart{groups: part})
	}
	for g := range int32(n) {
		if seen[g] == 0 {
			enter(g)
		}
	walk:
		for len(path) > 0 {
			v := &path[len(path)-1]
			for rows := t.free[v.g]; v.row < len(rows); v.row, v.col = v.row+1, 0 {
				for cols := t.rows[rows[v.row]].cols; v.col < len(cols); v.col++ {
					j := cols[v.col]
					if seen[j] == 0 {
						enter(j)
						continue walk // and read j again after it
					}
					low[v.g] = min(low[v.g], low[j])
				}
			}
			leave(*v)
		}
	}
}

// ends calls f for each constraint l <= ln c that has no x of its own, with l and its
// derivative: a row of a pinned group, or the mean of the largest rows on the two sides of
// groups that meet in a product, as some inverse factors satisfy both iff that is so.
func (t *tied) ends(f func(l float64, slopes func(func(j int32, d float64)))) {
	for _, row := range t.pinned {
		l := t.value(row)
		f(l, func(g func(int32, float64)) { t.slopes(row, l, g) })
	}
	for _, k := range slices.Sorted(maps.Keys(t.pairs)) {
		a, la := t.top(t.pairs[k][0])
		b, lb := t.top(t.pairs[k][1])
		half := func(g func(int32, float64)) func(int32, float64) {
			return func(j int32, d float64) { g(j, d/2) }
		}
		f((la+lb)/2, func(g func(int32, float64)) {
			t.slopes(a, la, half(g))
			t.slopes(b, lb, half(g))
		})
	}
}

// top is the largest of rows, and its value.
func (t *tied) top(rows []int) (row int, value float64) {
	value = math.Inf(-1)
	for _, r := range rows {
		if l := t.value(r); l > value {
			row, value = r, l
		}
	}
	return row, value
}

const (
	slack   = 1e-13 // the largest error of a bound that holds
	tiny    = 1e-15 // the least difference of two mu that are told apart
	strides = 30    // the longest step that is taken whole
)

// solve finds ln c* from below, then the least x for it. Parts that are not large have the least x for mu at every
// step, so that mu stays above the gains of their cycles; x of large ones is stepped together with mu.
func (t *tied) solve(ctx context.Context) error {
	if len(t.x) == 0 {
		return nil
	}
	// No c* is below lower; some part has no x at dead.
	lower, dead, up := math.Inf(-1), math.Inf(-1), tiny
	for k := range t.parts {
		if part := &t.parts[k]; part.cycles {
			gain := t.gain(part, 20)
			if lower = math.Max(lower, gain); !part.large {
				dead = math.Max(dead, gain)
			}
		}
	}
	t.mu = math.Max(0, lower)
	if !t.anyLarge {
		t.mu = math.Max(0, dead+1)
	}
	values := make([]float64, len(t.x))
	var from []float64
	for steps, still, clipped := 0, 0, 0; steps < 200 && still < 3; steps++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if bound, ok := t.pass(t.mu, from, values); !ok {
			if bound > t.mu+slack*size(t.mu) {
				up = tiny
			}
			lower, dead, from = math.Max(lower, bound), math.Max(bound, t.mu), nil
			t.mu = dead + up*size(dead)
			up *= 10
			continue
		}
		up = tiny
		above, below := t.beyond(values)
		u, w, ofU, ofW := t.tangents(t.mu, values)
		next, top := math.Inf(-1), above
		t.ends(func(l float64, slopes func(func(int32, float64))) {
			pu, pw := 0.0, 1.0
			slopes(func(j int32, d float64) { pu += d * u[j]; pw += d * w[j] })
			next, top = math.Max(next, t.mu+(l-t.mu+pu)/pw), math.Max(top, l-t.mu)
		})
		if top <= slack*size(t.mu) && !(t.mu >= t.holds) {
			t.holds, t.held = t.mu, slices.Clone(t.x)
		}
		// Below dead nothing can be evaluated. From the right x grows like -ln(mu - dead) there.
		to, rests, far := next, next, 0.0
		if clipped++; !(to <= dead) {
			clipped = 0
		} else {
			least, over := up, t.mu-dead
			if math.Max(above, below) > 0.1 { // near dead all but singular, while x is far away
				least = math.Min(1e-2, up*math.Pow(10, float64(clipped-1)))
			}
			if to = dead + math.Max(least*size(dead), over*math.Exp((next-t.mu)/over)); clipped > 1 {
				rests = to
			}
		}
		for g := range u {
			if t.parts[t.part[g]].large {
				u[g] -= w[g] * (rests - t.mu)
				far = math.Max(far, math.Abs(u[g]))
			} else {
				u[g] -= w[g] * (to - t.mu)
			}
		}
		if far = math.Max(far, math.Abs(to-t.mu)); math.IsNaN(far) {
			break
		}
		// A cycle without inputs sends x far away, where its digits are lost: the
		// step is cut, and its bound not trusted.
		cut := math.Min(1, strides/far)
		if !t.anyLarge {
			from = make([]float64, len(u))
		}
		for g, x := range t.x {
			if t.parts[t.part[g]].large {
				t.set(g, x+cut*u[g])
			} else if from != nil {
				from[g] = x + cut*u[g]
			}
		}
		// At the end the bound rises no more. x itself may go on moving along what the cycle that
		// decides leaves all but free, and the rows' values with it, by the square of that.
		still++
		if rise := next - lower; cut == 1 && !(rise <= 4e-16*size(next)) || math.Max(above, below) > 1e-7 || next <= dead && to > dead+2*tiny*size(dead) {
			still = 0
		}
		if cut == 1 {
			lower = math.Max(lower, next-ofU-ofW*math.Abs(next-t.mu))
		}
		t.mu += cut * (to - t.mu)
	}
	return t.settle(ctx, lower)
}

// beyond is how far above its bound a chosen row of large parts is, and how far below.
func (t *tied) beyond(values []float64) (above, below float64) {
	for g, rows := range t.free {
		if len(rows) > 0 && t.parts[t.part[g]].large {
			over := values[g] - t.mu - t.x[g]
			above, below = math.Max(above, over), math.Max(below, -over)
		}
	}
	return above, below
}

// pass takes the least x for mu of all parts but the large ones, and the values of the chosen rows of all.
func (t *tied) pass(mu float64, from, values []float64) (bound float64, ok bool) {
	for k := range t.parts {
		part := &t.parts[k]
		if part.large {
			t.gather(part)
		} else if bound, ok := t.leastOf(part, mu, from); !ok {
			return bound, false
		}
		for _, g := range part.groups {
			if part.large {
				values[g] = t.choose(g)
			} else {
				values[g] = mu + t.x[g]
			}
		}
	}
	return mu, true
}

// settle finds the smallest ln c from lower on for which there is a least x, and
// takes that; where x is beyond the range of the stored types, that of a larger
// c, and says so.
func (t *tied) settle(ctx context.Context, lower float64) error {
	unit := math.Max(1, math.Abs(lower))
	if math.IsInf(lower, -1) {
		lower, unit = -1, 1
		for t.least(lower) && lower > -1e4 {
			lower *= 2
		}
	}
	// The bound is right but for rounding, unless rounding spoiled the way to it.
	lo, hi, step := lower, lower, 1e-15*unit
	at := math.NaN() // what x is the least for
	least := func(mu float64) bool {
		if mu != at {
			at = math.NaN()
			if t.least(mu) || t.recall(mu) {
				at = mu
			}
		}
		return mu == at
	}
	for !least(hi) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if step > 1e6 {
			return fmt.Errorf("rescale: no largest incoming norm is feasible: the weights span too wide a range")
		}
		lo, hi = hi, lower+step
		step *= 10
	}
	for hi-lo > 1e-12*unit {
		if err := ctx.Err(); err != nil {
			return err
		}
		if mid := lo + (hi-lo)/2; least(mid) {
			hi = mid
		} else {
			lo = mid
		}
	}
	t.mu = hi
	limit := lnRange(t.v.net)
	for delta := 0.0; ; delta = math.Max(1e-9, 10*delta) {
		if delta > 0 {
			t.infimum, t.delta = true, delta
			t.mu = hi + math.Log1p(delta)
		}
		if !least(t.mu) {
			continue // rounding of the last feasible one
		}
		if delta >= 1 || floats.Norm(t.logs(), math.Inf(1)) <= limit {
			return nil
		}
	}
}

// recall takes an x that was seen to hold at mu or below, though the least was not found.
func (t *tied) recall(mu float64) bool {
	if !(mu >= t.holds) {
		return false
	}
	for g, x := range t.held {
		t.set(g, x)
	}
	return true
}

// logs returns the logarithms of the factors.
func (t *tied) logs() []float64 {
	z := t.v.logs()
	for g := range z {
		if pair := t.pairs[int32(g)]; pair != nil { // the same norm on both sides
			_, a := t.top(pair[0])
			_, b := t.top(pair[1])
			z[g] += (b - a) / 2
			continue
		}
		z[g] -= t.x[g]
	}
	return z
}
