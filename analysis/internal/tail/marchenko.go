package tail

import (
	"math"

	"github.com/relupath/relupath/internal/lists"
)

const (
	// bandwidth is that of the kernel density estimate, points its number of places, and
	// faint the density below which a place does not count.
	bandwidth, points, faint = 0.1, 1000, 0.01
	// penalty is the residual everywhere where the law does not cover the mode.
	penalty = 1000
)

// Bulk is the Marchenko-Pastur law fitted to a spectrum.
type Bulk struct {
	// Sigma is the fitted standard deviation of the entries, of eigenvalues divided by
	// their mean.
	Sigma float64
	// Edge is the upper end of the law, as an eigenvalue.
	Edge float64
	// Spikes is the number of eigenvalues above the edge by more than the width of its
	// fluctuations.
	Spikes int
	// SoftRank is Edge over the largest eigenvalue.
	SoftRank float64
}

// MarchenkoPastur fits the law of the eigenvalues of W^T W, W a matrix of independent
// entries, to eigenvalues in increasing order; rows >= cols are the size of the matrix, or
// of each of several whose eigenvalues are together.
//
// With x the eigenvalues divided by their mean, Q = rows / cols, a and b =
// sigma^2 (1 -+ 1/sqrt(Q))^2, the density is Q sqrt((b - x)(x - a)) / (2 pi sigma^2 x). It is
// compared with a kernel estimate (triangular, bandwidth 0.1) at 1000 places from 0 to
// max x + 0.5, those with an estimate below 0.01 left out: sigma has the least sum of
// squares, first of a grid of steps 0.01 s from 0.05 s to 2 s, s = sqrt(max x) / (1 +
// 1/sqrt(Q)), then by the simplex method of Nelder and Mead to 1e-4. A sigma whose law ends
// left or begins right of the mode, or ends beyond all places, is out. Spikes are the
// eigenvalues above b + sqrt(b^(2/3) / sqrt(Q) / cols^(2/3)).
//
// For square matrices weightwatcher compares the density of sqrt(x) with
// sqrt(4 - x^2) / (pi sigma^2) instead, a quarter circle whose radius does not follow sigma.
//
// It reports false where all eigenvalues are zero or nowhere dense enough. Cost:
// O(n) and some 200 times 1000 places.
func MarchenkoPastur(values []float64, rows, cols int) (Bulk, bool) {
	var sum float64
	for _, v := range values {
		sum += v
	}
	mean := sum / float64(len(values))
	if !(mean > 0) || math.IsInf(mean, 0) {
		return Bulk{}, false
	}
	q := float64(rows) / float64(cols)
	root := math.Sqrt(1 / q)
	x := lists.Map(values, func(v float64) float64 { return v / mean })
	top := x[len(x)-1]
	law := density{q: q, square: rows == cols}
	if law.square {
		for i, v := range x {
			x[i] = math.Sqrt(math.Max(v, 0))
		}
	}
	if law.estimate(x); len(law.x) == 0 {
		return Bulk{}, false
	}
	b := Bulk{Sigma: law.fit(math.Sqrt(top) / (1 + root))}
	edge := b.Sigma * b.Sigma * (1 + root) * (1 + root)
	limit := edge + math.Sqrt(root*math.Pow(edge, 2./3)*math.Pow(float64(cols), -2./3))
	for i := len(values) - 1; i >= 0 && values[i]/mean > limit; i-- {
		b.Spikes++
	}
	b.Edge, b.SoftRank = edge*mean, edge/top
	return b, true
}

// density is an estimated density at the places where it counts.
type density struct {
	q      float64
	square bool
	x, y   []float64
	mode   float64
}

// estimate is the kernel density of values in increasing order.
func (d *density) estimate(v []float64) {
	n := float64(len(v))
	end := v[len(v)-1] + 0.5
	var lo, hi int
	var highest float64
	for k := range points {
		x := end * float64(k) / (points - 1)
		for lo < len(v) && v[lo] <= x-bandwidth {
			lo++
		}
		for hi < len(v) && v[hi] < x+bandwidth {
			hi++
		}
		var s float64
		for _, w := range v[lo:hi] {
			s += 1 - math.Abs(w-x)/bandwidth
		}
		if y := s / n / bandwidth; y > faint {
			d.x, d.y = append(d.x, x), append(d.y, y)
			// The estimate has flat tops, where rounding must not choose: the first is taken.
			if y > highest*(1+1e-12) {
				d.mode, highest = x, y
			}
		}
	}
}

// residual is the sum of squares for one sigma.
func (d *density) residual(sigma float64) float64 {
	var sum float64
	if d.square {
		for i, x := range d.x {
			r := root(4-x*x)/(math.Pi*sigma*sigma) - d.y[i]
			sum += r * r
		}
		return sum
	}
	r := math.Sqrt(1 / d.q)
	a, b := sigma*sigma*(1-r)*(1-r), sigma*sigma*(1+r)*(1+r)
	if b < d.mode || b > d.x[len(d.x)-1] || a > d.mode {
		return penalty * penalty * float64(len(d.x))
	}
	for i, x := range d.x {
		var y float64
		if x > 0 {
			y = d.q / (2 * math.Pi * sigma * sigma * x) * root((b-x)*(x-a))
		}
		y -= d.y[i]
		sum += y * y
	}
	return sum
}

// root is the square root, 0 of a negative number.
func root(x float64) float64 { return math.Sqrt(math.Max(x, 0)) }

// fit is sigma, in units of scale at first.
func (d *density) fit(scale float64) float64 {
	const from, to, step = 0.05, 2.0, 0.01
	best, least := from*scale, math.Inf(1)
	for i := range int(math.Ceil((to*scale - from*scale) / (step * scale))) {
		s := from*scale + float64(i)*(step*scale)
		if f := d.residual(s); f < least {
			best, least = s, f
		}
	}
	return polish(d.residual, best)
}

// polish is the simplex method of Nelder and Mead in one dimension, with the steps and
// tolerances of SciPy's fmin: reflection 1, expansion 2, contraction and shrinking 1/2.
func polish(f func(float64) float64, x0 float64) float64 {
	const tolerance, most = 1e-4, 200
	x, y := x0, 1.05*x0
	fx, fy := f(x), f(y)
	calls := 2
	call := func(x float64) float64 { calls++; return f(x) }
	for iterations := 1; calls < most && iterations < most; iterations++ {
		if fy < fx {
			x, y, fx, fy = y, x, fy, fx
		}
		if math.Abs(y-x) <= tolerance && math.Abs(fx-fy) <= tolerance {
			break
		}
		r := 2*x - y
		switch fr := call(r); {
		case fr < fx:
			e := 3*x - 2*y
			if fe := call(e); fe < fr {
				y, fy = e, fe
			} else {
				y, fy = r, fr
			}
		default:
			c := 0.5*x + 0.5*y
			limit := fy
			if fr < fy {
				c, limit = 1.5*x-0.5*y, math.Nextafter(fr, math.Inf(1))
			}
			if fc := call(c); fc < limit {
				y, fy = c, fc
			} else {
				y = x + 0.5*(y-x)
				fy = call(y)
			}
		}
	}
	if fy < fx {
		return y
	}
	return x
}
