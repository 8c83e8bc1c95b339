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
	// most is the size of the basis at which it is condensed, keep the number of
	// vectors that survive.
	most, keep = 128, 32
	// mostReads ends an iteration that rounding keeps from its tolerance; Bound
	// then says how far it came.
	mostReads = 5000
	// narrowGoal is the bound at which products in float32, which are right to some
	// 1e-7 of the largest, stop to help; the square of the matrix's norm must lie
	// between narrowLeast and its inverse, so that they keep their range. After
	// mostRefined refinements products are float64.
	narrowGoal, narrowLeast, mostRefined = 3e-7, 1e-20, 2
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
	// stop.
	narrow  bool
	refined int
	goal    float64
}

func newLanczos(m Matrix, opt Options) *lanczos {
	ld := most + block
	return &lanczos{
		ata: newProduct(m, opt.Threads, opt.BLAS), opt: opt, n: m.Cols, ld: ld,
		basis: make([]float64, ld*m.Cols), h: make([]float64, ld*ld), next: make([]float64, block*m.Cols), scratch: make([]float64, block*m.Cols),
		rng: rand.New(rand.NewPCG(opt.Seed, 0x5eed)),
	}
}

func (l *lanczos) row(i int) []float64 { return l.basis[i*l.n:][:l.n] }

func (l *lanczos) run(ctx context.Context) (Result, error) {
	for i := range l.next {
		l.next[i] = l.rng.NormFloat64()
	}
	width := l.orthonormalize(min(block, l.n), nil)
	// The next look at the Ritz values, and the last one.
	look, last := 4, Result{}
	l.goal = l.opt.Tolerance
	for {
		if err := ctx.Err(); err != nil {
			return Result{}, fmt.Errorf("spectral norm: %w", err)
		}
		old := l.size
		copy(l.basis[old*l.n:], l.next[:width*l.n])
		l.size += width
		l.multiply(old, width)
		if math.IsNaN(l.scale) || math.IsInf(l.scale, 0) {
			return Result{Sigma: math.NaN(), Bound: math.NaN(), Reads: l.reads}, nil
		}
		if l.reads == 1 && l.ata.inPlace() && l.scale > narrowLeast && l.scale < 1/narrowLeast {
			l.narrow, l.goal = true, max(narrowGoal, l.goal)
		}
		l.project(old, width)
		b := make([]float64, block*block)
		next := min(l.orthonormalize(width, b), l.n-l.size)
		full := l.size+block > most
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
		case res.Bound > l.goal && next > 0 && l.reads < mostReads:
			look, last = l.reads+l.wait(last, res), res
			if full {
				l.condense(keep, theta, vec)
			}
			width = next
			continue
		case !l.narrow && l.refined == 0:
			return res, nil
		}
		res, width = l.refine(theta, vec)
		// Of a matrix of low rank all that is left may lie in the basis: the next
		// Ritz vectors have it.
		for width == 0 && res.Bound > l.opt.Tolerance && l.reads < mostReads {
			if theta, vec, err = l.ritz(); err != nil {
				return Result{}, fmt.Errorf("spectral norm: %w", err)
			}
			res, width = l.refine(theta, vec)
		}
		if res.Bound <= l.opt.Tolerance || l.reads >= mostReads {
			return res, nil
		}
		look, last = l.reads+1, Result{}
	}
}

// refine makes good what products in float32 left out: it condenses the basis to
// its largest Ritz vectors, multiplies the very largest of them in float64, and
// returns their residuals as the next block. The first gives the result with its
// bound. In what follows the products of the others are off as before, but the
// dominant singular vector has only a small part of them.
func (l *lanczos) refine(theta, vec []float64) (Result, int) {
	l.condense(min(keep, l.size), theta, vec)
	l.refined++
	l.narrow = false
	width := min(block, l.size)
	l.multiply(0, width)
	q, r := l.row(0), make([]float64, l.n)
	square := floats.Dot(q, l.next[:l.n])
	floats.AddScaledTo(r, l.next[:l.n], -square, q)
	res := Result{Sigma: math.Sqrt(max(square, 0)), Bound: bound(norm2(r), square), Reads: l.reads}
	l.project(0, width)
	l.narrow, l.goal = l.refined < mostRefined, 0.7*l.opt.Tolerance
	return res, min(l.orthonormalize(width, nil), l.n-l.size)
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
func (l *lanczos) multiply(at, width int) {
	l.ata.apply(l.next, l.basis[at*l.n:][:block*l.n], width, l.narrow)
	l.reads++
	for i := range width {
		if s := norm2(l.next[i*l.n:][:l.n]); !(s <= l.scale) {
			l.scale = s
		}
	}
}

// project stores the products of the new block with the whole basis in h, and
// takes the basis out of next, twice.
func (l *lanczos) project(at, width int) {
	c, basis := make([]float64, l.size*block), l.basis[:l.size*l.n]
	for pass := range 2 {
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
func (l *lanczos) orthonormalize(width int, coef []float64) int {
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
			if !(s > 64*epsilon*l.scale) || s > before/16 {
				break
			}
			// Most of the row cancelled: what it had of the basis by rounding
			// has grown in proportion and is taken out again.
			for j := range l.size {
				floats.AddScaled(x, -floats.Dot(l.row(j), x), l.row(j))
			}
		}
		if !(s > 64*epsilon*l.scale) {
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

// residual is that of the largest Ritz pair: coef^T times the last width components of its
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

// estimate returns the largest Ritz value with its bound.
func (l *lanczos) estimate(theta, vec, coef []float64, width, next int) Result {
	if !(theta[0] > 0) {
		return Result{Reads: l.reads}
	}
	return Result{Sigma: math.Sqrt(theta[0]), Bound: bound(l.residual(vec, coef, width, next), theta[0]), Reads: l.reads}
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
