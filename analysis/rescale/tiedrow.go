package rescale

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// tiedRow is one row over the active groups, entries to the power p and scaled
// by the view's start (p = Inf: entries as they are). fixed gathers inputs,
// biases and other pinned units.
type tiedRow struct {
	cols  []int32
	a     []float64
	fixed float64
}

// join adds two entries of a row.
func (t *tied) join(a, b float64) float64 {
	if math.IsInf(t.p, 1) {
		return math.Max(a, b)
	}
	return a + b
}

// power is e^l to the power p.
func (t *tied) power(l float64) float64 {
	if math.IsInf(t.p, 1) {
		return math.Exp(l)
	}
	return math.Exp(t.p * l)
}

// set puts a group's x.
func (t *tied) set(g int, x float64) { t.x[g], t.powers[g] = x, t.power(x) }

func (t *tied) addLayer(y *layer) {
	v := t.v
	base := len(t.rows)
	t.rows = append(t.rows, make([]tiedRow, len(y.rows))...)
	scale := make([]float64, len(y.rows))
	for i, id := range y.rows {
		if id == dag.NoGroup {
			continue
		}
		switch k := v.index[id]; {
		case k < 0:
			t.pinned = append(t.pinned, base+i)
		case !v.paired(k):
			t.free[k] = append(t.free[k], base+i)
		default:
			if t.pairs[k] == nil {
				t.pairs[k] = &[2][]int{}
			}
			side := &t.pairs[k][0]
			if v.sign[id] < 0 {
				side = &t.pairs[k][1]
			}
			*side = append(*side, base+i)
		}
		scale[i] = v.start[id]
		if y.bias != nil {
			t.rows[base+i].fixed = t.power(math.Log(y.bias[i]) + v.start[id])
		}
		if y.scale != nil {
			scale[i] += math.Log(y.scale[i])
		}
	}
	// Entries of one row and column come one after the other.
	for k := range y.parts {
		eachWeight(&y.parts[k], func(_, row, col int, w float64) {
			if w == 0 || y.rows[row] == dag.NoGroup || y.cols[col] == dag.NoGroup {
				return
			}
			r := &t.rows[base+row]
			id := y.cols[col]
			a := t.power(math.Log(math.Abs(w)) + scale[row] - v.start[id])
			j := v.index[id]
			if j < 0 {
				r.fixed = t.join(r.fixed, a)
			} else if n := len(r.cols); n > 0 && r.cols[n-1] == j {
				r.a[n-1] = t.join(r.a[n-1], a)
			} else {
				r.cols, r.a = append(r.cols, j), append(r.a, a)
			}
		})
	}
}

// wide is beyond which a sum is not taken of powers, some of which may be out of range. What is
// lost of a power below the range counts for nothing in a nearer sum.
const wide = 1e150

// value returns L of a row at x.
func (t *tied) value(row int) float64 {
	r := &t.rows[row]
	s := r.fixed
	if math.IsInf(t.p, 1) {
		for k, j := range r.cols {
			s = math.Max(s, r.a[k]*t.powers[j])
		}
	} else {
		for k, j := range r.cols {
			s += r.a[k] * t.powers[j]
		}
	}
	if s > 1/wide && s < wide {
		if math.IsInf(t.p, 1) {
			return math.Log(s)
		}
		return math.Log(s) / t.p
	}
	return t.distant(r)
}

// distant is value of a row with powers that may be out of range.
func (t *tied) distant(r *tiedRow) float64 {
	top := math.Inf(-1)
	for k, j := range r.cols {
		if r.a[k] > 0 {
			top = math.Max(top, t.x[j])
		}
	}
	if r.fixed > 0 {
		top = math.Max(top, 0)
	}
	if math.IsInf(top, -1) {
		return top
	}
	s := 0.0
	if r.fixed > 0 {
		s = r.fixed * t.power(-top)
	}
	for k, j := range r.cols {
		s = t.join(s, r.a[k]*t.power(t.x[j]-top))
	}
	if math.IsInf(t.p, 1) {
		return top + math.Log(s)
	}
	return top + math.Log(s)/t.p
}

// slopes calls f with the derivative of L of a row by each x; for p = Inf one of
// the largest entries has it all.
func (t *tied) slopes(row int, value float64, f func(j int32, d float64)) {
	r := &t.rows[row]
	if !math.IsInf(t.p, 1) {
		inverse := t.power(-value)
		near := inverse > 1/wide && inverse < wide
		for k, j := range r.cols {
			switch {
			case r.a[k] == 0:
			case near:
				f(j, r.a[k]*t.powers[j]*inverse)
			default:
				f(j, r.a[k]*t.power(t.x[j]-value))
			}
		}
		return
	}
	best, at := r.fixed, int32(-1)
	for k, j := range r.cols {
		// Ties go to what is fixed.
		if s := r.a[k] * math.Exp(t.x[j]); s > best*(1+1e-13) {
			best, at = s, j
		}
	}
	if at >= 0 {
		f(at, 1)
	}
}
