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
// x of pinned units 0. The more c, the less the least x of the groups, x(c), which has the largest row of
// each group at its bound. It is found part by part (strongly connected groups), what a part reads of
// those before it being numbers by then. As c falls, c* is where a pinned row reaches its bound, or where some
// part has no x any more, since a cycle through it gains more than c. The rows of x(c) are convex in ln c:
// a tangent of theirs has its root below ln c*, and so has the gain of a cycle, so that Newton's method rises to it
// from the left. Bisection leads over the largest gain of a cycle where c* lies behind it.
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
	parts       [][]int32
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
}

func newTied(v *view, p float64) *tied {
	t := &tied{
		v: v, p: p, free: make([][]int, len(v.active)), x: make([]float64, len(v.active)),
		powers: make([]float64, len(v.active)), choice: make([]int, len(v.active)), pairs: map[int32]*[2][]int{},
	}
	for g := range t.x {
		t.set(g, 0)
	}
	for _, y := range v.layers {
		t.addLayer(y)
	}
	t.findParts()
	for g, rows := range t.free {
		for _, row := range rows {
			t.rows[row].split(func(j int32) bool { return t.part[j] == t.part[g] })
		}
	}
	for k := range t.rows {
		t.terms += len(t.rows[k].cols)
	}
	return t
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
		t.parts = append(t.parts, part)
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
		f(l, func(g func(int32, float64)) { t.slopesOf(row, l, g) })
	}
	for _, k := range slices.Sorted(maps.Keys(t.pairs)) {
		a, la := t.top(t.pairs[k][0])
		b, lb := t.top(t.pairs[k][1])
		half := func(g func(int32, float64)) func(int32, float64) {
			return func(j int32, d float64) { g(j, d/2) }
		}
		f((la+lb)/2, func(g func(int32, float64)) {
			t.slopesOf(a, la, half(g))
			t.slopesOf(b, lb, half(g))
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

// size is what errors of logarithms are relative to.
func size(x float64) float64 { return math.Max(1, math.Abs(x)) }

// These are the largest error of a bound that holds, how near to c* the search ends, and how low it goes.
const (
	slack   = 1e-13
	nearest = 1e-12
	lowest  = -1e4
)

// solve finds ln c*, and the least x for it; where x is beyond the range of the stored types, that of a
// larger c, and says so.
func (t *tied) solve(ctx context.Context) error {
	if len(t.x) == 0 {
		return nil
	}
	// The largest row at x = 0 is feasible, but for rounding.
	for g := range t.x {
		t.set(g, 0)
	}
	most := math.Inf(-1)
	for row := range t.rows {
		most = math.Max(most, t.value(row))
	}
	hi := most
	for step := 1e-15 * size(most); ; step *= 10 {
		if _, ok := t.least(hi, nil); ok {
			break
		}
		if !(step < 1e6) {
			return fmt.Errorf("rescale: no largest incoming norm is feasible: the weights span too wide a range")
		}
		hi = most + step
	}
	w := t.falls(hi)
	low, _ := t.tangents(hi, w) // a lower bound of ln c*
	lo := math.Min(hi-1, lowest)
	x := slices.Clone(t.x)
	from := make([]float64, len(x))
	halved := 0
	for hi-math.Max(lo, low) > nearest*size(hi) {
		if err := ctx.Err(); err != nil {
			return err
		}
		mu := low
		if low <= lo+slack*size(lo) {
			mu = lo + (hi-lo)/2
			if halved++; halved == 6 { // c* may be all but at lo
				mu = math.Min(mu, lo+nearest*size(lo)/2)
			}
		} else {
			halved = 0
		}
		for g := range from {
			from[g] = x[g] + w[g]*(hi-mu)
		}
		bound, ok := t.least(mu, from)
		if !ok {
			lo, low = mu, math.Max(low, bound)
			continue
		}
		next := t.falls(mu)
		bound, over := t.tangents(mu, next)
		low = math.Max(low, bound)
		if over {
			lo, low = mu, math.Max(low, mu+2*slack*size(mu)) // roundings of mu count where rows fall steeply
			continue
		}
		hi, w = mu, next
		copy(x, t.x)
	}
	t.mu = hi
	for g := range x {
		t.set(g, x[g])
	}
	limit := lnRange(t.v.net)
	for floats.Norm(t.logs(), math.Inf(1)) > limit && t.delta < 1 {
		t.infimum, t.delta = true, math.Max(1e-9, 10*t.delta)
		t.mu = hi + math.Log1p(t.delta)
		t.least(t.mu, nil)
	}
	return nil
}

// tangents returns a lower bound of ln c*, the largest root of the tangents of the constraints without an x of their
// own, which falls at w(mu); and whether one of them is over its bound at mu.
func (t *tied) tangents(mu float64, w []float64) (bound float64, over bool) {
	bound = lowest
	t.ends(func(l float64, slopes func(func(int32, float64))) {
		fall := 1.0
		slopes(func(j int32, d float64) { fall += d * w[j] })
		bound = math.Max(bound, mu+(l-mu)/fall)
		over = over || l-mu > slack*size(mu)
	})
	return bound, over
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
