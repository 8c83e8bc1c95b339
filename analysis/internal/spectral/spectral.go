// Package spectral computes singular values of matrices that are read row by
// row, with an error bound.
package spectral

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// Matrix is a matrix that is read a few rows at a time.
type Matrix struct {
	Rows, Cols int
	// Read writes rows [lo, hi) to dst, row-major, and may be called on several
	// goroutines at once.
	Read func(dst []float64, lo, hi int)
	// Single is the whole matrix in float32, row-major, where it is stored so:
	// then it is read in place. Nil: there is none.
	Single []float32
}

// Options says how to iterate. The zero value works.
type Options struct {
	// Tolerance is the relative error of the result. Default: 1e-8.
	Tolerance float64
	// Seed of the random start.
	Seed uint64
	// Threads is the number of goroutines. Default: one.
	Threads int
	// BLAS does the products that package kernel has no vector loops for.
	// Default: blas.Find().
	BLAS *blas.Engine
}

// Result is a largest singular value.
type Result struct {
	// Sigma is the value, never more than the true one but for rounding.
	Sigma float64
	// Bound is the bound on its relative error: see Norm. It is above the
	// tolerance only when the iteration was given up after some thousand reads.
	Bound float64
	// Reads is the number of times that the matrix was read.
	Reads int
}

const (
	// block is the number of vectors that one read of the matrix multiplies.
	block = kernel.GramVectors
	// most is the size of the basis at which it is condensed, keep the number of
	// vectors that survive.
	most, keep = 128, 32
	// small is the largest number of columns or rows whose singular values are
	// computed at once.
	small = 48
	// mostReads ends an iteration that rounding keeps from its tolerance; Bound
	// then says how far it came.
	mostReads = 5000
	// epsilon is the spacing of float64 at 1.
	epsilon = 0x1p-52
)

// Norm returns sigma_1 of a matrix by a block Lanczos iteration on A^T A with a
// random start, full reorthogonalisation and thick restarts: one read of the
// matrix an iteration. It stops once
//
//	r <= 2 Tolerance theta
//
// with theta = sigma^2 the largest Ritz value and r = |A^T A v - theta v| its
// residual: then a singular value lies within the relative r / (2 theta) of the
// result, whatever the others are (Parlett, The symmetric eigenvalue problem,
// theorem 4.5.1). The error is usually far smaller, near (r/theta)^2 / gap with gap
// the relative distance to the next singular value, which would have to be known
// for a bound. That it is the largest rests on the random start, which meets the dominant singular vector
// with probability one. Products and sums are float64. Of a matrix with few rows
// or columns, where the iteration would span everything, sigma^2 is the largest
// eigenvalue of A A^T or A^T A. Entries should be of moderate size: their squares
// are summed.
//
// A zero or empty matrix gives 0; NaN or Inf in the matrix gives NaN. Errors: a
// cancelled context. Source: Golub, Underwood, The block Lanczos method, 1977;
// Wu, Simon, Thick-restart Lanczos, SIAM J. Matrix Anal. 2000.
func Norm(ctx context.Context, m Matrix, opt Options) (Result, error) {
	if opt.Tolerance <= 0 {
		opt.Tolerance = 1e-8
	}
	if opt.BLAS == nil {
		opt.BLAS = blas.Find()
	}
	if m.Rows == 0 || m.Cols == 0 {
		return Result{}, nil
	}
	if min(m.Rows, m.Cols) <= small {
		return gram(m, opt.BLAS), nil
	}
	if vectors() {
		// The library's threads would wait where the goroutines want to run.
		defer opt.BLAS.Alone()()
	}
	return newLanczos(m, opt).run(ctx)
}

// gram takes the largest eigenvalue of the smaller of A A^T and A^T A: squaring
// costs the small singular values their digits, but not the largest.
func gram(m Matrix, e *blas.Engine) Result {
	k := min(m.Rows, m.Cols)
	g := make([]float64, k*k)
	step := m.Rows
	if m.Cols == k {
		step = min(m.Rows, max(k, (1<<16)/k))
	}
	tile := make([]float64, step*m.Cols)
	for lo := 0; lo < m.Rows; lo += step {
		hi := min(lo+step, m.Rows)
		t := tile[:(hi-lo)*m.Cols]
		m.Read(t, lo, hi)
		if m.Cols == k {
			e.Dgemm(true, false, k, k, hi-lo, 1, t, k, t, k, 1, g, k)
		} else {
			e.Dgemm(false, true, k, k, m.Cols, 1, t, m.Cols, t, m.Cols, 0, g, k)
		}
	}
	for _, x := range g {
		if x-x != 0 {
			return Result{Sigma: math.NaN(), Bound: math.NaN(), Reads: 1}
		}
	}
	var eig mat.EigenSym
	eig.Factorize(mat.NewSymDense(k, g), false)
	// The eigenvalue is off by a small multiple of the rounding unit times the
	// length of the sums, of which the root takes half.
	return Result{Sigma: math.Sqrt(math.Max(eig.Values(nil)[k-1], 0)), Bound: 0x1p-53 * float64(max(m.Rows, m.Cols)), Reads: 1}
}

// Values returns all singular values, in decreasing order, by LAPACK. NaN or Inf
// in the matrix, and an iteration that does not converge, give NaN in every
// place.
func Values(m Matrix, e *blas.Engine) []float64 {
	k := min(m.Rows, m.Cols)
	if k == 0 {
		return nil
	}
	a := make([]float64, m.Rows*m.Cols)
	m.Read(a, 0, m.Rows)
	s, err := e.SingularValues(m.Rows, m.Cols, a)
	if err != nil {
		return nans(k)
	}
	return s
}

func nans(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	return out
}

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
	reads int
	scale float64 // the largest norm of A^T A v so far: rounding is relative to it
	rng   *rand.Rand
}

func newLanczos(m Matrix, opt Options) *lanczos {
	ld := most + block
	return &lanczos{
		ata: newProduct(m, opt.Threads, opt.BLAS), opt: opt, n: m.Cols, ld: ld,
		basis: make([]float64, ld*m.Cols), h: make([]float64, ld*ld), next: make([]float64, block*m.Cols),
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
		l.project(old, width)
		b := make([]float64, block*block)
		next := min(l.orthonormalize(width, b), l.n-l.size)
		full := l.size+block > most
		if next > 0 && !full && l.reads < look {
			width = next
			continue
		}
		theta, vec := l.ritz()
		res, done := l.converged(theta, vec, b, width, next)
		res.Reads = l.reads
		if done || l.reads >= mostReads {
			return res, nil
		}
		look, last = l.reads+l.wait(last, res), res
		if full {
			l.condense(keep, theta, vec)
		}
		width = next
	}
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
	left := math.Log(now.Bound/l.opt.Tolerance) / rate
	return int(min(most, max(fewest, 0.8*left)))
}

// multiply sets next to A^T A times basis vectors [at, at+width).
func (l *lanczos) multiply(at, width int) {
	l.ata.apply(l.next, l.basis[at*l.n:][:block*l.n], width)
	l.reads++
	for i := range width {
		if s := norm2(l.next[i*l.n:][:l.n]); !(s <= l.scale) {
			l.scale = s
		}
	}
}

// project stores the products of the new block with the whole basis in h, and
// takes the basis out of next, twice. Goroutines share the columns.
func (l *lanczos) project(at, width int) {
	z, parts := l.next[:width*l.n], len(l.ata.parts)
	sums := width * l.size
	c := make([]float64, parts*sums)
	columns := func(f func(part, lo, hi int)) {
		kernel.Parallel(parts, parts, 1, func(from, to int) {
			for p := from; p < to; p++ {
				f(p, p*l.n/parts, (p+1)*l.n/parts)
			}
		})
	}
	for pass := range 2 {
		columns(func(p, lo, hi int) {
			l.opt.BLAS.Dgemm(false, true, width, l.size, hi-lo, 1, z[lo:], l.n, l.basis[lo:], l.n, 0, c[p*sums:], l.size)
		})
		for p := 1; p < parts; p++ {
			floats.Add(c[:sums], c[p*sums:][:sums])
		}
		columns(func(_, lo, hi int) {
			l.opt.BLAS.Dgemm(false, false, width, hi-lo, l.size, -1, c, l.size, l.basis[lo:], l.n, 1, z[lo:], l.n)
		})
		if pass > 0 {
			return
		}
		for j := range width {
			for i := range l.size {
				l.h[i*l.ld+at+j], l.h[(at+j)*l.ld+i] = c[j*l.size+i], c[j*l.size+i]
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
// columns of a size x size matrix in the same order.
func (l *lanczos) ritz() ([]float64, *mat.Dense) {
	sym := mat.NewSymDense(l.size, nil)
	for i := range l.size {
		for j := i; j < l.size; j++ {
			sym.SetSym(i, j, l.h[i*l.ld+j])
		}
	}
	var eig mat.EigenSym
	eig.Factorize(sym, true)
	up := eig.Values(nil)
	var q mat.Dense
	eig.VectorsTo(&q)
	theta := make([]float64, l.size)
	vec := mat.NewDense(l.size, l.size, nil)
	for k := range theta {
		from := l.size - 1 - k
		theta[k] = up[from]
		for i := range l.size {
			vec.Set(i, k, q.At(i, from))
		}
	}
	return theta, vec
}

// residual is that of the largest Ritz pair: coef^T times the last width components of its
// eigenvector.
func (l *lanczos) residual(vec *mat.Dense, coef []float64, width, next int) float64 {
	var s float64
	for j := range next {
		var r float64
		for i := range width {
			r += coef[i*block+j] * vec.At(l.size-width+i, 0)
		}
		s = math.Hypot(s, r)
	}
	return s
}

// converged decides on the largest Ritz value.
func (l *lanczos) converged(theta []float64, vec *mat.Dense, coef []float64, width, next int) (Result, bool) {
	if !(theta[0] > 0) {
		return Result{}, true
	}
	// Rounding leaves a few units of the last place.
	rel := max(l.residual(vec, coef, width, next)/theta[0], 4*epsilon) / 2
	return Result{Sigma: math.Sqrt(theta[0]), Bound: rel}, rel <= l.opt.Tolerance || next == 0
}

// condense shrinks the basis to the k largest Ritz vectors.
func (l *lanczos) condense(k int, theta []float64, vec *mat.Dense) {
	q := make([]float64, k*l.size)
	for i := range k {
		for j := range l.size {
			q[i*l.size+j] = vec.At(j, i)
		}
	}
	out := make([]float64, k*l.n)
	l.opt.BLAS.Dgemm(false, false, k, l.n, l.size, 1, q, l.size, l.basis, l.n, 0, out, l.n)
	copy(l.basis, out)
	clear(l.h)
	for i := range k {
		l.h[i*l.ld+i] = theta[i]
	}
	l.size = k
}

func norm2(x []float64) float64 { return math.Sqrt(floats.Dot(x, x)) }
