package rescale

import (
	"context"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// equalNorm minimises sum |theta|^p, which is convex in the logarithms of the
// factors: sum_e |w_e|^p exp(p (z_row - z_col)).
func (r *search) equalNorm(ctx context.Context) error {
	p := r.opt.P
	v, err := newView(r.net, r.Groups, p, r.opt)
	if err != nil {
		return err
	}
	r.view = v
	r.Objective.Before = v.power(p, r.Groups.Ones(), r.opt.Threads)
	q := v.powerProblem(p, r.opt.Threads)
	m, err := q.minimise(ctx, r.opt)
	if err != nil {
		return err
	}
	if m.lost {
		return r.equalNormSweeps(ctx, v, m)
	}
	r.finish(v, q, m)
	for _, f := range m.trace {
		r.Trace = append(r.Trace, scaled.New(f+q.fixed))
	}
	r.Objective.After = scaled.New(m.sum + q.fixed)
	return nil
}

// equalNormSweeps is for sums of |theta|^p beyond the range of float64, as large
// p have: sweeps z_g += (ln out_g - ln in_g)/4 of all groups at once, in and out
// the p-norms of its incoming and outgoing weights, with an exponent each. By
// convexity half of every group's own best step does not raise the objective.
func (r *search) equalNormSweeps(ctx context.Context, v *view, m *minimum) error {
	p := r.opt.P
	z := v.logs()
	for k := range z {
		z[k] += m.z[k]
	}
	for r.Sweeps = 2; ; r.Sweeps++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := v.factors(z)
		in, out, total := v.norms(p, c, r.opt.Threads)
		f := total.Pow(p)
		r.Trace = append(r.Trace, f)
		r.Residual = 0
		for k := range z {
			z[k] += (out[k].Ln() - in[k].Ln()) / 4
			r.Residual = math.Max(r.Residual, math.Tanh(p/2*math.Abs(out[k].Ln()-in[k].Ln())))
		}
		if r.Residual <= math.Max(r.opt.Tolerance, 1e-13*p) || r.Sweeps >= r.opt.MaxSweeps {
			r.Factors, r.Objective.After = c, f
			return nil
		}
	}
}

// norms returns the p-norms of the incoming and outgoing weights of each active
// group of the network rescaled by c, and that of all live weights.
func (v *view) norms(p float64, c []float64, threads int) (in, out []scaled.Num, total scaled.Num) {
	in, out = make([]scaled.Num, len(v.active)), make([]scaled.Num, len(v.active))
	var all scaled.Accumulator
	all.Reset(p)
	for _, y := range v.layers {
		for i, x := range y.rowNorms(p, c, threads) {
			all.Add(x)
			if id := y.rows[i]; id != dag.NoGroup && v.index[id] >= 0 {
				side := in
				if v.sign[id] < 0 {
					side = out
				}
				side[v.index[id]] = scaled.Plus(side[v.index[id]], x, p)
			}
		}
		h := make([]scaled.Num, len(y.rows))
		for i, id := range y.rows {
			if id != dag.NoGroup {
				h[i] = scaled.New(c[id])
				if y.scale != nil {
					h[i] = h[i].MulFloat(y.scale[i])
				}
			}
		}
		for j, x := range y.outgoing(sums.Path{P: p, H: h}, threads) {
			if id := y.cols[j]; id != dag.NoGroup && v.index[id] >= 0 {
				out[v.index[id]] = scaled.Plus(out[v.index[id]], x.Div(scaled.New(c[id])), p)
			}
		}
	}
	return in, out, all.Norm()
}

// finish takes over the factors of a minimum.
func (r *search) finish(v *view, q *problem, m *minimum) {
	z := v.logs()
	for k := range z {
		z[k] += m.z[k]
	}
	r.Factors = v.factors(z)
	r.Sweeps = q.sweeps + 2
	r.Residual = m.residual
}

// powerProblem is the problem of sum |theta|^p.
func (v *view) powerProblem(p float64, threads int) *problem {
	q := &problem{s: p, vars: len(v.active)}
	for _, y := range v.layers {
		b := v.newLinks(y, p)
		if y.bias != nil {
			b.bias = make([]float64, len(y.rows))
			for i := range b.bias {
				b.bias[i] = b.row[i] + p*math.Log(y.bias[i])
			}
		}
		for i, s := range y.scale {
			b.row[i] += p * math.Log(s)
		}
		parts, kind := y.parts, sumAbs
		switch loops := b.loops(); {
		case !loops && p == 1 && direct(parts, b):
		case !loops && p == 2 && direct(parts, b):
			kind = sumSquares
		default:
			parts = normalisedParts(parts, p, b)
			for k := range parts {
				q.fixed += cut(&parts[k], func(row, col int) bool { return b.rows[row] >= 0 && b.rows[row] == b.cols[col] })
			}
		}
		if b = q.reduced(b, parts, kind, threads); b != nil {
			q.links = append(q.links, b)
		}
	}
	return q
}

// direct reports whether |w|^p (p at most 2) times the links' factors stay
// within the range of float64 at every step of the way: the stored numbers of
// at most 2^128, the logarithms of factors at most 300.
func direct(parts []dag.Matrix, b *links) bool {
	for _, s := range parts {
		if s.F64 != nil {
			for _, w := range s.F64 {
				if w != 0 && !(math.Abs(w) < 0x1p128 && math.Abs(w) > 0x1p-150) {
					return false
				}
			}
		}
	}
	for _, ln := range [][]float64{b.row, b.col} {
		for _, l := range ln {
			if l > 300 || l < -300 && !math.IsInf(l, -1) {
				return false
			}
		}
	}
	return true
}

// normalisedParts moves the links' factors into copies of the numbers.
func normalisedParts(parts []dag.Matrix, p float64, b *links) []dag.Matrix {
	lr, lc := make([]float64, len(b.row)), make([]float64, len(b.col))
	move := func(ln, to []float64) {
		for i, l := range ln {
			if to[i] = l / p; !math.IsInf(l, -1) {
				ln[i] = 0
			}
		}
	}
	move(b.row, lr)
	move(b.col, lc)
	var out []dag.Matrix
	for k := range parts {
		out = append(out, normalised(&parts[k], p, lr, lc))
	}
	return out
}

// power is sum |theta|^p of the network rescaled by c, in one read, over edges
// between live units.
func (v *view) power(p float64, c []float64, threads int) scaled.Num {
	var acc scaled.Accumulator
	acc.Reset(p)
	for _, y := range v.layers {
		for _, x := range y.rowNorms(p, c, threads) {
			acc.Add(x)
		}
	}
	return acc.Norm().Pow(p)
}

// rowNorms returns the incoming p-norm, bias included, of every row of a layer
// rescaled by c, over live edges; zero for rows that are not live.
func (y *layer) rowNorms(p float64, c []float64, threads int) []scaled.Num {
	col := make([]scaled.Num, len(y.cols))
	for j, id := range y.cols {
		if id != dag.NoGroup {
			col[j] = scaled.One.Div(scaled.New(c[id]))
		}
	}
	out := y.incoming([]sums.Path{{P: p, H: col}}, threads)[0]
	for i, id := range y.rows {
		if id == dag.NoGroup {
			out[i] = scaled.Num{}
			continue
		}
		if y.bias != nil {
			out[i] = scaled.Plus(out[i], scaled.New(y.bias[i]), p)
		}
		out[i] = out[i].MulFloat(c[id])
	}
	return out
}

// incoming returns (sum_j (|w_ij| h_j)^p)^(1/p) of every row i of a layer for
// several h, one number a column, in one read. A convolution's weights count
// once. The bias is left out.
func (y *layer) incoming(h []sums.Path, threads int) [][]scaled.Num {
	out := make([][]scaled.Num, len(h))
	for k := range out {
		out[k] = make([]scaled.Num, len(y.rows))
	}
	for i := range y.parts {
		incoming(&y.parts[i], h, out, threads)
	}
	for i, s := range y.scale {
		for k := range out {
			out[k][i] = out[k][i].MulFloat(s)
		}
	}
	return out
}

func incoming(s *dag.Matrix, h []sums.Path, out [][]scaled.Num, threads int) {
	if s.Diagonal {
		for k := range h {
			for i, w := range s.F64 {
				out[k][i] = scaled.Plus(out[k][i], h[k].H[i].MulFloat(w), h[k].P)
			}
		}
		return
	}
	rows, cols := sides(s)
	if s.Turned {
		rows, cols = cols, rows
	}
	on := lists.Map(h, func(x sums.Path) sums.Path { return sums.Path{P: x.P, H: along(cols, x.H)} })
	for k, norms := range forward(s, on, threads) {
		for i, x := range norms {
			at := rows.at(i)
			out[k][at] = scaled.Plus(out[k][at], x, h[k].P)
		}
	}
}

// forward runs forward programmes over a matrix as stored.
func forward(s *dag.Matrix, on []sums.Path, threads int) [][]scaled.Num {
	m, n := s.Stored()
	if s.F64 != nil {
		return sums.Matrix(s.F64, m, n, s.Turned, on, threads)
	}
	return sums.Matrix(s.F32, m, n, s.Turned, on, threads)
}
