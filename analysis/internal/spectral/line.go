package spectral

import (
	"context"
	"fmt"
	"math"

	"gonum.org/v1/gonum/floats"
)

const (
	// lineMost is the number of vectors with which a line ends, where longest allows it.
	lineMost = 256
	// lineRows is the number of vectors for which a map's basis has room at first. Few need more, and
	// they are long.
	lineRows = 80
	// semi is the relative residual of a Ritz pair at which its vector begins to come back into
	// the newest ones by rounding: what they have of it is some epsilon over that (Paige 1971).
	semi = 1e-7
)

// line is the iteration with one vector in place of a block, for maps: their products cost as
// much for four vectors as four do, and nothing is read that a block would share. It
// needs fewer than half of them, since its polynomials are of a higher degree. New vectors are
// made orthogonal to the last two only: rounding brings back what has converged, nothing else, and a line ends before.
// Its result is that of its Ritz vectors multiplied once more: residuals are not what the recurrence says.
//
// It returns ok where that meets the tolerance. Where it does not, next has the largest Ritz vectors and a random
// one, width in all, to go on with in blocks.
func (l *lanczos) line(ctx context.Context) (res Result, width int, ok bool, err error) {
	q := l.row(0)
	copy(q, l.next[:l.n])
	floats.Scale(1/norm2(q), q)
	coef := make([]float64, block*block)
	look, last := 4, Result{}
	for {
		if err := ctx.Err(); err != nil {
			return Result{}, 0, false, fmt.Errorf("spectral norm: %w", err)
		}
		at := l.size
		l.size++
		l.room(l.size + block)
		if err := l.multiply(ctx, at, 1); err != nil {
			return Result{}, 0, false, fmt.Errorf("spectral norm: %w", err)
		}
		if math.IsNaN(l.scale) || math.IsInf(l.scale, 0) {
			return Result{Sigma: math.NaN(), Bound: math.NaN(), Reads: l.reads}, 0, true, nil
		}
		next := l.next[:l.n]
		for range 2 {
			for i := max(0, at-1); i <= at; i++ {
				d := floats.Dot(l.row(i), next)
				floats.AddScaled(next, -d, l.row(i))
				if i == at {
					l.h[at*l.ld+at] += d
				}
			}
		}
		beta, going := norm2(next), 1
		if !(beta > 64*epsilon*l.scale) {
			going = 0
		} else if l.size < l.most {
			floats.ScaleTo(l.row(l.size), 1/beta, next)
			l.h[at*l.ld+at+1], l.h[(at+1)*l.ld+at] = beta, beta
		}
		if full := l.size == l.most; going > 0 && !full && l.reads < look {
			continue
		} else if theta, vec, err := l.ritz(); err != nil {
			return Result{}, 0, false, fmt.Errorf("spectral norm: %w", err)
		} else {
			coef[0] = beta
			now := l.estimate(theta, vec, coef, 1, going)
			if going > 0 && !full && !l.done(now) && !l.converged(theta, vec, beta) {
				look, last = l.reads+l.wait(last, now), now
				continue
			}
			return l.certify(ctx, theta, vec, going)
		}
	}
}

// room makes room for rows of the basis.
func (l *lanczos) room(rows int) {
	if have := len(l.basis) / l.n; rows > have {
		basis := make([]float64, min(l.ld, max(rows, have+have/2))*l.n)
		copy(basis, l.basis)
		l.basis = basis
	}
}

// converged says that one of the largest Ritz pairs is so good that rounding brings its
// vector back.
func (l *lanczos) converged(theta, vec []float64, beta float64) bool {
	for j := range min(block, l.size) {
		if math.Abs(beta*vec[j*l.size+l.size-1]) < semi*theta[0] {
			return true
		}
	}
	return false
}

// certify multiplies the largest Ritz vectors of a line once more. going is 0 where the line has
// all that its start can reach.
func (l *lanczos) certify(ctx context.Context, theta, vec []float64, going int) (Result, int, bool, error) {
	l.condense(min(block, l.size), theta, vec)
	copy(l.next, l.basis[:l.size*l.n])
	l.size = 0
	width := l.orthonormalize(min(block, len(theta)), 1, nil)
	if width == 0 {
		return Result{Reads: l.reads}, 0, true, nil
	}
	copy(l.basis, l.next[:width*l.n])
	if err := l.multiply(ctx, 0, width); err != nil {
		return Result{}, 0, false, fmt.Errorf("spectral norm: %w", err)
	}
	square, residual := l.quotients(width)
	res := l.result(square, residual, going)
	if res.Bound <= l.opt.Tolerance && res.Missed <= l.opt.Missed {
		return res, 0, true, nil
	}
	copy(l.next, l.basis[:width*l.n])
	clear(l.h)
	l.room(l.ld)
	if width == block {
		width--
	}
	for i := range l.n {
		l.next[width*l.n+i] = l.rng.NormFloat64()
	}
	return res, l.orthonormalize(min(width+1, l.n), 1, nil), false, nil
}
