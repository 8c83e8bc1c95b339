// Package spectral computes singular values of matrices that are read row by
// row, with an error bound.
package spectral

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/relupath/relupath/analysis/blas"
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
	// Gram, of a map whose matrix is not written out, sets dst to A^T A times each of
	// width vectors of Cols elements, in src one after the other. It stands for Read; Rows
	// is not looked at. Nil: the matrix is read.
	Gram func(ctx context.Context, dst, src []float64, width int) error
}

// Options says how to iterate. The zero value works.
type Options struct {
	// Tolerance is the relative error of the result. Default: 1e-8.
	Tolerance float64
	// Missed is the largest Result.Missed with which the iteration stops. Default: 1e-10.
	Missed float64
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
	// Bound is the bound on its relative distance to a singular value: see Norm. It
	// is above the tolerance only when the iteration was given up after some
	// thousand reads.
	Bound float64
	// Missed bounds what the iteration can have seen of a singular value that is
	// larger than the result by more than the tolerance: see Norm. It is above
	// 1e-10 only with the same exception.
	Missed float64
	// Reads is the number of times that the matrix was read, without reads of its copy.
	Reads int
}

// small is the largest number of columns or rows whose singular values are
// computed at once.
const small = 48

// Norm returns sigma_1 of a matrix by a block Lanczos iteration on A^T A with a
// random start, full reorthogonalisation and thick restarts: one read of the
// matrix an iteration. With theta_j = sigma^2 the four largest Ritz values, v_j their
// vectors and r_j = |A^T A v_j - theta_j v_j|, it stops once
//
//	r_1 <= 2 Tolerance theta_1   and   Missed = prod_j min(1, t_j) <= 1e-10,
//	t_j = r_j / ((1 + 2 Tolerance) theta_1 - theta_j),
//
// or once the basis holds all that the start can reach. What that says:
//
// For certain, a singular value lies within the relative r_1 / (2 theta_1) of the
// result, whatever the others are (Parlett, The symmetric eigenvalue problem, theorem
// 4.5.1), and sigma_1 is no less than the result but for rounding, since theta_1 is a
// Rayleigh quotient. The error is usually far smaller, near (r_1/theta_1)^2 / gap with
// gap the relative distance to the next singular value.
//
// That no singular value lies above it by more than the Tolerance cannot be certain
// after a few products (Kuczynski, Wozniakowski 1992). It rests on the start, which
// is uniformly random. The right singular vector x of such a value has |x.v_j| <= t_j,
// so Missed bounds how little all four have of it. Of m >= 6 values that the iteration
// could not tell apart, the four span a random subspace of the m vectors; if they are
// no nearer to x than by chance, the probability of so little is at most
// 4 (m-2) (m-4) / pi^2 Missed: 2e-7 for m = 64. This is a model and no proof, for
// the iteration chooses the v_j within that subspace. Proven of every matrix with n
// columns is, for products without rounding, that after the first k <= 32 reads
// theta_1 is below sigma_1^2 by more than the relative e with a probability of at most
//
//	(1.648 sqrt(n) exp(-(2k-1) sqrt(e)))^4
//
// (Kuczynski, Wozniakowski, theorem 4.2, of each of the four vectors of the start).
//
// Of a map (Matrix.Gram) the iteration has one vector, as a rule some 100 products and no restart, until rounding comes in:
// the exponent 4 is 1 then, and k is not 32 but all reads. With n = 200,000 and k = 130 the chance of being off by
// more than 0.2 % is below 1e-4; blocks of four promise as much of 1 %. Both conditions are tested as for
// blocks, on the four largest Ritz vectors and their residuals, after these were multiplied once more. If they do not hold, the
// iteration goes on in blocks from there.
//
// An isolated sigma_1 meets the second condition before the first. Of more than four
// values that agree to some digits the iteration must tell the largest apart: where
// 64 agree to 1e-7 and the next are 1 % below, it takes some 350 reads.
//
// Of a matrix with few rows or columns, where the iteration would span everything,
// sigma^2 is the largest eigenvalue of A A^T or A^T A. Entries should be of moderate
// size: their squares are summed.
//
// Products and sums are float64, but of a matrix in float32 (Matrix.Single) most
// products are float32, which takes half the time and is right to some 1e-7 of the
// largest. What they miss reaches r_1 only by the small part that the dominant vector
// has of the vectors so multiplied. When they cease to help, and in the end, the
// basis is condensed and its largest Ritz vectors are multiplied in float64; theta_j
// and r_j are of such products, so that the bounds hold as they stand. Where four Ritz
// values agree to 1e-4 the iteration begins again in float64 with their vectors:
// products in float32 would spread a cluster by what they are off.
//
// Of a large matrix in float32 most products are those of a copy in eight bits a weight, where
// kernel.HasRough, and some seven are of the matrix (see rough). The conditions are the same, with r_j and theta_j
// of four vectors multiplied in float64 in the end. What lies behind the second is the random start and
// a rounding by chance: a copy is off by a matrix whose spectral norm is at most b but for a chance that does not
// depend on the matrix (kernel.NewRough), and is used only where b <= 0.06 sigma. So the copy has a singular value of at least
// sigma_1 - b, and theorem 4.2 is of it and of the k reads of the copy before the first of the matrix: but for the rounding of
// vectors, sigma_1 is at most (sigma + b) / sqrt(1 - e) + b. Where the four values agree to 1e-4, or residuals do
// not fall, the iteration begins as if there were no copy.
//
// A zero or empty matrix gives 0; NaN or Inf in the matrix gives NaN. Errors: a
// cancelled context. Sources: Golub, Underwood, The block Lanczos method, 1977;
// Wu, Simon, Thick-restart Lanczos, SIAM J. Matrix Anal. 2000; for products that
// are not exact, Simoncini, SIAM J. Numer. Anal. 43, 2005; for random starts,
// Kuczynski, Wozniakowski, SIAM J. Matrix Anal. 13, 1992.
func Norm(ctx context.Context, m Matrix, opt Options) (Result, error) {
	if opt.Tolerance <= 0 {
		opt.Tolerance = 1e-8
	}
	if opt.Missed <= 0 {
		opt.Missed = 1e-10
	}
	if opt.BLAS == nil {
		opt.BLAS = blas.Find()
	}
	if m.Gram != nil {
		m.Rows = m.Cols
	}
	if m.Rows == 0 || m.Cols == 0 {
		return Result{}, nil
	}
	if m.Gram == nil && min(m.Rows, m.Cols) <= small {
		return gram(m, opt.BLAS), nil
	}
	return newLanczos(m, opt).run(ctx)
}

// gram takes the largest eigenvalue of the smaller of A A^T and A^T A: squaring
// costs the small singular values their digits, but not the largest.
func gram(m Matrix, e *blas.Engine) Result {
	t, err := reduced(m, e)
	var values []float64
	if err == nil {
		values = blas.EigenvaluesOf(t)[0]
	}
	if values == nil { // NaN or Inf
		return Result{Sigma: math.NaN(), Bound: math.NaN(), Reads: 1}
	}
	// The eigenvalue is off by a small multiple of the rounding unit times the
	// length of the sums, of which the root takes half.
	return Result{Sigma: math.Sqrt(math.Max(values[0], 0)), Bound: 0x1p-53 * float64(max(m.Rows, m.Cols)), Reads: 1}
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

// Squares returns the squares of all singular values of each matrix, in increasing order. Where all
// that lie above floor are right to 1e-8 so, they are eigenvalues of the smaller of A A^T
// and A^T A, in less than half the time that singular values take; those below floor are
// some numbers below it then. NaN or Inf in the matrix, and an iteration that does not
// converge, give NaN in every place. Two matrices of a size take less time together; the values are those of each by itself.
func Squares(e *blas.Engine, floors []float64, ms ...Matrix) [][]float64 {
	out := make([][]float64, len(ms))
	var at []int
	var ts []*blas.Tridiagonal
	for i, m := range ms {
		if min(m.Rows, m.Cols) == 0 {
			continue
		}
		t, err := reduced(m, e)
		if err != nil {
			out[i] = nans(min(m.Rows, m.Cols))
			continue
		}
		at, ts = append(at, i), append(ts, t)
	}
	for i, s := range blas.EigenvaluesOf(ts...) {
		out[at[i]] = squares(ms[at[i]], floors[at[i]], s, e)
	}
	return out
}

// squares is what Squares makes of eigenvalues in decreasing order, nil for none.
func squares(m Matrix, floor float64, s []float64, e *blas.Engine) []float64 {
	k := min(m.Rows, m.Cols)
	if s == nil {
		return nans(k)
	}
	slices.Reverse(s)
	i, _ := slices.BinarySearch(s, floor)
	// The error is some units of the last place of the largest value; the bound in
	// LAPACK's documentation, n times that, is never seen.
	const units = 16
	if off := units * epsilon * s[k-1]; i < k && off > 1e-8*s[i] || i > 0 && s[i-1]+off > floor {
		s = Values(m, e)
		slices.Reverse(s)
		for i, x := range s {
			s[i] = x * x
		}
		return s
	}
	for i, x := range s {
		s[i] = max(x, 0)
	}
	return s
}

// room is memory for products: fresh pages cost as much as what is written to them.
type room struct{ g, a, b []float64 }

var rooms = sync.Pool{New: func() any { return new(room) }}

// sized is a slice of n elements, in the memory of v where that is enough. What is in it is left over.
func sized(v *[]float64, n int) []float64 {
	if cap(*v) < n {
		*v = make([]float64, n)
	}
	return (*v)[:n]
}

// reduced is the smaller of A A^T and A^T A as a tridiagonal matrix.
func reduced(m Matrix, e *blas.Engine) (*blas.Tridiagonal, error) {
	r := rooms.Get().(*room)
	defer rooms.Put(r)
	k := min(m.Rows, m.Cols)
	g := sized(&r.g, k*k)
	// Only blocks on and below the diagonal are computed, from tiles of some MB.
	const side, most = 128, 1 << 22
	if m.Cols == k {
		step := min(m.Rows, max(side, most/k))
		tile := sized(&r.a, step*k)
		for lo := 0; lo < m.Rows; lo += step {
			hi := min(lo+step, m.Rows)
			m.Read(tile[:(hi-lo)*k], lo, hi)
			before := float64(min(lo, 1)) // the first is added to nothing
			for i := 0; i < k; i += side {
				h := min(side, k-i)
				e.Dgemm(true, false, h, i+h, hi-lo, 1, tile[i:], k, tile, k, before, g[i*k:], k)
			}
		}
	} else {
		step := min(m.Rows, max(side, most/m.Cols))
		a := sized(&r.a, step*m.Cols)
		for i := 0; i < k; i += step {
			h := min(step, k-i)
			m.Read(a[:h*m.Cols], i, i+h)
			for j := 0; j < i; j += step {
				b := sized(&r.b, step*m.Cols)
				m.Read(b, j, j+step)
				e.Dgemm(false, true, h, step, m.Cols, 1, a, m.Cols, b, m.Cols, 0, g[i*k+j:], k)
			}
			for j := 0; j < h; j += side {
				w := min(side, h-j)
				e.Dgemm(false, true, w, j+w, m.Cols, 1, a[j*m.Cols:], m.Cols, a, m.Cols, 0, g[(i+j)*k+i:], k)
			}
		}
	}
	return e.Tridiagonal(k, g)
}

func nans(n int) []float64 {
	return slices.Repeat([]float64{math.NaN()}, n)
}
