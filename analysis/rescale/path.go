package rescale

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

// path minimises mu_{p,inf}, the largest incoming p-norm of a live unit.
//
// With b_v = 1/c_v, 1 for pinned units, and ||x||_p the norm over a unit's
// incoming edges, factors give mu_{p,inf} <= c iff for every unit
//
//	||w_{u->v} b_u||_p <= c b_v.
//
// The least b for a given c has equality at every unit alone in its group, so
// that b_v = (sum_k (phi_{v,k} c^-k)^p)^(1/p) with phi_{v,k} the p-norm of the
// products along paths of k edges that end in v. The minimum c* is the largest
// root, over the pinned units, of sum_k (phi_{j,k} c^-k)^p = 1. Without biases
// and skips all paths are of length d, and c*^d = max_j phi_j (Neyshabur,
// Tomioka, Srebro, COLT 2015, theorem 5; Neyshabur, Salakhutdinov, Srebro,
// NeurIPS 2015, section 3). Groups of several units: see tied.
//
// The minimum is attained: along the path that makes a unit live, b is bounded
// from below by the inputs and from above by the outputs.
func (r *search) path(ctx context.Context) error {
	if r.view = newLightView(r.net, r.Groups, r.opt.P, r.opt); r.view == nil || !r.view.alone() {
		v, err := newView(r.net, r.Groups, r.opt.P, r.opt)
		if err != nil {
			return err
		}
		r.view = v
		r.Sweeps = 2
	}
	v := r.view
	var lnC float64
	var z []float64
	if v.alone() {
		lnC, z, r.Objective.Before = v.graded(r.opt.P, r.opt.Threads)
		r.Sweeps++
	} else {
		r.Objective.Before = v.mu(r.opt.P, r.Groups.Ones(), r.opt.Threads)
		t := newTied(v, r.opt.P)
		if err := t.solve(ctx); err != nil {
			return err
		}
		lnC, z = t.mu, t.logs()
		r.Sweeps += 1 + t.sweeps
		r.Infimum, r.Delta = t.infimum, t.delta
	}
	if !r.Objective.Before.IsFinite() {
		if _, err := newView(r.net, r.Groups, r.opt.P, r.opt); err != nil {
			return err // names the layer
		}
		return fmt.Errorf("rescale: NaN or infinite weights")
	}
	r.Factors = v.factors(z)
	if len(v.active) == 0 {
		// Nothing can change.
		r.Objective.After = r.Objective.Before
		return nil
	}
	r.Objective.After = v.mu(r.opt.P, r.Factors, r.opt.Threads)
	r.Sweeps++
	r.Residual = math.Abs(math.Expm1(r.Objective.After.Ln() - lnC))
	return nil
}

// mu is mu_{p,inf} of the network rescaled by c.
func (v *view) mu(p float64, c []float64, threads int) scaled.Num {
	var top scaled.Num
	for _, y := range v.layers {
		for _, x := range y.rowNorms(p, c, threads) {
			top = scaled.Max(top, x)
		}
	}
	return top
}

// alone reports whether every active group has one row with incoming edges.
func (v *view) alone() bool {
	rows := make([]int, len(v.active))
	for _, y := range v.layers {
		for _, id := range y.rows {
			if id != dag.NoGroup && v.index[id] >= 0 {
				if rows[v.index[id]]++; rows[v.index[id]] > 1 {
					return false
				}
			}
		}
	}
	return true
}

// graded solves the case of groups of one unit. It reads the weights once, with
// phi of the columns' groups graded by the number of edges, and returns ln c*,
// the logarithms of the active groups' factors and mu of the network as it is.
func (v *view) graded(p float64, threads int) (lnC float64, z []float64, before scaled.Num) {
	// phi of each active group: index k for paths of k edges.
	phi := make([][]scaled.Num, len(v.active))
	var ends [][]scaled.Num
	for _, y := range v.layers {
		terms, norms := v.terms(y, phi, p, threads)
		for i, id := range y.rows {
			if id == dag.NoGroup {
				continue
			}
			before = scaled.Max(before, norms[i])
			if k := v.index[id]; k >= 0 {
				phi[k] = terms[i]
			} else {
				ends = append(ends, terms[i])
			}
		}
	}
	lnC = math.Inf(-1)
	for _, t := range ends {
		if lengthSum(t, p, lnC) > 0 {
			lnC = root(t, p)
		}
	}
	z = make([]float64, len(phi))
	for k, t := range phi {
		z[k] = -lengthSum(t, p, lnC)
	}
	return lnC, z, before
}

// terms returns, for each row of a layer, phi by the number of edges, and its
// norm as it stands.
func (v *view) terms(y *layer, phi [][]scaled.Num, p float64, threads int) (terms [][]scaled.Num, norms []scaled.Num) {
	longest := 0
	col := func(j int) []scaled.Num {
		id := y.cols[j]
		if id == dag.NoGroup {
			return nil
		}
		if k := v.index[id]; k >= 0 {
			return phi[k]
		}
		return start
	}
	for j := range y.cols {
		longest = max(longest, len(col(j)))
	}
	// The last programme is the plain norm, which shares the read.
	req := make([]sums.Path, 0, longest+1)
	var lengths []int
	for k := range longest {
		h := make([]scaled.Num, len(y.cols))
		any := false
		for j := range h {
			if t := col(j); k < len(t) {
				h[j] = t[k]
				any = any || !h[j].IsZero()
			}
		}
		if any {
			req = append(req, sums.Path{P: p, H: h})
			lengths = append(lengths, k+1)
		}
	}
	live := make([]scaled.Num, len(y.cols))
	for j, id := range y.cols {
		if id != dag.NoGroup {
			live[j] = scaled.One
		}
	}
	sums := y.incoming(append(req, sums.Path{P: p, H: live}), threads)
	norms = sums[len(req)]
	terms = make([][]scaled.Num, len(y.rows))
	for i := range terms {
		terms[i] = make([]scaled.Num, max(longest+1, 2))
		for q, k := range lengths {
			terms[i][k] = sums[q][i]
		}
		if y.bias != nil {
			b := scaled.New(y.bias[i])
			terms[i][1] = scaled.Plus(terms[i][1], b, p)
			norms[i] = scaled.Plus(norms[i], b, p)
		}
	}
	return terms, norms
}

// start is phi of inputs and other pinned units: the path without edges.
var start = []scaled.Num{scaled.One}

// lengthSum returns ln (sum_k (phi_k c^-k)^p)^(1/p) for ln c, -Inf for no paths.
func lengthSum(phi []scaled.Num, p, lnC float64) float64 {
	top := math.Inf(-1)
	term := func(k int) float64 {
		if phi[k].IsZero() {
			return math.Inf(-1)
		}
		return phi[k].Ln() - float64(k)*lnC
	}
	for k := range phi {
		top = math.Max(top, term(k))
	}
	if math.IsInf(top, 0) || math.IsInf(p, 1) {
		return top
	}
	var s float64
	for k := range phi {
		s += math.Exp(p * (term(k) - top))
	}
	return top + math.Log(s)/p
}

// root returns ln c with sum_k (phi_k c^-k)^p = 1, of phi with some path. The
// logarithm of the sum is convex and falls with ln c, so that Newton's method
// rises to the root from the left, where one term alone is 1.
func root(phi []scaled.Num, p float64) float64 {
	x := math.Inf(-1)
	for k, f := range phi {
		if k > 0 && !f.IsZero() {
			x = math.Max(x, f.Ln()/float64(k))
		}
	}
	if math.IsInf(p, 1) {
		return x
	}
	for range 100 {
		f := lengthSum(phi, p, x)
		var slope float64
		for k, t := range phi {
			if k > 0 && !t.IsZero() {
				slope += float64(k) * math.Exp(p*(t.Ln()-float64(k)*x-f))
			}
		}
		next := x + f/slope
		if !(next > x) {
			break
		}
		x = next
	}
	return x
}
