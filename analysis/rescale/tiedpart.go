package rescale

import (
	"math"
	"slices"
)

// leak keeps I - P regular where a choice of rows closes a cycle without inputs.
const leak = 1e-13

// farthest is beyond which no x lies that counts.
const farthest = 1e5

// least finds the least x with max L(x) - mu = x, part after part. from is nil, or an x with
// max L(x) - mu >= x. Where there is none it is not ok, and ln c* is bound or more.
func (t *tied) least(mu float64, from []float64) (bound float64, ok bool) {
	for _, part := range t.parts {
		if bound, ok := t.leastOf(part, mu, from); !ok {
			return bound, false
		}
	}
	return mu, true
}

// leastOf is least of a part, with those before it solved. In y = e^(px) rows are linear, and the problem is that of a
// Markov decision process: policy iteration chooses the largest row of each group and solves the linear
// equations of the choice. From below it never passes the solution, and all steps are upwards unless the rows of
// the choice gain more than they may. (For p = Inf a row is the largest of its entries, and the equations those of x.)
func (t *tied) leastOf(part []int32, mu float64, from []float64) (bound float64, ok bool) {
	cycles := false
	for _, g := range part {
		t.choice[g] = 0
		switch {
		case len(t.free[g]) == 0:
			t.set(int(g), 0)
		case from != nil:
			t.set(int(g), from[g])
		default:
			t.set(int(g), math.Inf(-1))
		}
		for _, row := range t.free[g] {
			r := &t.rows[row]
			r.before = t.norm(r.fixed, r.cols[r.inner:], r.a[r.inner:])
			cycles = cycles || r.inner > 0
		}
	}
	if from == nil || !cycles {
		t.rise(part, mu)
	}
	if !cycles {
		return mu, true
	}
	values := make([]float64, len(part))
	for range 100 {
		worst, far := 0.0, 0.0
		for i, g := range part {
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
		s, rest := newSystem(len(part)), make([]float64, len(part))
		for i, g := range part {
			diag, scale := 1.0, 1-leak
			if len(t.free[g]) > 0 {
				rest[i] = values[i] - mu - t.x[g]
			}
			if !math.IsInf(t.p, 1) {
				// What is not e^y is cut where it would leave float64: the solution is below then.
				l := t.p * math.Min(rest[i], 600/t.p)
				diag, scale, rest[i] = math.Exp(-l), 1, -math.Expm1(-l)
			}
			t.within(s, i, g, values[i], diag, scale)
		}
		d := s.solve(rest)
		if most := slices.Max(d); !(slices.Min(d) > -1e-6*math.Max(1, most)) || !(most < math.Inf(1)) {
			return mu + s.gain()/t.p, false
		} else if math.IsInf(t.p, 1) && !(most < farthest) {
			// The mean gain of the cycles that lead there.
			gain := 0.0
			for i, w := range s.solve(slices.Repeat([]float64{1}, len(part))) {
				if d[i] >= farthest {
					gain = math.Max(gain, d[i]/w)
				}
			}
			return mu + gain, false
		}
		for i, g := range part {
			if step := math.Max(0, d[i]); math.IsInf(t.p, 1) {
				t.set(int(g), t.x[g]+step)
			} else {
				t.set(int(g), t.x[g]+math.Log1p(step)/t.p)
			}
		}
	}
	return mu, false
}

// rise takes values that rise from nothing: as many sweeps as the longest chain.
func (t *tied) rise(part []int32, mu float64) {
	for found := -1; found < len(part); {
		n := 0
		for _, g := range part {
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
		t.slopes(r.before, r.cols[:r.inner], r.a[:r.inner], value, func(j int32, d float64) {
			cols, vals = append(cols, t.place[j]), append(vals, d*scale)
		})
	}
	s.put(i, diag, cols, vals)
}

// falls is -dx/d mu of the least x: (I - P)^-1 1, P the derivatives of the chosen rows.
func (t *tied) falls(mu float64) []float64 {
	w := make([]float64, len(t.x))
	for _, part := range t.parts {
		s, rest := newSystem(len(part)), make([]float64, len(part))
		for i, g := range part {
			if len(t.free[g]) == 0 {
				s.put(i, 1, nil, nil)
				continue
			}
			var cols []int32
			var vals []float64
			rest[i] = 1
			t.slopesOf(t.free[g][t.choice[g]], mu+t.x[g], func(j int32, d float64) {
				if t.part[j] == t.part[g] {
					cols, vals = append(cols, t.place[j]), append(vals, d*(1-leak))
				} else {
					rest[i] += d * w[j]
				}
			})
			s.put(i, 1, cols, vals)
		}
		for i, y := range s.solve(rest) {
			w[part[i]] = y
		}
	}
	return w
}
