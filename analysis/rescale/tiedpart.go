package rescale

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/floats"
)

// leak keeps I - P regular where a choice of rows closes a cycle without inputs.
const leak = 1e-13

// farthest is beyond which no x lies that counts.
const farthest = 1e5

// tiedPart is a strongly connected part of the groups, none of which reads later parts.
type tiedPart struct {
	groups []int32
	cycles bool // whether one reads another or itself
	// large is whether its linear systems are solved by iteration: its x is then searched for together with ln c.
	large bool
}

// size is what errors of logarithms are relative to.
func size(x float64) float64 { return math.Max(1, math.Abs(x)) }

// gather sums what the rows of a part read of those before it.
func (t *tied) gather(part *tiedPart) {
	for _, g := range part.groups {
		for _, row := range t.free[g] {
			r := &t.rows[row]
			r.before = t.norm(r.fixed, r.cols[r.inner:], r.a[r.inner:])
		}
	}
}

// least finds the least x with max L(x) - mu = x, part after part; it is not ok when there is none or a constraint
// without an x is over its bound.
func (t *tied) least(mu float64) (ok bool) {
	for k := range t.parts {
		if _, ok := t.leastOf(&t.parts[k], mu, nil); !ok {
			return false
		}
	}
	over := false
	t.ends(func(l float64, _ func(func(int32, float64))) { over = over || l-mu > slack*size(mu) })
	return !over
}

// leastOf is least of a part, with those before it solved; from is nil, or an x with max L(x) - mu >= x. Where there
// is none it is not ok, and ln c* is bound or more, -Inf where nothing proves that there is none. In y = e^(px) rows
// are linear, and the problem is that of a
// Markov decision process: policy iteration chooses the largest row of each group and solves the linear
// equations of the choice. From below it never passes the solution, and all steps are upwards unless the rows of
// the choice gain more than they may. For p = Inf a row is the largest of its entries, and the equations those of x;
// in large parts they are those of x too, whose diagonal is 1, as GMRES needs it.
func (t *tied) leastOf(part *tiedPart, mu float64, from []float64) (bound float64, ok bool) {
	for _, g := range part.groups {
		if from != nil && !(from[g] > -100) {
			from = nil
		}
	}
	for _, g := range part.groups {
		t.choice[g] = 0
		switch {
		case len(t.free[g]) == 0:
			t.set(int(g), 0)
		case from != nil:
			t.set(int(g), from[g])
		default:
			t.set(int(g), math.Inf(-1))
		}
	}
	t.gather(part)
	if from == nil || !part.cycles {
		t.rise(part, mu)
	}
	if !part.cycles {
		return mu, true
	}
	linear := !math.IsInf(t.p, 1) && !part.large
	n := len(part.groups)
	values := make([]float64, n)
	for range 100 {
		worst, far := 0.0, 0.0
		for i, g := range part.groups {
			values[i] = t.choose(g)
			if len(t.free[g]) > 0 {
				worst, far = math.Max(worst, values[i]-mu-t.x[g]), math.Max(far, math.Abs(t.x[g]))
			}
		}
		if worst <= 1e-14*size(mu)+4e-16*far {
			return mu, true
		}
		if !(far < farthest) {
			break
		}
		s, rest := newSystem(n, t.mostDense), make([]float64, n)
		for i, g := range part.groups {
			diag, scale := 1.0, 1-leak
			if len(t.free[g]) > 0 {
				rest[i] = values[i] - mu - t.x[g]
			}
			if linear {
				// What is not e^y is cut where it would leave float64: the solution is below then.
				l := t.p * math.Min(rest[i], 600/t.p)
				diag, scale, rest[i] = math.Exp(-l), 1, -math.Expm1(-l)
			}
			t.within(s, i, g, values[i], diag, scale)
		}
		d, _ := s.solve(rest)
		most := slices.Max(d)
		switch {
		case linear && (!(slices.Min(d) > -1e-6*math.Max(1, most)) || !(most < math.Inf(1))):
			if gain := s.gain() / t.p; gain > 0 {
				return mu + gain, false
			}
			return math.Inf(-1), false // rounding may have done it
		case part.large:
		case !linear && !(most < farthest):
			// The mean gain of the cycles that lead there.
			gain := 0.0
			w, _ := s.solve(slices.Repeat([]float64{1}, n))
			for i, w := range w {
				if d[i] >= farthest {
					gain = math.Max(gain, d[i]/w)
				}
			}
			return mu + gain, false
		}
		for i, g := range part.groups {
			switch {
			case part.large:
				t.set(int(g), t.x[g]+d[i])
			case linear:
				t.set(int(g), t.x[g]+math.Log1p(math.Max(0, d[i]))/t.p)
			default:
				t.set(int(g), t.x[g]+math.Max(0, d[i]))
			}
		}
	}
	return math.Inf(-1), false
}

// gain returns a number that ln c is above wherever the part has an x: the least L(x) - x over its groups, of their own
// entries alone (Collatz and Wielandt), which x <- (x + L(x)) / 2 brings up to the largest gain of a cycle.
func (t *tied) gain(part *tiedPart, rounds int) float64 {
	for _, g := range part.groups {
		t.set(int(g), 0)
	}
	best := math.Inf(-1)
	gains := make([]float64, len(part.groups))
	for range rounds {
		for i, g := range part.groups {
			top := math.Inf(-1)
			for _, row := range t.free[g] {
				r := &t.rows[row]
				top = math.Max(top, t.norm(math.Inf(-1), r.cols[:r.inner], r.a[:r.inner]))
			}
			gains[i] = top - t.x[g]
		}
		low := slices.Min(gains)
		best = math.Max(best, low)
		if math.IsInf(low, 0) || slices.Max(gains)-low < 1e-15 {
			break
		}
		for i, g := range part.groups {
			t.set(int(g), t.x[g]+(gains[i]-low)/2)
		}
	}
	mean := 0.0
	for _, g := range part.groups {
		mean += t.x[g] / float64(len(part.groups))
	}
	for _, g := range part.groups {
		t.set(int(g), t.x[g]-mean)
	}
	return best
}

// rise takes values that rise from nothing: as many sweeps as the longest chain.
func (t *tied) rise(part *tiedPart, mu float64) {
	for found := -1; found < len(part.groups); {
		n := 0
		for _, g := range part.groups {
			if len(t.free[g]) > 0 {
				t.set(int(g), math.Max(t.x[g], t.choose(g)-mu))
			}
			if !math.IsInf(t.x[g], -1) {
				n++
			}
		}
		if n == found {
			return
		}
		found = n
	}
}

// choose takes the largest row of a group, the one before unless another is larger beyond
// rounding, and returns its value.
func (t *tied) choose(g int32) float64 {
	rows := t.free[g]
	if len(rows) == 0 {
		return 0
	}
	best := t.inside(rows[t.choice[g]])
	if len(rows) == 1 {
		return best
	}
	for k, row := range rows {
		if l := t.inside(row); l > best+1e-13*size(best) {
			best, t.choice[g] = l, k
		}
	}
	return best
}

// within puts what the chosen row of a group, of that value, reads of its own part.
func (t *tied) within(s *system, i int, g int32, value, diag, scale float64) {
	var cols []int32
	var vals []float64
	if rows := t.free[g]; len(rows) > 0 {
		r := &t.rows[rows[t.choice[g]]]
		if !math.IsInf(t.p, 1) {
			cols, vals = make([]int32, 0, r.inner), make([]float64, 0, r.inner)
		}
		t.slopesOf(r.before, r.cols[:r.inner], r.a[:r.inner], value, func(j int32, d float64) {
			cols, vals = append(cols, t.place[j]), append(vals, d*scale)
		})
	}
	s.put(i, diag, cols, vals)
}

// tangents is the linear system of the chosen rows at x: u has (I - P)^-1 of what they are above their bounds at mu, w
// (I - P)^-1 1, which is how much x falls with ln c. As I - P has no negative inverse elements, no u is wrong by more
// than w times the largest residual of u, and w by a share of the largest of w.
func (t *tied) tangents(mu float64, values []float64) (u, w []float64, ofU, ofW float64) {
	u, w = make([]float64, len(t.x)), make([]float64, len(t.x))
	for k := range t.parts {
		part := &t.parts[k]
		n := len(part.groups)
		s, up, fall := newSystem(n, t.mostDense), make([]float64, n), make([]float64, n)
		for i, g := range part.groups {
			if len(t.free[g]) == 0 {
				s.put(i, 1, nil, nil)
				continue
			}
			up[i], fall[i] = values[g]-mu-t.x[g], 1
			var cols []int32
			var vals []float64
			t.slopes(t.free[g][t.choice[g]], values[g], func(j int32, d float64) {
				d *= 1 - leak
				if int(t.part[j]) == k {
					cols, vals = append(cols, t.place[j]), append(vals, d)
				} else {
					up[i] += d * u[j]
					fall[i] += d * w[j]
				}
			})
			s.put(i, 1, cols, vals)
		}
		a, ra := s.solve(up)
		b, rb := s.solve(fall)
		ofU, ofW = math.Max(ofU, ra), math.Max(ofW, rb)
		for i, g := range part.groups {
			u[g], w[g] = a[i], b[i]
		}
	}
	return u, w, ofU + 1e-15*floats.Norm(u, math.Inf(1)), ofW + 1e-15*floats.Norm(w, math.Inf(1))
}
