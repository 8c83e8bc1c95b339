package rescale

import (
	"math"

	"github.com/relupath/relupath/analysis/dag"
)

// tiedRow is one row over the active groups, entries to the power p and scaled
// by the view's start (p = Inf: entries as they are), the first inner of them those of the row's own part.
// fixed is the logarithm of the norm of inputs, biases and other pinned units, before that of all that is not inner.
type tiedRow struct {
	cols          []int32
	a             []float64
	inner         int
	fixed, before float64
}

// split puts the entries first that are of the row's part.
func (r *tiedRow) split(own func(j int32) bool) {
	r.inner = 0
	for k, j := range r.cols {
		if own(j) {
			r.cols[k], r.cols[r.inner] = r.cols[r.inner], j
			r.a[k], r.a[r.inner] = r.a[r.inner], r.a[k]
			r.inner++
		}
	}
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

// ln is the logarithm of what has that power.
func (t *tied) ln(power float64) float64 {
	if math.IsInf(t.p, 1) {
		return math.Log(power)
	}
	return math.Log(power) / t.p
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
	for k := base; k < len(t.rows); k++ {
		t.rows[k].fixed = t.ln(t.rows[k].fixed)
	}
}

// wide is beyond which a sum is not taken of powers, some of which may be out of range. What is
// lost of a power below the range counts for nothing in a nearer sum.
const wide = 1e150

// value returns L of a row at x.
func (t *tied) value(row int) float64 {
	r := &t.rows[row]
	return t.norm(r.fixed, r.cols, r.a)
}

// inside is value where before is known.
func (t *tied) inside(row int) float64 {
	r := &t.rows[row]
	if r.inner == 0 {
		return r.before
	}
	return t.norm(r.before, r.cols[:r.inner], r.a[:r.inner])
}

// norm returns ln ||(e^fixed, a e^x)||_p of entries of a row.
func (t *tied) norm(fixed float64, cols []int32, a []float64) float64 {
	t.read += len(cols)
	s := t.power(fixed)
	if math.IsInf(t.p, 1) {
		for k, j := range cols {
			s = math.Max(s, a[k]*t.powers[j])
		}
	} else {
		for k, j := range cols {
			s += a[k] * t.powers[j]
		}
	}
	if s > 1/wide && s < wide {
		return t.ln(s)
	}
	// Powers may be out of range.
	top := fixed
	for k, j := range cols {
		if a[k] > 0 {
			top = math.Max(top, t.x[j])
		}
	}
	if math.IsInf(top, -1) {
		return top
	}
	s = t.power(fixed - top)
	for k, j := range cols {
		s = t.join(s, a[k]*t.power(t.x[j]-top))
	}
	return top + t.ln(s)
}

// slopesOf calls f with the derivative by x of that norm, which is value; for p = Inf one of
// the largest entries has it all.
func (t *tied) slopesOf(fixed float64, cols []int32, a []float64, value float64, f func(j int32, d float64)) {
	t.read += len(cols)
	if !math.IsInf(t.p, 1) {
		inverse := t.power(-value)
		near := inverse > 1/wide && inverse < wide
		for k, j := range cols {
			switch {
			case a[k] == 0:
			case near:
				f(j, a[k]*t.powers[j]*inverse)
			default:
				f(j, a[k]*t.power(t.x[j]-value))
			}
		}
		return
	}
	best, at := math.Exp(fixed-value), int32(-1)
	for k, j := range cols {
		// Ties go to what is fixed.
		if s := a[k] * math.Exp(t.x[j]-value); s > best*(1+1e-13) {
			best, at = s, j
		}
	}
	if at >= 0 {
		f(at, 1)
	}
}

// slopes is slopesOf of a whole row.
func (t *tied) slopes(row int, value float64, f func(j int32, d float64)) {
	r := &t.rows[row]
	t.slopesOf(r.fixed, r.cols, r.a, value, f)
}
