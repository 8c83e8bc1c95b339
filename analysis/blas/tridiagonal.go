package blas

import (
	"math"
	"slices"
)

// ql finds the eigenvalues of a symmetric tridiagonal matrix in place of its diagonal.
//
// It is the QL iteration without square roots of Pal, Walker and Kahan, as LAPACK's dsterf has it (Parlett, The
// symmetric eigenvalue problem, 8.15), and has its errors, a small multiple of the rounding unit times the
// largest value. dsterf divides twice in turn in each step,
//
//	c = p/(p+b),  s = b/(p+b),  gamma' = c (a - sigma) - s gamma,  p' = gamma'^2 / c,
//
// and waits for both. Here n = p (a - sigma) - b gamma, gamma' = n/(p+b), p' = n^2/(p (p+b)): the quotients are found side by
// side, in two thirds of the time, and those of two matrices in turn, in half of that. n^2 is of the sixth power
// of the matrix, so blocks are scaled to norm 1.
type ql struct {
	// d is the diagonal; e is what is beside it and one element more, squared from first on.
	d, e []float64
	// The block of e that are not small, with n diagonal elements, of which l are done, was divided by 2^exp.
	first, n, l, exp int
	// left is the number of iterations that may follow; failed says that there was no convergence.
	left   int
	failed bool
}

func newQL(d, e []float64) *ql { return &ql{d: d, e: e, left: 30 * len(d)} }

// unit is the rounding unit, 2^-53.
const unit = 0x1p-53

// least is the largest square beside the diagonal of a block that counts as zero: it moves values by unit^2 of the block's norm
// at most, and what is above it is far from where float64 ends.
const least = unit * unit * unit * unit

// next returns the diagonal elements, and as many beside it, that the next sweep is of; none where there are no more.
func (q *ql) next() (d, e []float64) {
	for !q.failed {
		if q.l == q.n && !q.block() {
			break
		}
		d, e = q.d[q.first+q.l:q.first+q.n], q.e[q.first+q.l:q.first+q.n]
		m := 0
		for m < len(d)-1 && e[m] > max(unit*unit*math.Abs(d[m]*d[m+1]), least) {
			m++
		}
		e[m] = 0
		switch {
		case m == 0:
			q.l++
		case m == 1:
			d[0], d[1] = pair(d[0], e[0], d[1])
			q.l += 2
		case q.left == 0:
			q.failed = true
		default:
			q.left--
			return d[:m+1], e[:m+1]
		}
	}
	return nil, nil
}

// block goes to the next block, if there is one.
func (q *ql) block() bool {
	restore(q.d[q.first:][:q.n], q.exp)
	first, last := q.first+q.n, len(q.d)-1
	if first > last {
		return false
	}
	hi := first
	for hi < last && math.Abs(q.e[hi]) > math.Sqrt(math.Abs(q.d[hi]))*math.Sqrt(math.Abs(q.d[hi+1]))*unit {
		hi++
	}
	q.first, q.n, q.l, q.exp = first, hi+1-first, 0, 0
	d, e := q.d[first:hi+1], q.e[first:hi]
	var top float64
	for _, x := range [][]float64{d, e} {
		for _, v := range x {
			top = math.Max(top, math.Abs(v))
		}
	}
	if q.failed = top-top != 0; q.failed {
		return false
	}
	_, q.exp = math.Frexp(top)
	restore(d, -q.exp)
	restore(e, -q.exp)
	for i, x := range e {
		e[i] = x * x
	}
	// Small values are to be found first.
	if math.Abs(d[len(d)-1]) < math.Abs(d[0]) {
		slices.Reverse(d)
		slices.Reverse(e)
	}
	return true
}

// solve iterates two matrices together, or one and nil, to the end.
func solve(x, y *ql) {
	dx, ex := x.next()
	var dy, ey []float64
	if y != nil {
		dy, ey = y.next()
	}
	for dx != nil && dy != nil {
		s, t := shifted(dx, ex), shifted(dy, ey)
		i, j := len(dx)-1, len(dy)-1
		k := min(i, j)
		s.down(dx, ex, i, k)
		t.down(dy, ey, j, k)
		k = together(&s, &t, dx, ex, dy, ey, k)
		s.down(dx, ex, k, 0)
		t.down(dy, ey, k, 0)
		dx, ex = x.next()
		dy, ey = y.next()
	}
	if dx == nil {
		x, dx, ex = y, dy, ey
	}
	for dx != nil {
		s := shifted(dx, ex)
		s.down(dx, ex, len(dx)-1, 0)
		dx, ex = x.next()
	}
}

// sweep is one step of QL on its way: the shift, the squares of cosine and sine of the last rotation, and what they
// leave behind them.
type sweep struct{ sigma, c, s, gamma, p float64 }

// shifted begins a sweep with Wilkinson's shift.
func shifted(d, e []float64) sweep {
	root := math.Sqrt(e[0])
	sigma := (d[1] - d[0]) / (2 * root)
	sigma = d[0] - root/(sigma+math.Copysign(math.Hypot(sigma, 1), sigma))
	gamma := d[len(d)-1] - sigma
	return sweep{sigma: sigma, c: 1, gamma: gamma, p: gamma * gamma}
}

// tiny is what p (p+b) and n^2 must be above, so that neither they nor the quotients leave float64: where n^2 is zero and n is
// not, the rotations are not orthogonal. In dsterf's way p below none is zero, beside b above least.
const tiny, none = 0x1p-900, 0x1p-600

// down takes the rotations hi-1 to lo; the last one ends the sweep.
func (w *sweep) down(d, e []float64, hi, lo int) {
	sigma, c, s, gamma, p := w.sigma, w.c, w.s, w.gamma, w.p
	for i := hi - 1; i >= lo; i-- {
		a, b := d[i], e[i]
		r := p + b
		e[i+1] = s * r
		var next float64
		if q, n := p*r, p*(a-sigma)-b*gamma; q > tiny && n*n > tiny {
			q = 1 / q
			inverse := p * q
			c, s, next, p = p*inverse, b*inverse, n*inverse, n*n*q
		} else {
			old := c
			if p < none {
				p, r = 0, b
			}
			c, s = p/r, b/r
			next = c*(a-sigma) - s*gamma
			if p = next * next / c; c == 0 {
				p = old * b
			}
		}
		d[i+1] = gamma + (a - next)
		gamma = next
	}
	if lo == 0 {
		e[0] = s * p
		d[0] = sigma + gamma
	}
	*w = sweep{sigma, c, s, gamma, p}
}

// together is down of two sweeps from hi, in turn, until one needs care: it returns where.
func together(x, y *sweep, dx, ex, dy, ey []float64, hi int) int {
	dx, ex, dy, ey = dx[:hi+1], ex[:hi+1], dy[:hi+1], ey[:hi+1]
	// Names without a number are of x, with one of y.
	sigma, c, s, gamma, p := x.sigma, x.c, x.s, x.gamma, x.p
	sigma2, c2, s2, gamma2, p2 := y.sigma, y.c, y.s, y.gamma, y.p
	i := hi - 1
	for ; i >= 0; i-- {
		b, b2 := ex[i], ey[i]
		r, r2 := p+b, p2+b2
		q, q2 := p*r, p2*r2
		a, a2 := dx[i], dy[i]
		n, n2 := p*(a-sigma)-b*gamma, p2*(a2-sigma2)-b2*gamma2
		if !(q > tiny && q2 > tiny && n*n > tiny && n2*n2 > tiny) {
			break
		}
		ex[i+1], ey[i+1] = s*r, s2*r2

		q = 1 / q
		inverse := p * q
		c, s = p*inverse, b*inverse
		p = n * n * q
		n *= inverse
		dx[i+1] = gamma + (a - n)
		gamma = n

		q2 = 1 / q2
		inverse = p2 * q2
		c2, s2 = p2*inverse, b2*inverse
		p2 = n2 * n2 * q2
		n2 *= inverse
		dy[i+1] = gamma2 + (a2 - n2)
		gamma2 = n2
	}
	*x, *y = sweep{sigma, c, s, gamma, p}, sweep{sigma2, c2, s2, gamma2, p2}
	return i + 1
}

// pair returns the eigenvalues of the matrix of a and c with the square of b beside the diagonal, as dlae2 does.
func pair(a, b, c float64) (float64, float64) {
	sum, t := a+c, math.Sqrt((a-c)*(a-c)+4*b)
	if sum == 0 {
		return t / 2, -t / 2
	}
	large := (sum + math.Copysign(t, sum)) / 2
	if math.Abs(a) < math.Abs(c) {
		a, c = c, a
	}
	return large, a/large*c - b/large
}
