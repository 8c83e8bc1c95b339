// Package spectral computes singular values of matrices that are read row by
// row, with an error bound.
package spectral

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/relupath/relupath/analysis/blas"
)

// Matrix is a matrix that is read a few rows at a time.
type Matrix struct {
	Rows, Cols int
	// Read writes rows [lo, hi) to dst, row-major.
	Read func(dst []float64, lo, hi int)
	// Single is the whole matrix in float32, row-major, where it is stored so;
	// most of an iteration then works in float32. Entries must be
	// far from the ends of float32's range. Nil: there is none.
	Single []float32
}

// Options says how to iterate. The zero value works.
type Options struct {
	// Tolerance is the relative error of the result. Default: 1e-10.
	Tolerance float64
	// Seed of the random start.
	Seed uint64
	// BLAS does the products. Default: blas.Find().
	BLAS *blas.Engine
}

// Result is a largest singular value.
type Result struct {
	// Sigma is the value, never more than the true one but for rounding.
	Sigma float64
	// Bound is the bound on its relative error: see Norm. It is above the
	// tolerance only when the iteration was given up after some thousand reads.
	Bound float64
	// Residual is |A^T u - sigma v| / sigma of the singular pair, with u =
	// A v / sigma exactly.
	Residual float64
	// Reads is the number of times that the matrix was read.
	Reads int
}

const (
	// block is the number of vectors that one read of the matrix multiplies.
	block = 8
	// most is the size of the basis at which it is condensed, keep the number of
	// vectors that survive.
	most, keep = 192, 40
	// small is the largest number of columns or rows whose singular values are
	// computed at once.
	small = 48
	// singleFrom is the number of entries from which float32 products pay,
	// singleTo the relative residual up to which they are trusted: some twenty
	// times their rounding.
	singleFrom, singleTo = 1 << 16, 3e-6
	// mostReads ends an iteration that rounding keeps from its tolerance; Bound
	// then says how far it came.
	mostReads = 5000
)

// Norm returns sigma_1 of a matrix by a block Lanczos iteration on A^T A with a
// random start, full reorthogonalisation and thick restarts: one read of the
// matrix an iteration. It stops once
//
//	min(r, r^2/gap) <= 2 Tolerance theta
//
// with theta = sigma^2 the largest Ritz value, r = |A^T A v - theta v| its
// residual and gap its distance to the next Ritz value of another cluster, less
// that one's residual: then a singular value lies within the relative Tolerance
// of the result (Parlett, The symmetric eigenvalue problem, theorem 11.7.1). That
// it is the largest rests on the random start, which meets the dominant singular
// vector with probability one. A matrix that is stored in float32 is multiplied in
// float32 until the residual nears the rounding; the result
// always comes from float64. Of a matrix with few rows or columns, where the
// iteration would span everything, sigma^2 is the largest eigenvalue of A A^T or
// A^T A. Entries should be of moderate size: their squares are summed.
//
// A zero or empty matrix gives 0; NaN or Inf in the matrix gives NaN. Errors: a
// cancelled context. Source: Golub, Underwood, The block Lanczos method, 1977;
// Wu, Simon, Thick-restart Lanczos, SIAM J. Matrix Anal. 2000.
func Norm(ctx context.Context, m Matrix, opt Options) (Result, error) {
	if opt.Tolerance <= 0 {
		opt.Tolerance = 1e-10
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
	m     Matrix
	opt   Options
	n     int       // columns of the matrix
	basis []float64 // size x n, orthonormal
	size  int
	h     []float64 // most+block squared: the projection V A^T A V^T
	ld    int
	tile  []float64
	y     []float64
	next  []float64 // block x n: A^T A times the newest block, then the residual
	reads int
	scale float64 // the largest norm of A^T A v so far: rounding is relative to it
	rng   *rand.Rand
	// single says that products are taken in float32; tile32, v32, y32 and z32 are
	// their operands.
	single                bool
	tile32, v32, y32, z32 []float32
}

func newLanczos(m Matrix, opt Options) *lanczos {
	ld := most + block
	l := &lanczos{
		m: m, opt: opt, n: m.Cols, ld: ld,
		basis: make([]float64, ld*m.Cols), h: make([]float64, ld*ld), next: make([]float64, block*m.Cols),
		rng: rand.New(rand.NewPCG(opt.Seed, 0x5eed)),
	}
	if len(m.Single) >= singleFrom {
		l.single = true
		rows := tileRows(m)
		l.tile32 = make([]float32, rows*m.Cols)
		l.v32, l.y32, l.z32 = make([]float32, block*m.Cols), make([]float32, block*rows), make([]float32, block*m.Cols)
	}
	return l
}

// tileRows is the number of rows that are multiplied at a time, from the
// second-level cache the second time.
func tileRows(m Matrix) int { return min(m.Rows, max(16, (1<<18)/max(m.Cols, 1))) }

// epsilon is the rounding unit of the products.
func (l *lanczos) epsilon() float64 {
	if l.single {
		return 0x1p-23
	}
	return 0x1p-52
}

func (l *lanczos) row(i int) []float64 { return l.basis[i*l.n:][:l.n] }

func (l *lanczos) run(ctx context.Context) (Result, error) {
	for i := range l.next {
		l.next[i] = l.rng.NormFloat64()
	}
	width := l.orthonormalize(min(block, l.n), nil)
	check := 0
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
		check++
		full := l.size+block > most
		if next > 0 && !full && check%4 != 0 {
			width = next
			continue
		}
		theta, vec := l.ritz()
		if l.single && (next == 0 || l.residual(0, vec, b, width, next) <= singleTo*theta[0]) {
			// What float32 can tell is told: go on in float64 from its best block.
			l.condense(min(block, l.size), theta, vec)
			copy(l.next, l.basis[:l.size*l.n])
			l.size, l.single = 0, false
			width = l.orthonormalize(min(block, l.n), nil)
			continue
		}
		if res, done := l.converged(theta, vec, b, width, next); done || l.reads >= mostReads {
			res.Reads = l.reads
			return res, nil
		}
		if full {
			l.condense(keep, theta, vec)
		}
		width = next
	}
}

// multiply sets next to A^T A times basis vectors [at, at+width).
func (l *lanczos) multiply(at, width int) {
	if l.single {
		l.multiplySingle(at, width)
		return
	}
	rows := tileRows(l.m)
	if l.tile == nil {
		l.tile, l.y = make([]float64, rows*l.n), make([]float64, rows*block)
	}
	v, z := l.basis[at*l.n:][:width*l.n], l.next[:width*l.n]
	clear(z)
	for lo := 0; lo < l.m.Rows; lo += rows {
		hi := min(lo+rows, l.m.Rows)
		t := l.tile[:(hi-lo)*l.n]
		l.m.Read(t, lo, hi)
		l.opt.BLAS.Dgemm(false, true, width, hi-lo, l.n, 1, v, l.n, t, l.n, 0, l.y, hi-lo)
		l.opt.BLAS.Dgemm(false, false, width, l.n, hi-lo, 1, l.y, hi-lo, t, l.n, 1, z, l.n)
	}
	l.measure(z)
}

// multiplySingle is multiply in float32. The tiles are copies for the reason
// that dag's evaluator has: a mapped file must not meet a library outside Go.
func (l *lanczos) multiplySingle(at, width int) {
	v, z := l.v32[:width*l.n], l.z32[:width*l.n]
	for e, x := range l.basis[at*l.n:][:width*l.n] {
		v[e] = float32(x)
	}
	clear(z)
	rows := len(l.tile32) / l.n
	for lo := 0; lo < l.m.Rows; lo += rows {
		hi := min(lo+rows, l.m.Rows)
		t := l.tile32[:(hi-lo)*l.n]
		copy(t, l.m.Single[lo*l.n:])
		l.opt.BLAS.Sgemm(false, true, width, hi-lo, l.n, 1, v, l.n, t, l.n, 0, l.y32, hi-lo)
		l.opt.BLAS.Sgemm(false, false, width, l.n, hi-lo, 1, l.y32, hi-lo, t, l.n, 1, z, l.n)
	}
	for e, x := range z {
		l.next[e] = float64(x)
	}
	l.measure(l.next[:width*l.n])
}

// measure counts a read and keeps the size of the products.
func (l *lanczos) measure(z []float64) {
	l.reads++
	for at := 0; at < len(z); at += l.n {
		if s := norm2(z[at:][:l.n]); !(s <= l.scale) {
			l.scale = s
		}
	}
}

// project stores the products of the new block with the whole basis in h, and
// takes the basis out of next, twice.
func (l *lanczos) project(at, width int) {
	z := l.next[:width*l.n]
	c := make([]float64, width*l.size)
	for pass := range 2 {
		l.opt.BLAS.Dgemm(false, true, width, l.size, l.n, 1, z, l.n, l.basis, l.n, 0, c, l.size)
		l.opt.BLAS.Dgemm(false, false, width, l.n, l.size, -1, c, l.size, l.basis, l.n, 1, z, l.n)
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
					d := dot(q, x)
					if coef != nil {
						coef[i*block+j] += d
					}
					axpy(-d, q, x)
				}
			}
			s = norm2(x)
			if !(s > 64*l.epsilon()*l.scale) || s > before/16 {
				break
			}
			// Most of the row cancelled: what it had of the basis by rounding
			// has grown in proportion and is taken out again.
			for j := range l.size {
				axpy(-dot(l.row(j), x), l.row(j), x)
			}
		}
		if !(s > 64*l.epsilon()*l.scale) {
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

// residual is that of Ritz pair k: coef^T times the last width components of its
// eigenvector.
func (l *lanczos) residual(k int, vec *mat.Dense, coef []float64, width, next int) float64 {
	var s float64
	for j := range next {
		var r float64
		for i := range width {
			r += coef[i*block+j] * vec.At(l.size-width+i, k)
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
	r := l.residual(0, vec, coef, width, next)
	bound := r
	// The first Ritz value that is apart from the first by more than the
	// residuals bounds the gap; values nearer are of one cluster, whose members
	// all equal the first within what is asked.
	for k := 1; k < len(theta); k++ {
		if theta[0]-theta[k] <= l.opt.Tolerance*theta[0] {
			continue
		}
		if gap := theta[0] - theta[k] - l.residual(k, vec, coef, width, next); gap > 0 {
			bound = min(bound, r*r/gap)
		}
		break
	}
	floor := 4 * 0x1p-52 * theta[0]
	rel := max(bound, floor) / (2 * theta[0])
	return Result{Sigma: math.Sqrt(theta[0]), Bound: rel, Residual: r / theta[0]}, rel <= l.opt.Tolerance || next == 0
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

func dot(a, b []float64) float64 {
	var s float64
	b = b[:len(a)]
	for i, x := range a {
		s += x * b[i]
	}
	return s
}

func axpy(c float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += c * v
	}
}

func norm2(x []float64) float64 { return math.Sqrt(dot(x, x)) }
