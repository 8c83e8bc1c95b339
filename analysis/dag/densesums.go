package dag

import (
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
)

// program is a path programme at one position, ready for the row loops.
type program struct {
	p   float64
	hs  []scaled.Num // as given
	h   []float64    // over 2^exp
	exp int64
	ok  bool
	dst []scaled.Num
	at  func(i int) int // row or column -> element of dst
}

func programs(paths []Path, dst [][]scaled.Num, from, to Axis) []program {
	var out []program
	for k, pr := range paths {
		for a := range from.Outer {
			for b := range from.Inner {
				g := program{p: pr.P, hs: gather(pr.H, from, a, b), dst: dst[k],
					at: func(i int) int { return (a*to.N+i)*to.Inner + b }}
				g.h, g.exp, g.ok = floats(g.hs)
				out = append(out, g)
			}
		}
	}
	return out
}

func denseSums[T float32 | float64](d *Dense, w []T, q *SumRequest, s *Sums) {
	fwd := programs(q.Forward, s.Forward, d.In(), d.Out())
	bwd := programs(q.Backward, s.Backward, d.Out(), d.In())
	// Column norms are backward programmes at one position.
	bwd = append(bwd, programs(q.columns, s.Columns, Axis{1, d.Rows, 1}, Axis{1, d.Cols, 1})...)
	rows, cols := d.Rows, d.Cols
	s.Weights += rows * cols
	threads := max(1, min(q.Threads, rows))
	zero := make([]int, threads)
	acc := make([][][]float64, threads)
	chunk := (rows + threads - 1) / threads
	kernel.Parallel(threads, threads, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			acc[t] = make([][]float64, len(bwd))
			for k := range bwd {
				acc[t][k] = make([]float64, cols)
			}
			var tile []T
			const block = 16
			for i0 := t * chunk; i0 < min(rows, (t+1)*chunk); i0 += block {
				i1 := min(i0+block, rows, (t+1)*chunk)
				tile = rowTile(tile, w, d, i0, i1)
				for i := i0; i < i1; i++ {
					row := tile[(i-i0)*cols:][:cols]
					zero[t] += zeros(row)
					for k, p := range q.Powers {
						s.Rows[k][i] = rowNorm(row, p, nil, 0, true, nil)
					}
					for _, g := range fwd {
						g.dst[g.at(i)] = rowNorm(row, g.p, g.h, g.exp, g.ok, g.hs)
					}
					for k, g := range bwd {
						addPowers(acc[t][k], row, g.p, g.h[i])
					}
				}
			}
		}
	})
	for _, z := range zero {
		s.Zeros += z
	}
	for k, g := range bwd {
		for j := range cols {
			sum := acc[0][k][j]
			for t := 1; t < threads; t++ {
				if math.IsInf(g.p, 1) {
					sum = math.Max(sum, acc[t][k][j])
				} else {
					sum += acc[t][k][j]
				}
			}
			var r scaled.Num
			if g.ok && safeSum(sum) {
				r = scaled.New(sum).Root(rootOf(g.p)).Scale(g.exp)
			} else {
				r = columnSlow(d, w, j, g.p, g.hs)
			}
			g.dst[g.at(j)] = r
		}
	}
}

func rootOf(p float64) float64 {
	if math.IsInf(p, 1) {
		return 1
	}
	return p
}

// rowTile returns rows [i0, i1) contiguously, out x in: a view of w, or a
// transposed copy in buf.
func rowTile[T float32 | float64](buf, w []T, d *Dense, i0, i1 int) []T {
	if !d.InOut {
		return w[i0*d.Cols : i1*d.Cols]
	}
	n := (i1 - i0) * d.Cols
	if cap(buf) < n {
		buf = make([]T, n)
	}
	buf = buf[:n]
	for j := range d.Cols {
		src := w[j*d.Rows+i0 : j*d.Rows+i1]
		for i, v := range src {
			buf[i*d.Cols+j] = v
		}
	}
	return buf
}

// addPowers adds (|w_j| h)^p to dst_j (the maximum for p = Inf).
func addPowers[T float32 | float64](dst []float64, w []T, p, h float64) {
	if h == 0 {
		return
	}
	switch {
	case p == 1:
		for j, x := range w {
			dst[j] += math.Abs(float64(x)) * h
		}
	case p == 2:
		for j, x := range w {
			t := float64(x) * h
			dst[j] += t * t
		}
	case math.IsInf(p, 1):
		for j, x := range w {
			if t := math.Abs(float64(x)) * h; !(t <= dst[j]) {
				dst[j] = t
			}
		}
	default:
		for j, x := range w {
			dst[j] += math.Pow(math.Abs(float64(x))*h, p)
		}
	}
}

func columnSlow[T float32 | float64](d *Dense, w []T, j int, p float64, hs []scaled.Num) scaled.Num {
	var acc scaled.Accumulator
	acc.Reset(p)
	for i := range d.Rows {
		x := w[i*d.Cols+j]
		if d.InOut {
			x = w[j*d.Rows+i]
		}
		acc.Add(scaled.New(float64(x)).Mul(hs[i]))
	}
	return acc.Norm()
}
