package rescale

import (
	"context"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"gonum.org/v1/gonum/floats"
)

// problem is the convex one behind EqualNorm and PathConditioned: over the
// logarithms z of the factors, minimise
//
//	S(z)                   S = sum_e a_e exp(s (z_row(e) - z_col(e))), or
//	n ln S(z) + sum_g lin_g z_g   with n > 0,
//
// e the edges of all layers. z is counted from the view's start.
type problem struct {
	s   float64
	n   float64
	lin []float64
	// shift is the logarithm by which all a_e were divided. Of PathConditioned's
	// a_e for the network as given, lnKappa is the sum of logarithms and lnSum
	// the sum.
	shift, lnKappa float64
	lnSum          lnSum
	links          []*links
	vars           int
	// fixed is the sum of edges that no factor changes, such as those within a group. They
	// are left out of the links, where they would drown the others, and of S unless it
	// enters by its logarithm.
	fixed  float64
	sweeps int
	// direct solves the linear systems of deep, narrow networks; nil for others.
	direct *band
	// coarse is the second level of the preconditioner, nil for none.
	coarse *coarse

	// At the point of the last eval: the sums of edges into and out of each
	// variable's group.
	in, out []float64
}

// links are one layer's edges. Edges a_ij run from column j to row i, a bias from
// a constant column.
type links struct {
	// mul adds A x to ax and A^T y to aty.
	mul func(x, y, ax, aty []float64)
	// row and col hold the logarithms of factors of a, NoGroup's are -Inf; bias
	// that of the bias, -Inf for none.
	row, col, bias []float64
	// rows and cols hold the variable of each row and column, -1 for none. rowSign is -1
	// for rows whose factor is 1 over the variable's, else 1; no weights read such units.
	rows, cols []int32
	rowSign    []float64

	// At the point of the last eval: multipliers and sums.
	r, c, b, rowSum, colSum []float64
	// x, y, ax and aty are hessian's: deep networks have as many sweeps as layers.
	x, y, ax, aty []float64
}

func (b *links) fill(s float64, z []float64) {
	if b.r == nil {
		b.r, b.rowSum = make([]float64, len(b.row)), make([]float64, len(b.row))
		b.c, b.colSum = make([]float64, len(b.col)), make([]float64, len(b.col))
		b.b = make([]float64, len(b.row))
		b.x, b.aty = make([]float64, len(b.col)), make([]float64, len(b.col))
		b.y, b.ax = make([]float64, len(b.row)), make([]float64, len(b.row))
	}
	at := func(v int32, sign float64) float64 {
		if v < 0 {
			return 0
		}
		return sign * s * z[v]
	}
	// The largest column factor is 1, so that no product leaves the range before
	// its row's factor brings it back.
	top := math.Inf(-1)
	for j, l := range b.col {
		b.c[j] = l - at(b.cols[j], 1)
		top = math.Max(top, b.c[j])
	}
	if math.IsInf(top, -1) {
		top = 0
	}
	for j, l := range b.c {
		b.c[j] = math.Exp(l - top)
	}
	for i, l := range b.row {
		b.r[i] = math.Exp(l + at(b.rows[i], b.rowSign[i]) + top)
		b.b[i] = 0
		if b.bias != nil {
			b.b[i] = math.Exp(b.bias[i] + at(b.rows[i], b.rowSign[i]))
		}
	}
}

// eval returns S and leaves the sums of edges in p.in and p.out.
func (p *problem) eval(z []float64) float64 {
	p.sweeps++
	clear(p.in)
	clear(p.out)
	total := 0.0
	if p.n != 0 {
		total = p.fixed
	}
	for _, b := range p.links {
		b.fill(p.s, z)
		sum := 0.0 // of each layer by itself: fewer terms round at the size of the total
		clear(b.rowSum)
		clear(b.colSum)
		b.mul(b.c, b.r, b.rowSum, b.colSum)
		for i := range b.rowSum {
			b.rowSum[i] = b.rowSum[i]*b.r[i] + b.b[i]
			sum += b.rowSum[i]
			if v := b.rows[i]; v >= 0 {
				*p.side(v, b.rowSign[i]) += b.rowSum[i]
			}
		}
		total += sum
		for j := range b.colSum {
			b.colSum[j] *= b.c[j]
			if v := b.cols[j]; v >= 0 {
				p.out[v] += b.colSum[j]
			}
		}
	}
	return total
}

// side is the sum of the edges that grow with a variable, or of those that shrink.
func (p *problem) side(v int32, sign float64) *float64 {
	if sign < 0 {
		return &p.out[v]
	}
	return &p.in[v]
}

// lost reports whether some group's edges left no normal number behind.
func (p *problem) lost() bool {
	for v := range p.in {
		if s := p.in[v] + p.out[v]; !(s > 0x1p-1000 && s < 0x1p1000) {
			return true
		}
	}
	return false
}

// value is the objective of a sum S at z.
func (p *problem) value(sum float64, z []float64) float64 {
	if p.n == 0 {
		return sum
	}
	return p.n*math.Log(sum) + floats.Dot(p.lin, z)
}

// size is the sum of the magnitudes of the terms of value, which may cancel.
func (p *problem) size(sum float64, z []float64) float64 {
	if p.n == 0 {
		return sum
	}
	s := p.n * math.Abs(math.Log(sum))
	for v, l := range p.lin {
		s += math.Abs(l * z[v])
	}
	return s
}

// gradient writes the derivative to g and returns the largest relative
// imbalance of its terms.
func (p *problem) gradient(sum float64, g []float64) (residual float64) {
	w := p.weight(sum)
	for v := range g {
		g[v] = w * p.s * (p.in[v] - p.out[v])
		size := math.Abs(w*p.s) * (p.in[v] + p.out[v])
		if p.n != 0 {
			g[v] += p.lin[v]
			size += math.Abs(p.lin[v])
		}
		if r := math.Abs(g[v]) / size; !(r <= residual) {
			residual = r
		}
	}
	return residual
}

// weight is the derivative of the objective by S.
func (p *problem) weight(sum float64) float64 {
	if p.n == 0 {
		return 1
	}
	return p.n / sum
}

// hessian writes H d to hd.
func (p *problem) hessian(sum float64, d, hd []float64) {
	p.sweeps++
	clear(hd)
	k := p.weight(sum) * p.s * p.s
	at := func(v int32, sign float64) float64 {
		if v < 0 {
			return 0
		}
		return sign * d[v]
	}
	for _, b := range p.links {
		x, y, ax, aty := b.x, b.y, b.ax, b.aty
		for j := range x {
			x[j] = b.c[j] * at(b.cols[j], 1)
		}
		for i := range y {
			y[i] = b.r[i] * at(b.rows[i], b.rowSign[i])
		}
		clear(ax)
		clear(aty)
		b.mul(x, y, ax, aty)
		for i, v := range b.rows {
			if v >= 0 {
				hd[v] += k * (b.rowSum[i]*d[v] - b.rowSign[i]*b.r[i]*ax[i])
			}
		}
		for j, v := range b.cols {
			if v >= 0 {
				hd[v] += k * (b.colSum[j]*d[v] - b.c[j]*aty[j])
			}
		}
	}
	if p.n == 0 {
		return
	}
	var dot float64
	for v := range d {
		dot += (p.in[v] - p.out[v]) * d[v]
	}
	for v := range hd {
		hd[v] -= k / sum * dot * (p.in[v] - p.out[v])
	}
}

// minimum is the end of a minimisation.
type minimum struct {
	z        []float64
	sum      float64
	residual float64
	// trace has the objective of every step.
	trace []float64
	// lost says that the edges of some group are all beyond the range of float64,
	// or were after some steps: z is where that showed.
	lost bool
}

// minimise solves the linear systems of descend by both levels of the preconditioner, and where that ends
// before the residual is small, or loses a group, all of it again by the diagonal alone, as weights that span more than
// float64 has digits may want. It returns what has the lower objective unless the second is a minimum.
func (p *problem) minimise(ctx context.Context, opt Options) (*minimum, error) {
	if p.direct = newBand(p); p.direct == nil {
		p.coarse = newCoarse(p)
	}
	small := math.Max(opt.Tolerance, 1e-9)
	m, err := p.descend(ctx, opt)
	if err != nil || p.coarse == nil || len(m.trace) == 0 || p.sweeps >= opt.MaxSweeps || !m.lost && m.residual <= small {
		return m, err
	}
	p.coarse = nil
	again, err := p.descend(ctx, opt)
	if err == nil && !m.lost && !again.lost && !(again.residual <= small) && p.value(m.sum, m.z) < p.value(again.sum, again.z) {
		return m, nil
	}
	return again, err
}

// descend runs Newton's method with the linear systems solved by conjugate
// gradients, preconditioned by two levels or the diagonal or, in deep and narrow networks, by the
// factorised matrix, to a relative residual that falls with the gradient's (Nocedal
// and Wright, Numerical Optimization, algorithm 7.1). The first steps balance every
// group by itself, half the way so that neighbours do not overshoot. A step is
// halved until the objective does not rise. It ends when the residual is at most tol, or when rounding lets it fall
// no further.
func (p *problem) descend(ctx context.Context, opt Options) (*minimum, error) {
	m := &minimum{z: make([]float64, p.vars)}
	p.in, p.out = make([]float64, p.vars), make([]float64, p.vars)
	g, d := make([]float64, p.vars), make([]float64, p.vars)
	m.sum = p.eval(m.z)
	if m.lost = p.lost(); m.lost {
		return m, nil
	}
	f := p.value(m.sum, m.z)
	best, stalled := math.Inf(1), 0
	newton := false
	for step := 0; ; step++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m.residual = p.gradient(m.sum, g)
		m.trace = append(m.trace, f)
		if m.residual < best/2 {
			best, stalled = m.residual, 0
		} else {
			stalled++
		}
		if m.residual <= opt.Tolerance || p.vars == 0 || p.sweeps >= opt.MaxSweeps || m.residual < 1e-6 && stalled > 2 {
			return m, nil
		}
		if newton = newton || step >= alone; newton {
			p.newton(ctx, m.sum, g, d, m.residual, opt.MaxSweeps)
		} else {
			p.balanceAlone(m.sum, d)
		}
		next, ok := p.search(m, f, g, d)
		if p.lost() {
			m.lost = true
			return m, nil
		}
		if !ok {
			m.sum = p.eval(m.z)
			if newton {
				return m, nil
			}
			newton = true
			continue
		}
		f = next
	}
}

// alone is the number of first steps that balance groups by themselves.
const alone = 3

// balanceAlone writes the step that halves the logarithm of in/out of every
// group by itself.
func (p *problem) balanceAlone(sum float64, d []float64) {
	w := p.weight(sum) * math.Abs(p.s)
	for v := range d {
		in, out := w*p.in[v], w*p.out[v]
		if p.n != 0 { // in - out + lin/s = 0 is what is wanted
			if l := p.lin[v] / p.s * math.Abs(p.s); l > 0 {
				in += l
			} else {
				out -= l
			}
		}
		d[v] = (math.Log(out) - math.Log(in)) / (4 * p.s)
	}
}

// newton writes the truncated Newton step of gradient g, or what it has of it
// when ctx ends.
func (p *problem) newton(ctx context.Context, sum float64, g, d []float64, residual float64, maxSweeps int) {
	n := len(g)
	k := p.weight(sum) * p.s * p.s
	r, q, hq, y := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	direct := p.direct != nil && p.direct.factorise(p)
	coarse := p.coarse != nil && p.coarse.factorise(p)
	precondition := func() float64 {
		direct = direct && p.direct.solve(y, r)
		if coarse {
			p.coarse.solve(p, y, r)
		} else if !direct {
			for v := range r {
				y[v] = r[v] / (p.in[v] + p.out[v])
			}
		}
		floats.Scale(1/k, y)
		return floats.Dot(r, y)
	}
	clear(d)
	for v := range r {
		r[v] = -g[v]
	}
	rho := precondition()
	copy(q, y)
	target := rho * math.Pow(math.Min(0.3, math.Sqrt(residual)), 2)
	for range 4*n + 20 {
		if !(rho > target) || p.sweeps >= maxSweeps || ctx.Err() != nil {
			return
		}
		p.hessian(sum, q, hq)
		curve := floats.Dot(q, hq)
		if !(curve > 0) {
			return
		}
		a := rho / curve
		floats.AddScaled(d, a, q)
		floats.AddScaled(r, -a, hq)
		last := rho
		rho = precondition()
		floats.Scale(rho/last, q)
		floats.Add(q, y)
	}
}

// search moves m along d by the largest of 1, 1/2, 1/4, ... that lowers the
// objective as the derivative promises (Armijo's rule), and evaluates there.
// Where the promise drowns in the rounding of the objective, the whole step is
// taken unless the objective rises beyond rounding and the residual does not fall.
func (p *problem) search(m *minimum, f float64, g, d []float64) (next float64, ok bool) {
	slope := floats.Dot(g, d)
	if !(slope < 0) {
		return f, false
	}
	z, slopes := make([]float64, len(d)), make([]float64, len(d))
	// exp(s z) of a longer step says nothing about the neighbourhood.
	t := math.Min(1, 30/(math.Abs(p.s)*floats.Norm(d, math.Inf(1))))
	for range 60 {
		floats.AddScaledTo(z, m.z, t, d)
		sum := p.eval(z)
		next = p.value(sum, z)
		size := p.size(sum, z)
		small := -t*slope <= 1e-11*size
		if next <= f+1e-4*t*slope || small && (next <= f+4e-16*rounding*size || p.gradient(sum, slopes) < m.residual) {
			copy(m.z, z)
			m.sum = sum
			return next, true
		}
		if small {
			return f, false
		}
		t /= 2
	}
	return f, false
}

// rounding is how many units in the last place the objective of one point may
// differ by, being a sum of positive terms in one order.
const rounding = 16

// loops reports whether an edge of the links may join a group to itself.
func (b *links) loops() bool {
	rows := map[int32]bool{}
	for _, v := range b.rows {
		rows[v] = true
	}
	return slices.ContainsFunc(b.cols, func(v int32) bool { return v >= 0 && rows[v] })
}

// newLinks returns the links of a layer whose logarithms of factors, counted in
// z's, are s*start.
func (v *view) newLinks(y *layer, s float64) *links {
	b := &links{
		row: make([]float64, len(y.rows)), col: make([]float64, len(y.cols)),
		rows: make([]int32, len(y.rows)), cols: make([]int32, len(y.cols)),
		rowSign: make([]float64, len(y.rows)),
	}
	side := func(ids []int32, ln []float64, vars []int32, s float64) {
		for i, id := range ids {
			vars[i] = -1
			if id == dag.NoGroup {
				ln[i] = math.Inf(-1)
				continue
			}
			vars[i] = v.index[id]
			ln[i] = s * v.start[id]
		}
	}
	side(y.rows, b.row, b.rows, s)
	side(y.cols, b.col, b.cols, -s)
	for i, id := range y.rows {
		b.rowSign[i] = 1
		if id != dag.NoGroup {
			b.rowSign[i] = v.sign[id]
		}
	}
	return b
}
