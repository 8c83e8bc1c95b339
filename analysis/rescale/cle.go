package rescale

import (
	"context"
	"math"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// crossLayer makes in_g = out_g for every active group, in_g and out_g the
// largest |weight| into and out of its units. In logarithms l_e + z_row - z_col
// of the rescaled weights these are piecewise linear equations. Each round reads
// the weights once and collects the edges near the largest of their unit; the
// equations over the edges collected so far, a few for each unit, are solved by
// Gauss-Seidel sweeps, which cost next to nothing. It ends when the edges that
// were not collected change nothing.
//
// Where a round would raise the largest |weight|, the step
//
//	z_g += (ln out_g - ln in_g)/4
//
// of all groups at once is taken instead: since in_v and out_u are both at least
// |w_e| of an edge u->v, it leaves every |w_e| at most the mean of |w_e| twice, an
// outgoing and an incoming maximum (in logarithms), and so no larger than the
// largest.
//
// Without tied groups the fixed point is unique. With them, a cycle of edges that
// closes through a group can shift against the rest; rounds then begin from
// EqualNorm of a large order, whose limit is the fixed point wanted (Schneider
// and Schneider, Max-balancing weighted directed graphs and matrix scaling,
// Mathematics of Operations Research 16, 1991).
func (r *Result) crossLayer(ctx context.Context) error {
	opt := r.opt
	opt.Bias = paths.Exclude
	v, err := newView(r.net, r.Groups, 2, opt)
	if err != nil {
		return err
	}
	r.view = v
	r.Objective.Name = "max_abs_weight"
	r.Objective.Before = v.mu(math.Inf(1), r.Groups.Ones(), r.opt.Threads)
	r.Sweeps = 3
	z := v.logs()
	if !v.alone() {
		q := v.powerProgram(limitOrder, r.opt.Threads)
		m, err := q.minimise(ctx, r.opt)
		if err != nil {
			return err
		}
		for k := range z {
			z[k] += m.z[k]
		}
		r.Sweeps += q.sweeps
	}
	b := newRanges(v, r.opt.Threads)
	if err := b.balance(ctx, z, r); err != nil {
		return err
	}
	r.Objective.After = scaled.New(b.largest)
	if len(v.active) == 0 {
		r.Objective.After = r.Objective.Before
	}
	return nil
}

// limitOrder is the order of EqualNorm that stands for its limit.
const limitOrder = 64

// ranges holds the edges collected and the largest weights of the last read.
type ranges struct {
	v       *view
	threads int
	edges   map[[2]int32]float64
	// in and out list the collected edges of each group.
	into, from [][]edge
	// in and out are the logarithms of the largest |weight| at z, largest that of
	// all.
	in, out []float64
	largest float64
}

// edge has the group at its other end, -1 for a pinned one, and ln |weight|.
type edge struct {
	other int32
	ln    float64
}

func newRanges(v *view, threads int) *ranges {
	n := len(v.active)
	return &ranges{v: v, threads: threads, edges: map[[2]int32]float64{}, into: make([][]edge, n), from: make([][]edge, n),
		in: make([]float64, n), out: make([]float64, n)}
}

// near is how far below the largest of its unit, as a ratio, an edge is
// collected.
const near = 0.97

// balance runs rounds from the logarithms z of the factors.
func (b *ranges) balance(ctx context.Context, z []float64, r *Result) error {
	b.read(z)
	residual := b.residual()
	r.Trace = append(r.Trace, scaled.New(b.largest))
	for round := 0; ; round++ {
		r.Sweeps++
		if err := ctx.Err(); err != nil {
			return err
		}
		if residual <= r.opt.Tolerance || r.Sweeps >= r.opt.MaxSweeps {
			break
		}
		next := append([]float64(nil), z...)
		b.solve(next, r.opt.Tolerance/4)
		largest, in, out := b.largest, append([]float64(nil), b.in...), append([]float64(nil), b.out...)
		b.read(next)
		if b.largest > largest*(1+1e-14) {
			for g := range next {
				next[g] = z[g] + (out[g]-in[g])/4
			}
			b.read(next)
		}
		z = next
		last := residual
		residual = b.residual()
		r.Trace = append(r.Trace, scaled.New(b.largest))
		if residual < 1e-9 && residual >= last {
			break // rounding
		}
	}
	r.Residual = residual
	r.Factors = b.v.factors(z)
	return nil
}

func (b *ranges) residual() float64 {
	var m float64
	for g := range b.in {
		m = math.Max(m, math.Abs(b.in[g]-b.out[g]))
	}
	return m
}

// solve balances the collected edges by Gauss-Seidel sweeps, up and down the
// order of groups in turn.
func (b *ranges) solve(z []float64, tol float64) {
	n := len(z)
	for sweep := range 100000 {
		var change float64
		for k := range n {
			g := k
			if sweep&1 == 1 {
				g = n - 1 - k
			}
			in, out := math.Inf(-1), math.Inf(-1)
			for _, e := range b.into[g] {
				in = math.Max(in, e.ln-b.at(z, e.other))
			}
			for _, e := range b.from[g] {
				out = math.Max(out, e.ln+b.at(z, e.other))
			}
			if next := (out - in) / 2; !math.IsInf(next, 0) && !math.IsNaN(next) {
				change = math.Max(change, math.Abs(next-z[g]))
				z[g] = next
			}
		}
		if change <= tol {
			return
		}
	}
}

func (b *ranges) at(z []float64, g int32) float64 {
	if g < 0 {
		return 0
	}
	return z[g]
}

// read finds the largest weights at z and collects edges near them.
func (b *ranges) read(z []float64) {
	for g := range b.in {
		b.in[g], b.out[g] = math.Inf(-1), math.Inf(-1)
	}
	b.largest = 0
	var blocks []*block
	for _, y := range b.v.layers {
		if y.parts == nil {
			continue
		}
		k := b.v.newBlock(y, 0)
		for i, s := range y.scale {
			k.row[i] += math.Log(s)
		}
		k.fill(1, z)
		k.rowSum, k.colSum = make([]float64, len(k.row)), make([]float64, len(k.col))
		for i := range y.parts {
			y.parts[i].products(maxAbs, k.c, k.r, k.rowSum, k.colSum, b.threads)
		}
		for i, v := range k.rows {
			k.rowSum[i] *= k.r[i]
			b.largest = math.Max(b.largest, k.rowSum[i])
			if v >= 0 {
				b.in[v] = math.Max(b.in[v], math.Log(k.rowSum[i]))
			}
		}
		for j, v := range k.cols {
			k.colSum[j] *= k.c[j]
			if v >= 0 {
				b.out[v] = math.Max(b.out[v], math.Log(k.colSum[j]))
			}
		}
		blocks = append(blocks, k)
	}
	k := 0
	for _, y := range b.v.layers {
		if y.parts == nil {
			continue
		}
		blk := blocks[k]
		k++
		// A row or column that is not near its group's largest has no such edge.
		floor := func(vars []int32, ln []float64) []float64 {
			out := make([]float64, len(vars))
			for i, v := range vars {
				out[i] = math.Inf(1)
				if v >= 0 {
					out[i] = math.Exp(ln[v]) * near
				}
			}
			return out
		}
		rowFloor, colFloor := floor(blk.rows, b.in), floor(blk.cols, b.out)
		for i := range y.parts {
			y.parts[i].above(blk.r, blk.c, rowFloor, colFloor, b.threads, func(row, col int, w float64) {
				ln := math.Log(w)
				if y.scale != nil {
					ln += math.Log(y.scale[row])
				}
				b.collect(blk.rows[row], blk.cols[col], ln)
			})
		}
	}
}

// collect adds an edge, or raises the one between the same groups.
func (b *ranges) collect(row, col int32, ln float64) {
	if row == col {
		return // within one group no factor changes it
	}
	key := [2]int32{row, col}
	if old, ok := b.edges[key]; ok && old >= ln {
		return
	}
	b.edges[key] = ln
	set := func(list []edge, other int32) []edge {
		for i := range list {
			if list[i].other == other {
				list[i].ln = ln
				return list
			}
		}
		return append(list, edge{other, ln})
	}
	if row >= 0 {
		b.into[row] = set(b.into[row], col)
	}
	if col >= 0 {
		b.from[col] = set(b.from[col], row)
	}
}

// above calls f for every number |w| with |w| r c at least its row's or column's
// floor, one call at a time.
func (s *matrix) above(r, c, rowFloor, colFloor []float64, threads int, f func(row, col int, w float64)) {
	if s.diag {
		for i, w := range s.f64 {
			if x := w * r[i] * c[i]; x >= rowFloor[i] || x >= colFloor[i] {
				f(i, i, w)
			}
		}
		return
	}
	if s.swap {
		r, c, rowFloor, colFloor = c, r, colFloor, rowFloor
	}
	if s.f64 != nil {
		above(s, s.f64, r, c, rowFloor, colFloor, threads, f)
	} else {
		above(s, s.f32, r, c, rowFloor, colFloor, threads, f)
	}
}

func above[T kernel.Float](s *matrix, w []T, r, c, rowFloor, colFloor []float64, threads int, f func(row, col int, w float64)) {
	cs, floors := gather(s.cols, c, s.n), gather(s.cols, colFloor, s.n)
	parts := max(1, min(threads, s.m*s.n/(1<<16)))
	chunk := (s.m + parts - 1) / parts
	found := make([][][2]int32, parts)
	kernel.Parallel(parts, parts, 1, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			for i := t * chunk; i < min(s.m, (t+1)*chunk); i++ {
				at := pick(s.rows, i)
				ri := r[at]
				if ri == 0 {
					continue
				}
				rf := rowFloor[at]
				for j, x := range w[i*s.n:][:s.n] {
					v := math.Abs(float64(x)) * ri * cs[j]
					if (v >= rf || v >= floors[j]) && v > 0 {
						found[t] = append(found[t], [2]int32{int32(i), int32(j)})
					}
				}
			}
		}
	})
	for _, list := range found {
		for _, ij := range list {
			row, col := pick(s.rows, int(ij[0])), pick(s.cols, int(ij[1]))
			if s.swap {
				row, col = col, row
			}
			f(row, col, math.Abs(s.at(int(ij[0]), int(ij[1]))))
		}
	}
}
