package rescale

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"
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
// without bound near c*.
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
	sweeps  int
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
	return t
}

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

// choose takes the largest row of each group, the one before unless another is
// larger beyond rounding, and returns its value less x and ln c.
func (t *tied) choose(mu float64) []float64 {
	t.sweeps++
	res := make([]float64, len(t.x))
	for g, rows := range t.free {
		if len(rows) == 0 {
			continue
		}
		best := t.value(rows[t.choice[g]])
		for k, row := range rows {
			if l := t.value(row); l > best+1e-13*math.Max(1, math.Abs(best)) {
				best, t.choice[g] = l, k
			}
		}
		res[g] = best - mu - t.x[g]
	}
	return res
}

// chosen is I - P of the chosen rows at x: what each part reads of those before it is taken from the rows,
// and each has a system of its own.
type chosen struct {
	*tied
	values  []float64 // of the rows
	systems []*system // nil where no group reads one of the part
}

func (t *tied) chosen() *chosen {
	c := &chosen{t, make([]float64, len(t.x)), make([]*system, len(t.parts))}
	for k, part := range t.parts {
		s := &system{cols: make([][]int32, len(part)), vals: make([][]float64, len(part))}
		for i, g := range part {
			if len(t.free[g]) > 0 {
				c.values[g] = t.value(t.free[g][t.choice[g]])
			}
			c.row(g, func(j int32, d float64) {
				if int(t.part[j]) == k {
					s.cols[i], s.vals[i] = append(s.cols[i], t.place[j]), append(s.vals[i], d)
				}
			})
			s.terms += len(s.cols[i])
			if slices.ContainsFunc(s.cols[i], func(j int32) bool { return int(j) >= i }) {
				s.back = append(s.back, i)
			}
		}
		if s.terms > 0 {
			c.systems[k] = s
		}
	}
	return c
}

// row calls f with a row of P.
func (c *chosen) row(g int32, f func(j int32, d float64)) {
	if rows := c.free[g]; len(rows) > 0 {
		c.slopes(rows[c.choice[g]], c.values[g], func(j int32, d float64) { f(j, d*(1-leak)) })
	}
}

// solve returns (I - P)^-1 b.
func (c *chosen) solve(b []float64) []float64 {
	x := make([]float64, len(b))
	for k, part := range c.parts {
		for _, g := range part {
			sum := b[g]
			c.row(g, func(j int32, d float64) {
				if int(c.part[j]) != k {
					sum += d * x[j]
				}
			})
			x[g] = sum
		}
		if s := c.systems[k]; s != nil {
			rest := make([]float64, len(part))
			for i, g := range part {
				rest[i] = x[g]
			}
			for i, y := range s.solve(rest) {
				x[part[i]] = y
			}
		}
	}
	return x
}

// system is the sparse matrix P of the rows of a part. back lists those that read groups
// from their own on, as tied groups may: between these P is lower triangular.
type system struct {
	cols  [][]int32
	vals  [][]float64
	back  []int
	terms int     // entries of P
	lu    *mat.LU // of I - P with only the rows of back left
}

// leak keeps I - P regular where a choice of rows closes a cycle without inputs:
// the ratio of two solutions is then what the cycle demands.
const leak = 1e-13

// mostDense is the number of multiplications up to which the rows of back are factorised; more of
// them are solved for by iteration.
const mostDense = 1e8

// solve returns (I - P)^-1 b: in the order of the layers but for the rows of back, for
// which a system of their own remains.
func (s *system) solve(b []float64) []float64 {
	x := make([]float64, len(b))
	s.forward(x, b, 1)
	if len(s.back) == 0 {
		return x
	}
	rest := make([]float64, len(s.back))
	for k, i := range s.back {
		rest[k] = b[i] + s.row(i, x)
	}
	y := s.cycles(rest)
	for k, i := range s.back {
		x[i] = y[k]
	}
	s.forward(x, b, 1)
	return x
}

// cycles solves what is left for the rows of back.
func (s *system) cycles(b []float64) []float64 {
	if float64(len(b))*float64(s.terms) > mostDense {
		x := make([]float64, len(s.cols))
		return gmres(b, func(dst, y []float64) {
			for k, i := range s.back {
				x[i] = y[k]
			}
			s.forward(x, nil, 1)
			for k, i := range s.back {
				dst[k] = y[k] - s.row(i, x)
			}
		})
	}
	if s.lu == nil {
		s.factorize()
	}
	y := mat.NewVecDense(len(b), nil)
	// A system this close to singular still gives the ratio that is wanted.
	_ = s.lu.SolveVecTo(y, false, mat.NewVecDense(len(b), b))
	return y.RawVector().Data
}

// forward solves for all rows but those of back, of n right-hand sides side by side; nil is
// zeros.
func (s *system) forward(x, b []float64, n int) {
	back := s.back
	for i := range s.cols {
		if len(back) > 0 && back[0] == i {
			back = back[1:]
			continue
		}
		to := x[i*n:][:n]
		if clear(to); b != nil {
			copy(to, b[i*n:])
		}
		if n == 1 {
			to[0] += s.row(i, x)
			continue
		}
		for k, j := range s.cols[i] {
			floats.AddScaled(to, s.vals[i][k], x[int(j)*n:][:n])
		}
	}
}

// row is a row of P times x.
func (s *system) row(i int, x []float64) (sum float64) {
	vals := s.vals[i]
	for k, j := range s.cols[i] {
		sum += vals[k] * x[j]
	}
	return sum
}

// factorize finds what the rows of back are to each other, some columns at a time.
func (s *system) factorize() {
	const some = 32
	m := len(s.back)
	a := mat.NewDense(m, m, nil)
	x := make([]float64, len(s.cols)*some)
	for c0 := 0; c0 < m; c0 += some {
		n := min(some, m-c0)
		for k, i := range s.back {
			clear(x[i*n:][:n])
			if k >= c0 && k < c0+n {
				x[i*n+k-c0] = 1
			}
		}
		s.forward(x, nil, n)
		for k, i := range s.back {
			to := a.RawRowView(k)[c0:][:n]
			copy(to, x[i*n:][:n])
			for e, j := range s.cols[i] {
				floats.AddScaled(to, -s.vals[i][e], x[int(j)*n:][:n])
			}
		}
	}
	s.lu = &mat.LU{}
	s.lu.Factorize(a)
}

// solve finds ln c* from below, then the least x for it.
func (t *tied) solve(ctx context.Context) error {
	if len(t.x) == 0 {
		return nil
	}
	ones := make([]float64, len(t.x))
	for i := range ones {
		ones[i] = 1
	}
	lower, still := math.Inf(-1), 0
	for steps := 0; steps < 200 && still < 3; steps++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		res := t.choose(t.mu)
		s := t.chosen()
		u, w := s.solve(res), s.solve(ones)
		next := math.Inf(-1)
		t.ends(func(l float64, slopes func(func(int32, float64))) {
			pu, pw := 0.0, 1.0
			slopes(func(j int32, d float64) { pu += d * u[j]; pw += d * w[j] })
			next = math.Max(next, t.mu+(l-t.mu+pu)/pw)
		})
		far := math.Abs(next - t.mu)
		for g := range u {
			u[g] -= w[g] * (next - t.mu)
			far = math.Max(far, math.Abs(u[g]))
		}
		if math.IsNaN(far) {
			break
		}
		// A cycle without inputs sends x far away, where its digits are lost: the
		// step is cut, and its bound not trusted.
		cut := math.Min(1, farthest/far)
		for g, x := range t.x {
			t.set(g, x+cut*u[g])
		}
		t.mu += cut * (next - t.mu)
		// At the end the bound rises no more. x itself may go on moving along what the cycle that
		// decides leaves all but free, and the rows' values with it, by the square of that.
		still++
		if rise := next - lower; cut == 1 && !(rise <= 4e-16*math.Max(1, math.Abs(next))) || floats.Norm(res, math.Inf(1)) > 1e-7 {
			still = 0
		}
		if cut == 1 {
			lower = math.Max(lower, next)
		}
	}
	return t.settle(ctx, lower)
}

// farthest is the longest step that is taken whole.
const farthest = 30

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
			if t.least(mu) {
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

// least finds the least x with max L(x) - mu = x by Newton's method from below,
// whose iterates never pass it; ok is false when there is none or a pinned unit
// exceeds its bound.
func (t *tied) least(mu float64) (ok bool) {
	for g := range t.x {
		if t.set(g, math.Inf(-1)); len(t.free[g]) == 0 {
			t.set(g, 0)
		}
		t.choice[g] = 0
	}
	// Values that rise from nothing: as many sweeps as the longest chain.
	for found := 0; found < len(t.x); {
		n := 0
		for g, rows := range t.free {
			for k, row := range rows {
				if l := t.value(row) - mu; l > t.x[g] {
					t.set(g, l)
					t.choice[g] = k
				}
			}
			if !math.IsInf(t.x[g], -1) {
				n++
			}
		}
		t.sweeps++
		if n == found {
			break
		}
		found = n
	}
	for range 100 {
		res := t.choose(mu)
		over := false
		t.ends(func(l float64, _ func(func(int32, float64))) {
			over = over || l-mu > 1e-13*math.Max(1, math.Abs(mu))
		})
		if over {
			return false
		}
		if worst := floats.Norm(res, math.Inf(1)); worst <= 1e-14*math.Max(1, math.Abs(mu)) {
			return true
		}
		d := t.chosen().solve(res)
		for g, x := range t.x {
			t.set(g, x+d[g])
			if !(math.Abs(t.x[g]) < 1e5) {
				return false
			}
		}
	}
	return false
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
