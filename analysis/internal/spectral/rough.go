package spectral

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/kernel"
)

const (
	// roughFirst is the bound, of the copy's largest singular value, at which its vectors are multiplied by the matrix
	// for the first time; roughFactor is how much of the bound is to be left the next time, which
	// the copy can do.
	roughFirst, roughFactor = 3e-4, 0.05
	// roughShare is the largest part of sigma_1 that the spectral norm of the copy's errors may have.
	roughShare = 0.06
	// roughSingle is the bound above which products of the matrix itself are float32.
	roughSingle = 1e-6
	// mostCorrections is how often the matrix is multiplied: what takes more is no matter for a copy.
	mostCorrections = 9
)

// roughWeights is the least number of weights, and roughSide of rows and columns, of which a copy is made.
var roughWeights, roughSide = 1 << 20, 256

// rough is the iteration with a copy of the matrix in eight bits a weight, for all but some seven reads. It
// returns false where that is not worth it, or did not meet the tolerance: then l is as it was.
//
// Its Ritz vectors are those of a matrix M that agrees with A^T A on the four vectors x_i which the matrix itself has
// multiplied last, and with the copy's product on what is orthogonal to them. What a singular vector has outside of
// the x_i, d, makes it off by some |d| times what the copy is off by. So each time that the four best are multiplied
// their residuals fall by a factor, near 0.07 for weights from a normal distribution. The result and its bounds are
// those of the last time, with products in float64; nothing of the copy is in them.
func (l *lanczos) rough(ctx context.Context) (Result, bool, error) {
	m := l.ata.m
	if !l.ata.inPlace() || !kernel.HasRough() || m.Rows*m.Cols < roughWeights || min(m.Rows, m.Cols) < roughSide || l.most < most {
		return Result{}, false, nil
	}
	r, off := kernel.NewRough(m.Single, m.Rows, m.Cols, l.ata.threads, l.opt.Seed)
	if r == nil {
		return Result{}, false, nil
	}
	res, ok, err := l.roughly(ctx, r, off)
	if !ok {
		clear(l.h)
		l.size, l.reads, l.scale, l.goal, l.narrow = 0, 0, 0, l.opt.Tolerance, false
	}
	return res, ok, err
}

// roughly is rough with a copy, which is off by a matrix of the spectral norm off.
func (l *lanczos) roughly(ctx context.Context, r *kernel.Rough, off float64) (Result, bool, error) {
	start := make([]float64, len(l.next))
	copy(start, l.next)
	defer copy(l.next, start)
	width := l.orthonormalize(min(block, l.n), 0, nil)
	look, last := 12, Result{}
	l.goal = roughFirst
	var (
		turn, corrections, stalled int
		// exact vectors at the beginning of the basis have the products coef with the four from behind on.
		exact, behind int
		coef          []float64
		before        = math.Inf(1)
	)
	for {
		if err := ctx.Err(); err != nil {
			return Result{}, false, fmt.Errorf("spectral norm: %w", err)
		}
		old := l.size
		copy(l.basis[old*l.n:], l.next[:width*l.n])
		l.size += width
		r.Gram(l.next, l.basis[old*l.n:][:block*l.n], l.ata.threads, uint32(turn))
		turn++
		l.reads++
		l.rescale(width)
		l.project(old, width, 2)
		for i := range exact {
			for j := range width {
				x := 0.0
				if old == behind {
					x = coef[i*block+j]
				}
				l.h[i*l.ld+old+j], l.h[(old+j)*l.ld+i] = x, x
			}
		}
		b := make([]float64, block*block)
		next := min(l.orthonormalize(width, l.scale, b), l.n-l.size)
		if next == 0 {
			return Result{}, false, nil
		}
		full := l.size+block > l.most
		if !full && l.reads < look {
			width = next
			continue
		}
		theta, vec, err := l.ritz()
		if err != nil {
			return Result{}, false, fmt.Errorf("spectral norm: %w", err)
		}
		now := l.estimate(theta, vec, b, width, next)
		if !(off <= roughShare*now.Sigma) {
			return Result{}, false, nil
		}
		if !full && now.Bound > l.goal {
			look, last, width = l.reads+l.wait(last, now), now, next
			continue
		}
		l.condense(min(keep, l.size), theta, vec)
		width = min(block, l.size)
		l.narrow = before > roughSingle
		if err := l.multiply(ctx, 0, width); err != nil {
			return Result{}, false, fmt.Errorf("spectral norm: %w", err)
		}
		square, residual := l.quotients(width)
		l.project(0, width, 2)
		exact, behind, coef = width, l.size, make([]float64, block*block)
		width = min(l.orthonormalize(width, l.scale, coef), l.n-l.size)
		res := l.result(square, residual, width)
		corrections++
		above := false
		for _, s := range square[1:] {
			above = above || s > square[0]*(1+2*l.opt.Tolerance)
		}
		if !l.narrow && !above && res.Bound <= l.opt.Tolerance && res.Missed <= l.opt.Missed {
			res.Reads = l.reads - turn + 1
			return res, true, nil
		}
		if res.Bound > before/3 {
			stalled++
		}
		if width == 0 || stalled > 1 || corrections == mostCorrections || within(clusterWidth, square) >= block {
			return Result{}, false, nil
		}
		before = res.Bound
		l.goal = max(0.3*l.opt.Tolerance, roughFactor*before)
		look, last = l.reads+4, Result{}
	}
}
