package spectral

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis/kernel"
)

const (
	// block is the number of vectors that one read of the matrix multiplies.
	block = kernel.GramVectors
	// most is the size of the basis at which it is condensed. keep Ritz vectors
	// survive; where many lie close to the largest, these and spare more, up to
	// keepMost: a cluster that is cut is found again and again.
	most, keep, keepMost, spare = 128, 32, 96, 16
	// longest is the number of elements of the basis from which on it is smaller than
	// that, by a power of two, least vectors at least.
	longest, least = 1 << 27, 32
	// clusterWidth is the relative distance to the largest Ritz value of those that may
	// belong to a cluster with it.
	clusterWidth = 1e-4
	// mostReads ends an iteration that rounding keeps from its tolerance; Bound
	// then says how far it came.
	mostReads = 5000
	// narrowGoal is the bound at which products in float32, which are right to some
	// 1e-7 of the largest, stop to help; the square of the matrix's norm must lie
	// between narrowLeast and its inverse, so that they keep their range. After
	// mostRefined refinements products are float64. Where narrowReads reads, or half
	// as many again as before the first refinement, have not sufficed, rounding is
	// what the iteration resolves.
	narrowGoal, narrowLeast, mostRefined, narrowReads = 3e-7, 1e-20, 2, 300
	// epsilon is the spacing of float64 at 1.
	epsilon = 0x1p-52
)

// lanczos holds the basis as rows: basis[i*n:][:n] is vector i.
type lanczos struct {
	ata   *product
	opt   Options
	n     int       // columns of the matrix
	basis []float64 // size x n, orthonormal
	size  int
	h     []float64 // most+block squared: the projection V A^T A V^T
	ld    int
	next  []float64 // block x n: A^T A times the newest block, then the residual
	// scratch is as large as next.
	scratch []float64
	reads   int
	scale   float64 // the largest norm of A^T A v so far: rounding is relative to it
	rng     *rand.Rand
	// narrow says that products are float32 for now, refined how often the basis
	// was refined after them, and goal is the bound at which to do so, or to
	// stop. After limit reads the iteration begins again in float64.
	narrow  bool
	refined int
	goal    float64
	limit   int
	// most is the size at which the basis is condensed, shrunk by how many powers of two.
	most   int
	shrunk int
}

func newLanczos(m Matrix, opt Options) *lanczos {
	size, shrunk := most, 0
	if m.Gram != nil && lineMost*m.Cols <= longest {
		size = lineMost
	}
	for size > least && size*m.Cols > longest {
		size, shrunk = size/2, shrunk+1
	}
	ld := size + block
	rows := ld
	if m.Gram != nil {
		rows = min(ld, lineRows)
	}
	return &lanczos{
		ata: newProduct(m, opt.Threads, opt.BLAS), opt: opt, n: m.Cols, ld: ld,
		basis: make([]float64, rows*m.Cols), h: make([]float64, ld*ld), next: make([]float64, block*m.Cols), scratch: make([]float64, block*m.Cols),
		rng:  rand.New(rand.NewPCG(opt.Seed, 0x5eed)),
		most: size, shrunk: shrunk,
	}
}

func (l *lanczos) row(i int) []float64 { return l.basis[i*l.n:][:l.n] }

func (l *lanczos) run(ctx context.Context) (Result, error) {
	l.goal = l.opt.Tolerance
	for i := range l.next {
		l.next[i] = l.rng.NormFloat64()
	}
	width := 0
	if l.ata.m.Gram != nil {
		res, left, ok, err := l.line(ctx)
		if ok || err != nil {
			return res, err
		}
		width = left
	} else if res, ok, err := l.rough(ctx); ok || err != nil {
		return res, err
	} else {
		width = l.orthonormalize(min(block, l.n), 0, nil)
	}
	// The next look at the Ritz values, and the last one.
	look, last := l.reads+4, Result{}
	for {
		if err := ctx.Err(); err != nil {
			return Result{}, fmt.Errorf("spectral norm: %w", err)
		}
		old := l.size
		copy(l.basis[old*l.n:], l.next[:width*l.n])
		l.size += width
		if err := l.multiply(ctx, old, width); err != nil {
			return Result{}, fmt.Errorf("spectral norm: %w", err)
		}
		if math.IsNaN(l.scale) || math.IsInf(l.scale, 0) {
			return Result{Sigma: math.NaN(), Bound: math.NaN(), Reads: l.reads}, nil
		}
		if l.reads == 1 && l.ata.inPlace() && l.scale > narrowLeast && l.scale < 1/narrowLeast {
			l.narrow, l.goal, l.limit = true, max(narrowGoal, l.goal), narrowReads
		}
		l.project(old, width, 2)
		b := make([]float64, block*block)
		next := min(l.orthonormalize(width, l.scale, b), l.n-l.size)
		full := l.size+block > l.most
		if next > 0 && !full && l.reads < look {
			width = next
			continue
		}
		theta, vec, err := l.ritz()
		if err != nil {
			return Result{}, fmt.Errorf("spectral norm: %w", err)
		}
		res := l.estimate(theta, vec, b, width, next)
		switch {
		case next > 0 && l.lost(res, theta):
			width = l.restart(theta, vec)
			look, last = l.reads+2, Result{}
			continue
		case next > 0 && !l.done(res) && l.reads < mostReads:
			look, last = l.reads+l.wait(last, res), res
			if full {
				l.condense(max(keep>>l.shrunk, min(keepMost>>l.shrunk, within(clusterWidth, theta)+spare>>l.shrunk)), theta, vec)
			}
			width = next
			continue
		case l.exact():
			return res, nil
		}
		if res, width, err = l.refine(ctx, theta, vec); err != nil {
			return Result{}, fmt.Errorf("spectral norm: %w", err)
		}
		// Of a matrix of low rank all that is left may lie in the basis: the next
		// Ritz vectors have it.
		for width == 0 && res.Bound > l.opt.Tolerance && l.reads < mostReads {
			if theta, vec, err = l.ritz(); err != nil {
				return Result{}, fmt.Errorf("spectral norm: %w", err)
			}
			if res, width, err = l.refine(ctx, theta, vec); err != nil {
				return Result{}, fmt.Errorf("spectral norm: %w", err)
			}
		}
		if res.Bound <= l.opt.Tolerance && res.Missed <= l.opt.Missed || l.reads >= mostReads {
			return res, nil
		}
		look, last = l.reads+1, Result{}
	}
}

// exact says that all products that the basis rests on are float64.
func (l *lanczos) exact() bool { return !l.narrow && l.refined == 0 }

// done says that the iteration has come as far as its products allow, which refine
// makes sure of where they are not exact.
func (l *lanczos) done(res Result) bool {
	return res.Bound <= l.goal && (!l.exact() || res.Missed <= l.opt.Missed)
}

// lost says that products in float32 do not help any more: a whole block of Ritz
// values is as close as their rounding is to be trusted, or they took too many
// reads.
func (l *lanczos) lost(res Result, theta []float64) bool {
	return l.narrow && res.Bound <= clusterWidth && within(clusterWidth, theta) >= block ||
		!l.exact() && l.reads >= l.limit
}

// within is the number of Ritz values at most the relative distance below the
// largest.
func within(distance float64, theta []float64) int {
	n := 0
	for n < len(theta) && theta[n] >= theta[0]*(1-distance) {
		n++
	}
	return n
}

// restart begins again in float64, with the largest Ritz vectors for a start, and
// returns their number.
func (l *lanczos) restart(theta, vec []float64) int {
	width := min(block, l.size)
	l.condense(width, theta, vec)
	copy(l.next, l.basis[:width*l.n])
	clear(l.h)
	l.size, l.narrow, l.refined, l.goal = 0, false, 0, l.opt.Tolerance
	return width
}

// quotients has the Rayleigh quotient and the residual of each of the first vectors of the basis, whose
// products are in next.
func (l *lanczos) quotients(width int) (square, residual []float64) {
	square, residual = make([]float64, width), make([]float64, width)
	r := make([]float64, l.n)
	for j := range width {
		q, z := l.row(j), l.next[j*l.n:][:l.n]
		square[j] = floats.Dot(q, z)
		floats.AddScaledTo(r, z, -square[j], q)
		residual[j] = norm2(r)
	}
	return square, residual
}

// refine makes good what products in float32 left out: it condenses the basis to
// its largest Ritz vectors, multiplies the very largest of them in float64, and
// returns their residuals as the next block. The first gives the result with its
// bound. In what follows the products of the others are off as before, but the
// dominant singular vector has only a small part of them.
func (l *lanczos) refine(ctx context.Context, theta, vec []float64) (Result, int, error) {
	l.condense(min(keep>>l.shrunk, l.size), theta, vec)
	if l.refined++; l.refined == 1 {
		l.limit = l.reads + l.reads/2 + 2*block
	}
	l.narrow = false
	width := min(block, l.size)
	if err := l.multiply(ctx, 0, width); err != nil {
		return Result{}, 0, err
	}
	square, residual := l.quotients(width)
	l.project(0, width, 2)
	l.narrow, l.goal = l.refined < mostRefined, 0.7*l.opt.Tolerance
	width = min(l.orthonormalize(width, l.scale, nil), l.n-l.size)
	return l.result(square, residual, width), width, nil
}

// wait is the number of reads after which it is worth to look at the Ritz values
// again, which takes as long as some reads: most of those that are left at the
// rate at which the bound fell.
func (l *lanczos) wait(last, now Result) int {
	const fewest, most = 2, 8
	if last.Reads == 0 || !(now.Bound < last.Bound) {
		return fewest
	}
	rate := math.Log(last.Bound/now.Bound) / float64(now.Reads-last.Reads)
	left := math.Log(now.Bound/l.goal) / rate
	return int(min(most, max(fewest, 0.8*left)))
}

// multiply sets next to A^T A times basis vectors [at, at+width).
func (l *lanczos) multiply(ctx context.Context, at, width int) error {
	if err := l.ata.apply(ctx, l.next, l.basis[at*l.n:][:block*l.n], width, l.narrow); err != nil {
		return err
	}
	l.reads++
	l.rescale(width)
	return nil
}

// rescale takes the norms of products in next into scale.
func (l *lanczos) rescale(width int) {
	for i := range width {
		if s := norm2(l.next[i*l.n:][:l.n]); !(s <= l.scale) {
			l.scale = s
		}
	}
}

// project stores the products of the new block with the whole basis in h, and
// takes the basis out of next, as often as there are passes.
func (l *lanczos) project(at, width, passes int) {
	c, basis := make([]float64, l.size*block), l.basis[:l.size*l.n]
	for pass := range passes {
		l.ata.project(l.next, basis, width, c, l.scratch)
		if pass > 0 {
			return
		}
		for j := range width {
			for i := range l.size {
				l.h[i*l.ld+at+j], l.h[(at+j)*l.ld+i] = c[i*block+j], c[i*block+j]
			}
		}
	}
}

// orthonormalize makes the rows of next orthonormal, drops those that are only
// rounding next to scale, and returns how many are left. coef (block x block)
// takes the coefficients: old row i = sum_j coef[i][j] new row j.
func (l *lanczos) orthonormalize(width int, scale float64, coef []float64) int {
	kept := 0
	for i := range width {
		x := l.next[i*l.n:][:l.n]
		s := norm2(x)
		for {
			before := s
			for range 2 {
				for j := range kept {
					q := l.next[j*l.n:][:l.n]
					d := floats.Dot(q, x)
					if coef != nil {
						coef[i*block+j] += d
					}
					floats.AddScaled(x, -d, q)
				}
			}
			s = norm2(x)
			if !(s > 64*epsilon*scale) || s > before/16 {
				break
			}
			// Most of the row cancelled: what it had of the basis by rounding
			// has grown in proportion and is taken out again.
			for j := range l.size {
				floats.AddScaled(x, -floats.Dot(l.row(j), x), l.row(j))
			}
		}
		if !(s > 64*epsilon*scale) {
			continue
		}
		if coef != nil {
			coef[i*block+kept] = s
		}
		q := l.next[kept*l.n:][:l.n]
		for e, v := range x {
			q[e] = v / s
		}
		kept++
	}
	return kept
}

// ritz returns the eigenvalues of h in decreasing order, and the eigenvectors as
// rows of a size x size matrix in the same order.
func (l *lanczos) ritz() (theta, vec []float64, err error) {
	vec = make([]float64, l.size*l.size)
	for i := range l.size {
		copy(vec[i*l.size:][:l.size], l.h[i*l.ld:])
	}
	theta, err = l.opt.BLAS.Eigen(l.size, vec)
	return theta, vec, err
}

// residual is that of a Ritz pair: coef^T times the last width components of its
// eigenvector.
func (l *lanczos) residual(vec, coef []float64, width, next int) float64 {
	var s float64
	for j := range next {
		var r float64
		for i := range width {
			r += coef[i*block+j] * vec[l.size-width+i]
		}
		s = math.Hypot(s, r)
	}
	return s
}

// estimate returns the largest Ritz value with its bounds.
func (l *lanczos) estimate(theta, vec, coef []float64, width, next int) Result {
	r := make([]float64, min(block, l.size))
	for j := range r {
		r[j] = l.residual(vec[j*l.size:], coef, width, next)
	}
	return l.result(theta[:len(r)], r, next)
}

// result is that of Ritz values whose vectors have the residuals; next vectors are
// left to go on with.
func (l *lanczos) result(theta, residual []float64, next int) Result {
	res := Result{Reads: l.reads}
	if !(theta[0] > 0) {
		return res
	}
	res.Sigma, res.Bound = math.Sqrt(theta[0]), bound(residual[0], theta[0])
	if next == 0 {
		return res
	}
	res.Missed = 1
	for j, r := range residual {
		// Of two that float32 took for equal the second may be the larger.
		if d := theta[0]*(1+2*l.opt.Tolerance) - theta[j]; r < d {
			res.Missed *= r / d
		}
	}
	return res
}

// bound is that of a singular value from the residual of its square.
func bound(residual, square float64) float64 {
	// Rounding leaves a few units of the last place.
	return max(residual/square, 4*epsilon) / 2
}

// condense shrinks the basis to the k largest Ritz vectors.
func (l *lanczos) condense(k int, theta, vec []float64) {
	out := make([]float64, k*l.n)
	l.opt.BLAS.Dgemm(false, false, k, l.n, l.size, 1, vec, l.size, l.basis, l.n, 0, out, l.n)
	copy(l.basis, out)
	clear(l.h)
	for i := range k {
		l.h[i*l.ld+i] = theta[i]
	}
	l.size = k
}

func norm2(x []float64) float64 { return math.Sqrt(floats.Dot(x, x)) }
